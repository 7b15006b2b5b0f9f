"""Contenders beside each other: turn by turn on the same work, each in a process of its own.

Three BLAS pools in one process slow each other down many times over; a machine that is busy for a
while slows one contender and not the next. So each has its process, they take turns of some
milliseconds, and what counts is the median over the rounds of the ratio within a round. A turn begins
with a call that is not timed: then caches and memory are what they are for who runs alone, and nobody
pays for what the one before has left. With one thread each, all share one CPU, and its time is what counts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from statistics import median
from typing import Any

from tests.benchmarks.contenders import Work

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


class Racer:
    """A contender's process; on one CPU if `pinned`, for a library's settings alone may not bind it."""

    def __init__(self, name: str, pinned: bool) -> None:
        self.name = name
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", name, *(["pinned"] if pinned else [])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | (ONE_THREAD if pinned else {}),
        )

    def ask(self, request: Any) -> Any:
        """Send one line, await one line."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def race(racers: list[Racer], work: Work, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Seconds a call of everyone who takes the work, by round."""
    takers = [racer for racer in racers if racer.ask(asdict(work))]
    calls = {racer: max(1, round(seconds / racer.ask(1))) for racer in takers}
    times: dict[str, list[float]] = {racer.name: [] for racer in takers}
    for k in range(rounds):
        for racer in takers[k % len(takers) :] + takers[: k % len(takers)]:
            times[racer.name].append(racer.ask(calls[racer]))
    return times


def ratio(times: dict[str, list[float]], of: str, to: str) -> float:
    """How many times as long one takes as another, the median over the rounds."""
    return median(a / b for a, b in zip(times[of], times[to], strict=True))
