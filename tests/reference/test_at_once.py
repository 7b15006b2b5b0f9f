"""All steps at once say what the steps say one after the other."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from reference import at_once, probes
from reference.lstm import full_precision, weights
from reference.oracle.cases import REGIMES, Regime, Sizes
from tests.reference.slopes import ARRIVING
from tests.strategies import drawn
from tests.twins import agree

COMPILED: list[tuple[Sizes, str]] = [((4, 3, 2, 5), "float64"), ((4, 3, 2, 5), "float32"), ((1, 2, 3, 4), "float64")]


def both(sizes: Sizes, regime: Regime, dtype: str) -> tuple[Any, Any]:
    """What either says of a run with a loss on every way out of every step: values, edges, gradients."""
    rng, run, (T, B, _, H) = np.random.default_rng(0), drawn(sizes, regime, dtype, 0).inputs, sizes
    arriving = {name: rng.normal(size=(T, B, H)).astype(dtype) for name in ARRIVING}
    given = weights(run), run["x"], run["h0"], run["C0"], arriving
    with full_precision():
        return jax.jit(at_once.pull_back)(*given), probes.pull_back(*given)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(("sizes", "dtype"), COMPILED)
def test_all_steps_at_once_say_what_the_steps_say(regime: Regime, sizes: Sizes, dtype: str) -> None:
    for got, want in zip(*both(sizes, regime, dtype), strict=True):
        agree(got, want)
