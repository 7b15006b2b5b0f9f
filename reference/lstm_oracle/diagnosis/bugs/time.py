"""Mistakes with the state, with time and with its direction. The gradients are those of the wrong forward pass."""

from __future__ import annotations

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array


def ignored(*names: str) -> type[Unit]:
    """Return the unit that uses zeros in place of an initial state."""

    class Ignored(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            return super().read_inputs(run | {name: np.zeros_like(run[name]) for name in names})

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"d{name}": np.zeros_like(d[f"d{name}"]) for name in names}

    return Ignored


for name, text, ignored_states, seen_in in (
    ("h0_ignored", "h0 is ignored, and zeros are used instead", ["h0"], ["onnx/onnx-tensorflow#408"]),
    ("C0_ignored", "C0 is ignored, and zeros are used instead", ["C0"], ["onnx/onnx-tensorflow#409"]),
    ("initial_states_ignored", "h0 and C0 are ignored, and zeros are used instead", ["h0", "C0"], []),
):
    register(BugKind.STATE, name, text, ignored(*ignored_states), [*seen_in, "pytorch/pytorch#95137"])


@bug(BugKind.STATE, "onnx/onnx-tensorflow#408")
class C0_from_h0(Unit):
    """h0 is used for both initial states"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"C0": run["h0"]})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dh0": d["dh0"] + d["dC0"], "dC0": np.zeros_like(d["dC0"])}


@bug(BugKind.STATE, "onnx/onnx-tensorflow#409")
class h0_from_C0(Unit):
    """C0 is used for both initial states"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"h0": run["C0"]})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dC0": d["dh0"] + d["dC0"], "dh0": np.zeros_like(d["dh0"])}


@bug(BugKind.STATE)
class first_row_s_states(Unit):
    """every row of the batch starts from the initial state of the first row"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {name: np.zeros_like(run[name]) + run[name][:1] for name in ("h0", "C0")})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        for name in ("dh0", "dC0"):
            total = np.zeros_like(d[name])
            total[:1] = d[name].sum(axis=0)
            d[name] = total
        return d


def zeroed(h: bool, C: bool) -> type[Unit]:
    """Return the unit that sets h or C, or both, to zero between steps."""

    class Zeroed(Unit):
        def previous_state(self, t: int, h_prev: Array, C_prev: Array) -> tuple[Array, Array]:
            keep_h, keep_C = not (h and t), not (C and t)
            return super().previous_state(t, h_prev * keep_h, C_prev * keep_C)

        def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            keep_h, keep_C = not (h and s.t), not (C and s.t)
            δ2, δ4 = super().carried_gradients(s, δ)
            return δ2 * keep_h, δ4 * keep_C

    return Zeroed


for name, text, which in (
    ("state_zeroed", "h and C are reset to zero before every step but the first", (True, True)),
    ("h_zeroed", "h is reset to zero before every step but the first", (True, False)),
    ("C_zeroed", "C is reset to zero before every step but the first", (False, True)),
):
    register(BugKind.STATE, name, text, zeroed(*which), ["alibaba/MNN#1138"])


def restarted(h: bool, C: bool) -> type[Unit]:
    """Return the unit that starts every step from the initial h or C, or from both."""

    class Restarted(Unit):
        def previous_state(self, t: int, h_prev: Array, C_prev: Array) -> tuple[Array, Array]:
            state = self.run["h0"] if h else h_prev, self.run["C0"] if C else C_prev
            return super().previous_state(t, *state)

        def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().carried_gradients(s, δ)
            from_later = self.scratch.pop(Restarted, (0, 0))
            if s.t == 0:
                return δ2 + from_later[0], δ4 + from_later[1]
            self.scratch[Restarted] = from_later[0] + δ2 * h, from_later[1] + δ4 * C
            return δ2 * (not h), δ4 * (not C)

    return Restarted


for name, text, which in (
    ("state_restarted", "every step starts from h0 and C0", (True, True)),
    ("h_restarted", "every step uses h0 instead of h_prev", (True, False)),
    ("C_restarted", "every step uses C0 instead of C_prev", (False, True)),
):
    register(BugKind.STATE, name, text, restarted(*which), ["alibaba/MNN#1138"])


@bug(BugKind.STATE, "alibaba/MNN#1138")
class first_input_always(Unit):
    """every step reads the input of the first step"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"x": np.zeros_like(run["x"]) + run["x"][:1]})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        total = np.zeros_like(d["dx"])
        total[:1] = d["dx"].sum(axis=0)
        return d | {"dx": total}


@bug(BugKind.STATE)
class input_one_step_late(Unit):
    """every step reads the input of the preceding step, and the first step reads zeros"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"x": np.concatenate([np.zeros_like(run["x"][:1]), run["x"][:-1]])})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": np.concatenate([d["dx"][1:], np.zeros_like(d["dx"][:1])])}


@bug(BugKind.DIRECTION)
class reversed_in_time(Unit):
    """the sequence is processed in reverse, and the first output belongs to the last input"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"x": run["x"][::-1]})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": d["dx"][::-1]}


@bug(BugKind.DIRECTION)
class reversed_and_turned_back(Unit):
    """the sequence is processed in reverse, and the outputs are put back in order"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"x": run["x"][::-1], "dh": run["dh"][::-1]})

    def return_states(self, states: Blocks) -> Blocks:
        states = super().return_states(states)
        return states | {name: states[name][::-1] for name in "hC"}

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": d["dx"][::-1]}


@bug(BugKind.DIRECTION)
class outputs_reversed(Unit):
    """the outputs are returned in reverse time order"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"dh": run["dh"][::-1]})

    def return_states(self, states: Blocks) -> Blocks:
        states = super().return_states(states)
        return states | {name: states[name][::-1] for name in "hC"}
