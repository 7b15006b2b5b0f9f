"""The truth of a run: its blocks in float64 by autodiff, and how much error in them is rounding."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice, pairwise
from typing import Any, TypeVar

import numpy as np

from lstm_oracle.inputs.cases import Case, Sizes
from lstm_oracle.run import Array, DType, sizes_of
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import BLOCKS, FLOAT32, FLOAT64, Batch, Losses
from lstm_oracle.truth.padding import group_by_shape, lanes_for

CHUNK = 128  # cases whose truths are in memory at the same time
NO_LOSSES: Losses = dict.fromkeys(BLOCKS, 0.0)
Item = TypeVar("Item")


@dataclass(frozen=True)
class Finding:
    """The comparison of one block of one run with the truth."""

    block: str
    units: float  # the worst error, in units of rounding
    tolerance: float  # in units, or a lower bound that is enough to accept the error
    step: int | None  # of the worst error; None for a block without steps

    @property
    def ratio(self) -> float:
        """The error relative to the tolerance; an upper bound of this if it is at most EARLY_ACCEPT_FRACTION."""
        return self.units / self.tolerance

    @property
    def ok(self) -> bool:
        """True if the error is rounding. If no finite tolerance exists, only early acceptance passes."""
        return self.units <= self.tolerance and math.isfinite(self.tolerance)


@dataclass(eq=False)
class Truth:
    """The blocks of a run in float64, their scales, and the tolerance for errors in them, measured when it is needed.

    `blocks` has the values f … h and C_T, the edges δ1 … δ26 and the gradients dW_f … dC0. Blocks and scales may be
    views of the batch in which the run was computed; `detached` copies them.
    """

    case: Case
    shape: Sizes  # to which the run is padded
    blocks: Mapping[str, Array]
    scales: Mapping[str, Array]
    batch: Batch | None = None
    lane: int = 0  # of the run in the batch
    _own_losses: Losses | None = field(default=None, repr=False)
    _losses: Losses | None = field(default=None, repr=False)

    def compare(self, name: str, got: Array, dtype: DType | None = None) -> Finding:
        """Compare an array with a block, in units of the array's own precision.

        An array of another shape than the block, or of another dtype than `dtype` if one is given, is infinitely wrong.
        """
        by_step = self.units_by_step(name, got, dtype)
        units = float(by_step.max())
        step = int(by_step.argmax()) if self.has_steps(name, got, dtype) else None
        return Finding(name, units, self.allowed(name, units), step)

    def fits(self, name: str, got: Array, dtype: DType | None = None) -> bool:
        """Return whether an array has the shape of a block and, if one is given, the dtype."""
        return got.shape == self.blocks[name].shape and (dtype is None or got.dtype == dtype)

    def has_steps(self, name: str, got: Array, dtype: DType | None = None) -> bool:
        """Return whether an array fits a block, as `fits` does, and has at least one step."""
        return "T" in BLOCKS[name] and len(got) > 0 and self.fits(name, got, dtype)

    def units_by_step(self, name: str, got: Array, dtype: DType | None = None) -> Array:
        """Return the worst error at every step of a block, (T,), or in all of a block without steps, (1,), in units.

        The error of an array that does not fit, as `fits` defines it, is infinite.
        """
        if not self.fits(name, got, dtype):
            return np.array([np.inf])
        units = self.units(name, got, got.dtype)
        return units.max(axis=(1, 2), initial=0) if self.has_steps(name, got) else units.max(initial=0)[None]

    def units(self, name: str, got: Array, dtype: DType) -> Array:
        """Return the error of every entry of a block, in units of rounding of this precision."""
        return tolerance.units(got - self.blocks[name], self.scales[name], dtype)

    def allowed(self, name: str, units: float) -> float:
        """Return the tolerance for a block in units, or a lower bound of it if that is enough to accept this error.

        Measuring what float32 loses takes about as long as computing the truth, and with neighbours many times as
        long, but most errors are so small that a lower bound suffices. Lower bounds are tried in the same order even
        if the losses have been measured, so that no finding depends on earlier calls.
        """
        for losses in self._lower_bounds():
            allowed = tolerance.tolerance(losses[name], self.case.sizes[0])
            if units <= tolerance.EARLY_ACCEPT_FRACTION * allowed:
                break
        return allowed

    def _lower_bounds(self) -> Iterator[Losses]:
        """Yield lower bounds of the losses, in ascending order of size and of cost, up to the losses themselves."""
        yield NO_LOSSES
        yield self.own_losses
        yield self.losses

    def tolerance(self, name: str) -> float:
        """Return the tolerance for a block: how many units of rounding an implementation may lose in it."""
        return tolerance.tolerance(self.losses[name], self.case.sizes[0])

    def absolute_tolerance(self, name: str, dtype: DType) -> Array:
        """Return the tolerance for a block as an absolute error, in an array that broadcasts against the block."""
        return self.tolerance(name) * tolerance.unit(self.scales[name], dtype)

    @property
    def own_losses(self) -> Losses:
        """The loss of a float32 evaluation of this run, for each block in units of rounding."""
        if self._own_losses is None:
            if self.case.sizes[0]:
                batch = self.batch or Batch([self.case], self.shape, lanes_for(self.shape))
                self._own_losses = batch.own_losses[self.lane]
            else:  # upstream gradients are passed on without rounding
                self._own_losses = NO_LOSSES
        return self._own_losses

    @property
    def losses(self) -> Losses:
        """The losses of each block, including those of neighbouring runs if this run is suspected of amplification."""
        if self._losses is None:
            (self._losses,) = losses_with_neighbours([self])
        return self._losses

    @property
    def is_suspected(self) -> bool:
        """True if this run may amplify errors, though not so much that no tolerance could be measured in float64."""
        (T, _, D, H), loss = self.case.sizes, max(self.own_losses.values())
        return tolerance.is_suspected(loss, steps=T, terms=D + H) and tolerance.is_well_conditioned(loss, T, FLOAT64)

    def is_well_conditioned(self, dtype: DType) -> bool:
        """Return whether this run distinguishes correct from incorrect implementations in a precision."""
        return tolerance.is_well_conditioned(max(self.losses.values()), self.case.sizes[0], dtype)

    def detached(self) -> Truth:
        """Return a copy that does not keep the batch in memory, but keeps the losses measured so far."""
        blocks, scales = ({name: a.copy() for name, a in part.items()} for part in (self.blocks, self.scales))
        return replace(self, blocks=blocks, scales=scales, batch=None, lane=0)


def truths(cases: Sequence[Case], many: bool = False) -> list[Truth]:
    """Return the truth of each case.

    Args:
        cases: runs of any sizes.
        many: whether they belong to at least `padding.MANY` runs, for which it pays to compile additional shapes.
    """
    return start_truths(cases, many)()


def truths_in_chunks(
    cases: Iterable[Case], many: bool = False, size: int = CHUNK
) -> Iterator[list[tuple[Case, Truth]]]:
    """Yield the cases with their truths, `size` at a time, while the next truths are computed on other threads.

    Cases are taken from the iterable only as they are needed, so that no more than two chunks are in memory.
    """
    for chunk, wait in prefetch((chunk, start_truths(chunk, many)) for chunk in chunked(cases, size)):
        yield list(zip(chunk, wait(), strict=True))


def chunked(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items; the last one may be shorter."""
    remaining = iter(items)
    return iter(lambda: list(islice(remaining, size)), [])


