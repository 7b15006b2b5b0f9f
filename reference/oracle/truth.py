"""What autodiff says of many runs at once: their blocks, and how much error in them is rounding.

Runs of one shape are computed together, as lanes of a batch, and are cut out of it one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, islice, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reference.at_once import pull_back
from reference.lstm import full_precision
from reference.oracle import tolerance
from reference.oracle.cases import Case, Sizes
from reference.oracle.padding import calls, is_large, lanes_for, stacked
from reference.probes import EDGES, TO_X
from reference.run import GRADIENTS, Array, DType

VALUES = dict.fromkeys(("f", "i", "g", "o", "C", "tanh_C", "h"), "TBH")
DELTAS = {f"δ{n}": "TBD" if n in TO_X else "TBH" for n in EDGES}
BLOCKS = VALUES | DELTAS | GRADIENTS  # what a run is judged by, with dimensions
DIMS = BLOCKS | {"C_T": "BH"}
NO_LOSSES = dict.fromkeys(DIMS, 0.0)
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}

# A function of (weights, x, h0, C0, upstream), as `reference.probes.pull_back`, that returns blocks.
Function = Callable[..., dict[str, Any]]
Losses = Mapping[str, float]  # of a run, by block: units of rounding


@dataclass(frozen=True)
class Truth:
    """A run's blocks in float64, and how much error in them is rounding, which is found out when it is asked for."""

    case: Case
    shape: Sizes  # up to which it is padded where it is computed
    blocks: Mapping[str, Array]
    scales: Mapping[str, Array]
    batch: Batch | None = None  # with which it was computed
    lane: int = 0

    def units(self, name: str, got: Array, dtype: DType) -> Array:
        """The error of a block in units of rounding, entry by entry."""
        return tolerance.units(got - self.blocks[name], self.scales[name], dtype)

    def allowed(self, name: str, units: float) -> float:
        """How many units of a block an honest implementation may lose; fewer if an error of `units` is far below those.

        What float32 loses takes about as long to find out as the truth, on neighbours many times as long, and most
        errors are right without. What is known is passed over all the same: no finding hangs on what was asked before.
        """
        for losses in self.lower_bounds():
            allowed = tolerance.tolerance(losses[name], self.case.sizes[0])
            if units <= tolerance.FAR_BELOW * allowed:
                break
        return allowed

    def lower_bounds(self) -> Iterator[Losses]:
        """What float32 loses at least: each no less than the one before, and dearer to find out."""
        yield NO_LOSSES
        yield self.own_losses
        yield self.losses

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """How many units of each block an honest implementation may lose on this run."""
        return {name: tolerance.tolerance(loss, self.case.sizes[0]) for name, loss in self.losses.items()}

    @cached_property
    def own_losses(self) -> Losses:
        """What a float32 evaluation of this run loses of each block."""
        if not self.case.sizes[0]:  # what arrives passes through, and nothing is rounded
            return NO_LOSSES
        batch = self.batch or Batch([self.case], self.shape, lanes_for(self.shape))
        return batch.own_losses[self.lane]

    @cached_property
    def losses(self) -> Losses:
        """What float32 loses of each block, put together with what it loses on runs nearby if this one is suspected."""
        (losses,) = looked_around([self])
        return losses

    @property
    def suspected(self) -> bool:
        """Whether this run may amplify errors, but not so much that nobody can tell how much."""
        (T, _, D, H), loss = self.case.sizes, max(self.own_losses.values())
        return tolerance.suspected(loss, steps=T, terms=D + H) and tolerance.tells(loss, T, FLOAT64)

    @property
    def loss(self) -> float:
        """The units that are lost of the worst block."""
        return max(self.losses.values())

    def tells(self, dtype: DType) -> bool:
        """Whether this run tells right from wrong in a precision."""
        return tolerance.tells(self.loss, self.case.sizes[0], dtype)

    def alone(self) -> Truth:
        """The same, to be kept without what was computed with it."""
        blocks, scales = ({name: a.copy() for name, a in part.items()} for part in (self.blocks, self.scales))
        kept = Truth(self.case, self.shape, blocks, scales)
        vars(kept).update({name: known for name, known in vars(self).items() if name in ("own_losses", "losses")})
        return kept


def truths(cases: Sequence[Case], many: bool = False) -> list[Truth]:
    """The truth of each case; `many` if there are so many that compiling another shape for them pays."""
    return started(cases, many)()


def truths_ahead(chunks: Iterable[Sequence[Case]], many: bool = False) -> Iterator[list[tuple[Case, Truth]]]:
    """Each chunk of cases with their truths; while one is judged, those of the next are computed."""
    for cases, found in ahead((cases, started(cases, many)) for cases in chunks):
        yield list(zip(cases, found(), strict=True))


def ahead(begun: Iterable[Any]) -> Iterator[Any]:
    """What is begun when it is taken, each once the next one is: two are computed at a time, and no more."""
    return (one for one, _ in pairwise(chain(begun, [None])))


