"""One sequence: by Jacobians and otherwise, whatever is not finite, in room that no two passes have at a time."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import Tape, bptt, fused, rooms
from manual.single import Backward, Forward
from reference.oracle import ours
from reference.oracle.cases import REGIMES, Case, Sizes
from reference.run import Array
from tests.manual.test_batch import arrays_of
from tests.strategies import DTYPES, drawn, runs
from tests.twins import agree, backward, forward, params_of, same_bits, taking, upstream_of

ONE = st.tuples(st.integers(0, 18), st.just(1), st.integers(0, 4), st.integers(1, 9))  # sizes of one sequence
SIZES: Sizes = (7, 1, 2, 5)


@pytest.fixture(autouse=True)
def no_room() -> Iterator[None]:
    """What earlier tests have left is none of these tests' business."""
    with taking():
        yield


def deltas(run: Case) -> dict[str, Array]:
    Δ, δ25, δ11 = ours.gate_deltas(forward(fused, run), *upstream_of(run).values())
    return {"Δ": Δ, "δ25": δ25, "δ11": δ11}


@given(run=runs(sizes=ONE), rows=st.integers(1, 20), numbers=st.integers(0, 2000))
def test_jacobians_lead_where_single_steps_lead(run: Case, rows: int, numbers: int) -> None:
    with taking(ROWS=rows, NUMBERS=numbers):
        by_jacobians = deltas(run)
    with taking(MOST_UNITS=0):
        agree(by_jacobians, deltas(run), max(np.max(np.abs(array), initial=1) for array in upstream_of(run).values()))


@pytest.mark.parametrize(("numbers", "rows"), [(2**17, 256), (0, 1), (0, 7), (100, 4), (200, 7), (300, 7), (600, 7)])
@pytest.mark.parametrize("T", [1, 2, 7, 8])
def test_jacobians_do_so_however_many_are_made_at_a_time(T: int, numbers: int, rows: int) -> None:
    """A matrix takes a hundred numbers here, and makes of 7 steps as many chunks as it takes."""
    run = drawn((T, *SIZES[1:]), "ordinary", "float64", 0)
    with taking(ROWS=rows, NUMBERS=numbers):
        found = [deltas(run), deltas(run)]  # in new room, and in what was left
    with taking(MOST_UNITS=0):
        wanted = deltas(run)
    for each in found:
        for name, got in each.items():
            np.testing.assert_allclose(got, wanted[name], rtol=1e-12, atol=1e-12, err_msg=name, strict=True)


@pytest.mark.parametrize(
    ("H", "block", "together"), [(40, 256, 20), (11, 256, 256), (12, 256, 227), (40, 7, 7), (200, 256, 1), (1, 1, 1)]
)
def test_those_jacobians_are_made_together_that_the_cache_has_room_for(H: int, block: int, together: int) -> None:
    """As many as have 2**17 numbers, the row and the column at their ends left out."""
    made = Backward(2, H, np.dtype(np.float64), block)
    assert made.together == together
    assert made.matrices.shape == (together, 2 * H + 1, 2 * H)


@pytest.mark.parametrize("dtype", [*DTYPES, "longdouble"])
def test_all_room_is_of_the_runs_dtype_and_for_a_block(dtype: str) -> None:
    there, back = Forward(2, 3, np.dtype(dtype), 7), Backward(2, 3, np.dtype(dtype), 7)
    assert {array.dtype for way in (there, back) for array in arrays_of(way)} == {np.dtype(dtype)}
    assert [there.h_x_1.shape, there.slabs.shape, there.tanh_Cs.shape] == [(8, 6), (8, 15), (7, 3)]
    assert [back.states.shape, back.Δ.shape, back.to_gates.shape] == [(8, 7), (7, 1, 12), (2, 4, 7, 3)]


@pytest.mark.parametrize(
    ("D", "H", "steps", "block"),
    [(3, 40, 7, 7), (0, 5, 1000, 1000), (100, 57, 256, 256), (101, 58, 256, 256), (102, 58, 256, 256),
     (104, 58, 256, 256), (105, 58, 256, 256), (106, 58, 256, 255), (10**6, 1, 256, 1)],
)  # fmt: skip
def test_a_block_of_one_sequence_has_the_steps_that_the_cache_has_room_for(
    D: int, H: int, steps: int, block: int
) -> None:
    """A step takes h, x, 1 and six numbers a unit besides; all of a block 2**17 at most."""
    assert Forward(D, H, np.dtype(np.float32), steps).block == block


def test_a_run_of_many_blocks_goes_on_where_the_last_has_ended() -> None:
    run = drawn((11, *SIZES[1:]), "ordinary", "float64", 0)
    wanted = forward(bptt, run)
    for numbers in (0, 2 * (8 + 30), 5 * (8 + 30), 2**17):
        with taking(NUMBERS=numbers):
            for tape in (forward(fused, run), forward(fused, run)):  # in new room, and in what was left
                for name in ("f", "i", "g", "o", "C", "tanh_C", "h"):
                    np.testing.assert_allclose(getattr(tape, name), getattr(wanted, name), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["dh", "dh_T", "dC_T"])
