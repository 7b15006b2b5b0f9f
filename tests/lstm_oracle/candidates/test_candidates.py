"""Each misbehaviour of a candidate is reported as its own kind, in this process and in a child process."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from lstm_oracle import Report, check
from lstm_oracle.candidates.base import TargetError
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.inputs.cases import Sizes
from tests.candidates import adapters

MODULE = adapters.__name__
SIZES: Sizes = (3, 2, 4, 5)

# The kind of failure of each adapter, and part of its text.
MISBEHAVIOUR = {
    "raises": ("raises", "ArithmeticError: lost a sign (adapters.py:"),
    "in_float32": ("dtype", "h has dtype float32; expected float64"),
    "with_nan": ("not_finite", "dx is not finite in "),
    "writes_inputs": ("writes_inputs", "h0 changed"),
    "reuses_outputs": ("reuses_outputs", "changed the h that the previous call had returned"),
    "unstable": ("unstable", "a second call with the same inputs returns a different h"),
    "keeps_state": ("keeps_state", "a second call with the same inputs returns a different h"),
    "accumulates": ("keeps_state", "after a call with other inputs, a call with the first inputs returns a different"),
    "prints": ("prints", "'step 1 of 7"),
    "seeds_numpy": ("random_state", "numpy.random changed"),
    "mixes_rows": ("rows", "h differs by up to"),
}
IN_A_CHILD = {
    "segfaults": ("crashes", "killed by SIGSEGV"),
    "calls_os_exit": ("exits", "exited with status 0"),
    "calls_sys_exit": ("exits", "sys.exit(3)"),
    "hangs": ("hangs", "did not answer within 1 s"),
    "prints_from_c": ("prints", "'loss 0.3"),
    "prints": ("prints", "'step 1 of 7"),
    "keeps_state": ("keeps_state", "a second call"),
}


def texts(report: Report) -> dict[str, str]:
    return {failure.kind: failure.text for failure in report.failures}


@pytest.mark.parametrize("name", MISBEHAVIOUR)
def test_each_misbehaviour_is_reported_as_its_own_kind(name: str) -> None:
    kind, text = MISBEHAVIOUR[name]
    report = check(getattr(adapters, name), run=0, sizes=SIZES)
    assert not report.ok
    assert text in texts(report)[kind]


@pytest.mark.parametrize("name", IN_A_CHILD)
def test_an_adapter_that_crashes_hangs_or_prints_affects_only_its_child_process(
    name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    kind, text = IN_A_CHILD[name]
    report = check(f"{MODULE}:{name}", run=0, sizes=SIZES, timeout=1)
    assert not report.ok
    assert list(texts(report)) == [kind]
    assert text in texts(report)[kind]
    assert capfd.readouterr() == ("", "")


def test_the_other_runs_of_an_adapter_that_hangs_are_judged() -> None:
    report = check(f"{MODULE}:hangs", max_examples=4, timeout=1)
    (failure,) = report.failures
    hanging = [trial.id for trial in report.trials if trial.id.sizes[0] == 3]
    assert (failure.kind, failure.runs) == ("hangs", len(hanging))
    assert failure.smallest in hanging
    assert [trial.id.number for trial in report.trials] == [*range(7)]
    assert len(report.blocks) == 18
    assert all(block.ok for block in report.blocks)


def test_a_crash_is_reported_with_the_line_of_the_adapter() -> None:
    report = check(f"{MODULE}:segfaults", run=0, sizes=(3, 1, 1, 1))
    assert "Segmentation fault, in segfaults (adapters.py:" in texts(report)["crashes"]


def test_a_program_that_hung_three_times_is_not_called_for_another_run(tmp_path: Path) -> None:
    program, calls = tmp_path / "program", tmp_path / "calls"
    program.write_text(f"#!/bin/sh\necho >> {calls}\nexec sleep 100\n")
    program.chmod(0o755)
    report = check(f"exec:{program}", max_examples=5, timeout=0.2)
    assert calls.read_text() in ("\n" * 3, "\n" * 4)  # the second call of a pair is still made
    assert str(report).endswith("NOT JUDGED")
    assert report.notes == ("The candidate hung or died so often that 8 runs were not judged.",)
    report = check(f"exec:{program}", run=0, sizes=SIZES, timeout=0.2)
    assert texts(report) == {"hangs": "did not finish within 0.2 s"}


def test_an_adapter_is_not_called_again_after_twelve_crashes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "crashing.py").write_text(
        "import os\ndef adapter(**run):\n    print(file=open('calls', 'a'))\n    os.abort()\n"
    )
    report = check("crashing:adapter", max_examples=12)
    assert (tmp_path / "calls").read_text() == "\n" * 12
    assert texts(report).keys() == {"crashes"}
    assert report.notes == (
        f"The candidate hung or died so often that {15 - len(report.trials)} runs were not judged.",
    )
    assert not report.ok


def test_an_adapter_that_keeps_state_is_restarted_for_each_of_15_runs() -> None:
    report = check(f"{MODULE}:keeps_state", max_examples=14)
    assert texts(report).keys() == {"keeps_state"}
    assert report.notes == ("The candidate keeps state between calls, so it was restarted for every run.",)
    assert all(block.ok for block in report.blocks)
    assert len(report.trials) == 15, "fewer than the 17 runs, because every restart takes time"


def test_no_process_is_left_running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noting.py").write_text(
        "import os\ndef adapter(**run):\n    open('process', 'w').write(str(os.getpid()))\n    return {}\n"
    )
    check("noting:adapter", run=0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


def test_outputs_may_be_left_out() -> None:
    report = check(adapters.forward_only, max_examples=4)
    assert report.ok
    assert [block.name for block in report.blocks] == ["h", "C_T"]


def test_the_global_random_states_are_restored() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002
    check(adapters.seeds_numpy, max_examples=2)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # noqa: NPY002


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("hw2.py", "'hw2.py' is not a target; did you mean hw2:lstm?"),
        ("./pkg/hw2.py", "did you mean pkg.hw2:lstm?"),
        ("nothing", "'nothing' is not a target; expected pkg.module:adapter, exec:./program, or one of torch, "),
        ("absent.module:adapter", "No module named 'absent'"),
        (f"{MODULE}:absent", "has no attribute 'absent'"),
        (f"{MODULE}:not_callable", "is of type int; expected a callable"),
        ("broken:adapter", "ZeroDivisionError"),
        ("leaves:adapter", "SystemExit: 3"),
        ("dies:adapter", "exited with status 4"),
        ("exec:", "exec: names no program; expected exec:./program arguments"),
        ("exec:./absent 3", "./absent does not exist or is not executable"),
        ("exec:'", "No closing quotation"),
    ],
)
def test_an_unusable_target_is_refused_in_one_line(
    target: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "leaves.py").write_text("raise SystemExit(3)")
    (tmp_path / "dies.py").write_text("import os; os._exit(4)")
    with pytest.raises(TargetError) as refused:
        open_candidate(target)
    assert text in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_callable_without_a_name_cannot_be_isolated() -> None:
    with pytest.raises(TargetError, match="define it in a module"):
        open_candidate(lambda **run: run, isolate=True)
    with pytest.raises(TypeError, match="adapter is of type int; expected a callable or a target name"):
        open_candidate(3)  # type: ignore[arg-type]


def test_a_callable_with_a_name_can_be_isolated() -> None:
    report = check(adapters.segfaults, isolate=True, run=0, sizes=(3, 1, 1, 1))
    assert texts(report).keys() == {"crashes"}
