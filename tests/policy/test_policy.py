"""The measurement of the tolerance counts false alarms and distinguishes mistakes from rounding errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lstm_oracle.diagnosis.bugs import CATALOGUE, Unit
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.truth.truth import truths
from tests.lstm_oracle.known import FLOAT32, FLOAT64, Known, known_runs
from tests.policy.correct import AMPLIFYING, DTYPES, LONG_SIZES, chunks, judge_all, subjects
from tests.policy.margins import draw_runs, margin, mistakes
from tests.policy.report import Results, markdown

SMALL = [draw_case(0, number, FLOAT64, sizes=(4, 3, 2, 5)) for number in range(8)]  # every regime


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()[:1]  # D and H differ


def test_only_incorrect_implementations_raise_a_false_alarm(known: Known) -> None:
    names = ("bptt", "bptt, sigmoid by tanh", "PyTorch")
    correct = {name: subject for name, subject in subjects().items() if name in names}  # PyTorch may be missing
    incorrect = {"incorrect": lambda cases: [{"h": 1.001 * blocks["h"]} for blocks in correct["bptt"](cases)]}
    judged, ill_conditioned = judge_all(correct | incorrect, SMALL)
    of_a_mistake = margin(CATALOGUE["dx_zero"], known)
    results = Results(0, judged, ill_conditioned, [of_a_mistake, replace(of_a_mistake, dtype="float32")])
    assert len(judged) == len(correct | incorrect) * len(SMALL)
    assert [run.subject for run in results.false_alarms] == ["incorrect"] * len(SMALL)
    assert f"{len(judged)} runs of correct implementations were judged, with {len(SMALL)} false" in markdown(results)


def test_ill_conditioned_runs_are_left_out_and_counted() -> None:
    huge = replace(SMALL[0], inputs=SMALL[0].inputs | {"dh": np.full_like(SMALL[0].inputs["dh"], 1e200)})
    judged, ill_conditioned = judge_all({"bptt": subjects()["bptt"]}, [*SMALL, huge])
    assert (len(judged), ill_conditioned) == (len(SMALL), 1)


def test_runs_have_both_precisions_and_some_are_long_and_some_amplify_errors() -> None:
    cases = [case for chunk in chunks(3, 128) for case in chunk]
    assert sorted(case.number for case in cases) == [*range(128)]
    assert sum(case.sizes == LONG_SIZES for case in cases) == 8
    amplifying = [case for case in cases if case.regime == AMPLIFYING]
    assert len(amplifying) == 8
    assert {case.dtype for case in amplifying} == {case.dtype for case in cases} == {*DTYPES}
    assert sum(max(truth.losses.values()) > 32 for truth in truths(amplifying)) > 3


def test_a_mistake_far_exceeds_the_tolerance_and_the_correct_unit_does_not(known: Known) -> None:
    incorrect = margin(CATALOGUE["no_cell_carry"], known)
    correct = margin(replace(CATALOGUE["no_cell_carry"], unit=Unit), known)
    assert incorrect.shown == incorrect.runs == 1
    assert incorrect.largest > 1e6
    assert correct.shown == 0
    assert correct.largest < 1
    assert margin(CATALOGUE["misprint_23"], known) is None  # this mistake requires D = H


def test_computing_in_float32_is_no_mistake_in_float32() -> None:
    missing = {bug.id for bug in mistakes(FLOAT64)} - {bug.id for bug in mistakes(FLOAT32)}
    assert {"tanh_in_float32", "all_in_float32"} <= missing
    assert all(name.endswith("float32") for name in missing)


def test_mistakes_are_made_on_runs_that_are_not_empty() -> None:
    found = draw_runs(0, 60, FLOAT64)
    assert 40 < len(found) < 60
    assert all(0 not in case.sizes for case, _ in found)
