"""The installed command and plugin work in folders whose own modules are named like ours or the standard library's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lstm_oracle.inputs.files import write_run
from tests.lstm_oracle.reports.pages import recorded

BIN = Path(sys.executable).parent
ORACLE, PYTEST, PYTHON = str(BIN / "lstm-oracle"), str(BIN / "pytest"), sys.executable
STRANGERS = ("reference.py", "reference/__init__.py", "run.py", "tests/__init__.py")
STRANGE = "raise RuntimeError('a module of the folder was imported')\n"
CANDIDATE = """
import numpy as np
import manual

def sigmoid(z):
    return manual.HALF * (1 + np.tanh(manual.HALF * z))

def lstm(x, h0, C0, dh, dh_T, dC_T, **p):
    h, C, hs = h0, C0, []
    for x_t in x:
        f, i, g, o = (h @ p["W_" + gate] + x_t @ p["U_" + gate] + p["b_" + gate] for gate in "figo")
        C = C * sigmoid(f) + sigmoid(i) * np.tanh(g)
        h = np.tanh(C) * sigmoid(o)
        hs.append(h)
    return {"h": np.reshape(hs, (len(x), *h0.shape))}
"""
ONE_RUN = ("--run", "0", "--sizes", "2,1,3,4")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a candidate, a test, and modules of a stranger's, of which only `manual` can be imported."""
    for name in STRANGERS:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(STRANGE)
    (tmp_path / "manual.py").write_text("HALF = 0.5\n")
    (tmp_path / "hw.py").write_text(CANDIDATE)
    (tmp_path / "test_hw.py").write_text(
        "import sys\n\ndef test_hw():\n    assert not {'numpy', 'jax', 'manual'} & {*sys.modules}\n"
    )
    write_run(tmp_path / "run.npz", recorded(sizes=(2, 1, 3, 4)))
    return tmp_path


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_the_command_works(folder: Path) -> None:
    (folder / "types.py").write_text(STRANGE)
    checked = run(folder, ORACLE, "check", "hw:lstm", *ONE_RUN)
    assert (checked.returncode, checked.stderr, checked.stdout.splitlines()[-1]) == (0, "", "CORRECT")
    judged = run(folder, ORACLE, "judge", "run.npz")
    assert (judged.returncode, judged.stderr, judged.stdout.splitlines()[-1]) == (0, "", "CORRECT")


@pytest.mark.parametrize("command", [[PYTEST], [PYTHON, "-m", "pytest"]], ids=["pytest", "python -m pytest"])
def test_pytest_works_with_and_without_the_option(command: list[str], folder: Path) -> None:
    """Without `--lstm`, the plugin imports nothing of NumPy, JAX or `manual`, as the test in the folder asserts."""
    if command == [PYTEST]:  # `python -m` itself fails beside a types.py
        (folder / "types.py").write_text(STRANGE)
    plain = run(folder, *command, "-q", "-p", "no:xdist", "-p", "no:hypothesispytest")
    assert (plain.returncode, plain.stdout.splitlines()[-1].split(" in ")[0]) == (0, "1 passed")
    suite = run(folder, *command, "--lstm=hw:lstm", "--lstm-runs=1", "-q", "-k", "returns or values")
    assert suite.returncode == 0, suite.stdout + suite.stderr
    assert suite.stdout.splitlines()[-1].startswith("2 passed, 17 skipped")


@pytest.mark.parametrize(
    "command",
    [
        [ORACLE, "check", "flax", *ONE_RUN],
        [PYTHON, "-m", "lstm_oracle.cli.main", "verify", "--run", "0"],
        [ORACLE, "check", "hw:lstm", *ONE_RUN, "--layout", "torch"],
        [PYTHON, "-m", "pytest", "--lstm=hw:lstm", "--lstm-layout=torch"],
    ],
    ids=" ".join,
)
def test_if_our_manual_is_needed_but_shadowed_one_line_names_the_module_that_shadows_it(
    command: list[str], folder: Path
) -> None:
    done = run(folder, *command)
    assert (done.returncode, done.stdout) == (2, "")
    message = f"{folder / 'manual.py'} shadows lstm-oracle's module manual; rename it or run from another folder\n"
    assert done.stderr.endswith(message)
    assert done.stderr.count("\n") == 1