def prefetch(pending: Iterable[Item]) -> Iterator[Item]:
    """Yield each item after taking the next one, where taking an item starts its computation on other threads."""
    return (item for item, _ in pairwise(chain(pending, [None])) if item is not None)


def start_truths(cases: Sequence[Case], many: bool) -> Callable[[], list[Truth]]:
    """Start to compute the truths on other threads, and return a function that waits for them and returns them."""
    lane_of: dict[int, tuple[Batch, int]] = {}
    for shape, lanes, indices in group_by_shape(cases, many):
        batch = Batch([cases[k] for k in indices], shape, lanes)
        lane_of |= {k: (batch, lane) for lane, k in enumerate(indices)}
    return lambda: [truth_in(*lane_of[k]) for k in range(len(cases))]


def truth_in(batch: Batch, lane: int) -> Truth:
    """Return the truth of the run in a lane of a batch."""
    case = batch.cases[lane]
    if not case.sizes[0]:
        return truth_without_steps(case, batch.shape)
    return Truth(case, batch.shape, batch.blocks_of(lane), batch.scales_of(lane), batch, lane)


def truth_without_steps(case: Case, shape: Sizes) -> Truth:
    """Return the truth of a run with T = 0, whose upstream gradients and C0 are passed on as dh0, dC0 and C_T."""
    inputs = {name: array.astype(np.float64) for name, array in case.inputs.items()}
    size = sizes_of(case.inputs)
    found = {name: np.zeros([size[dim] for dim in dims]) for name, dims in BLOCKS.items()}
    found |= {"dh0": inputs["dh_T"], "dC0": inputs["dC_T"], "C_T": inputs["C0"]}
    return Truth(case, shape, found, tolerance.scales(inputs, found))


def compute_losses(known: Sequence[Truth]) -> None:
    """Measure the losses of many truths at once, which is faster than one by one, and store them in the truths."""
    for truth, losses in zip(known, losses_with_neighbours(known), strict=True):
        truth._losses = losses


def losses_with_neighbours(known: Sequence[Truth]) -> list[Losses]:
    """Return the losses of each run: its own or, if it is suspected, combined with those of its neighbours.

    Losses are combined as the root of the sum of squares. The neighbours of all runs of one shape are evaluated at
    once.
    """
    found = [truth.own_losses for truth in known]
    suspects = [k for k, truth in enumerate(known) if truth.is_suspected]
    for shape in dict.fromkeys(known[k].shape for k in suspects):
        of_shape = [k for k in suspects if known[k].shape == shape]
        near = [neighbour(known[k].case, n) for k in of_shape for n in range(tolerance.NEIGHBOURS)]
        losses_nearby = iter(float32_losses(near, shape))
        for k in of_shape:
            all_losses = [found[k], *islice(losses_nearby, tolerance.NEIGHBOURS)]
            found[k] = {name: math.hypot(*(losses[name] for losses in all_losses)) for name in BLOCKS}
    return found


def float32_losses(cases: Sequence[Case], shape: Sizes) -> list[Losses]:
    """Return the losses of a float32 evaluation of each case, where all cases fit one shape."""
    lanes = lanes_for(shape)
    batches: Iterator[Any] = (Batch(cases[k : k + lanes], shape, lanes) for k in range(0, len(cases), lanes))
    return [losses for batch in prefetch(batches) for losses in batch.own_losses[: len(batch.cases)]]


def neighbour(case: Case, number: int) -> Case:
    """Return a run with every entry of its inputs multiplied by 1 ± eps of float32, with signs drawn by the number."""
    rng = np.random.default_rng(number)
    eps = np.finfo(FLOAT32).eps
    inputs = {name: array * (1 + eps * rng.choice([-1, 1], array.shape)) for name, array in case.inputs.items()}
    with np.errstate(over="ignore"):
        return replace(case, inputs={name: array.astype(case.dtype) for name, array in inputs.items()})
