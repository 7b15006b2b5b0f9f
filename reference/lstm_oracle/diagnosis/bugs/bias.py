"""Mistakes of the bias. The gradients are those of what the forward pass computes."""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import SUMS, VALUES, Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.entry import bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array


def bias_factor(factor: float) -> type[Unit]:
    """The unit whose biases count so many times."""

    class Factor(Unit):
        def bias(self, k: str, s: Step) -> Array:
            return factor * super().bias(k, s)

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"db_{k}": factor * d[f"db_{k}"] for k in GATES}

    return Factor


bug("bias", "lisa-lab/DeepLearningTutorials#81")(named("bias_twice", "the bias is added twice", bias_factor(2)))
bug("bias", "onnx/keras-onnx#98")(named("bias_ignored", "the bias is ignored", bias_factor(0)))
bug("bias", "onnx/keras-onnx#98")(
    named("bias_half", "of two equal halves of the bias, input and recurrent, one is ignored", bias_factor(0.5))
)


def forget_bias(shift: float, steps: slice) -> type[Unit]:
    """The unit that adds a constant to its forget gate's sum at some steps."""

    class Shifted(Unit):
        def bias(self, k: str, s: Step) -> Array:
            return super().bias(k, s) + (shift if k == "f" and s.t in range(self.T)[steps] else 0)

    return Shifted


for name, text, shift, steps in (
    ("forget_bias_extra", "1 is added to the forget gate's bias, which has it already", 1, slice(None)),
    ("forget_bias_missing", "the 1 in the forget gate's bias is missing", -1, slice(None)),
    (
        "forget_bias_first_step_only",
        "the 1 in the forget gate's bias is there at the first step only",
        -1,
        slice(1, None),
    ),
    ("forget_bias_extra_first_step", "at the first step 1 is added to the forget gate's bias", 1, slice(1)),
):
    bug("bias", "apple/coremltools#309")(named(name, text, forget_bias(shift, steps)))


@bug("bias")
class bias_after_activation(Unit):
    """the bias is added after the activation function"""

    def bias(self, k: str, s: Step) -> Array:
        return 0 * super().bias(k, s)

    def forward(self, s: Step) -> None:
        super().forward(s)
        for k in GATES:
            setattr(s, k, getattr(s, k) + self.run["b_" + k])
        s.C = self.cell(s)
        s.tanh_C = self.squash(s.C)
        s.h = self.hidden(s)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return super().dgate(k, y - self.run["b_" + k], z)

    def updates(self, s: Step, δ: Edges) -> Blocks:
        return super().updates(s, δ) | {"b_" + k: δ[VALUES[k]].sum(axis=0) for k in GATES}


@bug("bias", "R package rnn, predict_lstm")
class bias_recycled(Unit):
    """the bias is added down the batch, unit by unit, over and over, as R adds a vector to a matrix with rows B"""

    def bias(self, k: str, s: Step) -> Array:
        return super().bias(k, s)[self.recycled(s)]

    def updates(self, s: Step, δ: Edges) -> Blocks:
        found = super().updates(s, δ)
        for k in GATES:
            total = np.zeros_like(found["b_" + k])
            np.add.at(total, self.recycled(s), δ[SUMS[k]])
            found["b_" + k] = total
        return found

    def recycled(self, s: Step) -> Array:
        """Which entry of the bias is added where."""
        B, H = s.h_prev.shape
        return (np.arange(B)[:, None] + B * np.arange(H)) % H
