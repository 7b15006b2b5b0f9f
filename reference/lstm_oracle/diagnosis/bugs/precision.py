"""Mistakes of precision: parts of the computation have a lower precision than the run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lstm_oracle.diagnosis.bugs.entry import BugKind, bug, register
from lstm_oracle.diagnosis.bugs.equations import Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array

KERAS = "keras-team/keras#23223"


def rounded(array: Array, dtype: npt.DTypeLike) -> Array:
    """Return the nearest numbers of a lower precision, in the dtype of the array."""
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(dtype).astype(array.dtype)


@bug(BugKind.PRECISION, KERAS)
class tanh_in_float32(Unit):
    """tanh is computed in float32"""

    def tanh(self, z: Array) -> Array:
        return np.tanh(z.astype(np.float32)).astype(z.dtype)


@bug(BugKind.PRECISION, KERAS)
class tanh_rounded_to_float32(Unit):
    """the values of tanh are rounded to float32"""

    def tanh(self, z: Array) -> Array:
        return rounded(super().tanh(z), np.float32)


@bug(BugKind.PRECISION)
class sigmoid_in_float32(Unit):
    """the sigmoid is computed in float32"""

    def sigmoid(self, z: Array) -> Array:
        return super().sigmoid(z.astype(np.float32)).astype(z.dtype)


@bug(BugKind.PRECISION)
class activations_in_float32(Unit):
    """tanh and the sigmoid are computed in float32"""

    def tanh(self, z: Array) -> Array:
        return np.tanh(z.astype(np.float32)).astype(z.dtype)

    def sigmoid(self, z: Array) -> Array:
        return super().sigmoid(z.astype(np.float32)).astype(z.dtype)


def cell_state_in(dtype: npt.DTypeLike) -> type[Unit]:
    """Return the unit that keeps its cell state in a lower precision."""

    class Rounded(Unit):
        def cell_state(self, s: Step) -> Array:
            return rounded(super().cell_state(s), dtype)

    return Rounded


def hidden_state_in(dtype: npt.DTypeLike) -> type[Unit]:
    """Return the unit that keeps its hidden state in a lower precision."""

    class Rounded(Unit):
        def hidden_state(self, s: Step) -> Array:
            return rounded(super().hidden_state(s), dtype)

    return Rounded


def inputs_in(dtype: npt.DTypeLike, *names: str) -> type[Unit]:
    """Return the unit that rounds the inputs whose names start with one of these, up to an underscore."""

    class Rounded(Unit):
        def read_inputs(self, run: Blocks) -> Blocks:
            return super().read_inputs(
                {n: rounded(a, dtype) if n.split("_")[0] in names else a for n, a in run.items()}
            )

    return Rounded


for bits, dtype in ((32, np.float32), (16, np.float16)):
    inputs = "W", "U", "b", "x", "h0", "C0", "dh", "dC"
    for name, text, unit in (
        ("cell", "the cell state is kept in {}", cell_state_in(dtype)),
        ("hidden", "the hidden state is kept in {}", hidden_state_in(dtype)),
        ("weights", "the weights and biases are rounded to {}", inputs_in(dtype, *"WUb")),
        ("x", "the input x is rounded to {}", inputs_in(dtype, "x")),
        ("inputs", "all inputs are rounded to {}, and the rest of the computation is exact", inputs_in(dtype, *inputs)),
    ):
        seen_in = ["uxlfoundation/oneDNN#976"] if (name, bits) == ("cell", 16) else []
        register(BugKind.PRECISION, f"{name}_in_float{bits}", text.format(f"float{bits}"), unit, seen_in)


@bug(BugKind.PRECISION)
class totals_in_float32(Unit):
    """the weight gradients are accumulated over time in float32"""

    def accumulate(self, updates: Sequence[Blocks]) -> Blocks:
        total = super().accumulate(
            [{n: a.astype(np.float32) for n, a in reversed(u.items())} for u in reversed(updates)]
        )
        return {name: array.astype(self.run["x"].dtype) for name, array in total.items()}


@bug(BugKind.PRECISION)
class carry_in_float32(Unit):
    """the gradients carried from step to step are kept in float32"""

    def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().carried_gradients(s, δ)
        return rounded(δ2, np.float32), rounded(δ4, np.float32)


@bug(BugKind.PRECISION)
class backward_in_float32(Unit):
    """the backward pass is computed in float32"""

    def gradients(self) -> Blocks:
        dtype = self.run["x"].dtype
        self.run = {name: a.astype(np.float32) for name, a in self.run.items()}
        for s in self.steps:
            s.z = {k: z.astype(np.float32) for k, z in s.z.items()}
            for name, value in vars(s).items():
                if isinstance(value, np.ndarray):
                    setattr(s, name, value.astype(np.float32))
        return {name: a.astype(dtype) for name, a in super().gradients().items()}


@bug(BugKind.PRECISION)
class all_in_float32(Unit):
    """everything is computed in float32"""

    def read_inputs(self, run: Blocks) -> Blocks:
        self.scratch[all_in_float32] = run["x"].dtype
        return super().read_inputs({name: a.astype(np.float32) for name, a in run.items()})

    def return_states(self, states: Blocks) -> Blocks:
        return {name: a.astype(self.scratch[all_in_float32]) for name, a in super().return_states(states).items()}

    def return_gradients(self, d: Blocks) -> Blocks:
        return {name: a.astype(self.scratch[all_in_float32]) for name, a in super().return_gradients(d).items()}
