"""Runs of many sizes in a few shapes, side by side: what JAX computes in one call, compiled once.

A run is padded with zeros up to a shape. Zero inputs and zero units add nothing to a sum, a padded
batch row receives no gradient, and a step after the last has none to hand back: within the run's
own part all numbers are those of the run itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from reference.lstm import weights
from reference.oracle.cases import Case, Sizes
from reference.run import INPUTS, DType

# JAX compiles each shape anew, in seconds: these hold every run that is drawn.
SHAPES: tuple[Sizes, ...] = ((70, 4, 7, 10), (4, 5, 40, 66))
FINER: tuple[Sizes, ...] = ((12, 4, 6, 7),)  # what these save pays for their compilation if there are
MANY = 2000  # runs or more
LANES = 32  # runs in one call at most; fewer where together they would have more than
MOST_NUMBERS = 2**19  # in their blocks: for a call takes its time however few of its lanes are used
LARGE = 2**23  # numbers in the blocks of one run
LEAVING = {"dh_T": "dh_next", "dC_T": "dC_next"}  # a loss on the last state is one on what leaves the last step
PADDED = INPUTS | dict.fromkeys(LEAVING.values(), "TBH")


def shape_for(sizes: Sizes, many: bool = False) -> Sizes:
    """The smallest of SHAPES that holds a run, of FINER too if there are many; else its sizes, rounded up a little."""
    known = SHAPES + FINER * many
    fitting = [s for s in known if all(size <= most for size, most in zip(sizes, s, strict=True))]
    T, B, D, H = map(rounded_up, sizes)
    return min(fitting, key=math.prod, default=(T, B, D, H))


def rounded_up(size: int) -> int:
    """To one of 1, 2, … 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, …: sizes that are about the same share a shape."""
    step = 2 ** max(0, size.bit_length() - 3)
    return max(1, -(-size // step) * step)


def lanes_for(shape: Sizes) -> int:
    """How many runs of a shape are computed in one call."""
    return max(1, min(LANES, MOST_NUMBERS // numbers_of(shape)))


def numbers_of(shape: Sizes) -> int:
    """How many numbers the blocks of a run have, about."""
    T, B, D, H = shape
    return T * B * (28 * H + 6 * D) + 4 * H * (H + D)


def is_large(shape: Sizes) -> bool:
    """Whether one run is worth many threads."""
    return numbers_of(shape) > LARGE


def calls(cases: Sequence[Case], many: bool = False) -> Iterator[tuple[Sizes, int, list[int]]]:
    """For each call its shape, its lanes, and the numbers of the cases that it computes."""
    shapes = [shape_for(case.sizes, many) for case in cases]
    for shape in dict.fromkeys(shapes):
        numbers = [k for k, other in enumerate(shapes) if other == shape]
        most = lanes_for(shape)
        for first in range(0, len(numbers), most):
            yield shape, most, numbers[first : first + most]


def stacked(cases: Sequence[Case], shape: Sizes, lanes: int, dtype: DType) -> tuple[Any, ...]:
    """The inputs of runs as `reference.probes.pull_back` takes them, one lane each, with zeros up to `shape`."""
    most = dict(zip("TBDH", shape, strict=True))
    found = {name: np.zeros((lanes, *(most[dim] for dim in dims)), dtype) for name, dims in PADDED.items()}
    for lane, case in enumerate(cases):
        size = dict(zip("TBDH", case.sizes, strict=True))
        own: dict[str, tuple[Any, ...]] = {
            dims: tuple(slice(size[dim]) for dim in dims) for dims in set(INPUTS.values())
        }
        for name, dims in INPUTS.items():
            if name not in LEAVING:
                found[name][(lane, *own[dims])] = case.inputs[name]
            elif size["T"]:
                found[LEAVING[name]][(lane, size["T"] - 1, *own[dims])] = case.inputs[name]
    upstream = {name: found[name] for name in ("dh", *LEAVING.values())}
    return weights(found), found["x"], found["h0"], found["C0"], upstream
