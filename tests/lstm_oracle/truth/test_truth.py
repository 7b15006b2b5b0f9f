"""The truth of a run: its blocks, whatever it is padded to and computed with, and their rounding tolerances."""

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
from lstm_oracle.inputs.cases import REGIMES, Case, Sizes
from lstm_oracle.run import GRADIENTS, Array, Run
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import BLOCKS, PADDED_BLOCKS, VALUES, blocks, evaluate
from lstm_oracle.truth.truth import Truth, compute_losses, neighbour, truths, truths_in_chunks
from lstm_oracle.verify import twins
from manual import fused
from tests.lstm_oracle.known import FLOAT32, FLOAT64
from tests.strategies import DTYPES, drawn, without_zeros
from tests.twins import backward, truth_of

# Sizes that share a padded shape, sizes beyond the largest fixed shape, and a zero for each of T, B and D.
SIZES: list[Sizes] = [(4, 3, 2, 5), (9, 2, 6, 10), (33, 1, 4, 6), (3, 5, 17, 40), (2, 3, 9, 67)]
SIZES += [(3, 0, 2, 4), (3, 2, 0, 4), (0, 2, 3, 4)]
RUNS = [drawn(sizes, regime, "float64", 0) for sizes, regime in zip(SIZES, cycle(REGIMES), strict=False)]
EACH_RUN = pytest.mark.parametrize("k", range(len(SIZES)), ids=map(str, SIZES))
FEW_OR_MANY = pytest.mark.parametrize("many", [False, True], ids=["few", "many"])


def amplifying(factor: float, dtype: str, seed: int) -> Case:
    """Return a run that amplifies rounding errors, because its recurrent weights are larger than usual by a factor."""
    run = drawn((60, 2, 3, 6), "ordinary", dtype, seed)
    larger = {name: array * np.dtype(dtype).type(factor) for name, array in run.inputs.items() if name[0] == "W"}
    return Case(seed, run.regime, run.inputs | larger)


def near_the_end_of_the_range(dh: float = 1e200, C0: float = 1) -> Case:
    """Return a run with gradients that are infinite in float32."""
    run = without_zeros((3, 2, 4, 5))
    run.inputs["dh"][:], run.inputs["C0"][:], run.inputs["b_f"][:] = dh, C0, 10
    return run


@cache
def computed_together(many: bool = False) -> list[Truth]:
    return truths(RUNS, many)


@cache
def unpadded(k: int) -> dict[str, Array]:
    """Return the blocks of a run by the definition of an edge gradient, without padding."""
    run = RUNS[k].inputs
    upstream = {f"d{s}_next": at_last_step(run[f"d{s}_T"], len(run["x"])) for s in "hC"}
    with full_precision():
        states = (run[name] for name in ("x", "h0", "C0"))
        values, edges, gradients = pull_back(weights(run), *states, {"dh": run["dh"], **upstream})
        found = {**values, **{f"δ{n}": δ for n, δ in edges.items()}, **gradients}
        own = {name: np.asarray(found[name]) for name in PADDED_BLOCKS}
    if len(run["x"]) == 0:  # upstream gradients are passed on without a step
        own |= {"dh0": run["dh_T"], "dC0": run["dC_T"]}
    return own | {"C_T": np.concatenate([run["C0"][None], own["C"]])[-1]}


def tolerances(truth: Truth) -> dict[str, float]:
    return {name: truth.tolerance(name) for name in BLOCKS}


def all_ok(truth: Truth, outputs: Run) -> bool:
    return all(truth.compare(name, got).ok for name, got in outputs.items())


def assert_same_blocks(truth: Truth, want: Any) -> None:
    assert set(truth.blocks) == set(truth.scales) == set(want) == set(BLOCKS)
    for name, block in want.items():
        assert truth.blocks[name].shape == block.shape
        assert np.all(truth.units(name, block, FLOAT64) <= 8), name


def test_the_blocks_are_values_edges_and_gradients() -> None:
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
def test_every_block_has_the_dimensions_of_its_name_and_a_scale_for_every_step(k: int) -> None:
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
        (single,) = truths([run], many)
        assert truth.case is run
        np.testing.assert_allclose([*tolerances(truth).values()], [*tolerances(single).values()], rtol=0.5)
        if truth.is_well_conditioned(FLOAT64):
            assert_same_blocks(single, truth.blocks)
            for name, scale in single.scales.items():
                np.testing.assert_allclose(truth.scales[name], scale, rtol=1e-12, err_msg=name)
    assert len({truth.tolerance("dx") for truth in found}) > 4


