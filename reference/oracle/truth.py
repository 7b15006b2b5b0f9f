"""What autodiff says of many runs at once: their blocks, and how much error in them is rounding.

Runs of one shape are computed together, as lanes of a batch, and are cut out of it one by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import chain, pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from reference.at_once import pull_back
from reference.lstm import full_precision
from reference.oracle import tolerance
from reference.oracle.cases import Case, Sizes
from reference.oracle.padding import calls, is_large, stacked
from reference.probes import EDGES, TO_X
from reference.run import GRADIENTS, Array, DType

VALUES = dict.fromkeys(("f", "i", "g", "o", "C", "tanh_C", "h"), "TBH")
DELTAS = {f"δ{n}": "TBD" if n in TO_X else "TBH" for n in EDGES}
BLOCKS = VALUES | DELTAS | GRADIENTS  # what a run is judged by, with dimensions
DIMS = BLOCKS | {"C_T": "BH"}
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)
MOST_ROUNDING = 0.01
ONE_THREAD = {"xla_cpu_multi_thread_eigen": False}

# A function of (weights, x, h0, C0, upstream), as `reference.probes.pull_back`, that returns blocks.
Function = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Truth:
    """A run's blocks in float64, and how much error in them is rounding."""

    blocks: Mapping[str, Array]
    scales: Mapping[str, Array]
    losses: Mapping[str, float]  # units of rounding that float32 evaluations lose of each block
    batch: Batch | None = None  # with which it was computed
    lane: int = 0

    def units(self, name: str, got: Array, dtype: DType) -> Array:
        """The error of a block in units of rounding, entry by entry."""
        return tolerance.units(got - self.blocks[name], self.scales[name], dtype)

    @cached_property
    def tolerances(self) -> dict[str, float]:
        """How many units of each block an honest implementation may lose on this run."""
        steps = len(self.blocks["h"])
        return {name: tolerance.tolerance(loss, steps) for name, loss in self.losses.items()}

    @property
    def loss(self) -> float:
        """The units that are lost of the worst block."""
        return max(self.losses.values())

    def tells(self, dtype: DType) -> bool:
        """Whether this run tells right from wrong in a precision.

        Else rounding alone may change it beyond 1 %; or changes so much in float32 that what is lost
        there is no measure any more of what another precision loses.
        """
        most = max(self.tolerances.values()) * float(np.finfo(dtype).eps), self.loss * float(np.finfo(FLOAT32).eps)
        return max(most) < MOST_ROUNDING

    def alone(self) -> Truth:
        """The same, to be kept without what was computed with it."""
        blocks, scales = ({name: a.copy() for name, a in part.items()} for part in (self.blocks, self.scales))
        return Truth(blocks, scales, self.losses)


def truths(cases: Sequence[Case], many: bool = False) -> list[Truth]:
    """The truth of each case; `many` if there are so many that compiling another shape for them pays."""
    return started(cases, many)()


def truths_ahead(chunks: Iterable[Sequence[Case]], many: bool = False) -> Iterator[list[tuple[Case, Truth]]]:
    """Each chunk of cases with their truths; while one is judged, those of the next are computed."""
    begun = ((cases, started(cases, many)) for cases in chain(chunks, [()]))
    for (cases, found), _ in pairwise(begun):
        yield list(zip(cases, found(), strict=True))


def started(cases: Sequence[Case], many: bool) -> Callable[[], list[Truth]]:
    """Start to compute the truths, on other threads; the function that waits for them."""
    places: dict[int, tuple[Batch, int]] = {}
    for shape, most, numbers in calls(cases, many):
        batch = Batch([cases[k] for k in numbers], shape, most)
        places |= {k: (batch, lane) for lane, k in enumerate(numbers)}

    def finished() -> list[Truth]:
        return looked_around([batch.truth(lane) for _, (batch, lane) in sorted(places.items())], cases, many)

    return finished


def looked_around(found: list[Truth], cases: Sequence[Case], many: bool) -> list[Truth]:
    """The truths; the losses of a run that may amplify errors are put together from its own and those nearby."""
    suspects = [
        k
        for k, (T, _, D, H) in enumerate(case.sizes for case in cases)
        if tolerance.suspected(found[k].loss, steps=T, terms=D + H) and found[k].tells(FLOAT64)
    ]
    near = losses_of([neighbour(cases[k], n) for k in suspects for n in range(tolerance.NEIGHBOURS)], many)
    for n, k in enumerate(suspects):
        some = [found[k].losses, *near[n * tolerance.NEIGHBOURS : (n + 1) * tolerance.NEIGHBOURS]]
        together = {name: math.hypot(*(one[name] for one in some)) for name in DIMS}
        found[k] = replace(found[k], losses=together)
    return found


