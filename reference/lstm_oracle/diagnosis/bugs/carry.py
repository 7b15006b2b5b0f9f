"""Mistakes of the backward pass in the upstream gradients and in those carried between steps.

The forward pass is correct.
"""

from __future__ import annotations

from copy import copy

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE, BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array

# The upstream gradients.


def using(dh: bool = True, dh_T: bool = True, dC_T: bool = True) -> type[Unit]:
    """Return the unit that uses only some of its upstream gradients."""

    class Some(Unit):
        def upstream_gradients(self) -> tuple[Array, Array, Array]:
            a, b, c = super().upstream_gradients()
            return a * dh, b * dh_T, c * dC_T

    return Some


for name, text, used, seen_in in (
    ("dh_ignored", "dh, the upstream gradient of the outputs, is ignored", {"dh": False}, ["chainer/chainer#8037"]),
    (
        "dh_T_dropped",
        "dh_T, the upstream gradient of the last h, is ignored",
        {"dh_T": False},
        ["chainer/chainer#8037"],
    ),
    (
        "dC_T_dropped",
        "dC_T, the upstream gradient of the last C, is ignored",
        {"dC_T": False},
        ["deeplearning4j/deeplearning4j#8838", "PaddlePaddle/Paddle#6970"],
    ),
    (
        "dh_T_and_dC_T_dropped",
        "dh_T and dC_T, the upstream gradients of the last h and C, are ignored",
        {"dh_T": False, "dC_T": False},
        [],
    ),
    (
        "upstream_ignored",
        "all upstream gradients are ignored, so that all gradients are zero",
        {"dh": False, "dh_T": False, "dC_T": False},
        ["chainer/chainer#8037"],
    ),
):
    register(BugKind.GRADIENT, name, text, using(**used), seen_in)


