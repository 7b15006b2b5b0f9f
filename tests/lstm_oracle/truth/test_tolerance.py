"""The tolerance lets honest implementations pass and wrong ones fail, each by far."""

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
from manual import bptt
from manual.derivation import Edges, Step, deltas
from tests.strategies import DTYPES, UPSTREAM, drawn, without_zeros
from tests.twins import TWINS, backward, forward, named, params_of, truth_of, upstream_of

Blocks = dict[str, Array]
SIZES = 5, 3, 4, 7


def ratio(run: Case, blocks: Blocks) -> float:
    """The worst error as a multiple of what is allowed."""
    truth = truth_of(run)
    return max(
        np.max(truth.units(name, got, run.dtype), initial=0) / truth.tolerance(name) for name, got in blocks.items()
    )


def outputs(run: Case, twin: ModuleType = bptt) -> Blocks:
    tape = forward(twin, run)
    return {name: getattr(tape, name) for name in VALUES} | backward(twin, run)


def on(change: Callable[[Blocks], Blocks]) -> Callable[[Case], Blocks]:
    """An LSTM that is right but for what it makes of its input."""
    return lambda run: outputs(replace(run, inputs=run.inputs | change(run.inputs)))


def swapped(a: str, b: str) -> Callable[[Case], Blocks]:
    """An LSTM that takes gate a for gate b, and names their gradients as it takes them."""
    return on(lambda i: {f"{kind}_{to}": i[f"{kind}_{of}"] for kind in "WUb" for of, to in ((a, b), (b, a))})


def edge(n: int, wrong: Callable[[Edges, Array], Array]) -> Callable[[Case], Blocks]:
    """A backward pass that goes wrong at edge n."""

    class Wrong(dict[int, Array]):
        def __setitem__(self, m: int, δ: Array) -> None:
            super().__setitem__(m, wrong(self, δ) if m == n else δ)

    return lambda run: named(bptt.gradients(forward(bptt, run), *upstream_of(run).values(), edges=Wrong))


def after(change: Callable[[Case, Blocks], Blocks]) -> Callable[[Case], Blocks]:
    """A backward pass that is right but for what it makes of its gradients."""
    return lambda run: change(run, backward(bptt, run))


