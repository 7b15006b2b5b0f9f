"""The reference against a truth that shares nothing with it: complex steps through a plain NumPy unit."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pytest

import reference
from reference.lstm import full_precision, weights
from reference.oracle.cases import REGIMES, Case, Regime
from reference.run import GRADIENTS, WEIGHTS, Array
from tests.reference.slopes import arguments, arriving_at, inputs_alone, same_slope, unit
from tests.strategies import DTYPES, drawn, without_zeros

SIZES = 4, 3, 2, 5


@pytest.mark.parametrize("regime", REGIMES)
def test_the_forward_pass_is_that_of_the_equations(regime: Regime) -> None:
    run = drawn(SIZES, regime, "float64", 0)
    wanted = (unit(run.inputs, {})[name] for name in "hC")
    for got, want in zip(reference.forward(**inputs_alone(run)), wanted, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14, strict=True)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_gradients_are_the_slopes_along_any_direction(regime: Regime) -> None:
    rng = np.random.default_rng(0)
    run = drawn(SIZES, regime, "float64", 0)
    gradients = {name.removeprefix("d"): gradient for name, gradient in reference.backward(**arguments(run)).items()}
    assert {f"d{name}" for name in gradients} == set(GRADIENTS)
    assert all(gradient.shape == run.inputs[name].shape for name, gradient in gradients.items())
    for _ in range(5):
        same_slope(run.inputs, arriving_at(run.inputs), gradients, rng)
        for name, gradient in gradients.items():
            same_slope(run.inputs, arriving_at(run.inputs), {name: gradient}, rng)


@pytest.mark.parametrize("dtype", DTYPES)
def test_results_have_the_dtype_of_the_input(dtype: str) -> None:
    run = without_zeros(SIZES, dtype)
    results = [*reference.forward(**inputs_alone(run)), *reference.backward(**arguments(run)).values()]
    results += [edge for δ in reference.deltas(**arguments(run)) for edge in δ.values()]
    assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert all(isinstance(result, np.ndarray) for result in results)


def test_what_is_missing_is_zero() -> None:
    run = without_zeros(SIZES)
    given = {name: run.inputs[name] for name in WEIGHTS if name[0] != "b"}
    zeros = {name: np.zeros_like(array) for name, array in run.inputs.items() if name not in (*given, "x", "dh")}
    full = arguments(Case(0, "plain", run.inputs | zeros))
    for name, gradient in reference.backward(given, run.inputs["x"], dh=run.inputs["dh"]).items():
        np.testing.assert_array_equal(gradient, reference.backward(**full)[name], strict=True)


def test_the_weights_of_a_run_are_its_weights_and_biases() -> None:
    run = without_zeros(SIZES).inputs
    assert {name: id(array) for name, array in weights(run).items()} == {name: id(run[name]) for name in WEIGHTS}


@pytest.mark.parametrize("function", [reference.forward, reference.backward, reference.deltas])
def test_runs_of_the_same_sizes_are_compiled_once(
    function: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    traced, sigmoid = [], jax.nn.sigmoid

    def noted(z: Any) -> Any:
        traced.append(z)
        return sigmoid(z)

    monkeypatch.setattr(jax.nn, "sigmoid", noted)
    for seed in range(3):
        run = drawn((2, 1, 1, 1), "ordinary", "float64", seed)
        function(**(inputs_alone if function is reference.forward else arguments)(run))
        if seed == 0:
            first = len(traced)
    assert len(traced) == first > 0


BAD: dict[str, tuple[Callable[[Array], Any], type[Exception], str]] = {
    "W_i": (lambda a: a[:, :-1], ValueError, r"W_i has shape \(5, 4\); expected \(H=5, H=5\)"),
    "U_g": (lambda a: a[0], ValueError, r"U_g has shape \(5,\); expected \(D=2, H=5\)"),
    "b_o": (lambda a: a[None], ValueError, r"b_o has shape \(1, 5\); expected \(H=5\)"),
    "W_f": (lambda a: None, ValueError, "W_f missing; a run needs W_f, "),
    "x": (lambda a: a.astype(np.int64), TypeError, "x has dtype int64; expected float32 or float64"),
    "h0": (lambda a: a[:1], ValueError, r"h0 has shape \(1, 5\); expected \(B=3, H=5\)"),
    "C0": (lambda a: a.astype(np.float32), TypeError, "C0 has dtype float32; expected float64"),
    "dh": (lambda a: a[:-1], ValueError, r"dh has shape \(3, 3, 5\); expected \(T=4, B=3, H=5\)"),
    "dh_T": (lambda a: a.astype("U8"), TypeError, "dh_T has dtype <U8; expected float64"),
    "dC_T": (lambda a: a[..., None], ValueError, r"dC_T has shape \(3, 5, 1\); expected \(B=3, H=5\)"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("function", [reference.backward, reference.deltas])
def test_bad_input_is_refused_by_name(function: Callable[..., Any], name: str) -> None:
    make, error, said = BAD[name]
    run = without_zeros(SIZES)
    bad = arguments(Case(0, "plain", run.inputs | {name: make(run.inputs[name])}))
    with pytest.raises(error, match=f"^{said}"):
        function(**bad)


def test_an_unknown_weight_is_refused_by_name() -> None:
    given = inputs_alone(without_zeros(SIZES))
    given["params"] |= {"W_c": given["params"]["W_g"]}
    with pytest.raises(TypeError, match=r"^params has W_c; expected W_f, "):
        reference.forward(**given)


def test_it_works_on_the_cpu_in_full_precision_whatever_else_there_is() -> None:
    with full_precision():
        assert jax.config.jax_enable_x64
        assert jax.config.jax_default_matmul_precision == "highest"
        assert jax.config.jax_default_device == "cpu"


def test_the_settings_of_jax_are_those_of_the_user() -> None:
    program = """
import jax, jax.numpy as jnp, numpy as np
import reference
for x64 in False, True:
    jax.config.update("jax_enable_x64", x64)
    before = dict(jax.config.values)
    for dtype in "f4", "f8":
        weights = {f"{kind}_{gate}": np.ones((1, 1), dtype) for kind in "WU" for gate in "figo"}
        x = np.ones((1, 1, 1), dtype)
        results = [*reference.forward(weights, x), *reference.backward(weights, x).values()]
        results += reference.deltas(weights, x)[0].values()
        assert {result.dtype for result in results} == {np.dtype(dtype)}
    assert dict(jax.config.values) == before
    assert jnp.ones(1).dtype == ("f8" if x64 else "f4")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
