"""The runs that the oracle draws: repeatable, of the sizes it says, in regimes that do what they say."""

from __future__ import annotations

import itertools
from functools import cache
from typing import get_args

import numpy as np
import pytest

from reference.oracle.cases import REGIMES, SHAPES, Case, Regime, draw_case, draw_inputs, draw_sizes
from reference.run import INPUTS, WEIGHTS, Array, complete
from tests.strategies import DTYPES, UPSTREAM, drawn, range_of, without_zeros
from tests.twins import truth_of

F64 = np.dtype(np.float64)


@cache
def many() -> list[Case]:
    return [draw_case(0, number, F64) for number in range(1400)]


def test_the_seed_and_the_number_repeat_a_run() -> None:
    for number in range(20):
        one, other = (draw_case(3, number, F64) for _ in range(2))
        assert (one.number, one.regime, one.sizes) == (number, other.regime, other.sizes)
        assert all(np.array_equal(one.inputs[name], other.inputs[name]) for name in INPUTS)


# The first runs of seed 0, by the sum of the magnitudes in their weights, biases, x and states, and in what arrives.
FIRST = [
    ("ordinary", (3, 3, 0, 21), [460.0371541079578, 69.98065988559259, 107.10726052426342, 109.9907477021283]),
    ("linear", (51, 2, 1, 6), [4.933239775063702, 18.840152341149498, 80.45587628484499, 503.66431592409174]),
    ("saturated", (1, 2, 17, 16), [450.45883508352824, 713.0634606076054, 77.17689695466463, 75.10611075704692]),
    ("remembering", (23, 3, 2, 4), [44.28359014771124, 27.96870279109308, 126.7640071173047, 229.85053787177117]),
    ("large", (8, 1, 6, 2), [27.931086908749368, 3.7976355606611385, 37.20723901926483, 18726230.535764486]),
    ("tiny", (29, 2, 1, 5), [66.07096257945688, 15.966959903278724, 62.39383940976761, 5.266167098936684e-06]),
    ("plain", (14, 2, 4, 7), [114.70508058828517, 0.0, 85.11348819968282, 161.70944605062078]),
]


def test_a_seed_and_a_number_name_the_same_run_in_every_version() -> None:
    """For a report names a run by them; whoever changes what is drawn changes these, and says so."""
    names = [*INPUTS]
    groups = names[:8], names[8:12], ["x", "h0", "C0"], [*UPSTREAM]
    for number, (regime, sizes, sums) in enumerate(FIRST):
        run = draw_case(0, number, F64)
        assert (run.regime, run.sizes) == (regime, sizes)
        found = [sum(np.sum(np.abs(run.inputs[name])) for name in group) for group in groups]
        np.testing.assert_allclose(found, sums, rtol=1e-12)
    assert np.sum([run.sizes for run in many()], axis=0).tolist() == [17491, 3305, 11113, 17689]
    assert [run.number for run in many()[:150] if 0 in run.sizes] == [0, 56, 104, 121]
    assert [run.number for run in many()[:60] if len({*run.sizes}) < 4] == [0, 25, 32, 48, 51]
    dropped = [run.number for run in many()[:40] if not run.inputs["C0"].any() and 0 not in run.sizes]
    assert dropped == [4, 6, 7, 10, 13, 14, 19, 20, 22, 27, 30, 31, 34, 35, 36]


def test_other_sizes_or_another_regime_can_be_asked_for() -> None:
    own = draw_case(0, 3, F64)
    assert draw_case(0, 3, F64, sizes=(2, 3, 4, 5)).sizes == (2, 3, 4, 5)
    assert draw_case(0, 3, F64, sizes=(2, 3, 4, 5)).regime == own.regime
    tiny = draw_case(0, 3, F64, regime="tiny")
    assert (tiny.number, tiny.regime, tiny.sizes) == (3, "tiny", own.sizes)
    assert np.max(np.abs(tiny.inputs["dh"])) < 1e-4


def test_another_seed_or_number_gives_another_run() -> None:
    runs = [draw_case(seed, number, F64) for seed in range(10) for number in range(10)]
    some = [run.inputs["W_f"] for run in runs]
    assert len({array.tobytes() for array in some}) == len(some)