WRONG = {
    "gates i and o swapped": swapped("i", "o"),
    "gates f and i swapped": swapped("f", "i"),
    "recurrent weights transposed": on(lambda i: {f"W_{gate}": i[f"W_{gate}"].T for gate in GATES}),
    "states swapped": on(lambda i: {"h0": i["C0"], "C0": i["h0"]}),
    "h0 ignored": on(lambda i: {"h0": 0 * i["h0"]}),
    "C0 ignored": on(lambda i: {"C0": 0 * i["C0"]}),
    "bias ignored": on(lambda i: {f"b_{gate}": 0 * i[f"b_{gate}"] for gate in GATES}),
    "bias added twice": on(lambda i: {f"b_{gate}": 2 * i[f"b_{gate}"] for gate in GATES}),
    "forget bias one more": on(lambda i: {"b_f": i["b_f"] + 1}),
    "sequence reversed": on(lambda i: {"x": i["x"][::-1]}),
    "dh_T dropped": on(lambda i: {"dh_T": 0 * i["dh_T"]}),
    "dC_T dropped": on(lambda i: {"dC_T": 0 * i["dC_T"]}),
    "dh of the last step alone": on(lambda i: {"dh": np.concatenate([0 * i["dh"][:-1], i["dh"][-1:]])}),
    "cell gradient not carried": edge(11, lambda δ, right: 0 * right),
    "hidden gradient not carried": edge(25, lambda δ, right: 0 * right),
    "cell gradient not added": edge(8, lambda δ, right: δ[7]),
    "erratum 1": edge(8, lambda δ, right: δ[7] * δ[4]),
    "input edges of gate f lost": edge(23, lambda δ, right: 0 * right),
    "bias gradients averaged": after(lambda run, d: {f"db_{gate}": d[f"db_{gate}"] / run.sizes[1] for gate in GATES}),
    "weight gradients averaged": after(lambda run, d: {f"d{name}": d[f"d{name}"] / run.sizes[0] for name in WEIGHTS}),
    "bias gradients of another gate": after(lambda run, d: {"db_g": d["db_o"]}),
    "dx of another step": after(lambda run, d: {"dx": np.roll(d["dx"], 1, axis=0)}),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mistake", WRONG)
def test_a_wrong_implementation_is_far_above_the_tolerance(mistake: str, dtype: str) -> None:
    run = without_zeros(SIZES, dtype)
    assert ratio(run, WRONG[mistake](run)) > (1e9 if dtype == "float64" else 300)
    assert ratio(run, outputs(run)) < 1


def test_precision_lost_on_the_way_is_far_above_the_tolerance() -> None:
    run = without_zeros(SIZES)
    rough = Case(0, "ordinary", {name: array.astype(np.float32) for name, array in run.inputs.items()})
    found = outputs(rough)
    for name in ("h", "dW_f", "dx", "dC0"):
        assert ratio(run, {name: found[name].astype(np.float64)}) > 1e5


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
def test_an_honest_implementation_is_below_the_tolerance(twin: ModuleType, dtype: str) -> None:
    runs = [draw_case(1, number, np.dtype(dtype)) for number in range(150)]
    worst = max(runs, key=lambda run: ratio(run, outputs(run, twin)))
    assert ratio(worst, outputs(worst, twin)) < 0.8, worst


def sigmoid_by_tanh(run: Case) -> Blocks:
    """An LSTM that computes its sigmoid as (1 + tanh(z / 2)) / 2, which is off by eps however small it is."""
    inputs, steps, after = run.inputs, list[Step](), list[Edges]()
    params, h, C = params_of(run), inputs["h0"], inputs["C0"]
    for x in inputs["x"]:
        z = {k: h @ inputs[f"W_{k}"] + x @ inputs[f"U_{k}"] + inputs[f"b_{k}"] for k in GATES}
        f, i, o = ((1 + np.tanh(z[k] / 2)) / 2 for k in "fio")
        g = np.tanh(z["g"])
        C_prev, C = C, C * f + i * g
        steps.append(Step(x, h, C_prev, f, i, g, o, C, np.tanh(C), h := np.tanh(C) * o))
    dh_next, dC_next = inputs["dh_T"], inputs["dC_T"]
    for step, dh in zip(steps[::-1], inputs["dh"][::-1], strict=True):
        after.append(deltas(params, step, {1: dh, 2: dh_next, 4: dC_next}))
        dh_next, dC_next = after[-1][25], after[-1][11]
    edges = {f"δ{n}": np.stack([δ[n] for δ in after[::-1]]) for n in range(1, 27)}
    return {name: np.stack([getattr(step, name) for step in steps]) for name in VALUES} | edges | {"dx": edges["δ26"]}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("arriving", [UPSTREAM, ("dC_T",), ("dh_T",)], ids="+".join)
@pytest.mark.parametrize("shut", ["f", "o", "fio"])
def test_a_sigmoid_by_tanh_is_honest_where_gates_are_nearly_shut(
    shut: str, arriving: tuple[str, ...], dtype: str
) -> None:
    run = without_zeros((5, 2, 1, 3), dtype)
    run.inputs.update({f"b_{gate}": np.full_like(run.inputs["b_f"], -14) for gate in shut})
    run.inputs.update({name: np.zeros_like(run.inputs[name]) for name in UPSTREAM if name not in arriving})
    for name, block in sigmoid_by_tanh(run).items():
        assert np.max(truth_of(run).units(name, block, run.dtype)) <= tolerance.LEAST, name


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_wrong_early_step_shows_after_the_gradient_has_vanished(dtype: str) -> None:
    run = drawn((40, 2, 1, 3), "ordinary", dtype, 5, arriving="dC_T")
    dx = outputs(run)["dx"]
    size = np.abs(dx).max(axis=(1, 2))
    assert size[0] < 1e-7 * size[-1]
    dx[0] *= 1.5
    assert ratio(run, {"dx": dx}) > 1


def test_the_scales_of_a_backward_pass_are_proportional_to_what_arrives() -> None:
    run = without_zeros(SIZES)
    more = replace(run, inputs=run.inputs | {name: 1024 * array for name, array in upstream_of(run).items()})
    one, other = truth_of(run).scales, truth_of(more).scales
    for name in one:
        factor = 1 if name in (*VALUES, "C_T") else 1024
        np.testing.assert_allclose(other[name], factor * one[name], rtol=1e-9, err_msg=name)


def test_a_large_gradient_at_one_step_does_not_hide_an_error_at_a_later_one() -> None:
    run = without_zeros(SIZES)
    louder = run.inputs["dh"].copy()
    louder[1] *= 1e6
    one, other = truth_of(run).scales, truth_of(replace(run, inputs=run.inputs | {"dh": louder})).scales
    for n in range(1, 27):
        np.testing.assert_allclose(other[f"δ{n}"][2:], one[f"δ{n}"][2:], rtol=1e-9)
    np.testing.assert_allclose(other["dx"][2:], one["dx"][2:], rtol=1e-9)
