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

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import Blocks, Cell, Edges, Step
from lstm_oracle.run import WEIGHTS, Array


class Unit(Cell):
    """An LSTM and its gradients, right."""

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
        """The values and edges that set the scale of rounding (`lstm_oracle.truth.tolerance`)."""
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

    # Over time.

    def input(self, t: int) -> Array:
        """The input of a step."""
        return self.run["x"][t]

    def entering(self, t: int, h: Array, C: Array) -> tuple[Array, Array]:
        """The state that a step starts from, given the last one."""
        return h, C

    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        """What goes to the step before as its δ2 and δ4; from the first step, dh0 and dC0."""
        return δ[25], δ[11]

    def total(self, updates: Sequence[Blocks]) -> Blocks:
        """The gradients of the weights over all steps."""
        if not updates:
            return {name: np.zeros_like(self.run[name]) for name in WEIGHTS}
        return {name: reduce(np.add, [update[name] for update in updates]) for name in WEIGHTS}


class HandDerived(Unit):
    """The gradients of the right unit's equations, whatever the forward pass computes."""

    dsigmoid, dtanh, dgate, dsquash = Unit.dsigmoid, Unit.dtanh, Unit.dgate, Unit.dsquash
    edge_3, edges_5_6, edge_7, edge_8 = Unit.edge_3, Unit.edges_5_6, Unit.edge_7, Unit.edge_8
    edges_9_to_12, edges_13_to_16 = Unit.edges_9_to_12, Unit.edges_13_to_16
    edges_17_to_24, edges_25_26 = Unit.edges_17_to_24, Unit.edges_25_26
    leaving, updates, weights_from = Unit.leaving, Unit.updates, Unit.weights_from


class HandDerivedUnmapped(HandDerived):
    """And handed back under the names of the run, not of what the program took for them."""

    returned = Unit.returned
