"""The speed of the judge stays, as a ratio of CPU time within one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from lstm_oracle import judge, judge_all
from lstm_oracle.inputs.cases import draw_case
from tests.candidates import adapters


def cpu_time(work: Callable[[], object]) -> float:
    """The least seconds of CPU that this takes, of several times, the first apart."""
    taken = []
    for _ in range(4):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken[1:])


def test_runs_are_judged_together_in_a_part_of_the_time() -> None:
    cases = [draw_case(5, number, np.dtype(np.float64), (number % 5 + 1, 2, 3, 5)) for number in range(128)]
    runs = [case.inputs | adapters.right(**case.inputs) for case in cases]
    assert all(report.ok for report in judge_all(runs))
    one_by_one = cpu_time(lambda: [judge(run) for run in runs[:8]]) / 8
    together = cpu_time(lambda: [*judge_all(runs)]) / 128
    assert together < one_by_one / 2  # a quarter was measured
