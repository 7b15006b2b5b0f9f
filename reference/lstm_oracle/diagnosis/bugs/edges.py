"""Mistakes of the backward pass within a step, each at one of the numbered edges. The forward pass is correct."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE, BugKind, ShapeMismatch, bug, register
from lstm_oracle.diagnosis.bugs.equations import H_EDGES, PREACTIVATION_EDGES, X_EDGES, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array

SOURCE = "Fichou, LSTM units"
FLAG = ["flagos-ai/FlagGems#5014"]  # a pre-activation in place of an activation

# The source's misprints.


@bug(BugKind.GRADIENT, SOURCE)
class misprint_8(Unit):
    """the two gradients of the cell state are multiplied instead of added (δ8 = δ7 · δ4)"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        δ[8] = δ[7] * δ[4]


@bug(BugKind.GRADIENT, SOURCE)
class misprint_22(Unit):
    """the gradient from gate i to h_prev uses the delta of the forget gate (δ22 = δ16 W_iᵀ)"""

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        super().edges_17_to_24(s, δ)
        δ[22] = self.product(δ[16], self.run["W_i"].T)


@bug(BugKind.GRADIENT, SOURCE)
class misprint_23(Unit):
    """the gradient from the forget gate to x uses the recurrent matrix (δ23 = δ16 W_fᵀ)"""

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        if s.x.shape != s.h_prev.shape:
            raise ShapeMismatch
        super().edges_17_to_24(s, δ)
        δ[23] = δ[24]


# The hidden state and the cell state.


@bug(BugKind.GRADIENT)
class no_o_in_delta_5(Unit):
    """the factor o is missing from the gradient of tanh(C) (δ5 = δ3)"""

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        super().edges_5_6(s, δ)
        δ[5] = δ[3]


@bug(BugKind.GRADIENT)
class C_for_tanh_C(Unit):
    """the gradient of the output gate uses C instead of tanh(C) (δ6 = δ3 · C)"""

    def edges_5_6(self, s: Step, δ: Edges) -> None:
        super().edges_5_6(s, δ)
        δ[6] = δ[3] * s.C


@bug(BugKind.GRADIENT)
class no_dtanh_at_cell(Unit):
    """the derivative of tanh is missing from the cell-state gradient (δ7 = δ5)"""

    def edge_7(self, s: Step, δ: Edges) -> None:
        δ[7] = δ[5]


@bug(BugKind.GRADIENT, R_PACKAGE)
class dtanh_of_C(Unit):
    """the derivative of tanh in the cell-state gradient uses C instead of tanh(C) (δ7 = δ5 · (1 - C²))"""

    def dsquash(self, s: Step) -> Array:
        return 1 - s.C * s.C


@bug(BugKind.GRADIENT)
class dtanh_of_tanh_tanh_C(Unit):
    """the derivative of tanh in the cell-state gradient applies tanh twice (δ7 = δ5 · (1 - tanh²(tanh(C))))"""

    def dsquash(self, s: Step) -> Array:
        return 1 - np.tanh(s.tanh_C) ** 2


@bug(BugKind.GRADIENT)
class dtanh_of_h(Unit):
    """the derivative of tanh in the cell-state gradient uses h instead of tanh(C) (δ7 = δ5 · (1 - h²))"""

    def dsquash(self, s: Step) -> Array:
        return 1 - s.h * s.h


@bug(BugKind.GRADIENT, "wvabrinskas/Neuron#181")
class dtanh_at_cell_twice(Unit):
    """the derivative of tanh is applied twice in the cell-state gradient"""

    def edge_7(self, s: Step, δ: Edges) -> None:
        super().edge_7(s, δ)
        δ[7] = δ[7] * self.dsquash(s)


# The products that make the cell state.


@bug(BugKind.GRADIENT, "wvabrinskas/Neuron#181")
class i_for_g_in_delta_10(Unit):
    """the gradient of gate i uses i instead of g (δ10 = δ8 · i)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[10] = δ[8] * s.i


@bug(BugKind.GRADIENT)
class g_for_i_in_delta_9(Unit):
    """the gradient of the candidate uses g instead of i (δ9 = δ8 · g)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[9] = δ[8] * s.g


@bug(BugKind.GRADIENT)
class C_for_C_prev(Unit):
    """the gradient of the forget gate uses C instead of C_prev (δ12 = δ8 · C)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12] = δ[8] * s.C


@bug(BugKind.GRADIENT)
class h_prev_for_C_prev(Unit):
    """the gradient of the forget gate uses h_prev instead of C_prev (δ12 = δ8 · h_prev)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12] = δ[8] * s.h_prev


@bug(BugKind.GRADIENT, "skisa31/learning_deeplearning:common/time_layers.py")
class dC_prev_for_C_prev(Unit):
    """the gradient of the forget gate uses the gradient of C_prev instead of C_prev (δ12 = δ8 · δ11)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[12] = δ[8] * δ[11]


@bug(BugKind.GRADIENT, "illlilililiililll/AP-CS-LSTM-JAVA-:src/LSTM.java")
class delta_3_for_delta_8(Unit):
    """the gradient of gate i uses the gradient of h instead of the gradient of C (δ10 = δ3 · g)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[10] = δ[3] * s.g


def blocked(gate: str) -> type[Unit]:
    """Return the unit that passes no gradient into one gate."""

    class Blocked(Unit):
        def edges_13_to_16(self, s: Step, δ: Edges) -> None:
            super().edges_13_to_16(s, δ)
            δ[PREACTIVATION_EDGES[gate]] = 0 * δ[PREACTIVATION_EDGES[gate]]

    return Blocked


