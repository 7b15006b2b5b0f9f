"""Truths of padded runs, many at a time, are those of each run alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from reference.lstm import full_precision, weights
from reference.oracle import tolerance
from reference.oracle.cases import REGIMES, Case, Sizes
from reference.oracle.padding import SHAPES, lanes_for, shape_for
from reference.oracle.truth import BLOCKS, Truth, blocks, evaluate, truths, truths_ahead
from reference.probes import at_last_step, pull_back
from reference.run import Array
from tests.strategies import drawn, without_zeros
from tests.twins import truth_of

# Runs within each shape, and with each size zero; more of them in one shape than there are lanes.
SIZES: list[Sizes] = [(4, 3, 2, 5), (9, 2, 6, 10), (33, 1, 4, 6), (3, 5, 17, 40)]
SIZES += [(3, 0, 2, 4), (3, 2, 0, 4), (0, 2, 3, 4)]
RUNS = [drawn(sizes, regime, "float64", 0) for sizes, regime in zip(SIZES, REGIMES, strict=True)]
F64 = np.dtype(np.float64)


@cache
def together(many: bool = False) -> list[Truth]:
    """The truths of all runs, padded, a few at a time."""
    return truths(RUNS, many)


@cache
def alone(k: int) -> dict[str, Array]:
    """The blocks of a run by the definition of an edge's gradient, in the run's own shape."""
    run = RUNS[k].inputs
    upstream = {name: at_last_step(run[of], len(run["x"])) for name, of in (("dh_next", "dh_T"), ("dC_next", "dC_T"))}
    with full_precision():
        states = (run[name] for name in ("x", "h0", "C0"))
        values, edges, gradients = pull_back(weights(run), *states, {"dh": run["dh"], **upstream})
        found = {**values, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}
        own = {name: np.asarray(found[name]) for name in BLOCKS}
    if len(run["x"]) == 0:  # nothing carries what arrives to the first step
        own |= {"dh0": run["dh_T"], "dC0": run["dC_T"]}
    return own | {"C_T": np.concatenate([run["C0"][None], own["C"]])[-1]}


@pytest.mark.parametrize("many", [False, True], ids=["few", "many"])
@pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
def test_a_run_padded_among_others_has_the_blocks_that_it_has_alone(k: int, many: bool) -> None:
    truth = together(many)[k]
    assert set(alone(k)) == set(truth.blocks) == set(truth.scales)
    for name, block in alone(k).items():
        assert block.shape == truth.blocks[name].shape
        assert np.all(truth.units(name, block, F64) <= 8), name


@pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
def test_a_run_padded_among_others_has_the_scales_that_it_has_alone(k: int) -> None:
    inputs = {name: array.astype(np.float64) for name, array in RUNS[k].inputs.items()}
    for name, scale in tolerance.scales(inputs, alone(k)).items():
        np.testing.assert_allclose(together()[k].scales[name], scale, rtol=1e-12, err_msg=name)


def test_what_a_run_loses_is_what_it_loses_in_float32() -> None:
    k, (rough,) = 1, evaluate(blocks, RUNS[1:2], np.dtype(np.float32))
    truth = together()[k]
    units = {name: np.max(truth.units(name, got, np.dtype(np.float32))) for name, got in rough.items()}
    assert truth.losses == pytest.approx(units | {"C_T": units["C"]}, rel=0.5, abs=0.5)
    assert truth.loss == max(truth.losses.values()) > 0.1


@pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
def test_every_block_of_a_run_is_there_in_its_size(k: int) -> None:
    size, truth = dict(zip("TBDH", SIZES[k], strict=True)), truth_of(RUNS[k])
    for name, dims in BLOCKS.items():
        assert truth.blocks[name].shape == tuple(size[dim] for dim in dims)
        assert truth.blocks[name].dtype == F64
        assert np.broadcast_shapes(np.shape(truth.scales[name]), truth.blocks[name].shape) == truth.blocks[name].shape


def test_a_run_says_the_same_wherever_it_stands() -> None:
    backwards = truths(RUNS[::-1])[::-1]
    for one, other in zip(together(), backwards, strict=True):
        assert one.losses == other.losses
        for name in one.blocks:
            np.testing.assert_array_equal(one.blocks[name], other.blocks[name], err_msg=name)


def test_chunks_come_with_their_own_truths_in_their_order() -> None:
    found = [pair for chunk in truths_ahead([RUNS[:3], RUNS[3:4], RUNS[4:]]) for pair in chunk]
    assert [case for case, _ in found] == RUNS
    for truth, (_, other) in zip(together(), found, strict=True):
        for name in BLOCKS:
            assert np.all(truth.units(name, other.blocks[name], F64) <= 8), name


def test_a_truth_that_is_kept_alone_keeps_nothing_else() -> None:
    truth = together()[0]
    kept = truth.alone()
    assert truth.batch is not None
    assert kept.batch is None
    assert (kept.losses, kept.tolerances) == (truth.losses, truth.tolerances)
    for name in truth.blocks:
        np.testing.assert_array_equal(kept.blocks[name], truth.blocks[name], strict=True)
        np.testing.assert_array_equal(kept.scales[name], truth.scales[name], strict=True)
        assert kept.blocks[name].base is None


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


def test_runs_are_more_than_lanes() -> None:
    assert sum(shape_for(sizes) == SHAPES[0] for sizes in SIZES) > lanes_for(SHAPES[0])
