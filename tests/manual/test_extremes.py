"""Numbers that are not finite, and finite ones as large as they come; a warning is an error, as pyproject.toml sets."""

from __future__ import annotations

from collections.abc import Iterator
from types import ModuleType
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manual
from manual import Params, Tape, bptt, door
from reference.oracle.cases import Case
from reference.run import INPUTS, Array
from tests.strategies import DTYPES, without_zeros
from tests.twins import TWINS, agree, backward, forward, named, upstream_of

T, B, D, H = SIZES = 4, 3, 2, 5
ROW = 1
BY_ROW = {"h": "TBH", "C": "TBH", "dx": "TBD", "dh0": "BH", "dC0": "BH"}  # the results by row
SINCE = {"x": 1, "h0": 0, "C0": 0, "dh": T, "dh_T": T, "dC_T": T}  # the first step whose h is not a number
UNTIL = {"x": T, "h0": T, "C0": T, "dh": 2, "dh_T": T, "dC_T": T}  # the step before which dx is not

# A product of weights over the steps has to stay in the range of the type that the kernels turn to.
LONG_DOUBLE = pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16384, reason="long double is no wider than float64")
WIDENED = pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=LONG_DOUBLE)])


@pytest.fixture(autouse=True)
def nothing_is_ignored() -> Iterator[None]:
    """A user may ask NumPy to raise; the twins then do no more than they say."""
    with np.errstate(all="raise"):
        yield


def results(twin: ModuleType, run: Case) -> dict[str, Array]:
    tape = forward(twin, run)
    return {"h": tape.h, "C": tape.C} | backward(twin, run)


def rows(found: dict[str, Array], rows: list[int]) -> dict[str, Array]:
    return {name: np.take(found[name], rows, dims.index("B")) for name, dims in BY_ROW.items()}


def with_row(name: str, value: float, dtype: str) -> Case:
    """A run in which one row of an input has this value, at one step if it has steps."""
    run = without_zeros(SIZES, dtype)
    run.inputs[name][(1, ROW) if INPUTS[name][0] == "T" else ROW] = value
    return run


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", SINCE)
def test_nan_goes_where_its_row_goes(twin: ModuleType, dtype: str, name: str) -> None:
    found = results(twin, with_row(name, np.nan, dtype))
    of_row = {name: np.isnan(block) for name, block in rows(found, [ROW]).items()}
    for state in "hC":
        assert not of_row[state][: SINCE[name]].any()
        assert of_row[state][SINCE[name] :].all()
    assert of_row["dx"][: UNTIL[name]].all()
    assert not of_row["dx"][UNTIL[name] :].any()
    assert of_row["dh0"].all()
    assert of_row["dC0"].all()
    assert all(np.isnan(block).all() for name, block in found.items() if name not in BY_ROW)


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", SINCE)
def test_what_is_not_finite_stays_in_its_row(twin: ModuleType, dtype: str, value: float, name: str) -> None:
    others = [row for row in range(B) if row != ROW]
    found = results(twin, with_row(name, value, dtype))
    agree(rows(found, others), rows(results(twin, without_zeros(SIZES, dtype)), others), 4)


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["x", "h0"])
def test_infinity_is_the_limit_of_large_numbers(twin: ModuleType, dtype: str, name: str) -> None:
    at_infinity, near = (with_row(name, 0, dtype) for _ in range(2))
    for run, value in ((at_infinity, np.inf), (near, 1e30)):
        run.inputs[name][..., ROW, 0] = value
    for state in ("h", "C"):
        agree({state: getattr(forward(twin, at_infinity), state)}, {state: getattr(forward(twin, near), state)})


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
def test_nan_in_the_weights_reaches_every_row(twin: ModuleType, dtype: str) -> None:
    run = without_zeros(SIZES, dtype)
    run.inputs["W_f"][0, 0] = np.nan
    assert np.isnan(forward(twin, run).h[1:]).all()


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
    """A run with one magnitude in each array, and either one sign or random ones."""
    rng = np.random.default_rng(seed)
    run = without_zeros((T, rows, D, H), dtype)
    for name, magnitude in magnitudes.items():
        size = MAGNITUDES[magnitude](np.finfo(dtype))
        signs = rng.choice([[1, 1], [-1, -1], [-1, 1]][rng.integers(3)], run.inputs[name].shape)
        run.inputs[name] = (size * signs).astype(dtype)
    return run


def extremes(dtype: str) -> st.SearchStrategy[Case]:
    magnitudes = st.fixed_dictionaries(dict.fromkeys(INPUTS, st.sampled_from(list(MAGNITUDES))))
    rows = st.sampled_from([B, 1])  # one row goes back by Jacobians
    return st.builds(extreme, st.just(dtype), st.integers(0, 999), magnitudes, rows)


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
@pytest.mark.parametrize("rows", [B, 1])
def test_a_gradient_that_left_the_range_on_its_way_comes_back(twin: ModuleType, rows: int) -> None:
    """Out of range before output gates that are all but shut: what they let through is in range."""
    run = without_zeros((T, rows, D, H), "float32")
    run.inputs["b_o"][:] = -6
    run.inputs["dh"] = np.copysign(np.float32(3e38), run.inputs["dh"])
    run.inputs["dh_T"] = run.inputs["dh"][-1]
    tape, upstream = forward(twin, run), upstream_of(run)
    with mock.patch.object(twin, "gradients", wraps=twin.gradients) as gradients:
        found = named(twin.backward(tape, **upstream))
    assert [call.args[1].dtype for call in gradients.call_args_list] == [np.float32, np.float64]
    wanted = named(bptt.gradients(*door._cast((tape, *upstream.values()), np.float64)))
    for name, block in found.items():
        assert np.isfinite(block).all(), name
        np.testing.assert_allclose(block, wanted[name], rtol=1e-5, err_msg=name)


@TWINS
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [-1e4, -1000, -100, -20, 20, 100, 1000, 1e4])
def test_saturated_gates_have_their_limits(twin: ModuleType, dtype: str, bias: float) -> None:
    weights = {"W": np.zeros((H, 4 * H), dtype), "U": np.zeros((D, 4 * H), dtype), "b": np.full(4 * H, bias, dtype)}
    tape = twin.forward(Params(**weights), np.ones((T, B, D), dtype))
    with np.errstate(under="ignore"):
        limit = np.exp(bias) if bias < 0 else 1
    for gate in (tape.f, tape.i, tape.o):
        np.testing.assert_allclose(gate, limit, rtol=1e-5 if dtype == "float32" else 1e-8, atol=np.finfo(dtype).tiny)
    np.testing.assert_array_equal(tape.g, np.sign(bias))
