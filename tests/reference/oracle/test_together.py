"""Runs judged together: each finding is the one that the run gets alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from reference.oracle import together
from reference.oracle.behaviour import Observation, Problem
from reference.oracle.cases import draw_case
from reference.oracle.findings import judge
from reference.oracle.ours import fused_blocks
from reference.oracle.together import all_judged, judge_together
from reference.oracle.trial import judged
from reference.oracle.truth import Batch, Truth, truths
from reference.run import OUTPUTS, Array, DType
from tests.reference.oracle.known import FLOAT32, FLOAT64, Known, known_runs

Found = list[dict[str, Array]]


@pytest.fixture(scope="module")
def runs() -> Known:
    """Three of different sizes, which were computed together."""
    return known_runs()


@pytest.fixture
def known(runs: Known) -> list[Truth]:
    return [truth for _, truth in runs]


@pytest.fixture
def found(runs: Known) -> Found:
    """The right blocks of each run, the last one first."""
    return [dict(reversed(fused_blocks(case).items())) for case, _ in runs]


def test_without_dtypes_each_array_is_judged_in_its_own(known: list[Truth], found: Found) -> None:
    found[0] = {name: block.astype(FLOAT32) for name, block in found[0].items()}
    found[1]["dx"] = found[1]["dx"].astype(FLOAT32)
    found[2]["C_T"] = found[2]["C_T"] + 1e-9
    all_findings = judge_together(known, found)
    assert all_findings == [
        [judge(truth, {name: block}, block.dtype)[0] for name, block in outputs.items()]
        for truth, outputs in zip(known, found, strict=True)
    ]
    assert [(k, one.block) for k, findings in enumerate(all_findings) for one in findings if not one.ok] == [(2, "C_T")]


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_another_dtype_than_was_asked_for_is_infinitely_wrong(known: list[Truth], found: Found, dtype: DType) -> None:
    outputs = [{"h": blocks["h"].astype(to)} for blocks, to in zip(found, (FLOAT64, FLOAT32, dtype), strict=True)]
    all_findings = judge_together(known, outputs, [dtype] * 3)
    assert [one.units == np.inf for (one,) in all_findings] == [dtype == FLOAT32, dtype == FLOAT64, False]


def test_each_run_is_judged_in_the_dtype_that_was_asked_for_it(known: list[Truth], found: Found) -> None:
    dtypes = [FLOAT32, FLOAT64, FLOAT32]
    outputs = [{name: block.astype(to) for name, block in one.items()} for one, to in zip(found, dtypes, strict=True)]
    all_findings = judge_together(known, outputs, dtypes)
    assert all_findings == [judge(*one) for one in zip(known, outputs, dtypes, strict=True)]
    assert all(finding.ok for findings in all_findings for finding in findings)


@pytest.mark.parametrize("change", [lambda h: h[..., :-1], lambda h: np.pad(h, [(0, 0), (0, 0), (0, 1)])])
def test_a_smaller_and_a_larger_array_are_infinitely_wrong(
    known: list[Truth], found: Found, change: Callable[[Array], Array]
) -> None:
    for blocks in found:  # where the truths are kept, zeros follow each run
        blocks["h"] = change(blocks["h"])
    for blocks, findings in zip(found, judge_together(known, found), strict=True):
        assert [one.block for one in findings] == list(blocks)
        assert [one.block for one in findings if one.units == np.inf] == ["h"]


def test_a_run_whose_truth_is_kept_alone_is_judged_beside_others(
    known: list[Truth], found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    found[1]["dx"] = found[1]["dx"] * 1.01
    some = [known[0], known[1].alone(), known[2]]
    by_itself: list[Truth] = []
    monkeypatch.setattr(together, "judge", lambda *args: by_itself.append(args[0]) or judge(*args))
    assert judge_together(some, found) == [judge(*one, FLOAT64) for one in zip(known, found, strict=True)]
    assert by_itself == [some[1]] * len(found[1])


def test_runs_that_were_computed_together_are_compared_at_once(
    known: list[Truth], found: Found, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, list[int], DType]] = []
    right = Batch.units

    def units(batch: Batch, name: str, lanes: Sequence[int], arrays: Sequence[Array], dtype: DType) -> Array:
        asked.append((name, [*lanes], dtype))
        return right(batch, name, lanes, arrays, dtype)

    monkeypatch.setattr(Batch, "units", units)
    lanes = [truth.lane for truth in known]
    assert len({id(truth.batch) for truth in known}) == 1
    outputs = [{"h": one["h"], "dx": one["dx"]} for one in found]
    outputs[1]["dx"] = outputs[1]["dx"].astype(FLOAT32)
    judge_together(known, outputs)
    assert asked == [("h", lanes, FLOAT64), ("dx", lanes[::2], FLOAT64), ("dx", lanes[1:2], FLOAT32)]


def test_what_is_found_is_in_plain_numbers(known: list[Truth], found: Found) -> None:
    for findings in judge_together(known, found):
        timed = [one for one in findings if one.step is not None]
        assert {type(one.units) for one in findings} == {float}
        assert {type(one.step) for one in timed} == {int}
        assert 0 < len(timed) < len(findings)


def test_a_trial_is_the_one_that_a_case_gets_alone(runs: Known, found: Found) -> None:
    outputs = [{name: block for name, block in blocks.items() if name in OUTPUTS} for blocks in found]
    outputs[1]["dx"] = outputs[1]["dx"] * 1.01
    seen = [Observation(outputs[0]), Observation(outputs[1]), Observation(outputs[2], (Problem("prints", "wrote"),))]
    trials = all_judged(runs, seen)
    assert trials == [judged(case, truth, one) for (case, truth), one in zip(runs, seen, strict=True)]
    assert [trial.kinds for trial in trials] == [set(), {"mismatch"}, {"prints"}]


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_runs_of_all_kinds_judged_together_are_judged_as_one_by_one(dtype: DType) -> None:
    drawn = [draw_case(3, number, dtype) for number in range(40)]
    found, known = [fused_blocks(case) for case in drawn], truths(drawn)
    found[3]["h"] = found[3]["h"].astype(FLOAT32 if dtype == FLOAT64 else FLOAT64)
    found[4]["dx"] = found[4]["dx"][..., :0]
    found[5]["δ13"] = found[5]["δ13"] * np.nan
    found[6]["dU_g"] = found[6]["dU_g"] * 1.01
    del found[7]["dW_f"], found[8]["C_T"]
    assert sum(truth.batch is not None for truth in known) > 30
    all_findings = judge_together(known, found, [dtype] * 40)
    assert all_findings == [judge(*one, dtype) for one in zip(known, found, strict=True)]
    assert {k for k, findings in enumerate(all_findings) if not all(finding.ok for finding in findings)} == {3, 4, 5, 6}