def test_chunks_keep_their_order_and_pair_each_case_with_its_truth() -> None:
    size = len(RUNS) // 2 + 1
    chunks = [*truths_in_chunks(iter(RUNS), size=size)]
    assert [len(chunk) for chunk in chunks] == [size, len(RUNS) - size]
    assert [*truths_in_chunks([])] == []
    found = [pair for chunk in chunks for pair in chunk]
    assert [case for case, _ in found] == RUNS
    for (_, truth), other in zip(found, computed_together(), strict=True):
        assert_same_blocks(truth, other.blocks)


def test_a_run_far_larger_than_those_drawn_is_computed_too() -> None:
    run = drawn((2, 60_000, 1, 3), "ordinary", "float64", 1)
    assert all_ok(truths([run])[0], twins.bptt_blocks(run))


def test_the_edges_1_2_and_4_are_the_upstream_gradients() -> None:
    run = without_zeros((3, 2, 4, 5))
    found = truth_of(run).blocks
    np.testing.assert_array_equal(found["δ1"], run.inputs["dh"])
    np.testing.assert_array_equal(found["δ2"][-1], run.inputs["dh_T"])
    np.testing.assert_array_equal(found["δ4"][-1], run.inputs["dC_T"])


@pytest.mark.parametrize("dtype", DTYPES)
def test_without_steps_states_and_gradients_are_passed_on(dtype: str) -> None:
    run = without_zeros((0, 2, 3, 4), dtype)
    run.inputs["C0"][:] = 1e30
    (truth,) = truths([run])
    passed_on = {"dh0": "dh_T", "dC0": "dC_T", "C_T": "C0"}
    for name, of in passed_on.items():
        np.testing.assert_array_equal(truth.blocks[name], run.inputs[of])
    assert not any(block.any() for name, block in truth.blocks.items() if name not in passed_on)
    assert set(tolerances(truth).values()) == {tolerance.LEAST}
    assert judge(run.inputs | backward(fused, run) | {"C_T": run.inputs["C0"]}).ok


def test_a_float32_run_has_the_truth_of_its_values_in_float64() -> None:
    run = without_zeros((3, 2, 4, 5), "float32")
    same = Case(0, "ordinary", {name: array.astype(np.float64) for name, array in run.inputs.items()})
    for name in PADDED_BLOCKS:
        np.testing.assert_array_equal(truth_of(run).blocks[name], truth_of(same).blocks[name], strict=True)


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_an_error_is_measured_in_multiples_of_eps_times_the_scale_of_its_step(dtype: np.dtype[Any]) -> None:
    truth, eps = truth_of(without_zeros((3, 2, 4, 5))), float(np.finfo(dtype).eps)
    got = truth.blocks["δ8"].copy()
    got[1, 1, 2] += 1000 * eps * truth.scales["δ8"][1].item()
    got[2, 0, 0] -= 2000 * eps * truth.scales["δ8"][2].item()
    want = np.zeros_like(got)
    want[1, 1, 2], want[2, 0, 0] = 1000, 2000
    np.testing.assert_allclose(truth.units("δ8", got, dtype), want, rtol=1e-2)


def test_the_tolerance_of_an_ordinary_run_is_64_units_or_2_per_step() -> None:
    for sizes, units in {(3, 2, 4, 5): 64, (32, 1, 2, 3): 64, (50, 1, 2, 3): 100}.items():
        assert tolerances(truth_of(drawn(sizes, "linear", "float64", 0))) == dict.fromkeys(BLOCKS, units)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_tolerance_of_an_amplifying_run_is_8_times_the_float32_losses_on_it_and_its_neighbours(dtype: str) -> None:
    run = amplifying(6, dtype, 70)
    runs = [run, *(neighbour(run, number) for number in range(7))]
    losses = [
        {name: np.max(truth.units(name, block, FLOAT32)) for name, block in rough.items()}
        for truth, rough in zip(truths(runs), evaluate(blocks, runs, FLOAT32), strict=True)
    ]
    want = {name: max(120, 8 * hypot(*(lost[name] for lost in losses))) for name in PADDED_BLOCKS}
    found = tolerances(truths([run])[0])
    assert found == pytest.approx(want | {"C_T": want["C"]}, rel=0.25)
    assert max(found.values()) > 1000


