"""`manual.infer` is `manual.forward` without the tape."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manual
from manual.fused import ROWS

SIZES = st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(0, 4), st.integers(1, 5))
MANY = st.sampled_from([(2 * ROWS + 3, 1, 2, 3), (ROWS // 3 + 5, 4, 1, 2), (3, ROWS + 1, 2, 2)])  # more than a block


def drawn(sizes: tuple[int, int, int, int], dtype: str, seed: int) -> tuple[manual.Params, *tuple[np.ndarray, ...]]:
    T, B, D, H = sizes
    rng = np.random.default_rng(seed)
    params = manual.Params(*(rng.normal(size=shape).astype(dtype) for shape in ((H, 4 * H), (D, 4 * H), (4 * H,))))
    return params, *(rng.normal(size=shape).astype(dtype) for shape in ((T, B, D), (B, H), (B, H)))


@settings(max_examples=60, deadline=None)
@given(SIZES | MANY, st.sampled_from(["float32", "float64"]), st.integers(0, 999))
def test_it_gives_the_bits_of_forward(sizes: tuple[int, int, int, int], dtype: str, seed: int) -> None:
    params, x, h0, C0 = drawn(sizes, dtype, seed)
    found, tape = manual.infer(params, x, h0, C0), manual.forward(params, x, h0, C0)
    for name in ("h", "h_T", "C_T"):
        assert getattr(found, name).dtype == dtype
        np.testing.assert_array_equal(getattr(found, name), getattr(tape, name), strict=True)


@settings(max_examples=40, deadline=None)
@given(SIZES | MANY, st.integers(0, 9), st.integers(0, 999))
def test_a_sequence_can_come_in_chunks(sizes: tuple[int, int, int, int], cut: int, seed: int) -> None:
    params, x, h0, C0 = drawn(sizes, "float64", seed)
    first = manual.infer(params, x[:cut], h0, C0)
    second = manual.infer(params, x[cut:], first.h_T, first.C_T)
    whole = manual.infer(params, x, h0, C0)
    np.testing.assert_allclose(np.concatenate([first.h, second.h]), whole.h, rtol=0, atol=1e-12)
    np.testing.assert_allclose(second.C_T, whole.C_T, rtol=0, atol=1e-12)


def test_its_states_are_its_own() -> None:
    params, x, h0, C0 = drawn((0, 2, 3, 4), "float64", 0)
    found = manual.infer(params, x, h0, C0)
    found.h_T[:] = found.C_T[:] = 7
    assert not np.any(h0 == 7)
    assert not np.any(C0 == 7)


@pytest.mark.parametrize(("T", "B"), [(120, 2 * ROWS), (120 * 16, ROWS // 8)])
def test_it_keeps_h_alone(T: int, B: int) -> None:
    """Beside h there are a block's tape and buffers, and no array else that has steps."""
    H = 16
    params, x, h0, C0 = drawn((T, B, 1, H), "float64", 0)
    manual.infer(params, x[: ROWS + 1], h0, C0)  # it leaves the room for a block
    tracemalloc.start()
    found = manual.infer(params, x, h0, C0)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    step = h0.nbytes
    assert peak <= found.h.nbytes + 40 * max(ROWS, B) * H * x.itemsize
    assert kept <= found.h.nbytes + 3 * step + 10_000  # the row before h, and the last states


def test_its_last_states_keep_no_other_alive() -> None:
    params, x, h0, C0 = drawn((7, 2, 3, 4), "float64", 0)
    found = manual.infer(params, x, h0, C0)
    assert found.h_T.base is None
    assert found.C_T.base is None


def test_what_does_not_fit_is_named() -> None:
    params, x, *_ = drawn((3, 2, 3, 4), "float64", 0)
    with pytest.raises(ValueError, match=r"x has shape \(3, 2, 2\)"):
        manual.infer(params, x[..., :2])
