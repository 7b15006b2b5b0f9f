"""An LSTM in which every computation that programs get wrong is a small method.

`Unit` is correct. A mistake is a subclass that overrides one or two methods, and a unit with two mistakes is a class
with two such parents (see `compose`). The edges are those of the source's figure (manual/unit.svg). Nothing is
imported from `manual`: this is a third copy of the equations, and the tests compare it with autodiff.

    read_inputs           the inputs as the unit reads them
    return_states         the states as the unit returns them
    upstream_gradients    the upstream gradients as the unit uses them
    return_gradients      the gradients as the unit returns them
    previous_state        the state from which a step starts
    carried_gradients     the gradients that a step passes to the preceding one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np

from lstm_oracle.diagnosis.bugs.equations import Blocks, Edges, Equations, Step
from lstm_oracle.run import WEIGHTS, Array


class Unit(Equations):
    """A correct LSTM with its gradients; `states` runs before `gradients`."""

    def __init__(self, run: Mapping[str, Array]) -> None:
        self.scratch: dict[object, Any] = {}  # values that a mistake passes between methods, under keys of its own
        self.run = self.read_inputs(dict(run))
        self.T = len(self.run["x"])
        self.steps: list[Step] = []
        self.δ: list[Edges] = []
        self.initial_gradients: Blocks = {}

    def states(self) -> Blocks:
        """Run the forward pass and return h, C and C_T."""
        h, C = self.run["h0"], self.run["C0"]
        for t in range(self.T):
            s = Step(t, self.input_at(t), *self.previous_state(t, h, C))
            self.forward(s)
            h, C = s.h, s.C
            self.steps.append(s)
        return self.stack_states()

    def stack_states(self) -> Blocks:
        """Return h, C and C_T of all steps."""
        shape = self.T, *self.run["h0"].shape
        found = {name: np.array([getattr(s, name) for s in self.steps]).reshape(shape) for name in "hC"}
        return self.return_states(found | {"C_T": self.steps[-1].C if self.steps else self.run["C0"]})

    def scale_blocks(self) -> Blocks:
        """Return the values and edges that set the scale of rounding (`lstm_oracle.truth.tolerance`)."""
        values = {name: np.array([getattr(s, name) for s in self.steps]) for name in "fhC"}
        return values | {f"δ{n}": np.array([δ[n] for δ in self.δ]) for n in (1, 2, 4)}

    def gradients(self) -> Blocks:
        """Run the backward pass and return all gradients; requires the forward pass."""
        dh, δ2, δ4 = self.upstream_gradients()
        for s in reversed(self.steps):
            δ = {1: dh[s.t], 2: δ2, 4: δ4}
            self.backward(s, δ)
            δ2, δ4 = self.carried_gradients(s, δ)
            self.δ.insert(0, δ)
        self.initial_gradients = {"dh0": δ2, "dC0": δ4}
        return self.assemble_gradients()

    def assemble_gradients(self) -> Blocks:
        """Return all gradients, computed from the edges of all steps."""
        by_step = [self.weight_gradients(s, δ) for s, δ in zip(self.steps, self.δ, strict=True)]
        dx = np.array([δ[26] for δ in self.δ]).reshape(self.run["x"].shape)
        totals = {f"d{name}": d for name, d in self.accumulate(by_step).items()}
        return self.return_gradients(totals | {"dx": dx} | self.initial_gradients)

    # What the unit reads and returns.

    def read_inputs(self, run: Blocks) -> Blocks:
        """Return the inputs as the unit reads them."""
        return run

    def return_states(self, states: Blocks) -> Blocks:
        """Return the states under the names and in the order that the caller sees."""
        return states

    def return_gradients(self, d: Blocks) -> Blocks:
        """Return the gradients under the names and in the order that the caller sees."""
        return d

    def upstream_gradients(self) -> tuple[Array, Array, Array]:
        """Return dh, dh_T and dC_T."""
        return self.run["dh"], self.run["dh_T"], self.run["dC_T"]

    # What passes from step to step.

    def input_at(self, t: int) -> Array:
        """Return the input of a step, (B, D)."""
        return self.run["x"][t]

    def previous_state(self, t: int, h: Array, C: Array) -> tuple[Array, Array]:
        """Return h_prev and C_prev of step t, where h and C are the state after the preceding step."""
        return h, C

    def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        """Return δ2 and δ4 of the preceding step, or dh0 and dC0 for the first step."""
        return δ[25], δ[11]

    def accumulate(self, by_step: Sequence[Blocks]) -> Blocks:
        """Return the sum of the weight gradients over all steps."""
        if not by_step:
            return {name: np.zeros_like(self.run[name]) for name in WEIGHTS}
        return {name: reduce(np.add, [gradients[name] for gradients in by_step]) for name in WEIGHTS}


class HandDerived(Unit):
    """A unit whose gradients are those of the correct equations, whatever its forward pass computes."""

    dsigmoid, dtanh, dgate, dsquash = Unit.dsigmoid, Unit.dtanh, Unit.dgate, Unit.dsquash
    edge_3, edges_5_6, edge_7, edge_8 = Unit.edge_3, Unit.edges_5_6, Unit.edge_7, Unit.edge_8
    edges_9_to_12, edges_13_to_16 = Unit.edges_9_to_12, Unit.edges_13_to_16
    edges_17_to_24, edges_25_26 = Unit.edges_17_to_24, Unit.edges_25_26
    carried_gradients = Unit.carried_gradients
    weight_gradients, weight_edges = Unit.weight_gradients, Unit.weight_edges


class HandDerivedUnmapped(HandDerived):
    """A hand-derived unit that returns its gradients as computed, not rearranged as its inputs were."""

    return_gradients = Unit.return_gradients
