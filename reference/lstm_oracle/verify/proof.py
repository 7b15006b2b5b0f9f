"""`make proof`: checks the proof in `manual/proof` with Coq, and that its lines are those of the code.

    python -m lstm_oracle.verify.proof [--seconds N]

The exit status is 0 if the theorems are proven, 1 if they are not, and 3 if Coq or Coquelicot is not installed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lstm_oracle.verify.proof_lines import PROOF, pairs, sources, without_comments

THEOREMS = (
    *(f"Correctness.{name}" for name in ("backward_is_the_gradient", "every_entry", "every_edge", "every_loss")),
    *(f"Misprints.erratum_{number}_is_wrong" for number in (1, 2, 3)),
    "Misprints.erratum_3_spoils_dx_alone",
)
# What the classical real numbers of Coq's standard library and of Coquelicot assume.
ASSUMPTIONS = {
    "Classical_Prop.classic",
    "ClassicalDedekindReals.sig_forall_dec",
    "ClassicalDedekindReals.sig_not_dec",
    "FunctionalExtensionality.functional_extensionality_dep",
}
# Words that admit what is not proven.
FORBIDDEN = r"\b(Admitted|admit|give_up|Axioms?|Conjectures?|Parameters?|bypass_check|Unset \w+ Checking)\b"
MISSING = (
    "Coq with Coquelicot is not installed: apt install coq libcoq-coquelicot, or\n"
    "opam repo add coq-released https://coq.inria.fr/opam/released && opam install coq coq-coquelicot"
)
CHECKED = PROOF.parents[1] / ".proof"  # a digest of what Coq accepted last, and the version of Coq


class NotProvenError(Exception):
    """Coq does not accept the proof, the proof assumes more than it may, or its lines are not those of the code."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of the proof on this machine."""

    different: tuple[tuple[str, str], ...]  # expected and found lines of the code and the proof that are not equal
    coq: str  # the version of Coq that accepted these sources here; empty if none did


def known_proof() -> Proof | None:
    """Return how the proof compares with the code, and whether Coq accepted it; None if its sources are not here."""
    try:
        compared, texts = pairs(sources()), files()
    except FileNotFoundError:
        return None
    try:
        accepted, version = CHECKED.read_text(encoding="utf-8").split("\n")[:2]
    except (OSError, ValueError):
        accepted = version = ""
    return Proof(tuple((a, b) for a, b in compared if a != b), version if accepted == digest(texts) else "")


def files() -> dict[str, str]:
    """Return the texts of the proof by file name, in the order in which the files depend on each other.

    Raises:
        FileNotFoundError: the proof is not here, because it is not part of the wheel.
    """
    names = (PROOF / "_CoqProject").read_text(encoding="utf-8").split()
    return {name: (PROOF / name).read_text(encoding="utf-8") for name in names if name.endswith(".v")}


def digest(texts: Mapping[str, str]) -> str:
    """Return a digest of the sources of the proof and of what is asked about them."""
    asked = [*THEOREMS, *sorted(ASSUMPTIONS), FORBIDDEN]
    return hashlib.sha256("\0".join([*texts, *texts.values(), *asked]).encode()).hexdigest()


def check(texts: Mapping[str, str], seconds: float) -> set[str]:
    """Check a proof with Coq, and return the axioms that its theorems assume.

    Args:
        texts: the texts of the files by name, each after those that it depends on.
        seconds: the time limit for all files together.

    Raises:
        NotProvenError: Coq does not accept a file, runs out of time, or a file admits what it does not prove.
    """
    for name, text in texts.items():
        if found := re.search(FORBIDDEN, without_comments(text)):
            raise NotProvenError(f"{name} has {found[0]!r}, which is not allowed in the proof")
    modules = " ".join(Path(name).stem for name in texts)
    theorems = ", ".join(f"@LSTM.{name}" for name in THEOREMS)
    question = f"From LSTM Require {modules}.\nDefinition theorems := ({theorems}).\nPrint Assumptions theorems.\n"
    end = time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as folder:
        for name, text in (*texts.items(), ("Assumptions.v", question)):
            Path(folder, name).write_text(text, encoding="utf-8")
            try:
                done = coqc(folder, name, end - time.monotonic())
            except subprocess.TimeoutExpired:
                raise NotProvenError(f"Coq did not finish the proof within {seconds:g} s; it was at {name}") from None
            if done.returncode:
                raise NotProvenError(f"Coq does not accept {name}:\n{done.stderr.strip()}")
    return axioms(done.stdout)  # the answer to the question


