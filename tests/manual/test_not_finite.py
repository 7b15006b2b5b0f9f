"""Infinity and NaN propagate as the equations say, without a warning."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import INPUTS, Array
from manual import bptt, fused
from tests.strategies import DTYPES, drawn, without_zeros
from tests.twins import TWINS, agree, backward, forward

T, B, D, H = SIZES = 4, 3, 2, 5
ROW = 1
BY_ROW = {"h": "TBH", "C": "TBH", "dx": "TBD", "dh0": "BH", "dC0": "BH"}  # the results by row
SINCE = {"x": 1, "h0": 0, "C0": 0, "dh": T, "dh_T": T, "dC_T": T}  # the first step whose h is NaN
UNTIL = {"x": T, "h0": T, "C0": T, "dh": 2, "dh_T": T, "dC_T": T}  # dx is NaN before this step


pytestmark = pytest.mark.usefixtures("floating_point_errors_raise")


def results(twin: ModuleType, run: Case) -> dict[str, Array]:
    tape = forward(twin, run)
    return {"h": tape.h, "C": tape.C} | backward(twin, run)


def rows(found: dict[str, Array], rows: list[int]) -> dict[str, Array]:
    return {name: np.take(found[name], rows, dims.index("B")) for name, dims in BY_ROW.items()}


def with_row(name: str, value: float, dtype: str) -> Case:
    """Return a run in which one row of an input has this value, at one step if the input has steps."""
    run = without_zeros(SIZES, dtype)
    run.inputs[name][(1, ROW) if INPUTS[name][0] == "T" else ROW] = value
    return run


@TWINS
@pytest.mark.parametrize("name", SINCE)
def test_nan_in_a_row_reaches_all_that_depends_on_it(twin: ModuleType, name: str) -> None:
    found = results(twin, with_row(name, np.nan, "float64"))
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
def test_numbers_that_are_not_finite_stay_in_their_row(twin: ModuleType, dtype: str, value: float, name: str) -> None:
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
def test_nan_in_the_weights_reaches_every_row(twin: ModuleType) -> None:
    run = without_zeros(SIZES)
    run.inputs["W_f"][0, 0] = np.nan
    assert np.isnan(forward(twin, run).h[1:]).all()


@pytest.mark.parametrize("T", [1, 5])
@pytest.mark.parametrize("B", [1, 2])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["dh", "dh_T", "dC_T", "C0", "W_f", "W_i", "W_g", "W_o"])
def test_the_fast_twin_propagates_them_as_the_literal_one_does(name: str, value: float, B: int, T: int) -> None:
    """With infinite weights the gates saturate, and the cell state stays finite."""
    run = drawn((T, B, 2, 5), "ordinary", "float64", 0)
    run.inputs["h0"][:, 1] = 0.5
    if name[0] == "W":
        run.inputs[name][1, 2] = value
    else:
        run.inputs[name][..., 0, 2] = value
    wanted = results(bptt, run)
    for block, got in results(fused, run).items():
        np.testing.assert_allclose(got, wanted[block], rtol=1e-12, atol=1e-12, err_msg=block)


@TWINS
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_unit_that_is_not_finite_does_not_affect_dC0_of_the_others(twin: ModuleType, value: float) -> None:
    run = drawn((1, 1, 2, 5), "ordinary", "float64", 0)
    run.inputs["dh"][0, 0, 3] = value
    assert np.isfinite(backward(twin, run)["dC0"][0]).tolist() == [True, True, True, False, True]
