"""Memory that is reused by the next pass of the same sizes.

New memory costs a page fault for every 4 KiB, and making a view takes a third of the time of a NumPy call: for one
sequence of few units, both together take longer than the arithmetic. At most MOST_WORKSPACES are kept in the pool, of
at most MOST_BYTES each.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Self

import numpy as np

from manual.checks import Array

MOST_WORKSPACES = 8  # enough for four layers, forward and backward
MOST_BYTES = 4 * 2**20

_pool: dict[tuple[Any, ...], Any] = {}


class Workspace:
    """The arrays of a pass. `key` has the constructor's arguments: sizes and a dtype.

    A pass acquires a workspace and releases it at its end. A workspace that is not released, because of an exception,
    is freed like any other object.
    """

    def __init__(self, *key: Any) -> None:
        self.key = key

    @classmethod
    def acquire(cls, *key: Any) -> Self:
        """Take a workspace of this class and key out of the pool, or make one.

        No other pass uses the same workspace, in this thread or in another: removing one from the pool is atomic.
        """
        workspace: Self | None = _pool.pop((cls, *key), None)
        return cls(*key) if workspace is None else workspace

    def release(self) -> None:
        """Put the workspace into the pool for the next pass, unless it is large."""
        if not self._is_small:
            return
        if len(_pool) >= MOST_WORKSPACES:
            _pool.clear()
        _pool[type(self), *self.key] = self

    @cached_property
    def _is_small(self) -> bool:
        """True if the arrays, not counting views of others, have at most MOST_BYTES."""
        arrays = (array for array in vars(self).values() if isinstance(array, np.ndarray))
        return sum(array.nbytes for array in arrays if array.base is None) <= MOST_BYTES


class RowViews:
    """The rows of several arrays side by side, as views that are made when they are first needed and then kept."""

    def __init__(self, *arrays: Array) -> None:
        self._arrays, self._views = arrays, list[tuple[Array, ...]]()

    def first(self, n: int) -> list[tuple[Array, ...]]:
        """Return views of the first n rows, one tuple for each row."""
        made = len(self._views)
        if made < n:
            self._views += zip(*(array[made:n] for array in self._arrays), strict=False)
        return self._views[:n]
