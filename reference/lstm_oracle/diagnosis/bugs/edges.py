"""Mistakes of the backward pass within a step: one edge or another. The forward pass is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import SUMS, TO_H, TO_X, Edges, Step
from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE, ShapeMismatch, bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array

SOURCE = "Fichou, LSTM units"
FLAG = ["flagos-ai/FlagGems#5014"]  # a pre-activation taken for an activation

# The source's misprints.


@bug("gradient", SOURCE)
class misprint_8(Unit):
    """the cell state's two gradients are multiplied instead of added (δ8 = δ7 · δ4)"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        δ[8] = δ[7] * δ[4]


@bug("gradient", SOURCE)
class misprint_22(Unit):
    """gate i sends the forget gate's gradient back to h (δ22 = δ16 * W_iᵀ)"""

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        super().edges_17_to_24(s, δ)
        δ[22] = self.product(δ[16], self.run["W_i"].T)


@bug("gradient", SOURCE)
class misprint_23(Unit):
    """the forget gate sends its gradient to x by the recurrent matrix (δ23 = δ16 * W_fᵀ)"""

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        if s.x.shape != s.h_prev.shape:
            raise ShapeMismatch
        super().edges_17_to_24(s, δ)
        δ[23] = δ[24]


# The output and the cell.


@bug("gradient")
class no_o_in_delta_5(Unit):
    """the output gate is missing on the way to the cell (δ5 = δ3)"""

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        super().edges_5_6(s, δ)
        δ[5] = δ[3]


@bug("gradient")
class C_for_tanh_C(Unit):
    """the output gate's gradient uses C instead of tanh(C) (δ6 = δ3 · C)"""

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        super().edges_5_6(s, δ)
        δ[6] = δ[3] * s.C


@bug("gradient")
class no_dtanh_at_cell(Unit):
    """the derivative of tanh is missing on the way to the cell (δ7 = δ5)"""

    def edge_7(self, s: Step, δ: Edges) -> None:
        δ[7] = δ[5]


@bug("gradient", R_PACKAGE)
class dtanh_of_C(Unit):
    """the derivative of tanh takes the cell state for its tanh (δ7 = δ5 · (1 - C²))"""

    def dsquash(self, s: Step) -> Array:
        return 1 - s.C * s.C


@bug("gradient")
class dtanh_of_tanh_tanh_C(Unit):
    """the derivative of tanh applies tanh once more (δ7 = δ5 · (1 - tanh²(tanh(C))))"""

    def dsquash(self, s: Step) -> Array:
        return 1 - np.tanh(s.tanh_C) ** 2


@bug("gradient")
class dtanh_of_h(Unit):
    """the derivative of tanh takes the output for tanh(C) (δ7 = δ5 · (1 - h²))"""

    def dsquash(self, s: Step) -> Array:
        return 1 - s.h * s.h


@bug("gradient", "wvabrinskas/Neuron#181")
class dtanh_at_cell_twice(Unit):
    """the derivative of tanh is applied twice on the way to the cell"""

    def edge_7(self, s: Step, δ: Edges) -> None:
        super().edge_7(s, δ)
        δ[7] = δ[7] * self.dsquash(s)


# The products.


@bug("gradient", "wvabrinskas/Neuron#181")
class i_for_g_in_delta_10(Unit):
    """gate i's gradient uses i instead of g (δ10 = δ8 · i, the product i · i for g · i)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[10] = δ[8] * s.i


@bug("gradient")
class g_for_i_in_delta_9(Unit):
    """the candidate's gradient uses g instead of i (δ9 = δ8 · g)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[9] = δ[8] * s.g


@bug("gradient")
class C_for_C_prev(Unit):
    """the forget gate's gradient uses the new cell state instead of the old (δ12 = δ8 · C)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12] = δ[8] * s.C


@bug("gradient")
class h_prev_for_C_prev(Unit):
    """the forget gate's gradient uses h instead of C of the step before (δ12 = δ8 · h_prev)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12] = δ[8] * s.h_prev


@bug("gradient", "skisa31/learning_deeplearning:common/time_layers.py")
class dC_prev_for_C_prev(Unit):
    """the forget gate's gradient uses the gradient of the old cell state for that state (δ12 = δ8 · δ11)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12] = δ[8] * δ[11]


@bug("gradient", "illlilililiililll/AP-CS-LSTM-JAVA-:src/LSTM.java")
class delta_3_for_delta_8(Unit):
    """gate i's gradient starts from what arrives at h, not from what arrives at C (δ10 = δ3 · g)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[10] = δ[3] * s.g


def blocked(gate: str) -> type[Unit]:
    """The unit that sends no gradient into one gate."""

    class Blocked(Unit):
        def edges_13_to_16(self, s: Step, δ: Edges) -> None:
            super().edges_13_to_16(s, δ)
            δ[SUMS[gate]] = 0 * δ[SUMS[gate]]

    return Blocked


for gate in GATES:
    bug("gradient")(named(f"gate_{gate}_receives_nothing", f"no gradient goes into gate {gate}", blocked(gate)))


