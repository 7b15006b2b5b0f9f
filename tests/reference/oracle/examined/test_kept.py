"""What is kept of the runs, and what is said of all of them."""

from __future__ import annotations

import numpy as np

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.cases import Case, Sizes, draw_case
from reference.oracle.examination import evidence
from reference.oracle.findings import Finding
from reference.oracle.trial import Trial, Which, judged
from reference.run import OUTPUTS, Run
from tests.reference.oracle.examined.subject import (
    F32,
    F64,
    PRINTS,
    RAISES,
    SEED,
    Subject,
    case,
    doing,
    examined,
    judging,
    narrow,
    right,
    same,
    truth,
    wrong,
)
from tests.reference.oracle.known import among_others

# What is kept of the runs.


def test_the_smallest_run_that_shows_a_failure_is_kept() -> None:
    sizes: list[Sizes] = [(3, 2, 1, 4), (2, 1, 3, 4), (1, 2, 3, 4), (4, 2, 3, 5)]
    cases = [case(k, size) for k, size in enumerate(sizes)]
    e = judging(examined(Subject(doing(PRINTS))), *cases)
    assert {kind: (which, shown.number) for kind, (which, shown) in e.shown.items()} == {
        "prints": (Which.of(cases[0]), 0)
    }
    e = judging(examined(Subject(doing(PRINTS))), *reversed(cases))
    assert e.shown["prints"][0] == Which.of(cases[2])
    assert e.shown["prints"][1] is cases[2]


def test_of_every_regime_the_smallest_telling_run_is_kept() -> None:
    order: list[Sizes] = [(3, 4, 2, 5), (4, 3, 1, 6), (3, 1, 2, 4), (1, 2, 3, 4), (3, 2, 2, 1), (2, 1, 3, 4)]
    cases = [case(k, size) for k, size in enumerate(order)]
    for answer, kept, other in ((right, "right", "wrong"), (wrong, "wrong", "right")):
        e = examined(Subject(answer))
        for most, number in ((1, 0), (2, 1), (3, 2), (6, 2)):
            judging(e, *cases[:most])
            (which, of_it) = getattr(e, kept)["ordinary"]
            assert which == Which.of(cases[number])
            assert same(of_it.inputs, cases[number].inputs)
            assert same(of_it.outputs, answer(cases[number].inputs).outputs)
            assert getattr(e, other) == {}
        judging(e, case(9, (5, 2, 3, 4), "tiny"))
        assert {*getattr(e, kept)} == {"ordinary", "tiny"}


def test_a_run_of_few_steps_or_of_like_sizes_tells_less_than_a_larger_one() -> None:
    for dull in ((2, 1, 3, 4), (3, 3, 1, 2)):
        e = judging(examined(), case(0, dull), case(1, (3, 2, 4, 7)))
        assert e.right["ordinary"][0].number == 1
    e = judging(examined(), case(0, (2, 5, 3, 4)), case(1, (2, 1, 3, 4)), case(2, (2, 1, 3, 4)))
    assert e.right["ordinary"][0].number == 1


def test_an_empty_run_and_what_is_not_finite_explain_nothing() -> None:
    e = judging(examined(), case(0, (3, 0, 2, 4)), case(1, (0, 1, 2, 3)), case(2, (3, 1, 0, 2)))
    assert (e.right, e.wrong, e.pictured) == ({}, {}, None)
    nan = Observation({"h": right(case().inputs).outputs["h"] * np.nan})
    assert judging(examined(Subject(lambda inputs: nan)), case()).wrong == {}

    def answer(inputs: Run) -> Observation:
        outputs = right(inputs).outputs
        outputs["h"][0, 0, 0] = np.inf
        return Observation(outputs)

    e = judging(examined(Subject(answer)), case())
    assert list(e.wrong["ordinary"][1].outputs) == [name for name in OUTPUTS if name != "h"]


def test_evidence_stands_alone_in_the_coarsest_precision_that_it_came_in() -> None:
    for answer, dtype in ((right, F64), (narrow, F32)):
        e, one, known = examined(Subject(answer)), case(), among_others(truth(case()))
        seen = answer(one.inputs)
        e.keep(one, known, seen, judged(one, known, seen))
        e.picture(one, known, seen, judged(one, known, seen))
        _, of_it = e.right["ordinary"]
        assert of_it.dtype is dtype
        assert {array.dtype for array in of_it.outputs.values()} == {dtype}
        assert e.pictured is not None
        for alone in (of_it.truth, e.pictured[1].truth):
            assert (alone.batch, alone.losses) == (None, known.losses)
            assert same(alone.blocks, known.blocks)


def test_without_outputs_evidence_is_in_float64() -> None:
    assert evidence(case(), truth(case()), {}).dtype is F64


