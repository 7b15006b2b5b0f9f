"""The judge's speed stays: ratios of CPU time within one process, and how often JAX compiles."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from reference.oracle import check, truth
from reference.oracle.cases import SHAPES, Case, draw_case
from reference.oracle.findings import judge
from reference.oracle.ours import fused_blocks
from reference.oracle.together import judge_together
from reference.oracle.truth import Function, compiled, float32_errors, padded_blocks, truths
from reference.run import OUTPUTS
from tests.candidates import adapters

FLOAT64 = np.dtype(np.float64)


def cpu_time(work: Callable[[], object]) -> float:
    """The least seconds of CPU that this takes, of several times, the first apart."""
    taken = []
    for _ in range(4):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken[1:])


def small(count: int) -> list[Case]:
    """Runs of a few numbers."""
    return [draw_case(5, number, FLOAT64, (number % 5 + 1, 2, 3, 5)) for number in range(count)]


def test_runs_are_judged_together_in_a_small_part_of_the_time() -> None:
    cases = small(128)
    found = [{name: array for name, array in fused_blocks(case).items() if name in OUTPUTS} for case in cases]

    def together() -> None:
        judge_together(truths(cases, many=True), found)

    def one_by_one() -> None:
        for case, outputs in zip(cases[:8], found[:8], strict=True):
            judge(truths([case], many=True)[0], outputs, FLOAT64)

    assert cpu_time(together) / 128 < cpu_time(one_by_one) / 8 / 6  # a twentieth was measured


def test_a_run_among_many_takes_a_part_of_what_it_takes_among_few() -> None:
    cases = small(128)

    def among(many: bool) -> float:
        return cpu_time(lambda: [one.blocks["h"] for one in truths(cases, many)])

    assert among(many=True) < among(many=False) / 2  # a sixth was measured


def test_float32_is_asked_of_few_runs_that_are_right(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[Function] = Counter()
    monkeypatch.setattr(
        truth, "compiled", lambda function, spread: asked.update([function]) or compiled(function, spread)
    )
    assert check(adapters.right, max_examples=120, seed=4).ok
    assert asked[padded_blocks] > 20
    assert asked[float32_errors] <= 1  # none was measured


def test_jax_compiles_no_more_than_once_for_each_shape() -> None:
    def count() -> int:
        sizes: list[int] = [compiled(function, False)._cache_size() for function in (padded_blocks, float32_errors)]
        return sum(sizes)

    def some(seed: int) -> list[Case]:
        return [draw_case(seed, n, dtype) for n in range(40) for dtype in (FLOAT64, np.dtype(np.float32))]

    def lose(cases: list[Case]) -> None:
        assert all(truth.own_losses for truth in truths(cases))

    before = count()
    lose(some(0))
    assert count() - before <= 2 * 2 < 2 * len(SHAPES)
    after = count()
    for seed in range(1, 4):
        lose(some(seed)[:31])
    assert count() == after
