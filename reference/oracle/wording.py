"""A report in words, for people."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from reference.oracle.behaviour import MISBEHAVIOURS
from reference.oracle.files import printable
from reference.oracle.laid_out import OWN
from reference.oracle.report import Block, Failure, Named, Report, versions
from reference.oracle.trial import MISMATCH
from reference.run import GATES, OUTPUTS

THREAD = re.compile(r"([\w-]+/[\w.-]+)#(\d+)")  # an issue or a pull request, as the catalogue names it
FOLLOWING = ("split", "rows")  # kinds that a wrong value brings along

# The outputs as the table shows them: what has steps, the gates of each kind in a line, the ends.
LINES = ["h", "C", "C_T"], *([f"d{kind}_{gate}" for gate in GATES] for kind in "WUb"), ["dx", "dh0", "dC0"]


def words(report: Report) -> str:
    """The whole report, the same for a terminal and for a file."""
    by = ", ".join(f"{package} {number}" for package, number in versions().items())
    parts = [f"{report.subject}: {extent(report)}; {by}", table(report.blocks), *report.notes]
    parts += [paragraph(report, failure) for failure in report.failures]
    return printable("\n\n".join([*(part for part in parts if part), conclusion(report)]))


def extent(report: Report) -> str:
    """How much is judged."""
    if report.seed is None:
        return f"one recorded run, {report.trials[0].which.sizes_text}, {report.dtype}" if report.trials else "no run"
    layout = f", layout {report.layout}" * (report.layout != OWN)
    return f"{count(len(report.trials), 'run')}, {report.dtype}{layout}, seed {report.seed}"


def table(blocks: Sequence[Block]) -> str:
    """Every block with its worst error."""
    if not blocks:
        return "No output could be judged."
    cells = {block.name: f"{block.name:<5}{number(block.ratio):>6} {' ' if block.ok else '✗'}" for block in blocks}
    lines = ["    ".join(cells[name] for name in names if name in cells).rstrip() for names in LINES]
    shown = [f"  {line}" for line in lines if line]
    return "\n".join(["Worst error of each output, as a multiple of what rounding may do:", "", *shown])


def paragraph(report: Report, failure: Failure) -> str:
    """One kind of failure."""
    if failure.kind != MISMATCH:
        follows = failure.kind in FOLLOWING and report.failures[0].kind == MISMATCH  # that may be why
        return "\n".join([misbehaviour(report, failure), *([] if follows else repeat(failure))])
    lines = [which_are_wrong(report, failure)]
    if report.seed is not None:
        lines.append(f"The smallest run that shows it is {failure.which}: {failure.text}.")
    if report.beginning:
        lines.append(f"It goes wrong first in {report.beginning}.")
    return "\n".join([*lines, *explanation(report), *repeat(failure)])


def which_are_wrong(report: Report, failure: Failure) -> str:
    """The outputs that are wrong and those that are right."""
    wrong = [block.name for block in report.blocks if not block.ok]
    right = [block.name for block in report.blocks if block.ok]
    how_often = f" on {failure.runs} of {count(len(report.trials), 'run')}" if report.seed is not None else ""
    sentence = f"{listed(wrong)} {'is' if len(wrong) == 1 else 'are'} wrong{how_often}"
    return f"{sentence}; {listed(right)} {'is' if len(right) == 1 else 'are'} right." if right else f"{sentence}."


def which_are_right(report: Report) -> str:
    """The outputs of a right LSTM, and those that it did not return."""
    given = [block.name for block in report.blocks]
    missing = [name for name in OUTPUTS if name not in given]
    sentence = f"{listed(given)} {'is' if len(given) == 1 else 'are'} right"
    return (
        f"{sentence}; {listed(missing)} did not come back and {'is' if len(missing) == 1 else 'are'} not judged."
        if missing
        else f"{sentence}."
    )


def misbehaviour(report: Report, failure: Failure) -> str:
    """What it does besides, and on which run."""
    on = f", on {failure.which}" if failure.which and report.seed is not None else ""
    return f"It {MISBEHAVIOURS[failure.kind]}: {failure.text}{on}."


def explanation(report: Report) -> list[str]:
    """The mistakes that are named, or the narrowest place."""
    if not report.explanations:
        return [unnamed(report)]
    lines = [introduction(report)]
    for k, bugs in enumerate(report.explanations):
        lines += ["  or" for _ in range(bool(k))]
        lines += [line for bug in bugs for line in (f"  {bug.id}: {bug.text}", *seen(bug))]
    return lines


def introduction(report: Report) -> str:
    """What the names of mistakes that follow say."""
    one = len(report.explanations) == 1 and len(report.explanations[0]) == 1
    return "What it gives is what this mistake gives:" if one else "What explains it:"


def unnamed(report: Report) -> str:
    """That no name fits, and the narrowest place."""
    where = f" The narrowest place: {report.location}." if report.location else ""
    return f"No known mistake explains it.{where}"


def pictured(report: Report) -> str:
    """Why the run that is shown in full is shown."""
    if report.pictured is None or report.seed is None:
        return ""
    return f"This is {report.pictured.which}{'' if report.failures else ', the worst of all'}."


def seen(bug: Named) -> list[str]:
    """Where a mistake was seen before."""
    return [f"    seen in {', '.join(bug.seen_in)}"] if bug.seen_in else []


def address(source: str) -> str | None:
    """The address of a thread on GitHub, which leads on from an issue's to a pull request's; None for what is none."""
    thread = THREAD.fullmatch(source)
    return thread and f"https://github.com/{thread[1]}/issues/{thread[2]}"


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
