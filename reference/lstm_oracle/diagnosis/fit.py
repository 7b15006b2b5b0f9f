"""Holds variants of the unit against what a program gave on one run.

The outputs are cut into cells, so that a variant can be right in some and wrong in others: one cell
for each block, and for h, C and dx one for each step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import Bug, ShapeMismatch, Unit, compose
from lstm_oracle.run import OUTPUTS, Array, DType
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.truth import Truth

FORWARD = ("h", "C", "C_T")
Cell = tuple[str, int | None]  # a block, and the step if it has steps


@dataclass(frozen=True)
class Evidence:
    """What a program gave on one run.

    Args:
        inputs: a complete run.
        truth: what it should have given.
        outputs: what it gave, any subset of `lstm_oracle.run.OUTPUTS`.
        dtype: the precision to judge at.
    """

    inputs: Mapping[str, Array]
    truth: Truth
    outputs: Mapping[str, Array]
    dtype: DType


def fits_shapes(e: Evidence) -> bool:
    """Whether a run's outputs have the names and shapes that they must have."""
    return all(name in OUTPUTS and array.shape == e.truth.blocks[name].shape for name, array in e.outputs.items())


def is_finite(e: Evidence) -> bool:
    """Whether a run's outputs are numbers throughout."""
    return all(bool(np.isfinite(array).all()) for array in e.outputs.values())


@dataclass(frozen=True)
class Program:
    """The unit with some mistakes."""

    bugs: tuple[Bug, ...] = ()
    base: type[Unit] = Unit

    def with_(self, *more: Bug) -> Program:
        """This program with more mistakes."""
        return Program(tuple(sorted({*self.bugs, *more}, key=lambda bug: bug.number)), self.base)


