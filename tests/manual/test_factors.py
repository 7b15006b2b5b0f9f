"""A factor is what a gradient of one becomes on its way: the literal twin takes it there, edge by edge."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import Tape, bptt
from manual.factors import factors
from reference.oracle.cases import Case
from reference.run import Array
from tests.strategies import DTYPES, drawn, runs
from tests.twins import agree, forward

NAMES = ("to_f_i_g", "to_o", "to_8")


def room_of(h: Array) -> dict[str, Array]:
    """Room for the factors and for what they are made of; it holds NaN."""
    by_gate = {"to_f_i_g": 3, "to_o": None, "to_8": None, "rests": 3, "addends": 2}
    return {name: np.full((n, *h.shape) if n else h.shape, np.nan, h.dtype) for name, n in by_gate.items()}


def found(tape: Tape, steps: slice) -> dict[str, Array]:
    """The factors of these steps."""
    room = room_of(tape.h[steps])
    factors(tape.slabs[steps].swapaxes(0, 1), tape.tanh_C[steps], tape.h[steps], **room)
    return {name: room[name] for name in NAMES}


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
    return {name: np.stack([row[name] for row in rows], axis=name == "to_f_i_g") for name in NAMES}  # gates come first


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


def test_they_lie_as_they_are_asked_to() -> None:
    """Steps first, as in the tape, or gates first: the same bits."""
    tape = forward(bptt, drawn((5, 2, 3, 4), "ordinary", "float32", 0))
    room = {name: np.moveaxis(np.moveaxis(array, 0, 1).copy(), 0, 1) for name, array in room_of(tape.h).items()}
    factors(tape.slabs[:5].swapaxes(0, 1), tape.tanh_C, tape.h, **room)
    for name, array in found(tape, slice(0, 5)).items():
        np.testing.assert_array_equal(room[name], array, strict=True)


def test_the_tape_is_left_as_it_is() -> None:
    tape = forward(bptt, drawn((5, 2, 3, 4), "ordinary", "float64", 0))
    before = {name: array.copy() for name, array in vars(tape).items() if name != "params"}
    found(tape, slice(0, 5))
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(tape, name), array, strict=True)
