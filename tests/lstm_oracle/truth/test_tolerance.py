"""Correct implementations stay within the tolerance, and incorrect ones exceed it by far."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case, draw_case
from lstm_oracle.run import GATES, WEIGHTS, Array
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import VALUES
from lstm_oracle.verify.twins import gradients as named
from manual import bptt
from manual.derivation import Edges, Step, deltas
from tests.strategies import DTYPES, UPSTREAM, drawn, without_zeros
from tests.twins import TWINS, backward, forward, params_of, truth_of, upstream_of

Blocks = dict[str, Array]
SIZES = 5, 3, 4, 7


def ratio(run: Case, blocks: Blocks) -> float:
    """Return the worst error relative to the tolerance."""
    truth = truth_of(run)
    return max(
        np.max(truth.units(name, got, run.dtype), initial=0) / truth.tolerance(name) for name, got in blocks.items()
    )


def outputs(run: Case, twin: ModuleType = bptt) -> Blocks:
    tape = forward(twin, run)
    return {name: getattr(tape, name) for name in VALUES} | backward(twin, run)


def with_inputs(change: Callable[[Blocks], Blocks]) -> Callable[[Case], Blocks]:
    """Return an LSTM that is correct except for a change to its inputs."""
    return lambda run: outputs(replace(run, inputs=run.inputs | change(run.inputs)))


def swapped(a: str, b: str) -> Callable[[Case], Blocks]:
    """Return an LSTM that uses the weights of two gates for one another, and so names their gradients."""
    return with_inputs(lambda i: {f"{kind}_{to}": i[f"{kind}_{of}"] for kind in "WUb" for of, to in ((a, b), (b, a))})


def edge(n: int, wrong: Callable[[Edges, Array], Array]) -> Callable[[Case], Blocks]:
    """Return a backward pass that replaces the gradient on edge n by `wrong` of the edges and the correct gradient."""

    class Wrong(dict[int, Array]):
        def __setitem__(self, m: int, δ: Array) -> None:
            super().__setitem__(m, wrong(self, δ) if m == n else δ)

    return lambda run: named(bptt.gradients(forward(bptt, run), *upstream_of(run).values(), edges=Wrong))


def with_gradients(change: Callable[[Case, Blocks], Blocks]) -> Callable[[Case], Blocks]:
    """Return a backward pass that is correct except for a change to its gradients."""
    return lambda run: change(run, backward(bptt, run))


WRONG = {
    "gates i and o swapped": swapped("i", "o"),
    "gates f and i swapped": swapped("f", "i"),
    "recurrent weights transposed": with_inputs(lambda i: {f"W_{gate}": i[f"W_{gate}"].T for gate in GATES}),
    "states swapped": with_inputs(lambda i: {"h0": i["C0"], "C0": i["h0"]}),
    "h0 ignored": with_inputs(lambda i: {"h0": 0 * i["h0"]}),
    "C0 ignored": with_inputs(lambda i: {"C0": 0 * i["C0"]}),
    "bias ignored": with_inputs(lambda i: {f"b_{gate}": 0 * i[f"b_{gate}"] for gate in GATES}),
    "bias added twice": with_inputs(lambda i: {f"b_{gate}": 2 * i[f"b_{gate}"] for gate in GATES}),
    "forget bias increased by 1": with_inputs(lambda i: {"b_f": i["b_f"] + 1}),
    "sequence reversed": with_inputs(lambda i: {"x": i["x"][::-1]}),
    "dh_T dropped": with_inputs(lambda i: {"dh_T": 0 * i["dh_T"]}),
    "dC_T dropped": with_inputs(lambda i: {"dC_T": 0 * i["dC_T"]}),
    "only dh of the last step": with_inputs(lambda i: {"dh": np.concatenate([0 * i["dh"][:-1], i["dh"][-1:]])}),
    "cell gradient not carried": edge(11, lambda δ, correct: 0 * correct),
    "hidden gradient not carried": edge(25, lambda δ, correct: 0 * correct),
    "cell gradient not added": edge(8, lambda δ, correct: δ[7]),
    "erratum 1": edge(8, lambda δ, correct: δ[7] * δ[4]),
    "input edge of gate f lost": edge(23, lambda δ, correct: 0 * correct),
    "bias gradients averaged": with_gradients(
        lambda run, d: {f"db_{gate}": d[f"db_{gate}"] / run.sizes[1] for gate in GATES}
    ),
    "weight gradients averaged": with_gradients(
        lambda run, d: {f"d{name}": d[f"d{name}"] / run.sizes[0] for name in WEIGHTS}
    ),
    "bias gradients of another gate": with_gradients(lambda run, d: {"db_g": d["db_o"]}),
    "dx of another step": with_gradients(lambda run, d: {"dx": np.roll(d["dx"], 1, axis=0)}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mistake", WRONG)
def test_an_incorrect_implementation_is_far_above_the_tolerance(mistake: str, dtype: str) -> None:
    run = without_zeros(SIZES, dtype)
    assert ratio(run, WRONG[mistake](run)) > (1e9 if dtype == "float64" else 300)
    assert ratio(run, outputs(run)) < 1


def test_intermediate_float32_is_far_above_the_tolerance() -> None:
    run = without_zeros(SIZES)
    rough = Case(0, "ordinary", {name: array.astype(np.float32) for name, array in run.inputs.items()})
    found = outputs(rough)
    for name in ("h", "dW_f", "dx", "dC0"):
        assert ratio(run, {name: found[name].astype(np.float64)}) > 1e5


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_twins_are_below_the_tolerance(twin: ModuleType, dtype: str) -> None:
    runs = [draw_case(1, number, np.dtype(dtype)) for number in range(150)]
    worst = max(runs, key=lambda run: ratio(run, outputs(run, twin)))
    assert ratio(worst, outputs(worst, twin)) < 0.8, worst


def sigmoid_by_tanh(run: Case) -> Blocks:
    """Return the blocks of an LSTM whose sigmoid is (1 + tanh(z / 2)) / 2, which has an error of eps near zero too."""
    inputs, steps, edges_after = run.inputs, list[Step](), list[Edges]()
    params, h, C = params_of(run), inputs["h0"], inputs["C0"]
    for x in inputs["x"]:
        z = {k: h @ inputs[f"W_{k}"] + x @ inputs[f"U_{k}"] + inputs[f"b_{k}"] for k in GATES}
        f, i, o = ((1 + np.tanh(z[k] / 2)) / 2 for k in "fio")
        g = np.tanh(z["g"])
        C_prev, C = C, C * f + i * g
        steps.append(Step(x, h, C_prev, f, i, g, o, C, np.tanh(C), h := np.tanh(C) * o))
    dh_next, dC_next = inputs["dh_T"], inputs["dC_T"]
    for step, dh in zip(steps[::-1], inputs["dh"][::-1], strict=True):
        edges_after.append(deltas(params, step, {1: dh, 2: dh_next, 4: dC_next}))
        dh_next, dC_next = edges_after[-1][25], edges_after[-1][11]
    edges = {f"δ{n}": np.stack([δ[n] for δ in edges_after[::-1]]) for n in range(1, 27)}
    return {name: np.stack([getattr(step, name) for step in steps]) for name in VALUES} | edges | {"dx": edges["δ26"]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("arriving", [UPSTREAM, ("dC_T",), ("dh_T",)], ids="+".join)
@pytest.mark.parametrize("closed", ["f", "o", "fio"])
def test_a_sigmoid_by_tanh_is_within_the_tolerance_where_gates_are_nearly_closed(
    closed: str, arriving: tuple[str, ...], dtype: str
) -> None:
    run = without_zeros((5, 2, 1, 3), dtype)
    run.inputs.update({f"b_{gate}": np.full_like(run.inputs["b_f"], -14) for gate in closed})
    run.inputs.update({name: np.zeros_like(run.inputs[name]) for name in UPSTREAM if name not in arriving})
    for name, block in sigmoid_by_tanh(run).items():
        assert np.max(truth_of(run).units(name, block, run.dtype)) <= tolerance.LEAST, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_error_at_an_early_step_is_found_where_the_gradient_has_vanished(dtype: str) -> None:
    run = drawn((40, 2, 1, 3), "ordinary", dtype, 5, arriving="dC_T")
    dx = outputs(run)["dx"]
    size = np.abs(dx).max(axis=(1, 2))
    assert size[0] < 1e-7 * size[-1]
    dx[0] *= 1.5
    assert ratio(run, {"dx": dx}) > 1


def test_the_scales_of_gradients_are_proportional_to_the_upstream_gradients() -> None:
    run = without_zeros(SIZES)
    more = replace(run, inputs=run.inputs | {name: 1024 * array for name, array in upstream_of(run).items()})
    one, other = truth_of(run).scales, truth_of(more).scales
    for name in one:
        factor = 1 if name in (*VALUES, "C_T") else 1024
        np.testing.assert_allclose(other[name], factor * one[name], rtol=1e-9, err_msg=name)


def test_a_large_gradient_at_one_step_does_not_hide_an_error_at_a_later_one() -> None:
    run = without_zeros(SIZES)
    larger = run.inputs["dh"].copy()
    larger[1] *= 1e6
    one, other = truth_of(run).scales, truth_of(replace(run, inputs=run.inputs | {"dh": larger})).scales
    for n in range(1, 27):
        np.testing.assert_allclose(other[f"δ{n}"][2:], one[f"δ{n}"][2:], rtol=1e-9)
    np.testing.assert_allclose(other["dx"][2:], one["dx"][2:], rtol=1e-9)
