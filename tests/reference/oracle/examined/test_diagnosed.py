"""The diagnosis: which runs it is made of."""

from __future__ import annotations

import numpy as np
import pytest

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.cases import Regime
from reference.oracle.trial import Which
from reference.run import OUTPUTS, Run
from tests.reference.oracle.examined.conftest import Asked
from tests.reference.oracle.examined.subject import (
    PRINTS,
    Answer,
    Subject,
    case,
    doing,
    examined,
    judging,
    right,
    same,
    truth,
    wrong,
)


def test_a_diagnosis_is_made_of_the_failing_run_first_then_of_wrong_and_right_ones(asked: Asked) -> None:
    subject = Subject()
    e = examined(subject)
    shown: list[tuple[Answer, Regime]] = [(right, "plain"), (wrong, "tiny"), (wrong, "linear")]
    for number, (answer, regime) in enumerate(shown):
        subject.answer = answer
        judging(e, case(number, regime=regime))
    begins, explanations, location, kept = e.diagnosis()
    assert (begins, explanations, location) == ("db_f", (), "the narrowest place")
    (known,) = asked.diagnosed
    assert asked.located == [known]
    cases = case(1, regime="tiny"), case(1, regime="tiny"), case(2, regime="linear"), case(0, regime="plain")
    assert [next(k for k, one in enumerate(cases) if same(e.inputs, one.inputs)) for e in known] == [0, 0, 2, 3]
    assert kept is not None
    assert (kept.which, kept.repeat) == (Which.of(cases[0]), e.repeat(cases[0]))
    assert same(kept.inputs, cases[0].inputs)
    assert same(kept.outputs, wrong(kept.inputs).outputs)
    assert same(kept.truth.blocks, truth(cases[0]).blocks)
    assert kept.truth.batch is None


@pytest.mark.parametrize("kind", ["dtype", "prints"])
def test_a_failure_besides_wrong_values_is_not_explained(asked: Asked, kind: str) -> None:
    e = judging(examined(Subject(doing(Problem(kind, "as it was seen")))), case(1))
    begins, explanations, location, kept = e.diagnosis()
    assert (begins, explanations, location, asked.diagnosed) == ("", (), "", [])
    assert kept is not None
    assert (kept.which, {*kept.outputs}) == (Which.of(case(1)), {*OUTPUTS})
    assert examined().diagnosis() == ("", (), "", None)


def test_wrong_values_are_what_is_diagnosed_whatever_else_was_seen(asked: Asked) -> None:
    subject = Subject(doing(PRINTS))
    e = judging(examined(subject), case(1))
    subject.answer = wrong
    _, _, _, kept = judging(e, case(2)).diagnosis()
    assert kept is not None
    assert kept.which == Which.of(case(2))


def test_what_is_not_finite_now_is_left_out_of_the_diagnosis(asked: Asked) -> None:
    subject = Subject(wrong)
    e = judging(examined(subject), case(1))
    broken: list[str] = []

    def answer(inputs: Run) -> Observation:
        outputs = wrong(inputs).outputs
        return Observation({name: array * (np.nan if name in broken else 1) for name, array in outputs.items()})

    subject.answer = answer
    for names, begins in ((["h"], "db_f"), ([*OUTPUTS], "")):
        broken[:] = names
        found, _, _, kept = e.diagnosis()
        assert found == begins
        assert kept is not None
        assert {*kept.outputs} == {*OUTPUTS}
    assert [len(known) for known in asked.diagnosed] == [2, 1]
    assert [*asked.diagnosed[0][0].outputs] == [name for name in OUTPUTS if name != "h"]


def test_one_that_was_given_up_is_diagnosed_by_what_was_seen(asked: Asked) -> None:
    subject = Subject(wrong)
    e = judging(examined(subject), case(1))
    subject.deaths = 12
    begins, _, _, kept = e.diagnosis()
    assert begins == ""
    assert kept is not None
    assert kept.outputs == {}
    assert [len(known) for known in asked.diagnosed] == [1]
    assert len(subject.calls) == 1
