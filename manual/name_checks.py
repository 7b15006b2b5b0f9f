"""Validation of arrays that are given by name: which are missing, unknown, or of the wrong shape."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from manual.checks import Array, checked, shape_text

Dims = Mapping[str, tuple[str, ...]]


def checked_arrays(
    arrays: Mapping[str, Any], dims: Dims, optional: Collection[str], prefix: str
) -> tuple[dict[str, Array], int, int]:
    """Return the weights of an LSTM by name, without the prefix, and their sizes D and H.

    Args:
        arrays: the arrays, nested or with names joined by "/".
        dims: the dimensions of every expected array; the first one must determine H.
        optional: names that may all be missing or None, but not only some of them.
        prefix: the prefix of the names; arrays whose names do not begin with it are ignored.

    Raises:
        TypeError: an array that is not expected, or that is not float32 or float64, like the others.
        ValueError: an array that is missing, or whose shape does not fit.
    """
    given = _select(arrays, dims, optional, prefix)
    sizes = {"1": 1}
    found: dict[str, Array] = {}
    for name in (name for name in dims if name in given):
        full_name, dtype = prefix + name, next(iter(found.values())).dtype if found else None
        array = found[name] = checked(full_name, array_of(full_name, given[name]), dims[name], sizes, dtype)
        H = sizes["H"] if "H" in sizes else sizes["4H"] // 4
        D = sizes.get("D", sizes.get("D+H", H) - H)
        if sizes.get("4H", 4 * H) != 4 * H or D < 0 or H < 1:
            limits = "with D ≥ 0 and H ≥ 1" if "D+H" in dims[name] else "with H ≥ 1"
            raise ValueError(f"{full_name} has shape {array.shape}; expected {shape_text(dims[name], {})} {limits}")
        sizes |= {"H": H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H}
    return found, D, H


def _select(arrays: Mapping[str, Any], dims: Dims, optional: Collection[str], prefix: str) -> dict[str, Any]:
    """Return the values by name, without the prefix, after checking that no name is unknown and none missing."""
    expected = ", ".join(prefix + name for name in dims)
    if not isinstance(arrays, Mapping):
        raise TypeError(f"arrays is of type {type(arrays).__name__}; expected a mapping with {expected}")
    prefixed = {name: value for name, value in flat(arrays) if name.startswith(prefix) and value is not None}
    given = {name.removeprefix(prefix): value for name, value in prefixed.items()}
    if unknown := [name for name in given if name not in dims]:
        found = dict.fromkeys(name.removesuffix(own) for name in unknown for own in dims if name.endswith(own))
        hint = f"; did you mean prefix={' or '.join(repr(prefix + more) for more in found)}?" if found else ""
        raise TypeError(f"{prefix}{unknown[0]} does not belong to this layout; expected {expected}{hint}")
    all_optional_missing = given.keys().isdisjoint(optional)
    required = [name for name in dims if not (all_optional_missing and name in optional)]
    if missing := [prefix + name for name in required if name not in given]:
        raise ValueError(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; expected {expected}")
    return given


def flat(arrays: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and values, with the names of nested mappings joined by "/"."""
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}/")
        else:
            yield f"{prefix}{name}", value


def array_of(name: str, value: Any) -> Any:
    """Return the value as a NumPy array, or unchanged if it is a ragged list, which `checked` refuses.

    Raises:
        TypeError: the value's own conversion to NumPy fails.
    """
    try:
        return value if isinstance(value, np.ndarray) else np.asarray(value)
    except ValueError:
        return value
    except Exception as error:
        raise TypeError(f"{name} cannot be read as an array: {error}") from None
