"""Mistakes in the weight gradients, in their sums over time, and in the gradients as they are returned."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations

import numpy as np

from lstm_oracle.diagnosis.bugs.entry import R_PACKAGE, BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import GATE_EDGES, Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, WEIGHTS, Array


@bug(BugKind.UPDATE, "wvabrinskas/Neuron#181")
class h_for_h_prev(Unit):
    """the gradients of the recurrent weights use h instead of h_prev"""

    def recurrent_input(self, s: Step) -> Array:
        return s.h


@bug(BugKind.UPDATE)
class C_prev_for_h_prev(Unit):
    """the gradients of the recurrent weights use C_prev instead of h_prev"""

    def recurrent_input(self, s: Step) -> Array:
        return s.C_prev


@bug(BugKind.UPDATE)
class h0_left_out(Unit):
    """the gradients of the recurrent weights omit the first step, as if h0 were zero"""

    def recurrent_input(self, s: Step) -> Array:
        return super().recurrent_input(s) * (s.t > 0)


@bug(BugKind.UPDATE, R_PACKAGE)
class weights_before_activation(Unit):
    """the weight gradients use the deltas at the gates' values (δ12, δ10, δ9, δ6), not at their pre-activations"""

    weight_edges = GATE_EDGES


Choice = Callable[[Sequence[Blocks]], Sequence[Blocks]]  # of the steps whose weight gradients are summed


def summed_over(choose: Choice, kinds: str = "WUb") -> type[Unit]:
    """Return the unit that sums the weight gradients of some kinds over some of the steps only."""

    class Some(Unit):
        def accumulate(self, by_step: Sequence[Blocks]) -> Blocks:
            some = super().accumulate(choose(by_step))
            return super().accumulate(by_step) | {name: some[name] for name in WEIGHTS if name[0] in kinds}

    return Some


OVERWRITTEN = "those of the first step only, because every step overwrites them"
for name, text, choose in (
    ("weights_of_last_step", "are those of the last step only", lambda by_step: by_step[-1:]),
    ("weights_of_first_step", f"are {OVERWRITTEN}", lambda by_step: by_step[:1]),
    ("weights_without_last_step", "omit the last step", lambda by_step: by_step[:-1]),
    ("weights_without_first_step", "omit the first step", lambda by_step: by_step[1:]),
):
    register(BugKind.UPDATE, name, f"the weight gradients {text}", summed_over(choose), ["hanbt/learn_dl#53"])
register(
    BugKind.UPDATE,
    "dU_of_last_step",
    "the gradients of the input weights are those of the last step only",
    summed_over(lambda by_step: by_step[-1:], "U"),
    ["hanbt/learn_dl:lstm.py"],
)
register(
    BugKind.UPDATE,
    "db_of_first_step",
    f"the gradients of the biases are {OVERWRITTEN}",
    summed_over(lambda by_step: by_step[:1], "b"),
    ["BrainJS/brain.js:src/recurrent/matrix/add-b.js"],
)


Factor = Callable[[Unit], float]


def scaled(names: Sequence[str], factor: Factor) -> type[Unit]:
    """Return the unit that multiplies some of its gradients by a factor."""

    class Scaled(Unit):
        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"d{name}": d[f"d{name}"] * factor(self) for name in names}

    return Scaled


def constant(value: float) -> Factor:
    """Return the factor that has the same value for every run."""
    return lambda unit: value


def by_steps(unit: Unit) -> float:
    """Return 1 / T."""
    return 1 / max(unit.T, 1)


def by_rows(unit: Unit) -> float:
    """Return 1 / B."""
    return 1 / max(unit.run["x"].shape[1], 1)


RECURRENT, INPUT, BIASES = ([f"{kind}_{k}" for k in GATES] for kind in "WUb")
STATES = ["x", "h0", "C0"]

for name, text, names, factor, seen_in in (
    ("weights_mean_over_time", "the weight gradients are averaged over time, not summed", WEIGHTS, by_steps, []),
    ("weights_mean_over_batch", "the weight gradients are averaged over the batch, not summed", WEIGHTS, by_rows, []),
    (
        "bias_mean_over_batch",
        "the gradients of the biases are averaged over the batch, not summed",
        BIASES,
        by_rows,
        [R_PACKAGE],
    ),
    ("bias_mean_over_time", "the gradients of the biases are averaged over time, not summed", BIASES, by_steps, []),
    ("all_mean_over_time", "all gradients are divided by T", [*WEIGHTS, *STATES], by_steps, []),
    ("all_mean_over_batch", "all gradients are divided by B", [*WEIGHTS, *STATES], by_rows, []),
    ("all_doubled", "all gradients are doubled", [*WEIGHTS, *STATES], constant(2.0), []),
    ("all_halved", "all gradients are halved", [*WEIGHTS, *STATES], constant(0.5), []),
    ("all_negated", "all gradients have the wrong sign", [*WEIGHTS, *STATES], constant(-1.0), []),
    ("weights_doubled", "the weight gradients are doubled", WEIGHTS, constant(2.0), []),
    ("weights_halved", "the weight gradients are halved", WEIGHTS, constant(0.5), []),
    ("weights_negated", "the weight gradients have the wrong sign", WEIGHTS, constant(-1.0), []),
    (
        "bias_gradient_doubled",
        "the gradients of the biases are doubled, as if every gate had two biases",
        BIASES,
        constant(2.0),
        ["google/flax#3746", "onnx/onnx#1127"],
    ),
    ("bias_gradient_halved", "the gradients of the biases are halved", BIASES, constant(0.5), []),
    ("bias_gradient_zero", "the gradients of the biases are zero", BIASES, constant(0.0), []),
    ("dW_zero", "the gradients of the recurrent weights are zero", RECURRENT, constant(0.0), []),
    ("dU_zero", "the gradients of the input weights are zero", INPUT, constant(0.0), []),
    ("weights_zero", "the weight gradients are zero", WEIGHTS, constant(0.0), []),
    ("dx_zero", "dx is zero", ["x"], constant(0.0), []),
    ("dx_negated", "dx has the wrong sign", ["x"], constant(-1.0), []),
    ("dh0_zero", "dh0 is zero", ["h0"], constant(0.0), []),
    ("dC0_zero", "dC0 is zero", ["C0"], constant(0.0), []),
    ("initial_gradients_zero", "dh0 and dC0 are zero", ["h0", "C0"], constant(0.0), []),
):
    register(BugKind.UPDATE, name, text, scaled([*names], factor), seen_in)


