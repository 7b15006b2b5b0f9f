"""A factor is what a gradient of one becomes on its way: the literal twin takes it there, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import Tape, bptt
from manual.factors import factors, room_for_factors
from reference.oracle.cases import Case
from reference.run import Array
from tests.strategies import DTYPES, drawn, runs
from tests.twins import agree, forward

NAMES = ("to_f_i_g", "to_o", "to_8")


def found(tape: Tape, steps: slice) -> dict[str, Array]:
    """The factors of these steps, in room that holds NaN before."""
    _, B, H = tape.h[steps].shape
    room = room_for_factors(len(tape.h[steps]), B, H, tape.h.dtype)
    for array in room:
        array[...] = np.nan
    return dict(zip(NAMES, factors(tape, steps, room), strict=True))


def step_of(tape: Tape, t: int) -> Tape:
    """Step t alone."""
    return Tape(tape.params, tape.x[t : t + 1], tape.slabs[t : t + 2], tape.tanh_C[t : t + 1], tape.hs[t : t + 2])


def wanted(tape: Tape, steps: slice) -> dict[str, Array]:
    """What becomes of a one that arrives at C, which is δ8, and of one that arrives at h, which is δ3."""
    rows: list[dict[str, Array]] = []
    for t in range(len(tape.h))[steps]:
        step, one = step_of(tape, t), np.ones_like(tape.h_T)
        (of_C,), (of_h,) = bptt.deltas(step, dC_T=one), bptt.deltas(step, dh_T=one)
        to_f_i_g = np.stack([of_C[16], of_C[15], of_C[14]])
        rows.append({"to_f_i_g": to_f_i_g, "to_o": of_h[13], "to_8": of_h[8]})
    return {name: np.stack([row[name] for row in rows]) for name in NAMES}


@given(run=runs(sizes=st.tuples(st.integers(1, 9), st.integers(0, 4), st.integers(0, 3), st.integers(1, 5))))
def test_they_are_what_becomes_of_one(run: Case) -> None:
    tape = forward(bptt, run)
    steps = slice(0, len(tape.h))
    agree(found(tape, steps), wanted(tape, steps))


@pytest.mark.parametrize("dtype", DTYPES)
def test_they_are_those_of_the_steps_that_are_asked_for(dtype: str) -> None:
    tape = forward(bptt, drawn((7, 2, 3, 4), "ordinary", dtype, 0))
    for steps in (slice(0, 1), slice(2, 5), slice(5, 7), slice(6, 7)):
        agree(found(tape, steps), wanted(tape, steps))


def test_they_lie_in_the_room_that_they_are_given() -> None:
    """It is made once for all blocks of a pass: whatever is computed is written there."""
    tape = forward(bptt, drawn((5, 2, 3, 4), "ordinary", "float32", 0))
    room = room_for_factors(5, 2, 4, np.dtype(np.float32))
    for array in factors(tape, slice(0, 5), room):
        assert any(np.shares_memory(array, place) for place in room)
    assert {place.dtype for place in room} == {np.dtype(np.float32)}
    assert sum(place.nbytes for place in room) == 10 * tape.h.nbytes


def test_the_tape_is_left_as_it_is() -> None:
    tape = forward(bptt, drawn((5, 2, 3, 4), "ordinary", "float64", 0))
    before = {name: array.copy() for name, array in vars(tape).items() if name != "params"}
    found(tape, slice(0, 5))
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(tape, name), array, strict=True)
