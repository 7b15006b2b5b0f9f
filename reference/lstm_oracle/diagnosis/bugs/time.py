"""Mistakes of state, time and direction. The gradients are those of what the forward pass computes."""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.entry import bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array


def ignored(*names: str) -> type[Unit]:
    """The unit that starts from zeros."""

    class Ignored(Unit):
        def read(self, run: Blocks) -> Blocks:
            return super().read(run | {name: np.zeros_like(run[name]) for name in names})

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"d{name}": np.zeros_like(d[f"d{name}"]) for name in names}

    return Ignored


bug("state", "onnx/onnx-tensorflow#408", "pytorch/pytorch#95137")(
    named("h0_ignored", "the initial h is ignored: the first step starts from zeros", ignored("h0"))
)
bug("state", "onnx/onnx-tensorflow#409", "pytorch/pytorch#95137")(
    named("C0_ignored", "the initial C is ignored: the first step starts from zeros", ignored("C0"))
)
bug("state", "pytorch/pytorch#95137")(
    named("initial_states_ignored", "h0 and C0 are ignored: the first step starts from zeros", ignored("h0", "C0"))
)


@bug("state", "onnx/onnx-tensorflow#408")
class C0_from_h0(Unit):
    """h0 is taken for both initial states"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"C0": run["h0"]})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dh0": d["dh0"] + d["dC0"], "dC0": np.zeros_like(d["dC0"])}


@bug("state", "onnx/onnx-tensorflow#409")
class h0_from_C0(Unit):
    """C0 is taken for both initial states"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"h0": run["C0"]})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dC0": d["dh0"] + d["dC0"], "dh0": np.zeros_like(d["dh0"])}


@bug("state")
class first_row_s_states(Unit):
    """every row of the batch starts from the first row's initial states"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {name: np.zeros_like(run[name]) + run[name][:1] for name in ("h0", "C0")})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        for name in ("dh0", "dC0"):
            total = np.zeros_like(d[name])
            total[:1] = d[name].sum(axis=0)
            d[name] = total
        return d


def forgotten(h: bool, C: bool) -> type[Unit]:
    """The unit that takes zeros for the state after a step."""

    class Forgotten(Unit):
        def entering(self, t: int, h_prev: Array, C_prev: Array) -> tuple[Array, Array]:
            keep_h, keep_C = not (h and t), not (C and t)
            return super().entering(t, h_prev * keep_h, C_prev * keep_C)

        def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            keep_h, keep_C = not (h and s.t), not (C and s.t)
            δ2, δ4 = super().leaving(s, δ)
            return δ2 * keep_h, δ4 * keep_C

    return Forgotten


for name, text, which in (
    ("state_zeroed", "every step after the first starts from zero h and C", (True, True)),
    ("h_zeroed", "every step after the first starts from a zero h", (True, False)),
    ("C_zeroed", "every step after the first starts from a zero C", (False, True)),
):
    bug("state", "alibaba/MNN#1138")(named(name, text, forgotten(*which)))


def restarted(h: bool, C: bool) -> type[Unit]:
    """The unit that takes the initial state for the state after a step."""

    class Restarted(Unit):
        def entering(self, t: int, h_prev: Array, C_prev: Array) -> tuple[Array, Array]:
            again = self.run["h0"] if h else h_prev, self.run["C0"] if C else C_prev
            return super().entering(t, *again)

        def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().leaving(s, δ)
            from_later = self.notes.pop(Restarted, (0, 0))
            if s.t == 0:
                return δ2 + from_later[0], δ4 + from_later[1]
            self.notes[Restarted] = from_later[0] + δ2 * h, from_later[1] + δ4 * C
            return δ2 * (not h), δ4 * (not C)

    return Restarted


for name, text, which in (
    ("state_restarted", "every step starts from h0 and C0", (True, True)),
    ("h_restarted", "every step takes h0 for the h of the step before", (True, False)),
    ("C_restarted", "every step takes C0 for the C of the step before", (False, True)),
):
    bug("state", "alibaba/MNN#1138")(named(name, text, restarted(*which)))


@bug("state", "alibaba/MNN#1138")
class first_input_always(Unit):
    """every step reads the first step's input"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"x": np.zeros_like(run["x"]) + run["x"][:1]})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        total = np.zeros_like(d["dx"])
        total[:1] = d["dx"].sum(axis=0)
        return d | {"dx": total}


@bug("state")
class input_one_step_late(Unit):
    """every step reads the input of the step before, the first one zeros"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"x": np.concatenate([np.zeros_like(run["x"][:1]), run["x"][:-1]])})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": np.concatenate([d["dx"][1:], np.zeros_like(d["dx"][:1])])}


@bug("direction")
class reversed_in_time(Unit):
    """the sequence is run from its last step to its first, and h[0] belongs to the last input"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"x": run["x"][::-1]})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": d["dx"][::-1]}


@bug("direction")
class reversed_and_turned_back(Unit):
    """the sequence is run from its last step to its first; its outputs are put back in order"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"x": run["x"][::-1], "dh": run["dh"][::-1]})

    def shown(self, states: Blocks) -> Blocks:
        states = super().shown(states)
        return states | {name: states[name][::-1] for name in "hC"}

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": d["dx"][::-1]}


@bug("direction")
class outputs_reversed(Unit):
    """the outputs come back from the last step to the first"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"dh": run["dh"][::-1]})

    def shown(self, states: Blocks) -> Blocks:
        states = super().shown(states)
        return states | {name: states[name][::-1] for name in "hC"}
