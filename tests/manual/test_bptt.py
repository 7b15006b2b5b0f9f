"""The literal twin's own: what may be left out, which step is which, and that nothing handed in is written to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manual import Gradients, bptt
from manual.derivation import step
from tests.strategies import without_zeros
from tests.twins import forward, named, params_of, upstream_of

T, B, D, H = SIZES = 3, 2, 5, 4
RUN = without_zeros(SIZES)
BACK: list[Callable[..., Any]] = [bptt.backward, bptt.deltas]


def blocks(found: Any) -> dict[Any, Any]:
    """The arrays of either way back, by name."""
    if isinstance(found, Gradients):
        return named(found)
    return {(t, n): δ for t, edges in enumerate(found) for n, δ in edges.items()}


def same(got: dict[Any, Any], want: dict[Any, Any]) -> None:
    assert got.keys() == want.keys()
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], str(name), strict=True)


@pytest.mark.parametrize("missing", [{"h0"}, {"C0"}, {"h0", "C0"}])
def test_a_state_that_is_left_out_is_zero(missing: set[str]) -> None:
    given = {name: RUN.inputs[name] for name in ("h0", "C0")}
    got = bptt.forward(params_of(RUN), RUN.inputs["x"], **{n: a for n, a in given.items() if n not in missing})
    want = bptt.forward(
        params_of(RUN), RUN.inputs["x"], *(np.zeros_like(a) if n in missing else a for n, a in given.items())
    )
    for name in ("hs", "slabs", "tanh_C"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name), strict=True)


@pytest.mark.parametrize("missing", [{"dh"}, {"dh_T"}, {"dC_T"}, {"dh_T", "dC_T"}, {"dh", "dh_T", "dC_T"}])
@pytest.mark.parametrize("back", BACK)
def test_a_gradient_that_is_left_out_is_zero(back: Callable[..., Any], missing: set[str]) -> None:
    tape, given = forward(bptt, RUN), upstream_of(RUN)
    got = back(tape, **{name: array for name, array in given.items() if name not in missing})
    want = back(tape, **{name: 0 * array if name in missing else array for name, array in given.items()})
    same(blocks(got), blocks(want))


@pytest.mark.parametrize("sizes", [SIZES, (0, B, D, H)])
@pytest.mark.parametrize("back", BACK)
def test_what_arrives_stays_the_callers(back: Callable[..., Any], sizes: tuple[int, int, int, int]) -> None:
    run = RUN if sizes == SIZES else without_zeros(sizes)
    tape, given = forward(bptt, run), upstream_of(run)
    before = {name: array.copy() for name, array in given.items()}
    found = blocks(back(tape, **given))
    same(given, before)
    assert not any(np.shares_memory(array, block) for array in given.values() for block in found.values())


def test_the_edges_come_in_the_order_of_the_steps() -> None:
    given, δs = upstream_of(RUN), bptt.deltas(forward(bptt, RUN), **upstream_of(RUN))
    for t, δ in enumerate(δs):
        np.testing.assert_array_equal(δ[1], given["dh"][t])
        np.testing.assert_array_equal(δ[2], δs[t + 1][25] if t + 1 < T else given["dh_T"])
        np.testing.assert_array_equal(δ[4], δs[t + 1][11] if t + 1 < T else given["dC_T"])


def test_a_step_is_kept_as_the_derivation_has_it() -> None:
    tape = forward(bptt, RUN)
    for t, x in enumerate(RUN.inputs["x"]):
        want = step(params_of(RUN), x, tape.hs[t], tape.Cs[t])
        same(vars_of(bptt.step_of(tape, t)), vars_of(want))


def vars_of(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__slots__}
