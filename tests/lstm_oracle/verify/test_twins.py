"""The blocks of the hand-written twins: each under its own name, and all of them correct."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case, Sizes
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.truth.batch import PADDED_BLOCKS
from lstm_oracle.verify.twins import bptt_blocks, fused_blocks
from tests.strategies import DTYPES, without_zeros
from tests.twins import judge

VALUES = {"f", "i", "g", "o", "C", "tanh_C", "h", "C_T"}
FUSED_EDGES = {"δ13", "δ14", "δ15", "δ16", "δ26"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(3, 2, 4, 5), (5, 1, 3, 4), (130, 4, 3, 5), (9, 1, 3, 50)], ids=str)
def test_every_block_is_correct_and_no_input_is_written_to(sizes: Sizes, dtype: str) -> None:
    run = without_zeros(sizes, dtype)
    before = {name: array.copy() for name, array in run.inputs.items()}
    of_bptt, of_fused = bptt_blocks(run), fused_blocks(run)
    assert set(of_bptt) == {*PADDED_BLOCKS, "C_T"}
    assert set(of_fused) == {*VALUES, *GRADIENTS, *FUSED_EDGES}
    for blocks in (of_bptt, of_fused):
        judge(run, blocks)
    for name, array in run.inputs.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(("blocks", "edges"), [(bptt_blocks, set()), (fused_blocks, FUSED_EDGES)])
def test_without_steps_the_upstream_gradients_are_passed_on(
    blocks: Callable[[Case], dict[str, Array]], edges: set[str]
) -> None:
    run = without_zeros((0, 2, 4, 5))
    found = blocks(run)
    assert set(found) == VALUES | {*GRADIENTS} | edges
    judge(run, found)
