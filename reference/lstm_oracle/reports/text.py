"""A verdict in words."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.inputs.cases import sizes_text
from lstm_oracle.inputs.files import printable
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.reports.verdict import Block, Failure, Verdict, versions
from lstm_oracle.run import GATES, OUTPUTS

if TYPE_CHECKING:
    from lstm_oracle.diagnosis.bugs import Bug

THREAD = re.compile(r"([\w-]+/[\w.-]+)#(\d+)")  # an issue or a pull request, as the catalogue cites it
FOLLOWS_FROM_MISMATCH = (FailureKind.SPLIT, FailureKind.ROWS)

# The outputs as the table shows them: the states, the weight gradients by kind, and the other gradients.
LINES = ["h", "C", "C_T"], *([f"d{kind}_{gate}" for gate in GATES] for kind in "WUb"), ["dx", "dh0", "dC0"]
TABLE_TITLE = "Worst error of each output, relative to the rounding tolerance (above 1 fails):"


def report_text(verdict: Verdict) -> str:
    """Return the whole report as text, for a terminal or for a file."""
    by = ", ".join(f"{package} {number}" for package, number in versions().items())
    parts = [f"{verdict.subject}: {extent(verdict)}; {by}", table(verdict.blocks), *verdict.notes]
    parts += [paragraph(verdict, failure) for failure in verdict.failures]
    return printable("\n\n".join([*(part for part in parts if part), conclusion(verdict)]))


def summary(verdict: Verdict) -> str:
    """Return the verdict in one line."""
    failures = "; ".join(failure_text(verdict, failure) for failure in verdict.failures)
    line = f"{verdict.subject}: {conclusion(verdict)}{f': {failures}' if failures else ''}"
    return printable(line).replace("\n", " ")


def failure_text(verdict: Verdict, failure: Failure) -> str:
    """Return a failure in a few words."""
    if failure.kind != FailureKind.MISMATCH:
        return lower_first(failure.kind.description)
    return f"{listed([block.name for block in verdict.blocks if not block.ok])} wrong"


def extent(verdict: Verdict) -> str:
    """Return how much was judged."""
    if verdict.seed is None:
        if not verdict.trials:
            return "no run"
        return f"one recorded run, {sizes_text(verdict.trials[0].id.sizes)}, {verdict.dtype}"
    layout = f", layout {verdict.layout}" * (verdict.layout != OWN_LAYOUT)
    return f"{counted(len(verdict.trials), 'run')}, {verdict.dtype}{layout}, seed {verdict.seed}"


def table(blocks: Sequence[Block]) -> str:
    """Return a table of every output with its worst error."""
    if not blocks:
        return "No output could be judged."
    cells = {block.name: f"{block.name:<5}{number(block.ratio):>6} {' ' if block.ok else '✗'}" for block in blocks}
    lines = ["    ".join(cells[name] for name in names if name in cells).rstrip() for names in LINES]
    return "\n".join([TABLE_TITLE, "", *(f"  {line}" for line in lines if line)])


def paragraph(verdict: Verdict, failure: Failure) -> str:
    """Return the paragraph about one kind of failure, line by line."""
    if failure.kind != FailureKind.MISMATCH:
        follows = failure.kind in FOLLOWS_FROM_MISMATCH and verdict.failures[0].kind == FailureKind.MISMATCH
        return "\n".join([misbehaviour(verdict, failure), *([] if follows else repeat(failure))])
    lines = [which_are_wrong(verdict, failure)]
    if smallest := smallest_run(verdict, failure):
        lines.append(smallest)
    if verdict.first_error:
        lines.append(f"First error {verdict.first_error}.")
    return "\n".join([*lines, *explanation(verdict), *repeat(failure)])


def which_are_wrong(verdict: Verdict, failure: Failure) -> str:
    """Return which outputs are wrong, how often, and which are correct."""
    wrong = [block.name for block in verdict.blocks if not block.ok]
    correct = [block.name for block in verdict.blocks if block.ok]
    how_often = f" on {failure.runs} of {counted(len(verdict.trials), 'run')}" if verdict.seed is not None else ""
    sentence = f"{listed(wrong)} {are(wrong)} wrong{how_often}"
    return f"{sentence}; {listed(correct)} {are(correct)} correct." if correct else f"{sentence}."


def which_are_correct(verdict: Verdict) -> str:
    """Return which outputs of a correct LSTM were judged, and which were not returned."""
    correct, missing = [block.name for block in verdict.blocks], verdict.not_judged
    sentence = f"{listed(correct)} {are(correct)} correct"
    if not missing:
        return f"{sentence}."
    return f"{sentence}; {listed(missing)} {'was' if len(missing) == 1 else 'were'} not returned and not judged."


def smallest_run(verdict: Verdict, failure: Failure) -> str:
    """Return which drawn run is the smallest that shows wrong values; empty for a recorded run."""
    if failure.smallest is None or verdict.seed is None:
        return ""
    return f"Smallest failing run found: {failure.smallest}, in {failure.text}."


def misbehaviour(verdict: Verdict, failure: Failure) -> str:
    """Return what the candidate does wrong apart from its values, and on which run."""
    on = f", on {failure.smallest}" if failure.smallest and verdict.seed is not None else ""
    return f"{failure.kind.description}: {failure.text}{on}."


def explanation(verdict: Verdict) -> list[str]:
    """Return the known mistakes that match, or else the narrowest location of the error, line by line."""
    if not verdict.explanations:
        return [unexplained(verdict)]
    lines = [introduction(verdict)]
    for k, mistakes in enumerate(verdict.explanations):
        lines += ["  or"] * bool(k)
        lines += [line for mistake in mistakes for line in (f"  {mistake.id}: {mistake.text}", *seen(mistake))]
    return lines


def introduction(verdict: Verdict) -> str:
    """Return the line that introduces the known mistakes that match."""
    if len(verdict.explanations) > 1:
        return "The output matches each of these known mistakes, and the runs do not distinguish them:"
    if len(verdict.explanations[0]) > 1:
        return "The output matches these known mistakes together:"
    return "The output matches this known mistake:"


def unexplained(verdict: Verdict) -> str:
    """Return the sentence that no known mistake matches, and the narrowest location of the error."""
    where = f" The error is located {verdict.location}." if verdict.location else ""
    return f"No known mistake matches the output.{where}"


def pictured(verdict: Verdict) -> str:
    """Return which run is shown in full; empty for a recorded run."""
    if verdict.pictured is None or verdict.seed is None:
        return ""
    return f"This is {verdict.pictured.id}{'' if verdict.failures else ', which has the largest error'}."


def seen(mistake: Bug) -> list[str]:
    """Return the line that says where a mistake was seen, or no line if that is not known."""
    return [f"    seen in {', '.join(mistake.seen_in)}"] if mistake.seen_in else []


def address(source: str) -> str | None:
    """Return the address of a thread on GitHub, or None for another source; GitHub redirects to pull requests."""
    thread = THREAD.fullmatch(source)
    return thread and f"https://github.com/{thread[1]}/issues/{thread[2]}"


def repeat(failure: Failure) -> list[str]:
    """Return the line with the command that repeats a failure, or no line if there is no command."""
    return [f"Repeat with: {failure.repeat}"] if failure.repeat else []


def conclusion(verdict: Verdict) -> str:
    """Return the verdict in a word or two."""
    if verdict.ok:
        return "CORRECT"
    if any(not block.ok for block in verdict.blocks):
        return "INCORRECT"
    return "MISBEHAVES" if verdict.blocks else "NOT JUDGED"


def listed(names: Sequence[str]) -> str:
    """Return the names of outputs, in which dW_f, dW_i, dW_g and dW_o together become dW_*, and so on."""
    short = list(names)
    for kind in ("dW", "dU", "db"):
        group = [name for name in OUTPUTS if name.startswith(f"{kind}_")]
        if set(group) <= set(short):
            short[short.index(group[0])] = f"{kind}_*"
            short = [name for name in short if name not in group]
    return ", ".join(short)


def are(names: Sequence[str]) -> str:
    """Return "is" or "are" for these names."""
    return "is" if len(names) == 1 else "are"


def number(ratio: float) -> str:
    """Return a ratio in few characters."""
    if not math.isfinite(ratio):
        return "∞"
    return f"{ratio:.2f}" if ratio < 1000 else f"{ratio:.0e}".replace("e+", "e")


def counted(number: int, thing: str) -> str:
    """Return a number with a noun in the singular or plural."""
    return f"{number} {thing}{'' if number == 1 else 's'}"


def lower_first(sentence: str) -> str:
    """Return a sentence with its first letter in lower case."""
    return sentence[:1].lower() + sentence[1:]
