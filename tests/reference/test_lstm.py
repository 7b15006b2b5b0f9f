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
from reference.lstm import full_precision
from reference.oracle.cases import REGIMES, Case, Regime
from reference.run import GRADIENTS, WEIGHTS, Array
from tests.strategies import DTYPES, drawn, without_zeros

T, B, D, H = SIZES = 4, 3, 2, 5
STEP = 1e-30  # nothing of the second order is left of it, and nothing cancels
GATES_SUMS = {"f": 16, "i": 15, "g": 14, "o": 13}


def unit(run: dict[str, Array]) -> tuple[Array, Array]:
    """h and C of every step from the equations, complex if an input is; a bias may differ by step and row."""
    bias = {gate: np.broadcast_to(run[f"b_{gate}"], (len(run["x"]), *run["h0"].shape)) for gate in "figo"}
    h, C, steps = run["h0"], run["C0"], []
    for t, x in enumerate(run["x"]):
        z = {gate: h @ run[f"W_{gate}"] + x @ run[f"U_{gate}"] + bias[gate][t] for gate in "figo"}
        f, i, o = (1 / (1 + np.exp(-z[gate])) for gate in "fio")
        C = C * f + i * np.tanh(z["g"])
        h = np.tanh(C) * o
        steps.append((h, C))
    return np.array([h for h, _ in steps]), np.array([C for _, C in steps])


def slope(run: dict[str, Array], along: dict[str, Array]) -> float:
    """The derivative of the loss along a direction in the inputs, exact to rounding."""
    h, C = unit(run | {name: run[name] + 1j * STEP * direction for name, direction in along.items()})
    loss = np.sum(run["dh"] * h) + np.sum(run["dh_T"] * h[-1]) + np.sum(run["dC_T"] * C[-1])
    return float(np.imag(loss)) / STEP


def same_slope(run: dict[str, Array], gradients: dict[str, Array], rng: np.random.Generator) -> None:
    """Hold gradients by the name of their input against the slope along a random direction."""
    along = {name: rng.normal(size=gradient.shape) for name, gradient in gradients.items()}
    terms = np.concatenate([np.ravel(gradients[name] * direction) for name, direction in along.items()])
    arriving = max(np.max(np.abs(run[name])) for name in ("dh", "dh_T", "dC_T"))
    lost = 1e-16 * arriving * sum(np.sum(np.abs(direction)) for direction in along.values())  # in a saturated 1 - y
    assert abs(np.sum(terms) - slope(run, along)) <= 1e-13 * np.sum(np.abs(terms)) + lost, list(gradients)


def arguments(run: Case) -> dict[str, Any]:
    """A run as the reference takes it."""
    named = {name: array for name, array in run.inputs.items() if name not in WEIGHTS}
    return {"params": {name: run.inputs[name] for name in WEIGHTS}} | named


def inputs_alone(run: Case) -> dict[str, Any]:
    return {name: given for name, given in arguments(run).items() if not name.startswith("d")}


@pytest.mark.parametrize("regime", REGIMES)
def test_the_forward_pass_is_that_of_the_equations(regime: Regime) -> None:
    run = drawn(SIZES, regime, "float64", 0)
    for got, want in zip(reference.forward(**inputs_alone(run)), unit(run.inputs), strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-14, strict=True)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_gradients_are_the_slopes_along_any_direction(regime: Regime) -> None:
    rng = np.random.default_rng(0)
    run = drawn(SIZES, regime, "float64", 0)
    gradients = {name.removeprefix("d"): gradient for name, gradient in reference.backward(**arguments(run)).items()}
    assert {f"d{name}" for name in gradients} == set(GRADIENTS)
    assert all(gradient.shape == run.inputs[name].shape for name, gradient in gradients.items())
    for _ in range(5):
        same_slope(run.inputs, gradients, rng)
        for name, gradient in gradients.items():
            same_slope(run.inputs, {name: gradient}, rng)


@pytest.mark.parametrize("regime", REGIMES)
def test_the_edges_are_the_slopes_where_the_equations_can_be_nudged(regime: Regime) -> None:
    rng = np.random.default_rng(0)
    run = drawn(SIZES, regime, "float64", 0).inputs
    deltas = reference.deltas(**arguments(drawn(SIZES, regime, "float64", 0)))
    assert [list(δ) for δ in deltas] == [list(range(1, 27))] * T
    edge = {n: np.stack([δ[n] for δ in deltas]) for n in range(1, 27)}
    by_step = run | {f"b_{gate}": np.tile(run[f"b_{gate}"], (T, B, 1)) for gate in "figo"}
    same_slope(run, {"x": edge[26]}, rng)
    for gate, n in GATES_SUMS.items():
        same_slope(by_step, {f"b_{gate}": edge[n]}, rng)
    h, C = unit(run)
    for t in range(T):
        before = {"h0": h[t - 1], "C0": C[t - 1]} if t else {}
        rest = run | {"x": run["x"][t:], "dh": run["dh"][t:]} | before
        same_slope(rest, {"h0": edge[25][t], "C0": edge[11][t]}, rng)


def test_the_edges_and_the_gradients_say_the_same() -> None:
    run = without_zeros(SIZES)
    deltas, gradients = reference.deltas(**arguments(run)), reference.backward(**arguments(run))
    edge = {n: np.stack([δ[n] for δ in deltas]) for n in range(1, 27)}
    h_prev = np.stack([run.inputs["h0"], *reference.forward(**inputs_alone(run))[0][:-1]])
    same = {"dx": edge[26], "dh0": edge[25][0], "dC0": edge[11][0]}
    for gate, n in GATES_SUMS.items():
        same |= {f"dW_{gate}": np.einsum("tbj,tbk->jk", h_prev, edge[n]), f"db_{gate}": edge[n].sum((0, 1))}
        same |= {f"dU_{gate}": np.einsum("tbj,tbk->jk", run.inputs["x"], edge[n])}
    for name, gradient in gradients.items():
        np.testing.assert_allclose(same[name], gradient, rtol=0, atol=1e-13, strict=True)
    arriving = {1: run.inputs["dh"], 2: [*edge[25][1:], run.inputs["dh_T"]], 4: [*edge[11][1:], run.inputs["dC_T"]]}
    for n, block in arriving.items():
        np.testing.assert_allclose(edge[n], block, rtol=0, atol=1e-14)


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
        assert jax.config.jax_default_device == jax.local_devices(backend="cpu")[0]


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
