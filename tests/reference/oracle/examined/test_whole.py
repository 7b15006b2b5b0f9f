"""A whole check: which calls are made, and what the report says; of one that keeps state, hangs or dies, too."""

from __future__ import annotations

from typing import Any

import pytest

from reference.oracle import examination
from reference.oracle.behaviour import Observation
from reference.oracle.cases import Sizes, draw_case
from reference.oracle.examination import Examination
from reference.oracle.trial import Which
from reference.run import OUTPUTS, Run
from tests.reference.oracle.examined.conftest import Asked
from tests.reference.oracle.examined.subject import (
    CRASHES,
    F64,
    HANGS,
    PRINTS,
    RAISES,
    SEED,
    Subject,
    case,
    doing,
    examined,
    judging,
    report,
    right,
    same,
    wrong,
)


def test_a_right_lstm_gets_a_report_without_failures() -> None:
    told: list[int] = []
    cases = [case(k, regime="plain") for k in range(4)]
    found = Examination(Subject(layout="torch"), SEED, F64, told.append).report(cases, shrink=True)
    assert (found.subject, found.target, found.layout) == ("the subject", "a:b", "torch")
    assert (found.dtype, found.seed, found.ok) == ("float64", SEED, True)
    assert [block.name for block in found.blocks] == list(OUTPUTS)
    assert [trial.which for trial in found.trials] == [Which.of(one) for one in cases]
    assert (found.failures, found.beginning, found.explanations, found.location) == ((), "", (), "")
    assert (found.notes, found.kept) == ((), None)
    assert found.pictured is not None
    assert found.pictured.which == Which.of(cases[0])
    assert 0 < found.seconds < 60
    assert told == [1, 1, 1, 1]


def test_a_wrong_lstm_gets_a_report_that_says_so(asked: Asked) -> None:
    named: Any = ("a mistake", "another"), ("a third",)
    asked.named = [list(bugs) for bugs in named]
    found = report(Subject(wrong))
    (failure,) = found.failures
    assert (failure.kind, failure.text, failure.runs) == ("mismatch", "db_f", 4)
    assert (found.explanations, found.beginning, found.location) == (named, "db_f", "")
    assert found.kept is not None
    assert found.kept.which == failure.which
    assert [block.name for block in found.blocks if not block.ok] == ["db_f"]


def test_what_is_wrong_is_located_where_no_mistake_is_named() -> None:
    assert report(Subject(wrong)).location == "the narrowest place"


def test_what_all_runs_tell_together_is_in_the_report() -> None:
    def answer(inputs: Run) -> Observation:
        if inputs["x"].size == 0:
            return Observation({}, (RAISES,))
        return Observation({name: a for name, a in right(inputs).outputs.items() if name != "C" or len(a) > 3})

    found = report(Subject(answer), case(0, (0, 1, 2, 3)), case(1, (3, 1, 2, 4)), case(2, (4, 1, 2, 3)))
    assert found.notes == ("It takes no run with T=0, which is no failure: ValueError: lost.",)
    (failure,) = found.failures
    assert failure.kind == "varying"
    assert failure.text.startswith("C came back from only one of run 1 ")


def test_two_runs_are_called_again_and_three_are_taken_to_pieces() -> None:
    sizes: list[Sizes] = [(0, 2, 3, 4), (2, 4, 3, 5), (3, 1, 2, 4), (4, 2, 3, 5), (2, 2, 1, 3), (1, 3, 2, 4)]
    sizes += [(2, 3, 1, 4), (3, 3, 2, 4)]
    cases = [case(k, size, "tiny") for k, size in enumerate(sizes)]
    subject = Subject()
    assert report(subject, *cases).ok
    others = [draw_case(SEED, 1_000_000 + k, F64, sizes[k], "ordinary").inputs for k in (1, 2)]
    again = [cases[1].inputs, cases[1].inputs, others[0], cases[1].inputs]
    again += [cases[2].inputs, cases[2].inputs, others[1], cases[2].inputs]
    assert all(map(same, subject.calls, again + [one.inputs for one in cases]))
    in_pieces = subject.calls[8 + 8 :]
    wholes = [k for calls in in_pieces for k, one in enumerate(cases) if calls is one.inputs]
    assert wholes == [4, 6, 7]
    assert len(in_pieces) == 3 * (1 + 3 + 2)
    assert not subject.starts


def test_what_differs_between_calls_is_a_failure_on_that_run() -> None:
    subject = Subject()

    def answer(inputs: Run) -> Observation:
        outputs = right(inputs).outputs
        outputs["h"][:] += 0.01 * len(inputs["x"]) + 0.1 * inputs["x"].shape[1]
        return Observation(outputs)

    subject.answer = answer
    cases = case(7, (2, 2, 3, 4)), case(8, (4, 3, 5, 2))
    e = examined(subject)
    e.relate(cases)
    assert {kind: found.number for kind, (_, found) in e.between.items()} == {"split": 7, "rows": 7}
    found = {failure.kind: failure for failure in report(subject, *cases).failures}
    assert [*found] == ["mismatch", "split", "rows"]
    assert found["split"].runs == 0
    assert found["split"].which == Which.of(cases[0])
    assert found["split"].text == e.between["split"][0].text
    assert "--run 7" in found["split"].repeat


