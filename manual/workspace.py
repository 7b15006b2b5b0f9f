"""Room that a pass leaves to the next one of the same sizes.

Memory that is taken anew costs a page fault every 4 KiB, and to make a view of it takes a third of a call of NumPy:
for one sequence of few units that is more than what is computed there. At most MOST rooms stay, of LARGEST bytes of
numbers each.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from manual.unit import Array

MOST = 8  # those of four layers, there and back
LARGEST = 4 * 2**20

_left: dict[tuple[Any, ...], Any] = {}


class Room:
    """Arrays for a pass of these sizes; one that ends before its time, by an error or forgotten, takes them along."""

    def __init__(self, *sizes: Any) -> None:
        self.sizes = sizes

    @classmethod
    def taken(cls, *sizes: Any) -> Self:
        """What was left of these sizes, or else a new one. No other pass has it, in this thread or another."""
        room: Self | None = _left.pop((cls, *sizes), None)  # one call, between whose parts no thread comes
        return cls(*sizes) if room is None else room

    def leave(self) -> None:
        """Leave it to the next pass, if it is small."""
        if not self.small:
            return
        if len(_left) >= MOST:
            _left.clear()
        _left[type(self), *self.sizes] = self

    @cached_property
    def small(self) -> bool:
        """Whether its arrays, views of others left out, are small."""
        arrays = (array for array in vars(self).values() if isinstance(array, np.ndarray))
        return sum(array.nbytes for array in arrays if array.base is None) <= LARGEST


class Rows:
    """The rows of some arrays side by side; they become views when they are first asked for, and stay."""

    def __init__(self, *arrays: Array) -> None:
        self.arrays, self.made = arrays, list[tuple[Array, ...]]()

    def first(self, n: int) -> list[tuple[Array, ...]]:
        """Those of the first n rows."""
        if len(self.made) < n:
            self.made += zip(*(array[len(self.made) : n] for array in self.arrays), strict=False)
        return self.made[:n]
