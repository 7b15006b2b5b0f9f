"""Which shape a run is padded to, how many are computed in one call, and where its numbers lie among zeros."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from reference.oracle import padding
from reference.oracle.cases import Case, Sizes
from reference.oracle.padding import calls, is_large, lanes_for, numbers_of, rounded_up, shape_for, stacked
from reference.run import INPUTS, WEIGHTS
from tests.strategies import drawn

ROUND = [*range(1, 9), 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80]


def case(sizes: Sizes, dtype: str = "float64") -> Case:
    return drawn(sizes, "ordinary", dtype, 3)


def test_sizes_are_rounded_up_to_few() -> None:
    assert [rounded_up(size) for size in ROUND] == ROUND
    assert rounded_up(0) == 1
    for less, more in pairwise(ROUND):
        assert {rounded_up(size) for size in range(less + 1, more + 1)} == {more}


def test_a_run_goes_to_the_smallest_shape_that_holds_it_else_to_one_of_its_own() -> None:
    assert shape_for((70, 4, 7, 10)) == shape_for((1, 1, 1, 1)) == shape_for((0, 0, 0, 1)) == (70, 4, 7, 10)
    assert shape_for((4, 5, 40, 66)) == shape_for((1, 5, 1, 1)) == (4, 5, 40, 66)
    assert shape_for((1, 1, 1, 1), many=True) == shape_for((12, 4, 6, 7), many=True) == (12, 4, 6, 7)
    assert shape_for((13, 1, 1, 1), many=True) == (70, 4, 7, 10)
    assert shape_for((71, 0, 9, 11)) == shape_for((71, 0, 9, 11), many=True) == (80, 1, 10, 12)


def test_a_run_has_34_numbers_for_each_step_and_unit_and_4_gates_of_weights() -> None:
    assert numbers_of((2, 3, 5, 7)) == 34 * 2 * 3 * 7 + 4 * 7 * (7 + 5)
    assert numbers_of((2, 3, 7, 5)) == 34 * 2 * 3 * 7 + 4 * 5 * (7 + 5)


def test_32_runs_are_computed_in_a_call_or_as_many_as_half_a_million_numbers_hold() -> None:
    assert lanes_for((1, 1, 1, 1)) == 32
    assert lanes_for((9999, 9, 9, 99)) == 1
    for shape in padding.SHAPES:
        assert 1 < lanes_for(shape) < 32
        assert lanes_for(shape) * numbers_of(shape) <= 2**19 < (lanes_for(shape) + 1) * numbers_of(shape)


def test_a_run_of_more_than_eight_million_numbers_is_worth_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = (2**23 - 8) // 34
    assert (is_large((steps, 1, 1, 1)), is_large((steps + 1, 1, 1, 1))) == (False, True)
    monkeypatch.setattr(padding, "LARGE", numbers_of((2, 3, 5, 7)))
    assert not is_large((2, 3, 5, 7))


def test_runs_of_one_shape_are_called_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "LANES", 2)
    small, wide, own = (1, 2, 3, 4), (2, 1, 30, 40), (90, 1, 2, 3)
    cases = [case(sizes) for sizes in (wide, small, small, own, wide, small, small, small)]
    assert list(calls(cases)) == [
        ((4, 5, 40, 66), 2, [0, 4]),
        ((70, 4, 7, 10), 2, [1, 2]), ((70, 4, 7, 10), 2, [5, 6]), ((70, 4, 7, 10), 2, [7]),
        ((96, 1, 2, 3), 2, [3]),
    ]  # fmt: skip
    assert [shape for shape, _, _ in calls(cases[1:3], many=True)] == [(12, 4, 6, 7)]
    assert list(calls([])) == []


@pytest.mark.parametrize("dtype", [np.dtype(np.float64), np.dtype(np.float32)])
def test_every_run_lies_in_a_lane_of_its_own_among_zeros(dtype: Any) -> None:
    cases = [case(sizes, "float32") for sizes in ((2, 1, 3, 4), (5, 3, 2, 4), (0, 2, 1, 3), (1, 2, 4, 1))]
    p, x, h0, C0, upstream = stacked(cases, (6, 3, 4, 5), 7, dtype)
    assert list(p) == list(WEIGHTS)
    assert {*upstream} == {"dh", "dh_next", "dC_next"}
    shape = {"T": 6, "B": 3, "D": 4, "H": 5}
    found = {**p, "x": x, "h0": h0, "C0": C0, "dh": upstream["dh"]}
    for name, array in found.items():
        want = np.zeros((7, *(shape[dim] for dim in INPUTS[name])), dtype)
        for lane, one in enumerate(cases):
            own = one.inputs[name]
            want[lane][tuple(map(slice, own.shape))] = own
        np.testing.assert_array_equal(array, want, strict=True)
    for name, leaving in {"dh_T": "dh_next", "dC_T": "dC_next"}.items():
        want = np.zeros((7, 6, 3, 5), dtype)
        for lane, one in enumerate(cases):
            T, B, _, H = one.sizes
            if T > 0:  # else what arrives passes by every step
                want[lane, T - 1, :B, :H] = one.inputs[name]
        np.testing.assert_array_equal(upstream[leaving], want, strict=True)
