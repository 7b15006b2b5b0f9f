"""The blocks of many runs by autodiff, padded to one shape and computed in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_oracle.autodiff.at_once import pull_back
from lstm_oracle.autodiff.lstm import full_precision
from lstm_oracle.autodiff.probes import EDGES, TO_X
from lstm_oracle.inputs.cases import Case, Sizes
from lstm_oracle.run import GRADIENTS, Array, DType, sizes_of
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.padding import group_by_shape, is_large, stacked

VALUES = dict.fromkeys(("f", "i", "g", "o", "C", "tanh_C", "h"), "TBH")
DELTAS = {f"δ{n}": "TBD" if n in TO_X else "TBH" for n in EDGES}
PADDED_BLOCKS = VALUES | DELTAS | GRADIENTS
BLOCKS = PADDED_BLOCKS | {"C_T": "BH"}  # all blocks of a run, with their dimensions
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}

# A function of the arguments of `autodiff.probes.pull_back` that returns blocks by name.
BlockFunction = Callable[..., dict[str, Any]]
Losses = Mapping[str, float]  # of one run, by block, in units of rounding


class Batch:
    """Runs that are padded to one shape and computed in one call, each in a lane.

    JAX starts to compute their blocks immediately, on other threads; the properties wait for the results. Blocks are
    zero outside each run's own part.
    """

    def __init__(self, cases: Sequence[Case], shape: Sizes, lanes: int) -> None:
        self.cases, self.shape, self.lanes = cases, shape, lanes
        self.sizes = np.zeros((lanes, 4), int)
        self.sizes[: len(cases)] = [case.sizes for case in cases]
        self.inputs = stacked(cases, shape, lanes, FLOAT64)
        with full_precision():
            self._pending = compiled(padded_blocks, is_large(shape))(self.inputs, self.sizes)

    @cached_property
    def blocks(self) -> dict[str, Array]:
        """The blocks of all lanes in float64, by name: (lanes, T, B, H) and so on, with padding."""
        found = {name: np.asarray(block) for name, block in self._pending.items()}
        return found | {"C_T": self._at_last_step(found["C"])}

    @cached_property
    def scales(self) -> dict[str, Array]:
        """The scales of the blocks of all lanes, by name, as `tolerance.scales` defines them."""
        p, x, h0, C0, upstream = self.inputs
        rows = np.arange(x.shape[2]) < self.sizes[:, 1, None]
        inputs = {**p, "x": x, "h0": h0, "C0": C0, "dh_T": upstream["dh_next"], "dC_T": upstream["dC_next"]}
        with np.errstate(over="ignore", invalid="ignore"):  # a run near the end of the range is ill-conditioned
            scales = tolerance.scales(inputs, self.blocks, rows[:, None, :, None])
        return scales | {"C_T": self._at_last_step(scales["C"])}

    @cached_property
    def own_losses(self) -> list[Losses]:
        """The losses of a float32 evaluation of each lane's run."""
        with full_precision():
            errors = compiled(float32_errors, is_large(self.shape))(self.inputs, self.sizes, self._pending)
        lost = {name: tolerance.units(a, self.scales[name], FLOAT32) for name, a in errors.items()}
        worst = {name: units.reshape(self.lanes, -1).max(axis=1).tolist() for name, units in lost.items()}
        worst["C_T"] = worst["C"]
        return [dict(zip(worst, of_lane, strict=True)) for of_lane in zip(*worst.values(), strict=True)]

    def _at_last_step(self, over_time: Array) -> Array:
        """Return an array over time at the last step of each lane's run, (lanes, B, H)."""
        return over_time[np.arange(self.lanes), self.sizes[:, 0] - 1]

    def units_by_step(self, name: str, lanes: Sequence[int], arrays: Sequence[Array], dtype: DType) -> Array:
        """Return the worst error of a block in units of rounding: (lanes, T), or (lanes, 1) without steps.

        Args:
            name: the block.
            lanes: the lanes to compare.
            arrays: an array for each of these lanes, without padding.
            dtype: the precision that defines a unit.
        """
        error = self.blocks[name][lanes]
        for own, got in zip(error, arrays, strict=True):
            own[tuple(map(slice, got.shape))] -= got
        steps = error.shape[1] if "T" in BLOCKS[name] else 1
        worst = np.abs(error, out=error).reshape(len(lanes), steps, -1).max(axis=2)
        return tolerance.units(worst, self.scales[name][lanes].reshape(len(lanes), steps), dtype)

    def blocks_of(self, lane: int) -> Mapping[str, Array]:
        """Return the blocks of one lane's run without padding, as views that are created on access."""
        size = sizes_of(self.cases[lane].inputs)
        return LazyBlocks(lambda name: self.blocks[name][lane][tuple(slice(size[dim]) for dim in BLOCKS[name])])

    def scales_of(self, lane: int) -> Mapping[str, Array]:
        """Return the scales of one lane's run, of T > 0 steps, without padding, as views that are created on access."""
        T = self.cases[lane].sizes[0]
        return LazyBlocks(lambda name: self.scales[name][lane][:T])  # a block without steps has one scale


