"""The equations of one step, forward and backward, each in a small method that a mistake can override."""

from __future__ import annotations

import numpy as np

from lstm_oracle.run import GATES, Array

Blocks = dict[str, Array]
Edges = dict[int, Array]

PREACTIVATION_EDGES = {"f": 16, "i": 15, "g": 14, "o": 13}  # δ at the pre-activation of each gate
GATE_EDGES = {"f": 12, "i": 10, "g": 9, "o": 6}  # δ at the value of each gate
X_EDGES = {"f": 23, "i": 21, "g": 19, "o": 17}  # δ from each gate to x
H_EDGES = {"f": 24, "i": 22, "g": 20, "o": 18}  # δ from each gate to h_prev


class Step:
    """The values of one step; all but x (B, D) have the shape (B, H)."""

    f: Array
    i: Array
    g: Array
    o: Array
    C: Array
    tanh_C: Array
    h: Array

    def __init__(self, t: int, x: Array, h_prev: Array, C_prev: Array) -> None:
        self.t, self.x, self.h_prev, self.C_prev = t, x, h_prev, C_prev
        self.z: dict[str, Array] = {}  # the pre-activation of each gate


class Equations:
    """The correct equations of one step; `Unit` applies them to a run."""

    weight_edges = PREACTIVATION_EDGES  # the edges from which the weight gradients are computed
    run: Blocks

    def forward(self, s: Step) -> None:
        """Compute the values of a step from x, h_prev and C_prev."""
        for k in GATES:
            s.z[k] = self.preactivation(k, s)
            setattr(s, k, self.gate(k, s.z[k]))
        self.update_state(s)

    def update_state(self, s: Step) -> None:
        """Compute C, tanh(C) and h of a step from its gates."""
        s.C = self.cell_state(s)
        s.tanh_C = self.squash(s.C)
        s.h = self.hidden_state(s)

    def preactivation(self, k: str, s: Step) -> Array:
        """Return the argument of a gate's activation function."""
        p = self.run
        return self.product(s.h_prev, p["W_" + k]) + self.product(s.x, p["U_" + k]) + self.bias(k, s)

    def bias(self, k: str, s: Step) -> Array:
        """Return the bias of a gate."""
        return self.run["b_" + k]

    def gate(self, k: str, z: Array) -> Array:
        """Return the value of a gate for the pre-activation z."""
        return self.tanh(z) if k == "g" else self.sigmoid(z)

    def cell_state(self, s: Step) -> Array:
        """Return the new cell state."""
        return s.C_prev * s.f + s.i * s.g

    def squash(self, C: Array) -> Array:
        """Return the activation of the cell state, tanh(C)."""
        return self.tanh(C)

    def hidden_state(self, s: Step) -> Array:
        """Return the new hidden state."""
        return s.tanh_C * s.o

    # The functions, and their derivatives at the argument z, where the value is y.

    def product(self, a: Array, b: Array) -> Array:
        """Return a matrix product."""
        return a @ b

    def sigmoid(self, z: Array) -> Array:
        """Return 1 / (1 + exp(-z))."""
        return 1 / (1 + np.exp(-z))

    def tanh(self, z: Array) -> Array:
        """Return the hyperbolic tangent."""
        return np.tanh(z)

    def dsigmoid(self, y: Array, z: Array) -> Array:
        """Return the derivative of `sigmoid`."""
        return y * (1 - y)

    def dtanh(self, y: Array, z: Array) -> Array:
        """Return the derivative of `tanh`."""
        return 1 - y * y

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        """Return the derivative of `gate`."""
        return self.dtanh(y, z) if k == "g" else self.dsigmoid(y, z)

    def dsquash(self, s: Step) -> Array:
        """Return the derivative of `squash`."""
        return self.dtanh(s.tanh_C, s.C)

    # The backward pass.

    def backward(self, s: Step, δ: Edges) -> None:
        """Compute the edges 3 to 26 of a step and add them to δ, which holds the edges 1, 2 and 4."""
        self.edge_3(s, δ)
        self.edges_5_6(s, δ)
        self.edge_7(s, δ)
        self.edge_8(s, δ)
        self.edges_9_to_12(s, δ)
        self.edges_13_to_16(s, δ)
        self.edges_17_to_24(s, δ)
        self.edges_25_26(s, δ)

    def edge_3(self, s: Step, δ: Edges) -> None:
        """Compute the gradient of the hidden state."""
        δ[3] = δ[1] + δ[2]

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        """Compute the gradients of the factors of h, which are tanh(C) and o."""
        δ[5] = δ[3] * s.o
        δ[6] = δ[3] * s.tanh_C

    def edge_7(self, s: Step, δ: Edges) -> None:
        """Compute the gradient of the cell state by way of tanh(C)."""
        δ[7] = δ[5] * self.dsquash(s)

    def edge_8(self, s: Step, δ: Edges) -> None:
        """Compute the gradient of the cell state."""
        δ[8] = δ[7] + δ[4]

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        """Compute the gradients of the factors of C, which are g, i, C_prev and f."""
        δ[9] = δ[8] * s.i
        δ[10] = δ[8] * s.g
        δ[11] = δ[8] * s.f
        δ[12] = δ[8] * s.C_prev

    def edges_13_to_16(self, s: Step, δ: Edges) -> None:
        """Compute the gradients of the gates' pre-activations."""
        for k in GATES:
            δ[PREACTIVATION_EDGES[k]] = δ[GATE_EDGES[k]] * self.dgate(k, getattr(s, k), s.z[k])

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        """Compute the gradients of x and h_prev by way of each gate."""
        for k in GATES:
            δ[X_EDGES[k]] = self.product(δ[PREACTIVATION_EDGES[k]], self.run["U_" + k].T)
            δ[H_EDGES[k]] = self.product(δ[PREACTIVATION_EDGES[k]], self.run["W_" + k].T)

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        """Compute the gradients of h_prev and x."""
        δ[25] = δ[18] + δ[20] + δ[22] + δ[24]
        δ[26] = δ[17] + δ[19] + δ[21] + δ[23]

    def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
        """Return the contribution of a step to the weight gradients."""
        found = {}
        for k in GATES:
            δz = δ[self.weight_edges[k]]
            found["W_" + k] = self.product(self.recurrent_input(s).T, δz)
            found["U_" + k] = self.product(s.x.T, δz)
            found["b_" + k] = δz.sum(axis=0)
        return found

    def recurrent_input(self, s: Step) -> Array:
        """Return the hidden state that the recurrent weights multiply."""
        return s.h_prev
