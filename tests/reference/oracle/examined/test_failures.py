"""Every kind of failure, on the smallest run that shows it, with the command that repeats it."""

from __future__ import annotations

import shlex

import pytest

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.cases import Case, draw_case
from reference.oracle.report import Failure
from reference.oracle.trial import Trial, Which
from reference.run import Run
from tests.reference.oracle.examined.conftest import Asked
from tests.reference.oracle.examined.subject import (
    F32,
    PRINTS,
    RAISES,
    SEED,
    Subject,
    case,
    doing,
    examined,
    judging,
    right,
    wrong,
)


def test_failures_come_in_one_order_wrong_values_first(asked: Asked) -> None:
    def answer(inputs: Run) -> Observation:
        outputs = wrong(inputs).outputs
        return Observation(outputs | {"h": outputs["h"] - 1}, (PRINTS, RAISES) if len(inputs["x"]) == 3 else (PRINTS,))

    e = judging(examined(Subject(answer)), case(0, (3, 1, 2, 4)), case(1, (4, 1, 2, 3)), case(2, (5, 1, 2, 3)))
    e.note_between(Problem("unstable", "gives another h"), case(7))
    e.note_between(Problem("prints", "wrote 'b' between calls"), case(8))
    found = e.failures(shrink=False)
    assert [(failure.kind, failure.text, failure.runs) for failure in found] == [
        ("mismatch", "h, db_f", 3),
        ("raises", "ValueError: lost", 1),
        ("unstable", "gives another h", 0),
        ("prints", "wrote 'b' between calls", 0),
    ]
    assert [failure.which for failure in found] == [Which.of(case(k)) for k in (0, 0, 7, 8)]
    assert [failure.repeat for failure in found] == [e.repeat(case(k)) for k in (0, 0, 7, 8)]
    assert asked.searches == []


def test_the_first_kind_is_searched_for_longest(asked: Asked) -> None:
    e = judging(examined(Subject(doing(PRINTS, RAISES))), case(3))
    asked.smallest = case(3, (1, 1, 1, 2))
    found = e.failures(shrink=True)
    assert [(failure.kind, failure.which) for failure in found] == [
        (kind, Which.of(asked.smallest)) for kind in ("raises", "prints")
    ]
    bounds = {search["attempts"]: search["seconds"] for search in asked.searches}
    first = next(iter(e.shown))
    assert bounds == ({30: 3.0, 80: 10.0} if first == "prints" else {80: 10.0, 30: 3.0})
    assert all(search["seed"] == SEED and search["case"].number == 3 for search in asked.searches)
    assert {kind: shown[1] for kind, shown in e.shown.items()} == dict.fromkeys(("raises", "prints"), asked.smallest)


def test_wrong_values_are_searched_for_as_long_whatever_comes_first(asked: Asked) -> None:
    subject = Subject(doing(PRINTS))
    e = judging(examined(subject), case(3))
    subject.answer = lambda inputs: Observation(wrong(inputs).outputs, (PRINTS,))
    judging(e, case(4))
    assert [*e.shown] == ["prints", "mismatch"]
    e.failures(shrink=True)
    assert [(search["attempts"], search["seconds"]) for search in asked.searches] == [(80, 10.0)] * 2


def test_a_smaller_run_has_to_show_the_same_kind_of_failure(asked: Asked) -> None:
    def answer(inputs: Run) -> Observation:
        steps = len(inputs["x"])
        return Observation((wrong if steps > 1 else right)(inputs).outputs, (PRINTS,) * (steps != 2))

    e = judging(examined(Subject(answer)), case(0, (3, 1, 2, 4)))
    e.failures(shrink=True)
    mismatch, prints = (search["fails"] for search in asked.searches)
    assert [mismatch(case(0, (steps, 1, 2, 4))) for steps in (1, 2, 3)] == [False, True, True]
    assert [prints(case(0, (steps, 1, 2, 4))) for steps in (1, 2, 3)] == [True, False, True]


