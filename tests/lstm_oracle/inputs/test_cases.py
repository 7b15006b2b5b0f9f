"""Drawn runs are reproducible, have the documented sizes, and have the values that define their regimes."""

from __future__ import annotations

import itertools
from functools import cache

import numpy as np
import pytest

from lstm_oracle.inputs.cases import LARGEST_SIZES, REGIMES, Case, Regime, draw_case, draw_inputs
from lstm_oracle.run import INPUTS, WEIGHTS, Array, complete
from tests.strategies import DTYPES, UPSTREAM, drawn, range_of, without_zeros
from tests.twins import truth_of

F64 = np.dtype(np.float64)


@cache
def many() -> list[Case]:
    return [draw_case(0, number, F64) for number in range(1400)]


# The first runs of seed 0, with the sums of the magnitudes of weights, biases, x with states, and upstream gradients.
FIRST = [
    ("ordinary", (3, 3, 0, 21), [460.0371541079578, 69.98065988559259, 107.10726052426342, 109.9907477021283]),
    ("linear", (51, 2, 1, 6), [4.933239775063702, 18.840152341149498, 80.45587628484499, 503.66431592409174]),
    ("saturated", (1, 2, 17, 16), [450.45883508352824, 713.0634606076054, 77.17689695466463, 75.10611075704692]),
    ("remembering", (23, 3, 2, 4), [44.28359014771124, 27.96870279109308, 126.7640071173047, 229.85053787177117]),
    ("large", (8, 1, 6, 2), [27.931086908749368, 3.7976355606611385, 37.20723901926483, 18726230.535764486]),
    ("tiny", (29, 2, 1, 5), [66.07096257945688, 15.966959903278724, 62.39383940976761, 5.266167098936684e-06]),
    ("plain", (14, 2, 4, 7), [114.70508058828517, 0.0, 85.11348819968282, 161.70944605062078]),
]
# Of the runs of seed 0: how many of 1400 have T, B, D or H zero, and which of the first 40 have an input of zeros.
EMPTY = [19, 17, 18, 0]
ZERO_IN = {
    "b_f": [10, 19, 28, 31, 36, 39],
    "h0": [3, 17, 22],
    "C0": [4, 7, 10, 14, 19, 22, 30, 31, 35, 36],
    "dh": [5, 8, 15, 30, 35, 39],
    "dh_T": [5, 15, 30, 33],
    "dC_T": [7, 29],
}


def test_a_seed_and_a_number_reproduce_the_same_run_in_every_version() -> None:
    """Reports identify runs in this way, so that a change of the drawn runs is a change for users."""
    names = [*INPUTS]
    groups = names[:8], names[8:12], ["x", "h0", "C0"], [*UPSTREAM]
    for number, (regime, sizes, sums) in enumerate(FIRST):
        run = draw_case(0, number, F64)
        assert (run.regime, run.sizes) == (regime, sizes)
        found = [sum(np.sum(np.abs(run.inputs[name])) for name in group) for group in groups]
        np.testing.assert_allclose(found, sums, rtol=1e-12)
    assert np.sum([run.sizes for run in many()], axis=0).tolist() == [17491, 3305, 11113, 17689]
    assert [run.number for run in many()[:150] if 0 in run.sizes] == [0, 56, 104, 121]
    assert [sum(run.sizes[axis] == 0 for run in many()) for axis in range(4)] == EMPTY
    assert [run.number for run in many()[:60] if len({*run.sizes}) < 4] == [0, 25, 32, 48, 51]
    for name, numbers in ZERO_IN.items():
        some = [run for run in many()[:40] if 0 not in run.sizes and run.regime != "plain"]
        assert [run.number for run in some if not run.inputs[name].any()] == numbers, name
    assert not np.array_equal(draw_case(1, 0, F64).inputs["W_f"], draw_case(0, 0, F64).inputs["W_f"])


def test_sizes_and_regime_can_be_given() -> None:
    own = draw_case(0, 3, F64)
    assert draw_case(0, 3, F64, sizes=(2, 3, 4, 5)).sizes == (2, 3, 4, 5)
    assert draw_case(0, 3, F64, sizes=(2, 3, 4, 5)).regime == own.regime
    tiny = draw_case(0, 3, F64, regime="tiny")
    assert (tiny.number, tiny.regime, tiny.sizes) == (3, "tiny", own.sizes)
    assert np.max(np.abs(tiny.inputs["dh"])) < 1e-4


