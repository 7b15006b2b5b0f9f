"""Checkpoints change what is kept, not what comes out."""

from __future__ import annotations

import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import manual
from manual import bptt, fused
from manual.fused import ROWS
from tests.test_infer import MANY, SIZES, drawn

Sizes = tuple[int, int, int, int]


def gradients(params: manual.Params, x: np.ndarray, h0: np.ndarray, C0: np.ndarray, every: int | None) -> list:
    """All results of forward and backward; every upstream gradient arrives."""
    tape = manual.forward(params, x, h0, C0, checkpoint=every)
    dh = np.cos(np.arange(tape.h.size, dtype=x.dtype)).reshape(tape.h.shape)
    found = manual.backward(tape, dh, dh_T=h0 + 1, dC_T=C0 - 1)
    return [tape.h, tape.h_T, tape.C_T, *found.params.gates().values(), found.x, found.h0, found.C0]


@settings(max_examples=60, deadline=None)
@given(SIZES, st.integers(1, 12), st.sampled_from(["float32", "float64"]), st.integers(0, 999))
def test_the_results_are_the_same_to_rounding(sizes: Sizes, every: int, dtype: str, seed: int) -> None:
    inputs = drawn(sizes, dtype, seed)
    for got, want in zip(gradients(*inputs, every), gradients(*inputs, None), strict=True):
        assert got.dtype == want.dtype
        scale = np.max(np.abs(want), initial=1)
        np.testing.assert_allclose(got, want, rtol=0, atol=200 * np.finfo(dtype).eps * scale, strict=True)


