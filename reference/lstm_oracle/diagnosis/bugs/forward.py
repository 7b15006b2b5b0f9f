"""Mistakes of the forward pass within a step: the activation functions, the cell, clipping.

The gradients are those of what it computes.
"""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import Edges, Step
from lstm_oracle.diagnosis.bugs.entry import bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array

# Activations.


def hard_sigmoid(slope: float) -> type[Unit]:
    """The unit with a sigmoid of straight lines."""

    class Hard(Unit):
        def sigmoid(self, z: Array) -> Array:
            return np.clip(slope * z + 0.5, 0, 1)

        def dsigmoid(self, y: Array, z: Array) -> Array:
            return slope * (np.abs(z) < 0.5 / slope)

    return Hard


bug("forward", "tensorflow/tensorflow#47495")(
    named("hard_sigmoid", "the sigmoid is the hard sigmoid, 0.2 z + 0.5 between 0 and 1", hard_sigmoid(0.2))
)
bug("forward", "tensorflow/tensorflow#47495")(
    named("hard_sigmoid_sixth", "the sigmoid is the hard sigmoid, z / 6 + 0.5 between 0 and 1", hard_sigmoid(1 / 6))
)


@bug("forward")
class soft_sigmoid(Unit):
    """the sigmoid is an approximation, 0.5 + 0.5 z / (1 + |z|)"""

    def sigmoid(self, z: Array) -> Array:
        return 0.5 + 0.5 * z / (1 + np.abs(z))

    def dsigmoid(self, y: Array, z: Array) -> Array:
        return 0.5 / (1 + np.abs(z)) ** 2


@bug("forward")
class hard_tanh(Unit):
    """tanh is the hard one, z between -1 and 1"""

    def tanh(self, z: Array) -> Array:
        return np.clip(z, -1, 1)

    def dtanh(self, y: Array, z: Array) -> Array:
        return 1.0 * (np.abs(z) < 1)


@bug("forward")
class rational_tanh(Unit):
    """tanh is an approximation, z (27 + z²) / (27 + 9 z²) between -1 and 1"""

    def tanh(self, z: Array) -> Array:
        return np.clip(z * (27 + z * z) / (27 + 9 * z * z), -1, 1)

    def dtanh(self, y: Array, z: Array) -> Array:
        return ((z * z - 9) / (9 + 3 * z * z)) ** 2 * (np.abs(z) < 3) * 1.0


def without_activation(gates: str) -> type[Unit]:
    """The unit with gates that are their sums."""

    class Linear(Unit):
        def gate(self, k: str, z: Array) -> Array:
            return z if k in gates else super().gate(k, z)

        def dgate(self, k: str, y: Array, z: Array) -> Array:
            return np.ones_like(y) if k in gates else super().dgate(k, y, z)

    return Linear


for gates in (*GATES, GATES):
    which = f"gate {gates}" if gates in "figo" and len(gates) == 1 else "all gates"
    bug("forward", "onnx/tensorflow-onnx#2211")(
        named(f"no_activation_{gates}", f"the activation function of {which} is missing", without_activation(gates))
    )


@bug("forward")
class candidate_by_sigmoid(Unit):
    """the candidate g uses the sigmoid instead of tanh"""

    def gate(self, k: str, z: Array) -> Array:
        return self.sigmoid(z) if k == "g" else super().gate(k, z)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return self.dsigmoid(y, z) if k == "g" else super().dgate(k, y, z)


@bug("forward")
class candidate_by_relu(Unit):
    """the candidate g uses the rectifier, max(z, 0), instead of tanh"""

    def gate(self, k: str, z: Array) -> Array:
        return np.maximum(z, 0) if k == "g" else super().gate(k, z)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return 1.0 * (z > 0) if k == "g" else super().dgate(k, y, z)


@bug("forward")
class output_gate_by_tanh(Unit):
    """the output gate uses tanh instead of the sigmoid"""

    def gate(self, k: str, z: Array) -> Array:
        return self.tanh(z) if k == "o" else super().gate(k, z)

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        return self.dtanh(y, z) if k == "o" else super().dgate(k, y, z)


@bug("forward", "onnx/tensorflow-onnx#2211")
class h_without_tanh(Unit):
    """the output lacks the tanh of the cell state, h = C · o"""

    def squash(self, C: Array) -> Array:
        return C

    def dsquash(self, s: Step) -> Array:
        return np.ones_like(s.C)


@bug("forward")
class h_by_sigmoid(Unit):
    """the output uses the sigmoid of the cell state instead of its tanh"""

    def squash(self, C: Array) -> Array:
        return self.sigmoid(C)

    def dsquash(self, s: Step) -> Array:
        return self.dsigmoid(s.tanh_C, s.C)