def test_what_is_not_finite_goes_where_the_literal_twin_takes_it(name: str, value: float, T: int) -> None:
    run = drawn((T, *SIZES[1:]), "ordinary", "float64", 0)
    run.inputs[name][-1, ..., 2] = value
    wanted = backward(bptt, run)
    for block, got in backward(fused, run).items():
        np.testing.assert_allclose(got, wanted[block], rtol=1e-12, atol=1e-12, err_msg=block)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_at_one_unit_leaves_the_cells_of_the_others_alone(value: float) -> None:
    run = drawn((1, *SIZES[1:]), "ordinary", "float64", 0)
    run.inputs["dh"][0, 0, 3] = value
    assert np.isfinite(backward(fused, run)["dC0"][0]).tolist() == [True, True, True, False, True]


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_so_does_what_is_not_finite_of_the_cell_state(value: float, T: int) -> None:
    run = drawn((T, *SIZES[1:]), "ordinary", "float64", 0)
    run.inputs["C0"][0, 2] = value
    wanted = backward(bptt, run)
    for block, got in backward(fused, run).items():
        np.testing.assert_allclose(got, wanted[block], rtol=1e-12, atol=1e-12, err_msg=block)


@pytest.mark.parametrize("T", [1, 2, 5])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("gate", "figo")
def test_so_does_what_is_not_finite_of_the_weights(gate: str, value: float, T: int) -> None:
    """With infinite ones the gates saturate, and the cell state stays finite."""
    run = drawn((T, *SIZES[1:]), "ordinary", "float64", 0)
    run.inputs["h0"][0, 1] = 0.5
    run.inputs[f"W_{gate}"][1, 2] = value
    wanted = backward(bptt, run)
    for block, got in backward(fused, run).items():
        np.testing.assert_allclose(got, wanted[block], rtol=1e-12, atol=1e-12, err_msg=block)


@pytest.mark.parametrize("checkpoint", [None, 1, 3])
@pytest.mark.parametrize("value", [0.5, np.inf])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_whether_all_is_finite_is_asked_once_a_pass(checkpoint: int | None, value: float) -> None:
    """Of h0's gradient: what is not finite on the way is there too. Then all goes back once more, step by step."""
    run = drawn((9, 1, 2, 3), "ordinary", "float64", 0)
    run.inputs["dh"][4, 0, 1] = value
    tape, ways = fused.forward(params_of(run), run.inputs["x"], checkpoint=checkpoint), list[bool]()
    with (
        mock.patch.object(fused.door, "finite", wraps=fused.door.finite) as finite,
        pytest.MonkeyPatch.context() as patch,
    ):
        summed = fused.summed
        patch.setattr(
            fused, "summed", lambda *args, by_jacobians: ways.append(by_jacobians) or summed(*args, by_jacobians)
        )
        fused.gradients(tape, *upstream_of(run).values())
    assert [[array.shape for array in call.args] for call in finite.call_args_list] == [[(1, 3)]]
    assert ways == ([True] if np.isfinite(value) else [True, False])


def left(way: type) -> list[Any]:
    """The rooms of this way that are left."""
    return [room for room in rooms._left.values() if isinstance(room, way)]


def test_a_pass_leaves_its_room_to_the_next_of_the_same_sizes() -> None:
    backward(fused, drawn(SIZES, "ordinary", "float64", 0))
    (there,), (back,) = left(Forward), left(Backward)
    backward(fused, drawn((9, 1, 2, 5), "ordinary", "float64", 1))
    assert (left(Forward), left(Backward)) == ([there], [back])
    backward(fused, drawn((9, 1, 4, 5), "ordinary", "float64", 1))
    assert [len(left(Forward)), len(left(Backward))] == [2, 2]


@pytest.mark.parametrize(("H", "dtype", "rows"), [(6, "float64", 256), (5, "float32", 256), (5, "float64", 100)])
def test_a_pass_of_another_size_or_dtype_leaves_its_own_beside_it(H: int, dtype: str, rows: int) -> None:
    backward(fused, drawn(SIZES, "ordinary", "float64", 0))
    (there,), (back,) = left(Forward), left(Backward)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused, "ROWS", rows)
        backward(fused, drawn((7, 1, 2, H), "ordinary", dtype, 0))
    assert (left(Forward)[0], left(Backward)[0]) == (there, back)
    assert (left(Forward)[1].sizes, left(Backward)[1].sizes) == ((2, H, dtype, rows),) * 2
    assert (left(Forward)[1].z.dtype, len(left(Forward)[1].tanh_Cs)) == (dtype, rows)
    assert (left(Backward)[1].W_by_unit.dtype, len(left(Backward)[1].Δ)) == (dtype, rows)


@pytest.mark.parametrize(("D", "steps"), [(251, 256), (507, 256), (508, 3), (5000, 3)])
def test_back_the_room_is_for_passes_of_all_lengths_if_that_is_little(D: int, steps: int) -> None:
    """No more than 2**17 numbers of [h, x, 1]."""
    run = drawn((3, 1, D, 4), "ordinary", "float32", 0)
    with taking():
        backward(fused, run)
        found = [room.sizes for room in left(Backward)]
    assert found == [(D, 4, "float32", steps)]


