"""Mistakes of precision: a part that is computed in fewer digits than the run has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lstm_oracle.diagnosis.bugs.cell import Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.entry import bug, named
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import Array

KERAS = "keras-team/keras#23223"


def rounded(array: Array, dtype: npt.DTypeLike) -> Array:
    """The nearest numbers of a smaller precision."""
    with np.errstate(over="ignore", under="ignore"):
        return array.astype(dtype).astype(array.dtype)


@bug("precision", KERAS)
class tanh_in_float32(Unit):
    """tanh is computed in float32"""

    def tanh(self, z: Array) -> Array:
        return np.tanh(z.astype(np.float32)).astype(z.dtype)


@bug("precision", KERAS)
class tanh_rounded_to_float32(Unit):
    """the values of tanh are rounded to float32"""

    def tanh(self, z: Array) -> Array:
        return rounded(super().tanh(z), np.float32)


@bug("precision")
class sigmoid_in_float32(Unit):
    """the sigmoid is computed in float32"""

    def sigmoid(self, z: Array) -> Array:
        return super().sigmoid(z.astype(np.float32)).astype(z.dtype)


@bug("precision")
class activations_in_float32(Unit):
    """tanh and the sigmoid are computed in float32"""

    def tanh(self, z: Array) -> Array:
        return np.tanh(z.astype(np.float32)).astype(z.dtype)

    def sigmoid(self, z: Array) -> Array:
        return super().sigmoid(z.astype(np.float32)).astype(z.dtype)


def cell_in(dtype: npt.DTypeLike) -> type[Unit]:
    """The unit that keeps its cell state in fewer digits."""

    class Cell(Unit):
        def cell(self, s: Step) -> Array:
            return rounded(super().cell(s), dtype)

    return Cell


def hidden_in(dtype: npt.DTypeLike) -> type[Unit]:
    """The unit that keeps its hidden state in fewer digits."""

    class Hidden(Unit):
        def hidden(self, s: Step) -> Array:
            return rounded(super().hidden(s), dtype)

    return Hidden


def read_in(dtype: npt.DTypeLike, *names: str) -> type[Unit]:
    """The unit that rounds inputs when it reads them."""

    class Read(Unit):
        def read(self, run: Blocks) -> Blocks:
            return super().read({n: rounded(a, dtype) if n.split("_")[0] in names else a for n, a in run.items()})

    return Read


for bits, dtype in ((32, np.float32), (16, np.float16)):
    oneDNN = ["uxlfoundation/oneDNN#976"] if bits == 16 else []
    text = f"the cell state is kept in float{bits}"
    bug("precision", *oneDNN)(named(f"cell_in_float{bits}", text, cell_in(dtype)))
    text = f"the hidden state is kept in float{bits}"
    bug("precision")(named(f"hidden_in_float{bits}", text, hidden_in(dtype)))
    text = f"the weights and biases are rounded to float{bits}"
    bug("precision")(named(f"weights_in_float{bits}", text, read_in(dtype, *"WUb")))
    text = f"the input x is rounded to float{bits}"
    bug("precision")(named(f"x_in_float{bits}", text, read_in(dtype, "x")))
    text = f"all inputs are rounded to float{bits}; what follows is exact"
    names = "W", "U", "b", "x", "h0", "C0", "dh", "dC"
    bug("precision")(named(f"inputs_in_float{bits}", text, read_in(dtype, *names)))


@bug("precision")
class totals_in_float32(Unit):
    """the gradients of the weights are accumulated over the steps in float32"""

    def total(self, updates: Sequence[Blocks]) -> Blocks:
        total = super().total([{n: a.astype(np.float32) for n, a in reversed(u.items())} for u in reversed(updates)])
        return {name: array.astype(self.run["x"].dtype) for name, array in total.items()}


@bug("precision")
class carry_in_float32(Unit):
    """the gradients carried from step to step are kept in float32"""

    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().leaving(s, δ)
        return rounded(δ2, np.float32), rounded(δ4, np.float32)


@bug("precision")
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


@bug("precision")
class all_in_float32(Unit):
    """everything is computed in float32"""

    def read(self, run: Blocks) -> Blocks:
        self.notes[all_in_float32] = run["x"].dtype
        return super().read({name: a.astype(np.float32) for name, a in run.items()})

    def shown(self, states: Blocks) -> Blocks:
        return {name: a.astype(self.notes[all_in_float32]) for name, a in super().shown(states).items()}

    def returned(self, d: Blocks) -> Blocks:
        return {name: a.astype(self.notes[all_in_float32]) for name, a in super().returned(d).items()}
