"""Mistakes of layout: weights, inputs and states taken for others. The gradients come back the same way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import Blocks
from lstm_oracle.diagnosis.bugs.entry import ShapeMismatch, bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, Array

KINDS = "WUb"

# Gate orders in the wild, by who uses them. Chainer interleaves its gates as well.
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


def mistaken(data: str, read: str) -> str:
    """Whose weights the gates f, i, g, o take when weights in one order are read as in another."""
    return "".join(data[read.index(k)] for k in GATES)


def gate_order(taken: str) -> type[Unit]:
    """The unit whose gates f, i, g, o take the weights of the gates `taken`."""

    class Order(Unit):
        def read(self, run: Blocks) -> Blocks:
            new = {f"{kind}_{k}": run[f"{kind}_{j}"] for kind in KINDS for k, j in zip(GATES, taken, strict=True)}
            return super().read(run | new)

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"d{kind}_{j}": d[f"d{kind}_{k}"] for kind in KINDS for k, j in zip(GATES, taken, strict=True)}

    return Order


for taken in map("".join, permutations(GATES)):
    if taken != GATES:
        pairs = [(data, read) for data in ORDERS for read in ORDERS if mistaken(data, read) == taken]
        pairs.sort(key=lambda pair: (pair not in SEEN, [*ORDERS].index(pair[0]), [*ORDERS].index(pair[1])))
        like = f", as when {pairs[0][0]} is read as {pairs[0][1]}" if pairs else ""
        whose = ", ".join(f"{k} takes those of {j}" for k, j in zip(GATES, taken, strict=True) if k != j)
        text = f"the gates' weights are in another order: {whose}{like}"
        bug("layout", *(source for pair in pairs for source in SEEN.get(pair, ())))(
            named(f"gate_order_{taken}", text, gate_order(taken))
        )


def swapped_in(kind: str, one: str, other: str) -> type[Unit]:
    """The unit that takes one kind of array of two gates for each other's."""

    class Swapped(Unit):
        def read(self, run: Blocks) -> Blocks:
            a, b = f"{kind}_{one}", f"{kind}_{other}"
            return super().read(run | {a: run[b], b: run[a]})

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            a, b = f"d{kind}_{one}", f"d{kind}_{other}"
            return d | {a: d[b], b: d[a]}

    return Swapped


for kind, name in {"b": "biases", "W": "recurrent matrices", "U": "input matrices"}.items():
    for one, other in ("fi", "go"):
        text = f"the {name} alone of the gates {one} and {other} are exchanged"
        bug("layout")(named(f"{kind}_{one}_{other}_exchanged", text, swapped_in(kind, one, other)))

Reshape = Callable[[Array], Array]


def stacked(order: str, there: Reshape, back: Reshape) -> type[Unit]:
    """The unit that takes its weights, side by side in this order, through a reshape."""

    class Stacked(Unit):
        def read(self, run: Blocks) -> Blocks:
            return super().read(run | through(run, "", there))

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | through(d, "d", back)

    def through(arrays: Blocks, prefix: str, reshape: Reshape) -> Blocks:
        found: Blocks = {}
        for kind in KINDS:
            names = [f"{prefix}{kind}_{k}" for k in order]
            found |= dict(zip(names, np.split(reshape(np.hstack([arrays[n] for n in names])), 4, -1), strict=True))
        return found

    return Stacked