def pictured(*shown: tuple[Case, Trial]) -> int:
    """The number of the run that is looked at, of these."""
    e = examined()
    for one, trial in shown:
        e.picture(one, truth(one), right(one.inputs), trial)
    assert e.pictured is not None
    kept = e.pictured[1]
    assert same(kept.inputs, draw_case(SEED, kept.which.number, F64, kept.which.sizes, "ordinary").inputs)
    assert same(kept.outputs, right(kept.inputs).outputs)
    assert kept.repeat == e.repeat(case(kept.which.number, kept.which.sizes))
    return kept.which.number


def off(number: int, ratio: float, *problems: Problem, sizes: Sizes = (3, 1, 2, 4)) -> tuple[Case, Trial]:
    """A run with an error of this multiple of what is allowed, the second of two."""
    one = case(number, sizes)
    return one, Trial(Which.of(one), (Finding("h", 0, 64, 0), Finding("C", 64 * ratio, 64, 0)), problems)


def test_the_run_to_look_at_is_a_wrong_one_or_one_that_fails_else_the_worst() -> None:
    order = [off(4, 0.1), off(3, 0.5), off(2, 0.1, PRINTS), off(1, 2, sizes=(1, 1, 2, 4)), off(0, 2)]
    order = [off(9, 0.1), *order]  # of equals the first stays
    for first in range(1, len(order)):
        for second in range(first + 1, len(order)):
            assert pictured(order[first], order[second]) == order[second][0].number
            assert pictured(order[second], order[first]) == order[second][0].number
    assert pictured(order[0], order[1]) == 9
    large, small = off(1, 2, sizes=(3, 4, 2, 5)), off(2, 3, sizes=(3, 1, 2, 4))
    assert pictured(large, small) == pictured(small, large) == 2
    large, small = off(1, 0, PRINTS, sizes=(3, 4, 2, 5)), off(2, 0, PRINTS, sizes=(3, 1, 2, 4))
    assert pictured(large, small) == pictured(small, large) == 2


def test_a_run_that_returned_nothing_is_not_looked_at() -> None:
    assert judging(examined(Subject(doing(RAISES, outputs=False))), case()).pictured is None


# What is said of all runs.


def returned(number: int, *names: str, sizes: Sizes = (3, 1, 2, 4)) -> Trial:
    return Trial(Which.of(case(number, sizes)), tuple(Finding(name, 0, 64, 0) for name in names))


def test_outputs_that_come_back_from_some_runs_alone_are_named() -> None:
    e = examined()
    raised = Trial(returned(0).which, returned(0, "h").findings, (RAISES,))
    others = ["C", "C_T", "dC0", "dU_f", "dW_f", "dW_i", "db_f", "dh0"]
    e.trials = [raised, returned(1), returned(2, "h", "dx"), returned(3, "dx", "h"), returned(4, "h", *others)]
    e.trials += [returned(5, "h")]
    e.compare_names()
    problem, shown = e.between["varying"]
    said = f"{', '.join(others)}, dx came back from only one of {returned(2).which} and {returned(4).which}"
    assert problem == Problem("varying", said)
    assert (shown.number, shown.regime, shown.sizes) == (4, "ordinary", (3, 1, 2, 4))
    assert same(shown.inputs, case(4).inputs)
    e = examined()
    e.trials = [returned(0), returned(1, "h"), returned(2, "h")]
    e.compare_names()
    assert e.between == {}


def test_a_run_is_drawn_again_in_its_own_precision() -> None:
    own = case(3, (2, 1, 3, 4), "tiny", F32)
    again = examined(dtype=F32).case(Which.of(own))
    assert (again.number, again.regime, again.dtype) == (3, "tiny", F32)
    assert same(again.inputs, own.inputs)


def test_of_each_kind_between_calls_the_first_is_kept() -> None:
    e = examined()
    e.note_between(None, case(0))
    assert e.between == {}
    e.note_between(PRINTS, case(1))
    e.note_between(Problem("prints", "wrote 'b'"), case(2))
    assert [(problem.text, one.number) for problem, one in e.between.values()] == [(PRINTS.text, 1)]


def test_empty_runs_that_are_not_taken_are_noted_once_for_each_dimension() -> None:
    empty: list[Sizes] = [(0, 1, 2, 3), (0, 2, 1, 3), (1, 0, 2, 3), (1, 2, 0, 3), (2, 1, 0, 3), (1, 2, 3, 4)]
    said = ["no steps", "no step at all", "", "no inputs", "none", ""]
    trials = [Trial(Which.of(case(k, s)), refused=text) for k, (s, text) in enumerate(zip(empty, said, strict=True))]
    e = examined()
    e.trials = trials
    e.note_refusals()
    assert e.notes == [
        "It takes no run with T=0, which is no failure: no steps.",
        "It takes no run with D=0, which is no failure: no inputs.",
    ]
    e = judging(examined(Subject(doing(RAISES))), case())
    e.trials += trials
    e.note_refusals()
    assert e.notes == []


def test_a_note_of_rows_that_are_missing() -> None:
    e = examined()
    e.trials = [Trial(Which.of(case(0, (1, 0, 2, 3))), refused="no rows")]
    e.note_refusals()
    assert e.notes == ["It takes no run with B=0, which is no failure: no rows."]