@bug("forward")
class tanh_of_the_product(Unit):
    """the output is tanh(C · o) instead of tanh(C) · o"""

    def hidden(self, s: Step) -> Array:
        return self.tanh(s.C * s.o)

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        inner = δ[3] * self.dtanh(s.h, s.C * s.o)
        δ[5], δ[6] = inner * s.o, inner * s.C

    def edge_7(self, s: Step, δ: Edges) -> None:
        δ[7] = δ[5]


# The cell.


@bug("forward", "MartinuzziFrancesco/torchrecurrent#22")
class i_plus_g(Unit):
    """the cell adds i + g instead of i · g"""

    def cell(self, s: Step) -> Array:
        return s.C_prev * s.f + s.i + s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[9] = δ[10] = δ[8]


@bug("forward")
class no_forget_gate(Unit):
    """the cell keeps all of its state, C = C_prev + i · g"""

    def cell(self, s: Step) -> Array:
        return s.C_prev + s.i * s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11], δ[12] = δ[8], 0 * δ[8]


@bug("forward")
class no_input_gate(Unit):
    """the cell takes all of the candidate, C = C_prev · f + g"""

    def cell(self, s: Step) -> Array:
        return s.C_prev * s.f + s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[9], δ[10] = δ[8], 0 * δ[8]


@bug("forward")
class coupled_input_gate(Unit):
    """the input gate is 1 - f instead of its own"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.i = 1 - s.f
        s.C = self.cell(s)
        s.tanh_C = self.squash(s.C)
        s.h = self.hidden(s)

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12], δ[10] = δ[12] - δ[10], 0 * δ[10]


@bug("forward")
class coupled_forget_gate(Unit):
    """the forget gate is 1 - i instead of its own"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.f = 1 - s.i
        s.C = self.cell(s)
        s.tanh_C = self.squash(s.C)
        s.h = self.hidden(s)

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[10], δ[12] = δ[10] - δ[12], 0 * δ[12]


@bug("forward", "MartinuzziFrancesco/RecurrentLayers.jl#130")
class h_from_old_C(Unit):
    """the output uses the cell state of the step before, h = tanh(C_prev) · o"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.tanh_C = self.squash(s.C_prev)
        s.h = self.hidden(s)

    def dsquash(self, s: Step) -> Array:
        return self.dtanh(s.tanh_C, s.C_prev)

    def edge_8(self, s: Step, δ: Edges) -> None:
        δ[8] = δ[4]

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11] = δ[11] + δ[7]


@bug("forward", "BrainJS/brain.js:src/recurrent/lstm.js")
class cell_keeps_h(Unit):
    """the forget gate keeps h of the step before instead of C: C = h_prev · f + i · g"""

    def cell(self, s: Step) -> Array:
        return s.h_prev * s.f + s.i * s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11], δ[12] = 0 * δ[8], δ[8] * s.h_prev

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        super().edges_25_26(s, δ)
        δ[25] = δ[25] + δ[8] * s.f


@bug("forward", "wiseodd/hipsternet:hipsternet/neuralnet.py")
class tanh_C_handed_on(Unit):
    """tanh(C) is handed on as the cell state, instead of C"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.C = s.tanh_C

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        δ[8] = δ[8] + δ[4] * (self.dsquash(s) - 1)


# Clipping.


def clipped_cell(most: float) -> type[Unit]:
    """The unit with a bounded cell state."""

    class Clipped(Unit):
        def cell(self, s: Step) -> Array:
            return np.clip(super().cell(s), -most, most)

        def edge_8(self, s: Step, δ: Edges) -> None:
            super().edge_8(s, δ)
            δ[8] = δ[8] * (np.abs(s.C) < most)

    return Clipped


def clipped_sums(most: float) -> type[Unit]:
    """The unit with bounded pre-activations."""

    class Clipped(Unit):
        def sum(self, k: str, s: Step) -> Array:
            return np.clip(super().sum(k, s), -most, most)

        def edges_13_to_16(self, s: Step, δ: Edges) -> None:
            super().edges_13_to_16(s, δ)
            for k, n in {"f": 16, "i": 15, "g": 14, "o": 13}.items():
                δ[n] = δ[n] * (np.abs(s.z[k]) < most)

    return Clipped


for most in (1, 3):
    bug("forward", "microsoft/onnxruntime#27224", "allenai/allennlp#862")(
        named(f"C_clipped_{most}", f"the cell state is clipped to ±{most}", clipped_cell(most))
    )
    bug("forward", "microsoft/onnxruntime#27224")(
        named(f"sums_clipped_{most}", f"the gates' pre-activations are clipped to ±{most}", clipped_sums(most))
    )
