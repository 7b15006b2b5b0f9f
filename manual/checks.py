"""The checks at the public doors: what an array must be, and the error that says what it was.

Nothing is converted: float32 and float64 are accepted, in any memory layout and byte order, and all
arrays of a call must agree. Integers, complex numbers, text and objects are refused. NaN and
infinity are values like others and propagate as IEEE 754 says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FLOATS = (np.float32, np.float64)


def checked(
    name: str,
    value: object,
    dims: tuple[str, ...],
    sizes: dict[str, int],
    dtype: np.dtype[Any] | None = None,
) -> Array:
    """The array `value`, if it has the dimensions `dims`, as `sizes` knows them, and the dtype.

    A dimension that `sizes` does not know yet is entered there, for the arguments that follow.
    """
    if value is None:
        raise TypeError(f"{name} is None; expected an array of shape {_shape(dims, sizes)}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected one without a mask: {name}.filled(value)")
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        raise ValueError(f"{name} is not rectangular; expected an array of shape {_shape(dims, sizes)}") from None
    if array.dtype.newbyteorder("=") not in (FLOATS if dtype is None else (dtype,)):
        expected = "float32 or float64" if dtype is None else f"{dtype}, the dtype of the parameters"
        raise TypeError(f"{name} has dtype {array.dtype}; expected {expected}: nothing is converted silently")
    if array.ndim != len(dims):
        raise ValueError(f"{name} has shape {array.shape}; expected {len(dims)} dimensions, {_shape(dims, sizes)}")
    for dim, size in zip(dims, array.shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise ValueError(f"{name} has shape {array.shape}; expected {_shape(dims, sizes)}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def checked_size(name: str, value: object, least: int) -> int:
    """The whole number `value`, if it is at least `least`."""
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; expected a whole number")
    if value < least:
        raise ValueError(f"{name} is {value}; expected at least {least}")
    return int(value)


def _shape(dims: tuple[str, ...], sizes: dict[str, int]) -> str:
    known = (f"{dim}={sizes[dim]}" if dim in sizes else dim for dim in dims)
    return f"({', '.join(known)}{',' if len(dims) == 1 else ''})"
