"""The steps of many sequences: how their weights lie, and what room they have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import batch, fused, rooms
from manual.batch import LARGE, NARROW, SMALL
from manual.rooms import Room
from manual.unit import unchecked
from reference.oracle.cases import Sizes
from tests.strategies import DTYPES, drawn
from tests.twins import backward, forward, params_of, same_bits, taking


@given(columns=st.integers(1, 3000), others=st.integers(0, 10**5))
def test_tiles_are_alike_and_small_or_there_are_none(columns: int, others: int) -> None:
    tile = batch.tile_of(columns, others)
    assert columns % tile == 0
    assert tile == columns or (tile >= NARROW and tile * others <= SMALL < columns * others <= LARGE)


@pytest.mark.parametrize(
    ("columns", "others", "tile"),
    [
        (1000, 1000, 1000),  # small enough as it is
        (1000, 1001, 500),
        (1000, 2000, 500),
        (1000, 2001, 250),
        (1000, 10_000, 100),  # the largest that tiles are for
        (1000, 10_001, 1000),
        (64, 62_500, 16),  # the narrowest
        (64, 62_501, 64),
        (60, 66_000, 60),  # 15 would be small enough
        (1009, 1000, 1009),  # a prime
    ],
)
def test_a_tile_is_as_wide_as_a_million_multiplications_allow(columns: int, others: int, tile: int) -> None:
    assert batch.tile_of(columns, others) == tile


def way_of(B: int, D: int, H: int) -> batch.Forward:
    return batch.Forward.of(params_of(drawn((1, B, D, H), "ordinary", "float64", 0)), block=7, B=B)


def test_x_is_apart_once_all_that_a_step_multiplies_is_large() -> None:
    """At 3 rows, 2 inputs and 5 units it is 3 times (5 + 2 + 1) times 20."""
    for large, apart, width in ((480, False, 8), (479, True, 5)):
        with taking(LARGE=large):
            way = way_of(3, 2, 5)
        assert way.x_apart is apart
        assert way.h_x_1.shape == (8, 3, width)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_room_for_what_comes_of_x_is_made_where_it_is_apart(dtype: str) -> None:
    for large, shapes in ((480, {}), (479, {"x_1": (7 * 3, 2 + 1), "zs_x": (4, 7 * 3, 5)})):
        with taking(LARGE=large):
            way = batch.Forward.of(params_of(drawn((1, 3, 2, 5), "ordinary", dtype, 0)), block=7, B=3)
        made = {name: array for name, array in vars(way).items() if name in ("x_1", "zs_x")}
        assert {name: array.shape for name, array in made.items()} == shapes
        assert all(array.dtype == dtype for array in made.values())


@pytest.mark.parametrize(("large", "width"), [(10**6, 12 + 3 + 1), (4 * 2 * 12 * 12, 12)])
def test_there_the_tiles_are_those_of_a_gates_columns(large: int, width: int) -> None:
    for tile in (6, 4, 3):
        with taking(SMALL=2 * width * tile, LARGE=large, NARROW=1):
            way = way_of(2, 3, 12)
        assert way.to.shape == (4, 12 // tile, 2, tile)
        assert way.W.shape == (4, 12 // tile, width, tile)
        assert way.W.flags.c_contiguous  # each tile in one piece, as what multiplies wants it


@pytest.mark.parametrize("last", [7, 3, 1])
def test_where_x_is_apart_all_blocks_share_one_room(last: int) -> None:
    with taking(LARGE=0):
        way = way_of(3, 2, 5)
    rng = np.random.default_rng(0)
    room = [way.x_1, way.zs_x]
    for n in (7, 7, last):
        x = rng.normal(size=(n, 3, 2))
        z_x = np.stack(list(way.from_x(x)))
        wanted = np.moveaxis(x @ way.U_b[:, :, :-1] + way.U_b[:, :, -1:], 0, 1)
        np.testing.assert_allclose(z_x, wanted, rtol=0, atol=1e-13, strict=True)
        assert all(np.shares_memory(step, room[1]) for step in way.from_x(x))
    assert [array.shape for array in room] == [(7 * 3, 3), (4, 7 * 3, 5)]


def test_back_the_tiles_are_those_of_all_gates_rows() -> None:
    params = params_of(drawn((1, 2, 3, 12), "ordinary", "float64", 0))
    for tile in (6, 4, 3):
        with taking(SMALL=2 * 48 * tile, NARROW=1):
            back = batch.Backward.of(params, block=7, B=2)
        assert back.W_T.shape == (12 // tile, 48, tile)
        assert back.W_T.flags.c_contiguous


def arrays_of(way: Room) -> list[np.ndarray]:
    return [array for array in vars(way).values() if isinstance(array, np.ndarray)]


@pytest.mark.parametrize("dtype", [*DTYPES, "longdouble"])
def test_what_a_pass_works_in_has_the_dtype_of_its_run(dtype: str) -> None:
    params = unchecked(
        *(array.astype(dtype) for array in vars(params_of(drawn((1, 2, 3, 4), "ordinary", "float64", 0))).values())
    )
    with taking(LARGE=0):
        arrays = arrays_of(batch.Forward.of(params, block=7, B=2)) + arrays_of(batch.Backward.of(params, block=7, B=2))
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


@pytest.mark.parametrize(("cached", "together"), [(8 * 8, 1), (8 * 3 * 8, 3), (8 * 4 * 8 - 1, 3), (10**6, 7), (0, 1)])
def test_the_factors_that_are_made_together_stay_in_the_cache(cached: int, together: int) -> None:
    with taking(CACHED=cached):
        back = batch.Backward.of(params_of(drawn((1, 2, 3, 4), "ordinary", "float64", 0)), block=7, B=2)
    assert back.together == together
    assert [array.shape for array in (back.to_f_i_g, back.rests, back.addends)] == [
        (together, n, 2, 4) for n in (3, 3, 2)
    ]
    assert back.to_o.shape == back.to_8.shape == (together, 2, 4)
    assert [back.Δ.shape, back.h_x_1.shape] == [(7, 2, 16), (7, 2, 8)]


def test_by_themselves_those_take_2_to_the_17_bytes_a_gate() -> None:
    for dtype, together in (("float32", [256, 32, 1]), ("float64", [128, 16, 1])):
        params = params_of(drawn((1, 1, 0, 128), "ordinary", dtype, 0))
        assert [batch.Backward.of(params, block=1000, B=B).together for B in (1, 8, 300)] == together


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_pass_leaves_its_room_to_the_next_of_the_same_sizes_with_its_weights(dtype: str) -> None:
    one, other = (drawn((5, 2, 3, 4), "ordinary", dtype, seed) for seed in (0, 1))
    for thresholds in ({}, {"LARGE": 0}, {"SMALL": 64, "NARROW": 1}):
        with taking(**thresholds):
            alone = backward(fused, other)
        with taking(**thresholds):
            backward(fused, one)
            left = {*map(id, rooms._left.values())}
            assert {type(room) for room in rooms._left.values()} == {batch.Forward, batch.Backward}
            assert same_bits(backward(fused, other), alone)
            assert {*map(id, rooms._left.values())} == left


@pytest.mark.parametrize("sizes", [(7, 3, 2, 5), (7, 1, 2, 5)])
def test_no_result_lies_in_what_is_left(sizes: Sizes) -> None:
    run = drawn(sizes, "ordinary", "float64", 0)
    for large in (0, LARGE):
        with taking(LARGE=large, ROWS=9):
            tape, states = forward(fused, run), fused.infer(params_of(run), run.inputs["x"])
            results = [*backward(fused, run).values(), tape.slabs, tape.tanh_C, tape.hs, *vars(states).values()]
            places = [place for room in rooms._left.values() for place in arrays_of(room)]
        assert len(places) > 15
        assert not [True for array in results for place in places if np.shares_memory(array, place)]


def test_a_batch_without_rows_has_one_step_at_a_time_at_least() -> None:
    assert batch.Backward.of(params_of(drawn((1, 0, 3, 4), "ordinary", "float64", 0)), block=7, B=0).together == 7


@pytest.mark.parametrize("tiles", [1, 2, 4])
def test_weights_are_laid_gate_by_gate_and_negated_for_the_sigmoids(tiles: int) -> None:
    given, out = np.random.default_rng(0).normal(size=(3, 4 * 8)), np.empty((4, tiles, 3, 8 // tiles))
    batch.lay(given, out)
    f, i, g, o = np.split(given, 4, axis=1)
    for gate, wanted in zip(out, (g, -f, -i, -o), strict=True):
        np.testing.assert_array_equal(np.concatenate(list(gate), axis=1), wanted, strict=True)