def bias_gradient_copied(gate: str, other: str) -> type[Unit]:
    """Return the unit that returns the gradient of one bias as that of another."""

    class Copied(Unit):
        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"db_{gate}": d[f"db_{other}"]}

    return Copied


for gate, other in permutations(GATES, 2):
    text = f"the gradient of b_{gate} is a copy of that of b_{other}"
    unit = bias_gradient_copied(gate, other)
    register(BugKind.UPDATE, f"db_{gate}_is_db_{other}", text, unit, ["hanbt/learn_dl#53"])


def swapped(pairs: Sequence[tuple[str, str]]) -> type[Unit]:
    """Return the unit that returns the gradients of each pair in place of each other."""

    class Swapped(Unit):
        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"d{a}": d[f"d{b}"] for a, b in pairs} | {f"d{b}": d[f"d{a}"] for a, b in pairs}

    return Swapped


for gate, other in combinations(GATES, 2):
    text = f"the weight gradients of the gates {gate} and {other} are swapped"
    pairs = [(f"{kind}_{gate}", f"{kind}_{other}") for kind in "WUb"]
    seen_in = ["JAX swap_lstm_gates"] if gate + other == "go" else []
    register(BugKind.UPDATE, f"gradients_{gate}_{other}_exchanged", text, swapped(pairs), seen_in)
register(BugKind.UPDATE, "dh0_dC0_exchanged", "dh0 and dC0 are swapped", swapped([("h0", "C0")]))


@bug(BugKind.UPDATE)
class dW_transposed(Unit):
    """the gradients of the recurrent weights are transposed"""

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {f"dW_{k}": d[f"dW_{k}"].T for k in GATES}


@bug(BugKind.UPDATE, "apache/mxnet#18203")
class dx_overwritten(Unit):
    """dx at every step is that of the first step, as if all steps shared one buffer"""

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": np.zeros_like(d["dx"]) + d["dx"][:1]}


@bug(BugKind.UPDATE, "ROCm/MIOpen#2532")
class dx_not_cleared(Unit):
    """dx accumulates from the last step to the first, because its buffer is not cleared"""

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": np.cumsum(d["dx"][::-1], axis=0)[::-1]}


@bug(BugKind.UPDATE)
class dx_reversed(Unit):
    """dx is returned in reverse time order"""

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": d["dx"][::-1]}


@bug(BugKind.UPDATE)
class dx_one_step_late(Unit):
    """dx at every step is that of the following step"""

    def return_gradients(self, d: Blocks) -> Blocks:
        d = super().return_gradients(d)
        return d | {"dx": np.concatenate([d["dx"][1:], 0 * d["dx"][:1]])}


@bug(BugKind.GRADIENT)
class dC0_before_f(Unit):
    """dC0 is the gradient of C at the first step, without the factor f (δ8 instead of δ11)"""

    def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().carried_gradients(s, δ)
        return δ2, δ4 if s.t else δ[8]


@bug(BugKind.GRADIENT)
class dh0_of_second_step(Unit):
    """dh0 and dC0 are the gradients that the second step passes to the first, which is skipped"""

    def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        return super().carried_gradients(s, δ) if s.t else (δ[2], δ[4])


# Clipping.


def clipped(bound: float) -> type[Unit]:
    """Return the unit that clips its weight gradients."""

    class Clipped(Unit):
        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            return d | {f"d{name}": np.clip(d[f"d{name}"], -bound, bound) for name in WEIGHTS}

    return Clipped


def norm_clipped(bound: float) -> type[Unit]:
    """Return the unit that scales its weight gradients down to a bounded norm."""

    class Clipped(Unit):
        def return_gradients(self, d: Blocks) -> Blocks:
            d = super().return_gradients(d)
            norm = float(np.sqrt(sum(np.sum(d[f"d{name}"] ** 2) for name in WEIGHTS)))
            return d | {f"d{name}": d[f"d{name}"] * (bound / max(norm, bound)) for name in WEIGHTS}

    return Clipped


def carry_clipped(bound: float) -> type[Unit]:
    """Return the unit that clips the gradients carried from step to step."""

    class Clipped(Unit):
        def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().carried_gradients(s, δ)
            return np.clip(δ2, -bound, bound), np.clip(δ4, -bound, bound)

    return Clipped


for bound in (1, 5):
    text = f"the weight gradients are clipped to ±{bound}"
    register(BugKind.UPDATE, f"gradients_clipped_{bound}", text, clipped(bound))
    text = f"the weight gradients are scaled down to a norm of {bound}"
    register(BugKind.UPDATE, f"gradient_norm_clipped_{bound}", text, norm_clipped(bound))

text = "the gradients carried from step to step are clipped to ±1"
register(BugKind.GRADIENT, "carry_clipped", text, carry_clipped(1))
