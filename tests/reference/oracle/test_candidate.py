"""Each thing that a candidate can do wrong has its own verdict, and nothing else is lost."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from reference.oracle import Report, check, examination
from reference.oracle.candidate import candidate
from reference.oracle.worker import TargetError
from tests.candidates import adapters

MODULE = adapters.__name__
RUNS = 4

# What each candidate is found to do, and a piece of what is said of it.
VERDICTS = {
    "raises": ("raises", "ArithmeticError: lost a sign (adapters.py:"),
    "raises_on_few_rows": ("raises", "IndexError: squeezed away"),
    "unexpected_keyword": ("raises", "unexpected keyword argument 'W_f'"),
    "calls_sys_exit": ("exits", "sys.exit(3)"),
    "a_tuple": ("return_type", "returned tuple; expected a mapping from name to array"),
    "a_list": ("return_type", "h is a list; expected an array"),
    "an_object": ("return_type", "dx has dtype object; expected an array of numbers"),
    "another_name": ("unknown_name", "'dc0' is no output; expected h, C"),
    "nothing": ("no_output", "empty mapping"),
    "batch_first": ("shape", "; expected (T="),
    "in_float32": ("dtype", "h has dtype float32; expected float64"),
    "in_integers": ("dtype", "h has dtype int64; expected float64"),
    "with_nan": ("not_finite", "dx is not finite in "),
    "varying": ("varying", "C came back from only one of run"),
    "writes_inputs": ("writes_inputs", "h0 changed"),
    "views_inputs": ("views_inputs", "h shares its memory with the input dh"),
    "reuses_outputs": ("reuses_outputs", "changes the h that it returned from the call before"),
    "unstable": ("unstable", "a second call with the same inputs gives another h"),
    "keeps_state": ("keeps_state", "a second call with the same inputs gives another h"),
    "accumulates": (
        "keeps_state",
        "after a call with other inputs, one with the same inputs as before gives",
    ),
    "prints": ("prints", "'step 1 of 7"),
    "seeds_numpy": ("random_state", "numpy.random changed"),
    "draws_from_random": ("random_state", "the state of random changed"),
    "mixes_rows": ("rows", "h differs by up to"),
}
ISOLATED = {
    "segfaults": ("crashes", "died of SIGSEGV"),
    "calls_os_exit": ("exits", "ended with status 0"),
    "calls_sys_exit": ("exits", "sys.exit(3)"),
    "hangs": ("hangs", "gave no answer within 2 s"),
    "prints_from_c": ("prints", "'loss 0.3"),
    "prints": ("prints", "'step 1 of 7"),
    "keeps_state": ("keeps_state", "a second call"),
}


def said(report: Report) -> dict[str, str]:
    return {failure.kind: failure.text for failure in report.failures}


@pytest.fixture(autouse=True)
def short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shrunk to is not looked at here."""
    monkeypatch.setattr(examination, "SEARCH", (5, 1.0))
    monkeypatch.setattr(examination, "QUICK", (5, 1.0))


@pytest.mark.parametrize("name", VERDICTS)
def test_each_misbehaviour_has_its_verdict(name: str) -> None:
    kind, text = VERDICTS[name]
    report = check(getattr(adapters, name), max_examples=RUNS)
    assert not report.ok
    assert text in said(report)[kind]


@pytest.mark.parametrize("name", ISOLATED)
def test_one_that_dies_hangs_or_prints_does_so_in_its_own_process(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    kind, text = ISOLATED[name]
    report = check(f"{MODULE}:{name}", max_examples=RUNS, timeout=2)
    assert not report.ok
    assert list(said(report)) == [kind]
    assert text in said(report)[kind]
    assert len(report.trials) == RUNS + 3
    assert all(block.ok for block in report.blocks), "the other runs are judged"
    assert len(report.blocks) == 18
    assert capfd.readouterr() == ("", "")


def test_a_crash_is_told_with_the_line_of_the_adapter() -> None:
    report = check(f"{MODULE}:segfaults", run=0, sizes=(3, 1, 1, 1))
    assert "Segmentation fault, in segfaults (adapters.py:" in said(report)["crashes"]


def test_one_that_always_hangs_is_given_up() -> None:
    report = check(f"{MODULE}:hangs", run=0, sizes=(3, 1, 1, 1), timeout=0.5)
    assert said(report).keys() == {"hangs"}
    assert str(report).endswith("NOT JUDGED")


def test_outputs_may_be_left_out() -> None:
    report = check(adapters.forward_only, max_examples=RUNS)
    assert report.ok
    assert [block.name for block in report.blocks] == ["h", "C_T"]


def test_an_empty_run_may_be_refused() -> None:
    report = check(adapters.refuses_empty, max_examples=RUNS)
    assert report.ok
    assert "It takes no run with T=0, which is no failure: ValueError: no empty input" in str(report)


def test_the_global_random_states_are_afterwards_as_they_were() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    check(adapters.seeds_numpy, max_examples=2)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nothing", "'nothing' is no target; expected pkg.module:adapter or exec:./program"),
        ("absent.module:adapter", "No module named 'absent'"),
        (f"{MODULE}:absent", "has no attribute 'absent'"),
        (f"{MODULE}:not_callable", "is a int; expected something to call"),
        ("broken:adapter", "ZeroDivisionError"),
        ("leaves:adapter", "SystemExit: 3"),
        ("dies:adapter", "ended with status 4"),
        ("exec:", "the command is not there"),
        ("exec:./absent 3", "./absent is not there or not executable"),
        ("exec:'", "No closing quotation"),
    ],
)
def test_a_target_that_cannot_be_called_is_refused(
    target: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    (tmp_path / "dies.py").write_text("import os; os._exit(4)")
    with pytest.raises(TargetError) as refused:
        candidate(target)
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_callable_without_a_name_cannot_be_isolated() -> None:
    with pytest.raises(TargetError, match="put it in a module"):
        candidate(lambda **run: run, isolate=True)
    with pytest.raises(TypeError, match="adapter is a int; expected a callable or a name of one"):
        candidate(3)  # type: ignore[arg-type]


def test_a_callable_with_a_name_can() -> None:
    report = check(adapters.segfaults, isolate=True, run=0, sizes=(3, 1, 1, 1))
    assert said(report).keys() == {"crashes"}
