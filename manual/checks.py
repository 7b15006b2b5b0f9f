"""Validation of arguments, with errors that say what was given and what was expected.

Arrays are never converted to another dtype: all arrays of a call are float32, or all are float64, in any memory layout
and byte order. Integers, complex numbers, text and objects are refused. NaN and infinity are accepted and propagate as
IEEE 754 says.
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
    """Return an argument as an array in native byte order, without a copy if possible.

    Args:
        name: the name of the argument, for errors.
        value: the argument.
        dims: its dimensions by name; "1" is an axis of length 1.
        sizes: the sizes of the dimensions that are known so far; new ones are added for the arguments that follow.
        dtype: the dtype of the parameters, if they are known; otherwise float32 or float64.

    Raises:
        TypeError: the argument is missing, masked, or of another dtype.
        ValueError: the argument is not rectangular, or its shape does not fit.
    """
    if value is None:
        raise TypeError(f"{name} is None; expected an array of shape {shape_text(dims, sizes)}")
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected an array without a mask, such as {name}.filled(value)")
    try:
        array = np.asarray(value)
    except ValueError:
        raise ValueError(
            f"{name} is not a rectangular array; expected an array of shape {shape_text(dims, sizes)}"
        ) from None
    if array.dtype.newbyteorder("=") not in (FLOATS if dtype is None else (dtype,)):
        expected = "float32 or float64" if dtype is None else f"{dtype}, the dtype of the parameters"
        raise TypeError(f"{name} has dtype {array.dtype}; expected {expected} (arrays are never converted implicitly)")
    fits = array.ndim == len(dims)
    for dim, size in zip(dims, array.shape, strict=False):
        fits = fits and sizes.setdefault(dim, size) == size
    if not fits:
        raise ValueError(f"{name} has shape {array.shape}; expected {shape_text(dims, sizes)}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def checked_size(name: str, value: object, least: int) -> int:
    """Return an argument as an int, or raise TypeError or ValueError unless it is an integer of at least `least`."""
    expected = f"expected an integer ≥ {least}"
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}; {expected}")
    if value < least:
        raise ValueError(f"{name} is {value}; {expected}")
    return int(value)


def shape_text(dims: tuple[str, ...], sizes: dict[str, int]) -> str:
    """Return a shape such as "(T, B=2, D=3)", with the sizes that are known."""
    known = (f"{dim}={sizes[dim]}" if dim in sizes and not dim.isdigit() else dim for dim in dims)
    return f"({', '.join(known)}{',' if len(dims) == 1 else ''})"
