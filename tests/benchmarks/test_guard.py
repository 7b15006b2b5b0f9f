"""The speed does not regress: only ratios are tested, with margins for a busy machine.

Two processes take turns of a few milliseconds, and their fastest turns are compared, in which each had a CPU to itself.
While a bound is not met, they continue for a while before the test fails.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict

import pytest

from tests.benchmarks.contenders import Work
from tests.benchmarks.race import Racer

SMALL, MIDDLE = (32, 1, 16, 16), (16, 16, 64, 128)
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
LEAST_TURNS, MOST_SECONDS = 12, 20.0

Racers = dict[str, Racer]


@pytest.fixture(scope="module")
def racers() -> Iterator[Racers]:
    found = {name: Racer(name, pinned=True) for name in ("fused", "gemms", "literal")}
    yield found
    for racer in found.values():
        racer.close()


def ratio(racers: Racers, one: str, other: str, works: tuple[Work, Work], bound: float) -> float:
    """Return the time of the fastest turn of one racer relative to that of another; stop early below the bound."""
    start, turns, best = time.perf_counter(), 0, [float("inf")] * 2
    pair = racers[one], racers[other]
    while turns < LEAST_TURNS or (best[0] / best[1] >= bound and time.perf_counter() - start < MOST_SECONDS):
        for k, (racer, work) in enumerate(zip(pair, works, strict=True)):
            if turns == 0 or one == other:
                racer.ask(asdict(work))
            best[k] = min(best[k], racer.ask(1))
        turns += 1
    return best[0] / best[1]


@DTYPES
def test_small_units_are_several_times_as_fast_as_the_literal_implementation(racers: Racers, dtype: str) -> None:
    work = Work(*SMALL, dtype, "both")
    assert ratio(racers, "fused", "literal", (work, work), 1 / 4) < 1 / 4  # measured: 1 / 12


@DTYPES
def test_a_pass_takes_a_small_multiple_of_the_time_of_its_matrix_products(racers: Racers, dtype: str) -> None:
    work = Work(*MIDDLE, dtype, "both")
    assert ratio(racers, "fused", "gemms", (work, work), 5) < 5  # measured: 2.8 to 3.7


@DTYPES
def test_the_forward_pass_is_about_as_fast_as_the_literal_implementation_or_faster(racers: Racers, dtype: str) -> None:
    work = Work(*MIDDLE, dtype, "forward")
    assert ratio(racers, "fused", "literal", (work, work), 2.5) < 2.5  # measured: 0.6 to 0.9, and 1.8 on a busy machine


def test_the_time_grows_at_most_linearly_with_the_length(racers: Racers) -> None:
    long, short = (Work(T, 4, 16, 32, "float32", "both") for T in (400, 50))
    assert ratio(racers, "fused", "fused", (long, short), 12) < 12