def started(cases: Sequence[Case], many: bool) -> Callable[[], list[Truth]]:
    """Start to compute the truths, on other threads; the function that waits for them."""
    places: dict[int, tuple[Batch, int]] = {}
    for shape, most, numbers in calls(cases, many):
        batch = Batch([cases[k] for k in numbers], shape, most)
        places |= {k: (batch, lane) for lane, k in enumerate(numbers)}
    return lambda: [batch.truth(lane) for _, (batch, lane) in sorted(places.items())]


def find_out(known: Sequence[Truth]) -> None:
    """Find out the losses of runs that are all asked for theirs: together, in less time than one by one."""
    for truth, losses in zip(known, looked_around(known), strict=True):
        vars(truth)["losses"] = losses  # where a cached property looks


def looked_around(known: Sequence[Truth]) -> list[Losses]:
    """What is lost on each run, put together with what is lost on runs nearby if it is suspected."""
    found = [truth.own_losses for truth in known]
    suspects = [k for k, truth in enumerate(known) if truth.suspected]
    for shape in dict.fromkeys(known[k].shape for k in suspects):
        some = [k for k in suspects if known[k].shape == shape]
        near = iter(own_losses([neighbour(known[k].case, n) for k in some for n in range(tolerance.NEIGHBOURS)], shape))
        for k in some:
            together = [found[k], *islice(near, tolerance.NEIGHBOURS)]
            found[k] = {name: math.hypot(*(losses[name] for losses in together)) for name in DIMS}
    return found


def own_losses(cases: Sequence[Case], shape: Sizes) -> list[Losses]:
    """What a float32 evaluation of each case loses of each block; all are within a shape."""
    most = lanes_for(shape)
    begun = (Batch(cases[first : first + most], shape, most) for first in range(0, len(cases), most))
    return [losses for batch in ahead(begun) for losses in batch.own_losses[: len(batch.cases)]]


def neighbour(case: Case, number: int) -> Case:
    """A run whose inputs are each one unit of float32's rounding away, or two."""
    rng = np.random.default_rng(number)
    eps = np.finfo(FLOAT32).eps
    inputs = {name: array * (1 + eps * rng.choice([-1, 1], array.shape)) for name, array in case.inputs.items()}
    with np.errstate(over="ignore"):
        return replace(case, inputs={name: array.astype(case.dtype) for name, array in inputs.items()})


class Batch:
    """Runs of one shape, stacked as lanes: computed together, on other threads, and zero outside of each run."""

    def __init__(self, cases: Sequence[Case], shape: Sizes, lanes: int) -> None:
        self.cases, self.shape, self.lanes = cases, shape, lanes
        self.sizes = np.zeros((lanes, 4), int)
        self.sizes[: len(cases)] = [case.sizes for case in cases]
        self.inputs = stacked(cases, shape, lanes, FLOAT64)
        with full_precision():
            self.found = compiled(padded_blocks, is_large(shape))(self.inputs, self.sizes)

    @cached_property
    def blocks(self) -> dict[str, Array]:
        """Every block of all runs, once it is computed."""
        found = {name: np.asarray(block) for name, block in self.found.items()}
        return found | {"C_T": self.last(found["C"])}

    @cached_property
    def scales(self) -> dict[str, Array]:
        """The scale of every block of all runs."""
        p, x, h0, C0, upstream = self.inputs
        rows = np.arange(x.shape[2]) < self.sizes[:, 1, None]
        inputs = {**p, "x": x, "h0": h0, "C0": C0, "dh_T": upstream["dh_next"], "dC_T": upstream["dC_next"]}
        with np.errstate(over="ignore", invalid="ignore"):  # a run near the end of the range tells nothing, and says so
            scales = tolerance.scales(inputs, self.blocks, rows[:, None, :, None])
        return scales | {"C_T": self.last(scales["C"])}

    @cached_property
    def own_losses(self) -> list[Losses]:
        """What a float32 evaluation of every run loses of each block."""
        with full_precision():
            errors = compiled(float32_errors, is_large(self.shape))(self.inputs, self.sizes, self.found)
        lost = {name: tolerance.units(a, self.scales[name], FLOAT32) for name, a in errors.items()}
        worst = {name: units.reshape(self.lanes, -1).max(axis=1).tolist() for name, units in lost.items()}
        worst["C_T"] = worst["C"]
        return [dict(zip(worst, of_run, strict=True)) for of_run in zip(*worst.values(), strict=True)]

    def last(self, timed: Array) -> Array:
        """What a block, or a scale, is at the last step of each run."""
        return timed[np.arange(self.lanes), self.sizes[:, 0] - 1]

    def units(self, name: str, lanes: Sequence[int], arrays: Sequence[Array], dtype: DType) -> Array:
        """The worst errors of arrays that were got for a block of these lanes, (·, T), or (·, 1) without steps."""
        error = self.blocks[name][lanes]
        for own, got in zip(error, arrays, strict=True):
            own[tuple(map(slice, got.shape))] -= got
        steps = error.shape[1] if "T" in DIMS[name] else 1
        worst = np.abs(error, out=error).reshape(len(lanes), steps, -1).max(axis=2)
        return tolerance.units(worst, self.scales[name][lanes].reshape(len(lanes), steps), dtype)

    def truth(self, lane: int) -> Truth:
        """The truth of the run in this lane."""
        case = self.cases[lane]
        size = dict(zip("TBDH", case.sizes, strict=True))
        if not size["T"]:
            return without_steps(case, self.shape)

        def block(name: str) -> Array:
            own: tuple[Any, ...] = tuple([slice(size[dim]) for dim in DIMS[name]])
            return self.blocks[name][lane][own]

        def scale(name: str) -> Array:
            return self.scales[name][lane][: size["T"]]  # a block without steps has one scale, there as well

        return Truth(case, self.shape, Cut(block), Cut(scale), self, lane)


