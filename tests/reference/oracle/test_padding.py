"""Runs are put side by side, with zeros around each, in few shapes and few calls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from reference.oracle import cases, padding, verify
from reference.oracle.cases import Sizes
from reference.oracle.padding import (
    FINER,
    LANES,
    SHAPES,
    calls,
    is_large,
    lanes_for,
    numbers_of,
    rounded_up,
    shape_for,
    stacked,
)
from reference.oracle.truth import BLOCKS
from reference.run import INPUTS, WEIGHTS
from tests.benchmarks.judge import LOADS
from tests.strategies import drawn, without_zeros

SMALL: Sizes = (3, 2, 4, 5)
WIDE: Sizes = (3, 5, 17, 40)


def largest(shapes: Sequence[Sizes]) -> tuple[int, ...]:
    return tuple(map(max, zip(*shapes, strict=True)))


def test_every_shape_is_the_least_that_holds_the_drawn_runs_which_go_there() -> None:
    assert {shape_for(sizes) for sizes in cases.SHAPES} == set(SHAPES)
    for shape in SHAPES:
        assert shape == largest([sizes for sizes in cases.SHAPES if shape_for(sizes) == shape])


def test_the_finer_shape_is_the_least_that_holds_the_smallest_drawn_runs_and_those_of_the_benchmark() -> None:
    assert (largest([min(cases.SHAPES, key=math.prod), LOADS[0].largest]),) == FINER


def test_a_run_goes_to_the_smallest_shape_that_holds_it_or_to_its_own() -> None:
    assert all(shape_for(shape, many=True) == shape for shape in SHAPES + FINER)
    assert shape_for((1, 1, 1, 1)) == shape_for((0, 0, 0, 1)) == SHAPES[0]
    assert shape_for((1, 1, 1, 1), many=True) == FINER[0]
    assert shape_for((71, 1, 0, 1)) == shape_for((80, 1, 1, 1)) == (80, 1, 1, 1)
    assert shape_for((71, 9, 50, 100)) == (80, 10, 56, 112)


def test_a_size_is_rounded_up_by_a_quarter_at_most() -> None:
    for size in range(1, 1000):
        assert size <= rounded_up(size) <= 1.25 * size
        assert rounded_up(rounded_up(size)) == rounded_up(size)


def test_sizes_are_rounded_to_few() -> None:
    rounded = [rounded_up(size) for size in range(41)]
    assert sorted(set(rounded)) == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40]
    assert {type(size) for size in rounded} == {int}


@pytest.mark.parametrize("shape", [(64, 8, 16, 16), (64, 8, 64, 2), (1, 2, 64, 64), (1, 1, 9, 300)])
def test_the_numbers_in_the_blocks_of_a_run_are_known_about(shape: Sizes) -> None:
    size = dict(zip("TBDH", shape, strict=True))
    assert numbers_of(shape) == pytest.approx(
        sum(math.prod(size[dim] for dim in dims) for dims in BLOCKS.values()), 0.02
    )


@pytest.mark.parametrize(
    ("shape", "lanes"),
    [(FINER[0], LANES), (SHAPES[0], 5), (SHAPES[1], 7), ((64, 8, 64, 64), 1), ((99, 64, 99, 99), 1)],
)
def test_small_runs_are_computed_many_in_a_call_and_a_large_one_alone(shape: Sizes, lanes: int) -> None:
    assert lanes_for(shape) == lanes


def test_the_runs_that_are_in_memory_together_fill_whole_calls() -> None:
    assert verify.CHUNK % LANES == 0


def test_a_run_is_worth_many_threads_if_it_is_far_larger_than_those_that_are_drawn() -> None:
    assert not any(map(is_large, SHAPES))
    assert is_large((1000, 32, 128, 128))


@pytest.mark.parametrize(("more", "large"), [(-1, True), (0, False), (1, False)])
def test_a_run_is_large_from_a_number_on(more: int, large: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(padding, "LARGE", numbers_of((3, 2, 4, 5)) + more)
    assert is_large((3, 2, 4, 5)) == large


def test_runs_of_one_shape_share_calls_in_their_order() -> None:
    runs = [drawn(sizes, "ordinary", "float64", 0) for sizes in (SMALL, WIDE, *[SMALL] * 6)]
    assert [*calls(runs)] == [(SHAPES[0], 5, [0, 2, 3, 4, 5]), (SHAPES[0], 5, [6, 7]), (SHAPES[1], 7, [1])]
    assert [*calls(runs, many=True)] == [(FINER[0], LANES, [0, 2, 3, 4, 5, 6, 7]), (SHAPES[1], 7, [1])]


def test_each_run_lies_in_its_lane_with_zeros_around() -> None:
    size = dict(zip("TBDH", (5, 3, 7, 6), strict=True))
    runs = [without_zeros((2, 3, 1, 5)), without_zeros((0, 2, 3, 4)), without_zeros((5, 2, 6, 3))]
    p, x, h0, C0, upstream = stacked(runs, (5, 3, 7, 6), 4, np.dtype(np.float32))
    assert set(p) == set(WEIGHTS)
    assert set(upstream) == {"dh", "dh_next", "dC_next"}
    for name, array in {**p, "x": x, "h0": h0, "C0": C0, "dh": upstream["dh"]}.items():
        assert array.shape == (4, *(size[dim] for dim in INPUTS[name]))
        assert array.dtype == np.float32
        assert np.count_nonzero(array) == sum(run.inputs[name].size for run in runs)
        for lane, run in enumerate(runs):
            own = run.inputs[name].astype(np.float32)
            np.testing.assert_array_equal(array[lane][tuple(map(slice, own.shape))], own)


def test_what_arrives_at_the_last_state_leaves_the_last_step_of_each_run() -> None:
    runs = [without_zeros((2, 3, 1, 5)), without_zeros((0, 2, 3, 4)), without_zeros((5, 2, 6, 3))]
    *_, upstream = stacked(runs, (5, 3, 7, 6), 4, np.dtype(np.float64))
    for name in ("dh", "dC"):
        assert upstream[f"{name}_next"].shape == (4, 5, 3, 6)
        np.testing.assert_array_equal(upstream[f"{name}_next"][0, 1, :3, :5], runs[0].inputs[f"{name}_T"])
        np.testing.assert_array_equal(upstream[f"{name}_next"][2, 4, :2, :3], runs[2].inputs[f"{name}_T"])
        assert np.count_nonzero(upstream[f"{name}_next"]) == 3 * 5 + 2 * 3  # of a run without a step, nothing