def coqc(folder: str, name: str, seconds: float) -> subprocess.CompletedProcess[str]:
    """Compile a file in a folder.

    Raises:
        subprocess.TimeoutExpired: it takes longer.
        FileNotFoundError: Coq is not installed.
    """
    command = ["coqc", "-q", "-Q", ".", "LSTM", name]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=max(0.0, seconds))


def axioms(answer: str) -> set[str]:
    """Return the axioms in the answer of Coq to `Print Assumptions`.

    Raises:
        NotProvenError: it has a line that is not the name of an axiom with its type.
    """
    title, *lines = [line for line in answer.splitlines() if line and not line.startswith(" ")] or [""]
    if title == "Closed under the global context" and not lines:
        return set()
    found = {line: re.fullmatch(r"(\S+)(?: :.*)?", line) for line in lines}
    if title != "Axioms:" or not lines or not all(found.values()):
        raise NotProvenError(f"The answer of Coq about the assumptions is not understood:\n{answer.strip()}")
    return {name[1] for name in found.values() if name}


def require_coq() -> str:
    """Return the version of Coq, or end the process with status 3 if Coq or Coquelicot is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "A.v").write_text("From Coquelicot Require Import Coquelicot.\n", encoding="utf-8")
        try:
            installed = coqc(folder, "A.v", 60).returncode == 0
        except OSError:
            installed = False
    if not installed:
        print(MISSING, file=sys.stderr)
        sys.exit(3)
    return subprocess.run(["coqc", "--print-version"], capture_output=True, text=True, check=True).stdout.split()[0]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make proof", description="Check the proof of the derivation with Coq.")
    parser.add_argument("--seconds", type=float, default=120, help="time for Coq, 120 s by default")
    options = parser.parse_args()
    version, start = require_coq(), time.monotonic()
    try:
        texts = require_same_lines()
        assumed = check(texts, options.seconds)
        if unknown := assumed - ASSUMPTIONS:
            raise NotProvenError(f"The theorems assume {', '.join(sorted(unknown))}")
    except NotProvenError as error:
        CHECKED.unlink(missing_ok=True)
        print(f"{error}\nNOT PROVEN", file=sys.stderr)
        return 1
    with suppress(OSError):  # in a folder that cannot be written to, `verify` says that the proof was not checked
        CHECKED.write_text(f"{digest(texts)}\n{version}\n", encoding="utf-8")
    print(statement(texts["Correctness.v"], THEOREMS[0].split(".")[1]))
    print("Assumptions, those of Coq's real numbers:", ", ".join(sorted(name.split(".")[-1] for name in assumed)))
    print(f"{len(THEOREMS)} theorems in {len(texts)} files, Coq {version}, {time.monotonic() - start:.0f} s")
    print("The lines of the proof are those of derivation.py and bptt.py\nPROVEN")
    return 0


def require_same_lines() -> dict[str, str]:
    """Return the texts of the proof by file name, if its lines are those of the code.

    Raises:
        NotProvenError: some lines are different, or the sources of the proof are not here.
    """
    proof = known_proof()
    if proof is None:
        raise NotProvenError(f"{PROOF} does not exist; expected a checkout, because the wheel has no proof")
    if proof.different:
        lines = [f"expected: {a or 'nothing'}\nfound:    {b or 'nothing'}" for a, b in proof.different]
        raise NotProvenError("\n".join(["The lines of the code and the proof are not those of lines.txt.", *lines]))
    return files()


def statement(text: str, theorem: str) -> str:
    """Return the statement of a theorem as in the text of a file."""
    code = without_comments(text)
    start = code.index(f"Theorem {theorem} ")
    return code[start : code.index("\nProof", start)]


if __name__ == "__main__":
    sys.exit(main())