class Cut(Mapping[str, Array]):
    """The blocks of a run, or their scales, each cut out of a batch when it is asked for."""

    def __init__(self, cut: Callable[[str], Array]) -> None:
        self.cut = cut

    def __getitem__(self, name: str) -> Array:
        return self.cut(name)

    def __iter__(self) -> Iterator[str]:
        return iter(DIMS)

    def __len__(self) -> int:
        return len(DIMS)


def padded_blocks(inputs: tuple[Any, ...], sizes: jax.Array) -> dict[str, Any]:
    """A padded run's blocks, zero outside of it."""
    _, x, h0, _, _ = inputs
    padded = ((x.shape[0], sizes[0]), (h0.shape[0], sizes[1]), (h0.shape[1], sizes[3]))
    steps, rows, units = (jnp.arange(most) < size for most, size in padded)
    own, found = steps[:, None, None] & rows[:, None] & units, blocks(*inputs)
    return found | {name: jnp.where(own, found[name], 0) for name in VALUES}  # all else is zero there by itself


def float32_errors(inputs: tuple[Any, ...], sizes: jax.Array, right: Mapping[str, Any]) -> dict[str, Any]:
    """The worst error in each block of a padded run in float32, by step if it has."""
    rough = padded_blocks(jax.tree.map(lambda array: array.astype(np.float32), inputs), sizes)
    over = {name: range("T" in dims, len(dims)) for name, dims in BLOCKS.items()}
    return {name: jnp.max(jnp.abs(rough[name] - right[name]), over[name], keepdims=True) for name in BLOCKS}


def blocks(*inputs: Any) -> dict[str, Any]:
    """All blocks of a run by autodiff."""
    values, edges, gradients = pull_back(*inputs)
    return {**{name: values[name] for name in VALUES}, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}


def without_steps(case: Case, shape: Sizes) -> Truth:
    """The truth of a run of no step: what arrives passes through."""
    inputs = {name: array.astype(np.float64) for name, array in case.inputs.items()}
    size = dict(zip("TBDH", case.sizes, strict=True))
    found = {name: np.zeros([size[dim] for dim in dims]) for name, dims in DIMS.items()}
    found |= {"dh0": inputs["dh_T"], "dC0": inputs["dC_T"], "C_T": inputs["C0"]}
    return Truth(case, shape, found, tolerance.scales(inputs, found))


def evaluate(function: Function, cases: Sequence[Case], dtype: DType) -> list[dict[str, Array]]:
    """What `function` returns for each case, computed in `dtype`, many cases of one shape at a time."""
    results: dict[int, dict[str, Array]] = {}
    for shape, most, numbers in calls(cases):
        with full_precision():
            inputs = stacked([cases[k] for k in numbers], shape, most, dtype)
            together = {name: np.asarray(a) for name, a in compiled(function, is_large(shape))(*inputs).items()}
        for lane, k in enumerate(numbers):
            results[k] = cut({name: array[lane] for name, array in together.items()}, cases[k], dtype)
    return [results[k] for k in range(len(cases))]


@cache
def compiled(function: Callable[..., Any], spread: bool) -> Any:
    """The function over many runs at once, on one thread, as others run beside it; or `spread` over all."""
    return jax.jit(jax.vmap(function), compiler_options=None if spread else ONE_THREAD)


def cut(padded: Mapping[str, Array], case: Case, dtype: DType) -> dict[str, Array]:
    """The run's own part of padded blocks."""
    size = dict(zip("TBDH", case.sizes, strict=True))
    found = {name: array[tuple(slice(size[dim]) for dim in BLOCKS[name])] for name, array in padded.items()}
    if not size["T"] and "dh0" in found:  # without a step, what arrives is the gradient
        found |= {"dh0": case.inputs["dh_T"].astype(dtype), "dC0": case.inputs["dC_T"].astype(dtype)}
    return found
