"""Compares hypotheses with the outputs of an implementation on one run."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from lstm_oracle.diagnosis.bugs import BugKind, ShapeMismatch, Unit
from lstm_oracle.diagnosis.evidence import Evidence, Partition
from lstm_oracle.diagnosis.hypothesis import Hypothesis, Simulation
from lstm_oracle.run import Array, DType
from lstm_oracle.truth import tolerance

SEARCH_FACTOR = 4.0  # the search allows errors of this many tolerances, because each hypothesis rounds differently
SMALLEST_LIMIT = 2e-11  # relative error that the search allows in any case: no mistake is as small in float64
LARGEST_TOLERANCE = 1e4  # upper bound of the tolerance measured for a hypothesis, in units of rounding


class Fit:
    """The evidence of one run, with which hypotheses are compared place by place.

    Attributes:
        evidence: the outputs and the truth of the run.
        partition: the places of the outputs.
        simulation: the outputs of hypotheses on the run.
        returned: the outputs of the implementation as one vector, (N,).
        scales: the scale of rounding at each place, (P,).
        allowed: the tolerance at each place, (P,), in units of rounding.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.partition = Partition(evidence.outputs)
        self.simulation = Simulation(evidence.inputs, self.partition)
        self.returned = self.partition.flatten(evidence.outputs)
        self.scales = np.array([largest_scale(evidence, name, step) for name, step in self.partition.places])
        self.allowed = np.array([evidence.truth.tolerance(name) for name, _ in self.partition.places])

    @cached_property
    def limit(self) -> Array:
        """The relative error that the search allows at each place, (P,)."""
        return np.maximum(SEARCH_FACTOR * self.allowed * float(np.finfo(self.evidence.dtype).eps), SMALLEST_LIMIT)

    @property
    def search_cost(self) -> float:
        """A measure of how unsuitable the run is for a search: least for a small run without inputs that are zero."""
        inputs = self.simulation.inputs
        T, B, D = inputs["x"].shape
        H = inputs["h0"].shape[1]
        zero = sum(not np.any(inputs[name]) for name in ("h0", "C0", "dh", "dh_T", "dC_T", "b_f"))
        small = (T < 3) + (B < 2) + (D < 2) + (H < 2) + (D == H) + (T == B)
        return 100 * (zero + small) + 10 * T + (B * (D + H)) / 10 - 20 * len(self.partition.names)

    # Compared with the truth.

    def wrong_places(self) -> Array:
        """Return which places have an error above the tolerance, (P,)."""
        return ~(self.partition.largest(self._error_units()) <= self.allowed)

    def count_wrong_numbers(self) -> int:
        """Return how many entries of the outputs have an error above the tolerance."""
        return int(np.sum(~(self._error_units() <= self.partition.repeat(self.allowed))))

    def _error_units(self) -> Array:
        """Return the error of every entry, (N,), in units of rounding."""
        with np.errstate(all="ignore"):
            error = self.returned - self.partition.flatten(self.evidence.truth.blocks)
            return tolerance.units(error, self.partition.repeat(self.scales), self.evidence.dtype)

    # Compared with hypotheses, as the search does.

    def matching_places(self, hypothesis: Hypothesis, forward_only: bool = False, keep: bool = False) -> Array | None:
        """Return at which places a hypothesis matches the outputs, or None if the sizes do not allow its mistakes.

        See `Simulation.outputs` for the arguments.
        """
        values = self.simulation.outputs(hypothesis, forward_only, keep)
        if values is None:
            return None
        with np.errstate(all="ignore"):
            return self._close(values, self.returned[: len(values)], self.partition.largest(values))

    def differing_places(self, values: Array, others: Array) -> Array:
        """Return at which places two vectors of outputs differ."""
        with np.errstate(all="ignore"):
            size = np.maximum(self.partition.largest(values), self.partition.largest(others))
            return ~self._close(values, others, size)

    def _close(self, values: Array, others: Array, size: Array) -> Array:
        error, count = self.partition.largest(values - others), len(size)
        close: Array = error <= self.limit[:count] * np.maximum(self.scales[:count], size)
        return close

    # Compared with a hypothesis, as the judge does.

    def matches(self, hypothesis: Hypothesis) -> bool:
        """Return whether a hypothesis matches all outputs to within rounding.

        The policy is that of the judge (`lstm_oracle.truth.tolerance`), with the hypothesis in place of the truth: its
        values set the scales, and its losses in float32 the tolerance.
        """
        if self.simulation.outputs(hypothesis) is None:
            return False
        with np.errstate(all="ignore"):
            unit, blocks = hypothesis.run(self.simulation.inputs)
            values, scales = self.partition.flatten(blocks), self._scales_of(unit)
            units = self._worst_units(self.returned - values, scales, self.evidence.dtype)
            allowed = self.allowed
            if np.any(units > allowed) and not any(bug.kind == BugKind.PRECISION for bug in hypothesis.bugs):
                allowed = np.maximum(allowed, self._tolerance_of(hypothesis, values, scales))
            return bool(np.all(units <= allowed))

    def _worst_units(self, error: Array, scales: Array, dtype: DType) -> Array:
        return tolerance.units(self.partition.largest(error), scales, dtype)

    def _scales_of(self, unit: Unit) -> Array:
        """Return the scale of rounding at each place, (P,), or that of the unit's own values if larger."""
        if not unit.T:
            return self.scales
        blocks = tolerance.scales(unit.run, unit.scale_blocks())
        own = [np.max(blocks[name][t] if t is not None else blocks[name]) for name, t in self.partition.places]
        return np.maximum(self.scales, np.nan_to_num(own, posinf=0))

    def _tolerance_of(self, hypothesis: Hypothesis, values: Array, scales: Array) -> float:
        """Return the tolerance that follows from what a hypothesis loses in float32."""
        inputs = {name: array.astype(np.float32) for name, array in self.simulation.inputs.items()}
        _, blocks = hypothesis.run(inputs)
        lost = self._worst_units(self.partition.flatten(blocks) - values, scales, np.dtype(np.float32))
        return min(tolerance.tolerance(float(np.max(lost, initial=0)), len(inputs["x"])), LARGEST_TOLERANCE)

    def overflows_alike(self, hypothesis: Hypothesis) -> bool:
        """Return whether a hypothesis, in the precision of the run, has NaN or infinity in the same outputs."""
        dtype, outputs = self.evidence.dtype, self.evidence.outputs
        with np.errstate(all="ignore"):
            try:
                _, blocks = hypothesis.run({name: a.astype(dtype) for name, a in self.evidence.inputs.items()})
            except ShapeMismatch:
                return False
        return all(np.isfinite(blocks[name]).all() == np.isfinite(outputs[name]).all() for name in self.partition.names)


def largest_scale(evidence: Evidence, name: str, step: int | None) -> float:
    """Return the largest scale of rounding at a place."""
    scale = np.asarray(evidence.truth.scales[name], np.float64)
    return float(np.max(scale if step is None else scale[step]))
