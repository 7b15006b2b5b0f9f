"""The outputs of one run that a diagnosis has to explain, and their partition into places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.comparison.compare import Place
from lstm_oracle.run import OUTPUTS, Array, DType
from lstm_oracle.truth.truth import Truth

FORWARD = ("h", "C", "C_T")  # the outputs of the forward pass


@dataclass(frozen=True)
class Evidence:
    """The outputs of an implementation on one run.

    Args:
        inputs: a complete run.
        truth: the truth of the run.
        outputs: what the implementation returned, any subset of `lstm_oracle.run.OUTPUTS`.
        dtype: the precision at which the outputs are judged.
    """

    inputs: Mapping[str, Array]
    truth: Truth
    outputs: Mapping[str, Array]
    dtype: DType

    @property
    def has_expected_shapes(self) -> bool:
        """True if all outputs have the names and shapes of a run's outputs."""
        return all(name in OUTPUTS and a.shape == self.truth.blocks[name].shape for name, a in self.outputs.items())

    @property
    def is_finite(self) -> bool:
        """True if the outputs contain neither NaN nor infinity."""
        return all(bool(np.isfinite(array).all()) for array in self.outputs.values())


class Partition:
    """The outputs of a run as one vector, partitioned into places.

    h, C and dx have a place for each step and every other output has one, so that a hypothesis can be right in some
    places and wrong in others.

    Attributes:
        names: the outputs that are not empty, in the order of `lstm_oracle.run.OUTPUTS`.
        places: the output and the step of each place.
        starts: the index at which each place starts, (P,) for P places.
        size: the length N of the vector.
    """

    def __init__(self, outputs: Mapping[str, Array]) -> None:
        self.names = [name for name in OUTPUTS if name in outputs and outputs[name].size]
        self.places: list[Place] = []
        starts, self.size = [], 0
        for name in self.names:
            steps: list[int | None] = [*range(len(outputs[name]))] if OUTPUTS[name][0] == "T" else [None]
            for step in steps:
                self.places.append((name, step))
                starts.append(self.size)
                self.size += outputs[name].size // len(steps)
        self.starts = np.array(starts, int)

    @property
    def forward_places(self) -> int:
        """The number of places in the outputs of the forward pass, which come first."""
        return sum(name in FORWARD for name, _ in self.places)

    def flatten(self, blocks: Mapping[str, Array], names: Sequence[str] | None = None) -> Array:
        """Return the outputs, or those with the given names, as one float64 vector, (N,)."""
        chosen = self.names if names is None else names
        return np.concatenate([np.asarray(blocks[name], np.float64).ravel() for name in chosen] or [np.zeros(0)])

    def largest(self, values: Array) -> Array:
        """Return the largest magnitude at each place, (P,), of a vector that may end before the last place."""
        starts = self.starts[self.starts < len(values)]
        if not len(starts):
            return np.zeros(0)
        return np.maximum.reduceat(np.abs(values), starts)

    def repeat(self, by_place: Array) -> Array:
        """Return a value of each place, (P,), for each entry of the vector, (N,)."""
        return np.repeat(by_place, np.diff(np.append(self.starts, self.size)))
