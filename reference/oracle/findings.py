"""The judge: a run's outputs against its truth, block by block, and the narrowest place that is wrong."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from reference.oracle.truth import BLOCKS, DELTAS, VALUES, Truth
from reference.run import GRADIENTS, Array, DType

Place = tuple[str, int | None]  # a block, and the step if it has steps


@dataclass(frozen=True)
class Finding:
    """How one block of one run compares."""

    block: str
    units: float  # the worst error, in units of rounding
    tolerance: float  # the units allowed, as far as `Truth.allowed` had to find out
    step: int | None  # where the worst error is; None for a block without steps

    @property
    def ratio(self) -> float:
        """The error as a multiple of what is allowed; an upper bound where it is at most `tolerance.FAR_BELOW`."""
        return self.units / self.tolerance

    @property
    def ok(self) -> bool:
        """Whether the error is rounding; where that has no bound, only what is far below any tolerance is."""
        return self.units <= self.tolerance and math.isfinite(self.tolerance)


def judge(truth: Truth, outputs: Mapping[str, Array], dtype: DType) -> list[Finding]:
    """One finding for each block of the outputs, in units of `dtype`'s rounding."""
    found = []
    for block, by_step, timed in errors(truth, outputs, dtype):
        units, step = float(by_step.max()), int(by_step.argmax())
        found.append(Finding(block, units, truth.allowed(block, units), step if timed else None))
    return found


def narrowest(truth: Truth, outputs: Mapping[str, Array], dtype: DType) -> Place | None:
    """The first block that goes wrong in the order of computation, and its step; None if all is right.

    That is forward the first wrong step, in it the first wrong value; else backward the last wrong
    step, in it the first wrong edge; else the first wrong gradient.
    """
    wrong = [
        (block, int(step) if timed else None)
        for block, by_step, timed in errors(truth, outputs, dtype)
        for step in np.flatnonzero(by_step > truth.tolerances[block])
    ]
    order = [*VALUES, "C_T", *DELTAS, *GRADIENTS]

    def position(place: Place) -> tuple[bool, float, int]:
        block, step = place
        if block in VALUES:
            return False, step or 0, order.index(block)
        return True, -step if step is not None else math.inf, order.index(block)

    return min(wrong, key=position, default=None)


def beginning(truth: Truth, outputs: Mapping[str, Array], dtype: DType) -> str:
    """Where a run first goes wrong, in words: forward from the first wrong step, else backward from the last."""
    block, step = narrowest(truth, outputs, dtype) or ("", None)
    if step is None:
        return block
    return f"{block}, from step {step} {'on' if block in VALUES else 'backwards'}"


def errors(truth: Truth, outputs: Mapping[str, Array], dtype: DType) -> list[tuple[str, Array, bool]]:
    """Each block with its worst error at every step, and whether it has steps."""
    found = []
    for block, got in outputs.items():
        timed = "T" in BLOCKS.get(block, "") and len(got) > 0
        if got.shape != truth.blocks[block].shape or got.dtype != dtype:
            found.append((block, np.array([np.inf]), False))
            continue
        units = truth.units(block, got, dtype)
        found.append((block, units.max(axis=(1, 2), initial=0) if timed else units.max(initial=0)[None], timed))
    return found