# The gates' derivatives.


def dlogistic(z: Array) -> Array:
    """The derivative of the sigmoid where its argument is z."""
    y = 1 / (1 + np.exp(-z))
    return y * (1 - y)


Derivative = Callable[[Array, Array, Array], Array]  # of the value, the argument, and the right derivative


def derivative(gates: str, wrong: Derivative) -> type[Unit]:
    """The unit with a wrong derivative at some gates."""

    class Wrong(Unit):
        def dgate(self, k: str, y: Array, z: Array) -> Array:
            right = super().dgate(k, y, z)
            return wrong(y, z, right) if k in gates else right

    return Wrong


for name, text, gates, wrong, seen in (
    ("no_dtanh_at_g", "the derivative of tanh is missing (δ14 = δ9)", "g", lambda y, z, d: 1 + 0 * y, []),
    ("no_dsigmoid", "the derivatives of the sigmoids are missing", "fio", lambda y, z, d: 1 + 0 * y, []),
    (
        "dtanh_at_g_twice",
        "the derivative of tanh is applied twice",
        "g",
        lambda y, z, d: d * d,
        ["wvabrinskas/Neuron#181"],
    ),
    ("dsigmoid_twice", "the derivatives of the sigmoids are applied twice", "fio", lambda y, z, d: d * d, []),
    ("dtanh_of_sum", "tanh' takes the pre-activation for the value, 1 - z²", "g", lambda y, z, d: 1 - z * z, FLAG),
    ("dsigmoid_of_sum", "sigmoid' takes the pre-activation, z (1 - z)", "fio", lambda y, z, d: z * (1 - z), FLAG),
    ("dtanh_of_value", "tanh' applies tanh once more", "g", lambda y, z, d: 1 - np.tanh(y) ** 2, []),
    ("dsigmoid_of_value", "sigmoid' applies the sigmoid once more", "fio", lambda y, z, d: dlogistic(y), []),
    ("dtanh_not_squared", "tanh' is 1 - g instead of 1 - g²", "g", lambda y, z, d: 1 - y, []),
    ("dsigmoid_squared", "sigmoid' is 1 - y² instead of y (1 - y)", "fio", lambda y, z, d: 1 - y * y, []),
    ("dsigmoid_negated", "sigmoid' is y (y - 1) instead of y (1 - y)", "fio", lambda y, z, d: -d, []),
    ("dsigmoid_at_g", "the candidate uses the sigmoid's derivative", "g", lambda y, z, d: y * (1 - y), []),
):
    where = "at the candidate g" if gates == "g" else "at the gates f, i, o"
    bug("gradient", *seen)(named(name, f"{where}: {text}", derivative(gates, wrong)))


@bug("gradient", "ddbourgin/numpy-ml#42")
class dsigmoid_with_b_o(Unit):
    """at the gates f and i: sigmoid' is taken where their sums have the bias b_o in the place of their own"""

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        right = super().dgate(k, y, z)
        return dlogistic(z - self.run["b_" + k] + self.run["b_o"]) if k in "fi" else right


# What the gates send to h_prev and x.


def senders(edges: dict[str, int], total: int, gates: str) -> type[Unit]:
    """The unit whose sum at h_prev, δ25, or at x, δ26, is over some of the gates."""

    class Some(Unit):
        def edges_25_26(self, s: Step, δ: Edges) -> None:
            super().edges_25_26(s, δ)
            δ[total] = δ[total] - sum(δ[edges[k]] for k in GATES if k not in gates)

    return Some


for what, edges, total in (("h_prev", TO_H, 25), ("x", TO_X, 26)):
    for gates in (*GATES, *(GATES.replace(k, "") for k in GATES)):
        if len(gates) == 1:
            name, text = f"d{what}_from_{gates}_alone", f"the gradient sent to {what} is that of gate {gates} alone"
        else:
            (lacking,) = set(GATES) - set(gates)
            name, text = f"d{what}_lacks_{lacking}", f"the gradient sent to {what} lacks gate {lacking}"
        bug("gradient")(named(name, f"{text} (δ{total})", senders(edges, total, gates)))


@bug("gradient")
class W_not_transposed_backward(Unit):
    """the recurrent matrices are not transposed on the way back to h"""

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        super().edges_17_to_24(s, δ)
        for k in GATES:
            δ[TO_H[k]] = self.product(δ[SUMS[k]], self.run["W_" + k])


@bug("gradient", "evelyne96/LSTM:LSTM.py")
class dh_prev_is_dh(Unit):
    """the hidden gradient goes to the step before as it is, not through the gates (δ25 = δ3)"""

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        super().edges_25_26(s, δ)
        δ[25] = δ[3]


@bug("gradient", "mustfaozcn/GridWorld:lstm_numpy.py")
class dh_prev_keeps_dh(Unit):
    """the hidden gradient goes to the step before as it is, on top of what goes there through the gates (δ25 + δ3)"""

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        super().edges_25_26(s, δ)
        δ[25] = δ[25] + δ[3]
