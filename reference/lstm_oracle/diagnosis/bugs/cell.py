"""One step of the unit, forward and backward, every line of it a small method that a mistake can override."""

from __future__ import annotations

import numpy as np

from lstm_oracle.run import GATES, Array

Blocks = dict[str, Array]
Edges = dict[int, Array]

SUMS = {"f": 16, "i": 15, "g": 14, "o": 13}  # the edge at each gate's sum
VALUES = {"f": 12, "i": 10, "g": 9, "o": 6}  # and the one at its output
TO_X = {"f": 23, "i": 21, "g": 19, "o": 17}
TO_H = {"f": 24, "i": 22, "g": 20, "o": 18}


class Step:
    """The values of one step."""

    x: Array  # BD
    f: Array  # BH, as is all that follows
    i: Array
    g: Array
    o: Array
    C: Array
    tanh_C: Array
    h: Array

    def __init__(self, t: int, x: Array, h_prev: Array, C_prev: Array) -> None:
        self.t, self.x, self.h_prev, self.C_prev = t, x, h_prev, C_prev
        self.z: dict[str, Array] = {}


class Cell:
    """The right step; `Unit` has the run."""

    weights_from = SUMS  # the edges that the weights' gradients are made of
    run: Blocks

    def forward(self, s: Step) -> None:
        """One step."""
        for k in GATES:
            s.z[k] = self.sum(k, s)
            setattr(s, k, self.gate(k, s.z[k]))
        s.C = self.cell(s)
        s.tanh_C = self.squash(s.C)
        s.h = self.hidden(s)

    def sum(self, k: str, s: Step) -> Array:
        """The pre-activation of a gate."""
        p = self.run
        return self.product(s.h_prev, p["W_" + k]) + self.product(s.x, p["U_" + k]) + self.bias(k, s)

    def bias(self, k: str, s: Step) -> Array:
        """The bias of a gate."""
        return self.run["b_" + k]

    def gate(self, k: str, z: Array) -> Array:
        """The value of a gate, from its pre-activation."""
        return self.tanh(z) if k == "g" else self.sigmoid(z)

    def cell(self, s: Step) -> Array:
        """The new cell state."""
        return s.C_prev * s.f + s.i * s.g

    def squash(self, C: Array) -> Array:
        """The function of the cell state that the output gate lets through."""
        return self.tanh(C)

    def hidden(self, s: Step) -> Array:
        """The new hidden state."""
        return s.tanh_C * s.o

    # The functions, and their derivatives where the value is y and the argument z.

    def product(self, a: Array, b: Array) -> Array:
        """A matrix product."""
        return a @ b

    def sigmoid(self, z: Array) -> Array:
        """1 / (1 + exp(-z))."""
        return 1 / (1 + np.exp(-z))

    def tanh(self, z: Array) -> Array:
        """The hyperbolic tangent."""
        return np.tanh(z)

    def dsigmoid(self, y: Array, z: Array) -> Array:
        """The derivative of `sigmoid`."""
        return y * (1 - y)

    def dtanh(self, y: Array, z: Array) -> Array:
        """The derivative of `tanh`."""
        return 1 - y * y

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        """The derivative of `gate`."""
        return self.dtanh(y, z) if k == "g" else self.dsigmoid(y, z)

    def dsquash(self, s: Step) -> Array:
        """The derivative of `squash`."""
        return self.dtanh(s.tanh_C, s.C)

    # Backward.

    def backward(self, s: Step, δ: Edges) -> None:
        """The edges of one step: δ holds 1, 2 and 4, and receives the rest."""
        self.edge_3(s, δ)
        self.edges_5_6(s, δ)
        self.edge_7(s, δ)
        self.edge_8(s, δ)
        self.edges_9_to_12(s, δ)
        self.edges_13_to_16(s, δ)
        self.edges_17_to_24(s, δ)
        self.edges_25_26(s, δ)

    def edge_3(self, s: Step, δ: Edges) -> None:
        """The hidden state."""
        δ[3] = δ[1] + δ[2]

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        """The output product."""
        δ[5] = δ[3] * s.o
        δ[6] = δ[3] * s.tanh_C

    def edge_7(self, s: Step, δ: Edges) -> None:
        """The cell state, before its tanh."""
        δ[7] = δ[5] * self.dsquash(s)

    def edge_8(self, s: Step, δ: Edges) -> None:
        """The cell state."""
        δ[8] = δ[7] + δ[4]

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        """The two products that make the cell state."""
        δ[9] = δ[8] * s.i
        δ[10] = δ[8] * s.g
        δ[11] = δ[8] * s.f
        δ[12] = δ[8] * s.C_prev

    def edges_13_to_16(self, s: Step, δ: Edges) -> None:
        """The gates' sums."""
        for k in GATES:
            δ[SUMS[k]] = δ[VALUES[k]] * self.dgate(k, getattr(s, k), s.z[k])

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        """What each gate sends to x and to h_prev."""
        for k in GATES:
            δ[TO_X[k]] = self.product(δ[SUMS[k]], self.run["U_" + k].T)
            δ[TO_H[k]] = self.product(δ[SUMS[k]], self.run["W_" + k].T)

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        """h_prev and x."""
        δ[25] = δ[18] + δ[20] + δ[22] + δ[24]
        δ[26] = δ[17] + δ[19] + δ[21] + δ[23]

    def updates(self, s: Step, δ: Edges) -> Blocks:
        """What one step adds to the gradients of the weights."""
        found = {}
        for k in GATES:
            δz = δ[self.weights_from[k]]
            found["W_" + k] = self.product(self.recurrent(s).T, δz)
            found["U_" + k] = self.product(s.x.T, δz)
            found["b_" + k] = δz.sum(axis=0)
        return found

    def recurrent(self, s: Step) -> Array:
        """The hidden state that the recurrent weights were multiplied by."""
        return s.h_prev