@pytest.mark.parametrize("dtype", DTYPES)
def test_what_is_left_is_small(dtype: str) -> None:
    """By itself, unless a step takes more."""
    for H in (1, 11, 12, 40):
        assert Forward(H, H, np.dtype(dtype), 256).small
        assert Backward(H, H, np.dtype(dtype), 256).small
    assert Forward(200, 200, np.dtype(dtype), 256).small
    assert not Forward(10**6, 1, np.dtype(dtype), 256).small


@given(run=runs(sizes=ONE), before=runs(sizes=ONE))
def test_whatever_a_pass_has_left_the_next_has_the_same_bits(run: Case, before: Case) -> None:
    with taking():
        first = backward(fused, run)
        backward(fused, before)
        assert same_bits(backward(fused, run), first)
        assert same_bits(backward(fused, run), first)


def test_a_pass_that_left_the_range_leaves_nothing_behind() -> None:
    run, wild = (drawn(SIZES, "ordinary", "float32", seed) for seed in (0, 1))
    first = backward(fused, run)
    for name in ("W_f", "W_i", "dh"):
        wild.inputs[name][:] = np.finfo(np.float32).max
    backward(fused, wild)
    assert same_bits(backward(fused, run), first)


def blocks(tape: Tape, run: Case) -> Iterator[tuple[int, Array, Array]]:
    dh, dh_T, dC_T = upstream_of(run).values()
    return fused.blocks_back(tape, dh, dh_T.copy(), dC_T.copy(), by_jacobians=True)


def test_a_pass_that_is_not_at_its_end_keeps_its_room() -> None:
    one, other = (drawn(SIZES, "ordinary", "float64", seed) for seed in (0, 1))
    with taking(ROWS=2):
        alone = [(s, Δ.copy()) for s, Δ, _ in blocks(forward(fused, one), one)]
        kept, together = blocks(forward(fused, one), one), []
        for s, Δ, _ in kept:
            backward(fused, other)  # in the middle of it
            together.append((s, Δ.copy()))
    for (s, Δ), (t, as_wanted) in zip(together, alone, strict=True):
        assert s == t
        np.testing.assert_array_equal(Δ, as_wanted)


def test_a_pass_that_never_ends_takes_its_room_along() -> None:
    run = drawn(SIZES, "ordinary", "float64", 0)
    first = backward(fused, run)
    unfinished = blocks(forward(fused, run), run)
    _, Δ, _ = next(unfinished)
    before = Δ.copy()
    assert not left(Backward)
    assert same_bits(backward(fused, run), first)
    np.testing.assert_array_equal(Δ, before)
    unfinished.close()
    assert not [True for kept in left(Backward) if np.shares_memory(kept.Δ, Δ)]
    assert same_bits(backward(fused, run), first)


def test_threads_that_go_back_at_once_have_room_of_their_own() -> None:
    """Each waits for the others in the middle of its pass."""
    cases = [drawn(SIZES, regime, dtype, 0) for regime in REGIMES for dtype in DTYPES]
    tapes = [forward(fused, run) for run in cases]
    alone = [[Δ.copy() for _, Δ, _ in blocks(tape, run)] for tape, run in zip(tapes, cases, strict=True)]
    wait = Barrier(len(cases))

    def back(k: int) -> list[Array]:
        found = []
        for _, Δ, _ in blocks(tapes[k], cases[k]):
            wait.wait(60)
            found.append(Δ.copy())
        return found

    with ThreadPoolExecutor(len(cases)) as threads:
        for _ in range(3):
            for got, wanted in zip(threads.map(back, range(len(cases))), alone, strict=True):
                for one, other in zip(got, wanted, strict=True):
                    np.testing.assert_array_equal(one, other)


def test_threads_that_go_forward_at_once_have_room_of_their_own() -> None:
    """Each waits for the others in the middle of its pass."""
    cases = [drawn(SIZES, regime, dtype, 0) for regime in REGIMES for dtype in DTYPES]
    alone = [forward(fused, run) for run in cases]
    wait = Barrier(len(cases))

    def there(run: Case) -> Tape:
        way = Forward.of(params_of(run), 3)
        wait.wait(60)
        return fused.run_on(way, params_of(run), run.inputs["x"], run.inputs["h0"], run.inputs["C0"])

    with ThreadPoolExecutor(len(cases)) as threads:
        for got, wanted in zip(threads.map(there, cases), alone, strict=True):
            np.testing.assert_array_equal(got.h, wanted.h)


def test_gates_that_overflow_and_those_that_underflow_saturate() -> None:
    """1 / f is infinite there, and f zero; no 0 * inf comes of it."""
    run = drawn(SIZES, "ordinary", "float32", 0)
    for gate, value in (("f", -200), ("i", 200), ("o", -200)):
        run.inputs[f"b_{gate}"][:] = value
    tape, wanted = forward(fused, run), forward(bptt, run)
    for name in ("f", "i", "g", "o", "C", "tanh_C", "h"):
        np.testing.assert_allclose(getattr(tape, name), getattr(wanted, name), rtol=1e-5, atol=1e-7)
