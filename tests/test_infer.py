"""`manual.infer` is `manual.forward` without the tape."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manual
from lstm_oracle.inputs.cases import Case, Sizes
from manual import States
from tests.strategies import DTYPES, drawn, runs
from tests.twins import agree, forward, params_of, same_bits

NAMES = ("h", "h_T", "C_T")


def inferred(run: Case) -> States:
    return manual.infer(params_of(run), *(run.inputs[name] for name in ("x", "h0", "C0")))


def has_the_bits_of_forward(run: Case) -> bool:
    tape = forward(manual, run)
    return same_bits(vars(inferred(run)), {name: getattr(tape, name) for name in NAMES})


@given(run=runs())
def test_the_states_are_those_of_forward_to_the_bit(run: Case) -> None:
    assert has_the_bits_of_forward(run)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(515, 1, 2, 3), (90, 4, 1, 2), (3, 257, 2, 2), (40, 64, 3, 130)], ids=str)
def test_long_sequences_and_large_batches_have_the_states_of_forward_to_the_bit(sizes: Sizes, dtype: str) -> None:
    assert has_the_bits_of_forward(drawn(sizes, "ordinary", dtype, 0))


@given(run=runs(), cut=st.integers(0, 70))
def test_a_sequence_can_be_processed_in_chunks(run: Case, cut: int) -> None:
    params, x, whole = params_of(run), run.inputs["x"], inferred(run)
    first = manual.infer(params, x[:cut], run.inputs["h0"], run.inputs["C0"])
    second = manual.infer(params, x[cut:], first.h_T, first.C_T)
    agree(vars(second) | {"h": np.concatenate([first.h, second.h])}, vars(whole))


def test_the_last_states_of_an_empty_sequence_are_copies_of_the_initial_ones() -> None:
    run = drawn((0, 2, 3, 4), "ordinary", "float64", 0)
    found = inferred(run)
    found.h_T[:] = found.C_T[:] = 7
    assert not np.any(run.inputs["h0"] == 7)
    assert not np.any(run.inputs["C0"] == 7)