class Fit:
    """One run, and how well programs explain it."""

    LENIENT = 4.0  # while searching, so many tolerances; in float64 a mistake is never as small as RELATIVE
    RELATIVE = 2e-11
    WORST = 1e4  # no tolerance of a variant's own is larger, in units of rounding

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.run = {name: np.asarray(array, np.float64) for name, array in evidence.inputs.items()}
        names = [name for name in OUTPUTS if name in evidence.outputs and evidence.outputs[name].size]
        self.cells: list[Cell] = []
        starts, scales, allowed, place = [], [], [], 0
        for name in names:
            array = evidence.outputs[name]
            timed = OUTPUTS[name][0] == "T"
            steps = len(array) if timed else 1
            scale = np.asarray(evidence.truth.scales[name], np.float64)
            for t in range(steps):
                self.cells.append((name, t if timed else None))
                starts.append(place)
                scales.append(float(np.max(scale[t])) if timed else float(scale.max()))
                allowed.append(evidence.truth.tolerance(name))
                place += array.size // steps
        self.names = names
        self.starts = np.array(starts, int)
        self.scales, self.allowed = np.array(scales), np.array(allowed)
        self.forward_cells = sum(name in FORWARD for name, _ in self.cells)
        self.got = self.flat(evidence.outputs)
        eps = float(np.finfo(evidence.dtype).eps)
        self.limit = np.maximum(self.LENIENT * self.allowed * eps, self.RELATIVE)
        self.keep = 1  # programs of so many mistakes are kept, as a start for those with one more
        self.units: dict[Program, Unit | None] = {}
        self.known: dict[tuple[Program, bool], Array | None] = {}

    @property
    def search_cost(self) -> float:
        """How well the run suits a search, least is best: a small run in which nothing vanishes."""
        T, B, D = self.run["x"].shape
        H = self.run["h0"].shape[1]
        zero = sum(not np.any(self.run[name]) for name in ("h0", "C0", "dh", "dh_T", "dC_T", "b_f"))
        small = (T < 3) + (B < 2) + (D < 2) + (H < 2) + (D == H) + (T == B)
        return 100 * (zero + small) + 10 * T + (B * (D + H)) / 10 - 20 * len(self.names)

    def flat(self, blocks: Mapping[str, Array], names: Sequence[str] | None = None) -> Array:
        """Blocks as one vector."""
        chosen = self.names if names is None else names
        return np.concatenate([np.asarray(blocks[name], np.float64).ravel() for name in chosen] or [np.zeros(0)])

    def worst(self, values: Array) -> Array:
        """The largest magnitude in each cell."""
        starts = self.starts[self.starts < len(values)]
        if not len(starts):
            return np.zeros(0)
        return np.maximum.reduceat(np.abs(values), starts)

    def wrong(self) -> Array:
        """The cells that are not the truth's."""
        return ~(self.worst(self._truth_units()) <= self.allowed)

    def wrong_numbers(self) -> int:
        """How many numbers are not the truth's."""
        return int(np.sum(~(self._truth_units() <= self.by_number(self.allowed))))

    def _truth_units(self) -> Array:
        """The error of every number in units of rounding."""
        with np.errstate(all="ignore"):
            error = self.got - self.flat(self.evidence.truth.blocks)
            return tolerance.units(error, self.by_number(self.scales), self.evidence.dtype)

    def by_number(self, by_cell: Array) -> Array:
        """What the numbers of each cell have in common, for each of them."""
        return np.repeat(by_cell, np.diff(np.append(self.starts, len(self.got))))

    def values(self, program: Program, forward_only: bool = False) -> Array | None:
        """What a program gives; None where the sizes do not let it run."""
        key = program, forward_only
        if key not in self.known:
            with np.errstate(all="ignore"):
                try:
                    self.known[key] = self._values(program, forward_only)
                except ShapeMismatch:
                    self.known[key] = None
        return self.known[key]

    def _values(self, program: Program, forward_only: bool) -> Array:
        names = [name for name in self.names if name in FORWARD]
        if forward_only or len(names) == len(self.names):
            return self.flat(compose(program.bugs)(self.run).states(), names)
        unit = compose(program.bugs, program.base)(self.run)
        states = self._prepare(unit, program)
        found = self.flat(states | (unit.gathered() if unit.δ else unit.gradients()))
        if len(program.bugs) <= self.keep:
            self.units[program] = unit
        return found

    def _prepare(self, unit: Unit, program: Program) -> dict[str, Array]:
        """Take from a program with one mistake fewer what that mistake does not touch."""
        last = program.bugs[-1] if program.bugs else None
        if last and last.kind in ("gradient", "update"):
            less = self.units.get(Program(program.bugs[:-1], program.base))
            if less:
                unit.steps, unit.notes = less.steps, dict(less.notes)
                if last.kind == "update":
                    unit.δ, unit.start = less.δ, less.start
                return unit.restated()
        return unit.states()

    def right(self, program: Program, forward_only: bool = False) -> Array | None:
        """The cells that a program explains, leniently."""
        values = self.values(program, forward_only)
        if values is None:
            return None
        with np.errstate(all="ignore"):
            error, size = self.worst(values - self.got[: len(values)]), self.worst(values)
            return error <= self.limit[: len(size)] * np.maximum(self.scales[: len(size)], size)

    def differs(self, values: Array, others: Array) -> Array:
        """The cells in which two programs give different values."""
        with np.errstate(all="ignore"):
            error, size = self.worst(values - others), np.maximum(self.worst(values), self.worst(others))
            return ~(error <= self.limit[: len(size)] * np.maximum(self.scales[: len(size)], size))

    def explained(self, program: Program) -> bool:
        """Whether a program gives all of this run's outputs, to within rounding.

        The policy is the judge's (`lstm_oracle.truth.tolerance`), with the program in the place of the
        truth: its values set the scales, and what it loses in float32 the tolerance.
        """
        if self.values(program) is None:
            return False
        with np.errstate(all="ignore"):
            unit = compose(program.bugs, program.base)(self.run)
            blocks = unit.states() | unit.gradients()
            units = self._units(unit, blocks, self.got, self.evidence.dtype)
            allowed = self.allowed
            if np.any(units > allowed) and not any(bug.kind == "precision" for bug in program.bugs):
                rough = compose(program.bugs, program.base)(
                    {name: array.astype(np.float32) for name, array in self.run.items()}
                )
                lost = self._units(unit, blocks, self.flat(rough.states() | rough.gradients()), np.dtype(np.float32))
                own = tolerance.tolerance(float(np.max(lost, initial=0)), len(self.run["x"]))
                allowed = np.maximum(allowed, min(own, self.WORST))
            return bool(np.all(units <= allowed))

    def overflows_as(self, program: Program) -> bool:
        """Whether a program, in the precision of this run, gives what is no number in the same blocks."""
        dtype, outputs = self.evidence.dtype, self.evidence.outputs
        with np.errstate(all="ignore"):
            try:
                unit = compose(program.bugs, program.base)(
                    {n: a.astype(dtype) for n, a in self.evidence.inputs.items()}
                )
                found = unit.states() | unit.gradients()
            except ShapeMismatch:
                return False
        return all(np.isfinite(found[name]).all() == np.isfinite(outputs[name]).all() for name in self.names)

    def _units(self, unit: Unit, blocks: Mapping[str, Array], got: Array, dtype: DType) -> Array:
        """The worst error in each cell against a program, in units of rounding by its own scales."""
        scales = self.scales
        if unit.T:
            own = tolerance.scales(unit.run, unit.blocks())
            mine = [np.max(own[name][t] if t is not None else own[name]) for name, t in self.cells]
            scales = np.maximum(scales, np.nan_to_num(mine, posinf=0))
        values = self.flat(blocks)
        return tolerance.units(self.worst(got - values), scales, dtype)
