"""Programs in other languages, compiled and run, are judged end to end."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from lstm_oracle import check
from lstm_oracle.cli import main as cli
from lstm_oracle.run import OUTPUTS

CANDIDATES = Path(__file__).parents[2] / "candidates"

needs_compiler = pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler `cc`")
needs_node = pytest.mark.skipif(not shutil.which("node"), reason="needs `node`")


def compiled(folder: Path, *options: str) -> str:
    """The C program as a target, whose file name contains spaces."""
    program = folder / "lstm in C"
    command = ["cc", "-std=c99", "-O2", *options, "-o", str(program), str(CANDIDATES / "lstm.c"), "-lm"]
    subprocess.run(command, check=True)
    return f"exec:{shlex.quote(str(program))}"


def program(folder: Path, text: str) -> str:
    """A shell script as a target."""
    file = folder / "program"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return f"exec:{file}"


@needs_compiler
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_an_lstm_in_c_is_right(dtype: str, tmp_path: Path) -> None:
    report = check(compiled(tmp_path), dtype=dtype, max_examples=7)
    assert report.ok, str(report)
    assert [block.name for block in report.blocks] == list(OUTPUTS)
    assert len(report.trials) == 10


@needs_compiler
def test_the_missing_cell_carry_of_an_lstm_in_c_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = check(compiled(tmp_path, "-DNO_CELL_CARRY"), max_examples=7)
    assert not report.ok
    assert [block.name for block in report.blocks if block.ok] == ["h", "C", "C_T"]
    words = shlex.split(report.failures[0].repeat)
    assert cli.main(words[1:]) == 1
    assert capsys.readouterr().out.endswith("INCORRECT\n")
    assert [bug.id for bug in report.diagnosis] == ["no_cell_carry"]


@needs_node
def test_an_lstm_in_javascript_is_right() -> None:
    report = check(f"exec:node {shlex.quote(str(CANDIDATES / 'lstm.js'))}", max_examples=3)
    assert report.ok, str(report)
    assert [block.name for block in report.blocks] == list(OUTPUTS)


@pytest.mark.parametrize(
    ("text", "kind", "expected"),
    [
        ("exit 3", "exits", "exited with status 3"),
        ("echo no weights >&2; exit 1", "exits", "exited with status 1; last line of standard error: no weights"),
        ("kill -SEGV $$", "crashes", "killed by SIGSEGV"),
        ("sleep 100 & sleep 100", "hangs", "did not finish within 0.5 s"),
        ("true", "no_output", "wrote no file; expected any of h.npy, C.npy"),
        ('echo 3 > "$2/h.npy"', "return_type", "h.npy "),
        ('cp "$1/h0.npy" "$2/hidden.npy"', "unknown_name", "wrote 'hidden.npy'; expected any of h, C"),
        (
            'cp "$1/h0.npy" "$2/C_T.npy"; cp "$1/x.npy" "$2/h.npy"',
            "shape",
            "h has shape (2, 1, 3); expected (T=2, B=1, H=4)",
        ),
        ('cp "$1/dh.npy" "$2/h.npy"; cp "$1/x.npy" "$1/h0.npy"', "writes_inputs", "changed the files of h0"),
        ('cp "$1/dh.npy" "$2/h.npy"', "mismatch", "h"),
    ],
)
def test_each_misbehaviour_of_a_program_is_reported_as_its_own_kind(
    text: str, kind: str, expected: str, tmp_path: Path
) -> None:
    report = check(program(tmp_path, text), run=0, sizes=(2, 1, 3, 4), timeout=0.5 if kind == "hangs" else 30)
    assert not report.ok
    found = {failure.kind: failure.text for failure in report.failures}
    assert expected in found[kind]


def test_a_program_that_keeps_state_in_a_file_is_detected(tmp_path: Path) -> None:
    state = shlex.quote(str(tmp_path / "state.npy"))
    text = f'cp {state} "$2/h.npy" 2>/dev/null || cp "$1/dh.npy" "$2/h.npy"; cp "$1/dh.npy" {state}'
    report = check(program(tmp_path, text), run=0, sizes=(2, 1, 3, 4))
    assert {"keeps_state", "unstable"} & {failure.kind for failure in report.failures}
