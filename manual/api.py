"""The public doors: each checks its input once, then runs a bare kernel.

No finite input takes a kernel out of the range of its type, where there is a wider one:

- A forward kernel might overflow in the sums that enter the gates, and alone there: infinity would saturate a gate,
  on the wrong side maybe, and show nowhere. So a bound on all these sums is computed before, and where the type might
  not hold them, the kernel runs in the next wider one, and its result is rounded. What is computed is then right:
  no NaN, and gates that saturate where their sums are large, each on its side.
- A backward kernel is linear in what arrives, so that an overflow stays infinite or becomes NaN. If its result shows
  one although its input is finite, it runs once more in the wider type, and its result is rounded. So a gradient
  is infinite only where its value is out of the type's range.

For float64 that type is C's long double, wider on x86-64 except under Windows, and on 64-bit ARM under Linux;
elsewhere float64 has none. Input that is not finite is taken as meant, in its own type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import isfinite, sqrt
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from manual.checks import checked
from manual.unit import Array, CheckpointedTape, Params, States, Tape

Result = TypeVar("Result")
AnyTape = TypeVar("AnyTape", Tape, CheckpointedTape, Tape | CheckpointedTape)
Outcome = TypeVar("Outcome", Tape, CheckpointedTape, States)
Forward = Callable[[Params, Array, Array, Array], Outcome]

WIDER: dict[Any, Any] = {np.dtype("f4"): np.float64, np.dtype("f8"): np.longdouble}
LIMITS = {dtype: float(np.finfo(dtype).max) / 1000 for dtype in WIDER}  # of sums; the norms and the sums are rounded


def forward(
    kernel: Forward[Outcome],
    params: Params,
    x: Array,
    h0: Array | None,
    C0: Array | None,
) -> Outcome:
    """Run a forward kernel on checked input; a missing state is zero."""
    if not isinstance(params, Params):
        raise TypeError(f"params is of type {type(params).__name__}; expected manual.Params")
    sizes = {"D": params.input_size, "H": params.hidden_size}
    x = checked("x", x, ("T", "B", "D"), sizes, params.dtype)
    zero = np.zeros((sizes["B"], sizes["H"]), params.dtype)
    h0 = zero if h0 is None else checked("h0", h0, ("B", "H"), sizes, params.dtype)
    C0 = zero if C0 is None else checked("C0", C0, ("B", "H"), sizes, params.dtype)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return in_range(kernel, params, x, h0, C0)(params, x, h0, C0)


def in_range(kernel: Forward[Outcome], params: Params, x: Array, h0: Array, C0: Array) -> Forward[Outcome]:
    """A forward kernel for this input or a stretch of it: as it is, or in the next wider type if it might overflow.

    By Cauchy-Schwarz no sum of a gate, nor a part of one, is larger than ‖x‖ ‖U‖ + ‖h‖ ‖W‖ + ‖b‖, of the whole arrays.
    No h of a row but h0 has a norm above √H. The cell state grows by 1 a step at most, which never takes it out.
    """
    if x.dtype not in LIMITS:  # it is the wider one
        return kernel
    h = max(_norm(h0), sqrt(params.hidden_size))
    bound = _norm(x) * _norm(params.U) + h * _norm(params.W) + _norm(params.b)
    if bound < LIMITS[x.dtype] or not finite((params, x, h0, C0)):  # NaN is not less
        return kernel
    return partial(_in_wider, kernel)


def _in_wider(kernel: Forward[Outcome], params: Params, x: Array, h0: Array, C0: Array) -> Outcome:
    outcome: Outcome = _cast(kernel(*_cast((params, x, h0, C0), WIDER[x.dtype])), x.dtype)
    return outcome if isinstance(outcome, States) else replace(outcome, params=params, x=x)


def _norm(array: Array) -> float:
    """The Frobenius norm, or a bound of it; infinite where the sum of the squares is."""
    if array.flags.c_contiguous:
        numbers = array.ravel()  # which copies nothing
        return sqrt(numbers.dot(numbers))
    return max(float(array.max()), -float(array.min())) * sqrt(array.size)  # an empty one lies in one piece


def backward(
    kernel: Callable[[AnyTape, Array, Array, Array], Result],
    tape: AnyTape,
    dh: Array | None,
    dh_T: Array | None,
    dC_T: Array | None,
    tapes: tuple[type, ...] = (Tape,),
) -> Result:
    """Run a backward kernel that takes these tapes on checked input; a missing upstream gradient is zero."""
    if not isinstance(tape, tapes):
        expected = " or ".join(f"manual.{kind.__name__}" for kind in tapes)
        raise TypeError(f"tape is of type {type(tape).__name__}; expected {expected}, as forward returns it")
    T, B, H = tape.h.shape
    sizes, dtype = {"T": T, "B": B, "H": H}, tape.params.dtype
    zero = np.zeros((B, H), dtype)
    dh = np.broadcast_to(zero, (T, B, H)) if dh is None else checked("dh", dh, ("T", "B", "H"), sizes, dtype)
    dh_T = zero if dh_T is None else checked("dh_T", dh_T, ("B", "H"), sizes, dtype)
    dC_T = zero if dC_T is None else checked("dC_T", dC_T, ("B", "H"), sizes, dtype)
    inputs = tape, dh, dh_T, dC_T
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = kernel(*inputs)
        if not finite(result) and finite(inputs):
            result = _cast(kernel(*_cast(inputs, WIDER[dtype])), dtype)
    return result


def finite(value: object) -> bool:
    """Whether no number in an array, or in the arrays of a structure, is infinite or NaN."""
    if isinstance(value, np.ndarray):
        # A norm is finite only if all numbers are, and costs less than to look at each; of balls it tells nothing.
        return (not value.dtype.hasobject and isfinite(_norm(value))) or bool((np.abs(value) < np.inf).all())
    return all(map(finite, value if isinstance(value, tuple) else _parts(value).values()))


def _cast(value: Any, dtype: npt.DTypeLike) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype(dtype)
    if isinstance(value, int):
        return value
    parts = {key: _cast(part, dtype) for key, part in _parts(value).items()}
    if isinstance(value, dict):
        return parts
    if isinstance(value, list | tuple):
        return type(value)(parts.values())
    copy = object.__new__(type(value))  # past the constructor, which takes float32 and float64 only
    copy.__dict__.update(parts)
    return copy


def _parts(value: Any) -> dict[Any, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, int):
        return {}
    return dict(enumerate(value)) if isinstance(value, list | tuple) else vars(value)
