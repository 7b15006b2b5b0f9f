"""The measurements as tables on the terminal and as POLICY.md."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from tests.policy.honest import Judged
from tests.policy.margins import Margin, mildest_first
from tests.versions import listed, versions

MILDEST = 8  # mistakes that are listed for each dtype
ENOUGH = 20  # runs, for a margin to be compared
PACKAGES = ("numpy", "jax", "flax", "onnxruntime", "torch")


@dataclass(frozen=True)
class Found:
    """All that was measured."""

    seed: int
    judged: Sequence[Judged]
    refused: int
    margins: Sequence[Margin]

    @property
    def alarms(self) -> list[Judged]:
        return [one for one in self.judged if not one.ratio <= 1]


Figures = tuple[str, list[str], list[list[str]]]  # title, header, rows


def tables(found: Found) -> list[Figures]:
    by_who = grouped(found.judged, lambda one: (one.who, one.dtype))
    by_regime = grouped(found.judged, lambda one: (one.regime, one.dtype))
    return [
        ("Honest implementations", ["who", "dtype", *HONEST], by_who),
        ("The same by the regime of the values", ["regime", "dtype", *HONEST], by_regime),
        *(mildest(comparable(found.margins), dtype) for dtype in ("float64", "float32")),
    ]


HONEST = ["runs", "false alarms", "median", "99 %", "99.9 %", "worst", "in units"]


def grouped(judged: Sequence[Judged], key: Callable[[Judged], tuple[str, str]]) -> list[list[str]]:
    """A row for each group: the worst errors of its runs, as shares of the tolerance."""
    rows = []
    for names in sorted({key(one) for one in judged}):
        some = [one for one in judged if key(one) == names]
        ratios = [one.ratio for one in some]
        worst = max(some, key=lambda one: one.ratio)
        quantiles = [f"{np.quantile(ratios, q):.3f}" for q in (0.5, 0.99, 0.999)]
        alarms = sum(not ratio <= 1 for ratio in ratios)
        rows.append([*names, str(len(some)), str(alarms), *quantiles, f"{worst.ratio:.3f}", f"{worst.units:.1f}"])
    return rows


def mildest(margins: Sequence[Margin], dtype: str) -> Figures:
    """The mistakes that are hardest to tell from rounding."""
    some = [margin for margin in margins if margin.dtype == dtype]
    rows = [
        [m.bug.id, m.bug.text, f"{m.wrong} of {m.runs}", multiple(m.median), multiple(m.largest)]
        for m in mildest_first(some)[:MILDEST]
    ]
    header = ["mistake", "what it is", "runs that show it", "median", "largest"]
    return f"The mildest of {len(some)} mistakes in {dtype}, in multiples of the tolerance", header, rows


def comparable(margins: Sequence[Margin]) -> list[Margin]:
    """Those that were measured on enough runs."""
    return [margin for margin in margins if margin.runs >= min(ENOUGH, max(m.runs for m in margins))]


def multiple(value: float) -> str:
    return f"{value:.2g}" if value < 100 else f"{value:.1e}"


def show(found: Found) -> None:
    """Print the tables, and every false alarm."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    for title, header, rows in tables(found):
        table = Table(*header, title=title, title_justify="left", box=box.SIMPLE_HEAD)
        for row in rows:
            table.add_row(*row)
        console.print(table)
    console.print(summary(found))
    for one in found.alarms:
        console.print(f"FALSE ALARM: {one.ratio:.2f} times the tolerance, {one.who}, {one.place}")


def summary(found: Found) -> str:
    worst = max(one.ratio for one in found.judged)
    runs = f"{len(found.judged):,} runs of honest implementations judged, {len(found.alarms)} false alarms"
    return f"{runs}, the worst error {worst:.2f} of the tolerance. Seed {found.seed}."


def markdown(found: Found) -> str:
    """POLICY.md."""
    parts = [figures(*table) for table in tables(found)]
    compared = comparable(found.margins)
    few = ", ".join(f"{m.bug.id} ({m.dtype}, {multiple(m.largest)})" for m in found.margins if m not in compared)
    missed = [m for m in found.margins if m.largest <= 1]
    runs = max(m.runs for m in found.margins)
    return f"""\
# Is the tolerance ever wrong?

Written by `make false-alarms` on {date.today()}; {listed(versions(*PACKAGES))}.

**Does it fail an honest LSTM?** {summary(found)}

Runs are drawn as `lstm-oracle check` draws them; one of sixteen has 400 steps, and one has recurrent weights that are
up to fourteen times as large, so that it may amplify errors. A run's error is that of its worst block and step, as a
share of the tolerance; above 1 it is a false alarm. {found.refused} more runs were left out, on which rounding alone
may change more than 1 %: the judge refuses them.

{parts[0]}
{parts[1]}
**How far above it do mistakes lie?** Every mistake of `reference/oracle/bugs` is made on {runs} runs, drawn in the same
way. On the run that shows it best the mildest one is this many times the tolerance:

{figures(*least(compared))}
{below(missed)} What needs two equal sizes fits few runs and is not in these tables: {few or "none"}.

{parts[2]}
{parts[3]}
A run shows a mistake where its error is above the tolerance: one without an initial state does not show that the
initial state is ignored. What is computed in float32 is no mistake in float32 and is left out there.
"""


def least(margins: Sequence[Margin]) -> Figures:
    """The mildest of all in each dtype, and the mildest that is not one of precision."""
    rows = []
    for dtype in ("float64", "float32"):
        some = mildest_first(margin for margin in margins if margin.dtype == dtype)
        plain = [margin for margin in some if margin.bug.kind != "precision"]
        rows.append([dtype, *(f"{multiple(m.largest)}, {m.bug.id}" for m in (*some[:1], *plain[:1]))])
    return "The mildest mistakes", ["dtype", "of all", "of those that are not of precision"], rows


def below(missed: Sequence[Margin]) -> str:
    if not missed:
        return "None lies below the tolerance on all runs."
    return f"Below the tolerance on all runs: {', '.join(f'{m.bug.id} ({m.dtype})' for m in missed)}."


def figures(title: str, header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return f"**{title}**\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines)
