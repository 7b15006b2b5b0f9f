"""Validate the input of the public functions once, then run a kernel that does not validate.

No finite input takes a kernel out of the range of its dtype, where there is a wider one:

- A forward kernel may overflow in the pre-activations, and only there: an infinite pre-activation would saturate a
  gate, perhaps on the wrong side, and the overflow would not show in the result. So a bound on all pre-activations is
  computed first; where the dtype might not hold them, the kernel runs in the next wider one and its result is rounded.
  Then there is no NaN, and gates saturate on the correct side.
- A backward kernel is linear in the upstream gradients, so that an overflow stays infinite or becomes NaN. If a result
  is not finite although the input is, the kernel runs again in the wider dtype and its result is rounded. So a gradient
  is infinite only where its value is out of range.

For float64 the wider dtype is C's long double, which is wider on x86-64 except on Windows, and on 64-bit ARM with
Linux; elsewhere float64 has none. Input that is not finite is used as it is, in its own dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from math import isfinite, sqrt
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from manual.checks import Array, checked
from manual.params import Params
from manual.tape import CheckpointedTape, States, Tape

Result = TypeVar("Result")
AnyTape = TypeVar("AnyTape", Tape, CheckpointedTape, Tape | CheckpointedTape)
Outcome = TypeVar("Outcome", Tape, CheckpointedTape, States)
ForwardKernel = Callable[[Params, Array, Array, Array], Outcome]

WIDER: dict[Any, Any] = {np.dtype("f4"): np.float64, np.dtype("f8"): np.longdouble}
# Bounds on pre-activations; the factor 1000 is a margin for the rounding of the norms and of the sums.
LIMITS = {dtype: float(np.finfo(dtype).max) / 1000 for dtype in WIDER}


def forward(
    kernel: ForwardKernel[Outcome],
    params: Params,
    x: Array,
    h0: Array | None,
    C0: Array | None,
) -> Outcome:
    """Validate the input, with zeros for a missing state, and run a forward kernel."""
    if not isinstance(params, Params):
        raise TypeError(f"params is of type {type(params).__name__}; expected manual.Params")
    sizes = {"D": params.input_size, "H": params.hidden_size}
    x = checked("x", x, ("T", "B", "D"), sizes, params.dtype)
    zero = np.zeros((sizes["B"], sizes["H"]), params.dtype)
    h0 = zero if h0 is None else checked("h0", h0, ("B", "H"), sizes, params.dtype)
    C0 = zero if C0 is None else checked("C0", C0, ("B", "H"), sizes, params.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return in_range(kernel, params, x, h0, C0)(params, x, h0, C0)


def in_range(kernel: ForwardKernel[Outcome], params: Params, x: Array, h0: Array, C0: Array) -> ForwardKernel[Outcome]:
    """Return the kernel for this input or any segment of it: unchanged, or in the wider dtype if it might overflow.

    By the Cauchy-Schwarz inequality no pre-activation, nor a part of one, exceeds ‖x‖ ‖U‖ + ‖h‖ ‖W‖ + ‖b‖, with the
    norms of the whole arrays. No row of h except in h0 has a norm above √H. The cell state grows by at most 1 a step,
    which never takes it out of range.
    """
    if x.dtype not in LIMITS:  # already the wider dtype
        return kernel
    h = max(_norm(h0), sqrt(params.hidden_size))
    bound = _norm(x) * _norm(params.U) + h * _norm(params.W) + _norm(params.b)
    if bound < LIMITS[x.dtype] or not all_finite((params, x, h0, C0)):  # a NaN bound is not less
        return kernel
    return partial(_in_wider, kernel)


def _in_wider(kernel: ForwardKernel[Outcome], params: Params, x: Array, h0: Array, C0: Array) -> Outcome:
    outcome: Outcome = _cast(kernel(*_cast((params, x, h0, C0), WIDER[x.dtype])), x.dtype)
    return outcome if isinstance(outcome, States) else replace(outcome, params=params, x=x)


def _norm(array: Array) -> float:
    """Return the Frobenius norm, or an upper bound of it for a strided array; infinite if the sum of squares is."""
    if array.flags.c_contiguous:
        numbers = array.ravel()  # a view
        return sqrt(numbers.dot(numbers))
    return max(float(array.max()), -float(array.min())) * sqrt(array.size)  # an empty array is contiguous


def backward(
    kernel: Callable[[AnyTape, Array, Array, Array], Result],
    tape: AnyTape,
    dh: Array | None,
    dh_T: Array | None,
    dC_T: Array | None,
    tapes: tuple[type, ...] = (Tape,),
) -> Result:
    """Validate the input, with zeros for a missing upstream gradient, and run a backward kernel.

    `tapes` has the types of tape that the kernel accepts. At least one upstream gradient has to be given.
    """
    if not isinstance(tape, tapes):
        expected = " or ".join(f"manual.{kind.__name__}" for kind in tapes)
        raise TypeError(f"tape is of type {type(tape).__name__}; expected {expected}, as forward returns it")
    if dh is None and dh_T is None and dC_T is None:
        raise ValueError("dh, dh_T and dC_T are all missing; expected at least one gradient of the loss")
    T, B, H = tape.h.shape
    sizes, dtype = {"T": T, "B": B, "H": H}, tape.params.dtype
    zero = np.zeros((B, H), dtype)
    dh = np.broadcast_to(zero, (T, B, H)) if dh is None else checked("dh", dh, ("T", "B", "H"), sizes, dtype)
    dh_T = zero if dh_T is None else checked("dh_T", dh_T, ("B", "H"), sizes, dtype)
    dC_T = zero if dC_T is None else checked("dC_T", dC_T, ("B", "H"), sizes, dtype)
    inputs = tape, dh, dh_T, dC_T
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = kernel(*inputs)
        if not all_finite(result) and all_finite(inputs):
            result = _cast(kernel(*_cast(inputs, WIDER[dtype])), dtype)
    return result


def all_finite(value: object) -> bool:
    """Return whether an array, or all arrays in a structure of tuples, lists, dictionaries and objects, are finite."""
    if isinstance(value, np.ndarray):
        # The norm is finite only if all entries are, and takes less time than looking at each; it fails on objects.
        return (not value.dtype.hasobject and isfinite(_norm(value))) or bool((np.abs(value) < np.inf).all())
    if isinstance(value, int):
        return True
    if isinstance(value, dict):
        return all(map(all_finite, value.values()))
    return all(map(all_finite, value if isinstance(value, list | tuple) else vars(value).values()))


def _cast(value: Any, dtype: npt.DTypeLike) -> Any:
    """Return a structure with all arrays in another dtype."""
    if isinstance(value, np.ndarray):
        return value.astype(dtype)
    if isinstance(value, int):
        return value
    if isinstance(value, dict):
        return {key: _cast(part, dtype) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_cast(part, dtype) for part in value)
    if isinstance(value, Params):
        return value.in_dtype(dtype)
    return replace(value, **{field.name: _cast(getattr(value, field.name), dtype) for field in fields(value)})
