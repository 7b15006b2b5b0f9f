"""Many runs judged together: each is judged as it is alone, and each batch is asked once for every output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.findings import Finding, judge
from reference.oracle.together import all_judged, judge_together
from reference.oracle.trial import judged
from reference.oracle.truth import Truth
from reference.run import Array, DType
from tests.reference.oracle.test_findings import F32, F64, off, truth
from tests.strategies import drawn

TIMED = "dx", "h"
NAMES = *TIMED, "C_T", "dW_f"
LONGEST = 7  # steps of a run


class Batch:
    """Stands for runs that were computed together, each of which loses another number of units in float32."""

    def __init__(self, *steps: int) -> None:
        self.asked: list[tuple[str, list[int], DType]] = []
        self.truths = [
            replace(truth(T), loss=10.0 * (lane + 1), batch=self, lane=lane)  # type: ignore[arg-type]
            for lane, T in enumerate(steps)
        ]

    def units(self, name: str, lanes: Sequence[int], arrays: Sequence[Array], dtype: DType) -> Array:
        self.asked.append((name, [*lanes], dtype))
        alone = [self.truths[lane].units(name, array, dtype) for lane, array in zip(lanes, arrays, strict=True)]
        if name not in TIMED:
            return np.array([[worst.max()] for worst in alone])
        return np.array([np.pad(worst.max(axis=(1, 2)), (0, LONGEST - len(worst))) for worst in alone])


def outputs(T: int, **units: float) -> dict[str, Array]:
    """Outputs that are off by so many units at the second step, where they have steps."""
    wrong = off({f"{name}@1" if name in TIMED else name: error for name, error in units.items()}, T=T)
    return {name: wrong[name] for name in NAMES}


def alone(truths: Sequence[Truth], runs: Sequence[dict[str, Array]], dtype: DType | None = None) -> list[list[Finding]]:
    return [
        [judge(of, {name: array}, dtype or array.dtype)[0] for name, array in run.items()]
        for of, run in zip(truths, runs, strict=True)
    ]


def some() -> tuple[list[Truth], list[dict[str, Array]], list[Batch]]:
    """Runs of two batches and one of none, each off by more or less."""
    one, other = Batch(3, 5, 2), Batch(7, 4)
    truths = [other.truths[0], one.truths[2], truth(4), one.truths[0], other.truths[1], one.truths[1]]
    runs = [
        outputs(len(of.blocks["h"]), h=50 * k, dx=300 - 50 * k, C_T=400 * (k == 1), dW_f=700 * (k == 2))
        for k, of in enumerate(truths)
    ]
    return truths, runs, [one, other]


def test_every_run_is_judged_as_it_is_alone() -> None:
    truths, runs, _ = some()
    found = judge_together(truths, runs)
    assert found == alone(truths, runs)
    assert len({(finding.block, finding.ok) for findings in found for finding in findings}) > 6
    for finding in (finding for findings in found for finding in findings):
        assert type(finding.units) is float
        assert type(finding.step) is (int if finding.block in TIMED else type(None))


def test_every_batch_is_asked_once_for_every_output_in_every_precision() -> None:
    truths, runs, (one, other) = some()
    runs[3] = {name: array.astype(F32) for name, array in runs[3].items()}
    assert judge_together(truths, runs) == alone(truths, runs)
    assert other.asked == [(name, [0, 1], F64) for name in NAMES]
    assert sorted(one.asked, key=str) == sorted(
        [(name, [2, 1], F64) for name in NAMES] + [(name, [0], F32) for name in NAMES], key=str
    )


@pytest.mark.parametrize("own", [F32, F64])
@pytest.mark.parametrize("asked", [F32, F64])
def test_a_precision_can_be_asked_for(own: DType, asked: DType) -> None:
    truths, runs, _ = some()
    runs = [{name: array.astype(own) for name, array in run.items()} for run in runs]
    assert judge_together(truths, runs, [asked] * 6) == alone(truths, runs, asked)


def test_a_precision_can_be_asked_for_each_run() -> None:
    truths, runs, _ = some()
    mixed: list[DType] = [F32, F64] * 3
    found = judge_together(truths, runs, mixed)
    assert found == [alone([of], [run], kind)[0] for of, run, kind in zip(truths, runs, mixed, strict=True)]


def test_another_shape_is_wrong_whatever_the_batch() -> None:
    batch = Batch(3, 3, 3)
    runs: list[dict[str, Any]] = [outputs(3), *(outputs(3) | {"h": np.zeros((T, 2, 5))} for T in (2, 4))]
    found = judge_together(batch.truths, runs)
    assert [finding.ok for finding in found[0]] == [True] * 4
    assert [[finding.ok for finding in other] for other in found[1:]] == [[True, False, True, True]] * 2
    assert found == alone(batch.truths, runs)


def test_trials_are_those_of_one_by_one() -> None:
    truths, runs, _ = some()
    cases = [drawn((len(of.blocks["h"]), 2, 4, 5), "ordinary", "float64", k) for k, of in enumerate(truths)]
    raises = Problem("raises", "ValueError: lost")
    seen = [Observation(run, (raises,) * (k % 2)) for k, run in enumerate(runs)]
    seen[4] = Observation()
    known = list(zip(cases, truths, strict=True))
    assert all_judged(known, seen) == [judged(case, of, one) for (case, of), one in zip(known, seen, strict=True)]
