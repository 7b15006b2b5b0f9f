"""Mistakes of the backward pass: what flows back over the edges, and from step to step. The forward pass is right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reference.oracle.bugs.unit import SUMS, TO_H, TO_X, Blocks, Edges, Step, Unfit, Unit, bug, named
from reference.run import GATES, Array

SOURCE = "Fichou, LSTM units"
R = "R package rnn, backprop_lstm"
FLAG = ["FlagGems#5014"]  # a pre-activation taken for an activation

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
            raise Unfit
        super().edges_17_to_24(s, δ)
        δ[23] = δ[24]


# What arrives from above and from beyond the last step.


def upstream(dh: bool = True, dh_T: bool = True, dC_T: bool = True) -> type[Unit]:
    """The unit that drops loss gradients."""

    class Dropped(Unit):
        def upstream(self) -> tuple[Array, Array, Array]:
            a, b, c = super().upstream()
            return a * dh, b * dh_T, c * dC_T

    return Dropped


for name, text, kept, seen_in in (
    ("dh_ignored", "the loss gradient at the outputs h is ignored", {"dh": False}, ["chainer#8037"]),
    ("dh_T_dropped", "the loss gradient at the last h, dh_T, is dropped", {"dh_T": False}, ["chainer#8037"]),
    ("dC_T_dropped", "the loss gradient at the last C, dC_T, is dropped", {"dC_T": False}, ["Paddle#6970"]),
    ("dh_T_and_dC_T_dropped", "the loss gradients at the last h and C are dropped", {"dh_T": False, "dC_T": False}, []),
    (
        "upstream_ignored",
        "no loss gradient is used: all gradients are zero",
        {"dh": False, "dh_T": False, "dC_T": False},
        ["chainer#8037"],
    ),
):
    bug("gradient", *seen_in)(named(name, text, upstream(**kept)))


@bug("gradient")
class dh_last_step_only(Unit):
    """the loss gradient at the outputs h is used at the last step only"""

    def upstream(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream()
        return np.concatenate([0 * dh[:-1], dh[-1:]]), dh_T, dC_T


@bug("gradient")
class dh_one_step_late(Unit):
    """every step uses the loss gradient that belongs to the output of the step before"""

    def upstream(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream()
        return np.concatenate([0 * dh[:1], dh[:-1]]), dh_T, dC_T


@bug("gradient")
class dh_reversed(Unit):
    """the loss gradient at the outputs h is read from the last step to the first"""

    def upstream(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream()
        return dh[::-1], dh_T, dC_T


@bug("gradient")
class dh_T_at_every_step(Unit):
    """the loss gradient at the last h is added at every step"""

    def upstream(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream()
        return np.concatenate([dh[:-1] + dh_T, dh[-1:]]), dh_T, dC_T


@bug("gradient")
class dC_T_at_every_step(Unit):
    """the loss gradient at the last C is added at every step"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        if s.t < self.T - 1:
            δ[8] = δ[8] + self.upstream()[2]


@bug("gradient")
class upstream_exchanged(Unit):
    """dh_T and dC_T are exchanged"""

    def upstream(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream()
        return dh, dC_T, dh_T


@bug("gradient")
class dh_counted_twice(Unit):
    """the loss gradient at the outputs is added twice (δ3 = 2 δ1 + δ2)"""

    def edge_3(self, s: Step, δ: Edges) -> None:
        super().edge_3(s, δ)
        δ[3] = δ[3] + δ[1]


@bug("gradient", R)
class dh_through_sigmoid(Unit):
    """the loss gradient at h is multiplied by a derivative of the sigmoid, h (1 - h)"""

    def edge_3(self, s: Step, δ: Edges) -> None:
        super().edge_3(s, δ)
        δ[3] = δ[3] + δ[1] * (s.h * (1 - s.h) - 1)


# From step to step.


@bug("gradient", "deeplearning4j#8838")
class no_cell_carry(Unit):
    """the cell-state gradient is not carried back (δ8 = δ7)"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        δ[8] = δ[8] - δ[4]


def cut(h: bool, C: bool, every: int = 1) -> type[Unit]:
    """The unit that hands no gradient to the step before, at every so many steps."""

    class Cut(Unit):
        def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().leaving(s, δ)
            here = s.t > 0 and s.t % every == 0
            return δ2 * (not (h and here)), δ4 * (not (C and here))

    return Cut


bug("gradient", "RNN-LSTM-in-numpy#1")(
    named("no_hidden_carry", "the hidden gradient is not carried back from step to step", cut(True, False))
)
bug("gradient", "deeplearning4j#8838")(
    named(
        "no_cell_carry_between_steps",
        "the cell-state gradient is not carried back from step to step; dC_T is used",
        cut(False, True),
    )
)
for every in (1, 2, 3, 4):
    text = "no gradient is carried back from step to step" if every == 1 else f"truncated to pieces of {every} steps"
    bug("gradient")(named(f"truncated_{every}", f"back-propagation through time: {text}", cut(True, True, every)))


@bug("gradient", "mxnet#4057")
class cell_gradient_assigned(Unit):
    """the cell-state gradient is assigned instead of accumulated: what is carried back replaces it (δ8 = δ4)"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        if s.t < self.T - 1:
            δ[8] = δ[8] - δ[7]


@bug("gradient")
class cell_carry_without_f(Unit):
    """the cell-state gradient is carried back without the forget gate (δ11 = δ8)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11] = δ[8]


@bug("gradient")
class cell_carry_by_the_wrong_f(Unit):
    """the cell-state gradient is carried back by the forget gate of the step it arrives at, not of the one it leaves"""

    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().leaving(s, δ)
        return (δ2, δ[8] * self.steps[s.t - 1].f) if s.t else (δ2, δ4)


@bug("gradient", "cuTAGI#77")
class stale_deltas(Unit):
    """the weights' gradients use the deltas of the step handled before, t + 1"""

    def updates(self, s: Step, δ: Edges) -> Blocks:
        last = s.t + 1 == self.T
        return super().updates(s, {n: 0 * d for n, d in δ.items()} if last else self.δ[s.t + 1])


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


@bug("gradient", R, "FlagGems#5014")
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


@bug("gradient", "Neuron#181")
class dtanh_at_cell_twice(Unit):
    """the derivative of tanh is applied twice on the way to the cell"""

    def edge_7(self, s: Step, δ: Edges) -> None:
        super().edge_7(s, δ)
        δ[7] = δ[7] * self.dsquash(s)


# The products.


@bug("gradient", "Neuron#181")
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
    ("dtanh_at_g_twice", "the derivative of tanh is applied twice", "g", lambda y, z, d: d * d, ["Neuron#181"]),
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
