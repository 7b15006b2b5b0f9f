"""Each mistake whose margin is measured is a mistake, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from mistakes import MISTAKES, outputs

from reference.oracle.cases import Case, draw_inputs
from reference.oracle.ours import bptt_blocks


def case(dtype, sizes=(4, 3, 2, 5)):
    return Case(0, "ordinary", draw_inputs(np.random.default_rng(4), sizes, "ordinary", np.dtype(dtype)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MISTAKES)
def test_it_changes_what_is_returned(name, dtype):
    wrong, right = MISTAKES[name](case(dtype)), outputs(case(dtype))
    assert wrong.keys() == right.keys()
    assert all(wrong[block].dtype == right[block].dtype for block in right)
    assert any(not np.allclose(wrong[block], right[block], rtol=1e-13, atol=0) for block in right)


def test_without_a_mistake_the_outputs_are_those_of_bptt():
    right = bptt_blocks(case("float64"))
    for name, block in outputs(case("float64")).items():
        np.testing.assert_array_equal(block, right[name])


def test_what_is_patched_is_right_again_afterwards():
    before = bptt_blocks(case("float64"))
    for mistake in MISTAKES.values():
        mistake(case("float64"))
    np.testing.assert_array_equal(bptt_blocks(case("float64"))["δ16"], before["δ16"])
