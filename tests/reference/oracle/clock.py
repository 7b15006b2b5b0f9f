"""A clock that stands still, for tests of how long something took."""

from __future__ import annotations

from typing import Any


class Clock:
    """Stands for the module `time`; it goes on when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def perf_counter(self) -> float:
        return self.now

    def after(self, seconds: float, value: Any = None) -> Any:
        """What takes so many seconds to come."""
        self.now += seconds
        return value
