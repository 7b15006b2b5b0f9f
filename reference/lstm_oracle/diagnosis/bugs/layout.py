"""Mistakes of layout: weights, inputs and states are read in place of others, and gradients returned accordingly."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import BugKind, ShapeMismatch, bug, register
from lstm_oracle.diagnosis.bugs.equations import Blocks
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array

KINDS = "WUb"

# The orders of the gates that are in use, and where. Chainer interleaves its gates as well.
ORDERS = {
    "ifgo": "torch, Keras",
    "igfo": "Haiku",
    "iofg": "ONNX",
    "ifog": "karpathy's gist",
    "gifo": "Chainer",
    "fgio": "deep-learning-from-scratch-2",
    "figo": "the source",
    "fiog": "other code",
}
SEEN = {
    ("iofg", "ifgo"): ("CrispStrobe/CrispASR#106", "elizaOS/eliza#9501"),
    ("igfo", "ifgo"): ("tensorflow/tensorflow#29308",),
    ("ifog", "ifgo"): ("apple/coremltools#93",),
    ("ifgo", "ifog"): ("JAX swap_lstm_gates",),
}


def weights_used(stored: str, read: str) -> str:
    """Return whose weights the gates f, i, g, o use where weights stored in one order are read in another."""
    return "".join(stored[read.index(k)] for k in GATES)


def gate_order(used: str) -> type[Unit]:
    """Return the unit whose gates f, i, g, o use the weights of the gates `used`."""

    class Reordered(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            new = {f"{kind}_{k}": run[f"{kind}_{j}"] for kind in KINDS for k, j in zip(GATES, used, strict=True)}
            return super().read_inputs(run | new)

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"d{kind}_{j}": d[f"d{kind}_{k}"] for kind in KINDS for k, j in zip(GATES, used, strict=True)}

    return Reordered


for used in map("".join, permutations(GATES)):
    if used != GATES:
        pairs = [(stored, read) for stored in ORDERS for read in ORDERS if weights_used(stored, read) == used]
        pairs.sort(key=lambda pair: (pair not in SEEN, [*ORDERS].index(pair[0]), [*ORDERS].index(pair[1])))
        example = f", as when {pairs[0][0]} is read as {pairs[0][1]}" if pairs else ""
        whose = ", ".join(f"{k} uses those of {j}" for k, j in zip(GATES, used, strict=True) if k != j)
        text = f"the gates' weights are in the wrong order: {whose}{example}"
        seen_in = [source for pair in pairs for source in SEEN.get(pair, ())]
        register(BugKind.LAYOUT, f"gate_order_{used}", text, gate_order(used), seen_in)


def swapped(kind: str, one: str, other: str) -> type[Unit]:
    """Return the unit that swaps one kind of array between two gates."""

    class Swapped(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            a, b = f"{kind}_{one}", f"{kind}_{other}"
            return super().read_inputs(run | {a: run[b], b: run[a]})

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            a, b = f"d{kind}_{one}", f"d{kind}_{other}"
            return d | {a: d[b], b: d[a]}

    return Swapped


for kind, name in {"b": "biases", "W": "recurrent matrices", "U": "input matrices"}.items():
    for one, other in ("fi", "go"):
        text = f"only the {name} of the gates {one} and {other} are swapped"
        register(BugKind.LAYOUT, f"{kind}_{one}_{other}_exchanged", text, swapped(kind, one, other))

Reshape = Callable[[Array], Array]


def reshaped(order: str, forward: Reshape, backward: Reshape) -> type[Unit]:
    """Return the unit that reshapes its weights, concatenated in this order.

    Args:
        order: the order of the gates along the last axis, (…, 4H).
        forward: the reshape of the weights.
        backward: the inverse, for the gradients.
    """

    class Reshaped(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            return super().read_inputs(run | through(run, "", forward))

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | through(d, "d", backward)

    def through(arrays: Blocks, prefix: str, reshape: Reshape) -> Blocks:
        found: Blocks = {}
        for kind in KINDS:
            names = [f"{prefix}{kind}_{k}" for k in order]
            found |= dict(zip(names, np.split(reshape(np.hstack([arrays[n] for n in names])), 4, -1), strict=True))
        return found

    return Reshaped


def interleaved(a: Array) -> Array:
    """Read (…, 4H) as interleaved: from unit by unit, with four gates each, to gate by gate."""
    return a.reshape(*a.shape[:-1], a.shape[-1] // 4, 4).swapaxes(-1, -2).reshape(a.shape)


def gate_by_gate(a: Array) -> Array:
    """Invert `interleaved`: from gate by gate to unit by unit."""
    return a.reshape(*a.shape[:-1], 4, a.shape[-1] // 4).swapaxes(-1, -2).reshape(a.shape)


for order in ("figo", "ifgo"):
    text = f"weights stored gate by gate, in the order {order}, are read as interleaved, with four gates for each unit"
    unit = reshaped(order, interleaved, gate_by_gate)
    register(BugKind.LAYOUT, f"read_as_interleaved_{order}", text, unit, ["Chainer's layout"])


def one_for_all(gate: str) -> type[Unit]:
    """Return the unit whose gates share one recurrent matrix."""

    class Shared(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            return super().read_inputs(run | {f"W_{k}": run[f"W_{gate}"] for k in GATES})

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            total = np.sum([d[f"dW_{k}"] for k in GATES], axis=0)
            return d | {f"dW_{k}": total if k == gate else np.zeros_like(total) for k in GATES}

    return Shared


for gate in "fi":
    text = f"all four gates use the same recurrent matrix, W_{gate}"
    register(BugKind.LAYOUT, f"one_W_for_all_{gate}", text, one_for_all(gate), ["stanfordnlp/stanza#88"])


@bug(BugKind.LAYOUT)
class W_transposed(Unit):
    """the recurrent matrices are transposed"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {f"W_{k}": run[f"W_{k}"].T for k in GATES})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {f"dW_{k}": d[f"dW_{k}"].T for k in GATES}


