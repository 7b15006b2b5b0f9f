"""The runs that the oracle draws: their sizes, the regime of their values, their upstream gradients.

A seed and a number, with the dtype, determine a case and reproduce it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from lstm_oracle.run import INPUTS, Array, DType, sizes_of

Regime = Literal["ordinary", "linear", "saturated", "remembering", "large", "tiny", "plain", "recorded"]
REGIMES: tuple[Regime, ...] = get_args(Regime)[:-1]  # "recorded" marks a run that was not drawn

GRADIENT_MAGNITUDES: dict[Regime, float] = {"large": 1e6, "tiny": 1e-6}

Sizes = tuple[int, int, int, int]  # T, B, D, H

# The sizes of a draw are at most those of one of these tuples, chosen at random.
LARGEST_SIZES: tuple[Sizes, ...] = ((5, 4, 5, 7), (18, 3, 7, 10), (70, 3, 5, 6), (4, 5, 40, 66))


@dataclass(frozen=True)
class RunId:
    """The identity of a run, without its arrays."""

    number: int
    regime: Regime
    sizes: Sizes
    dtype: str

    @property
    def size_key(self) -> tuple[bool, int, int]:
        """The sort key of runs by size, with empty runs last, because they reveal little."""
        return 0 in self.sizes, math.prod(self.sizes), sum(self.sizes)

    def __str__(self) -> str:
        return f"run {self.number} ({sizes_text(self.sizes)}, {self.regime}, {self.dtype})"


@dataclass(frozen=True)
class Case:
    """One run to judge. If it was drawn, its number reproduces it, with the seed and the dtype."""

    number: int
    regime: Regime
    inputs: dict[str, Array]

    @property
    def sizes(self) -> Sizes:
        """T, B, D and H."""
        sizes = sizes_of(self.inputs)
        return sizes["T"], sizes["B"], sizes["D"], sizes["H"]

    @property
    def dtype(self) -> DType:
        """The dtype of all inputs."""
        return self.inputs["x"].dtype

    @property
    def id(self) -> RunId:
        """The identity of this run, without its arrays."""
        return RunId(self.number, self.regime, self.sizes, self.dtype.name)

    def __str__(self) -> str:
        return str(self.id)


def sizes_text(sizes: Sizes) -> str:
    """Return sizes as text, such as "T=4 B=2 D=3 H=5"."""
    return " ".join(f"{dim}={size}" for dim, size in zip("TBDH", sizes, strict=True))


def draw_sizes(rng: np.random.Generator) -> Sizes:
    """Draw T, B, D and H within one of LARGEST_SIZES.

    All four differ, except in about one draw in eight. T, B or D is zero in about one draw in twenty.
    """
    largest = LARGEST_SIZES[rng.integers(len(LARGEST_SIZES))]
    while True:
        T, B, D, H = (int(rng.integers(1, size + 1)) for size in largest)
        if len({T, B, D, H}) == 4 or rng.random() < 0.125:
            break
    zero = rng.integers(60)
    return (0 if zero == 0 else T), (0 if zero == 1 else B), (0 if zero == 2 else D), H


def draw_inputs(
    rng: np.random.Generator, sizes: Sizes, regime: Regime, dtype: DType, zero_probability: float = 0.125
) -> dict[str, Array]:
    """Draw the inputs of a run.

    The values are of order one. The bias of all gates, h0, C0, dh, dh_T and dC_T are each entirely zero with the
    probability `zero_probability`, but never all three upstream gradients. The regimes:

        ordinary     pre-activations of order one
        linear       pre-activations of order 0.1, where the gates are nearly linear
        saturated    biases of ±20 saturate half of the gates
        remembering  forget gates near 1, so that the cell state persists over all steps
        large, tiny  upstream gradients of order 1e6 and 1e-6
        plain        the source's unit: no bias, zero initial states, and dh as the only upstream gradient
    """
    T, B, D, H = sizes
    by_dim = {"T": T, "B": B, "D": D, "H": H}
    run = {name: rng.standard_normal([by_dim[dim] for dim in dims]) for name, dims in INPUTS.items()}
    gain = 0.1 if regime == "linear" else 1.5
    spread = gain / math.sqrt(H + D)
    for name in run:
        if name[:2] in ("W_", "U_"):
            run[name] *= spread
        elif regime == "saturated" and name[:2] == "b_":
            run[name] += rng.choice([-20, 0, 0, 20], size=H)
        elif regime == "linear" and name in ("b_g", "h0", "C0"):
            run[name] *= gain
    if regime == "remembering":
        run["b_f"] += 6
    groups = [["b_f", "b_i", "b_g", "b_o"], ["h0"], ["C0"], ["dh"], ["dh_T"], ["dC_T"]]
    if regime == "plain":
        absent = [group for group in groups if group != ["dh"]]
    else:
        is_absent = rng.random(len(groups)) < zero_probability
        if all(is_absent[3:]):  # without any upstream gradient there would be no gradient to judge
            is_absent[3:] = False
        absent = [group for group, chosen in zip(groups, is_absent, strict=True) if chosen]
    for group in absent:
        for name in group:
            run[name] *= 0
    if regime in GRADIENT_MAGNITUDES:
        for name in ("dh", "dh_T", "dC_T"):
            run[name] *= GRADIENT_MAGNITUDES[regime]
    return {name: array.astype(dtype) for name, array in run.items()}


def draw_case(seed: int, number: int, dtype: DType, sizes: Sizes | None = None, regime: Regime | None = None) -> Case:
    """Draw the case of a seed and a number; `sizes` and `regime`, if given, replace those that would be drawn."""
    rng = np.random.default_rng([seed, number])
    own_sizes, own_regime = draw_sizes(rng), REGIMES[number % len(REGIMES)]
    regime = regime or own_regime
    return Case(number, regime, draw_inputs(rng, sizes or own_sizes, regime, dtype))
