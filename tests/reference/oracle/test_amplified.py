"""Runs that amplify errors: what is allowed there is seen on runs nearby, block by block, and on no run by luck."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from manual import fused
from reference.oracle import judge, ours, tolerance, truth
from reference.oracle.cases import Case
from reference.oracle.findings import judge as findings
from reference.oracle.truth import BLOCKS, DIMS, FLOAT32, FLOAT64, Truth, looked_around, losses, neighbour, truths
from reference.run import Array
from tests.strategies import DTYPES, drawn, without_zeros
from tests.twins import backward


@cache
def amplified(seed: int, factor: float, dtype: str) -> tuple[Case, Truth]:
    """A run whose recurrent weights are some times as large as usual, with its truth."""
    run = drawn((60, 2, 3, 6), "ordinary", dtype, seed)
    larger = {name: array * np.dtype(dtype).type(factor) for name, array in run.inputs.items() if name[0] == "W"}
    case = Case(seed, run.regime, run.inputs | larger)
    return case, truths([case])[0]


# On these, one evaluation in float32 is lucky: eight times what it loses is less than what the twins lose.
@pytest.mark.parametrize(("seed", "factor"), [(108, 4), (78, 6), (105, 6)])
def test_what_one_evaluation_does_not_lose_by_luck_is_allowed(seed: int, factor: float) -> None:
    run, nearby = amplified(seed, factor, "float64")
    by_itself = Truth(nearby.blocks, nearby.scales, losses([run], many=False)[0])
    assert not all(finding.ok for finding in findings(by_itself, ours.bptt_blocks(run), FLOAT64))
    for blocks in (ours.bptt_blocks(run), ours.fused_blocks(run)):
        assert all(finding.ratio < 0.5 for finding in findings(nearby, blocks, FLOAT64))


@pytest.mark.parametrize("seed", [0, 7, 21])
def test_what_one_block_loses_is_not_allowed_to_another(seed: int) -> None:
    run, of_run = amplified(seed, 5, "float32")
    right = backward(fused, run)
    assert judge(run.inputs | right).ok
    for name in ("dx", "dh0", "dC0"):  # two hundredths off, and less than the worst block may be
        wrong = right[name] * np.float32(1.02)
        assert np.max(of_run.units(name, wrong, FLOAT32)) < tolerance.MARGIN * of_run.loss * 10
        assert not judge(run.inputs | right | {name: wrong}).ok


@pytest.mark.parametrize(("seed", "factor"), [(0, 30), (4, 30), (7, 30)])
def test_a_run_on_which_float32_loses_all_is_refused_in_float64_too(seed: int, factor: float) -> None:
    run, of_run = amplified(seed, factor, "float64")
    assert max(of_run.tolerances.values()) * np.finfo(np.float64).eps < truth.MOST_ROUNDING
    with pytest.raises(ValueError, match="rounding in float64 may change everything"):
        judge(run.inputs | backward(fused, run))


def of_losses(T: int = 1, **lost: float) -> Truth:
    return Truth({"h": np.zeros((T, 1, 1))}, {}, dict.fromkeys(DIMS, 0.0) | lost)


def test_the_most_that_is_lost_nearby_counts_and_of_suspects_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, Array, bool]] = []

    def nearby(cases: list[Case], many: bool) -> list[dict[str, float]]:
        seen.extend((case.number, case.inputs["x"], many) for case in cases)
        return [dict.fromkeys(DIMS, 3.0) | {"dx": float(case.number + n)} for n, case in enumerate(cases)]

    monkeypatch.setattr(truth, "losses", nearby)
    cases = [Case(number, "ordinary", without_zeros((3, 2, 4, 5)).inputs) for number in range(5)]  # D + H is 9
    found = [of_losses(h=3.75), of_losses(h=3.76), of_losses(C=900, dx=2), of_losses(h=9e4), of_losses(h=np.inf)]
    after = looked_around([*found], cases, many=True)
    assert [a is b for a, b in zip(after, found, strict=True)] == [True, False, False, True, True]
    assert after[1].losses == dict.fromkeys(DIMS, 3.0) | {"h": 3.76, "dx": 7}
    assert after[2].losses == dict.fromkeys(DIMS, 3.0) | {"C": 900, "dx": 15}
    assert [number for number, _, _ in seen] == [1] * tolerance.NEIGHBOURS + [2] * tolerance.NEIGHBOURS
    assert len({x.tobytes() for _, x, _ in seen}) == tolerance.NEIGHBOURS
    assert {many for _, _, many in seen} == {True}


def test_the_size_of_a_sum_is_of_inputs_and_units(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(tolerance, "suspected", lambda loss, terms: asked.append(terms))
    looked_around([of_losses()], [without_zeros((3, 2, 4, 5))], many=False)
    assert asked == [9]


def test_losses_are_those_of_each_run_in_the_order_of_the_runs() -> None:
    runs = [drawn(sizes, "ordinary", "float32", k) for k, sizes in enumerate([(3, 2, 4, 5), (3, 5, 17, 40)] * 2)]
    assert losses(runs, many=False) == [losses([run], many=False)[0] for run in runs]
    assert len({each["h"] for each in losses(runs, many=False)}) == 4


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_neighbour_is_a_unit_of_float32_away_or_two(dtype: str) -> None:
    run = without_zeros((3, 2, 4, 5), dtype)
    run.inputs["x"][0, 0, 0] = 0
    some, eps = [neighbour(run, number) for number in (0, 1, 0)], np.finfo(np.float32).eps
    for near in some:
        assert (near.number, near.regime, near.dtype) == (run.number, run.regime, run.dtype)
        for name, array in run.inputs.items():
            away = np.abs(near.inputs[name].astype(float) - array) / np.where(array, np.abs(array), 1)
            assert np.all((array == 0) | ((0.49 * eps < away) & (away < 2.01 * eps))), name
            assert np.all(away[array == 0] == 0)
    for name in run.inputs:
        np.testing.assert_array_equal(some[0].inputs[name], some[2].inputs[name], strict=True)
        assert np.any(some[0].inputs[name] != some[1].inputs[name])
    farther = [np.abs(some[0].inputs[name]) > np.abs(array) for name, array in run.inputs.items()]
    assert 0.3 < np.mean(np.concatenate([each.ravel() for each in farther])) < 0.7


def test_a_neighbour_of_the_largest_number_warns_of_nothing() -> None:
    run = without_zeros((3, 2, 4, 5), "float32")
    run.inputs["x"][:] = np.finfo(np.float32).max
    assert np.isinf(neighbour(run, 0).inputs["x"]).any()


def test_there_is_a_loss_of_every_block() -> None:
    _, of_run = amplified(105, 6, "float64")
    assert set(of_run.losses) == set(of_run.tolerances) == set(DIMS) == set(BLOCKS) | {"C_T"}
    assert of_run.losses["C_T"] == of_run.losses["C"]
