"""The parts of `judge`: how many runs at a time, who bears the time that it takes, and what a report says of a run."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from reference.oracle import judging
from reference.oracle.cases import Case
from reference.oracle.fit import Evidence
from reference.oracle.judging import Recorded, judge, judge_all, together, verdict
from reference.oracle.report import Report
from reference.oracle.trial import Which
from reference.run import OUTPUTS, Array
from tests.reference.oracle.clock import Clock
from tests.reference.oracle.known import among_others
from tests.reference.oracle.pages import recorded
from tests.reference.oracle.test_findings import truth
from tests.reference.oracle.test_recorded import RIGHT, RUN
from tests.strategies import drawn


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(judging, "time", found)
    return found


@pytest.fixture
def any_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything is a run and its own name; what is an error cannot be read."""

    def read(run: object) -> Recorded:
        if isinstance(run, Exception):
            raise run
        return Recorded(str(run), RUN, {}, 0)

    monkeypatch.setattr(judging, "recorded", read)


@pytest.fixture
def many(any_run: None, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether runs were said to be many, each time; it takes 6 s to find out all about those judged together."""
    found: list[bool] = []

    def truths(cases: Sequence[Case], many: bool) -> list[str]:
        found.append(many)
        return clock.after(2, [f"truth {k}" for k in range(len(cases))])

    def find_out(known: Sequence[str]) -> None:
        assert known == [f"truth {k}" for k in range(len(known))]
        clock.after(4)

    monkeypatch.setattr(judging, "truths", truths)
    monkeypatch.setattr(judging, "find_out", find_out)
    monkeypatch.setattr(judging, "verdict", lambda run, truth, seconds: (run.file, truth, seconds))
    return found


@pytest.fixture
def asked(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> list[Evidence]:
    """What a diagnosis is asked for; it takes 5 s and names one mistake."""
    found: list[Evidence] = []
    monkeypatch.setattr(judging, "diagnose", lambda known: clock.after(5, found.extend(known)) or [["a mistake"]])
    return found


def report_on(outputs: dict[str, Array], file: str | None = None) -> Report:
    """The report on a run that took 2 s to read, after 4 s."""
    return verdict(Recorded(file, RUN, RIGHT | outputs, 2), truth(), 4)


@pytest.mark.usefixtures("any_run")
@pytest.mark.parametrize(("each", "most"), [(2**22, judging.MOST_TOGETHER), (1, 8)])
def test_eight_runs_of_4_mi_numbers_are_as_many_as_may_be(
    each: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "MOST_TOGETHER", most)
    monkeypatch.setattr(judging, "numbers_of", lambda shape: each)
    names = [[one.file for one in some if isinstance(one, Recorded)] for some in together([*"abcdefghijklmnopqr"])]
    assert names == [[*"abcdefgh"], [*"ijklmnop"], [*"qr"]]


@pytest.mark.usefixtures("any_run")
def test_the_numbers_are_those_of_the_shape_that_a_run_is_padded_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "shape_for", lambda sizes: ("shape", sizes))
    monkeypatch.setattr(judging, "numbers_of", {("shape", RUN.sizes): 5}.__getitem__)
    monkeypatch.setattr(judging, "MOST_TOGETHER", 11)
    assert [len(some) for some in together([*"abcde"])] == [2, 2, 1]


@pytest.mark.usefixtures("any_run")
def test_as_many_runs_are_judged_together_as_their_numbers_allow_and_what_is_none_has_no_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = iter([2, 1, 3, 1, 4, 1, 1])
    monkeypatch.setattr(judging, "numbers_of", lambda shape: next(sizes))
    monkeypatch.setattr(judging, "MOST_TOGETHER", 4)
    unreadable: list[Any] = [ValueError(), TypeError()]
    names = [
        [getattr(one, "file", one) for one in some]
        for some in together([unreadable[0], "2", "1", "3", unreadable[1], "1", "4", "1", "1"])
    ]
    assert names == [[unreadable[0], "2", "1"], ["3", unreadable[1], "1"], ["4"], ["1", "1"]]


@pytest.mark.usefixtures("any_run")
def test_a_run_that_is_too_large_to_be_judged_with_another_is_judged_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_TOGETHER", 0)
    assert [len(some) for some in together([*"abc"])] == [1, 1, 1]


def test_an_error_takes_the_place_of_its_run(many: list[bool]) -> None:
    one, other = TypeError("one"), ValueError("other")
    runs: list[Any] = [one, "a", other, "b"]
    assert [*judge_all(runs)] == [one, ("a", "truth 0", 3), other, ("b", "truth 1", 3)]
    assert many == [False]


def test_each_bears_its_share_of_the_time_of_those_with_it(many: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_TOGETHER", 3)
    monkeypatch.setattr(judging, "numbers_of", lambda shape: 1)
    found: list[Any] = [*judge_all("abcd")]
    assert [seconds for _, _, seconds in found] == [2, 2, 2, 6]
    unreadable: list[Any] = [ValueError()]
    assert [*judge_all(unreadable)] == unreadable


def test_runs_are_many_by_their_number_in_all(many: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MANY", 2)
    for runs in ("a", "ab", "abc"):
        assert len([*judge_all(runs)]) == len(runs)
    assert many == [False, True, True]


@pytest.mark.usefixtures("many")
def test_a_run_that_tells_nothing_leaves_the_others_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    chaotic = ValueError("it is chaotic")

    def telling(run: Recorded, *args: Any) -> str | None:
        if run.file == "b":
            raise chaotic
        return run.file

    monkeypatch.setattr(judging, "verdict", telling)
    assert [*judge_all("abc")] == ["a", chaotic, "c"]


@pytest.mark.usefixtures("many")
def test_one_run_has_one_report_and_raises_what_is_wrong_with_it() -> None:
    assert judge("a") == ("a", "truth 0", 6)  # type: ignore[comparison-overlap]
    unreadable: Any = TypeError("no run")
    with pytest.raises(TypeError) as raised:
        judge(unreadable)
    assert raised.value is unreadable


def test_the_time_that_it_takes_to_read_a_run_is_its_own(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "read_run", lambda path: clock.after(7, recorded()))
    assert judging.recorded("run.npz").seconds == 7


def test_a_right_run_needs_no_diagnosis(asked: list[Evidence]) -> None:
    report = report_on({})
    assert report.ok
    assert (report.subject, report.dtype, report.seconds) == ("run", "float64", 6)
    assert (report.explanations, report.beginning, report.location, asked) == ((), "", "", [])
    assert [block.name for block in report.blocks] == list(OUTPUTS)
    assert [trial.which for trial in report.trials] == [Which.of(RUN)]


def test_what_is_wrong_is_named_and_explained(asked: list[Evidence]) -> None:
    wrong = {"h": RIGHT["h"] + 1, "dx": RIGHT["dx"].astype("f4"), "dC0": RIGHT["dC0"] + 1}
    report = report_on(wrong, "the run.npz")
    (failure,) = report.failures
    assert (failure.kind, failure.text, failure.runs, failure.which) == ("mismatch", "h, dC0", 1, Which.of(RUN))
    assert failure.repeat == "lstm-oracle judge 'the run.npz'"
    assert (report.subject, report.dtype, report.seconds) == ("the run.npz", "float32/float64", 11)
    assert (report.beginning, report.location) == ("h, from step 0 on", "")
    assert report.explanations == (("a mistake",),)  # type: ignore[comparison-overlap]
    (evidence,) = asked
    assert (evidence.inputs, evidence.dtype, set(evidence.outputs)) == (RUN.inputs, np.float32, set(OUTPUTS))


def test_what_nothing_explains_is_located(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "diagnose", lambda known: [])
    monkeypatch.setattr(judging, "locate", lambda known: f"in {'/'.join(known[0].outputs)} of {len(known)} run")
    report = verdict(Recorded(None, RUN, {"h": RIGHT["h"] + 1}, 0), truth(), 0)
    assert (report.explanations, report.location) == ((), "in h of 1 run")


def test_what_cannot_be_compared_is_told_beside_a_mismatch_and_is_no_evidence(asked: list[Evidence]) -> None:
    report = report_on({"C": RIGHT["C"][0], "C_T": RIGHT["C_T"][0], "dx": RIGHT["dx"] + np.nan, "h": RIGHT["h"] + 1})
    assert [failure.kind for failure in report.failures] == ["mismatch", "not_finite", "shape"]
    assert report.failures[2].text == "C has shape (2, 5); expected (T=3, B=2, H=5)"
    assert asked[0].outputs.keys() == OUTPUTS.keys() - {"C", "C_T", "dx"}
    (trial,) = report.trials
    assert ([one.block for one in trial.problems], type(trial.problems)) == (["C", "C_T", "dx"], tuple)


def test_a_run_is_kept_without_those_that_were_judged_with_it() -> None:
    outputs = RIGHT | {"h": RIGHT["h"].astype("f4"), "C": RIGHT["C"][0]}
    report = verdict(Recorded("run.npz", RUN, outputs, 0), among_others(truth()), 0)
    kept = report.kept
    assert kept is not None
    assert report.pictured is kept
    assert (kept.which, kept.inputs, kept.repeat) == (Which.of(RUN), RUN.inputs, "lstm-oracle judge run.npz")
    assert (kept.outputs.keys(), kept.outputs["h"].dtype) == (OUTPUTS.keys() - {"C"}, np.float32)
    assert (kept.truth.batch, kept.truth.blocks.keys()) == (None, truth().blocks.keys())


def test_a_run_without_a_file_is_repeated_by_no_command() -> None:
    kept = report_on({}).kept
    assert kept is not None
    assert kept.repeat == ""


def test_outputs_without_a_number_have_no_verdict() -> None:
    run = drawn((3, 0, 4, 5), "ordinary", "float64", 0)
    with pytest.raises(ValueError, match="the run has T=3 B=0 D=4 H=5, and no number in h, dh0; expected an output"):
        verdict(Recorded(None, run, {"h": np.zeros((3, 0, 5)), "dh0": np.zeros((0, 5))}, 0), truth(), 0)


def test_a_wrong_shape_alone_has_a_verdict() -> None:
    (failure,) = verdict(Recorded(None, RUN, {"h": RIGHT["h"][0]}, 0), truth(), 0).failures
    assert failure.kind == "shape"


def test_a_run_that_tells_nothing_has_no_verdict() -> None:
    with pytest.raises(ValueError, match="h is of a run on which rounding"):
        verdict(Recorded(None, RUN, RIGHT, 0), truth(loss=10**15), 0)


def test_what_a_run_may_come_as_can_be_asked_for() -> None:
    assert {*get_args(get_type_hints(judge)["run"])} == {Mapping[str, Array], str, os.PathLike[str]}
