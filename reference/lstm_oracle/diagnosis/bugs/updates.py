"""Mistakes in what is made of the edges: the weights' gradients and their sums, and what is handed back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import VALUES, Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE, bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, WEIGHTS, Array


@bug("update", "wvabrinskas/Neuron#181")
class h_for_h_prev(Unit):
    """the recurrent weights' gradients use h of the same step instead of the step before"""

    def recurrent(self, s: Step) -> Array:
        return s.h


@bug("update")
class C_prev_for_h_prev(Unit):
    """the recurrent weights' gradients use C instead of h of the step before"""

    def recurrent(self, s: Step) -> Array:
        return s.C_prev


@bug("update")
class h0_left_out(Unit):
    """the recurrent weights' gradients leave the first step out, as if h0 were zero"""

    def recurrent(self, s: Step) -> Array:
        return super().recurrent(s) * (s.t > 0)


@bug("update", R_PACKAGE)
class weights_before_activation(Unit):
    """the weights' gradients use the deltas at the gates' values (δ12, δ10, δ9, δ6), not at their sums"""

    weights_from = VALUES


def over_time(choose: Callable[[Sequence[Blocks]], Sequence[Blocks]]) -> type[Unit]:
    """The unit that sums some of the steps' updates."""

    class Chosen(Unit):
        def total(self, updates: Sequence[Blocks]) -> Blocks:
            return super().total(choose(updates))

    return Chosen


for name, text, choose in (
    ("weights_of_last_step", "of the last step only", lambda updates: updates[-1:]),
    ("weights_of_first_step", "of the first step only: every step overwrites them", lambda updates: updates[:1]),
    ("weights_without_last_step", "of all steps but the last", lambda updates: updates[:-1]),
    ("weights_without_first_step", "of all steps but the first", lambda updates: updates[1:]),
):
    bug("update", "hanbt/learn_dl#53")(named(name, f"the weights' gradients are those {text}", over_time(choose)))


def some_over_time(kind: str, choose: Callable[[Sequence[Blocks]], Sequence[Blocks]]) -> type[Unit]:
    """The unit that does so for the weights of one kind, W, U or b."""

    class Chosen(Unit):
        def total(self, updates: Sequence[Blocks]) -> Blocks:
            some = super().total(choose(updates))
            return super().total(updates) | {name: some[name] for name in WEIGHTS if name[0] == kind}

    return Chosen


bug("update", "hanbt/learn_dl:lstm.py")(
    named(
        "dU_of_last_step",
        "the input weights' gradients are those of the last step only",
        some_over_time("U", lambda updates: updates[-1:]),
    )
)
bug("update", "BrainJS/brain.js:src/recurrent/matrix/add-b.js")(
    named(
        "db_of_first_step",
        "the biases' gradients are those of the first step only: every step overwrites them",
        some_over_time("b", lambda updates: updates[:1]),
    )
)


def scaled(names: Sequence[str], factor: Callable[[Unit], float]) -> type[Unit]:
    """The unit that returns some gradients times a number."""

    class Scaled(Unit):
        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"d{name}": d[f"d{name}"] * factor(self) for name in names}

    return Scaled


BIASES = [name for name in WEIGHTS if name[0] == "b"]
STATES = ["x", "h0", "C0"]


def steps(unit: Unit) -> float:
    """1 / T."""
    return 1 / max(unit.T, 1)


def rows(unit: Unit) -> float:
    """1 / B."""
    return 1 / max(unit.run["x"].shape[1], 1)


for name, text, names, factor in (
    ("weights_mean_over_time", "the weights' gradients are means over time instead of sums", [*WEIGHTS], steps),
    ("weights_mean_over_batch", "the weights' gradients are means over the batch instead of sums", [*WEIGHTS], rows),
    ("bias_mean_over_batch", "the biases' gradients are means over the batch instead of sums", BIASES, rows),
    ("bias_mean_over_time", "the biases' gradients are means over time instead of sums", BIASES, steps),
    ("all_mean_over_time", "all gradients are divided by T", [*WEIGHTS, *STATES], steps),
    ("all_mean_over_batch", "all gradients are divided by B", [*WEIGHTS, *STATES], rows),
    ("all_doubled", "all gradients are doubled", [*WEIGHTS, *STATES], lambda unit: 2.0),
    ("all_halved", "all gradients are halved", [*WEIGHTS, *STATES], lambda unit: 0.5),
    ("all_negated", "all gradients have the wrong sign", [*WEIGHTS, *STATES], lambda unit: -1.0),
    ("weights_doubled", "the weights' gradients are doubled", [*WEIGHTS], lambda unit: 2.0),
    ("weights_halved", "the weights' gradients are halved", [*WEIGHTS], lambda unit: 0.5),
    ("weights_negated", "the weights' gradients have the wrong sign", [*WEIGHTS], lambda unit: -1.0),
    ("bias_gradient_doubled", "the biases' gradients count double, as with two biases", BIASES, lambda unit: 2.0),
    ("bias_gradient_halved", "the biases' gradients are halved", BIASES, lambda unit: 0.5),
    ("bias_gradient_zero", "the biases' gradients are zero", BIASES, lambda unit: 0.0),
    ("dW_zero", "the recurrent weights' gradients are zero", [f"W_{k}" for k in GATES], lambda unit: 0.0),
    ("dU_zero", "the input weights' gradients are zero", [f"U_{k}" for k in GATES], lambda unit: 0.0),
    ("weights_zero", "the weights' gradients are zero", [*WEIGHTS], lambda unit: 0.0),
    ("dx_zero", "dx is zero", ["x"], lambda unit: 0.0),
    ("dx_negated", "dx has the wrong sign", ["x"], lambda unit: -1.0),
    ("dh0_zero", "dh0 is zero", ["h0"], lambda unit: 0.0),
    ("dC0_zero", "dC0 is zero", ["C0"], lambda unit: 0.0),
    ("initial_gradients_zero", "dh0 and dC0 are zero", ["h0", "C0"], lambda unit: 0.0),
):
    two = ["google/flax#3746", "onnx/onnx#1127"] if name == "bias_gradient_doubled" else []
    bug("update", *([R_PACKAGE] if name == "bias_mean_over_batch" else two))(named(name, text, scaled(names, factor)))


