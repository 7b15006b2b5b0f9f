"""Mistakes in the activation functions. The gradients are those of the wrong forward pass."""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array


def hard_sigmoid(slope: float) -> type[Unit]:
    """Return the unit with a piecewise linear sigmoid."""

    class Hard(Unit):
        def sigmoid(self, z: Array) -> Array:
            return np.clip(slope * z + 0.5, 0, 1)

        def dsigmoid(self, y: Array, z: Array) -> Array:
            return slope * (np.abs(z) < 0.5 / slope)

    return Hard


for name, line, slope in (("hard_sigmoid", "0.2 z + 0.5", 0.2), ("hard_sigmoid_sixth", "z / 6 + 0.5", 1 / 6)):
    text = f"the sigmoid is a hard sigmoid, {line} clipped to [0, 1]"
    register(BugKind.FORWARD, name, text, hard_sigmoid(slope), ["tensorflow/tensorflow#47495"])


@bug(BugKind.FORWARD)
class soft_sigmoid(Unit):
    """the sigmoid is approximated by 0.5 + 0.5 z / (1 + |z|)"""

    def sigmoid(self, z: Array) -> Array:
        return 0.5 + 0.5 * z / (1 + np.abs(z))

    def dsigmoid(self, y: Array, z: Array) -> Array:
        return 0.5 / (1 + np.abs(z)) ** 2


@bug(BugKind.FORWARD)
class hard_tanh(Unit):
    """tanh is a hard tanh, z clipped to [-1, 1]"""

    def tanh(self, z: Array) -> Array:
        return np.clip(z, -1, 1)

    def dtanh(self, y: Array, z: Array) -> Array:
        return 1.0 * (np.abs(z) < 1)


@bug(BugKind.FORWARD)
class rational_tanh(Unit):
    """tanh is approximated by z (27 + z²) / (27 + 9 z²), clipped to [-1, 1]"""

    def tanh(self, z: Array) -> Array:
        return np.clip(z * (27 + z * z) / (27 + 9 * z * z), -1, 1)

    def dtanh(self, y: Array, z: Array) -> Array:
        return ((z * z - 9) / (9 + 3 * z * z)) ** 2 * (np.abs(z) < 3) * 1.0


def without_activation(gates: str) -> type[Unit]:
    """Return the unit in which the values of some gates are their pre-activations."""

    class Linear(Unit):
        def gate(self, k: str, z: Array) -> Array:
            return z if k in gates else super().gate(k, z)

        def dgate(self, k: str, y: Array, z: Array) -> Array:
            return np.ones_like(y) if k in gates else super().dgate(k, y, z)

    return Linear


for gates in (*GATES, GATES):
    what = (
        "the activation functions of all gates are" if gates == GATES else f"the activation function of gate {gates} is"
    )
    register(
        BugKind.FORWARD,
        f"no_activation_{gates}",
        f"{what} missing",
        without_activation(gates),
        ["onnx/tensorflow-onnx#2211"],
    )


@bug(BugKind.FORWARD)
class candidate_by_sigmoid(Unit):
    """the candidate g uses the sigmoid instead of tanh"""

    def gate(self, k: str, z: Array) -> Array:
        return self.sigmoid(z) if k == "g" else super().gate(k, z)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return self.dsigmoid(y, z) if k == "g" else super().dgate(k, y, z)


@bug(BugKind.FORWARD)
class candidate_by_relu(Unit):
    """the candidate g uses ReLU, max(z, 0), instead of tanh"""

    def gate(self, k: str, z: Array) -> Array:
        return np.maximum(z, 0) if k == "g" else super().gate(k, z)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return 1.0 * (z > 0) if k == "g" else super().dgate(k, y, z)


@bug(BugKind.FORWARD)
class output_gate_by_tanh(Unit):
    """the output gate uses tanh instead of the sigmoid"""

    def gate(self, k: str, z: Array) -> Array:
        return self.tanh(z) if k == "o" else super().gate(k, z)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return self.dtanh(y, z) if k == "o" else super().dgate(k, y, z)


@bug(BugKind.FORWARD, "onnx/tensorflow-onnx#2211")
class h_without_tanh(Unit):
    """the output lacks the tanh of the cell state (h = C · o)"""

    def squash(self, C: Array) -> Array:
        return C

    def dsquash(self, s: Step) -> Array:
        return np.ones_like(s.C)


@bug(BugKind.FORWARD)
class h_by_sigmoid(Unit):
    """the output uses the sigmoid of the cell state instead of its tanh"""

    def squash(self, C: Array) -> Array:
        return self.sigmoid(C)

    def dsquash(self, s: Step) -> Array:
        return self.dsigmoid(s.tanh_C, s.C)


@bug(BugKind.FORWARD)
class tanh_of_the_product(Unit):
    """the output is tanh(C · o) instead of tanh(C) · o"""

    def hidden_state(self, s: Step) -> Array:
        return self.tanh(s.C * s.o)

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        inner = δ[3] * self.dtanh(s.h, s.C * s.o)
        δ[5], δ[6] = inner * s.o, inner * s.C

    def edge_7(self, s: Step, δ: Edges) -> None:
        δ[7] = δ[5]
