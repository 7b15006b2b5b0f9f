"""The truth of a run: its blocks, whatever it is padded to and computed with, and how much rounding is allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import cycle
from math import hypot, inf, nan
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lstm_oracle import judge
from lstm_oracle.autodiff.lstm import full_precision, weights
from lstm_oracle.autodiff.probes import EDGES, TO_X, at_last_step, pull_back
from lstm_oracle.comparison.compare import judge as findings
from lstm_oracle.inputs.cases import REGIMES, Case, Sizes
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import PADDED_BLOCKS, VALUES, blocks, evaluate
from lstm_oracle.truth.truth import Truth, compute_losses, neighbour, truths, truths_in_chunks
from lstm_oracle.verify import ours
from manual import fused
from tests.lstm_oracle.known import FLOAT32, FLOAT64
from tests.strategies import DTYPES, drawn, without_zeros
from tests.twins import backward, truth_of

BLOCKS = PADDED_BLOCKS | {"C_T": "BH"}
# Sizes that share a shape and sizes beyond every shape that is compiled in advance; each size but H is zero once.
SIZES: list[Sizes] = [(4, 3, 2, 5), (9, 2, 6, 10), (33, 1, 4, 6), (3, 5, 17, 40), (2, 3, 9, 67)]
SIZES += [(3, 0, 2, 4), (3, 2, 0, 4), (0, 2, 3, 4)]
RUNS = [drawn(sizes, regime, "float64", 0) for sizes, regime in zip(SIZES, cycle(REGIMES), strict=False)]
EACH_RUN = pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
FEW_OR_MANY = pytest.mark.parametrize("many", [False, True], ids=["few", "many"])


def amplifying(factor: float, dtype: str, seed: int) -> Case:
    """A run whose recurrent weights are so many times as large as usual, so that it amplifies rounding errors."""
    run = drawn((60, 2, 3, 6), "ordinary", dtype, seed)
    larger = {name: array * np.dtype(dtype).type(factor) for name, array in run.inputs.items() if name[0] == "W"}
    return Case(seed, run.regime, run.inputs | larger)


def near_the_end_of_the_range(dh: float = 1e200, C0: float = 1) -> Case:
    """A run with gradients that are infinite in float32."""
    run = without_zeros((3, 2, 4, 5))
    run.inputs["dh"][:], run.inputs["C0"][:], run.inputs["b_f"][:] = dh, C0, 10
    return run


@cache
def computed_together(many: bool = False) -> list[Truth]:
    return truths(RUNS, many)


@cache
def unpadded(k: int) -> dict[str, Array]:
    """The blocks of a run by the definition of an edge's gradient, in the run's own shape."""
    run = RUNS[k].inputs
    upstream = {name: at_last_step(run[of], len(run["x"])) for name, of in (("dh_next", "dh_T"), ("dC_next", "dC_T"))}
    with full_precision():
        states = (run[name] for name in ("x", "h0", "C0"))
        values, edges, gradients = pull_back(weights(run), *states, {"dh": run["dh"], **upstream})
        found = {**values, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}
        own = {name: np.asarray(found[name]) for name in PADDED_BLOCKS}
    if len(run["x"]) == 0:  # no step carries what arrives at the last state to the first one
        own |= {"dh0": run["dh_T"], "dC0": run["dC_T"]}
    return own | {"C_T": np.concatenate([run["C0"][None], own["C"]])[-1]}


def assert_same_blocks(truth: Truth, want: Any) -> None:
    assert set(truth.blocks) == set(truth.scales) == set(want) == set(BLOCKS)
    for name, block in want.items():
        assert truth.blocks[name].shape == block.shape
        assert np.all(truth.units(name, block, FLOAT64) <= 8), name


def test_the_blocks_are_the_values_the_edges_and_the_gradients() -> None:
    assert set(PADDED_BLOCKS) == set(VALUES) | {f"δ{n}" for n in EDGES} | set(GRADIENTS)
    assert {name for name, dims in PADDED_BLOCKS.items() if dims == "TBD"} == {f"δ{n}" for n in TO_X} | {"dx"}


@FEW_OR_MANY
@EACH_RUN
def test_a_padded_run_has_the_blocks_of_the_unpadded_run(k: int, many: bool) -> None:
    assert_same_blocks(computed_together(many)[k], unpadded(k))


@EACH_RUN
def test_a_padded_run_has_the_scales_of_the_unpadded_run(k: int) -> None:
    truth = computed_together()[k]
    for name, scale in tolerance.scales(RUNS[k].inputs, unpadded(k)).items():
        np.testing.assert_allclose(truth.scales[name], scale, rtol=1e-12, err_msg=name)


@EACH_RUN
def test_every_block_has_its_own_size_and_a_scale_for_every_step(k: int) -> None:
    size, truth = dict(zip("TBDH", SIZES[k], strict=True)), computed_together()[k]
    for name, dims in BLOCKS.items():
        assert truth.blocks[name].shape == tuple(size[dim] for dim in dims)
        assert truth.blocks[name].dtype == FLOAT64
        assert truth.scales[name].size == (size["T"] if "T" in dims else 1)
        assert np.broadcast_shapes(truth.scales[name].shape, truth.blocks[name].shape) == truth.blocks[name].shape


@FEW_OR_MANY
def test_runs_that_are_computed_together_do_not_influence_each_other(many: bool) -> None:
    runs = [drawn((k % 3, 1 + k % 2, k % 4, 1 + k % 5), REGIMES[k % 7], "float64", k) for k in range(40)]
    runs += [near_the_end_of_the_range(), *(amplifying(6, "float64", seed) for seed in range(70, 76)), RUNS[3]]
    found = truths(runs, many)
    compute_losses(found)
    for run, truth in zip(runs, found, strict=True):
        (alone,) = truths([run], many)
        assert truth.case is run
        np.testing.assert_allclose([*truth.tolerances.values()], [*alone.tolerances.values()], rtol=0.5)
        if truth.is_well_conditioned(FLOAT64):
            assert_same_blocks(alone, truth.blocks)
            for name, scale in alone.scales.items():
                np.testing.assert_allclose(truth.scales[name], scale, rtol=1e-12, err_msg=name)
    assert len({truth.tolerance("dx") for truth in found}) > 4


def test_chunks_come_in_their_order_each_case_with_its_truth() -> None:
    chunks = [*truths_in_chunks([RUNS[:3], RUNS[3:4], [], RUNS[4:]])]
    assert [len(chunk) for chunk in chunks] == [3, 1, 0, len(RUNS) - 4]
    found = [pair for chunk in chunks for pair in chunk]
    assert [case for case, _ in found] == RUNS
    for (_, truth), other in zip(found, computed_together(), strict=True):
        assert_same_blocks(truth, other.blocks)


def test_a_run_far_larger_than_those_drawn_is_computed_too() -> None:
    run = drawn((2, 60_000, 1, 3), "ordinary", "float64", 1)
    assert all(finding.ok for finding in findings(truths([run])[0], ours.bptt_blocks(run), FLOAT64))


def test_the_edges_that_arrive_are_those_of_the_run() -> None:
    run = without_zeros((3, 2, 4, 5))
    found = truth_of(run).blocks
    np.testing.assert_array_equal(found["δ1"], run.inputs["dh"])
    np.testing.assert_array_equal(found["δ2"][-1], run.inputs["dh_T"])
    np.testing.assert_array_equal(found["δ4"][-1], run.inputs["dC_T"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_steps_the_states_and_their_gradients_pass_through(dtype: str) -> None:
    run = without_zeros((0, 2, 3, 4), dtype)
    run.inputs["C0"][:] = 1e30
    (truth,) = truths([run])
    passing = {"dh0": "dh_T", "dC0": "dC_T", "C_T": "C0"}
    for name, of in passing.items():
        np.testing.assert_array_equal(truth.blocks[name], run.inputs[of])
    assert not any(block.any() for name, block in truth.blocks.items() if name not in passing)
    assert set(truth.tolerances.values()) == {tolerance.LEAST}
    assert judge(run.inputs | backward(fused, run) | {"C_T": run.inputs["C0"]}).ok


def test_a_float32_run_has_the_float64_truth_of_its_own_numbers() -> None:
    run = without_zeros((3, 2, 4, 5), "float32")
    same = Case(0, "ordinary", {name: array.astype(np.float64) for name, array in run.inputs.items()})
    for name in PADDED_BLOCKS:
        np.testing.assert_array_equal(truth_of(run).blocks[name], truth_of(same).blocks[name], strict=True)


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_an_error_is_counted_in_multiples_of_eps_times_the_scale_of_its_step(dtype: np.dtype[Any]) -> None:
    truth, eps = truth_of(without_zeros((3, 2, 4, 5))), float(np.finfo(dtype).eps)
    got = truth.blocks["δ8"].copy()
    got[1, 1, 2] += 1000 * eps * truth.scales["δ8"][1].item()
    got[2, 0, 0] -= 2000 * eps * truth.scales["δ8"][2].item()
    want = np.zeros_like(got)
    want[1, 1, 2], want[2, 0, 0] = 1000, 2000
    np.testing.assert_allclose(truth.units("δ8", got, dtype), want, rtol=1e-2)


def test_an_ordinary_run_may_lose_64_units_or_2_for_each_of_many_steps() -> None:
    for sizes, units in {(3, 2, 4, 5): 64, (32, 1, 2, 3): 64, (50, 1, 2, 3): 100}.items():
        assert truth_of(drawn(sizes, "linear", "float64", 0)).tolerances == dict.fromkeys(BLOCKS, units)


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_amplifying_run_may_lose_8_times_what_float32_loses_on_it_and_its_neighbours(dtype: str) -> None:
    run = amplifying(6, dtype, 70)
    runs = [run, *(neighbour(run, number) for number in range(7))]
    losses = [
        {name: np.max(truth.units(name, block, FLOAT32)) for name, block in rough.items()}
        for truth, rough in zip(truths(runs), evaluate(blocks, runs, FLOAT32), strict=True)
    ]
    want = {name: max(120, 8 * hypot(*(lost[name] for lost in losses))) for name in PADDED_BLOCKS}
    found = truths([run])[0].tolerances
    assert found == pytest.approx(want | {"C_T": want["C"]}, rel=0.25)
    assert max(found.values()) > 1000


def test_what_is_allowed_for_an_error_decides_as_the_tolerance_of_its_block_does() -> None:
    for run in (amplifying(6, "float64", 70), without_zeros((3, 2, 4, 5))):
        known = truths([run])[0].tolerances
        for name, limit in known.items():
            (truth,) = truths([run])
            errors = [0, 16, 17, limit / 4, 0.999 * limit, 1.001 * limit, inf]
            allowed = [truth.allowed(name, units) for units in errors]
            assert [units <= most for units, most in zip(errors, allowed, strict=True)] == [*[True] * 5, False, False]
            assert [allowed[-1], truth.allowed(name, nan)] == pytest.approx([limit] * 2)
            assert [truth.allowed(name, units) for units in errors] == allowed  # whatever was asked before
            if name not in ("dx", "C"):
                break


def test_honest_implementations_pass_on_runs_that_amplify_errors() -> None:
    """By one float32 evaluation alone a few of a hundred would fail, and other ones on another machine."""
    cases = [amplifying(6, "float64", seed) for seed in range(70, 110)]
    known = [
        (case, truth) for case, truth in zip(cases, truths(cases), strict=True) if truth.is_well_conditioned(FLOAT64)
    ]
    assert len(known) > 20
    for case, truth in known:
        for found in (ours.bptt_blocks(case), ours.fused_blocks(case)):
            assert all(finding.ok for finding in findings(truth, found, FLOAT64))


@pytest.mark.parametrize("seed", [0, 7, 21])
def test_a_block_may_not_lose_what_another_block_loses(seed: int) -> None:
    run = amplifying(5, "float32", seed)
    (truth,), right = truths([run]), backward(fused, run)
    assert judge(run.inputs | right).ok
    for name in ("dx", "dh0", "dC0"):  # two hundredths off, which is of the order of what the worst block may lose
        wrong = right[name] * np.float32(1.02)
        assert np.max(truth.units(name, wrong, FLOAT32)) < 10 * max(truth.tolerances.values())
        assert not any(finding.ok for finding in findings(truth, {name: wrong}, FLOAT32))


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_a_run_on_which_float32_loses_everything_is_refused_in_float64_too(seed: int) -> None:
    run = amplifying(30, "float64", seed)
    assert max(truths([run])[0].tolerances.values()) * np.finfo(np.float64).eps < 0.01
    with pytest.raises(ValueError, match="rounding in float64 may change everything"):
        judge(run.inputs | backward(fused, run))


def test_a_run_near_the_end_of_the_range_is_refused_without_a_warning() -> None:
    run = near_the_end_of_the_range()
    assert truths([run])[0].allowed("δ8", inf) == inf
    with pytest.raises(ValueError, match="near the end of the range"):
        judge(run.inputs | backward(fused, run))
    (truth,) = truths([near_the_end_of_the_range(1e307, 1e10)])
    assert np.any(np.isinf(truth.scales["δ8"]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_inputs_of_a_neighbour_are_a_unit_of_float32_away_or_two(dtype: str) -> None:
    run, eps = without_zeros((3, 2, 4, 5), dtype), np.finfo(np.float32).eps
    run.inputs["x"][0, 0, 0] = 0
    near, other, again = (neighbour(run, number) for number in (0, 1, 0))
    assert (near.number, near.regime, near.dtype) == (run.number, run.regime, run.dtype)
    farther = []
    for name, array in run.inputs.items():
        away = np.abs(near.inputs[name].astype(float) - array) / np.where(array, np.abs(array), 1)
        assert np.all(np.where(array == 0, away == 0, (0.49 * eps < away) & (away < 2.01 * eps))), name
        np.testing.assert_array_equal(near.inputs[name], again.inputs[name], strict=True)
        assert np.any(near.inputs[name] != other.inputs[name])
        farther += (np.abs(near.inputs[name]) > np.abs(array)).ravel().tolist()
    assert 0.3 < np.mean(farther) < 0.7


def test_a_neighbour_of_the_largest_number_is_infinite_without_a_warning() -> None:
    run = without_zeros((3, 2, 4, 5), "float32")
    run.inputs["x"][:] = np.finfo(np.float32).max
    assert np.isinf(neighbour(run, 0).inputs["x"]).any()


def sums(p: Any, x: jax.Array, h0: jax.Array, C0: jax.Array, upstream: Any) -> dict[str, jax.Array]:
    return {"dx": jnp.cumsum(x, axis=0), "dh0": h0 + C0, "dC0": p["b_f"] * jnp.ones_like(C0)}


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_a_function_is_evaluated_on_every_run_within_its_own_sizes(dtype: np.dtype[Any]) -> None:
    runs = [without_zeros(size) for size in ((3, 2, 4, 5), (3, 5, 17, 40), (1, 1, 3, 4), (0, 2, 3, 4))]
    for run, found in zip(runs, evaluate(sums, runs, dtype), strict=True):
        given = run.inputs
        want = {"dx": np.cumsum(given["x"], axis=0), "dh0": given["dh_T"], "dC0": given["dC_T"]}
        if len(given["x"]):
            want |= {"dh0": given["h0"] + given["C0"], "dC0": given["b_f"] * np.ones_like(given["C0"])}
        assert set(found) == set(want)
        for name, array in want.items():
            assert type(found[name]) is np.ndarray
            np.testing.assert_allclose(found[name], array.astype(dtype), rtol=1e-5, atol=1e-6, err_msg=name)
            assert found[name].dtype == dtype


def test_a_function_without_gradients_has_none_on_a_run_without_steps() -> None:
    function: Callable[..., dict[str, Any]] = lambda p, x, *_: {"h": x}  # noqa: E731
    (found,) = evaluate(function, [without_zeros((0, 2, 4, 4))], FLOAT64)
    assert [(name, block.shape) for name, block in found.items()] == [("h", (0, 2, 4))]
