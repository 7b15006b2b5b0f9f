"""The results as tables, on the terminal and in POLICY.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from lstm_oracle.diagnosis.bugs import BugKind
from tests.policy.correct import DTYPES, JudgedRun
from tests.policy.margins import Margin, mildest_first
from tests.versions import versions, versions_text

MILDEST = 8  # mistakes that are listed for each dtype
ENOUGH = 20  # runs, for a mistake to be listed
PACKAGES = ("numpy", "jax", "flax", "onnxruntime", "torch")
ERROR_COLUMNS = ["runs", "false alarms", "median", "99 %", "99.9 %", "worst", "worst, in units"]


@dataclass(frozen=True)
class Results:
    """All that was measured."""

    seed: int
    judged: Sequence[JudgedRun]
    ill_conditioned: int  # runs that were left out
    margins: Sequence[Margin]

    @property
    def false_alarms(self) -> list[JudgedRun]:
        """The runs of correct implementations with an error above the tolerance."""
        return [run for run in self.judged if not run.ratio <= 1]


class TextTable(NamedTuple):
    """A table whose cells are text."""

    title: str
    header: list[str]
    rows: list[list[str]]


def tables(results: Results) -> list[TextTable]:
    """Return the tables of correct implementations, and of the mildest mistakes in each dtype."""
    by_subject = error_rows(results.judged, lambda run: (run.subject, run.dtype))
    by_regime = error_rows(results.judged, lambda run: (run.regime, run.dtype))
    return [
        TextTable("Correct implementations", ["implementation", "dtype", *ERROR_COLUMNS], by_subject),
        TextTable("Correct implementations, by regime", ["regime", "dtype", *ERROR_COLUMNS], by_regime),
        *(mildest(comparable(results.margins), dtype.name) for dtype in DTYPES),
    ]


def error_rows(judged: Sequence[JudgedRun], key: Callable[[JudgedRun], tuple[str, str]]) -> list[list[str]]:
    """Return a row for each group of runs: the distribution of their worst errors, relative to the tolerance."""
    rows = []
    for names in sorted({key(run) for run in judged}):
        runs = [run for run in judged if key(run) == names]
        ratios = [run.ratio for run in runs]
        worst = max(runs, key=lambda run: run.ratio)
        quantiles = [f"{np.quantile(ratios, q):.3f}" for q in (0.5, 0.99, 0.999)]
        false_alarms = sum(not ratio <= 1 for ratio in ratios)
        rows.append([*names, str(len(runs)), str(false_alarms), *quantiles, f"{worst.ratio:.3f}", f"{worst.units:.1f}"])
    return rows


def mildest(margins: Sequence[Margin], dtype: str) -> TextTable:
    """Return the mistakes that are hardest to distinguish from rounding."""
    of_dtype = [margin for margin in margins if margin.dtype == dtype]
    rows = [
        [m.bug.id, m.bug.text, f"{m.shown} of {m.runs}", ratio_text(m.median), ratio_text(m.largest)]
        for m in mildest_first(of_dtype)[:MILDEST]
    ]
    header = ["mistake", "description", "runs that show it", "median", "largest"]
    return TextTable(f"The mildest of {len(of_dtype)} mistakes in {dtype}, relative to the tolerance", header, rows)


def comparable(margins: Sequence[Margin]) -> list[Margin]:
    """Return the margins that were measured on enough runs."""
    return [margin for margin in margins if margin.runs >= min(ENOUGH, max(m.runs for m in margins))]


def ratio_text(value: float) -> str:
    """Return a ratio with two digits."""
    return f"{value:.2g}" if value < 100 else f"{value:.1e}"


def show(results: Results) -> None:
    """Print the tables, and every false alarm."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    for title, header, rows in tables(results):
        table = Table(*header, title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(summary(results))
    for run in results.false_alarms:
        console.print(f"FALSE ALARM: {run.ratio:.2f} times the tolerance, {run.subject}, {run.place}")


def summary(results: Results) -> str:
    """Return the result for correct implementations, in two sentences."""
    worst = max(run.ratio for run in results.judged)
    runs = f"{len(results.judged):,} runs of correct implementations were judged"
    alarms = f"with {len(results.false_alarms)} false alarms"
    return f"{runs}, {alarms}; the worst error was {worst:.2f} of the tolerance. The seed is {results.seed}."


def markdown(results: Results) -> str:
    """Return the text of POLICY.md."""
    parts = [markdown_table(table) for table in tables(results)]
    compared = comparable(results.margins)
    others = [m for m in results.margins if m not in compared]
    few = ", ".join(f"{m.bug.id} ({m.dtype}, {ratio_text(m.largest)})" for m in others)
    missed = [m for m in results.margins if m.largest <= 1]
    runs = max(m.runs for m in results.margins)
    return f"""\
# Is the tolerance ever wrong?

Written by `make false-alarms` on {date.today()}; {versions_text(versions(*PACKAGES))}.

**Does it fail a correct LSTM?** {summary(results)}

Runs are drawn as `lstm-oracle check` draws them, except that one in sixteen has 400 steps, and one in sixteen has
recurrent weights up to fourteen times as large, so that it may amplify errors. The error of a run is that of its worst
block and step, relative to the tolerance; above 1, it is a false alarm. {results.ill_conditioned} more runs
were left out, because rounding alone may change them by more than 1 %: the judge refuses these.

{parts[0]}
{parts[1]}
**By how much do mistakes exceed it?** Every mistake in `lstm_oracle.diagnosis.bugs` was made on {runs} runs, drawn as
`lstm-oracle check` draws them. The mildest mistakes have these errors relative to the tolerance, each on the run that
shows it best:

{markdown_table(least(compared))}
{missed_text(missed)} Mistakes that require two equal sizes can be made
on few runs only, and are not in these tables: {few or "none"}.

{parts[2]}
{parts[3]}
A run shows a mistake if the error exceeds the tolerance. A run whose initial state is zero, for example, does not show
that the initial state is ignored. In float32, computing in float32 is no mistake, and such mistakes are left out.
"""


def least(margins: Sequence[Margin]) -> TextTable:
    """Return the mildest mistake in each dtype, and the mildest that is not one of precision."""
    rows = []
    for dtype in DTYPES:
        ordered = mildest_first(margin for margin in margins if margin.dtype == dtype.name)
        others = [margin for margin in ordered if margin.bug.kind != BugKind.PRECISION]
        rows.append([dtype.name, *(f"{ratio_text(m.largest)}, {m.bug.id}" for m in (*ordered[:1], *others[:1]))])
    return TextTable("The mildest mistakes", ["dtype", "of all", "of those that are not of precision"], rows)


def missed_text(missed: Sequence[Margin]) -> str:
    """Return which mistakes are within the tolerance on all runs, in one sentence."""
    if not missed:
        return "Every mistake exceeds the tolerance on some run."
    return f"Within the tolerance on all runs: {', '.join(f'{m.bug.id} ({m.dtype})' for m in missed)}."


def markdown_table(table: TextTable) -> str:
    """Return a table in Markdown, below its title."""
    lines = [table.header, ["---"] * len(table.header), *table.rows]
    return f"**{table.title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
