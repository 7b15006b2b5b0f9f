"""Many runs compared in one call: the findings equal those of each run compared separately."""

from __future__ import annotations

import numpy as np
import pytest

from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.compare import compare_many, judge_trial, judge_trials
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.run import OUTPUTS, Array, DType
from lstm_oracle.truth.truth import Finding, Truth, truths
from lstm_oracle.verify.twins import fused_blocks
from tests.lstm_oracle.known import FLOAT32, FLOAT64, Known, known_runs

Found = list[dict[str, Array]]


def compared(truth: Truth, blocks: dict[str, Array], dtype: DType | None = None) -> list[Finding]:
    return [truth.compare(name, block, dtype) for name, block in blocks.items()]


@pytest.fixture(scope="module")
def known() -> Known:
    """Return three runs of different sizes, with their truths."""
    return known_runs()


@pytest.fixture
def found(known: Known) -> Found:
    """Return the right blocks of each run, in reverse order."""
    return [dict(reversed(fused_blocks(case).items())) for case, _ in known]


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_the_findings_on_many_runs_equal_those_on_each(dtype: DType) -> None:
    drawn = [draw_case(3, number, dtype) for number in range(40)]
    found, known = [fused_blocks(case) for case in drawn], truths(drawn)
    found[3]["h"] = found[3]["h"].astype(FLOAT32 if dtype == FLOAT64 else FLOAT64)
    found[4]["dx"] = found[4]["dx"][..., :-1]
    found[5]["δ13"] = found[5]["δ13"] * np.nan
    found[6]["dU_g"] = found[6]["dU_g"] * 1.01
    found[9]["h"] = np.pad(found[9]["h"], [(0, 0), (0, 0), (0, 1)])
    del found[7]["dW_f"], found[8]["C_T"]
    together = compare_many(known, found, [dtype] * 40)
    assert together == [compared(*one, dtype) for one in zip(known, found, strict=True)]
    wrong = {(k, one.block) for k, findings in enumerate(together) for one in findings if not one.ok}
    assert wrong == {(3, "h"), (4, "dx"), (5, "δ13"), (6, "dU_g"), (9, "h")}
    assert [one.units for k in (3, 4, 5, 9) for one in together[k] if not one.ok] == [np.inf] * 4


def test_without_dtypes_each_array_is_compared_in_its_own_precision(known: Known, found: Found) -> None:
    found[0] = {name: block.astype(FLOAT32) for name, block in found[0].items()}
    found[1]["dx"] = found[1]["dx"].astype(FLOAT32)
    found[2]["C_T"] = found[2]["C_T"] + 1e-9
    together = compare_many([truth for _, truth in known], found)
    assert together == [compared(truth, blocks) for (_, truth), blocks in zip(known, found, strict=True)]
    assert [(k, one.block) for k, findings in enumerate(together) for one in findings if not one.ok] == [(2, "C_T")]


def test_with_dtypes_each_run_is_compared_in_its_precision(known: Known, found: Found) -> None:
    dtypes, some = [FLOAT32, FLOAT64, FLOAT32], [truth for _, truth in known]
    outputs = [{name: block.astype(to) for name, block in one.items()} for one, to in zip(found, dtypes, strict=True)]
    together = compare_many(some, outputs, dtypes)
    assert together == [compared(*one) for one in zip(some, outputs, dtypes, strict=True)]
    assert all(one.ok for findings in together for one in findings)
    for findings in compare_many(some, outputs, [FLOAT64, FLOAT32, FLOAT64]):
        assert all(one.units == np.inf for one in findings)


def test_findings_are_plain_numbers(known: Known, found: Found) -> None:
    for findings in compare_many([truth for _, truth in known], found):
        steps = [one.step for one in findings if one.step is not None]
        assert {type(one.units) for one in findings} == {float}
        assert {type(step) for step in steps} == {int}
        assert 0 < len(steps) < len(findings)


def test_the_trials_of_many_cases_equal_those_of_each(known: Known, found: Found) -> None:
    outputs = [{name: block for name, block in blocks.items() if name in OUTPUTS} for blocks in found]
    outputs[1]["dx"] = outputs[1]["dx"] * 1.01
    seen = [
        Observation(outputs[0]),
        Observation(outputs[1]),
        Observation(outputs[2], (Problem(FailureKind.PRINTS, "wrote"),)),
    ]
    trials = judge_trials(known, seen)
    assert trials == [judge_trial(case, truth, one) for (case, truth), one in zip(known, seen, strict=True)]
    assert [trial.kinds for trial in trials] == [set(), {"mismatch"}, {"prints"}]
