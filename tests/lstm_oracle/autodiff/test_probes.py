"""The edge gradients by autodiff are the slopes by complex steps on these edges."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import pytest

from lstm_oracle import autodiff
from lstm_oracle.autodiff import at_once, probes
from lstm_oracle.autodiff.lstm import full_precision, weights
from lstm_oracle.inputs.cases import REGIMES, Regime, Sizes
from lstm_oracle.run import GRADIENTS
from tests.lstm_oracle.autodiff.slopes import (
    ARRIVING,
    GATES,
    arguments,
    arriving_at,
    assert_same_slope,
    forward_arguments,
    unit,
)
from tests.strategies import drawn, without_zeros
from tests.twins import agree

T, B, D, H = SIZES = 4, 3, 2, 5


@pytest.mark.parametrize("regime", REGIMES)
def test_every_delta_is_the_slope_along_its_edge(regime: Regime) -> None:
    rng, run = np.random.default_rng(0), drawn(SIZES, regime, "float64", 0)
    deltas = autodiff.deltas(**arguments(run))
    assert [list(δ) for δ in deltas] == [list(range(1, 27))] * T
    edges = {n: np.stack([δ[n] for δ in deltas]) for n in range(1, 27)}
    assert_same_slope(run.inputs, arriving_at(run.inputs), edges, rng)
    for n, edge in edges.items():
        assert_same_slope(run.inputs, arriving_at(run.inputs), {n: edge}, rng)


def test_gradients_may_arrive_on_all_edges_that_leave_a_step() -> None:
    rng, run = np.random.default_rng(0), without_zeros(SIZES).inputs
    arriving = {name: rng.normal(size=(T, B, H)) for name in ARRIVING}
    with full_precision():
        found = probes.pull_back(weights(run), run["x"], run["h0"], run["C0"], arriving)
        values, edges, gradients = jax.tree.map(np.asarray, found)
    wanted = unit(run, {})
    assert set(values) == set(wanted)
    assert set(gradients) == set(GRADIENTS)
    assert set(edges) == set(range(1, 27))
    for name, value in values.items():
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=1e-14, strict=True)
    for name, gradient in gradients.items():
        assert_same_slope(run, arriving, {name.removeprefix("d"): gradient}, rng)
    for n, edge in edges.items():
        assert_same_slope(run, arriving, {n: edge}, rng)


def test_the_edge_gradients_add_up_to_the_gradients() -> None:
    run = without_zeros(SIZES)
    deltas, gradients = autodiff.deltas(**arguments(run)), autodiff.backward(**arguments(run))
    edge = {n: np.stack([δ[n] for δ in deltas]) for n in range(1, 27)}
    h_prev = np.stack([run.inputs["h0"], *autodiff.forward(**forward_arguments(run))[0][:-1]])
    sums = {"dx": edge[26], "dh0": edge[25][0], "dC0": edge[11][0]}
    for gate, (*_, n, _) in GATES.items():
        sums |= {f"dW_{gate}": np.einsum("tbj,tbk->jk", h_prev, edge[n]), f"db_{gate}": edge[n].sum((0, 1))}
        sums |= {f"dU_{gate}": np.einsum("tbj,tbk->jk", run.inputs["x"], edge[n])}
    for name, gradient in gradients.items():
        np.testing.assert_allclose(sums[name], gradient, rtol=0, atol=1e-13, strict=True)
    arriving: dict[int, Any] = {1: run.inputs["dh"]}
    arriving |= {2: [*edge[25][1:], run.inputs["dh_T"]], 4: [*edge[11][1:], run.inputs["dC_T"]]}
    for n, block in arriving.items():
        np.testing.assert_allclose(edge[n], block, rtol=0, atol=1e-14)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(("sizes", "dtype"), [(SIZES, "float64"), (SIZES, "float32"), ((1, 2, 3, 4), "float64")])
def test_all_steps_at_once_equal_the_steps_one_by_one(regime: Regime, sizes: Sizes, dtype: str) -> None:
    rng, run, (T, B, _, H) = np.random.default_rng(0), drawn(sizes, regime, dtype, 0).inputs, sizes
    arriving = {name: rng.normal(size=(T, B, H)).astype(dtype) for name in ARRIVING}
    given = weights(run), run["x"], run["h0"], run["C0"], arriving
    with full_precision():
        found, expected = jax.jit(at_once.pull_back)(*given), probes.pull_back(*given)
    for got, want in zip(found, expected, strict=True):
        agree(got, want)
