"""Truths of padded runs, many at a time, are those of each run alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import reference
from reference.lstm import full_precision
from reference.oracle.cases import REGIMES, SHAPES, Case, Sizes
from reference.oracle.truth import BLOCKS, blocks, evaluate, padded_inputs, shape_for, truths
from reference.probes import EDGES
from reference.run import WEIGHTS, Array
from tests.strategies import drawn, without_zeros
from tests.twins import LANES, truth_of

# Runs within each shape, and with each size zero; the smallest shape has more of them than there are lanes.
SIZES: list[Sizes] = [(4, 3, 2, 5), (9, 2, 6, 10), (33, 1, 4, 6), (3, 5, 17, 40)]
SIZES += [(3, 0, 2, 4), (3, 2, 0, 4), (0, 2, 3, 4)]
RUNS = [drawn(sizes, regime, "float64", 0) for sizes, regime in zip(SIZES, REGIMES, strict=True)]
F64 = np.dtype(np.float64)


@cache
def together() -> list[dict[str, Array]]:
    """The blocks of all runs, padded, a few at a time."""
    return evaluate(blocks, RUNS, F64, LANES)


@pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
def test_a_run_padded_among_others_has_the_blocks_that_it_has_alone(k: int) -> None:
    run, padded = RUNS[k], together()[k]
    with full_precision():
        alone = {name: np.asarray(block) for name, block in blocks(*padded_inputs(run, run.sizes, F64)).items()}
    if run.sizes[0] == 0:  # nothing carries what arrives to the first step
        alone |= {"dh0": run.inputs["dh_T"], "dC0": run.inputs["dC_T"]}
    assert set(alone) == set(padded) == set(BLOCKS)
    for name, block in alone.items():
        assert block.shape == padded[name].shape
        assert np.all(truth_of(run).units(name, block, F64) <= 8), name
        assert np.all(truth_of(run).units(name, padded[name], F64) <= 8), name


def test_the_blocks_are_what_the_reference_says() -> None:
    run = RUNS[0]
    weights = {name: run.inputs[name] for name in WEIGHTS}
    given = {name: array for name, array in run.inputs.items() if name not in WEIGHTS}
    edges = reference.deltas(weights, **given)
    said = {f"δ{n}": np.stack([δ[n] for δ in edges]) for n in EDGES} | reference.backward(weights, **given)
    said |= dict(zip("hC", reference.forward(weights, *(given[name] for name in ("x", "h0", "C0"))), strict=True))
    for name, block in said.items():
        assert np.all(truth_of(run).units(name, block, F64) <= 8), name


@pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
def test_every_block_of_a_run_is_there_in_its_size(k: int) -> None:
    size, truth = dict(zip("TBDH", SIZES[k], strict=True)), truth_of(RUNS[k])
    for name, dims in BLOCKS.items():
        assert truth.blocks[name].shape == tuple(size[dim] for dim in dims)
        assert truth.blocks[name].dtype == F64
        assert np.broadcast_shapes(np.shape(truth.scales[name]), truth.blocks[name].shape) == truth.blocks[name].shape


def test_a_run_says_the_same_wherever_it_stands() -> None:
    backwards = evaluate(blocks, RUNS[::-1], F64, LANES)[::-1]
    for one, other in zip(together(), backwards, strict=True):
        for name in BLOCKS:
            np.testing.assert_array_equal(one[name], other[name], err_msg=name)


def test_truths_gives_each_run_its_own() -> None:
    runs = [run for run in RUNS if shape_for(run.sizes) == SHAPES[0]]
    for run, truth in zip(runs, truths(runs), strict=True):
        assert truth.loss == pytest.approx(truth_of(run).loss, rel=0.5, abs=2)
        for name in BLOCKS:
            assert np.all(truth_of(run).units(name, truth.blocks[name], F64) <= 8), name


def test_the_edges_that_arrive_are_the_run_s_own() -> None:
    run = without_zeros((3, 2, 4, 5))
    found = truth_of(run).blocks
    np.testing.assert_array_equal(found["δ1"], run.inputs["dh"])
    np.testing.assert_array_equal(found["δ2"][-1], run.inputs["dh_T"])
    np.testing.assert_array_equal(found["δ4"][-1], run.inputs["dC_T"])


def test_a_float32_run_is_judged_by_the_float64_truth_of_its_own_numbers() -> None:
    run = without_zeros((3, 2, 4, 5), "float32")
    same = Case(0, "ordinary", {name: array.astype(np.float64) for name, array in run.inputs.items()})
    for name in BLOCKS:
        np.testing.assert_array_equal(truth_of(run).blocks[name], truth_of(same).blocks[name], strict=True)


def test_a_run_goes_to_the_smallest_shape_that_holds_it_or_to_its_own() -> None:
    assert all(shape_for(shape) == shape for shape in SHAPES)
    assert shape_for((1, 1, 1, 1)) == min(SHAPES, key=np.prod)
    assert shape_for((0, 0, 0, 1)) == min(SHAPES, key=np.prod)
    assert shape_for((71, 1, 1, 1)) == (71, 1, 1, 1)
    assert {shape_for(sizes) for sizes in SIZES} == set(SHAPES)
