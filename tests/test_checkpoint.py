"""Checkpoints change which values are kept, not the results."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manual
from lstm_oracle.inputs.cases import Case, Sizes
from lstm_oracle.run import Array
from lstm_oracle.verify.twins import gradients as named
from manual import bptt
from tests.strategies import DTYPES, drawn, runs
from tests.twins import judge, params_of, same_bits, upstream_of

START = ("x", "h0", "C0")
RUN = drawn((3, 2, 3, 4), "ordinary", "float64", 0)


def results(run: Case, checkpoint: int | None) -> dict[str, Array]:
    tape = manual.forward(params_of(run), *(run.inputs[name] for name in START), checkpoint=checkpoint)
    gradients = named(manual.backward(tape, **upstream_of(run)))
    return {"h": tape.h, "h_T": tape.h_T, "C_T": tape.C_T} | gradients


@given(run=runs(), checkpoint=st.sampled_from([1, 2, 5, 1000]))
def test_every_gradient_is_right_with_checkpoints(run: Case, checkpoint: int) -> None:
    found = results(run, checkpoint)
    np.testing.assert_array_equal(found.pop("h_T"), [run.inputs["h0"], *found["h"]][-1], strict=True)
    judge(run, found)


@given(run=runs())
def test_by_default_the_results_are_the_same_to_the_bit(run: Case) -> None:
    assert same_bits(results(run, True), results(run, None))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "sizes", [(1283, 1, 1, 1), (1031, 16, 2, 3), (257, 4, 2, 41), (3, 257, 2, 2), (40, 64, 3, 130)], ids=str
)
def test_the_results_of_long_sequences_and_large_batches_are_the_same_to_the_bit(sizes: Sizes, dtype: str) -> None:
    run = drawn(sizes, "ordinary", dtype, 0)
    assert same_bits(results(run, True), results(run, None))


@pytest.mark.parametrize(
    ("checkpoint", "error", "message"),
    [
        (0, ValueError, "checkpoint is 0; expected an integer ≥ 1"),
        (-3, ValueError, "checkpoint is -3; expected an integer ≥ 1"),
        (False, TypeError, "checkpoint is False; expected an integer ≥ 1"),
        (2.5, TypeError, "checkpoint is 2.5; expected an integer ≥ 1"),
        ("sqrt", TypeError, "checkpoint is 'sqrt'; expected an integer ≥ 1"),
    ],
)
def test_an_invalid_checkpoint_is_refused_by_name(checkpoint: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        manual.forward(params_of(RUN), RUN.inputs["x"], checkpoint=checkpoint)


def test_values_that_are_not_kept_are_refused_by_name() -> None:
    tape = manual.forward(params_of(RUN), RUN.inputs["x"], checkpoint=2)
    with pytest.raises(AttributeError, match="does not keep C; call forward without checkpoint"):
        _ = tape.C
    for literal in (bptt.backward, manual.deltas):
        with pytest.raises(TypeError, match=r"tape is of type CheckpointedTape; expected"):
            literal(tape)
