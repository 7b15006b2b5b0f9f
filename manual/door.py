"""The public doors: each checks its input once, then runs a bare kernel.

A kernel that overflows although its input is finite runs once more in the next wider type, and its
result is rounded. So, where there is a wider type, the forward pass has no NaN for any finite input,
and a gradient is infinite only where its value is out of the type's range. For float64 that type is
C's long double, wider on x86-64 except under Windows, and on 64-bit ARM under Linux; elsewhere
float64 has none.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import isfinite
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from manual.checks import checked
from manual.unit import Array, CheckpointedTape, Params, States, Tape

Result = TypeVar("Result")
AnyTape = TypeVar("AnyTape", Tape, CheckpointedTape, Tape | CheckpointedTape)
Outcome = TypeVar("Outcome", Tape, CheckpointedTape, States)

WIDER: dict[Any, Any] = {np.dtype("f4"): np.float64, np.dtype("f8"): np.longdouble}


def forward(
    kernel: Callable[[Params, Array, Array, Array], Outcome],
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
    # NaN in a state stays there, so that the last one tells of all.
    outcome = _in_range(kernel, lambda outcome: (outcome.h_T, outcome.C_T), params, x, h0, C0)
    return outcome if isinstance(outcome, States) or outcome.params is params else replace(outcome, params=params, x=x)


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
    return _in_range(kernel, lambda result: result, tape, dh, dh_T, dC_T)


def _in_range(kernel: Callable[..., Result], telltale: Callable[[Result], object], *inputs: Any) -> Result:
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = kernel(*inputs)
        if not finite(telltale(result)) and finite(inputs):
            dtype = inputs[-1].dtype
            result = _cast(kernel(*_cast(inputs, WIDER[dtype])), dtype)
    return result


def finite(value: object) -> bool:
    """Whether no number in an array, or in the arrays of a structure, is infinite or NaN."""
    if isinstance(value, np.ndarray):
        # A sum is finite only if all its terms are; it costs half of looking at each, and one of squares yet less.
        numbers = value.ravel() if value.flags.c_contiguous else None  # which copies nothing
        total = value.sum() if numbers is None else numbers.dot(numbers)
        return isfinite(total) or bool((np.abs(value) < np.inf).all())  # which balls can tell too
    return all(finite(part) for part in _parts(value).values())


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
