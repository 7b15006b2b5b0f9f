"""Plants mistakes in a copy of the code, which its own commands must detect and name: `python -m tests.canary`.

No test runner is involved, so CI fails if the oracle no longer detects mistakes, even if every test passes. The exit
status is 1 if a mistake is not detected, or is reported under another name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[1]

# An adapter of the literal implementation, for `lstm-oracle check`.
ADAPTER = """
from manual import Params, bptt

def adapter(x, h0, C0, dh, dh_T, dC_T, **weights):
    tape = bptt.forward(Params.from_gates(**weights), x, h0, C0)
    found = bptt.backward(tape, dh, dh_T=dh_T, dC_T=dC_T)
    gradients = {f"d{name}": d for name, d in found.params.gates().items()}
    return {"h": tape.h, "C_T": tape.C_T, "dx": found.x, "dh0": found.h0, "dC0": found.C0} | gradients
"""


@dataclass(frozen=True)
class Planted:
    """A mistake in the place of a line of a file, the command that must detect it, and the text that it must print."""

    file: str
    right: str
    wrong: str
    command: tuple[str, ...]
    expected: str


PLANTED = (
    Planted(
        "manual/derivation.py",
        "δ[8] = δ[7] + δ[4]",
        "δ[8] = δ[7] * δ[4]",
        ("verify", "--run", "44"),
        "MISMATCH in bptt: δ8 at step ",
    ),
    Planted(
        "manual/bptt.py",
        "δ25, δ11 = δ[25], δ[11]",
        "δ25, δ11 = δ[25], 0 * δ[11]",
        ("check", "planted:adapter", "--run", "0", "--sizes", "3,2,4,5"),
        "no_cell_carry_between_steps: ",
    ),
)


def run_with(planted: Planted) -> tuple[int, str]:
    """Return the exit status and the output of the command on a copy of the code with the mistake."""
    with TemporaryDirectory() as folder:
        for package in ("manual", "reference"):
            shutil.copytree(ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
        file = Path(folder, planted.file)
        text = file.read_text(encoding="utf-8")
        if text.count(planted.right) != 1:
            raise SystemExit(f"{planted.right!r} must occur once in {planted.file}; plant another mistake")
        file.write_text(text.replace(planted.right, planted.wrong), encoding="utf-8")
        Path(folder, "planted.py").write_text(ADAPTER, encoding="utf-8")
        command = [sys.executable, "-m", "lstm_oracle.cli.main", *planted.command]
        paths = os.pathsep.join([folder, str(Path(folder, "reference"))])
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONUTF8": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
        return done.returncode, done.stdout + done.stderr


def main() -> int:
    exit_status = 0
    for planted in PLANTED:
        status, output = run_with(planted)
        detected = status == 1 and planted.expected in output
        verdict = "detected" if detected else "NOT DETECTED"
        print(f"{verdict}: {planted.wrong} in place of {planted.right} in {planted.file}")
        if not detected:
            print(f"`lstm-oracle {' '.join(planted.command)}` must exit with status 1 and print {planted.expected!r}.")
            print(f"It exited with status {status} and printed:\n{output}")
            exit_status = 1
    return exit_status


if __name__ == "__main__":
    sys.exit(main())
