"""Mistakes of the backward pass between steps: what arrives from above, and what is carried back. Forward is right."""

from __future__ import annotations

from copy import copy

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE, bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array

# What arrives from above and from beyond the last step.


def upstream(dh: bool = True, dh_T: bool = True, dC_T: bool = True) -> type[Unit]:
    """The unit that drops loss gradients."""

    class Dropped(Unit):
        def upstream(self) -> tuple[Array, Array, Array]:
            a, b, c = super().upstream()
            return a * dh, b * dh_T, c * dC_T

    return Dropped


for name, text, kept, seen_in in (
    ("dh_ignored", "the loss gradient at the outputs h is ignored", {"dh": False}, ["chainer/chainer#8037"]),
    ("dh_T_dropped", "the loss gradient at the last h, dh_T, is dropped", {"dh_T": False}, ["chainer/chainer#8037"]),
    (
        "dC_T_dropped",
        "the loss gradient at the last C, dC_T, is dropped",
        {"dC_T": False},
        ["deeplearning4j/deeplearning4j#8838", "PaddlePaddle/Paddle#6970"],
    ),
    ("dh_T_and_dC_T_dropped", "the loss gradients at the last h and C are dropped", {"dh_T": False, "dC_T": False}, []),
    (
        "upstream_ignored",
        "no loss gradient is used: all gradients are zero",
        {"dh": False, "dh_T": False, "dC_T": False},
        ["chainer/chainer#8037"],
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


@bug("gradient", R_PACKAGE)
class dh_through_sigmoid(Unit):
    """the loss gradient at h is multiplied by a derivative of the sigmoid, h (1 - h)"""

    def edge_3(self, s: Step, δ: Edges) -> None:
        super().edge_3(s, δ)
        δ[3] = δ[3] + δ[1] * (s.h * (1 - s.h) - 1)


# From step to step.


@bug("gradient", "deeplearning4j/deeplearning4j#8838")
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


bug("gradient", "CaptainE/RNN-LSTM-in-numpy#1")(
    named("no_hidden_carry", "the hidden gradient is not carried back from step to step", cut(True, False))
)
bug("gradient")(
    named(
        "no_cell_carry_between_steps",
        "the cell-state gradient is not carried back from step to step; dC_T is used",
        cut(False, True),
    )
)
for every in (1, 2, 3, 4):
    text = "no gradient is carried back from step to step" if every == 1 else f"truncated to pieces of {every} steps"
    bug("gradient")(named(f"truncated_{every}", f"back-propagation through time: {text}", cut(True, True, every)))


@bug("gradient", "apache/mxnet#4057")
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


@bug("gradient", "lhnguyen102/cuTAGI#77")
class stale_deltas(Unit):
    """the weights' gradients use the deltas of the step handled before, t + 1"""

    def updates(self, s: Step, δ: Edges) -> Blocks:
        last = s.t + 1 == self.T
        return super().updates(s, {n: 0 * d for n, d in δ.items()} if last else self.δ[s.t + 1])


# A step's own new state, taken for the one that it started from.


@bug("gradient", "pjreddie/darknet:src/lstm_layer.c")
class first_step_s_new_state(Unit):
    """backward, the first step takes its own h and C for those before it: there is nothing to load in their place"""

    def backward(self, s: Step, δ: Edges) -> None:
        super().backward(self.stale(s), δ)

    def updates(self, s: Step, δ: Edges) -> Blocks:
        return super().updates(self.stale(s), δ)

    def stale(self, s: Step) -> Step:
        """The step as it is seen; where it is the only one, the buffers are still empty."""
        if s.t > 0 or self.T == 1:
            return s
        seen = copy(s)
        seen.h_prev, seen.C_prev = s.h, s.C
        return seen


@bug("gradient", "jonirajala/jonigrad:jonigrad/layers.py")
class steps_again_from_new_state(Unit):
    """backward, every step is computed again, from the h and C that it left instead of those that it started from"""

    def backward(self, s: Step, δ: Edges) -> None:
        super().backward(self.again(s), δ)

    def updates(self, s: Step, δ: Edges) -> Blocks:
        return super().updates(self.again(s), δ)

    def again(self, s: Step) -> Step:
        """The step from its own new state."""
        seen = Step(s.t, s.x, s.h, s.C)
        self.forward(seen)
        return seen
