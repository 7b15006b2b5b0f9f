"""`make proof`: checks the proof in `manual/proof` with Coq, and that its lines are those of the code.

    python -m lstm_oracle.verify.proof [--seconds N]

The exit status is 0 if the theorem is proven, 1 if it is not, and 3 if Coq is not installed.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lstm_oracle.verify.proof_lines import PROOF, pairs, sources

THEOREMS = (
    *("backward_is_the_gradient", "every_entry", "every_edge", "every_loss"),
    *("erratum_1_is_wrong", "erratum_2_is_wrong", "erratum_3_is_wrong"),
)
# What the classical real numbers of Coq's standard library and of Coquelicot assume.
ASSUMPTIONS = {
    "Classical_Prop.classic",
    "ClassicalDedekindReals.sig_forall_dec",
    "ClassicalDedekindReals.sig_not_dec",
    "FunctionalExtensionality.functional_extensionality_dep",
}
FORBIDDEN = r"\b(Admitted|admit|give_up|Axioms?|Conjecture|Parameters?|bypass_check|Unset Guard Checking)\b"
MISSING = "coqc is not installed: apt install coq libcoq-coquelicot, or opam install coq coq-coquelicot"
CHECKED = PROOF.parents[1] / ".proof"  # the digest of the sources that Coq accepted last, and its version


class NotProvenError(Exception):
    """Coq does not accept the proof, or it assumes more than it may."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of the proof on this machine."""

    lines: int  # that were compared with those of the code
    different: tuple[tuple[str, str], ...]  # pairs of lines that are not equal
    coq: str  # the version of Coq that accepted these sources here; empty if none did


def known_proof() -> Proof | None:
    """Compare the proof with the code, and look up whether Coq accepted it here; None if its sources are not here."""
    try:
        compared = pairs(sources())
    except FileNotFoundError:
        return None
    return Proof(len(compared), tuple((a, b) for a, b in compared if a != b), accepted_by())


def accepted_by() -> str:
    """Return the version of Coq that accepted the present sources, or "" if none did."""
    try:
        known, version = CHECKED.read_text(encoding="utf-8").split("\n")[:2]
    except (OSError, ValueError):
        return ""
    return version if known == digest() else ""


def digest() -> str:
    """Return a digest of the sources of the proof."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files())).hexdigest()


def files() -> list[Path]:
    """Return the sources of the proof in the order in which they depend on each other."""
    return [PROOF / line for line in (PROOF / "_CoqProject").read_text(encoding="utf-8").split() if line.endswith(".v")]


def check(folder: Path, sources: dict[str, str], seconds: float) -> set[str]:
    """Check a proof with Coq, and return the axioms that its theorems assume.

    Args:
        folder: an empty folder for what Coq writes.
        sources: the texts of the files by name, each after those that it depends on.
        seconds: for all files together.

    Raises:
        NotProvenError: Coq does not accept a file, runs out of time, or the text admits what it does not prove.
        FileNotFoundError: coqc is not installed.
    """
    end = time.monotonic() + seconds
    modules = [Path(name).stem for name in sources]
    questions = [f"From LSTM Require Import {' '.join(modules)}.", *(f"Print Assumptions {name}." for name in THEOREMS)]
    for name, text in sources.items():
        if found := re.search(FORBIDDEN, re.sub(r"\(\*.*?\*\)", "", text, flags=re.S)):
            raise NotProvenError(f"{name} has the word {found[0]}")
    for name, text in (*sources.items(), ("Assumptions.v", "\n".join(questions) + "\n")):
        (folder / name).write_text(text, encoding="utf-8")
        try:
            done = subprocess.run(
                ["coqc", "-q", "-Q", ".", "LSTM", name],
                cwd=folder, capture_output=True, text=True, timeout=max(0.0, end - time.monotonic()),
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotProvenError(f"Coq did not finish {name} within {seconds:g} s") from None
        if done.returncode:
            raise NotProvenError(f"Coq does not accept {name}:\n{done.stderr.strip()}")
    return set(re.findall(r"^([\w.]+)\s*:", done.stdout.replace("Axioms:", ""), re.M))


def require_coq() -> None:
    """End the process with status 3 if Coq is not installed."""
    if not shutil.which("coqc"):
        print(MISSING, file=sys.stderr)
        sys.exit(3)


def version() -> str:
    """Return the version of Coq.

    Raises:
        FileNotFoundError: coqc is not installed.
    """
    return subprocess.run(["coqc", "--print-version"], capture_output=True, text=True, check=True).stdout.split()[0]


def statement(name: str) -> str:
    """Return the statement of a theorem as in Correctness.v."""
    text = (PROOF / "Correctness.v").read_text(encoding="utf-8")
    start = text.index(f"Theorem {name} ")
    return text[start : text.index("\nProof", start)]


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make proof", description="Check the proof of the derivation with Coq.")
    parser.add_argument("--seconds", type=float, default=120, help="time for Coq, 120 s by default")
    options = parser.parse_args()
    require_coq()
    start = time.monotonic()
    try:
        lines = require_same_lines()
        axioms = check_files(options.seconds)
    except NotProvenError as error:
        print(f"{error}\nNOT PROVEN", file=sys.stderr)
        return 1
    CHECKED.write_text(f"{digest()}\n{version()}\n", encoding="utf-8")
    print(statement(THEOREMS[0]))
    print("Assumptions, those of Coq's real numbers:", ", ".join(sorted(axiom.split(".")[-1] for axiom in axioms)))
    print(f"{len(THEOREMS)} theorems in {len(files())} files, Coq {version()}, {time.monotonic() - start:.0f} s")
    print(f"{lines} lines are those of derivation.py and bptt.py\nPROVEN")
    return 0


def require_same_lines() -> int:
    """Return how many lines of the proof and the code were compared.

    Raises:
        NotProvenError: some lines are different, or the sources of the proof are not here.
    """
    proof = known_proof()
    if proof is None:
        raise NotProvenError(f"{PROOF} does not exist; expected a checkout, because the wheel has no proof")
    if proof.different:
        pairs = (
            f"expected: {expected or 'nothing'}\nfound:    {found or 'nothing'}" for expected, found in proof.different
        )
        raise NotProvenError("\n".join(["The lines of the proof are not those of the code.", *pairs]))
    return proof.lines


def check_files(seconds: float) -> set[str]:
    """Check the proof with Coq, and return the axioms that it assumes.

    Raises:
        NotProvenError: Coq does not accept it, or it assumes more than the real numbers do.
    """
    with tempfile.TemporaryDirectory() as folder:
        axioms = check(Path(folder), {file.name: file.read_text(encoding="utf-8") for file in files()}, seconds)
    if unknown := axioms - ASSUMPTIONS:
        raise NotProvenError(f"The theorems assume {', '.join(sorted(unknown))}")
    return axioms


if __name__ == "__main__":
    sys.exit(main())