def test_a_lower_bound_of_the_tolerance_accepts_only_what_the_tolerance_accepts() -> None:
    for run in (amplifying(6, "float64", 70), without_zeros((3, 2, 4, 5))):
        known = tolerances(truths([run])[0])
        for name, limit in known.items():
            (truth,) = truths([run])
            errors = [0, 16, 17, limit / 4, 0.999 * limit, 1.001 * limit, inf]
            allowed = [truth.allowed(name, units) for units in errors]
            assert [units <= most for units, most in zip(errors, allowed, strict=True)] == [*[True] * 5, False, False]
            assert [allowed[-1], truth.allowed(name, nan)] == pytest.approx([limit] * 2)
            assert [truth.allowed(name, units) for units in errors] == allowed  # independently of earlier calls
            if name not in ("dx", "C"):
                break


def test_correct_implementations_pass_on_runs_that_amplify_errors() -> None:
    """Without neighbours, a few per cent of these runs would fail, and different ones on every machine."""
    cases = [amplifying(6, "float64", seed) for seed in range(70, 110)]
    known = [
        (case, truth) for case, truth in zip(cases, truths(cases), strict=True) if truth.is_well_conditioned(FLOAT64)
    ]
    assert len(known) > 20
    for case, truth in known:
        for found in (twins.bptt_blocks(case), twins.fused_blocks(case)):
            assert all_ok(truth, found)


@pytest.mark.parametrize("seed", [0, 7, 21])
def test_a_block_is_not_allowed_the_loss_of_another_block(seed: int) -> None:
    run = amplifying(5, "float32", seed)
    (truth,), correct = truths([run]), backward(fused, run)
    assert judge(run.inputs | correct).ok
    for name in ("dx", "dh0", "dC0"):  # off by 2 %, an error comparable to the tolerance of the worst block
        wrong = correct[name] * np.float32(1.02)
        assert np.max(truth.units(name, wrong, FLOAT32)) < 10 * max(tolerances(truth).values())
        assert not truth.compare(name, wrong, FLOAT32).ok


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_a_run_on_which_float32_loses_all_digits_is_ill_conditioned_in_float64_too(seed: int) -> None:
    run = amplifying(30, "float64", seed)
    (truth,) = truths([run])
    assert max(tolerances(truth).values()) * np.finfo(np.float64).eps < 0.01
    assert not truth.is_well_conditioned(FLOAT64)


def test_a_run_near_the_end_of_the_range_is_ill_conditioned() -> None:
    run = near_the_end_of_the_range()
    (truth,) = truths([run])
    assert truth.allowed("δ8", inf) == inf
    assert not truth.is_well_conditioned(FLOAT64)
    (truth,) = truths([near_the_end_of_the_range(1e307, 1e10)])
    assert np.any(np.isinf(truth.scales["δ8"]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_inputs_of_a_neighbour_differ_by_one_or_two_units_of_float32(dtype: str) -> None:
    run, eps = without_zeros((3, 2, 4, 5), dtype), np.finfo(np.float32).eps
    run.inputs["x"][0, 0, 0] = 0
    near, other, again = (neighbour(run, number) for number in (0, 1, 0))
    assert (near.number, near.regime, near.dtype) == (run.number, run.regime, run.dtype)
    is_larger = []
    for name, array in run.inputs.items():
        distance = np.abs(near.inputs[name].astype(float) - array) / np.where(array, np.abs(array), 1)
        assert np.all(np.where(array == 0, distance == 0, (0.49 * eps < distance) & (distance < 2.01 * eps))), name
        np.testing.assert_array_equal(near.inputs[name], again.inputs[name], strict=True)
        assert np.any(near.inputs[name] != other.inputs[name])
        is_larger += (np.abs(near.inputs[name]) > np.abs(array)).ravel().tolist()
    assert 0.3 < np.mean(is_larger) < 0.7


def test_a_neighbour_of_the_largest_number_may_be_infinite_without_a_warning() -> None:
    run = without_zeros((3, 2, 4, 5), "float32")
    run.inputs["x"][:] = np.finfo(np.float32).max
    assert np.isinf(neighbour(run, 0).inputs["x"]).any()


def sums(p: Any, x: jax.Array, h0: jax.Array, C0: jax.Array, upstream: Any) -> dict[str, jax.Array]:
    return {"dx": jnp.cumsum(x, axis=0), "dh0": h0 + C0, "dC0": p["b_f"] * jnp.ones_like(C0)}


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_a_function_is_evaluated_on_every_run_in_its_own_sizes(dtype: np.dtype[Any]) -> None:
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


def test_a_function_without_gradients_returns_none_on_a_run_without_steps() -> None:
    function: Callable[..., dict[str, Any]] = lambda p, x, *_: {"h": x}  # noqa: E731
    (found,) = evaluate(function, [without_zeros((0, 2, 4, 4))], FLOAT64)
    assert [(name, block.shape) for name, block in found.items()] == [("h", (0, 2, 4))]
