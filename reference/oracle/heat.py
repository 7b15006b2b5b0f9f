"""One run's errors as cells to be coloured: the outputs over the steps, and the weights' gradients by gate."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from reference.oracle.findings import errors
from reference.oracle.report import Kept
from reference.oracle.wording import number
from reference.run import GATES, OUTPUTS

# The shades by the ratio of an error to what rounding may do; above 1 it is wrong.
SHADES = {"r1": 0.01, "r2": 0.1, "r3": 1.0, "w1": 1e3, "w2": 1e6, "w3": 1e9, "w4": 1e12, "w5": math.inf}
WIDEST = 72  # columns; of a longer run, several steps share one
TIMED = [name for name, dims in OUTPUTS.items() if dims[0] == "T"]
ENDS = ("C_T", "dh0", "dC0")


@dataclass(frozen=True)
class Cell:
    """One error, as a multiple of what rounding may do; None where the output did not come back."""

    title: str
    ratio: float | None

    @property
    def shade(self) -> str:
        """Its class in the page."""
        if self.ratio is None:
            return "none"
        return shade(self.ratio)

    @property
    def text(self) -> str:
        """It in few characters."""
        return "–" if self.ratio is None else number(self.ratio)


@dataclass(frozen=True)
class Heat:
    """The errors of one run."""

    columns: tuple[str, ...]  # the steps: "0", or "0–13" where several share a column
    steps: dict[str, tuple[Cell, ...]]  # h, C, dx: one cell for each column
    gates: dict[str, tuple[Cell, ...]]  # f, i, g, o: dW, dU, db
    ends: dict[str, Cell]  # C_T, dh0, dC0


def heat(kept: Kept) -> Heat:
    """The errors of a run, cell by cell."""
    by_step = {}
    for name, array in kept.outputs.items():
        ((_, units, _),) = errors(kept.truth, {name: array}, array.dtype)
        allowed = kept.truth.allowed(name, float(units.max(initial=0)))
        by_step[name] = np.nan_to_num(units / allowed, nan=np.inf, posinf=np.inf)
    T = len(kept.truth.blocks["h"])
    parts = [part for part in np.array_split(np.arange(T), min(T, WIDEST)) if len(part)] if T else []
    columns = tuple(f"{part[0]}" if len(part) == 1 else f"{part[0]}–{part[-1]}" for part in parts)

    def whole(name: str) -> Cell:
        ratio = float(by_step[name].max(initial=0)) if name in by_step else None
        return Cell(title(name, "", ratio), ratio)

    def timed(name: str) -> Iterable[Cell]:
        for column, part in zip(columns, parts, strict=True):
            ratio = float(by_step[name][part].max()) if name in by_step else None
            yield Cell(title(name, f" at step {column}", ratio), ratio)

    return Heat(
        columns,
        {name: tuple(timed(name)) for name in TIMED},
        {gate: tuple(whole(f"d{kind}_{gate}") for kind in "WUb") for gate in GATES},
        {name: whole(name) for name in ENDS},
    )


def title(name: str, where: str, ratio: float | None) -> str:
    """A cell in words."""
    if ratio is None:
        return f"{name} was not returned"
    if not math.isfinite(ratio):
        return f"{name}{where}: not a finite number"
    return f"{name}{where}: {number(ratio)} times what rounding may do, {'right' if ratio <= 1 else 'wrong'}"


def shade(ratio: float) -> str:
    """The class of a ratio."""
    if not math.isfinite(ratio):
        return "nan"
    return next(name for name, most in SHADES.items() if ratio <= most)
