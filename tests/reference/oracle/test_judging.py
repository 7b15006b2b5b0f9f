"""Recorded runs: how they are read, which are refused, and what the report says; with truths written by hand."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reference.oracle import judging
from reference.oracle.cases import Case, Sizes
from reference.oracle.files import RunFileError, write_run
from reference.oracle.judging import Recorded, judge, judge_all, recorded, together
from reference.oracle.padding import numbers_of, shape_for
from reference.oracle.trial import Which
from reference.run import INPUTS, OUTPUTS, Array
from tests.reference.oracle.test_examination import Asked, case, right, truth, wrong

SIZES: Sizes = (3, 1, 2, 4)
NUMBERS = numbers_of(shape_for(SIZES))


def run(outputs: Any = right, sizes: Sizes = SIZES, **changed: Any) -> dict[str, Any]:
    """A recorded run; what is changed to None is left out."""
    inputs = case(0, sizes).inputs
    found = inputs | outputs(inputs).outputs | changed
    return {name: array for name, array in found.items() if array is not None}


class Judge(Asked):
    """The other parts of the oracle, which note what they are asked for, and how much rounding each run has."""

    def __init__(self) -> None:
        super().__init__()
        self.many: list[bool] = []
        self.loss = 0.0

    def truths(self, cases: Sequence[Case], many: bool) -> list[Any]:
        self.many.append(many)
        return [replace(truth(one), loss=self.loss, batch="many others") for one in cases]  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Judge:
    asked = Judge()
    monkeypatch.setattr(judging, "truths", asked.truths)
    monkeypatch.setattr(judging, "diagnose", asked.diagnose)
    monkeypatch.setattr(judging, "locate", asked.locate)
    return asked


# The report.


def test_a_right_run_gets_a_report_without_failures(asked: Judge) -> None:
    found = judge(run())
    assert (found.subject, found.dtype, found.ok) == ("run", "float64", True)
    assert [(block.name, block.ok) for block in found.blocks] == [(name, True) for name in OUTPUTS]
    assert (found.failures, found.explanations, found.beginning, found.location) == ((), (), "", "")
    assert asked.diagnosed == asked.located == []
    (trial,) = found.trials
    assert trial.which == Which(0, "recorded", SIZES, "float64")
    assert found.kept is not None
    assert found.kept is found.pictured
    assert (found.kept.which, found.kept.repeat, found.kept.truth.batch) == (trial.which, "", None)
    assert all(np.array_equal(found.kept.inputs[name], run()[name]) for name in INPUTS)
    assert all(np.array_equal(found.kept.outputs[name], run()[name]) for name in OUTPUTS)


def test_wrong_values_are_named_or_located(asked: Judge) -> None:
    found = judge(run(wrong))
    (failure,) = found.failures
    assert (failure.kind, failure.text, failure.runs) == ("mismatch", "db_f", 1)
    assert (failure.which, failure.repeat) == (found.trials[0].which, "")
    assert (found.beginning, found.explanations, found.location) == ("db_f", (), "the narrowest place")
    ((evidence,),) = asked.diagnosed
    assert asked.located == [[evidence]]
    assert {*evidence.outputs} == {*OUTPUTS}
    named: Any = ("a mistake", "another"), ("a third",)
    asked.named = [list(bugs) for bugs in named]
    found = judge(run(wrong))
    assert (found.explanations, found.location) == (named, "")
    assert len(asked.located) == 1


def test_of_each_kind_of_failure_the_first_is_told_wrong_values_before_all(asked: Judge) -> None:
    broken: dict[str, Any] = {"C": np.zeros((1, 2)), "dx": np.zeros(3)}
    outputs = run()
    for name in ("h", "dC0"):
        broken[name] = outputs[name].copy()
        broken[name][..., 1:] = np.nan
    found = judge(run(wrong, **broken))
    assert [failure.kind for failure in found.failures] == ["mismatch", "not_finite", "shape"]
    said = [failure.text for failure in found.failures]
    assert said[0] == "h, db_f, dC0"
    assert said[1].startswith("h is not finite in 9 of 12 values, the first nan at ")
    assert said[2] == "C has shape (1, 2); expected (T=3, B=1, H=4)"
    ((evidence,),) = asked.diagnosed
    assert {*evidence.outputs} == {*OUTPUTS} - {*broken}
    (trial,) = found.trials
    assert isinstance(trial.problems, tuple)
    assert [problem.kind for problem in trial.problems] == ["not_finite", "shape", "shape", "not_finite"]
    found = judge(run(dx=np.zeros(3)))
    assert [failure.kind for failure in found.failures] == ["shape"]
    assert (found.beginning, found.location, len(asked.diagnosed)) == ("", "", 1)


def test_outputs_may_come_in_another_precision_than_inputs(asked: Judge) -> None:
    narrow: dict[str, Any] = {name: run()[name].astype(np.float32) for name in OUTPUTS}
    single = judge(run() | narrow)
    assert (single.ok, single.dtype) == (True, "float32")
    both = judge(run(h=narrow["h"]))
    assert (both.ok, both.dtype) == (True, "float32/float64")
    wide = judge(run() | {name: run()[name].astype(np.float32) for name in INPUTS})
    assert [failure.kind for failure in wide.failures] == ["mismatch"]


def test_a_file_is_the_subject_and_can_be_judged_again(tmp_path: Path) -> None:
    for name in ("a run.npz", "folder"):
        write_run(tmp_path / name, run(wrong))
        for file in (tmp_path / name, str(tmp_path / name)):
            found = judge(file)
            assert found.subject == str(file)
            assert found.kept is not None
            assert found.failures[0].repeat == found.kept.repeat == judging.repeat(str(file))
    assert judging.repeat("a run.npz") == "lstm-oracle judge 'a run.npz'"


def ticking(monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
    """A clock on which so much time passes from one look to the next."""
    looks = iter([0, *accumulate(seconds)])
    monkeypatch.setattr(judging, "time", SimpleNamespace(perf_counter=lambda: next(looks)))


def test_a_report_takes_the_time_to_read_a_run_and_to_judge_it_and_its_share_of_the_truths(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ticking(monkeypatch, 1, 0, 10, 0, 100)
    assert judge(run()).seconds == 111
    ticking(monkeypatch, 1, 0, 2, 0, 0, 10, 0, 100, 0, 200)  # the third is not even read to its end
    first, second, third = judge_all([run(), run(), {}])
    assert isinstance(third, ValueError)
    assert not isinstance(first, Exception)
    assert not isinstance(second, Exception)
    assert (first.seconds, second.seconds) == (1 + 5 + 100, 2 + 5 + 200)


# Many runs.


def test_each_run_gets_its_report_or_its_error_in_its_place() -> None:
    found = list(judge_all([run(wrong), {}, run(x=None), run(), run(h=np.ma.zeros((3, 1, 4)))]))
    assert [type(one).__name__ for one in found] == ["Report", "ValueError", "ValueError", "Report", "TypeError"]
    assert [getattr(one, "ok", None) for one in found] == [False, None, None, True, None]
    assert [type(one) for one in judge_all([{}])] == [ValueError]
    assert list(judge_all([])) == []


def test_so_many_runs_may_pay_for_another_shape(asked: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    for many in (1, 2, 3):
        monkeypatch.setattr(judging, "MANY", many)
        list(judge_all([run(), {}]))
    assert asked.many == [True, True, False]


def groups(*runs: Any) -> list[list[bool]]:
    """For each group that is judged together, which of it could be read."""
    return [[isinstance(one, Recorded) for one in some] for some in together(runs)]


def test_runs_are_read_together_up_to_so_many_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_TOGETHER", 3 * NUMBERS)
    small, large = run(), run(sizes=(90, 4, 7, 10))
    assert numbers_of(shape_for((90, 4, 7, 10))) < 2 * NUMBERS
    assert groups(*[small] * 8) == [[True] * 3, [True] * 3, [True] * 2]
    assert groups(small, {}, small, {}, small, small) == [[True, False, True, False, True], [True]]
    assert groups(large, small, small, small) == [[True, True], [True, True]]
    assert groups(small, large, large, small) == [[True, True], [True, True]]
    monkeypatch.setattr(judging, "MOST_TOGETHER", 3 * NUMBERS - 1)
    assert groups(*[small] * 5) == [[True] * 2, [True] * 2, [True]]
    monkeypatch.setattr(judging, "MOST_TOGETHER", 1)
    assert groups(small, small) == [[True], [True]]


def test_32_million_numbers_are_in_memory_at_most() -> None:
    first, _ = groups(*[run()] * (2**25 // NUMBERS + 1))
    assert len(first) * NUMBERS <= 2**25 < (len(first) + 1) * NUMBERS


# What is read, and what is refused.


def test_inputs_are_read_in_float64_and_outputs_as_they_are() -> None:
    given = {name: array.astype(np.float32) for name, array in run().items()}
    found = recorded(given)
    assert (found.file, found.case.number, found.case.regime, found.dtype) == (None, 0, "recorded", "float32")
    assert list(found.case.inputs) == list(INPUTS)
    assert list(found.outputs) == list(OUTPUTS)
    for name, array in {**found.case.inputs, **found.outputs}.items():
        assert array.dtype == (np.float32 if name in OUTPUTS else np.float64)
        np.testing.assert_array_equal(array, given[name])


def test_what_may_be_left_out_is_zero() -> None:
    found = recorded(run(b_f=None, h0=None, dh_T=None))
    assert not any(found.case.inputs[name].any() for name in ("b_f", "h0", "dh_T"))


def with_infinities() -> Array:
    x = np.zeros((3, 1, 2))
    x[1, 0, 1], x[2] = np.inf, np.nan
    return x


KNOWN = ", ".join([*INPUTS, *OUTPUTS])


@pytest.mark.parametrize(
    ("changed", "error", "said"),
    [
        ({"dc0": np.zeros(1), "dw": np.zeros(1)}, TypeError, f"dc0 is not an array of a run; expected {KNOWN}"),
        (dict.fromkeys(OUTPUTS), ValueError, f"the run has no outputs; expected any of {', '.join(OUTPUTS)}"),
        ({"dx": np.zeros(2, np.float16)}, TypeError, "dx has dtype float16; expected float32 or float64"),
        ({"h0": np.zeros(2, np.int64)}, TypeError, "h0 has dtype int64; expected float32 or float64"),
        ({"x": with_infinities()}, ValueError,
         "x is inf at [1, 0, 1]; expected finite inputs, nothing else can be judged"),
        ({"x": np.ma.zeros((3, 1, 2))}, TypeError, "x is a masked array; expected one without a mask: x.filled(value)"),
        ({"C": np.ma.zeros((3, 1, 4))}, TypeError, "C is a masked array; expected one without a mask: C.filled(value)"),
    ],
)  # fmt: skip
def test_what_is_no_run_is_refused_by_name(changed: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=f"^{re.escape(said)}") as refused:
        judge(run(**changed))
    assert str(refused.value) == said


def test_the_path_to_a_run_is_a_text_or_a_path(tmp_path: Path) -> None:
    class Link(os.PathLike[str]):
        def __init__(self, path: str) -> None:
            self.path = path

        def __fspath__(self) -> str:
            return self.path

    for name in ("run.npz", Path("run.npz"), Link("run.npz")):
        assert judging.path_of(name) == Path("run.npz")
    for empty in ("", Link("")):
        with pytest.raises(RunFileError) as refused:
            judging.path_of(empty)
        assert str(refused.value) == "the path is empty; expected an .npz file or a folder of .npy files"
    with pytest.raises(TypeError) as stopped:
        judging.path_of(3)  # type: ignore[arg-type]
    kinds = "a mapping from name to array, an .npz file or a folder of .npy files"
    assert str(stopped.value) == f"run is of type int; expected {kinds}"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_run_on_which_rounding_may_change_everything_is_refused(asked: Judge, dtype: Any) -> None:
    one = run(**{name: run()[name].astype(dtype) for name in ("C", "dC0")})
    asked.loss = 0.01 / 8 / float(np.finfo(dtype).eps)
    name = "C" if dtype == np.float32 else "h"  # the first that has this precision
    said = (
        f"{name} is of a run on which rounding in {np.dtype(dtype)} may change everything (chaotic, or near the end of "
        "the range); expected one that tells right from wrong: fewer steps, smaller weights or gradients"
    )
    with pytest.raises(ValueError, match="rounding") as refused:
        judge(one)
    assert str(refused.value) == said
    asked.loss *= 0.999
    assert judge(one).ok


def test_a_run_whose_truth_needs_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="the run") as refused:
        judging.require_within_reason((10**9, 1, 1, 2))
    assert str(refused.value) == (
        "the run has T=1000000000 B=1 D=1 H=2, for which autodiff needs about 1788.1 GiB; expected at most 4: "
        "take fewer steps or rows"
    )
    for sizes, needed in {(2, 3, 5, 7): 8 * (120 * 42 + 40 * 84), (2, 3, 7, 5): 8 * (120 * 42 + 40 * 60)}.items():
        monkeypatch.setattr(judging, "MOST_BYTES", needed)
        judging.require_within_reason(sizes)
        monkeypatch.setattr(judging, "MOST_BYTES", needed - 1)
        with pytest.raises(ValueError, match="expected at most 0: take"):
            judging.require_within_reason(sizes)
        with pytest.raises(ValueError, match="expected at most 0: take"):
            recorded(run(sizes=sizes))


@pytest.fixture
def unannounced() -> Iterator[None]:
    judging.announce.cache_clear()
    yield
    judging.announce.cache_clear()


def test_a_shape_that_takes_a_while_is_announced_once(unannounced: None, capsys: pytest.CaptureFixture[str]) -> None:
    recorded(run())
    assert capsys.readouterr().err == ""
    for _ in range(2):
        recorded(run(sizes=(71, 1, 2, 3)))
    said = "Compiling the truth for up to T=80 B=1 D=2 H=3; this takes some seconds.\n"
    assert capsys.readouterr() == ("", said)
