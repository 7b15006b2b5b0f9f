"""Compares contenders on the same work in turns, each in a process of its own.

Three BLAS thread pools in one process slow one another down many times over, and a machine that is busy for a while
slows one contender and not the next. So each contender has its own process, they take turns of some milliseconds, and
the result is the median over all rounds of the ratio within a round. A turn begins with a call that is not timed, so
that caches and memory are those of a contender that runs alone. With one thread each, all share one CPU, and CPU time
is measured.
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
    """The process of a contender, on one CPU if `pinned`, because a library may ignore settings of its threads."""

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
        """Send one request and wait for the answer."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        self.process.communicate()


def race(racers: list[Racer], work: Work, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Return the seconds per call in every round, of all contenders that support the work."""
    entrants = [racer for racer in racers if racer.ask(asdict(work))]
    calls = {racer: max(1, round(seconds / racer.ask(1))) for racer in entrants}
    times: dict[str, list[float]] = {racer.name: [] for racer in entrants}
    for k in range(rounds):
        for racer in entrants[k % len(entrants) :] + entrants[: k % len(entrants)]:
            times[racer.name].append(racer.ask(calls[racer]))
    return times


def ratio(times: dict[str, list[float]], of: str, to: str) -> float:
    """Return the time of one contender relative to another, the median over the rounds."""
    return median(a / b for a, b in zip(times[of], times[to], strict=True))