@bug(BugKind.GRADIENT)
class dh_last_step_only(Unit):
    """dh is used at the last step only"""

    def upstream_gradients(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream_gradients()
        return np.concatenate([0 * dh[:-1], dh[-1:]]), dh_T, dC_T


@bug(BugKind.GRADIENT)
class dh_one_step_late(Unit):
    """every step uses dh of the preceding step"""

    def upstream_gradients(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream_gradients()
        return np.concatenate([0 * dh[:1], dh[:-1]]), dh_T, dC_T


@bug(BugKind.GRADIENT)
class dh_reversed(Unit):
    """dh is read in reverse time order"""

    def upstream_gradients(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream_gradients()
        return dh[::-1], dh_T, dC_T


@bug(BugKind.GRADIENT)
class dh_T_at_every_step(Unit):
    """dh_T is added at every step instead of the last step only"""

    def upstream_gradients(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream_gradients()
        return np.concatenate([dh[:-1] + dh_T, dh[-1:]]), dh_T, dC_T


@bug(BugKind.GRADIENT)
class dC_T_at_every_step(Unit):
    """dC_T is added at every step instead of the last step only"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        if s.t < self.T - 1:
            δ[8] = δ[8] + self.upstream_gradients()[2]


@bug(BugKind.GRADIENT)
class upstream_exchanged(Unit):
    """dh_T and dC_T are swapped"""

    def upstream_gradients(self) -> tuple[Array, Array, Array]:
        dh, dh_T, dC_T = super().upstream_gradients()
        return dh, dC_T, dh_T


@bug(BugKind.GRADIENT)
class dh_counted_twice(Unit):
    """dh is added twice (δ3 = 2 δ1 + δ2)"""

    def edge_3(self, s: Step, δ: Edges) -> None:
        super().edge_3(s, δ)
        δ[3] = δ[3] + δ[1]


@bug(BugKind.GRADIENT, R_PACKAGE)
class dh_through_sigmoid(Unit):
    """dh is multiplied by h (1 - h), a derivative of the sigmoid"""

    def edge_3(self, s: Step, δ: Edges) -> None:
        super().edge_3(s, δ)
        δ[3] = δ[3] + δ[1] * (s.h * (1 - s.h) - 1)


# From step to step.


@bug(BugKind.GRADIENT, "deeplearning4j/deeplearning4j#8838")
class no_cell_carry(Unit):
    """the cell-state gradient is not carried back (δ8 = δ7)"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        δ[8] = δ[8] - δ[4]


def truncated(h: bool, C: bool, every: int = 1) -> type[Unit]:
    """Return the unit that interrupts the gradient of h or C, or of both, after every segment of so many steps."""

    class Truncated(Unit):
        def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().carried_gradients(s, δ)
            cut = s.t > 0 and s.t % every == 0
            return δ2 * (not (h and cut)), δ4 * (not (C and cut))

    return Truncated


register(
    BugKind.GRADIENT,
    "no_hidden_carry",
    "the hidden-state gradient is not carried back from step to step",
    truncated(True, False),
    ["CaptainE/RNN-LSTM-in-numpy#1"],
)
register(
    BugKind.GRADIENT,
    "no_cell_carry_between_steps",
    "the cell-state gradient is not carried back from step to step, although dC_T is used",
    truncated(False, True),
)
register(BugKind.GRADIENT, "truncated_1", "no gradient is carried back from step to step", truncated(True, True))
for every in (2, 3, 4):
    text = f"backpropagation through time is truncated to segments of {every} steps"
    register(BugKind.GRADIENT, f"truncated_{every}", text, truncated(True, True, every))


@bug(BugKind.GRADIENT, "apache/mxnet#4057")
class cell_gradient_assigned(Unit):
    """the cell-state gradient that is carried back replaces that of the step instead of adding to it (δ8 = δ4)"""

    def edge_8(self, s: Step, δ: Edges) -> None:
        super().edge_8(s, δ)
        if s.t < self.T - 1:
            δ[8] = δ[8] - δ[7]


@bug(BugKind.GRADIENT)
class cell_carry_without_f(Unit):
    """the cell-state gradient is carried back without the factor f (δ11 = δ8)"""

    def edges_9_to_12(self, s: Step, δ: Edges) -> None:
        super().edges_9_to_12(s, δ)
        δ[11] = δ[8]


@bug(BugKind.GRADIENT)
class cell_carry_by_the_wrong_f(Unit):
    """the cell-state gradient is carried back with f of the preceding step instead of the step itself"""

    def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().carried_gradients(s, δ)
        return (δ2, δ[8] * self.steps[s.t - 1].f) if s.t else (δ2, δ4)


@bug(BugKind.GRADIENT, "lhnguyen102/cuTAGI#77")
class stale_deltas(Unit):
    """the weight gradients at step t use the deltas of step t + 1, which were computed before"""

    def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
        last = s.t + 1 == self.T
        return super().weight_gradients(s, {n: 0 * d for n, d in δ.items()} if last else self.δ[s.t + 1])


# The new state of a step in place of the state from which the step starts.


@bug(BugKind.GRADIENT, "pjreddie/darknet:src/lstm_layer.c")
class first_step_s_new_state(Unit):
    """in the backward pass, the first step uses its own h and C instead of h0 and C0"""

    def backward(self, s: Step, δ: Edges) -> None:
        super().backward(self.stale(s), δ)

    def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
        return super().weight_gradients(self.stale(s), δ)

    def stale(self, s: Step) -> Step:
        """Return the step as the backward pass sees it; a run of one step is unaffected."""
        if s.t > 0 or self.T == 1:
            return s
        seen = copy(s)
        seen.h_prev, seen.C_prev = s.h, s.C
        return seen


@bug(BugKind.GRADIENT, "jonirajala/jonigrad:jonigrad/layers.py")
class steps_again_from_new_state(Unit):
    """in the backward pass, every step is recomputed from its own h and C instead of h_prev and C_prev"""

    def backward(self, s: Step, δ: Edges) -> None:
        super().backward(self.recomputed(s), δ)

    def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
        return super().weight_gradients(self.recomputed(s), δ)

    def recomputed(self, s: Step) -> Step:
        """Return the step computed from its own new state."""
        seen = Step(s.t, s.x, s.h, s.C)
        self.forward(seen)
        return seen
