"""The fast twin works block by block: wherever a block ends, the results are the same."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import bptt, fused
from reference.oracle import ours
from reference.oracle.cases import Case
from reference.oracle.truth import VALUES
from tests.strategies import DTYPES, drawn, runs
from tests.twins import backward, forward, judge, named, params_of, upstream_of

BLOCKS = st.integers(1, 40)  # rows of a block, far fewer than it has by itself, so that a run has many


@pytest.mark.parametrize("rows", [1, 4, 13, fused.ROWS])
@pytest.mark.parametrize("sizes", [(7, 2, 3, 4), (5, 3, 4, 1), (1, 1, 1, 2), (0, 2, 3, 4), (3, 0, 2, 4), (3, 2, 0, 4)])
def test_it_says_what_the_literal_twin_says(sizes: tuple[int, int, int, int], rows: int) -> None:
    run = drawn(sizes, "ordinary", "float64", 0)
    start, upstream = [run.inputs[name] for name in ("x", "h0", "C0")], upstream_of(run)
    literal = forward(bptt, run)
    wanted = {name: getattr(literal, name) for name in (*VALUES, "h_T", "C_T")}
    wanted |= named(bptt.backward(literal, **upstream))
    with mock.patch.object(fused, "ROWS", rows):
        tape, states = forward(fused, run), fused.infer(params_of(run), *start)
        found = [{name: getattr(tape, name) for name in (*VALUES, "h_T", "C_T")}, vars(states)]
        for checkpoint in (None, True, 1, 3):
            kept = fused.forward(params_of(run), *start, checkpoint=checkpoint)
            found += [{"h": kept.h, "C_T": kept.C_T}, named(fused.backward(kept, **upstream))]
    for blocks in found:
        for name, got in blocks.items():
            np.testing.assert_allclose(got, wanted[name], rtol=1e-12, atol=1e-12, err_msg=name, strict=True)


@given(run=runs(), rows=BLOCKS)
def test_every_forward_value_is_right_in_blocks_of_any_length(run: Case, rows: int) -> None:
    with mock.patch.object(fused, "ROWS", rows):
        tape = forward(fused, run)
    judge(run, {name: getattr(tape, name) for name in VALUES})


@given(run=runs(), rows=BLOCKS)
def test_every_gradient_is_right_in_blocks_of_any_length(run: Case, rows: int) -> None:
    with mock.patch.object(fused, "ROWS", rows):
        judge(run, backward(fused, run))


@given(run=runs(), rows=BLOCKS)
def test_the_gates_deltas_are_right_in_blocks_of_any_length(run: Case, rows: int) -> None:
    with mock.patch.object(fused, "ROWS", rows):
        Δ, δ25, δ11 = ours.gate_deltas(forward(fused, run), *upstream_of(run).values())
    edges = dict(zip(("δ16", "δ15", "δ14", "δ13"), np.split(Δ, 4, axis=2), strict=True))
    judge(run, edges | {"dh0": δ25, "dC0": δ11})


@given(run=runs(), rows=BLOCKS, checkpoint=st.sampled_from([True, 1, 2, 5, 1000]))
def test_every_gradient_is_right_with_checkpoints(run: Case, rows: int, checkpoint: int) -> None:
    start = (run.inputs[name] for name in ("x", "h0", "C0"))
    with mock.patch.object(fused, "ROWS", rows):
        tape = fused.forward(params_of(run), *start, checkpoint=checkpoint)
        judge(run, {"h": tape.h, "C_T": tape.C_T} | named(fused.backward(tape, **upstream_of(run))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(5, 5, 2, 3), (23, 2, 3, 4)])
def test_a_run_of_many_blocks_has_some_that_are_not_full(sizes: tuple[int, int, int, int], dtype: str) -> None:
    """At twelve rows a block the first run has blocks of 2, 2 and 1 steps, the other of 6, 6, 6 and 5."""
    run = drawn(sizes, "ordinary", dtype, 0)
    with mock.patch.object(fused, "ROWS", 12):
        assert len(run.inputs["x"]) % fused.block_of(run.inputs["x"])
        judge(run, backward(fused, run))


@pytest.mark.parametrize(
    ("T", "B", "block"),
    [(1000, 1, 256), (1000, 100, 2), (1000, 257, 1), (3, 1, 3), (0, 1, 1), (10, 0, 10), (300, 0, 256)],
)
def test_a_block_has_256_rows_if_there_are_so_many(T: int, B: int, block: int) -> None:
    assert fused.block_of(np.empty((T, B, 1))) == block
