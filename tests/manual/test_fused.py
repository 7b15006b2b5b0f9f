"""The fast twin takes its way by the sizes of a run: on every way the results are the same."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import Params, batch, bptt, fused, rooms, single
from manual.batch import LARGE, SMALL
from manual.unit import unchecked
from reference.oracle import ours
from reference.oracle.cases import Case, Sizes
from reference.oracle.truth import VALUES
from tests.strategies import DTYPES, drawn, runs
from tests.twins import backward, forward, judge, named, params_of, taking, upstream_of

# Each way by thresholds that lead to it, far below those that are there by themselves; for a run of these sizes.
WAYS: dict[str, Callable[[int, int, int, int], dict[str, int]]] = {
    "as it comes": lambda T, B, D, H: {},
    "a step a block": lambda T, B, D, H: {"ROWS": 1},
    "blocks of 4 rows": lambda T, B, D, H: {"ROWS": 4},
    "blocks of 13 rows": lambda T, B, D, H: {"ROWS": 13},
    "two tiles there": lambda T, B, D, H: {"SMALL": B * (H + D + 1) * (H // 2), "NARROW": 1},
    "two tiles back": lambda T, B, D, H: {"SMALL": B * 4 * H * (H // 2), "NARROW": 1},
    "x apart": lambda T, B, D, H: {"LARGE": 0},
    "x apart in blocks": lambda T, B, D, H: {"LARGE": 0, "ROWS": 4},
    "x apart, three tiles": lambda T, B, D, H: {"LARGE": 4 * B * H * H, "SMALL": B * H * (H // 3), "NARROW": 1},
    "one matrix at a time": lambda T, B, D, H: {"NUMBERS": 0},
    "two matrices at a time": lambda T, B, D, H: {"NUMBERS": 8 * H * H, "ROWS": 5},
    "two steps' factors at a time": lambda T, B, D, H: {"CACHED": 8 * 2 * B * H, "ROWS": 5 * B},
    "without matrices": lambda T, B, D, H: {"MOST_UNITS": 0},
}
THRESHOLDS = st.fixed_dictionaries(
    {
        "ROWS": st.integers(1, 40),
        "SMALL": st.sampled_from([10, 30, 100, 300, SMALL]),
        "LARGE": st.sampled_from([0, 100, 1000, LARGE]),
        "NARROW": st.integers(1, 3),
        "NUMBERS": st.sampled_from([0, 100, 1000, 10**6]),
        "CACHED": st.sampled_from([0, 80, 400, 10**6]),
        "MOST_UNITS": st.sampled_from([0, 100]),
    }
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "sizes",
    [
        (7, 2, 3, 4), (5, 3, 4, 1), (7, 1, 2, 5), (1, 1, 1, 2), (4, 2, 3, 12), (5, 1, 3, 12),
        (0, 2, 3, 4), (0, 1, 3, 4), (3, 0, 2, 4), (3, 2, 0, 4),
    ],
)  # fmt: skip
def test_it_says_what_the_literal_twin_says(sizes: Sizes, way: str) -> None:
    run = drawn(sizes, "ordinary", "float64", 0)
    start, upstream = [run.inputs[name] for name in ("x", "h0", "C0")], upstream_of(run)
    literal = forward(bptt, run)
    wanted = {name: getattr(literal, name) for name in (*VALUES, "h_T", "C_T")}
    wanted |= named(bptt.backward(literal, **upstream))
    with taking(**WAYS[way](*sizes)):
        tape, states = forward(fused, run), fused.infer(params_of(run), *start)
        found = [{name: getattr(tape, name) for name in (*VALUES, "h_T", "C_T")}, vars(states)]
        for checkpoint in (None, True, 1, 3):
            kept = fused.forward(params_of(run), *start, checkpoint=checkpoint)
            found += [{"h": kept.h, "C_T": kept.C_T}, named(fused.backward(kept, **upstream))]
    for blocks in found:
        for name, got in blocks.items():
            np.testing.assert_allclose(got, wanted[name], rtol=1e-12, atol=1e-12, err_msg=name, strict=True)


@given(run=runs(), thresholds=THRESHOLDS)
def test_every_forward_value_is_right_on_any_way(run: Case, thresholds: dict[str, int]) -> None:
    with taking(**thresholds):
        tape = forward(fused, run)
    judge(run, {name: getattr(tape, name) for name in VALUES})


@given(run=runs(), thresholds=THRESHOLDS)
def test_every_gradient_is_right_on_any_way(run: Case, thresholds: dict[str, int]) -> None:
    with taking(**thresholds):
        judge(run, backward(fused, run))


@given(run=runs(), thresholds=THRESHOLDS)
def test_the_gates_deltas_are_right_on_any_way(run: Case, thresholds: dict[str, int]) -> None:
    with taking(**thresholds):
        Δ, δ25, δ11 = ours.gate_deltas(forward(fused, run), *upstream_of(run).values())
    edges = dict(zip(("δ16", "δ15", "δ14", "δ13"), np.split(Δ, 4, axis=2), strict=True))
    judge(run, edges | {"dh0": δ25, "dC0": δ11})


@given(run=runs(), thresholds=THRESHOLDS, checkpoint=st.sampled_from([True, 1, 2, 5, 1000]))
def test_every_gradient_is_right_with_checkpoints(run: Case, thresholds: dict[str, int], checkpoint: int) -> None:
    start = (run.inputs[name] for name in ("x", "h0", "C0"))
    with taking(**thresholds):
        tape = fused.forward(params_of(run), *start, checkpoint=checkpoint)
        judge(run, {"h": tape.h, "C_T": tape.C_T} | named(fused.backward(tape, **upstream_of(run))))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(5, 5, 2, 3), (23, 2, 3, 4)])
def test_a_run_of_many_blocks_has_some_that_are_not_full(sizes: Sizes, dtype: str) -> None:
    """At twelve rows a block the first run has blocks of 2, 2 and 1 steps, the other of 6, 6, 6 and 5."""
    run = drawn(sizes, "ordinary", dtype, 0)
    with taking(ROWS=12):
        assert len(run.inputs["x"]) % fused.block_of(run.inputs["x"], sizes[3])
        judge(run, backward(fused, run))


@pytest.mark.parametrize(
    ("T", "B", "block"),
    [(1000, 1, 256), (1000, 100, 2), (1000, 257, 1), (3, 1, 3), (0, 1, 1), (10, 0, 10), (300, 0, 256)],
)
def test_a_block_has_256_rows_if_there_are_so_many(T: int, B: int, block: int) -> None:
    assert fused.block_of(np.empty((T, B, 1)), 255) == block


@pytest.mark.parametrize(
    ("H", "rows"), [(1, 256), (128, 256), (255, 256), (256, 512), (512, 1024), (640, 1024), (5000, 1024)]
)
def test_a_block_of_many_units_has_two_rows_a_unit_and_1024_at_most(H: int, rows: int) -> None:
    """In float64 half as many at most."""
    for dtype, most in (("f4", 1024), ("f8", 512), ("g", 256)):
        block = fused.block_of(np.empty((3000, 2, 1), dtype), H)
        assert isinstance(block, int)
        assert block == min(rows, most) // 2


@pytest.mark.parametrize("dtype", [*DTYPES, "longdouble"])
def test_a_step_is_computed_in_the_dtype_of_its_run(dtype: str) -> None:
    """Each sum and each product is rounded: the very bits tell. A run that left the range comes back in long double."""
    run = drawn((9, 3, 4, 5), "ordinary", "float64", 0)
    params = unchecked(*(array.astype(dtype) for array in vars(params_of(run)).values()))
    tape = fused.run(params, *(run.inputs[name].astype(dtype) for name in ("x", "h0", "C0")))
    np.testing.assert_array_equal(tape.C, tape.f * tape.Cs[:-1] + tape.i * tape.g, strict=True)
    np.testing.assert_array_equal(tape.h, tape.o * tape.tanh_C, strict=True)


def calls(owner: Any, name: str, sizes: Sizes, **thresholds: int) -> tuple[int, int]:
    """How often a run calls a function there and back."""
    run = drawn(sizes, "ordinary", "float64", 0)
    with taking(**thresholds), mock.patch.object(owner, name, wraps=getattr(owner, name)) as function:
        tape = forward(fused, run)
        there = function.call_count
        fused.backward(tape, **upstream_of(run))
    return there, function.call_count - there


def test_one_sequence_inverts_its_gates_once_a_block() -> None:
    assert calls(single, "reciprocal", (8, 1, 2, 3), ROWS=4) == (2, 0)
    assert calls(batch, "reciprocal", (8, 2, 2, 3), ROWS=8) == (8, 0)


def test_what_is_in_one_piece_is_multiplied_by_the_method() -> None:
    """Which NumPy calls faster; a block takes two more, for dx and for the gradients of the weights."""
    assert calls(single, "dot", (8, 1, 2, 3), ROWS=4, MOST_UNITS=0) == (8, 0)
    assert calls(single, "dot", (8, 1, 2, 3), ROWS=4) == (8, 8)
    assert calls(batch, "dot", (8, 1, 2, 3), ROWS=4, MOST_UNITS=0) == (0, 8)
    assert calls(batch, "dot", (8, 2, 2, 3), ROWS=8) == (0, 8)
    assert calls(batch, "dot", (8, 2, 2, 12), ROWS=8, SMALL=2 * 48 * 6, NARROW=1) == (0, 0)
    assert calls(fused, "dot", (8, 2, 2, 3), ROWS=8) == (0, 2 * 2)


def test_what_is_multiplied_by_lies_in_one_piece() -> None:
    for sizes, module in (((8, 2, 2, 3), batch), ((8, 2, 2, 3), fused), ((8, 1, 2, 3), single)):
        run = drawn(sizes, "ordinary", "float64", 0)
        with mock.patch.object(module, "dot", wraps=module.dot) as dot:
            fused.backward(forward(fused, run), **upstream_of(run))
        assert dot.called
        assert all(call.args[1].flags.c_contiguous for call in dot.call_args_list)


@pytest.mark.parametrize(("B", "H", "by_jacobians"), [(1, 40, True), (1, 41, False), (2, 40, False), (1, 1, True)])
def test_one_sequence_of_forty_units_at_most_goes_back_by_its_jacobians(B: int, H: int, by_jacobians: bool) -> None:
    assert calls(batch.Backward, "of", (3, B, 2, H)) == (0, 0 if by_jacobians else 1)
    assert fused.goes_by_jacobians(forward(fused, drawn((3, B, 2, H), "ordinary", "float64", 0))) is by_jacobians


def test_checkpoints_share_the_way_of_their_unit() -> None:
    run = drawn((7, 2, 3, 4), "ordinary", "float64", 0)
    with mock.patch.object(batch.Forward, "of", wraps=batch.Forward.of) as of:
        fused.forward(params_of(run), run.inputs["x"], checkpoint=2)
    assert [made.args[1:] for made in of.call_args_list] == [(2, 2)]  # for blocks of a stretch, and the rows


@pytest.mark.parametrize("B", [1, 2])
def test_every_pass_leaves_its_room(B: int) -> None:
    run = drawn((9, B, 2, 3), "ordinary", "float64", 0)
    params, x = params_of(run), run.inputs["x"]
    for forward_pass in (fused.forward, fused.infer, partial(fused.forward, checkpoint=4)):
        with taking():
            forward_pass(params, x)
            assert len(rooms._left) == 1
    with taking():
        fused.backward(fused.forward(params, x))
        assert len(rooms._left) == 2


@pytest.mark.parametrize("B", [1, 2])
def test_the_weights_may_change_from_call_to_call(B: int) -> None:
    """Nothing that is computed of them is kept."""
    run = drawn((3, B, 2, 3), "ordinary", "float64", 0)
    params = params_of(run)
    for change in range(4):
        gradients = fused.backward(fused.forward(params, run.inputs["x"]), run.inputs["dh"])
        wanted = bptt.backward(bptt.forward(params, run.inputs["x"]), run.inputs["dh"])
        for name, got in named(gradients).items():
            np.testing.assert_allclose(got, named(wanted)[name], rtol=1e-12, atol=1e-12, err_msg=name)
        if change % 2:
            params = Params(-params.W, params.U + 1, params.b)
        else:
            params.W *= -2
