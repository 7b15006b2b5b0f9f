"""The errors of one run as coloured cells: outputs by step, weight gradients by gate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lstm_oracle.reports.text import number
from lstm_oracle.reports.verdict import RunArtifact
from lstm_oracle.run import GATES, OUTPUTS, Array

# The largest ratio of an error to the rounding tolerance that has each shade; w1 to w5 are wrong.
SHADES = {"r1": 0.01, "r2": 0.1, "r3": 1.0, "w1": 1e3, "w2": 1e6, "w3": 1e9, "w4": 1e12, "w5": math.inf}
MOST_COLUMNS = 72  # if there are more steps, several share a column
WITH_STEPS = [name for name, dims in OUTPUTS.items() if dims[0] == "T"]
STATES = ("C_T", "dh0", "dC0")


@dataclass(frozen=True)
class HeatCell:
    """One error relative to the rounding tolerance, or None if the output was not returned."""

    title: str
    ratio: float | None

    @property
    def shade(self) -> str:
        """The CSS class of the cell."""
        return "none" if self.ratio is None else shade(self.ratio)

    @property
    def text(self) -> str:
        """The ratio in few characters."""
        return "–" if self.ratio is None else number(self.ratio)


@dataclass(frozen=True)
class HeatMap:
    """The errors of one run."""

    columns: tuple[str, ...]  # the steps: "0", or "0–13" where several share a column
    steps: dict[str, tuple[HeatCell, ...]]  # h, C and dx: one cell for each column
    gates: dict[str, tuple[HeatCell, ...]]  # f, i, g and o: cells for dW, dU and db
    states: dict[str, HeatCell]  # C_T, dh0 and dC0


def heat_map(run: RunArtifact) -> HeatMap:
    """Return the errors of a run, cell by cell."""
    ratios = {name: ratio_by_step(run, name, array) for name, array in run.outputs.items()}
    T = len(run.truth.blocks["h"])
    parts = [part for part in np.array_split(np.arange(T), min(T, MOST_COLUMNS)) if len(part)] if T else []
    columns = tuple(f"{part[0]}" if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)

    def whole(name: str) -> HeatCell:
        ratio = float(ratios[name].max(initial=0)) if name in ratios else None
        return HeatCell(title(name, "", ratio), ratio)

    def by_column(name: str) -> Iterable[HeatCell]:
        for column, part in zip(columns, parts, strict=True):
            ratio = float(ratios[name][part].max()) if name in ratios else None
            yield HeatCell(title(name, f" at step {column}", ratio), ratio)

    return HeatMap(
        columns,
        {name: tuple(by_column(name)) for name in WITH_STEPS},
        {gate: tuple(whole(f"d{kind}_{gate}") for kind in "WUb") for gate in GATES},
        {name: whole(name) for name in STATES},
    )


def ratio_by_step(run: RunArtifact, name: str, array: Array) -> Array:
    """Return the error of an output relative to the rounding tolerance, at every step, (T,), or as a whole, (1,)."""
    units = run.truth.units_by_step(name, array)
    allowed = run.truth.allowed(name, float(units.max(initial=0)))
    return np.nan_to_num(units / allowed, nan=np.inf, posinf=np.inf)


def title(name: str, where: str, ratio: float | None) -> str:
    """Return a description of a cell in words."""
    if ratio is None:
        return f"{name} was not returned"
    if not math.isfinite(ratio):
        return f"{name}{where}: not finite"
    return f"{name}{where}: {number(ratio)} times the rounding tolerance, {'correct' if ratio <= 1 else 'wrong'}"


def shade(ratio: float) -> str:
    """Return the CSS class of a ratio."""
    if not math.isfinite(ratio):
        return "nan"
    return next(name for name, most in SHADES.items() if ratio <= most)
