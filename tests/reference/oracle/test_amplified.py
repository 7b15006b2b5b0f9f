"""Runs that amplify errors: what is allowed there is seen on runs nearby, block by block, and on no run by luck."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest

from manual import fused
from reference.oracle import judge, ours, tolerance, truth
from reference.oracle.cases import Case
from reference.oracle.findings import judge as findings
from reference.oracle.truth import BLOCKS, DIMS, FLOAT32, FLOAT64, Truth, looked_around, losses_of, neighbour, truths
from reference.run import Array
from tests.strategies import DTYPES, drawn, without_zeros
from tests.twins import backward


def amplified(factor: float, dtype: str, seeds: Iterable[int]) -> list[tuple[Case, Truth]]:
    """Runs whose recurrent weights are some times as large as usual, with their truths."""
    cases = []
    for seed in seeds:
        run = drawn((60, 2, 3, 6), "ordinary", dtype, seed)
        larger = {name: array * np.dtype(dtype).type(factor) for name, array in run.inputs.items() if name[0] == "W"}
        cases.append(Case(seed, run.regime, run.inputs | larger))
    return [*zip(cases, truths(cases), strict=True)]


def test_what_is_lost_by_no_luck_on_any_run_nearby_is_allowed() -> None:
    """By one evaluation alone a few honest runs of a hundred would be wrong, and other ones on another machine."""
    known = amplified(6, "float64", range(70, 110))
    by_themselves = losses_of([case for case, _ in known], many=False)
    more = [nearby.losses["dx"] / alone["dx"] for (_, nearby), alone in zip(known, by_themselves, strict=True)]
    assert min(more) >= 1
    assert 2 < np.median(more) < 20
    telling = [(case, nearby) for case, nearby in known if nearby.tells(FLOAT64)]
    assert len(telling) > 20
    for case, nearby in telling:
        for blocks in (ours.bptt_blocks(case), ours.fused_blocks(case)):
            assert all(finding.ok for finding in findings(nearby, blocks, FLOAT64))


@pytest.mark.parametrize("seed", [0, 7, 21])
def test_what_one_block_loses_is_not_allowed_to_another(seed: int) -> None:
    ((run, of_run),) = amplified(5, "float32", [seed])
    right = backward(fused, run)
    assert judge(run.inputs | right).ok
    for name in ("dx", "dh0", "dC0"):  # two hundredths off, and less than the worst block may be
        wrong = right[name] * np.float32(1.02)
        assert np.max(of_run.units(name, wrong, FLOAT32)) < tolerance.MARGIN * of_run.loss * 10
        assert not any(finding.ok for finding in findings(of_run, {name: wrong}, FLOAT32))


@pytest.mark.parametrize("seed", [2, 5, 6])
def test_a_run_on_which_float32_loses_all_is_refused_in_float64_too(seed: int) -> None:
    ((run, of_run),) = amplified(30, "float64", [seed])
    assert max(of_run.tolerances.values()) * np.finfo(np.float64).eps < truth.MOST_ROUNDING
    with pytest.raises(ValueError, match="rounding in float64 may change everything"):
        judge(run.inputs | backward(fused, run))


def of_losses(T: int = 1, **lost: float) -> Truth:
    return Truth({"h": np.zeros((T, 1, 1))}, {}, dict.fromkeys(DIMS, 0.0) | lost)


def test_what_is_lost_nearby_counts_too_and_of_suspects_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, Array, bool]] = []

    def nearby(cases: list[Case], many: bool) -> list[dict[str, float]]:
        seen.extend((case.number, case.inputs["x"], many) for case in cases)
        return [dict.fromkeys(DIMS, 3.0) | {"dx": 1.0 + n} for n, case in enumerate(cases)]

    monkeypatch.setattr(truth, "losses_of", nearby)
    cases = [Case(number, "ordinary", without_zeros((3, 2, 4, 5)).inputs) for number in range(5)]  # D + H is 9
    found = [of_losses(h=4.5), of_losses(h=4.51), of_losses(C=900, dx=2), of_losses(h=9e4), of_losses(h=np.inf)]
    after = looked_around([*found], cases, many=True)
    assert [a is b for a, b in zip(after, found, strict=True)] == [True, False, False, True, True]
    for k, own, first in ((1, {"h": 4.51}, 0), (2, {"C": 900.0, "dx": 2.0}, 7)):
        for name in DIMS:
            nearby_too = [1 + first + n for n in range(7)] if name == "dx" else [3] * 7
            assert after[k].losses[name] == pytest.approx(np.linalg.norm([own.get(name, 0), *nearby_too])), name
    assert [number for number, _, _ in seen] == [1] * tolerance.NEIGHBOURS + [2] * tolerance.NEIGHBOURS
    assert len({x.tobytes() for _, x, _ in seen}) == tolerance.NEIGHBOURS
    assert {many for _, _, many in seen} == {True}


def test_a_run_is_suspected_by_its_worst_block_its_steps_and_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, int, int]] = []
    monkeypatch.setattr(tolerance, "suspected", lambda *args, **named: asked.append((*args, *named.items())))
    looked_around([of_losses(h=1, dx=2)], [without_zeros((3, 2, 4, 5))], many=False)
    assert asked == [(2, ("steps", 3), ("terms", 9))]


def test_losses_are_those_of_each_run_in_the_order_of_the_runs() -> None:
    runs = [drawn(sizes, "ordinary", "float32", k) for k, sizes in enumerate([(3, 2, 4, 5), (3, 5, 17, 40)] * 2)]
    assert losses_of(runs, many=False) == [losses_of([run], many=False)[0] for run in runs]
    assert len({each["h"] for each in losses_of(runs, many=False)}) == 4


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
    ((_, of_run),) = amplified(6, "float64", [105])
    assert set(of_run.losses) == set(of_run.tolerances) == set(DIMS) == set(BLOCKS) | {"C_T"}
    assert of_run.losses["C_T"] == of_run.losses["C"]