@pytest.mark.parametrize("kind", ["dtype", "prints"])
def test_the_smaller_run_is_called_again(asked: Asked, kind: str) -> None:
    subject = Subject(doing(Problem(kind, "as it was seen")))
    e = judging(examined(subject), case(3))
    subject.answer = doing(Problem(kind, "as it is now"))
    asked.smallest = case(3, (1, 1, 1, 2))
    (failure,) = e.failures(shrink=True)
    assert failure == Failure(kind, "as it is now", 1, Which.of(asked.smallest), e.repeat(asked.smallest))
    assert len(asked.searches) == 1
    assert [len(inputs["x"]) for inputs in subject.calls] == [3, 1]


def test_a_failure_that_does_not_come_back_stands_as_it_was_seen(asked: Asked) -> None:
    subject = Subject()
    subject.answer = lambda inputs: (doing(PRINTS) if len(subject.calls) == 2 else right)(inputs)
    e = judging(examined(subject), *[case(k) for k in range(3)])
    asked.smallest = case(1, (1, 1, 1, 2))
    for shrink in (True, False):
        (failure,) = e.failures(shrink)
        assert failure == Failure("prints", PRINTS.text, 1, Which.of(case(1)), e.repeat(case(1)))
        assert e.shown["prints"][1].sizes == (3, 1, 2, 4)


def test_values_alone_are_judged_by_a_truth() -> None:
    e = examined(Subject(lambda inputs: Observation(wrong(inputs).outputs, (PRINTS,))))
    assert e.again(case(), "mismatch").wrong == ["db_f"]
    for kind in ("dtype", "prints"):
        found = e.again(case(), kind)
        assert (found.findings, found.problems) == ((), (PRINTS,))
    e.subject.deaths = 12
    assert e.again(case(), "mismatch") == Trial(Which.of(case()))


OWN = draw_case(SEED, 3, F32)


@pytest.mark.parametrize(
    ("one", "layout", "words"),
    [
        (OWN, "manual", []),
        (case(3, (1, 1, 2, 3), OWN.regime, F32), "manual", ["--sizes", "1,1,2,3"]),
        (case(3, (99, 1, 2, 3), OWN.regime, F32), "manual", ["--sizes", "99,1,2,3"]),
        (case(3, OWN.sizes, "tiny", F32), "manual", ["--regime", "tiny"]),
        (case(3, OWN.sizes, "linear", F32), "manual", ["--regime", "linear"]),
        (OWN, "torch", ["--layout", "torch"]),
        (OWN, "keras", ["--layout", "keras"]),
        (case(3, (1, 1, 2, 3), "tiny", F32), "keras", ["--sizes", "1,1,2,3", "--regime", "tiny", "--layout", "keras"]),
    ],
)
def test_a_command_repeats_a_run(one: Case, layout: str, words: list[str]) -> None:
    target = "exec:./program with 'arguments'"
    said = examined(Subject(target=target, layout=layout)).repeat(one)
    common = ["lstm-oracle", "check", target, "--run", "3", "--seed", "5", "--dtype", "float32"]
    assert shlex.split(said) == common + words


@pytest.mark.parametrize(
    ("one", "layout", "arguments"),
    [
        (OWN, "manual", ""),
        (case(3, (1, 1, 2, 3), OWN.regime, F32), "manual", ", sizes=(1, 1, 2, 3)"),
        (case(3, (99, 1, 2, 3), OWN.regime, F32), "manual", ", sizes=(99, 1, 2, 3)"),
        (case(3, OWN.sizes, "tiny", F32), "manual", ", regime='tiny'"),
        (case(3, OWN.sizes, "linear", F32), "manual", ", regime='linear'"),
        (OWN, "torch", ", layout='torch'"),
        (OWN, "keras", ", layout='keras'"),
    ],
)
def test_what_has_no_name_is_repeated_by_a_call(one: Case, layout: str, arguments: str) -> None:
    said = examined(Subject(target=None, layout=layout)).repeat(one)
    assert said == f"check(adapter, run=3, seed=5, dtype='float32'{arguments})"
