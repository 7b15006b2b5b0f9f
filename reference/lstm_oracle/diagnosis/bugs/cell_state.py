"""Mistakes in the cell state, in what the output takes from it, and in clipping.

The gradients are those of the wrong forward pass.
"""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import PREACTIVATION_EDGES, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array


@bug(BugKind.FORWARD, "MartinuzziFrancesco/torchrecurrent#22")
class i_plus_g(Unit):
    """i + g is added to the cell state instead of i · g"""

    def cell_state(self, s: Step) -> Array:
        return s.C_prev * s.f + s.i + s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[9] = δ[10] = δ[8]


@bug(BugKind.FORWARD)
class no_forget_gate(Unit):
    """the forget gate is not applied (C = C_prev + i · g)"""

    def cell_state(self, s: Step) -> Array:
        return s.C_prev + s.i * s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11], δ[12] = δ[8], 0 * δ[8]


@bug(BugKind.FORWARD)
class no_input_gate(Unit):
    """the input gate is not applied (C = C_prev · f + g)"""

    def cell_state(self, s: Step) -> Array:
        return s.C_prev * s.f + s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[9], δ[10] = δ[8], 0 * δ[8]


@bug(BugKind.FORWARD)
class coupled_input_gate(Unit):
    """the input gate is coupled to the forget gate (i = 1 - f)"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.i = 1 - s.f
        self.update_state(s)

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12], δ[10] = δ[12] - δ[10], 0 * δ[10]


@bug(BugKind.FORWARD)
class coupled_forget_gate(Unit):
    """the forget gate is coupled to the input gate (f = 1 - i)"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.f = 1 - s.i
        self.update_state(s)

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[10], δ[12] = δ[10] - δ[12], 0 * δ[12]


@bug(BugKind.FORWARD, "MartinuzziFrancesco/RecurrentLayers.jl#130")
class h_from_old_C(Unit):
    """the output uses C_prev instead of C (h = tanh(C_prev) · o)"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.tanh_C = self.squash(s.C_prev)
        s.h = self.hidden_state(s)

    def dsquash(self, s: Step) -> Array:
        return self.dtanh(s.tanh_C, s.C_prev)

    def edge_8(self, s: Step, δ: Edges) -> None:
        δ[8] = δ[4]

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11] = δ[11] + δ[7]


@bug(BugKind.FORWARD, "BrainJS/brain.js:src/recurrent/lstm.js")
class cell_keeps_h(Unit):
    """the forget gate multiplies h_prev instead of C_prev (C = h_prev · f + i · g)"""

    def cell_state(self, s: Step) -> Array:
        return s.h_prev * s.f + s.i * s.g

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11], δ[12] = 0 * δ[8], δ[8] * s.h_prev

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        super().edges_25_26(s, δ)
        δ[25] = δ[25] + δ[8] * s.f


@bug(BugKind.FORWARD, "wiseodd/hipsternet:hipsternet/neuralnet.py")
class tanh_C_handed_on(Unit):
    """tanh(C) is passed on as the cell state instead of C"""

    def forward(self, s: Step) -> None:
        super().forward(s)
        s.C = s.tanh_C

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        δ[8] = δ[8] + δ[4] * (self.dsquash(s) - 1)


# Clipping.


def cell_state_clipped(bound: float) -> type[Unit]:
    """Return the unit that clips its cell state."""

    class Clipped(Unit):
        def cell_state(self, s: Step) -> Array:
            return np.clip(super().cell_state(s), -bound, bound)

        def edge_8(self, s: Step, δ: Edges) -> None:
            super().edge_8(s, δ)
            δ[8] = δ[8] * (np.abs(s.C) < bound)

    return Clipped


def preactivations_clipped(bound: float) -> type[Unit]:
    """Return the unit that clips the pre-activations of its gates."""

    class Clipped(Unit):
        def preactivation(self, k: str, s: Step) -> Array:
            return np.clip(super().preactivation(k, s), -bound, bound)

        def edges_13_to_16(self, s: Step, δ: Edges) -> None:
            super().edges_13_to_16(s, δ)
            for k, n in PREACTIVATION_EDGES.items():
                δ[n] = δ[n] * (np.abs(s.z[k]) < bound)

    return Clipped


for bound in (1, 3):
    register(
        BugKind.FORWARD,
        f"C_clipped_{bound}",
        f"the cell state is clipped to ±{bound}",
        cell_state_clipped(bound),
        ["microsoft/onnxruntime#27224", "allenai/allennlp#862"],
    )
    register(
        BugKind.FORWARD,
        f"sums_clipped_{bound}",
        f"the pre-activations of the gates are clipped to ±{bound}",
        preactivations_clipped(bound),
        ["microsoft/onnxruntime#27224"],
    )
