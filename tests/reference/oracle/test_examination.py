"""One check: which calls are made, what is kept of each, and what the report says; with truths written by hand."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from reference.oracle import examination
from reference.oracle.behaviour import Observation, Problem
from reference.oracle.candidate import Candidate
from reference.oracle.cases import Case, Regime, Sizes, draw_case
from reference.oracle.diagnosis import Evidence
from reference.oracle.examination import Examination, evidence
from reference.oracle.findings import Finding
from reference.oracle.report import Failure, Report
from reference.oracle.trial import Trial, Which, judged
from reference.oracle.truth import Truth
from reference.run import OUTPUTS, Array, Run
from tests.candidates import adapters
from tests.reference.oracle.known import truth_of_losses

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)
SEED = 5
PRINTS, RAISES = Problem("prints", "wrote 'a' during the call"), Problem("raises", "ValueError: lost")
HANGS, CRASHES = Problem("hangs", "gave no answer"), Problem("crashes", "died of SIGSEGV")
Answer = Callable[[Run], Observation]


def case(number: int = 0, sizes: Sizes = (3, 1, 2, 4), regime: Regime = "ordinary", dtype: Any = F64) -> Case:
    return draw_case(SEED, number, dtype, sizes, regime)


def truth(of: Case) -> Truth:
    """What the hand derivation says, each block of a size at which rounding is none of these tests' matter."""
    blocks: dict[str, Array] = adapters.right(**{name: array.astype(F64) for name, array in of.inputs.items()})
    scales = {name: np.array(10 * np.max(np.abs(a), initial=1)) for name, a in blocks.items()}
    return truth_of_losses(of, blocks, scales, dict.fromkeys(blocks, 0.0))


def among_others(of: Case) -> Truth:
    """The same, computed together with more that need not be kept."""
    found = truth(of)
    vars(found)["batch"] = "many others"
    return found


def right(inputs: Run) -> Observation:
    return Observation(adapters.right(**inputs))


def wrong(inputs: Run) -> Observation:
    """The first gate's bias has the wrong gradient."""
    outputs = adapters.right(**inputs)
    return Observation(outputs | {"db_f": outputs["db_f"] + 1})


def narrow(inputs: Run) -> Observation:
    """Right outputs, of which h comes in float32."""
    outputs = right(inputs).outputs
    return Observation({"h": outputs["h"].astype(F32), "C": outputs["C"]})


def doing(*problems: Problem, outputs: bool = True) -> Answer:
    """Right outputs, or none, and these problems."""
    return lambda inputs: Observation(right(inputs).outputs if outputs else {}, problems)


class Subject(Candidate):
    """A candidate that answers so; it notes its calls, and at how many of them it was started afresh."""

    def __init__(self, answer: Answer = right, target: str | None = "a:b", layout: str = "manual") -> None:
        super().__init__("the subject", target, layout)
        self.answer, self.restarts = answer, False
        self.calls: list[Run] = []
        self.starts: list[int] = []

    def __call__(self, inputs: Run) -> Observation:
        self.calls.append(inputs)
        return self.answer(inputs)

    def restart(self) -> bool:
        self.starts.append(len(self.calls))
        return self.restarts


class Asked:
    """What other parts of the oracle were asked for."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, bool]] = []
        self.searches: list[dict[str, Any]] = []
        self.diagnosed: list[Sequence[Evidence]] = []
        self.located: list[Sequence[Evidence]] = []
        self.named: list[Any] = []
        self.smallest: Case | None = None

    def truths_ahead(self, chunks: Iterable[Sequence[Case]], many: bool) -> Iterator[list[tuple[Case, Truth]]]:
        for chunk in chunks:
            self.chunks.append((len(chunk), many))
            yield [(one, truth(one)) for one in chunk]

    def search(self, fails: Callable[[Case], bool], start: Case, seed: int, **bounds: Any) -> Case:
        self.searches.append({"fails": fails, "case": start, "seed": seed, **bounds})
        return self.smallest or start

    def diagnose(self, known: Sequence[Evidence]) -> list[Any]:
        self.diagnosed.append(known)
        return self.named

    def locate(self, known: Sequence[Evidence]) -> str:
        self.located.append(known)
        return "the narrowest place"


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(examination, "truths", lambda cases: [among_others(one) for one in cases])
    monkeypatch.setattr(examination, "truths_ahead", asked.truths_ahead)
    monkeypatch.setattr(examination, "smallest", asked.search)
    monkeypatch.setattr(examination, "diagnose", asked.diagnose)
    monkeypatch.setattr(examination, "locate", asked.locate)
    return asked


def examined(subject: Subject | None = None, dtype: Any = F64) -> Examination:
    return Examination(subject or Subject(), SEED, dtype, lambda runs: None)


def report(subject: Subject, *cases: Case, shrink: bool = False) -> Report:
    return examined(subject).report(cases or [case(k) for k in range(4)], shrink)


def judging(e: Examination, *cases: Case) -> Examination:
    """The same after it judged these cases."""
    e.judge([(one, truth(one)) for one in cases])
    return e


def same(one: Run, other: Run) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


# A whole check.


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
        e, one, known = examined(Subject(answer)), case(), among_others(case())
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


# Every kind of failure, on the smallest run that shows it.


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


# The diagnosis.


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


# How a run is repeated.

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


# Many runs, which take the longest to judge here.


def test_runs_are_judged_in_chunks(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case(k, (1, 1, 1, 1)) for k in range(130)]
    for many in (129, 130, 131):
        monkeypatch.setattr(examination, "MANY", many)
        assert len(report(Subject(), *cases).trials) == 130
    assert asked.chunks == [(128, True), (2, True)] * 2 + [(128, False), (2, False)]