def bias_copied(gate: str, other: str) -> type[Unit]:
    """The unit that returns one bias' gradient for another's."""

    class Copied(Unit):
        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"db_{gate}": d[f"db_{other}"]}

    return Copied


for gate, other in permutations(GATES, 2):
    text = f"the gradient of b_{gate} is copied from b_{other}"
    bug("update", "hanbt/learn_dl#53")(named(f"db_{gate}_is_db_{other}", text, bias_copied(gate, other)))


def exchanged(names: Sequence[tuple[str, str]]) -> type[Unit]:
    """The unit that returns gradients for each other."""

    class Exchanged(Unit):
        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"d{a}": d[f"d{b}"] for a, b in names} | {f"d{b}": d[f"d{a}"] for a, b in names}

    return Exchanged


for gate, other in combinations(GATES, 2):
    text = f"the gradients of the gates {gate} and {other} are exchanged"
    pairs = [(f"{kind}_{gate}", f"{kind}_{other}") for kind in "WUb"]
    bug("update", *(["JAX swap_lstm_gates"] if gate + other == "go" else []))(
        named(f"gradients_{gate}_{other}_exchanged", text, exchanged(pairs))
    )
bug("update")(named("dh0_dC0_exchanged", "dh0 and dC0 are exchanged", exchanged([("h0", "C0")])))


@bug("update")
class dW_transposed(Unit):
    """the recurrent weights' gradients are transposed"""

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {f"dW_{k}": d[f"dW_{k}"].T for k in GATES}


@bug("update", "apache/mxnet#18203")
class dx_overwritten(Unit):
    """every step's dx is that of the first step, the last to be computed, as one buffer for all steps gives it"""

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": np.zeros_like(d["dx"]) + d["dx"][:1]}


@bug("update", "ROCm/MIOpen#2532")
class dx_not_cleared(Unit):
    """dx adds up over the steps, last to first: what it is added to is not cleared"""

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": np.cumsum(d["dx"][::-1], axis=0)[::-1]}


@bug("update")
class dx_reversed(Unit):
    """dx comes back from the last step to the first"""

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": d["dx"][::-1]}


@bug("update")
class dx_one_step_late(Unit):
    """every step's dx is that of the step after"""

    def returned(self, d: Blocks) -> Blocks:
        d = super().returned(d)
        return d | {"dx": np.concatenate([d["dx"][1:], 0 * d["dx"][:1]])}


@bug("gradient")
class dC0_before_f(Unit):
    """dC0 is the gradient at the first new cell state, without the forget gate (δ8 for δ11)"""

    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().leaving(s, δ)
        return δ2, δ4 if s.t else δ[8]


@bug("gradient")
class dh0_of_second_step(Unit):
    """dh0 and dC0 are those of the step after the first: the first step is not gone through"""

    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        return super().leaving(s, δ) if s.t else (δ[2], δ[4])


# Clipping.


def clipped(most: float) -> type[Unit]:
    """The unit that returns bounded gradients of the weights."""

    class Clipped(Unit):
        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            return d | {f"d{name}": np.clip(d[f"d{name}"], -most, most) for name in WEIGHTS}

    return Clipped


def norm_clipped(most: float) -> type[Unit]:
    """The unit that scales the gradients of the weights to a bounded norm."""

    class Clipped(Unit):
        def returned(self, d: Blocks) -> Blocks:
            d = super().returned(d)
            norm = float(np.sqrt(sum(np.sum(d[f"d{name}"] ** 2) for name in WEIGHTS)))
            return d | {f"d{name}": d[f"d{name}"] * (most / max(norm, most)) for name in WEIGHTS}

    return Clipped


def carry_clipped(most: float) -> type[Unit]:
    """The unit that bounds what goes from step to step."""

    class Clipped(Unit):
        def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().leaving(s, δ)
            return np.clip(δ2, -most, most), np.clip(δ4, -most, most)

    return Clipped


for most in (1, 5):
    text = f"the weights' gradients are clipped to ±{most}"
    bug("update")(named(f"gradients_clipped_{most}", text, clipped(most)))
    text = f"the weights' gradients are scaled down to a norm of {most}"
    bug("update")(named(f"gradient_norm_clipped_{most}", text, norm_clipped(most)))

bug("gradient")(named("carry_clipped", "the gradients carried from step to step are clipped to ±1", carry_clipped(1)))
