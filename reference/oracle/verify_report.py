"""What `lstm-oracle verify` shows: a table for people, JSON for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reference.oracle.cases import Case
from reference.oracle.errata import MISPRINTS
from reference.oracle.findings import Finding
from reference.oracle.report import finite
from reference.oracle.truth import DELTAS, VALUES
from reference.oracle.verify import DIGITS, PEERS, SUBJECTS, Mismatch, Verdict, installed
from reference.run import OUTPUTS

TITLES = {"bptt": "bptt", "fused": "fused", "flax": "Flax", "onnxruntime": "ONNX Rt"}


def show(verdict: Verdict) -> None:
    """Print the verdict on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe, where rich would fold to 80 columns
        console.width = 100
    tables = Table.grid(padding=(0, 5))
    tables.add_row(
        worst_errors(verdict, "edge", DELTAS, ("bptt", "fused")),
        worst_errors(verdict, "result", [*VALUES, *OUTPUTS], tuple(SUBJECTS)),
    )
    console.print("Worst error, in units of rounding (eps · scale), and the run that it comes from:\n")
    console.print(tables)
    console.print(misprints(verdict))
    console.print(certified(verdict))
    console.print(conclusion(verdict))


def worst_errors(verdict: Verdict, title: str, blocks: Iterable[str], subjects: Sequence[str]) -> Table:
    """A row for each block, a column for each subject, both precisions in one."""
    table = Table(title, box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in (*(TITLES[subject] for subject in subjects), "run"):
        table.add_column(name, justify="right")
    for block in dict.fromkeys(blocks):
        found = {subject: worst(verdict, subject, block) for subject in subjects}
        judged = [pair for pair in found.values() if pair]
        if judged:
            _, case = max(judged, key=lambda pair: pair[0].ratio)
            table.add_row(block, *map(cell, found.values()), str(case.number))
    return table


def worst(verdict: Verdict, subject: str, block: str) -> tuple[Finding, Case] | None:
    """The worst finding of a block over both precisions."""
    found = [pair for (by, _, name), pair in verdict.worst.items() if (by, name) == (subject, block)]
    return max(found, key=lambda pair: pair[0].ratio, default=None)


def cell(found: tuple[Finding, Case] | None) -> Text:
    """A finding's error, red where it is no rounding error."""
    if found is None:
        return Text("–", style="dim")
    units = found[0].units
    return Text(f"{units:.1f}" if units < 1000 else f"{units:.0e}", style="" if found[0].ok else "bold red")


def misprints(verdict: Verdict) -> Table:
    """A row for each misprint of the source."""
    table = Table.grid(padding=(0, 2))
    for misprint in MISPRINTS:
        refuted = f"refuted on {verdict.refuted[misprint.edge]} of {verdict.runs} runs"
        table.add_row("misprint", f"δ{misprint.edge} = {misprint.printed}", refuted)
    return table


def certified(verdict: Verdict) -> Text:
    """How many numbers are proven right beyond floating point, and to how many digits."""
    if verdict.certificates is None:
        return Text(f"\nNot certified to {DIGITS} digits: python-flint is not installed.")
    if wrong := [certificate.mismatch for certificate in verdict.certificates if certificate.mismatch]:
        return Text(f"\nNot certified: {wrong[0]}", style="bold red")
    digits = math.floor(min(c.digits for c in verdict.certificates))
    by_twin = {c.twin: [other for other in verdict.certificates if other.twin == c.twin] for c in verdict.certificates}
    counts = [
        f"{TITLES[twin]} {sum(c.entries for c in some)} {'gradients and edges' if twin == 'bptt' else 'gradients'}, "
        f"{sum(c.entries for c in some if c.entries == c.directions)} one by one"
        for twin, some in by_twin.items()
    ]
    return Text(f"\nCertified to {digits} digits in ball arithmetic: {'; '.join(counts)}.")


def conclusion(verdict: Verdict) -> Text:
    """What was judged, and the word that sums it up."""
    judged = ", ".join(f"{TITLES[name]} {verdict.judged[name]}" for name in SUBJECTS if verdict.judged[name])
    absent = "".join(f"; {TITLES[name]} is not installed" for name in PEERS if name not in installed())
    lines = Text(f"\nRuns judged: {judged}{absent}. Seed {verdict.seed}, {verdict.seconds:.0f} s.\n")
    if verdict.ok:
        return lines.append("VERIFIED", style="bold green")
    lines.append("MISMATCH", style="bold red")
    if mismatch := verdict.narrowest:
        lines.append(f" {place(mismatch)}\nRepeat with: {repeat(verdict, mismatch)}")
    elif any(certificate.mismatch for certificate in verdict.certificates or []):
        lines.append(" in ball arithmetic: what is derived is not the derivative")
    else:
        lines.append(" a misprint was refuted on no run: the judge does not see")
    return lines


def place(mismatch: Mismatch) -> str:
    """Where a subject first leaves the truth, in words."""
    step = "" if mismatch.step is None else f" at step {mismatch.step}"
    return f"{TITLES[mismatch.subject]}: {mismatch.block}{step} of {mismatch.case}"


def repeat(verdict: Verdict, mismatch: Mismatch) -> str:
    """The command that judges this run again."""
    case = mismatch.case
    return f"lstm-oracle verify --seed {verdict.seed} --run {case.number} --dtype {case.dtype}"


def to_json(verdict: Verdict) -> dict[str, Any]:
    """The verdict as JSON."""
    blocks = [
        {"name": block, "ok": finding.ok, "ratio": finite(finding.ratio), "units": finite(finding.units)}
        | {"subject": subject, "dtype": dtype, "run": case.number, "step": finding.step}
        for (subject, dtype, block), (finding, case) in verdict.worst.items()
    ]
    mismatch = verdict.narrowest
    balls = [] if verdict.certificates is None else ["python-flint"]
    return {
        "ok": verdict.ok,
        "blocks": blocks,
        "diagnosis": [],
        "mismatch": mismatch and {"text": place(mismatch), "repeat": repeat(verdict, mismatch)},
        "misprints": [
            {"edge": misprint.edge, "printed": misprint.printed, "refuted": verdict.refuted[misprint.edge]}
            for misprint in MISPRINTS
        ],
        "certified": verdict.certificates
        and [asdict(c) | {"ok": c.ok, "digits": finite(c.digits)} for c in verdict.certificates],
        "runs": verdict.runs,
        "judged": dict(verdict.judged),
        "seed": verdict.seed,
        "seconds": round(verdict.seconds, 1),
        "versions": {package: version(package) for package in ("lstm-oracle", "numpy", "jax", *balls, *installed())},
    }