# One that keeps state.


class Drifting(Subject):
    """Right on the first call after a start, and further off on each that follows."""

    def __call__(self, inputs: Run) -> Observation:
        self.calls.append(inputs)
        outputs = right(inputs).outputs
        outputs["h"] += len(self.calls) - 1 - (self.starts[-1] if self.starts and self.restarts else 0)
        return Observation(outputs)


def test_one_that_keeps_state_is_started_afresh_for_every_run() -> None:
    subject = Drifting()
    subject.restarts = True
    found = report(subject, *[case(k) for k in range(17)])
    assert found.notes == ("It keeps state, so it was started afresh for every run.",)
    assert [failure.kind for failure in found.failures] == ["keeps_state"]
    assert len(found.trials) == 15
    assert all(block.ok for block in found.blocks)
    in_pairs = [2, 4, 8, 10, 12]  # of the two runs that are called again, the last start for what follows
    assert subject.starts == [*in_pairs, *range(12, 12 + 15)]
    assert len(subject.calls) == 12 + 15


def test_one_that_keeps_state_and_cannot_be_started_afresh_may_be_wrong_for_that() -> None:
    subject = Drifting()
    found = report(subject, *[case(k, (2, 2, 3, 4)) for k in range(17)])
    assert found.notes == (
        "It keeps state, so it may be wrong for that reason alone: name it as pkg.module:adapter to have it started "
        "afresh for every run.",
    )
    assert [failure.kind for failure in found.failures] == ["mismatch", "unstable", "keeps_state"]
    assert len(found.trials) == 17
    assert len(subject.calls) == 2 * 2 + 17 + 1 + 1  # in pairs, each run, the failing one again, and to be saved


# One that hangs or dies.


def test_after_three_hangs_or_twelve_deaths_it_is_given_up() -> None:
    e = examined(Subject(doing(PRINTS, HANGS, outputs=False)))
    given_up = []
    for _ in range(3):
        e.call(case().inputs)
        given_up.append(e.given_up)
    assert given_up == [False, False, True]
    e.call(case().inputs)
    assert e.given_up
    e = examined(Subject(doing(PRINTS, RAISES, CRASHES, outputs=False)))
    for _ in range(20):
        e.call(case().inputs)
    assert not e.given_up
    for deaths in (11, 12, 13):
        e.subject.deaths = deaths
        assert e.given_up == (deaths > 11)


def test_one_that_is_given_up_is_not_called_any_more() -> None:
    subject = Subject()
    subject.deaths = 12
    found = report(subject, *[case(k, (2, 2, 3, 4)) for k in range(5)])
    assert (found.trials, found.blocks, subject.calls) == ((), (), [])
    assert found.notes == ("It hung or died so often that 5 runs were not judged.",)
    assert not found.ok


def test_the_runs_before_it_was_given_up_are_judged() -> None:
    told: list[int] = []
    subject = Subject()
    subject.answer = lambda inputs: (right if len(subject.calls) < 3 else doing(HANGS, outputs=False))(inputs)
    e = Examination(subject, SEED, F64, told.append)
    judging(e, *[case(k) for k in range(9)])
    assert [sorted(trial.kinds) for trial in e.trials] == [[], [], ["hangs"], ["hangs"], ["hangs"]]
    assert told == [1] * 5
    e.relate([case(1, (2, 2, 3, 4))])
    assert len(subject.calls) == 5


def test_a_hang_is_not_waited_for_again(asked: Asked) -> None:
    subject = Subject()
    subject.answer = lambda inputs: (doing(HANGS, outputs=False) if len(subject.calls) == 2 else right)(inputs)
    e = judging(examined(subject), *[case(k) for k in range(3)])
    (failure,) = e.failures(shrink=True)
    assert (failure.kind, failure.text, failure.runs) == ("hangs", "gave no answer", 1)
    assert failure.which == Which.of(case(1))
    assert asked.searches == []
    _, _, _, kept = e.diagnosis()
    assert kept is not None
    assert (kept.which, kept.outputs, len(subject.calls)) == (Which.of(case(1)), {}, 3)


def test_one_that_fails_is_not_taken_to_pieces() -> None:
    subject = Subject(doing(RAISES))
    e = examined(subject)
    e.relate([case(k, (2, 2, 3, 4)) for k in range(5)])
    assert len(subject.calls) == 3
    assert e.between == {}


# Many runs, which take the longest to judge here.


def test_runs_are_judged_in_chunks(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case(k, (1, 1, 1, 1)) for k in range(130)]
    for many in (129, 130, 131):
        monkeypatch.setattr(examination, "MANY", many)
        assert len(report(Subject(), *cases).trials) == 130
    assert asked.chunks == [(128, True), (2, True)] * 2 + [(128, False), (2, False)]
