"""The result of `lstm-oracle verify`: a table for people, JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_oracle.inputs.cases import Case
from lstm_oracle.reports.verdict import json_number
from lstm_oracle.run import OUTPUTS
from lstm_oracle.truth.batch import DELTAS, VALUES
from lstm_oracle.truth.truth import Finding
from lstm_oracle.verify.errata import MISPRINTS
from lstm_oracle.verify.proof import known_proof
from lstm_oracle.verify.verify import DIGITS, PEERS, SUBJECTS, Mismatch, Verification, installed

if TYPE_CHECKING:  # needs python-flint
    from lstm_oracle.certified.certificate import Certificate

TITLES = {"bptt": "bptt", "fused": "fused", "flax": "Flax", "onnxruntime": "ONNX Rt"}


def show(verification: Verification) -> None:
    """Print a verification on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:  # rich would wrap lines at 80 columns in a file or a pipe
        console.width = 100
    tables = Table.grid(padding=(0, 5))
    tables.add_row(
        worst_errors(verification, "edge", DELTAS, ("bptt", "fused")),
        worst_errors(verification, "result", [*VALUES, *OUTPUTS], tuple(SUBJECTS)),
    )
    console.print("Worst error, in units of rounding (eps · scale), and the run that it comes from:\n")
    console.print(tables)
    console.print(misprints(verification))
    console.print(certified(verification))
    console.print(proven())
    console.print(conclusion(verification))


