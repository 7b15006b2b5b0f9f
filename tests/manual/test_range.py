"""Finite inputs have finite results, unless the exact value is out of the range of the dtype; there is no warning."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manual
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import INPUTS, Array
from lstm_oracle.verify.twins import gradients as named
from manual import Params, Tape, bptt, fused
from tests.strategies import without_zeros
from tests.twins import TWINS, backward, forward, params_of, upstream_of

T, B, D, H = 4, 3, 2, 5

# Intermediate values beyond the range of float64 need a wider dtype.
LONG_DOUBLE = pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16384, reason="long double is no wider than float64")
WIDENED = pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=LONG_DOUBLE)])
ROWS = pytest.mark.parametrize("rows", [1, B])


pytestmark = pytest.mark.usefixtures("floating_point_errors_raise")


MAGNITUDES = {
    "zero": lambda of: 0,
    "subnormal": lambda of: of.smallest_subnormal,
    "tiny": lambda of: of.tiny,
    "one": lambda of: 1,
    "20": lambda of: 20,
    "1000": lambda of: 1000,
    "root": lambda of: np.sqrt(of.max),
    "half": lambda of: of.max / 2,
    "max": lambda of: of.max,
}


def extreme(dtype: str, seed: int, magnitudes: dict[str, str], rows: int) -> Case:
    """Return a run with one magnitude in each array, and either one sign or random signs."""
    rng = np.random.default_rng(seed)
    run = without_zeros((T, rows, D, H), dtype)
    for name, magnitude in magnitudes.items():
        size = MAGNITUDES[magnitude](np.finfo(dtype))
        signs = rng.choice([[1, 1], [-1, -1], [-1, 1]][rng.integers(3)], run.inputs[name].shape)
        run.inputs[name] = (size * signs).astype(dtype)
    return run


def extremes(dtype: str) -> st.SearchStrategy[Case]:
    magnitudes = st.fixed_dictionaries(dict.fromkeys(INPUTS, st.sampled_from(list(MAGNITUDES))))
    return st.builds(extreme, st.just(dtype), st.integers(0, 999), magnitudes, st.sampled_from([B, 1]))


@TWINS
@WIDENED
@given(data=st.data())
def test_no_finite_input_takes_the_forward_pass_out_of_range(twin: ModuleType, dtype: str, data: st.DataObject) -> None:
    tape = forward(twin, data.draw(extremes(dtype)))
    for gate in (tape.f, tape.i, tape.o):
        assert np.all((gate >= 0) & (gate <= 1))
    for value in (tape.g, tape.tanh_C, tape.h):
        assert np.all(np.abs(value) <= 1)
    assert np.all(np.isfinite(tape.C))


@TWINS
@WIDENED
@given(data=st.data())
def test_no_finite_input_makes_a_gradient_nan(twin: ModuleType, dtype: str, data: st.DataObject) -> None:
    run = data.draw(extremes(dtype))
    assert not [name for name, block in backward(twin, run).items() if np.isnan(block).any()]
    deltas = manual.deltas(forward(twin, run), **upstream_of(run))
    assert not [(t, n) for t, δ in enumerate(deltas) for n, edge in δ.items() if np.isnan(edge).any()]


@TWINS
@given(run=extremes("float32"))
def test_a_gradient_is_infinite_only_where_its_value_is_out_of_range(twin: ModuleType, run: Case) -> None:
    tape, upstream = forward(twin, run), upstream_of(run)
    wide = {name: array.astype(np.float64) for name, array in vars(tape).items() if name != "params"}
    weights = {name: array.astype(np.float64) for name, array in vars(tape.params).items()}
    in_64 = twin.backward(
        Tape(Params(**weights), **wide), **{name: array.astype(np.float64) for name, array in upstream.items()}
    )
    for name, block in named(twin.backward(tape, **upstream)).items():
        assert np.all(np.abs(named(in_64)[name][np.isinf(block)]) > 0.999 * np.finfo(np.float32).max), name


@TWINS
@WIDENED
@ROWS
def test_a_gradient_may_have_intermediate_values_out_of_range(twin: ModuleType, rows: int, dtype: str) -> None:
    """The upstream gradients have a sum out of range, but the output gates that it passes are nearly closed."""
    run = without_zeros((T, rows, D, H), dtype)
    run.inputs["b_o"][:] = -6
    run.inputs["dh"] = np.copysign(0.9 * np.finfo(dtype).max, run.inputs["dh"]).astype(dtype)
    run.inputs["dh_T"] = run.inputs["dh"][-1]
    tape, upstream = forward(twin, run), upstream_of(run)
    small = {name: array / 2**20 for name, array in upstream.items()}

    gradients = twin.backward(tape, **upstream)
    assert type(gradients.params) is type(twin.backward(tape, **small).params)
    found, wanted = named(gradients), named(twin.backward(tape, **small))
    for name, block in found.items():
        assert block.dtype == dtype
        assert np.isfinite(block).all(), name
        np.testing.assert_allclose(block, 2**20 * wanted[name], rtol=1e-4, err_msg=name)
    for δ, small_δ in zip(manual.deltas(tape, **upstream), manual.deltas(tape, **small), strict=True):
        for n, edge in δ.items():
            with np.errstate(over="ignore"):
                np.testing.assert_allclose(edge, 2**20 * small_δ[n], rtol=1e-4, err_msg=f"δ{n}", strict=True)


@WIDENED
@ROWS
@pytest.mark.parametrize("units", [4, 42])
@pytest.mark.parametrize("gates", [*"figo", "figo"])
@pytest.mark.parametrize("source", ["x", "-x", "h0", "h"])
def test_gates_saturate_by_the_sign_of_the_sum(source: str, gates: str, units: int, rows: int, dtype: str) -> None:
    """The first terms have a sum out of range, and the last ones decide: a sum in `dtype` might be infinite, or NaN.

    The terms come from x, from an x that is negative and not contiguous, from h0, or from a later h, which is nearly 1.
    """

    def run(twin: ModuleType, size: float, **checkpoint: int) -> list[Array]:
        p = Params(*(np.zeros((units, 4 * units), dtype) for _ in range(2)), np.full(4 * units, 5, dtype))
        x, h0, C0 = np.ones((3, rows, units), dtype), np.zeros((rows, units), dtype), np.full((rows, units), 2, dtype)
        terms = np.empty((units, 1), dtype)
        terms[: units // 2], terms[units // 2 :] = (1.5 * size, -1.9 * size) if source == "h" else (1e3, -1e4)
        if source == "-x":
            size, terms, x = -size, -terms, np.asfortranarray(x)
        for gate in gates:
            getattr(p, f"{'U' if 'x' in source else 'W'}_{gate}")[:] = terms
        if source != "h":
            (x if "x" in source else h0)[:] = size
        tape, states = twin.forward(p, x, h0, C0, **checkpoint), fused.infer(p, x, h0, C0)
        assert tape.params is p
        assert tape.x is x
        found = twin.backward(tape, np.ones_like(tape.h))
        return [tape.h, tape.C_T, found.params.b, found.C0, states.h, states.C_T]

    big = float(np.finfo(dtype).max) / 2
    wanted = run(bptt, big / 1e8)
    for found in (run(bptt, big), run(fused, big), run(fused, big, checkpoint=1), run(fused, big, checkpoint=2)):
        for got, want in zip(found, wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6, strict=True)


@ROWS
@pytest.mark.parametrize("source", ["x", "h0"])
@pytest.mark.parametrize("checkpoint", [None, 1, 4, True])
def test_intermediate_values_may_be_out_of_the_range_of_float32(checkpoint: int | None, source: str, rows: int) -> None:
    """Pre-activations and products of gradients are computed as in float64, with checkpoints as well."""
    run = without_zeros((6, rows, 3, 4), "float32")
    arrays = {name: run.inputs[name].copy() for name in ("x", "h0", "C0")}
    arrays[source][0] *= np.float32(1e38)
    params = params_of(run)
    (params.U if source == "x" else params.W)[:] *= 10
    params.b_o = np.full(4, -6, "f4")
    dh = np.copysign(np.float32(3e38), run.inputs["dh"])

    def passes(twin: ModuleType, dtype: str, **given: Any) -> dict[str, Array]:
        weights = Params(*(array.astype(dtype) for array in vars(params).values()))
        tape = twin.forward(weights, *(array.astype(dtype) for array in arrays.values()), **given)
        return {"h": tape.h, "C_T": tape.C_T} | named(twin.backward(tape, dh.astype(dtype)))

    wanted, largest = passes(bptt, "f8"), np.finfo("f4").max
    for name, got in passes(fused, "f4", checkpoint=checkpoint).items():
        assert got.dtype == np.float32
        want = np.clip(wanted[name], -largest, largest)
        allowed = 1e-5 * np.max(np.abs(want), initial=np.finfo("f4").tiny)
        with np.errstate(under="ignore"):
            np.testing.assert_allclose(np.clip(got, -largest, largest).astype("f8"), want, rtol=1e-4, atol=allowed)


@TWINS
@ROWS
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bias", [-1e4, -1000, -100, -20, 20, 100, 1000, 1e4])
def test_saturated_gates_have_their_limits(twin: ModuleType, bias: float, dtype: str, rows: int) -> None:
    weights = {"W": np.zeros((H, 4 * H), dtype), "U": np.zeros((D, 4 * H), dtype), "b": np.full(4 * H, bias, dtype)}
    tape = twin.forward(Params(**weights), np.ones((T, rows, D), dtype))
    with np.errstate(under="ignore"):
        limit = np.exp(bias) if bias < 0 else 1
    for gate in (tape.f, tape.i, tape.o):
        np.testing.assert_allclose(gate, limit, rtol=1e-5 if dtype == "float32" else 1e-8, atol=np.finfo(dtype).tiny)
    np.testing.assert_array_equal(tape.g, np.sign(bias))
