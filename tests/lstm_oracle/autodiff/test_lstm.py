"""Autodiff agrees with complex steps through a plain NumPy unit, with which it shares nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

from lstm_oracle import autodiff
from lstm_oracle.autodiff.lstm import full_precision
from lstm_oracle.inputs.cases import REGIMES, Case, Regime
from lstm_oracle.run import GRADIENTS, WEIGHTS
from tests.lstm_oracle.autodiff.slopes import arguments, arriving_at, assert_same_slope, forward_arguments, unit
from tests.strategies import drawn, without_zeros

SIZES = 4, 3, 2, 5


@pytest.mark.parametrize("regime", REGIMES)
def test_the_forward_pass_is_that_of_the_equations(regime: Regime) -> None:
    run = drawn(SIZES, regime, "float64", 0)
    wanted = (unit(run.inputs, {})[name] for name in "hC")
    for got, want in zip(autodiff.forward(**forward_arguments(run)), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14, strict=True)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_gradients_are_the_slopes_along_random_directions(regime: Regime) -> None:
    rng = np.random.default_rng(0)
    run = drawn(SIZES, regime, "float64", 0)
    gradients = {name.removeprefix("d"): gradient for name, gradient in autodiff.backward(**arguments(run)).items()}
    assert {f"d{name}" for name in gradients} == set(GRADIENTS)
    assert all(gradient.shape == run.inputs[name].shape for name, gradient in gradients.items())
    for _ in range(5):
        assert_same_slope(run.inputs, arriving_at(run.inputs), gradients, rng)
        for name, gradient in gradients.items():
            assert_same_slope(run.inputs, arriving_at(run.inputs), {name: gradient}, rng)


def test_a_missing_argument_is_zero() -> None:
    run = without_zeros(SIZES)
    given = {name: run.inputs[name] for name in WEIGHTS if name[0] != "b"}
    zeros = {name: np.zeros_like(array) for name, array in run.inputs.items() if name not in (*given, "x", "dh")}
    full = arguments(Case(0, "plain", run.inputs | zeros))
    for name, gradient in autodiff.backward(given, run.inputs["x"], dh=run.inputs["dh"]).items():
        np.testing.assert_array_equal(gradient, autodiff.backward(**full)[name], strict=True)


@pytest.mark.parametrize("function", [autodiff.forward, autodiff.backward, autodiff.deltas])
def test_a_faulty_argument_is_rejected_by_name(function: Callable[..., Any]) -> None:
    run = without_zeros(SIZES)
    given = forward_arguments(run) if function is autodiff.forward else arguments(run)
    for faulty, error, message in (
        ({"x": given["x"].astype(int)}, TypeError, "x has dtype int64; expected float32 or float64"),
        ({"params": given["params"] | {"W_c": 1}}, TypeError, "params has W_c; expected only W_f, "),
        *(({name: given[name][..., 1:]}, ValueError, f"{name} has shape .*; expected ") for name in list(given)[1:]),
    ):
        with pytest.raises(error, match=f"^{message}"):
            function(**given | faulty)


def test_full_precision_is_float64_with_full_products_on_the_cpu() -> None:
    with full_precision():
        assert jax.config.jax_enable_x64
        assert jax.config.jax_default_matmul_precision == "highest"
        assert jax.config.jax_default_device == "cpu"


def test_results_have_the_dtype_of_the_input_and_the_configuration_of_jax_is_unchanged() -> None:
    program = """
import jax, jax.numpy as jnp, numpy as np
from lstm_oracle import autodiff
for x64 in False, True:
    jax.config.update("jax_enable_x64", x64)
    before = dict(jax.config.values)
    for dtype in "f4", "f8":
        weights = {f"{kind}_{gate}": np.ones((1, 1), dtype) for kind in "WU" for gate in "figo"}
        x = np.ones((1, 1, 1), dtype)
        results = [*autodiff.forward(weights, x), *autodiff.backward(weights, x).values()]
        results += autodiff.deltas(weights, x)[0].values()
        assert {result.dtype for result in results} == {np.dtype(dtype)}
        assert {type(result) for result in results} == {np.ndarray}
    assert dict(jax.config.values) == before
    assert jnp.ones(1).dtype == ("f8" if x64 else "f4")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
