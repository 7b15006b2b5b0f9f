"""What autodiff says of many runs at once, compiled rarely.

A run is padded with zeros to a shape that is compiled already, and cut out of the result. Zero
inputs and zero units add nothing to a sum, a padded batch row receives no gradient, and a step
after the last has none to hand back: the numbers are those of the run itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import jax
import numpy as np

from reference.lstm import full_precision, weights
from reference.oracle import tolerance
from reference.oracle.cases import SHAPES, Case, Sizes
from reference.probes import EDGES, TO_X, at_last_step, pull_back
from reference.run import GRADIENTS, INPUTS, Array, DType

VALUES = dict.fromkeys(("f", "i", "g", "o", "C", "tanh_C", "h"), "TBH")
DELTAS = {f"δ{n}": "TBD" if n in TO_X else "TBH" for n in EDGES}
BLOCKS = VALUES | DELTAS | GRADIENTS  # what a run is judged by, with dimensions

# A function of (weights, x, h0, C0, upstream), as `reference.probes.pull_back`, that returns blocks.
Function = Callable[..., dict[str, Any]]

MOST_ROUNDING = 0.01


@dataclass(frozen=True)
class Truth:
    """A run's blocks in float64, and how much error in them is rounding."""

    blocks: dict[str, Array]
    scales: dict[str, Array]
    loss: float  # units of rounding that a float32 evaluation loses on its worst block

    def units(self, name: str, got: Array, dtype: DType) -> Array:
        """The error of a block in units of rounding, entry by entry."""
        return tolerance.units(got - self.blocks[name], self.scales[name], dtype)

    @property
    def tolerance(self) -> float:
        """How many units an honest implementation may lose on this run."""
        return tolerance.tolerance(self.loss, steps=len(self.blocks["h"]))

    def tells(self, dtype: DType) -> bool:
        """Whether this run tells right from wrong in a precision: else rounding alone may change it beyond 1 %."""
        return self.tolerance * float(np.finfo(dtype).eps) < MOST_ROUNDING


def truths(cases: Sequence[Case], lanes: int = 32) -> list[Truth]:
    """The truth of each case, computed for so many of them at a time."""
    with np.errstate(over="ignore", invalid="ignore"):  # a run out of float32's range has an infinite loss
        return _truths(cases, lanes)


def _truths(cases: Sequence[Case], lanes: int) -> list[Truth]:
    found = []
    exact = evaluate(blocks, cases, np.dtype(np.float64), lanes)
    rough = evaluate(blocks, cases, np.dtype(np.float32), lanes)
    for case, in_64, in_32 in zip(cases, exact, rough, strict=True):
        inputs = {name: array.astype(np.float64) for name, array in case.inputs.items()}
        truth = Truth(in_64, tolerance.scales(inputs, in_64), 0.0)
        loss = max(np.max(truth.units(name, in_32[name], np.dtype(np.float32)), initial=0) for name in BLOCKS)
        in_64["C_T"] = np.concatenate([inputs["C0"][None], in_64["C"]])[-1]
        found.append(Truth(in_64, truth.scales, float(loss)))
    return found


def blocks(*inputs: Any) -> dict[str, Any]:
    """All blocks of a run by autodiff."""
    values, edges, gradients = pull_back(*inputs)
    return {**{name: values[name] for name in VALUES}, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}


def evaluate(function: Function, cases: Sequence[Case], dtype: DType, lanes: int = 32) -> list[dict[str, Array]]:
    """What `function` returns for each case, computed in `dtype`, many cases of one shape at a time."""
    results: dict[int, dict[str, Array]] = {}
    for shape in {shape_for(case.sizes) for case in cases}:
        numbers = [k for k, case in enumerate(cases) if shape_for(case.sizes) == shape]
        for some in (numbers[k : k + lanes] for k in range(0, len(numbers), lanes)):
            padded = [padded_inputs(cases[k], shape, dtype) for k in some]
            padded += padded[-1:] * (lanes - len(some))  # every call has the shape that is compiled
            with full_precision():
                stacked = jax.tree.map(lambda *arrays: np.stack(arrays), *padded)
                together = {name: np.asarray(a) for name, a in compiled(function)(*stacked).items()}
            for lane, k in enumerate(some):
                results[k] = cut({name: array[lane] for name, array in together.items()}, cases[k], dtype)
    return [results[k] for k in range(len(cases))]


@cache
def compiled(function: Function) -> Any:
    """The function over many runs at once."""
    return jax.jit(jax.vmap(function))


def shape_for(sizes: Sizes) -> Sizes:
    """The smallest of SHAPES that holds a run, or the run's own."""
    fitting = [s for s in SHAPES if all(size <= most for size, most in zip(sizes, s, strict=True))]
    return min(fitting, key=np.prod, default=sizes)


def padded_inputs(case: Case, shape: Sizes, dtype: DType) -> tuple[Any, ...]:
    """The run's inputs as `pull_back` takes them, with zeros up to `shape`."""
    run = {name: array.astype(dtype) for name, array in case.inputs.items()}
    T, most = case.sizes[0], dict(zip("TBDH", shape, strict=True))

    def padded(array: Array, dims: str) -> Array:
        return np.pad(array, [(0, most[dim] - size) for dim, size in zip(dims, array.shape, strict=True)])

    upstream = {"dh": run["dh"], "dh_next": at_last_step(run["dh_T"], T), "dC_next": at_last_step(run["dC_T"], T)}
    return (
        {name: padded(array, INPUTS[name]) for name, array in weights(run).items()},
        *(padded(run[name], INPUTS[name]) for name in ("x", "h0", "C0")),
        {name: padded(array, "TBH") for name, array in upstream.items()},
    )


def cut(padded: Mapping[str, Array], case: Case, dtype: DType) -> dict[str, Array]:
    """The run's own part of padded blocks."""
    size = dict(zip("TBDH", case.sizes, strict=True))
    found = {name: array[tuple(slice(size[dim]) for dim in BLOCKS[name])] for name, array in padded.items()}
    if size["T"] == 0 and "dh0" in found:  # without a step, what arrives is the gradient
        found |= {"dh0": case.inputs["dh_T"].astype(dtype), "dC0": case.inputs["dC_T"].astype(dtype)}
    return found