def losses_of(cases: Sequence[Case], many: bool) -> list[dict[str, float]]:
    """What is lost of each block of each case."""
    found: dict[int, dict[str, float]] = {}
    begun: Iterator[Any] = (
        (some, Batch([cases[k] for k in some], shape, most)) for shape, most, some in calls(cases, many)
    )
    for (numbers, batch), _ in pairwise(chain(begun, [None])):  # two at a time and no more, for they may be large
        found |= {k: batch.losses_of(lane) for lane, k in enumerate(numbers)}
    return [found[k] for k in range(len(cases))]


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
        self.cases, self.lanes = cases, lanes
        self.sizes = np.zeros((lanes, 4), int)
        self.sizes[: len(cases)] = [case.sizes for case in cases]
        self.inputs = stacked(cases, shape, lanes, FLOAT64)
        with full_precision():
            self.found = compiled(told, is_large(shape))(self.inputs, self.sizes)

    @cached_property
    def blocks(self) -> dict[str, Array]:
        """Every block of all runs, once it is computed."""
        found = {name: np.asarray(block) for name, block in self.found[0].items()}
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
    def losses(self) -> dict[str, list[float]]:
        """What every run loses of each block."""
        lost = {name: tolerance.units(a, self.scales[name], FLOAT32) for name, a in self.found[1].items()}
        found = {name: units.reshape(self.lanes, -1).max(axis=1).tolist() for name, units in lost.items()}
        return found | {"C_T": found["C"]}

    def losses_of(self, lane: int) -> dict[str, float]:
        """What the run in this lane loses of each block."""
        return {name: by_lane[lane] for name, by_lane in self.losses.items()}

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
        """The truth of the run in this lane; in a batch with room for many it is not kept for its sake."""
        case = self.cases[lane]
        size = dict(zip("TBDH", case.sizes, strict=True))
        if not size["T"]:
            return without_steps(case)

        def block(name: str) -> Array:
            own: tuple[Any, ...] = tuple([slice(size[dim]) for dim in DIMS[name]])
            return self.blocks[name][lane][own]

        def scale(name: str) -> Array:
            return self.scales[name][lane][: size["T"]]  # a block without steps has one scale, there as well

        found = Truth(Cut(block), Cut(scale), self.losses_of(lane), self, lane)
        return found if 2 * len(self.cases) > self.lanes else found.alone()


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


def told(inputs: tuple[Any, ...], sizes: jax.Array) -> tuple[dict[str, Any], dict[str, Any]]:
    """A padded run's blocks in float64, zero outside of it, and the worst float32 error in each, by step if it has."""
    _, x, h0, _, _ = inputs
    padded = ((x.shape[0], sizes[0]), (h0.shape[0], sizes[1]), (h0.shape[1], sizes[3]))
    steps, rows, units = (jnp.arange(most) < size for most, size in padded)
    own = steps[:, None, None] & rows[:, None] & units

    def within(found: dict[str, Any]) -> dict[str, Any]:  # the values alone are more than zero elsewhere
        return found | {name: jnp.where(own, found[name], 0) for name in VALUES}

    exact = within(blocks(*inputs))
    rough = within(blocks(*jax.tree.map(lambda array: array.astype(np.float32), inputs)))
    over = {name: range("T" in dims, len(dims)) for name, dims in BLOCKS.items()}
    lost = {name: jnp.max(jnp.abs(rough[name] - exact[name]), over[name], keepdims=True) for name in BLOCKS}
    return exact, lost


def blocks(*inputs: Any) -> dict[str, Any]:
    """All blocks of a run by autodiff."""
    values, edges, gradients = pull_back(*inputs)
    return {**{name: values[name] for name in VALUES}, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}


def without_steps(case: Case) -> Truth:
    """The truth of a run of no step: what arrives passes through, and nothing is rounded."""
    inputs = {name: array.astype(np.float64) for name, array in case.inputs.items()}
    size = dict(zip("TBDH", case.sizes, strict=True))
    found = {name: np.zeros([size[dim] for dim in dims]) for name, dims in DIMS.items()}
    found |= {"dh0": inputs["dh_T"], "dC0": inputs["dC_T"], "C_T": inputs["C0"]}
    return Truth(found, tolerance.scales(inputs, found), dict.fromkeys(DIMS, 0.0))


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
