"""Plants mistakes in a copy of the program, which its own commands have to find and name: python -m tests.canary.

This depends on no test runner, so that CI fails if the oracle no longer notices mistakes, even if every test passes.
The exit status is 1 if a mistake goes unnoticed, or is given another name.
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

# A user's LSTM, to be judged: the literal twin, whose carry is planted out.
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
    """A line of a file, the mistake that takes its place, the command that must see it, and what it must say."""

    file: str
    right: str
    wrong: str
    command: tuple[str, ...]
    said: str


PLANTED = (
    Planted(
        "manual/derivation.py",
        "δ[8] = δ[7] + δ[4]",
        "δ[8] = δ[7] * δ[4]",
        ("verify", "--run", "44"),
        "MISMATCH bptt: δ8 at step ",
    ),
    Planted(
        "manual/bptt.py",
        "δ25, δ11 = δ[25], δ[11]",
        "δ25, δ11 = δ[25], 0 * δ[11]",
        ("check", "planted:adapter", "--run", "0", "--sizes", "3,2,4,5"),
        "no_cell_carry_between_steps: ",
    ),
)


def judged(planted: Planted) -> tuple[int, str]:
    """The exit status of a command on a program with a mistake, and all that it says."""
    with TemporaryDirectory() as folder:
        for package in ("manual", "reference"):
            shutil.copytree(ROOT / package, Path(folder, package), ignore=shutil.ignore_patterns("__pycache__"))
        file = Path(folder, planted.file)
        text = file.read_text(encoding="utf-8")
        if text.count(planted.right) != 1:
            raise SystemExit(f"{planted.file} does not have {planted.right!r} once: plant another mistake")
        file.write_text(text.replace(planted.right, planted.wrong), encoding="utf-8")
        Path(folder, "planted.py").write_text(ADAPTER, encoding="utf-8")
        command = [sys.executable, "-m", "lstm_oracle.cli.main", *planted.command]
        paths = os.pathsep.join([folder, str(Path(folder, "reference"))])
        environment = os.environ | {"PYTHONPATH": paths, "PYTHONUTF8": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, encoding="utf-8")
        return done.returncode, done.stdout + done.stderr


def main() -> int:
    asleep = 0
    for planted in PLANTED:
        status, said = judged(planted)
        seen = status == 1 and planted.said in said
        print(f"{'seen' if seen else 'UNSEEN'}: {planted.wrong} for {planted.right} in {planted.file}")
        if not seen:
            print(f"`lstm-oracle {' '.join(planted.command)}` should exit 1 and say {planted.said!r}.")
            print(f"It exited {status} and said:\n{said}")
            asleep = 1
    return asleep


if __name__ == "__main__":
    sys.exit(main())