def test_float32_runs_are_the_float64_runs_rounded() -> None:
    for number in range(20):
        wide, narrow = draw_case(0, number, F64), draw_case(0, number, np.dtype(np.float32))
        assert narrow.dtype == np.float32
        for name in INPUTS:
            np.testing.assert_array_equal(narrow.inputs[name], wide.inputs[name].astype(np.float32), strict=True)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_run_is_complete_and_consistent(dtype: str) -> None:
    for run in (draw_case(1, number, np.dtype(dtype)) for number in range(100)):
        assert list(run.inputs) == list(INPUTS)
        assert {array.dtype for array in run.inputs.values()} == {np.dtype(dtype)}
        assert set(complete(run.inputs)) == set(INPUTS)  # which checks every shape


def test_every_run_fits_a_shape_and_every_shape_is_used() -> None:
    used = [range_of(run.sizes) for run in many()]
    assert {*used} == {*SHAPES}
    assert all(used.count(shape) > 0.05 * len(used) for shape in SHAPES)


def test_sizes_differ_most_of_the_time_and_reach_what_they_should() -> None:
    sizes = np.array([run.sizes for run in many()])
    alike = np.mean([len(set(row)) < 4 for row in sizes.tolist()])
    assert 0.02 < alike < 0.3
    for axis, most in enumerate(np.max(SHAPES, axis=0)):
        assert sizes[:, axis].max() > 0.9 * most
        assert (axis == 3) == np.all(sizes[:, axis] > 0)
    assert np.mean(sizes == 0) * 4 < 0.1
    for tail in (8, 16, 32, 64):
        assert np.any((sizes[:, 3] > tail) & (sizes[:, 3] < tail + tail // 2))
    assert {1, 2, 3} <= {*sizes[:, 0].tolist()}
    assert np.mean(sizes[:, 0] >= 16) > 0.1


def test_draw_sizes_is_within_one_shape() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        sizes = draw_sizes(rng)
        assert [type(size) for size in sizes] == [int] * 4
        assert any(all(size <= most for size, most in zip(sizes, shape, strict=True)) for shape in SHAPES)


def test_one_of_sixty_runs_has_no_steps_one_no_rows_and_one_no_inputs() -> None:
    class Rng:
        """Draws the first shape, sizes that differ, and then what is to be zero."""

        def __init__(self, zero: int) -> None:
            self.given = iter([0, 1, 2, 3, 4, zero])

        def integers(self, *bounds: int) -> int:
            self.bounds = bounds
            return next(self.given)

    for zero in range(60):
        rng = Rng(zero)
        assert draw_sizes(rng) == (*(0 if axis == zero else axis + 1 for axis in range(3)), 4)
        assert rng.bounds == (60,)


@pytest.mark.parametrize(("number", "T"), [(0.124, 1), (0.125, 3)])
def test_sizes_that_are_alike_are_kept_in_one_of_eight_draws(number: float, T: int) -> None:
    class Rng:
        """Draws the first shape, sizes of which two are alike, others, and no zero."""

        def __init__(self) -> None:
            self.given = iter([0, 1, 1, 2, 4, *([] if T == 1 else [3, 1, 2, 4]), 59])

        def integers(self, *bounds: int) -> int:
            return next(self.given)

        def random(self) -> float:
            return number

    assert draw_sizes(Rng()) == ((1, 1, 2, 4) if T == 1 else (3, 1, 2, 4))  # type: ignore[arg-type]


def test_regimes_take_turns() -> None:
    assert [run.regime for run in many()[: 2 * len(REGIMES)]] == [*REGIMES, *REGIMES]
    assert get_args(Regime) == (*REGIMES, "recorded")  # which nobody draws


def test_inputs_are_dropped_now_and_then_but_never_all_that_arrives() -> None:
    runs = [run for run in many() if 0 not in run.sizes and run.regime != "plain"]
    for name in ("h0", "C0", "b_f", *UPSTREAM):
        assert 0.05 < np.mean([not run.inputs[name].any() for run in runs]) < 0.2
    assert all(any(run.inputs[name].any() for name in UPSTREAM) for run in runs)
    assert {tuple(run.inputs[name].any() for name in UPSTREAM) for run in runs} >= {
        (True, True, True),
        (True, False, True),
        (False, True, True),
        (True, True, False),
    }


def test_each_may_be_dropped_alone_or_with_others_but_never_all_that_arrives() -> None:
    class Rng:
        """Draws numbers that are not zero, and drops what it is told."""

        def __init__(self, dropped: tuple[bool, ...]) -> None:
            self.dropped = dropped

        def standard_normal(self, size: list[int]) -> Array:
            return np.ones(size)

        def random(self, count: int) -> Array:
            assert count == len(self.dropped)
            return np.where(self.dropped, 0.124, 0.125)

    for dropped in itertools.product([False, True], repeat=6):
        run = draw_inputs(Rng(dropped), (1, 2, 3, 4), "ordinary", F64)  # type: ignore[arg-type]
        wanted = (*dropped[:3], *((False,) * 3 if all(dropped[3:]) else dropped[3:]))
        for name, drop in zip(("b_f", "h0", "C0", *UPSTREAM), wanted, strict=True):
            assert run[name].any() != drop, (name, dropped)
        assert {run[f"b_{gate}"].any() for gate in "figo"} == {not dropped[0]}


def test_nothing_is_dropped_where_none_may_be_and_all_else_is_drawn_the_same() -> None:
    for seed in range(40):
        one, other = (draw_inputs(np.random.default_rng(seed), (1, 2, 3, 4), "ordinary", F64, *no) for no in ((), (0,)))
        assert all(array.all() for array in other.values())
        assert all(np.array_equal(one[name], other[name]) for name in INPUTS if one[name].any())


def test_values_are_of_order_one_and_no_two_arrays_are_alike() -> None:
    run = without_zeros((5, 4, 6, 7))
    flat = {name: array.ravel()[:7] for name, array in run.inputs.items()}
    for one, other in itertools.combinations(flat.values(), 2):
        assert not np.any(np.isin(one, other))
    for name in ("x", "h0", "C0", "dh", "b_f"):
        assert 0.5 < np.std(run.inputs[name]) < 2
    for name in WEIGHTS:
        if name[0] != "b":
            assert 0.8 < np.std(run.inputs[name]) * np.sqrt(13) / 1.5 < 1.2


def of(regime: Regime) -> tuple[dict[str, Array], dict[str, Array]]:
    """The inputs and the blocks of a run in a regime."""
    run = drawn((5, 4, 5, 7), regime, "float64", 2)
    return run.inputs, truth_of(run).blocks


def test_in_the_ordinary_regime_gates_take_all_values() -> None:
    _, blocks = of("ordinary")
    for gate in "fio":
        assert blocks[gate].min() < 0.2 < 0.8 < blocks[gate].max()
    assert blocks["g"].min() < -0.6 < 0.6 < blocks["g"].max()


def test_in_the_linear_regime_the_candidate_and_the_cell_are_small() -> None:
    _, blocks = of("linear")
    assert np.max(np.abs(blocks["g"])) < 0.5
    assert np.max(np.abs(blocks["C"])) < 0.5


def test_in_the_saturated_regime_half_of_the_gates_are_0_or_1() -> None:
    _, blocks = of("saturated")
    gates = np.stack([blocks[gate] for gate in "fio"])
    assert 0.2 < np.mean(gates < 1e-6) < 0.4
    assert 0.2 < np.mean(gates > 1 - 1e-6) < 0.4


def test_in_the_remembering_regime_the_forget_gate_is_near_1() -> None:
    _, blocks = of("remembering")
    assert np.median(blocks["f"]) > 0.98
    assert np.min(blocks["f"]) > 0.8


@pytest.mark.parametrize(("regime", "size"), [("large", 1e6), ("tiny", 1e-6), ("ordinary", 1)])
def test_what_arrives_is_of_its_regime_s_size(regime: Regime, size: float) -> None:
    inputs, blocks = of(regime)
    for name in UPSTREAM:
        assert 0.5 < np.std(inputs[name]) / size < 2
    assert 0.01 < np.std(blocks["dx"]) / size < 10


def test_the_plain_regime_is_the_source_s_own_unit() -> None:
    inputs, _ = of("plain")
    present = {name for name, array in inputs.items() if array.any()}
    assert present == {name for name in WEIGHTS if name[0] != "b"} | {"x", "dh"}


def test_a_run_tells_what_it_is() -> None:
    assert str(draw_case(0, 8, F64)).startswith("run 8 (T=")
    assert str(Case(3, "tiny", draw_inputs(np.random.default_rng(0), (1, 2, 3, 4), "tiny", F64))) == (
        "run 3 (T=1 B=2 D=3 H=4, tiny, float64)"
    )