def test_float32_runs_are_the_float64_runs_rounded() -> None:
    for number in range(20):
        wide, narrow = draw_case(0, number, F64), draw_case(0, number, np.dtype(np.float32))
        assert narrow.dtype == np.float32
        for name in INPUTS:
            np.testing.assert_array_equal(narrow.inputs[name], wide.inputs[name].astype(np.float32), strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_run_is_complete_and_consistent(dtype: str) -> None:
    for run in (draw_case(1, number, np.dtype(dtype)) for number in range(100)):
        assert list(run.inputs) == list(INPUTS)
        assert {array.dtype for array in run.inputs.values()} == {np.dtype(dtype)}
        assert set(complete(run.inputs)) == set(INPUTS)  # which checks every shape


def test_every_run_is_within_one_of_the_largest_sizes_and_each_of_them_is_used() -> None:
    used = [range_of(run.sizes) for run in many()]
    assert {*used} == {*LARGEST_SIZES}
    assert all(used.count(shape) > 0.05 * len(used) for shape in LARGEST_SIZES)


def test_sizes_mostly_differ_and_reach_their_largest_values() -> None:
    sizes = np.array([run.sizes for run in many()])
    alike = np.mean([len(set(row)) < 4 for row in sizes.tolist()])
    assert 0.02 < alike < 0.3
    for axis, most in enumerate(np.max(LARGEST_SIZES, axis=0)):
        assert sizes[:, axis].max() > 0.9 * most
        assert (axis == 3) == np.all(sizes[:, axis] > 0)
    assert np.mean(sizes == 0) * 4 < 0.1
    for tail in (8, 16, 32, 64):
        assert np.any((sizes[:, 3] > tail) & (sizes[:, 3] < tail + tail // 2))
    assert {1, 2, 3} <= {*sizes[:, 0].tolist()}
    assert np.mean(sizes[:, 0] >= 16) > 0.1


def test_regimes_take_turns() -> None:
    assert [run.regime for run in many()[: 2 * len(REGIMES)]] == [*REGIMES, *REGIMES]


def test_inputs_are_sometimes_zero_but_never_all_upstream_gradients() -> None:
    runs = [run for run in many() if 0 not in run.sizes and run.regime != "plain"]
    for name in ("h0", "C0", "b_f", *UPSTREAM):
        assert 0.05 < np.mean([not run.inputs[name].any() for run in runs]) < 0.2
    assert all(any(run.inputs[name].any() for name in UPSTREAM) for run in runs)
    assert {tuple(run.inputs[name].any() for name in UPSTREAM) for run in runs} >= {
        (True, True, True),
        (True, False, True),
        (False, True, True),
        (True, True, False),
    }


def test_with_a_zero_probability_of_0_no_input_is_zero_and_all_others_are_unchanged() -> None:
    for seed in range(40):
        one, other = (draw_inputs(np.random.default_rng(seed), (1, 2, 3, 4), "ordinary", F64, *no) for no in ((), (0,)))
        assert all(array.all() for array in other.values())
        assert all(np.array_equal(one[name], other[name]) for name in INPUTS if one[name].any())


def test_values_are_of_order_one_and_no_two_arrays_share_a_value() -> None:
    run = without_zeros((5, 4, 6, 7))
    flat = {name: array.ravel()[:7] for name, array in run.inputs.items()}
    for one, other in itertools.combinations(flat.values(), 2):
        assert not np.any(np.isin(one, other))
    for name in ("x", "h0", "C0", "dh", "b_f"):
        assert 0.5 < np.std(run.inputs[name]) < 2
    for name in WEIGHTS:
        if name[0] != "b":
            assert 0.8 < np.std(run.inputs[name]) * np.sqrt(13) / 1.5 < 1.2


def inputs_and_blocks(regime: Regime) -> tuple[dict[str, Array], dict[str, Array]]:
    """Return the inputs and the blocks of a run in this regime."""
    run = drawn((5, 4, 5, 7), regime, "float64", 2)
    return run.inputs, truth_of(run).blocks


def test_gates_and_states_are_those_of_the_regime() -> None:
    _, ordinary = inputs_and_blocks("ordinary")
    assert all(ordinary[gate].min() < 0.2 < 0.8 < ordinary[gate].max() for gate in "fio")
    assert ordinary["g"].min() < -0.6 < 0.6 < ordinary["g"].max()
    _, linear = inputs_and_blocks("linear")
    assert np.max(np.abs([linear["g"], linear["C"]])) < 0.5
    _, saturated = inputs_and_blocks("saturated")
    gates = np.stack([saturated[gate] for gate in "fio"])
    assert 0.2 < np.mean(gates < 1e-6) < 0.4
    assert 0.2 < np.mean(gates > 1 - 1e-6) < 0.4
    _, remembering = inputs_and_blocks("remembering")
    assert np.median(remembering["f"]) > 0.98
    assert np.min(remembering["f"]) > 0.8


@pytest.mark.parametrize(("regime", "size"), [("large", 1e6), ("tiny", 1e-6), ("ordinary", 1)])
def test_upstream_gradients_have_the_magnitude_of_the_regime(regime: Regime, size: float) -> None:
    inputs, blocks = inputs_and_blocks(regime)
    for name in UPSTREAM:
        assert 0.5 < np.std(inputs[name]) / size < 2
    assert 0.01 < np.std(blocks["dx"]) / size < 10


def test_the_plain_regime_is_the_unit_of_the_source() -> None:
    inputs, _ = inputs_and_blocks("plain")
    present = {name for name, array in inputs.items() if array.any()}
    assert present == {name for name in WEIGHTS if name[0] != "b"} | {"x", "dh"}


def test_a_run_is_shown_by_its_number_sizes_regime_and_dtype() -> None:
    assert str(draw_case(0, 8, F64)).startswith("run 8 (T=")
    assert str(Case(3, "tiny", draw_inputs(np.random.default_rng(0), (1, 2, 3, 4), "tiny", F64))) == (
        "run 3 (T=1 B=2 D=3 H=4, tiny, float64)"
    )
