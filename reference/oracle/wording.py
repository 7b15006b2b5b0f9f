"""A report in words, for people."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reference.oracle.behaviour import MISBEHAVIOURS
from reference.oracle.laid_out import OWN
from reference.oracle.report import Block, Failure, Named, Report, versions
from reference.oracle.trial import MISMATCH
from reference.run import OUTPUTS


def words(report: Report) -> str:
    """The whole report."""
    parts = [heading(report), table(report.blocks), *report.notes]
    parts += [paragraph(report, failure) for failure in report.failures]
    return "\n\n".join([*(part for part in parts if part), conclusion(report)])


def heading(report: Report) -> str:
    """What is judged."""
    by = ", ".join(f"{package} {number}" for package, number in versions().items())
    if report.seed is None:
        return f"{report.subject}: one recorded run, {report.trials[0].which.sizes_text}, {report.dtype}; {by}"
    layout = f", layout {report.layout}" * (report.layout != OWN)
    return f"{report.subject}: {count(len(report.trials), 'run')}, {report.dtype}{layout}, seed {report.seed}; {by}"


def table(blocks: Sequence[Block]) -> str:
    """Every block with its worst error, four in a line."""
    if not blocks:
        return "No output could be judged."
    cells = [f"{block.name:<5}{number(block.ratio):>8}{'   ' if block.ok else ' ✗ '}" for block in blocks]
    lines = ["   ".join(cells[k : k + 4]).rstrip() for k in range(0, len(cells), 4)]
    return "\n".join(["Worst error of each output, as a multiple of what rounding may do:", "", *lines])


def paragraph(report: Report, failure: Failure) -> str:
    """One kind of failure."""
    if failure.kind != MISMATCH:
        on = f", on {failure.which}" if failure.which and report.seed is not None else ""
        if failure.kind in ("split", "rows") and report.failures[0].kind == MISMATCH:  # that may be why
            return f"It {MISBEHAVIOURS[failure.kind]}: {failure.text}{on}."
        return "\n".join([f"It {MISBEHAVIOURS[failure.kind]}: {failure.text}{on}.", *repeat(failure)])
    wrong = [block.name for block in report.blocks if not block.ok]
    right = [block.name for block in report.blocks if block.ok]
    how_often = f" on {failure.runs} of {count(len(report.trials), 'run')}" if report.seed is not None else ""
    sentence = f"{listed(wrong)} {'is' if len(wrong) == 1 else 'are'} wrong{how_often}"
    sentence += f"; {listed(right)} {'is' if len(right) == 1 else 'are'} right." if right else "."
    lines = [sentence]
    if report.seed is not None:
        lines.append(f"The smallest run that shows it is {failure.which}: {failure.text}.")
    if report.beginning:
        lines.append(f"It goes wrong first in {report.beginning}.")
    return "\n".join([*lines, *explanation(report), *repeat(failure)])


def explanation(report: Report) -> list[str]:
    """The mistakes that are named, or the narrowest place."""
    if not report.explanations:
        where = f" The narrowest place: {report.location}." if report.location else ""
        return [f"No known mistake explains it.{where}"]
    lines = ["What it gives is what this mistake gives:" if one_bug(report.explanations) else "What explains it:"]
    for k, bugs in enumerate(report.explanations):
        lines += ["  or" for _ in range(bool(k))]
        lines += [f"  {bug.id}: {bug.text}{seen(bug)}" for bug in bugs]
    return lines


def one_bug(explanations: Sequence[Sequence[Named]]) -> bool:
    """Whether a single mistake explains it, and no other does."""
    return len(explanations) == 1 and len(explanations[0]) == 1


def seen(bug: Named) -> str:
    """Where a mistake was seen before."""
    return f"; seen in {', '.join(bug.seen_in)}" if bug.seen_in else ""


def repeat(failure: Failure) -> list[str]:
    """How to see it again."""
    return [f"Repeat with: {failure.repeat}"] if failure.repeat else []


def conclusion(report: Report) -> str:
    """The word that sums it up."""
    if report.ok:
        return "RIGHT"
    if any(not block.ok for block in report.blocks):
        return "WRONG"
    return "MISBEHAVES" if report.blocks else "NOT JUDGED"


def listed(names: Sequence[str]) -> str:
    """Names of outputs, the gates of one kind together: dW_f dW_i dW_g dW_o are dW_*."""
    short = list(names)
    for kind in ("dW", "dU", "db"):
        group = [name for name in OUTPUTS if name.startswith(f"{kind}_")]
        if set(group) <= set(short):
            short[short.index(group[0])] = f"{kind}_*"
            short = [name for name in short if name not in group]
    return ", ".join(short)


def number(ratio: float) -> str:
    """A ratio in few characters."""
    if not math.isfinite(ratio):
        return "∞"
    return f"{ratio:.2f}" if ratio < 1000 else f"{ratio:.0e}".replace("e+", "e")


def count(number: int, thing: str) -> str:
    """So many things."""
    return f"{number} {thing}{'' if number == 1 else 's'}"
