"""Room that a pass leaves to the next one of the same sizes.

Memory that is taken anew costs a page fault every 4 KiB, and a view of it a third of a call of NumPy: for one sequence
of few units that is more than what is computed there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from manual.unit import Array

MOST = 8  # rooms at a time: those of four layers, there and back

Room = TypeVar("Room")
_left: dict[tuple[Any, ...], Any] = {}


def taken(make: Callable[..., Room], *sizes: Any) -> Room:
    """What was left of these sizes, or else made of them. No other pass has it, in this thread or another."""
    room: Room | None = _left.pop((make, *sizes), None)  # one call, between whose parts no thread comes
    return make(*sizes) if room is None else room


def leave(room: object, *sizes: Any) -> None:
    """Leave what was taken; a pass that ends before its time, by an error or forgotten, takes it along."""
    if len(_left) >= MOST:
        _left.clear()
    _left[type(room), *sizes] = room


class Rows:
    """The rows of some arrays side by side; they become views when they are first asked for, and stay."""

    def __init__(self, *arrays: Array) -> None:
        self.arrays, self.made = arrays, list[tuple[Array, ...]]()

    def first(self, n: int) -> list[tuple[Array, ...]]:
        """Those of the first n rows."""
        if len(self.made) < n:
            self.made += zip(*(array[len(self.made) : n] for array in self.arrays), strict=False)
        return self.made[:n]
