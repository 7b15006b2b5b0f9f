"""Hypothesis strategies for runs of an LSTM, of all sizes and regimes, in both dtypes.

A failing example is shown as the call that creates it: `run=drawn((1, 2, 3, 4), 'ordinary', 'float64', 0)`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from lstm_oracle.inputs.cases import LARGEST_SIZES, REGIMES, Case, Regime, Sizes, draw_inputs

DTYPES = ("float64", "float32")
UPSTREAM = ("dh", "dh_T", "dC_T")
DEEP_SIZES: Sizes = (130, 9, 48, 80)  # the largest sizes of a deep run; JAX has to compile each


def drawn(sizes: Sizes, regime: Regime, dtype: str, seed: int, arriving: str = "all") -> Case:
    """Return the run of these arguments; `arriving` is "all" or the only upstream gradient that is not zero."""
    rng = np.random.default_rng(seed)
    inputs = draw_inputs(rng, sizes, regime, np.dtype(dtype))
    if arriving in UPSTREAM and regime != "plain":  # in which dh is the only upstream gradient by definition
        only = inputs[arriving]
        inputs |= {name: np.zeros_like(inputs[name]) for name in UPSTREAM}
        inputs[arriving] = only if only.any() else rng.normal(size=only.shape).astype(dtype)
    return Case(seed, regime, inputs)


def without_zeros(sizes: Sizes, dtype: str = "float64") -> Case:
    """Return an ordinary run, the same each time, without a zero in any input that could hide a mistake."""
    candidates = (drawn(sizes, "ordinary", dtype, seed) for seed in range(100))
    return next(run for run in candidates if all(array.all() for array in run.inputs.values()))


def range_of(sizes: Sizes) -> Sizes:
    """Return the smallest of LARGEST_SIZES that holds these sizes."""
    return min(
        (s for s in LARGEST_SIZES if all(size <= most for size, most in zip(sizes, s, strict=True))), key=math.prod
    )


@st.composite
def sizes(draw: st.DrawFn) -> Sizes:
    """Draw T, B, D and H, usually all different, and sometimes with T, B or D zero."""
    deep = [DEEP_SIZES] if settings.get_current_profile_name() == "deep" else []
    alike = draw(st.sampled_from([False] * 7 + [True]))
    found: list[int] = []
    for most in draw(st.sampled_from([*LARGEST_SIZES * 12, *deep])):
        found.append(draw(st.sampled_from([n for n in range(1, most + 1) if alike or n not in found])))
    zero = draw(st.sampled_from([None] * 13 + [0, 1, 2]))
    if zero is not None:
        found[zero] = 0
    T, B, D, H = found
    return T, B, D, H


def runs(**fixed: Any) -> st.SearchStrategy[Case]:
    """Draw runs; arguments of `drawn` may be given as strategies, as in `runs(dtype=st.just("float64"))`."""
    arguments: dict[str, st.SearchStrategy[Any]] = {
        "sizes": sizes(),
        "regime": st.sampled_from(REGIMES),
        "dtype": st.sampled_from(DTYPES),
        "seed": st.integers(0, 99_999),
        "arriving": st.sampled_from(["all", "all", "all", *UPSTREAM]),
    }
    return st.builds(drawn, **arguments | fixed)