def interleaved(a: Array) -> Array:
    """(…, 4H): from unit by unit, four gates each, to gate by gate."""
    return a.reshape(*a.shape[:-1], a.shape[-1] // 4, 4).swapaxes(-1, -2).reshape(a.shape)


def gate_by_gate(a: Array) -> Array:
    """(…, 4H): from gate by gate to unit by unit."""
    return a.reshape(*a.shape[:-1], 4, a.shape[-1] // 4).swapaxes(-1, -2).reshape(a.shape)


for order in ("figo", "ifgo"):
    text = f"weights that lie gate by gate, {order}, are read as interleaved, four gates for each unit"
    bug("layout", "Chainer's layout")(
        named(f"read_as_interleaved_{order}", text, stacked(order, interleaved, gate_by_gate))
    )


def one_for_all(gate: str) -> type[Unit]:
    """The unit whose gates share their recurrent matrix."""

    class Shared(Unit):
        def read(self, run: Blocks) -> Blocks:
            return super().read(run | {f"W_{k}": run[f"W_{gate}"] for k in GATES})

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            total = np.sum([d[f"dW_{k}"] for k in GATES], axis=0)
            return d | {f"dW_{k}": total if k == gate else np.zeros_like(total) for k in GATES}

    return Shared


for gate in "fi":
    text = f"one recurrent matrix, W_{gate}, serves all four gates"
    bug("layout", "stanfordnlp/stanza#88")(named(f"one_W_for_all_{gate}", text, one_for_all(gate)))


@bug("layout")
class W_transposed(Unit):
    """the recurrent matrices are transposed"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {f"W_{k}": run[f"W_{k}"].T for k in GATES})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {f"dW_{k}": d[f"dW_{k}"].T for k in GATES}


@bug("layout")
class U_transposed(Unit):
    """the input matrices' memory is read in the other order, as (H, D), and transposed"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {f"U_{k}": run[f"U_{k}"].reshape(run[f"U_{k}"].shape[::-1]).T for k in GATES})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {f"dU_{k}": d[f"dU_{k}"].T.reshape(d[f"dU_{k}"].shape) for k in GATES}


def rows(first: str, second: str) -> type[Unit]:
    """The unit that takes the rows of one matrix, `first` above `second`, the other way round."""

    class Rows(Unit):
        def read(self, run: Blocks) -> Blocks:
            new: Blocks = {}
            for k in GATES:
                above = run[f"{second}_{k}"].shape[0]
                together = np.vstack([run[f"{first}_{k}"], run[f"{second}_{k}"]])
                new |= {f"{second}_{k}": together[:above], f"{first}_{k}": together[above:]}
            return super().read(run | new)

        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            for k in GATES:
                above = d[f"d{first}_{k}"].shape[0]
                together = np.vstack([d[f"d{second}_{k}"], d[f"d{first}_{k}"]])
                d |= {f"d{first}_{k}": together[:above], f"d{second}_{k}": together[above:]}
            return d

    return Rows


bug("layout", "karpathy/neuraltalk#41")(
    named("xh_read_as_hx", "one matrix for [x; h] is taken as one for [h; x]", rows("U", "W"))
)
bug("layout", "karpathy/neuraltalk#41")(
    named("hx_read_as_xh", "one matrix for [h; x] is taken as one for [x; h]", rows("W", "U"))
)


@bug("layout", "pytorch/pytorch#80306", "openvinotoolkit/openvino#37819")
class x_reshaped(Unit):
    """x, batch-first, is brought to time-first by a reshape instead of a transpose"""

    def read(self, run: Blocks) -> Blocks:
        x = run["x"]
        return super().read(run | {"x": np.ascontiguousarray(x.swapaxes(0, 1)).reshape(x.shape)})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        T, B, D = d["dx"].shape
        return d | {"dx": np.ascontiguousarray(d["dx"]).reshape(B, T, D).swapaxes(0, 1)}


@bug("layout", "pytorch/pytorch#80306", "openvinotoolkit/openvino#37819")
class batch_taken_for_time(Unit):
    """the batch axis is taken for time, and time for the batch"""

    def read(self, run: Blocks) -> Blocks:
        if run["x"].shape[0] != run["x"].shape[1]:
            raise ShapeMismatch
        return super().read(run | {name: run[name].swapaxes(0, 1) for name in ("x", "dh")})

    def shown(self, states: Blocks) -> Blocks:
        states = super().shown(states)
        return states | {name: states[name].swapaxes(0, 1) for name in "hC"}

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": d["dx"].swapaxes(0, 1)}


@bug("layout", "microsoft/nni#2842")
class initial_states_exchanged(Unit):
    """h0 and C0 are exchanged"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"h0": run["C0"], "C0": run["h0"]})

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dh0": d["dC0"], "dC0": d["dh0"]}


@bug("layout", "microsoft/nni#2842")
class final_states_exchanged(Unit):
    """the last h is returned for C_T and the last C for h_T, and so dh_T and dC_T are exchanged"""

    def read(self, run: Blocks) -> Blocks:
        return super().read(run | {"dh_T": run["dC_T"], "dC_T": run["dh_T"]})

    def shown(self, states: Blocks) -> Blocks:
        states = super().shown(states)
        return states | {"C_T": states["h"][-1] if self.T else self.run["h0"]}


@bug("layout", "enggen/Deep-Learning-Coursera:Sequence Models/Week1")
class C_shown_for_h(Unit):
    """h and C share one array, which holds C: the cell states come back for the outputs"""

    def shown(self, states: Blocks) -> Blocks:
        states = super().shown(states)
        return states | {"h": states["C"]}
