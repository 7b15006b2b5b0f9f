"""Pads runs of many sizes to a few shapes, so that JAX compiles seldom and computes many runs in one call.

A run is padded with zeros up to a shape. Zero inputs and zero units add nothing to a sum, a padding row receives no
gradient, and a step after the last one has none to pass back: the run's own part of every block is unchanged.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lstm_oracle.autodiff.lstm import weights
from lstm_oracle.inputs.cases import Case, Sizes, sizes_text
from lstm_oracle.run import INPUTS, DType, sizes_of

# Compiling a shape takes seconds. Every drawn run fits into one of these:
SHAPES: tuple[Sizes, ...] = ((70, 4, 7, 10), (4, 5, 40, 66))
FINER_SHAPES: tuple[Sizes, ...] = ((12, 4, 6, 7),)  # worth compiling for MANY runs
MANY = 2000
LANES = 32  # at most so many runs in one call, and fewer if they are large
MOST_NUMBERS = 2**19  # in the blocks of one call, which takes the same time however few of its lanes are used
LARGE = 2**23  # numbers in the blocks of one run, above which it is worth several threads
AT_LAST_STEP = {"dh_T": "dh_next", "dC_T": "dC_next"}  # gradients beyond the last step, as those on its edges
PADDED = INPUTS | dict.fromkeys(AT_LAST_STEP.values(), "TBH")

MOST_BYTES = 2**32  # bytes of memory for the truth of one run
LIVE_ARRAYS = 120  # of shape (T, B, H), held by autodiff at once: measured


def shape_for(sizes: Sizes, many: bool = False) -> Sizes:
    """Return the smallest of the known shapes that holds a run or, if none does, its sizes rounded up slightly.

    Args:
        sizes: T, B, D and H of the run.
        many: whether there are MANY runs, for which FINER_SHAPES are known shapes too.
    """
    known = SHAPES + FINER_SHAPES * many
    holding = [s for s in known if all(size <= most for size, most in zip(sizes, s, strict=True))]
    T, B, D, H = map(rounded_up, sizes)
    return min(holding, key=math.prod, default=(T, B, D, H))


def rounded_up(size: int) -> int:
    """Round up to one of 1, 2, … 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, …, so that similar sizes share a shape."""
    step = 2 ** max(0, size.bit_length() - 3)
    return max(1, -(-size // step) * step)


def lanes_for(shape: Sizes) -> int:
    """Return how many runs of this shape are computed in one call."""
    return max(1, min(LANES, MOST_NUMBERS // numbers_in_blocks(shape)))


def numbers_in_blocks(shape: Sizes) -> int:
    """Return approximately how many numbers the blocks of a run of this shape have."""
    T, B, D, H = shape
    return T * B * (28 * H + 6 * D) + 4 * H * (H + D)


def is_large(shape: Sizes) -> bool:
    """Return whether one run of this shape is worth several threads."""
    return numbers_in_blocks(shape) > LARGE


def require_memory(sizes: Sizes) -> None:
    """Raise ValueError if the truth of a run of these sizes does not fit into MOST_BYTES of memory."""
    T, B, D, H = sizes
    needed = 8 * (LIVE_ARRAYS * T * B * max(D, H) + 40 * H * (H + D))
    if needed > MOST_BYTES:
        raise ValueError(
            f"the run has {sizes_text(sizes)}, for which autodiff needs about {needed / 2**30:.1f} GiB; expected at "
            f"most {MOST_BYTES / 2**30:.0f} GiB: use fewer steps or rows"
        )


def group_by_shape(cases: Sequence[Case], many: bool = False) -> Iterator[tuple[Sizes, int, list[int]]]:
    """Group cases that are computed in one call: yield their shape, the number of lanes, and their indices."""
    shapes = [shape_for(case.sizes, many) for case in cases]
    for shape in dict.fromkeys(shapes):
        indices = [k for k, other in enumerate(shapes) if other == shape]
        lanes = lanes_for(shape)
        for first in range(0, len(indices), lanes):
            yield shape, lanes, indices[first : first + lanes]


def stacked(cases: Sequence[Case], shape: Sizes, lanes: int, dtype: DType) -> tuple[Any, ...]:
    """Return the arguments of `autodiff.probes.pull_back` for many runs, stacked and padded with zeros.

    The first dimension of every array is the lane; case k is in lane k.
    """
    padded = dict(zip("TBDH", shape, strict=True))
    found = {name: np.zeros((lanes, *(padded[dim] for dim in dims)), dtype) for name, dims in PADDED.items()}
    for lane, case in enumerate(cases):
        size = sizes_of(case.inputs)
        own: dict[str, tuple[Any, ...]] = {
            dims: tuple(slice(size[dim]) for dim in dims) for dims in set(INPUTS.values())
        }
        for name, dims in INPUTS.items():
            if name not in AT_LAST_STEP:
                found[name][(lane, *own[dims])] = case.inputs[name]
            elif size["T"]:
                found[AT_LAST_STEP[name]][(lane, size["T"] - 1, *own[dims])] = case.inputs[name]
    upstream = {name: found[name] for name in ("dh", *AT_LAST_STEP.values())}
    return weights(found), found["x"], found["h0"], found["C0"], upstream
