"""The runs that the oracle draws: their shapes, the regime of their values, what arrives from above.

A case is drawn from a seed and a number alone, so that the two repeat it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from reference.run import INPUTS, Array, DType, sizes_of

Regime = Literal["ordinary", "linear", "saturated", "remembering", "large", "tiny", "plain", "recorded"]
REGIMES: tuple[Regime, ...] = get_args(Regime)[:-1]  # the last is that of a run that somebody else drew

SIZES_OF_GRADIENTS: dict[Regime, float] = {"large": 1e6, "tiny": 1e-6}

Sizes = tuple[int, int, int, int]  # T, B, D, H

# The largest sizes that are drawn together.
SHAPES: tuple[Sizes, ...] = ((5, 4, 5, 7), (18, 3, 7, 10), (70, 3, 5, 6), (4, 5, 40, 66))


@dataclass(frozen=True)
class Case:
    """One run to judge; its number, with the seed and the dtype, repeats it."""

    number: int
    regime: Regime
    inputs: dict[str, Array]

    @property
    def sizes(self) -> Sizes:
        sizes = sizes_of(self.inputs)
        return sizes["T"], sizes["B"], sizes["D"], sizes["H"]

    @property
    def dtype(self) -> DType:
        return self.inputs["x"].dtype

    def __str__(self) -> str:
        T, B, D, H = self.sizes
        return f"run {self.number} (T={T} B={B} D={D} H={H}, {self.regime}, {self.dtype})"


def draw_sizes(rng: np.random.Generator) -> Sizes:
    """T, B, D, H within one of SHAPES: different from each other, except in one of eight; any may be zero but H."""
    largest = SHAPES[rng.integers(len(SHAPES))]
    while True:
        T, B, D, H = (int(rng.integers(1, size + 1)) for size in largest)
        if len({T, B, D, H}) == 4 or rng.random() < 0.125:
            break
    zero = rng.integers(60)
    return (0 if zero == 0 else T), (0 if zero == 1 else B), (0 if zero == 2 else D), H


def draw_inputs(
    rng: np.random.Generator, sizes: Sizes, regime: Regime, dtype: DType, dropping: float = 0.125
) -> dict[str, Array]:
    """The inputs of a run.

    The values are of order one and asymmetric, h0 and C0 differ, and so do the biases; each of bias,
    states, dh, dh_T and dC_T is zero by a chance of `dropping`. The regimes:

        ordinary     pre-activations of order one
        linear       a tenth of that, where the gates are nearly linear
        saturated    biases of ±20 drive half of the gates to 0 or 1
        remembering  a forget gate near 1, so that the cell state runs through all steps
        large, tiny  upstream gradients of 1e6 and 1e-6
        plain        the source's own unit: no bias, zero states, a gradient arriving at every h alone
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
        drop = rng.random(len(groups)) < dropping
        if all(drop[3:]):  # with no gradient arriving there is nothing to judge
            drop[3:] = False
        absent = [group for group, dropped in zip(groups, drop, strict=True) if dropped]
    for group in absent:
        for name in group:
            run[name] *= 0
    if regime in SIZES_OF_GRADIENTS:
        for name in ("dh", "dh_T", "dC_T"):
            run[name] *= SIZES_OF_GRADIENTS[regime]
    return {name: array.astype(dtype) for name, array in run.items()}


def draw_case(seed: int, number: int, dtype: DType, sizes: Sizes | None = None, regime: Regime | None = None) -> Case:
    """The case of this seed and number; with other sizes or in another regime where these are given."""
    rng = np.random.default_rng([seed, number])
    own_sizes, own_regime = draw_sizes(rng), REGIMES[number % len(REGIMES)]
    regime = regime or own_regime
    return Case(number, regime, draw_inputs(rng, sizes or own_sizes, regime, dtype))
