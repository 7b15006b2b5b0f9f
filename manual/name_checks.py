"""Arrays by name, as a user has them: which are missing, unknown, or do not fit together, and what they should be."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from manual.checks import Array, checked

Dims = Mapping[str, tuple[str, ...]]


def fitting(
    arrays: Mapping[str, Any], dims: Dims, optional: Collection[str], prefix: str
) -> tuple[dict[str, Array], int, int]:
    """The arrays by their names in `dims`, of the dimensions there; D and H.

    Args:
        arrays: nested, or with names joined by "/".
        dims: what is expected, the array that gives H first.
        optional: these may be missing, or None, if all of them are.
        prefix: what the names begin with; others that do not are left alone.
    """
    given = _named(arrays, dims, optional, prefix)
    sizes: dict[str, int] = {"directions": 1}
    found: dict[str, Array] = {}
    for name in (name for name in dims if name in given):
        called, dtype = prefix + name, next(iter(found.values())).dtype if found else None
        array = found[name] = checked(called, array_of(called, given[name]), dims[name], sizes, dtype)
        H = sizes["H"] if "H" in sizes else sizes["4H"] // 4
        D = sizes.get("D", sizes.get("D+H", H) - H)
        if sizes.get("4H", 4 * H) != 4 * H or D < 0 or H < 1:
            raise ValueError(
                f"{called} has shape {array.shape}; expected ({', '.join(dims[name])}) of some D and H > 0"
            )
        sizes |= {"H": H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H}
    return found, D, H


def _named(arrays: Mapping[str, Any], dims: Dims, optional: Collection[str], prefix: str) -> dict[str, Any]:
    """The values by name: all that are not optional, and all that are or none."""
    expected = ", ".join(prefix + name for name in dims)
    if not isinstance(arrays, Mapping):
        raise TypeError(f"arrays is of type {type(arrays).__name__}; expected a mapping with {expected}")
    under = {name: value for name, value in flat(arrays) if name.startswith(prefix) and value is not None}
    given = {name.removeprefix(prefix): value for name, value in under.items()}
    if unknown := [name for name in given if name not in dims]:
        begins = dict.fromkeys(name.removesuffix(own) for name in unknown for own in dims if name.endswith(own))
        hint = "".join(f"; or say prefix={prefix + begin!r}" for begin in begins)
        raise TypeError(f"{prefix}{unknown[0]} is no array of this layout; expected {expected}{hint}")
    none = given.keys().isdisjoint(optional)
    if missing := [prefix + name for name in dims if name not in given and not (none and name in optional)]:
        raise ValueError(f"{', '.join(missing)} missing; expected {expected}")
    return given


def flat(arrays: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Names, those of nested mappings joined by "/", and values."""
    for name, value in arrays.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{above}{name}/")
        else:
            yield f"{above}{name}", value


def array_of(name: str, value: Any) -> Any:
    """What `checked` can look at, where a package's own array refuses to become NumPy's."""
    try:
        return value if isinstance(value, np.ndarray) else np.asarray(value)
    except ValueError:
        return value
    except Exception as error:
        raise TypeError(f"{name} cannot be read as an array: {error}") from None
