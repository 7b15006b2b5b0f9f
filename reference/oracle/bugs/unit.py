"""A unit made to be broken: every place where programs go wrong is a small method of its own.

`Unit` is right. A mistake is a subclass that overrides one or two methods, and a program with two
mistakes is a class with two such parents (see `compose`). The edges are those of the source's picture
(manual/unit.svg), but nothing is imported from there: this is a third copy of the equations, and the
tests hold it against autodiff.

    read      what arrives at the program          returned   what it hands back: gradients
    shown     what it hands back: states           upstream   the loss gradients that it uses
    entering  the state that a step starts from    leaving    the gradient that goes to the step before
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from reference.run import GATES, WEIGHTS, Array

Blocks = dict[str, Array]
Edges = dict[int, Array]

SUMS = {"f": 16, "i": 15, "g": 14, "o": 13}  # the edge at each gate's sum
VALUES = {"f": 12, "i": 10, "g": 9, "o": 6}  # and the one at its output
TO_X = {"f": 23, "i": 21, "g": 19, "o": 17}
TO_H = {"f": 24, "i": 22, "g": 20, "o": 18}


R_PACKAGE = "R package rnn, backprop_lstm"  # the code of the source's author


class Unfit(Exception):
    """These sizes do not let the mistake be made: the program would stop with an error."""


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


class Unit:
    """An LSTM and its gradients, right."""

    weights_from = SUMS  # the edges that the weights' gradients are made of

    def __init__(self, run: Mapping[str, Array]) -> None:
        self.notes: dict[object, Any] = {}  # what a mistake must remember, under a key of its own
        self.run = self.read(dict(run))
        self.T = len(self.run["x"])
        self.steps: list[Step] = []
        self.δ: list[Edges] = []

    def states(self) -> Blocks:
        """The forward pass: h, C and C_T."""
        h, C = self.run["h0"], self.run["C0"]
        for t in range(self.T):
            s = Step(t, self.input(t), *self.entering(t, h, C))
            self.forward(s)
            h, C = s.h, s.C
            self.steps.append(s)
        return self.restated()

    def restated(self) -> Blocks:
        """The states of all steps as they are returned."""
        shape = self.T, *self.run["h0"].shape
        found = {name: np.array([getattr(s, name) for s in self.steps]).reshape(shape) for name in "hC"}
        return self.shown(found | {"C_T": self.steps[-1].C if self.steps else self.run["C0"]})

    def blocks(self) -> Blocks:
        """The values and edges that set the scale of rounding (`reference.oracle.tolerance`)."""
        values = {name: np.array([getattr(s, name) for s in self.steps]) for name in "fhC"}
        return values | {f"δ{n}": np.array([δ[n] for δ in self.δ]) for n in (1, 2, 4)}

    def gradients(self) -> Blocks:
        """The backward pass, after the forward pass."""
        dh, δ2, δ4 = self.upstream()
        for s in reversed(self.steps):
            δ = {1: dh[s.t], 2: δ2, 4: δ4}
            self.backward(s, δ)
            δ2, δ4 = self.leaving(s, δ)
            self.δ.insert(0, δ)
        self.start = {"dh0": δ2, "dC0": δ4}
        return self.gathered()

    def gathered(self) -> Blocks:
        """The gradients, made of the edges of all steps."""
        updates = [self.updates(s, δ) for s, δ in zip(self.steps, self.δ, strict=True)]
        dx = np.array([δ[26] for δ in self.δ]).reshape(self.run["x"].shape)
        totals = {f"d{name}": d for name, d in self.total(updates).items()}
        return self.returned(totals | {"dx": dx} | self.start)

    # What arrives at the program, and what it hands back.

    def read(self, run: Blocks) -> Blocks:
        """The run as the program takes it."""
        return run

    def shown(self, states: Blocks) -> Blocks:
        """The states as the program returns them."""
        return states

    def returned(self, d: Blocks) -> Blocks:
        """The gradients as the program returns them."""
        return d

    def upstream(self) -> tuple[Array, Array, Array]:
        """dh, dh_T and dC_T."""
        return self.run["dh"], self.run["dh_T"], self.run["dC_T"]

    # Forward.

    def input(self, t: int) -> Array:
        """The input of a step."""
        return self.run["x"][t]

    def entering(self, t: int, h: Array, C: Array) -> tuple[Array, Array]:
        """The state that a step starts from, given the last one."""
        return h, C

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

    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        """What goes to the step before as its δ2 and δ4; from the first step, dh0 and dC0."""
        return δ[25], δ[11]

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

    def total(self, updates: Sequence[Blocks]) -> Blocks:
        """The gradients of the weights over all steps."""
        if not updates:
            return {name: np.zeros_like(self.run[name]) for name in WEIGHTS}
        return {name: reduce(np.add, [update[name] for update in updates]) for name in WEIGHTS}


class Derived(Unit):
    """The gradients of the right unit's equations, whatever the forward pass computes."""

    dsigmoid, dtanh, dgate, dsquash = Unit.dsigmoid, Unit.dtanh, Unit.dgate, Unit.dsquash
    edge_3, edges_5_6, edge_7, edge_8 = Unit.edge_3, Unit.edges_5_6, Unit.edge_7, Unit.edge_8
    edges_9_to_12, edges_13_to_16 = Unit.edges_9_to_12, Unit.edges_13_to_16
    edges_17_to_24, edges_25_26 = Unit.edges_17_to_24, Unit.edges_25_26
    leaving, updates, weights_from = Unit.leaving, Unit.updates, Unit.weights_from


class AsNamed(Derived):
    """And handed back under the names of the run, not of what the program took for them."""

    returned = Unit.returned


@dataclass(frozen=True, eq=False)
class Bug:
    """A known mistake."""

    number: int  # in the order of the catalogue
    id: str
    kind: str
    text: str  # one sentence, for people
    seen_in: tuple[str, ...]
    unit: type[Unit]

    @property
    def forward(self) -> bool:
        """Whether the forward pass is where it is made; its gradients are then those of that forward pass."""
        return self.kind not in ("gradient", "update")


CATALOGUE: dict[str, Bug] = {}


def bug(kind: str, *seen_in: str) -> Callable[[type[Unit]], type[Unit]]:
    """Enter a class into the catalogue: its name is the id, its docstring the sentence."""

    def enter(unit: type[Unit]) -> type[Unit]:
        name, text = unit.__name__, " ".join((unit.__doc__ or "").split()).removesuffix(".")
        assert name not in CATALOGUE, name
        CATALOGUE[name] = Bug(len(CATALOGUE), name, kind, text, seen_in, unit)
        return unit

    return enter


def named(name: str, text: str, unit: type[Unit]) -> type[Unit]:
    """One member of a family of mistakes that differ in a letter or a number, to be entered by `bug`."""
    unit.__name__ = unit.__qualname__ = name
    unit.__doc__ = text
    return unit


def compose(bugs: tuple[Bug, ...], base: type[Unit] = Unit) -> type[Unit]:
    """A program with all of these mistakes.

    With `Derived` or `AsNamed` as the base its gradients are derived by hand, for the right unit,
    and not for the forward pass that it has.
    """
    backward = [b.unit for b in bugs if not b.forward]
    forward = [b.unit for b in bugs if b.forward]
    parents = [*backward, *([] if base is Unit else [base]), *forward]
    return type("Wrong", (*parents, Unit), {})
