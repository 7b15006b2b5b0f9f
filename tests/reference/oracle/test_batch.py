"""The lanes of a batch, by themselves: what is put in, what autodiff says of it, and what is cut out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from reference.lstm import full_precision
from reference.oracle import padding, tolerance, truth
from reference.oracle.cases import Sizes
from reference.oracle.truth import (
    BLOCKS,
    DIMS,
    FLOAT32,
    FLOAT64,
    VALUES,
    Batch,
    compiled,
    evaluate,
    float32_errors,
    padded_blocks,
)
from tests.strategies import without_zeros

EPS = float(np.finfo(np.float64).eps)
SMALL: Sizes = (3, 2, 4, 5)
WIDE: Sizes = (3, 5, 17, 40)
SHAPE: Sizes = (5, 4, 3, 6)
Said = tuple[dict[str, Any], dict[str, Any]]  # the blocks of a run or a batch, and their errors in float32


def nothing(lanes: int, shape: Sizes = SHAPE) -> Said:
    """What is said of a batch, all zeros."""
    size = dict(zip("TBDH", shape, strict=True))
    exact = {name: np.zeros((lanes, *(size[dim] for dim in dims))) for name, dims in BLOCKS.items()}
    return exact, {name: np.zeros((lanes, *[1] * len(dims))) for name, dims in BLOCKS.items()}


def answers(said: Said) -> dict[Any, Any]:
    """What is compiled, by the function."""
    return {padded_blocks: lambda inputs, sizes: said[0], float32_errors: lambda inputs, sizes, right: said[1]}


def batch_of(
    monkeypatch: pytest.MonkeyPatch, said: Said, sizes: Sequence[Sizes], lanes: int, dtype: str = "float64"
) -> Batch:
    """A batch of which autodiff says this."""
    monkeypatch.setattr(truth, "compiled", lambda function, spread: answers(said)[function])
    return Batch([without_zeros(size, dtype) for size in sizes], SHAPE, lanes)


def test_a_batch_is_on_many_threads_if_a_run_of_its_shape_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    spread: list[tuple[Any, bool]] = []
    known, run, function = answers(nothing(1)), without_zeros((3, 2, 1, 5)), lambda *inputs: {}
    monkeypatch.setattr(truth, "compiled", lambda *args: spread.append(args) or known.get(args[0], args[0]))
    for large in (padding.LARGE, 0):
        monkeypatch.setattr(padding, "LARGE", large)
        batch = Batch([run], SHAPE, 1)
        assert spread.pop() == (padded_blocks, large == 0)
        assert spread == []  # in float32 nothing is computed before it is asked for
        assert batch.own_losses[0]["h"] == 0
        assert spread.pop() == (float32_errors, large == 0)
        evaluate(function, [run], FLOAT64)
        assert spread.pop() == (function, large == 0)


def test_what_is_compiled_is_for_many_runs_on_one_thread_or_on_all(monkeypatch: pytest.MonkeyPatch) -> None:
    options: list[Any] = []
    monkeypatch.setattr(jax, "jit", lambda function, compiler_options: options.append(compiler_options) or function)

    def function(x: jax.Array) -> jax.Array:
        return jnp.cumsum(x)

    assert compiled(function, False)(np.ones((2, 3))).tolist() == [[1, 2, 3]] * 2
    assert compiled(function, True)(np.ones((2, 3))).tolist() == [[1, 2, 3]] * 2
    assert compiled(function, False) is compiled(function, False)
    assert options == [{"xla_cpu_multi_thread_eigen": False}, None]


def test_what_autodiff_says_is_one_mapping_of_values_edges_and_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    values = {name: f"value {name}" for name in (*VALUES, "h_out", "h_next", "C_next")}
    monkeypatch.setattr(truth, "pull_back", lambda *inputs: (values, {1: inputs, 26: "δ"}, {"dW_f": "gradient"}))
    want = {name: f"value {name}" for name in VALUES} | {"δ1": ("p", "x"), "δ26": "δ", "dW_f": "gradient"}
    assert truth.blocks("p", "x") == want


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """What is told of a run of 2 steps, 1 row and 3 units in SHAPE whose blocks are all 8, in float32 less by step."""
    size = dict(zip("TBDH", SHAPE, strict=True))

    def blocks(*inputs: Any) -> dict[str, jax.Array]:
        full = {name: jnp.full([size[dim] for dim in dims], 8, inputs[1].dtype) for name, dims in BLOCKS.items()}
        if inputs[1].dtype == np.float64:
            return full
        assert {array.dtype for array in jax.tree.leaves(inputs)} == {FLOAT32}
        return {name: block.at[0].add(-2).at[1].add(-1).at[..., 0].add(-0.5) for name, block in full.items()}

    monkeypatch.setattr(truth, "blocks", blocks)
    T, B, D, H = SHAPE
    x, h0, dh = (jnp.zeros(shape) for shape in ((T, B, D), (B, H), (T, B, H)))
    with full_precision():
        inputs = jax.tree.map(lambda array: array.astype(np.float64), ({"W_f": h0}, x, h0, h0, {"dh": dh}))
        found = padded_blocks(inputs, np.array([2, 1, 1, 3]))
        return jax.tree.map(np.asarray, (found, float32_errors(inputs, np.array([2, 1, 1, 3]), found)))


def test_a_block_is_exact_and_zero_where_a_value_pads_the_run(said: Said) -> None:
    exact, _ = said
    assert set(exact) == set(BLOCKS)
    for name, block in exact.items():
        assert block.dtype == FLOAT64
        if name in VALUES:
            assert np.all(block[:2, :1, :3] == 8)
            assert np.count_nonzero(block) == 2 * 1 * 3
        else:
            assert np.all(block == 8)  # where autodiff says zero it is


def test_what_float32_loses_is_the_most_in_a_block_at_every_step(said: Said) -> None:
    _, lost = said
    assert set(lost) == set(BLOCKS)
    for name, most in lost.items():
        if name in VALUES:
            assert np.squeeze(most).tolist() == [2.5, 1.5, 0, 0, 0]
            assert most.shape == (5, 1, 1)
        elif "T" in BLOCKS[name]:
            assert np.squeeze(most).tolist() == [2.5, 1.5, 0.5, 0.5, 0.5]
            assert most.shape == (5, 1, 1)
        else:
            assert most.shape == (1,) * len(BLOCKS[name])
            assert np.squeeze(most) == 2.5


def test_the_last_cell_state_and_its_scale_are_those_of_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    said = nothing(3)
    said[0]["C"] += np.arange(5)[:, None, None]
    batch = batch_of(monkeypatch, said, [(2, 1, 2, 3), (5, 2, 1, 4)], 3)
    for lane, last in enumerate((1, 4)):
        found = batch.truth(lane)
        assert np.all(found.blocks["C_T"] == last)
        assert found.scales["C_T"].tolist() == found.scales["C"][-1].tolist()


def test_a_batch_has_the_scales_of_every_run(monkeypatch: pytest.MonkeyPatch) -> None:
    said, sizes = nothing(3), [(2, 1, 2, 3), (5, 2, 1, 4)]
    batch = batch_of(monkeypatch, said, sizes, 3)
    rng = np.random.default_rng(0)
    for lane in range(2):
        own = {name: rng.normal(size=block.shape) for name, block in batch.truth(lane).blocks.items()}
        own["C_T"] = own["C"][-1]
        for name in BLOCKS:
            said[0][name][lane][tuple(map(slice, own[name].shape))] = own[name]
        vars(batch).pop("scales", None)
        for name, scale in tolerance.scales(batch.cases[lane].inputs, own).items():
            np.testing.assert_allclose(batch.truth(lane).scales[name], scale, rtol=1e-12, err_msg=name)


def test_the_loss_is_that_of_the_worst_block_at_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    said = nothing(3)
    for name in ("h", "δ1"):
        said[1][name] = np.zeros((3, 5, 1, 1))
    said[0]["δ1"][:, 0] = 1e6
    eps = float(np.finfo(np.float32).eps)
    said[1]["δ1"][:, 0], said[1]["δ1"][1, 1], said[1]["h"][2, 4] = 1e6 * eps, 4 * eps, 8 * eps
    said[1]["dW_f"][0] = np.finfo(np.float32).tiny
    batch = batch_of(monkeypatch, said, [(5, 2, 1, 4)] * 3, 3)
    losses = [batch.truth(lane).own_losses for lane in range(3)]
    assert {type(loss) for of_run in losses for loss in of_run.values()} == {float}
    assert [set(of_run) for of_run in losses] == [set(DIMS)] * 3
    assert [[of_run[name] for of_run in losses] for name in ("h", "C_T")] == [[0, 0, pytest.approx(8)], [0, 0, 0]]
    assert losses[0]["δ1"] == pytest.approx(1)
    assert 0 < losses[0]["dW_f"] < 1e-30  # one below the normal range, where a unit is more


def test_a_truth_knows_its_run_and_the_batch_that_it_is_from(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(monkeypatch, nothing(4), [(2, 1, 2, 3)] * 2, 4)
    found = batch.truth(1)
    assert (found.case, found.shape, found.batch, found.lane) == (batch.cases[1], SHAPE, batch, 1)
    assert len(found.blocks) == len(found.scales) == len([*found.blocks]) == len(DIMS)


def test_a_scale_is_there_for_every_step_and_one_for_a_block_without(monkeypatch: pytest.MonkeyPatch) -> None:
    found = batch_of(monkeypatch, nothing(1), [(2, 1, 2, 3)], 1).truth(0)
    for name, dims in DIMS.items():
        assert found.scales[name].shape == ((2,) if "T" in dims else (1,)) + (1,) * (len(dims) - 1)


def test_units_of_a_batch_are_the_worst_at_every_step_of_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    said, sizes = nothing(3), [(2, 1, 2, 3), (5, 2, 1, 4), (3, 1, 2, 3)]
    said[0]["h"][2, :3, :1, :3] = 1
    batch = batch_of(monkeypatch, said, sizes, 3)
    got = [np.full((3, 1, 3), 1.0), np.zeros((2, 1, 3))]
    got[0][1, 0, 2], got[0][2, 0, 0], got[1][1, 0, 1] = 1 - 8 * EPS, 1 + 4 * EPS, EPS
    found = batch.units("h", [2, 0], got, FLOAT64)
    assert found.tolist() == [[0, pytest.approx(8), pytest.approx(4), 0, 0], [0, pytest.approx(1), 0, 0, 0]]
    assert np.all(batch.blocks["h"] == said[0]["h"])


def test_units_of_a_block_without_steps_are_one_for_each_run(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(monkeypatch, nothing(2), [(2, 3, 2, 3), (2, 3, 2, 3)], 2)
    got = [np.zeros((3, 3)), np.zeros((3, 3))]
    got[1][2, 2] = -float(np.finfo(np.float32).eps)
    assert batch.units("C_T", [0, 1], got, FLOAT32).tolist() == [[0], [pytest.approx(1)]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_arrives_at_a_run_without_steps_passes_through(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batch_of(monkeypatch, nothing(1), [(0, 2, 3, 4)], 1, dtype)
    found, (run,) = batch.truth(0), batch.cases
    assert (found.batch, found.shape, found.case) == (None, SHAPE, run)
    assert set(found.blocks) == set(found.scales) == set(DIMS)
    for name, block in found.blocks.items():
        assert block.shape == tuple(dict(zip("TBDH", run.sizes, strict=True))[dim] for dim in DIMS[name])
        assert block.dtype == FLOAT64
    for name, of in {"dh0": "dh_T", "dC0": "dC_T", "C_T": "C0"}.items():
        np.testing.assert_array_equal(found.blocks[name], run.inputs[of])
        assert found.scales[name].shape == (1, 1)
    assert not any(block.any() for name, block in found.blocks.items() if name not in ("dh0", "dC0", "C_T"))


def test_a_run_near_the_end_of_the_range_has_scales_without_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    said = nothing(1)
    said[0]["δ1"] += 1e308
    said[0]["C"] += 1e10
    batch = batch_of(monkeypatch, said, [(2, 1, 2, 3)], 1)
    batch.inputs[1][:] = 0  # x; which takes part in a scale that is infinite
    scales = batch.truth(0).scales
    assert np.any(np.isinf(scales["δ8"]))
    assert np.all(np.isnan(scales["dU_f"]))


def sums(p: Any, x: jax.Array, h0: jax.Array, C0: jax.Array, upstream: Any) -> dict[str, jax.Array]:
    return {"dx": jnp.cumsum(x, axis=0), "dh0": h0 + C0, "dC0": p["b_f"] * jnp.ones_like(C0)}


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32], ids=str)
def test_a_function_is_evaluated_on_every_run_within_its_own_sizes(dtype: np.dtype[Any]) -> None:
    runs = [without_zeros(size) for size in (SMALL, WIDE, (1, 1, 3, 4), (0, 2, 3, 4))]
    found = evaluate(sums, runs, dtype)
    assert [set(one) for one in found] == [{"dx", "dh0", "dC0"}] * 4
    for run, one in zip(runs, found, strict=True):
        given = run.inputs
        want = {"dx": np.cumsum(given["x"], axis=0), "dh0": given["dh_T"], "dC0": given["dC_T"]}
        if len(given["x"]):
            want |= {"dh0": given["h0"] + given["C0"], "dC0": given["b_f"] * np.ones_like(given["C0"])}
        for name, array in want.items():
            assert type(one[name]) is np.ndarray
            assert one[name].dtype == dtype
            np.testing.assert_allclose(one[name], array.astype(dtype), rtol=1e-5, atol=1e-6, err_msg=name)


def test_without_gradients_there_are_none_of_a_run_without_steps() -> None:
    (found,) = evaluate(lambda p, x, *_: {"h": x}, [without_zeros((0, 2, 4, 4))], FLOAT64)
    assert [(name, block.shape) for name, block in found.items()] == [("h", (0, 2, 4))]