def worst_errors(verification: Verification, title: str, blocks: Iterable[str], subjects: Sequence[str]) -> Table:
    """Return a table with a row for each block and a column for each subject, over all precisions."""
    table = Table(title, box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in (*(TITLES[subject] for subject in subjects), "run"):
        table.add_column(name, justify="right")
    for block in dict.fromkeys(blocks):
        found = {subject: worst(verification, subject, block) for subject in subjects}
        judged = [pair for pair in found.values() if pair]
        if judged:
            _, case = max(judged, key=lambda pair: pair[0].ratio)
            table.add_row(block, *map(cell, found.values()), str(case.number))
    return table


def worst(verification: Verification, subject: str, block: str) -> tuple[Finding, Case] | None:
    """Return the worst finding of a block over all precisions, with its case, or None if the block was not judged."""
    found = [pair for (by, _, name), pair in verification.worst.items() if (by, name) == (subject, block)]
    return max(found, key=lambda pair: pair[0].ratio, default=None)


def cell(found: tuple[Finding, Case] | None) -> Text:
    """Return the error of a finding, red if it exceeds the tolerance."""
    if found is None:
        return Text("–", style="dim")
    units = found[0].units
    return Text(f"{units:.1f}" if units < 1000 else f"{units:.0e}", style="" if found[0].ok else "bold red")


def misprints(verification: Verification) -> Table:
    """Return a table with a row for each misprint of the source."""
    table = Table.grid(padding=(0, 2))
    for misprint in MISPRINTS:
        refuted = f"refuted on {verification.refuted[misprint.edge]} of {verification.runs} runs"
        table.add_row("misprint", f"δ{misprint.edge} = {misprint.printed}", refuted)
    return table


def certified(verification: Verification) -> Text:
    """Return how many numbers of each twin are certified, and to how many digits."""
    if verification.certificates is None:
        return Text(f"\nNot certified to {DIGITS} digits: python-flint is not installed.")
    if wrong := [certificate.mismatch for certificate in verification.certificates if certificate.mismatch]:
        return Text(f"\nNot certified: {wrong[0]}", style="bold red")
    digits = math.floor(min(certificate.digits for certificate in verification.certificates))
    by_twin: dict[str, list[Certificate]] = {}
    for certificate in verification.certificates:
        by_twin.setdefault(certificate.twin, []).append(certificate)
    counts = "; ".join(certified_entries(twin, some) for twin, some in by_twin.items())
    return Text(f"\nCertified to {digits} digits in ball arithmetic: {counts}.")


def proven() -> Text:
    """Return whether the proof is of this code, and whether Coq has checked it on this machine."""
    proof = known_proof()
    if proof is None:
        return Text("Proof: not part of this installation; see manual/proof in the repository.")
    if proof.different:  # which does not change the verdict: it is about the numbers
        expected, found = proof.different[0]
        first = (found or expected).strip()
        return Text(f"Not proven: the proof is not of this code, which differs first in {first!r}.", style="bold red")
    checked = f"checked by Coq {proof.coq} on this machine" if proof.coq else "not checked on this machine (make proof)"
    return Text(f"Proof for all sizes: its lines are those of the code; {checked}.")


def certified_entries(twin: str, some: Sequence[Certificate]) -> str:
    """Return how many entries of a twin are certified, and how many of these individually."""
    entries = sum(certificate.entries for certificate in some)
    individually = sum(certificate.entries for certificate in some if certificate.entries == certificate.directions)
    what = "gradients and edges" if twin == "bptt" else "gradients"
    return f"{TITLES[twin]} {entries} {what}, {individually} of them individually"


def conclusion(verification: Verification) -> Text:
    """Return how much was judged, and the verdict."""
    judged = ", ".join(f"{TITLES[name]} {verification.judged[name]}" for name in SUBJECTS if verification.judged[name])
    absent = "".join(f"; {TITLES[name]} is not installed" for name in PEERS if name not in installed())
    lines = Text(f"\nRuns judged: {judged}{absent}. Seed {verification.seed}, {verification.seconds:.0f} s.\n")
    if verification.ok:
        return lines.append("VERIFIED", style="bold green")
    lines.append("MISMATCH", style="bold red")
    if mismatch := verification.smallest_mismatch:
        return lines.append(f" in {place(mismatch)}\nRepeat with: {repeat(verification, mismatch)}")
    if any(certificate.mismatch for certificate in verification.certificates or []):
        return lines.append(" in ball arithmetic: the derived formulas do not equal the derivative")
    return lines.append(" in the misprints: no run refutes one of them, so the comparison overlooks errors")


def place(mismatch: Mismatch) -> str:
    """Return in words where a subject first differs from the truth."""
    step = "" if mismatch.step is None else f" at step {mismatch.step}"
    return f"{TITLES[mismatch.subject]}: {mismatch.block}{step} of {mismatch.case}"


def repeat(verification: Verification, mismatch: Mismatch) -> str:
    """Return the command that judges the run of a mismatch again."""
    case = mismatch.case
    return f"lstm-oracle verify --seed {verification.seed} --run {case.number} --dtype {case.dtype}"


def to_json(verification: Verification) -> dict[str, Any]:
    """Return a verification as JSON."""
    blocks = [
        {"name": block, "ok": finding.ok, "ratio": json_number(finding.ratio), "units": json_number(finding.units)}
        | {"subject": subject, "dtype": dtype, "run": case.number, "step": finding.step}
        for (subject, dtype, block), (finding, case) in verification.worst.items()
    ]
    mismatch = verification.smallest_mismatch
    flint = [] if verification.certificates is None else ["python-flint"]
    return {
        "ok": verification.ok,
        "blocks": blocks,
        "diagnosis": [],
        "mismatch": mismatch and {"text": place(mismatch), "repeat": repeat(verification, mismatch)},
        "misprints": [
            {"edge": misprint.edge, "printed": misprint.printed, "refuted": verification.refuted[misprint.edge]}
            for misprint in MISPRINTS
        ],
        "proof": proof_to_json(),
        "certified": verification.certificates
        and [asdict(c) | {"ok": c.ok, "digits": json_number(c.digits)} for c in verification.certificates],
        "runs": verification.runs,
        "judged": dict(verification.judged),
        "seed": verification.seed,
        "seconds": round(verification.seconds, 1),
        "versions": {package: version(package) for package in ("lstm-oracle", "numpy", "jax", *flint, *installed())},
    }


def proof_to_json() -> dict[str, Any] | None:
    """Return what is known of the proof as JSON; None if its sources are not here."""
    proof = known_proof()
    if proof is None:
        return None
    return {"different": len(proof.different), "coq": proof.coq or None}
