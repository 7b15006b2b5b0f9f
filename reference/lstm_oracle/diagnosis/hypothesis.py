"""Hypotheses about an implementation, and their outputs on one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import Bug, BugKind, ShapeMismatch, Unit, compose
from lstm_oracle.diagnosis.bugs.equations import Blocks
from lstm_oracle.diagnosis.evidence import FORWARD, Partition
from lstm_oracle.run import Array


@dataclass(frozen=True)
class Hypothesis:
    """The assumption that an implementation makes these mistakes, in the order of the catalogue, and no others."""

    bugs: tuple[Bug, ...] = ()
    base: type[Unit] = Unit

    def with_(self, *more: Bug) -> Hypothesis:
        """Return the hypothesis with additional mistakes."""
        return Hypothesis(tuple(sorted({*self.bugs, *more}, key=lambda bug: bug.number)), self.base)

    def without(self, bug: Bug) -> Hypothesis:
        """Return the hypothesis without one of its mistakes."""
        return Hypothesis(tuple(b for b in self.bugs if b != bug), self.base)

    def unit(self, inputs: Mapping[str, Array]) -> Unit:
        """Return the unit with these mistakes, ready to run."""
        return compose(self.bugs, self.base)(inputs)

    def run(self, inputs: Mapping[str, Array]) -> tuple[Unit, Blocks]:
        """Run the unit with these mistakes; return the unit and its outputs.

        Raises:
            ShapeMismatch: the sizes do not allow one of the mistakes.
        """
        unit = self.unit(inputs)
        return unit, unit.states() | unit.gradients()


class Simulation:
    """Runs hypotheses on the inputs of one run, in float64, and caches their outputs."""

    def __init__(self, inputs: Mapping[str, Array], partition: Partition) -> None:
        self.inputs = {name: np.asarray(array, np.float64) for name, array in inputs.items()}
        self.partition = partition
        self._units: dict[Hypothesis, Unit] = {}
        self._outputs: dict[tuple[Hypothesis, bool], Array | None] = {}

    def outputs(self, hypothesis: Hypothesis, forward_only: bool = False, keep: bool = False) -> Array | None:
        """Return the outputs of a hypothesis as a vector, or None if the sizes do not allow one of the mistakes.

        Args:
            hypothesis: the mistakes.
            forward_only: whether to return h, C and C_T only.
            keep: whether to keep the unit, so that hypotheses with one more mistake are computed from its steps.
        """
        key = hypothesis, forward_only
        if key not in self._outputs:
            with np.errstate(all="ignore"):
                try:
                    self._outputs[key] = self._compute(hypothesis, forward_only, keep)
                except ShapeMismatch:
                    self._outputs[key] = None
        return self._outputs[key]

    def _compute(self, hypothesis: Hypothesis, forward_only: bool, keep: bool) -> Array:
        names = [name for name in self.partition.names if name in FORWARD]
        if forward_only or len(names) == len(self.partition.names):
            return self.partition.flatten(Hypothesis(hypothesis.bugs).unit(self.inputs).states(), names)
        unit = hypothesis.unit(self.inputs)
        states = self._states(unit, hypothesis)
        found = self.partition.flatten(states | (unit.assemble_gradients() if unit.δ else unit.gradients()))
        if keep:
            self._units[hypothesis] = unit
        return found

    def _states(self, unit: Unit, hypothesis: Hypothesis) -> Blocks:
        """Run the forward pass, or copy from the hypothesis without the last mistake what this mistake does not change.

        A mistake of the backward pass does not change the steps; one in the weight gradients does not change the edges.
        """
        last = hypothesis.bugs[-1] if hypothesis.bugs else None
        simpler = self._units.get(hypothesis.without(last)) if last and not last.forward else None
        if last is None or simpler is None:
            return unit.states()
        unit.steps, unit.scratch = simpler.steps, dict(simpler.scratch)
        if last.kind == BugKind.UPDATE:
            unit.δ, unit.initial_gradients = simpler.δ, simpler.initial_gradients
        return unit.stack_states()