for gate in GATES:
    register(BugKind.GRADIENT, f"gate_{gate}_receives_nothing", f"no gradient flows into gate {gate}", blocked(gate))


# The derivatives of the gates.


def dlogistic(z: Array) -> Array:
    """Return the derivative of the sigmoid at z."""
    y = 1 / (1 + np.exp(-z))
    return y * (1 - y)


Derivative = Callable[[Array, Array, Array], Array]  # from the value, the argument and the correct derivative


def derivative(gates: str, wrong: Derivative) -> type[Unit]:
    """Return the unit with a wrong derivative at some gates."""

    class Wrong(Unit):
        def dgate(self, k: str, y: Array, z: Array) -> Array:
            right = super().dgate(k, y, z)
            return wrong(y, z, right) if k in gates else right

    return Wrong


DTANH, DSIGMOID = "the derivative of tanh", "the derivative of the sigmoid"
for name, text, gates, wrong, seen_in in (
    ("no_dtanh_at_g", f"{DTANH} is missing (δ14 = δ9)", "g", lambda y, z, d: 1 + 0 * y, []),
    ("no_dsigmoid", f"{DSIGMOID} is missing", "fio", lambda y, z, d: 1 + 0 * y, []),
    ("dtanh_at_g_twice", f"{DTANH} is applied twice", "g", lambda y, z, d: d * d, ["wvabrinskas/Neuron#181"]),
    ("dsigmoid_twice", f"{DSIGMOID} is applied twice", "fio", lambda y, z, d: d * d, []),
    ("dtanh_of_sum", f"{DTANH} uses the pre-activation z as the value, 1 - z²", "g", lambda y, z, d: 1 - z * z, FLAG),
    (
        "dsigmoid_of_sum",
        f"{DSIGMOID} uses the pre-activation z as the value, z (1 - z)",
        "fio",
        lambda y, z, d: z * (1 - z),
        FLAG,
    ),
    ("dtanh_of_value", f"{DTANH} applies tanh again to the value", "g", lambda y, z, d: 1 - np.tanh(y) ** 2, []),
    (
        "dsigmoid_of_value",
        f"{DSIGMOID} applies the sigmoid again to the value",
        "fio",
        lambda y, z, d: dlogistic(y),
        [],
    ),
    ("dtanh_not_squared", f"{DTANH} is 1 - g instead of 1 - g²", "g", lambda y, z, d: 1 - y, []),
    ("dsigmoid_squared", f"{DSIGMOID} is 1 - y² instead of y (1 - y)", "fio", lambda y, z, d: 1 - y * y, []),
    ("dsigmoid_negated", f"{DSIGMOID} is y (y - 1) instead of y (1 - y)", "fio", lambda y, z, d: -d, []),
    ("dsigmoid_at_g", f"{DSIGMOID} is used instead of that of tanh", "g", lambda y, z, d: y * (1 - y), []),
):
    where = "at the candidate g" if gates == "g" else "at the gates f, i and o"
    register(BugKind.GRADIENT, name, f"{where}, {text}", derivative(gates, wrong), seen_in)


@bug(BugKind.GRADIENT, "ddbourgin/numpy-ml#42")
class dsigmoid_with_b_o(Unit):
    """at the gates f and i, the derivative of the sigmoid is evaluated with the bias b_o instead of b_f and b_i"""

    def dgate(self, k: str, y: Array, z: Array) -> Array:
        right = super().dgate(k, y, z)
        return dlogistic(z - self.run["b_" + k] + self.run["b_o"]) if k in "fi" else right


# The gradients of h_prev and x.


def summed_over(gates: str, edges: dict[str, int], total: int) -> type[Unit]:
    """Return the unit whose gradient of h_prev (edge 25) or x (edge 26) is the sum over some of the gates."""

    class Some(Unit):
        def edges_25_26(self, s: Step, δ: Edges) -> None:
            super().edges_25_26(s, δ)
            δ[total] = δ[total] - sum(δ[edges[k]] for k in GATES if k not in gates)

    return Some


for what, edges, total in (("h_prev", H_EDGES, 25), ("x", X_EDGES, 26)):
    for gates in (*GATES, *(GATES.replace(k, "") for k in GATES)):
        if len(gates) == 1:
            name, text = f"d{what}_from_{gates}_alone", f"the gradient of {what} comes from gate {gates} only"
        else:
            (lacking,) = set(GATES) - set(gates)
            name, text = f"d{what}_lacks_{lacking}", f"the gradient of {what} lacks the part from gate {lacking}"
        register(BugKind.GRADIENT, name, f"{text} (δ{total})", summed_over(gates, edges, total))


@bug(BugKind.GRADIENT)
class W_not_transposed_backward(Unit):
    """the recurrent matrices are not transposed in the gradient of h_prev"""

    def edges_17_to_24(self, s: Step, δ: Edges) -> None:
        super().edges_17_to_24(s, δ)
        for k in GATES:
            δ[H_EDGES[k]] = self.product(δ[PREACTIVATION_EDGES[k]], self.run["W_" + k])


@bug(BugKind.GRADIENT, "evelyne96/LSTM:LSTM.py")
class dh_prev_is_dh(Unit):
    """the gradient of h is passed to h_prev unchanged, not through the gates (δ25 = δ3)"""

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        super().edges_25_26(s, δ)
        δ[25] = δ[3]


@bug(BugKind.GRADIENT, "mustfaozcn/GridWorld:lstm_numpy.py")
class dh_prev_keeps_dh(Unit):
    """the gradient of h is added to that of h_prev, beside the part through the gates (δ25 + δ3)"""

    def edges_25_26(self, s: Step, δ: Edges) -> None:
        super().edges_25_26(s, δ)
        δ[25] = δ[25] + δ[3]
