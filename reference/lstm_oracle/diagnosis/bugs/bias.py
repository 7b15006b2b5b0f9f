"""Mistakes with the bias. The gradients are those of the wrong forward pass."""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import GATE_EDGES, PREACTIVATION_EDGES, Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array


def bias_times(factor: float) -> type[Unit]:
    """Return the unit that multiplies its biases by a factor."""

    class Scaled(Unit):
        def bias(self, k: str, s: Step) -> Array:
            return factor * super().bias(k, s)

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"db_{k}": factor * d[f"db_{k}"] for k in GATES}

    return Scaled


for name, text, factor, seen_in in (
    ("bias_twice", "the bias is added twice", 2, "lisa-lab/DeepLearningTutorials#81"),
    ("bias_ignored", "the bias is ignored", 0, "onnx/keras-onnx#98"),
    (
        "bias_half",
        "the bias is the sum of two equal parts, input and recurrent, and one part is ignored",
        0.5,
        "onnx/keras-onnx#98",
    ),
):
    register(BugKind.BIAS, name, text, bias_times(factor), [seen_in])


def forget_bias_plus(shift: float, steps: slice) -> type[Unit]:
    """Return the unit that adds a constant to the pre-activation of its forget gate at some steps."""

    class Shifted(Unit):
        def bias(self, k: str, s: Step) -> Array:
            return super().bias(k, s) + (shift if k == "f" and s.t in range(self.T)[steps] else 0)

    return Shifted


for name, text, shift, steps in (
    ("forget_bias_extra", "1 is added to the forget gate's bias, which already includes it", 1, slice(None)),
    ("forget_bias_missing", "1 is missing from the forget gate's bias", -1, slice(None)),
    (
        "forget_bias_first_step_only",
        "1 is missing from the forget gate's bias at every step but the first",
        -1,
        slice(1, None),
    ),
    ("forget_bias_extra_first_step", "1 is added to the forget gate's bias at the first step", 1, slice(1)),
):
    register(BugKind.BIAS, name, text, forget_bias_plus(shift, steps), ["apple/coremltools#309"])


@bug(BugKind.BIAS)
class bias_after_activation(Unit):
    """the bias is added after the activation function"""

    def bias(self, k: str, s: Step) -> Array:
        return 0 * super().bias(k, s)

    def forward(self, s: Step) -> None:
        super().forward(s)
        for k in GATES:
            setattr(s, k, getattr(s, k) + self.run["b_" + k])
        self.update_state(s)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return super().dgate(k, y - self.run["b_" + k], z)

    def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
        return super().weight_gradients(s, δ) | {"b_" + k: δ[GATE_EDGES[k]].sum(axis=0) for k in GATES}


@bug(BugKind.BIAS, "R package rnn, predict_lstm")
class bias_recycled(Unit):
    """the bias is added down the columns of a (B, H) matrix and recycled, as R adds a vector to a matrix"""

    def bias(self, k: str, s: Step) -> Array:
        return super().bias(k, s)[self.recycled(s)]

    def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
        found = super().weight_gradients(s, δ)
        for k in GATES:
            total = np.zeros_like(found["b_" + k])
            np.add.at(total, self.recycled(s), δ[PREACTIVATION_EDGES[k]])
            found["b_" + k] = total
        return found

    def recycled(self, s: Step) -> Array:
        """Return the index of the bias that is added to each entry, (B, H)."""
        B, H = s.h_prev.shape
        return (np.arange(B)[:, None] + B * np.arange(H)) % H
