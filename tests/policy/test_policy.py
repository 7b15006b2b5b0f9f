"""The measurement of the tolerance would notice a false alarm, and tells a mistake from rounding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lstm_oracle.diagnosis.bugs import CATALOGUE, Unit
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.truth.truth import truths
from tests.lstm_oracle.known import FLOAT32, FLOAT64, known_runs
from tests.policy.honest import AMPLIFYING, DTYPES, LONG, chunks, judge_all, subjects
from tests.policy.margins import drawn, margin, mistakes
from tests.policy.report import Found, markdown

SMALL = [draw_case(0, number, FLOAT64, sizes=(4, 3, 2, 5)) for number in range(8)]  # every regime


@pytest.fixture(scope="module")
def known():
    return known_runs()[:1]  # D and H differ


def test_only_wrong_implementations_raise_an_alarm(known):
    right = {name: subjects()[name] for name in ("bptt", "bptt, sigmoid by tanh")}
    right |= {name: subject for name, subject in subjects().items() if name == "PyTorch"}  # where it is installed
    wrong = {"wrong": lambda cases: [{"h": 1.001 * found["h"]} for found in right["bptt"](cases)]}
    judged, refused = judge_all(right | wrong, SMALL)
    of_a_mistake = margin(CATALOGUE["dx_zero"], known)
    found = Found(0, judged, refused, [of_a_mistake, replace(of_a_mistake, dtype="float32")])
    assert len(judged) == len(right | wrong) * len(SMALL)
    assert [one.who for one in found.alarms] == ["wrong"] * len(SMALL)
    assert f"{len(judged)} runs of honest implementations judged, {len(SMALL)} false alarms" in markdown(found)


def test_runs_that_the_judge_refuses_are_not_counted():
    beyond = replace(SMALL[0], inputs=SMALL[0].inputs | {"dh": np.full_like(SMALL[0].inputs["dh"], 1e200)})
    judged, refused = judge_all({"bptt": subjects()["bptt"]}, [*SMALL, beyond])
    assert (len(judged), refused) == (len(SMALL), 1)


def test_runs_are_of_both_precisions_and_some_are_long_and_some_amplify_errors():
    every = [case for cases in chunks(3, 128) for case in cases]
    assert sorted(case.number for case in every) == [*range(128)]
    assert sum(case.sizes == LONG for case in every) == 8
    amplifying = [case for case in every if case.regime == AMPLIFYING]
    assert len(amplifying) == 8
    assert {case.dtype for case in amplifying} == {case.dtype for case in every} == {*DTYPES}
    assert sum(truth.loss > 32 for truth in truths(amplifying)) > 3


def test_a_mistake_is_far_above_the_tolerance_and_the_right_unit_below(known):
    wrong = margin(CATALOGUE["no_cell_carry"], known)
    right = margin(replace(CATALOGUE["no_cell_carry"], unit=Unit), known)
    assert wrong.wrong == wrong.runs == 1
    assert wrong.largest > 1e6
    assert right.wrong == 0
    assert right.largest < 1
    assert margin(CATALOGUE["misprint_23"], known) is None  # it fits no run


def test_mistakes_of_float32_are_none_in_float32():
    missing = {bug.id for bug in mistakes(FLOAT64)} - {bug.id for bug in mistakes(FLOAT32)}
    assert {"tanh_in_float32", "all_in_float32"} <= missing
    assert all(name.endswith("float32") for name in missing)


def test_mistakes_are_made_on_runs_that_are_not_empty():
    found = drawn(0, 60, FLOAT64)
    assert 40 < len(found) < 60
    assert all(0 not in case.sizes for case, _ in found)