@settings(max_examples=20, deadline=None)
@given(SIZES | MANY, st.sampled_from(["float32", "float64"]), st.integers(0, 999))
@example((5 * ROWS + 3, 1, 1, 1), "float64", 0)
@example((ROWS**2 // 64 + 7, 16, 2, 3), "float32", 0)
def test_by_default_they_are_the_same_to_the_bit(sizes: Sizes, dtype: str, seed: int) -> None:
    inputs = drawn(sizes, dtype, seed)
    for got, want in zip(gradients(*inputs, True), gradients(*inputs, None), strict=True):
        np.testing.assert_array_equal(got, want, strict=True)


def recorded(kernel: Callable[..., Any], dtypes: list[str]) -> Callable[..., Any]:
    """The kernel, which writes down each type that it runs in."""

    def run(*inputs: Any) -> Any:
        dtypes.append(next(array.dtype.name for array in inputs if isinstance(array, np.ndarray)))
        return kernel(*inputs)

    return run


@pytest.mark.parametrize(("B", "seed"), [(2, 1), (2, 3), (1, 8)])
@pytest.mark.parametrize("every", [1, 2, 4, True])
def test_gradients_that_leave_the_range_come_back(B: int, seed: int, every: int) -> None:
    """Sums of the gates are out of range there and in every stretch back, and products of gradients besides."""
    params, x, h0, C0 = drawn((6, B, 3, 4), "float32", seed)
    x[0] *= np.float32(1e38)
    params.U *= np.float32(1e3)
    params.b_o = np.full(4, -6, "f4")
    dh = np.where(np.random.default_rng(seed).random((6, B, 4)) < 0.5, -3e38, 3e38).astype("f4")
    in_64 = manual.Params(*(array.astype("f8") for array in vars(params).values()))
    literal = bptt.forward(in_64, *(array.astype("f8") for array in (x, h0, C0)))

    seen: dict[str, list[str]] = {"run_on": [], "gradients": []}
    with pytest.MonkeyPatch.context() as patch:
        for name, dtypes in seen.items():
            patch.setattr(fused, name, recorded(getattr(fused, name), dtypes))
        tape = manual.forward(params, x, h0, C0, checkpoint=every)
        there = len(seen["run_on"])
        found = manual.backward(tape, dh)
    assert seen["gradients"] == ["float32", "float64"]
    passes = 4 if B == 1 else 3  # there, back in float32, for one sequence once more step by step, and in float64
    assert seen["run_on"] == ["float64"] * passes * there

    wanted = bptt.backward(literal, dh.astype("f8"))
    pairs = [(tape.h, literal.h), (tape.C_T, literal.C_T)]
    pairs += [(getattr(found, name), getattr(wanted, name)) for name in ("x", "h0", "C0")]
    pairs += list(zip(found.params.gates().values(), wanted.params.gates().values(), strict=True))
    largest = np.finfo("f4").max
    for got, want in pairs:
        assert got.dtype == np.float32
        within = np.clip(want, -largest, largest)
        allowed = 1e-5 * max(np.max(np.abs(within)), np.finfo("f4").tiny)
        np.testing.assert_allclose(np.clip(got, -largest, largest).astype("f8"), within, rtol=1e-4, atol=allowed)


def test_a_start_that_leaves_the_range_does_so_in_every_stretch_back() -> None:
    """What the first step of all is handed decides for all of them, as it did there."""
    params, x, h0, C0 = drawn((6, 2, 3, 4), "float32", 0)
    h0 *= np.float32(1e37)
    params.W *= np.float32(1e3)
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "run_on", recorded(fused.run_on, seen))
        manual.backward(manual.forward(params, x, h0, C0, checkpoint=2), h0[None] * np.ones((6, 1, 1), "f4") * 0)
    assert seen == ["float64"] * 6


def test_memory_grows_as_the_output_does() -> None:
    T, H = 20_000, 16

    def peak(steps: int, every: bool | None) -> float:
        params, x, h0, C0 = drawn((steps, 1, 1, H), "float64", 0)
        tracemalloc.start()
        manual.backward(manual.forward(params, x, h0, C0, checkpoint=every))
        numbers = tracemalloc.get_traced_memory()[1] / x.itemsize
        tracemalloc.stop()
        return numbers

    whole, checkpointed = ((peak(2 * T, every) - peak(T, every)) / T for every in (None, True))  # a step
    assert whole >= 7 * H
    assert checkpointed <= 1.5 * H + 2


def test_a_stretch_is_gone_before_the_next_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    params, x, *_ = drawn((7, 2, 3, 4), "float64", 0)
    tape, run, made = manual.forward(params, x, checkpoint=2), fused.run_on, list[weakref.ref[manual.Tape]]()

    def run_alone(*arguments: Any) -> manual.Tape:
        assert not [True for before in made if before() is not None]
        stretch = run(*arguments)
        made.append(weakref.ref(stretch))
        return stretch

    monkeypatch.setattr(fused, "run_on", run_alone)
    manual.backward(tape, tape.h)
    assert len(made) == 4


@pytest.mark.parametrize(
    ("T", "B", "checkpoint", "every"),
    [
        (600, 1, True, 256), (600, 2, True, 128), (400, 64, True, 20), (420, 64, True, 20), (18, 300, True, 4),
        (5, 1, True, 5), (300, 0, True, 256), (0, 1, True, 1), (7, 2, 3, 3), (7, 2, 1, 1), (7, 2, 9, 7), (0, 2, 3, 1),
    ],
)  # fmt: skip
def test_the_cell_state_is_kept_as_often_as_it_is_said(T: int, B: int, checkpoint: int, every: int) -> None:
    params, x, h0, C0 = drawn((T, B, 1, 1), "float64", 0)
    tape, whole = manual.forward(params, x, h0, C0, checkpoint=checkpoint), manual.forward(params, x, h0, C0)
    assert tape.every == every
    steps = [*range(0, T, every), T]
    assert isinstance(tape.checkpoints, np.ndarray)
    np.testing.assert_allclose(tape.checkpoints, whole.Cs[steps], rtol=0, atol=1e-14, strict=True)


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        (0, ValueError, "checkpoint is 0; expected at least 1"),
        (-3, ValueError, "checkpoint is -3; expected at least 1"),
        (False, TypeError, "checkpoint is False; expected a whole number"),
        (2.5, TypeError, "checkpoint is 2.5; expected a whole number"),
        ("sqrt", TypeError, "checkpoint is 'sqrt'; expected a whole number"),
    ],
)
def test_a_checkpoint_that_is_none_is_named(checkpoint: object, error: type[Exception], message: str) -> None:
    params, x, *_ = drawn((3, 2, 3, 4), "float64", 0)
    with pytest.raises(error, match=message):
        manual.forward(params, x, checkpoint=checkpoint)


def test_what_is_not_kept_says_so() -> None:
    params, x, *_ = drawn((3, 2, 3, 4), "float64", 0)
    tape = manual.forward(params, x, checkpoint=2)
    with pytest.raises(AttributeError, match="does not keep C; run forward without checkpoint"):
        _ = tape.C
    with pytest.raises(TypeError, match=r"tape is of type CheckpointedTape; expected"):
        bptt.backward(tape)
    with pytest.raises(TypeError, match=r"tape is of type CheckpointedTape; expected"):
        manual.deltas(tape)
