"""The blocks of the hand-written twins: each under its own name, and all of them right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case, Sizes
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.truth.batch import PADDED_BLOCKS
from lstm_oracle.verify.ours import bptt_blocks, fused_blocks
from tests.strategies import DTYPES, without_zeros
from tests.twins import judge

VALUES = {"f", "i", "g", "o", "C", "tanh_C", "h", "C_T"}
GATE_EDGES = {"δ13", "δ14", "δ15", "δ16"}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(3, 2, 4, 5), (5, 1, 3, 4), (130, 4, 3, 5), (9, 1, 3, 50)], ids=str)
def test_every_block_is_right_and_no_input_is_written_to(sizes: Sizes, dtype: str) -> None:
    run = without_zeros(sizes, dtype)
    before = {name: array.copy() for name, array in run.inputs.items()}
    of_bptt, of_fused = bptt_blocks(run), fused_blocks(run)
    assert set(of_bptt) == {*PADDED_BLOCKS, "C_T"}
    assert set(of_fused) == {*VALUES, *GRADIENTS, *GATE_EDGES, "δ26"}
    for blocks in (of_bptt, of_fused):
        judge(run, blocks)
    for name, array in run.inputs.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(("blocks", "edges"), [(bptt_blocks, set()), (fused_blocks, {*GATE_EDGES, "δ26"})])
def test_without_steps_what_arrives_passes_through(blocks: Callable[[Case], dict[str, Array]], edges: set[str]) -> None:
    run = without_zeros((0, 2, 4, 5))
    found = blocks(run)
    assert set(found) == VALUES | {*GRADIENTS} | edges
    judge(run, found)


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", ["dh", "dh_T", "dC_T"])
def test_an_infinite_gradient_of_one_unit_does_not_spread_to_the_others_in_its_step(name: str) -> None:
    run = without_zeros((1, 1, 2, 3))
    run.inputs[name][..., 1] = np.inf
    found = fused_blocks(run)
    for block in (*GATE_EDGES, "dC0"):
        assert np.isfinite(found[block]).reshape(3)[[0, 2]].all(), block
    assert not np.isfinite(found["dC0"][0, 1])