class LazyBlocks(Mapping[str, Array]):
    """A mapping from the name of each block to an array that is created on access."""

    def __init__(self, block: Callable[[str], Array]) -> None:
        self._block = block

    def __getitem__(self, name: str) -> Array:
        return self._block(name)

    def __iter__(self) -> Iterator[str]:
        return iter(BLOCKS)

    def __len__(self) -> int:
        return len(BLOCKS)


def padded_blocks(inputs: tuple[Any, ...], sizes: jax.Array) -> dict[str, Any]:
    """Return the blocks of a padded run, with zeros outside its own part.

    Args:
        inputs: the arguments of `autodiff.probes.pull_back`.
        sizes: T, B, D and H of the run, (4,).
    """
    _, x, h0, _, _ = inputs
    padded = ((x.shape[0], sizes[0]), (h0.shape[0], sizes[1]), (h0.shape[1], sizes[3]))
    steps, rows, units = (jnp.arange(length) < size for length, size in padded)
    own, found = steps[:, None, None] & rows[:, None] & units, blocks(*inputs)
    return found | {name: jnp.where(own, found[name], 0) for name in VALUES}  # gradients are zero in the padding


def float32_errors(inputs: tuple[Any, ...], sizes: jax.Array, truth: Mapping[str, Any]) -> dict[str, Any]:
    """Return the worst absolute error in each block of a padded run in float32: (T, 1, 1), (1, 1) or (1,)."""
    rough = padded_blocks(jax.tree.map(lambda array: array.astype(np.float32), inputs), sizes)
    axes = {name: range("T" in dims, len(dims)) for name, dims in PADDED_BLOCKS.items()}
    return {name: jnp.max(jnp.abs(rough[name] - truth[name]), axes[name], keepdims=True) for name in PADDED_BLOCKS}


def blocks(*inputs: Any) -> dict[str, Any]:
    """Return all blocks but C_T by autodiff, from the arguments of `autodiff.probes.pull_back`."""
    values, edges, gradients = pull_back(*inputs)
    return {**{name: values[name] for name in VALUES}, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}


def evaluate(function: BlockFunction, cases: Sequence[Case], dtype: DType) -> list[dict[str, Array]]:
    """Evaluate a function for each case in `dtype`, many cases in one call, and return its blocks without padding."""
    results: dict[int, dict[str, Array]] = {}
    for shape, lanes, indices in group_by_shape(cases):
        with full_precision():
            inputs = stacked([cases[k] for k in indices], shape, lanes, dtype)
            found = {name: np.asarray(a) for name, a in compiled(function, is_large(shape))(*inputs).items()}
        for lane, k in enumerate(indices):
            results[k] = without_padding({name: array[lane] for name, array in found.items()}, cases[k], dtype)
    return [results[k] for k in range(len(cases))]


@cache
def compiled(function: Callable[..., Any], multi_threaded: bool) -> Any:
    """Compile a function of one run for stacked runs; calls overlap, so each has one thread unless `multi_threaded`."""
    return jax.jit(jax.vmap(function), compiler_options=None if multi_threaded else ONE_THREAD)


def without_padding(padded: Mapping[str, Array], case: Case, dtype: DType) -> dict[str, Array]:
    """Return views of a run's own part of padded blocks; without steps, dh0 and dC0 are copies of dh_T and dC_T."""
    size = sizes_of(case.inputs)
    found = {name: array[tuple(slice(size[dim]) for dim in PADDED_BLOCKS[name])] for name, array in padded.items()}
    if not size["T"] and "dh0" in found:
        found |= {"dh0": case.inputs["dh_T"].astype(dtype), "dC0": case.inputs["dC_T"].astype(dtype)}
    return found
