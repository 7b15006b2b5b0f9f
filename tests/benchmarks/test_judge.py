"""The speed of the judge does not regress, as a ratio of CPU times within one process."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from lstm_oracle import judge, judge_all
from lstm_oracle.inputs.cases import draw_case
from tests.candidates import adapters


def cpu_time(work: Callable[[], object]) -> float:
    """Return the least CPU time in seconds of several calls, without the first."""
    seconds = []
    for _ in range(4):
        start = time.process_time()
        work()
        seconds.append(time.process_time() - start)
    return min(seconds[1:])


def test_judging_many_runs_together_is_at_least_twice_as_fast_as_one_by_one() -> None:
    cases = [draw_case(5, number, np.dtype(np.float64), (number % 5 + 1, 2, 3, 5)) for number in range(128)]
    runs = [case.inputs | adapters.right(**case.inputs) for case in cases]
    assert all(report.ok for report in judge_all(runs))
    one_by_one = cpu_time(lambda: [judge(run) for run in runs[:8]]) / 8
    together = cpu_time(lambda: [*judge_all(runs)]) / 128
    assert together < one_by_one / 2  # measured: 1 / 4