@bug(BugKind.LAYOUT)
class U_transposed(Unit):
    """the input matrices are reshaped to (H, D) and transposed"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {f"U_{k}": run[f"U_{k}"].reshape(run[f"U_{k}"].shape[::-1]).T for k in GATES})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {f"dU_{k}": d[f"dU_{k}"].T.reshape(d[f"dU_{k}"].shape) for k in GATES}


def rows_swapped(first: str, second: str) -> type[Unit]:
    """Return the unit that reads a matrix of `first` stacked on `second` as one of `second` stacked on `first`."""

    class Swapped(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            new: Blocks = {}
            for k in GATES:
                above = run[f"{second}_{k}"].shape[0]
                stacked = np.vstack([run[f"{first}_{k}"], run[f"{second}_{k}"]])
                new |= {f"{second}_{k}": stacked[:above], f"{first}_{k}": stacked[above:]}
            return super().read_inputs(run | new)

        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            for k in GATES:
                above = d[f"d{first}_{k}"].shape[0]
                stacked = np.vstack([d[f"d{second}_{k}"], d[f"d{first}_{k}"]])
                d |= {f"d{first}_{k}": stacked[:above], f"d{second}_{k}": stacked[above:]}
            return d

    return Swapped


for name, text, unit in (
    ("xh_read_as_hx", "a stacked matrix for [x; h] is read as one for [h; x]", rows_swapped("U", "W")),
    ("hx_read_as_xh", "a stacked matrix for [h; x] is read as one for [x; h]", rows_swapped("W", "U")),
):
    register(BugKind.LAYOUT, name, text, unit, ["karpathy/neuraltalk#41"])


@bug(BugKind.LAYOUT, "pytorch/pytorch#80306", "openvinotoolkit/openvino#37819")
class x_reshaped(Unit):
    """a batch-first x is made time-major by a reshape instead of a transpose"""

    def read_inputs(self, run: Blocks) -> Blocks:
        x = run["x"]
        return super().read_inputs(run | {"x": np.ascontiguousarray(x.swapaxes(0, 1)).reshape(x.shape)})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        T, B, D = d["dx"].shape
        return d | {"dx": np.ascontiguousarray(d["dx"]).reshape(B, T, D).swapaxes(0, 1)}


@bug(BugKind.LAYOUT, "pytorch/pytorch#80306", "openvinotoolkit/openvino#37819")
class batch_taken_for_time(Unit):
    """the batch axis is read as the time axis, and the time axis as the batch axis"""

    def read_inputs(self, run: Blocks) -> Blocks:
        if run["x"].shape[0] != run["x"].shape[1]:
            raise ShapeMismatch
        return super().read_inputs(run | {name: run[name].swapaxes(0, 1) for name in ("x", "dh")})

    def return_states(self, states: Blocks) -> Blocks:
        states = super().return_states(states)
        return states | {name: states[name].swapaxes(0, 1) for name in "hC"}

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": d["dx"].swapaxes(0, 1)}


@bug(BugKind.LAYOUT, "microsoft/nni#2842")
class initial_states_exchanged(Unit):
    """h0 and C0 are swapped"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"h0": run["C0"], "C0": run["h0"]})

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dh0": d["dC0"], "dC0": d["dh0"]}


@bug(BugKind.LAYOUT, "microsoft/nni#2842")
class final_states_exchanged(Unit):
    """h_T and C_T are returned in place of each other, and accordingly dh_T and dC_T are swapped"""

    def read_inputs(self, run: Blocks) -> Blocks:
        return super().read_inputs(run | {"dh_T": run["dC_T"], "dC_T": run["dh_T"]})

    def return_states(self, states: Blocks) -> Blocks:
        states = super().return_states(states)
        return states | {"C_T": states["h"][-1] if self.T else self.run["h0"]}


@bug(BugKind.LAYOUT, "enggen/Deep-Learning-Coursera:Sequence Models/Week1")
class C_shown_for_h(Unit):
    """h and C share one array, so that C is returned in place of h"""

    def return_states(self, states: Blocks) -> Blocks:
        states = super().return_states(states)
        return states | {"h": states["C"]}
