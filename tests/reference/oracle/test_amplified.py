"""Runs that amplify errors: what is allowed there is seen on runs nearby, block by block, and on no run by luck."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manual import fused
from reference.oracle import judge, ours, tolerance, truth
from reference.oracle.cases import Case, Sizes
from reference.oracle.findings import judge as findings
from reference.oracle.padding import SHAPES
from reference.oracle.truth import (
    BLOCKS,
    DIMS,
    FLOAT32,
    FLOAT64,
    NO_LOSSES,
    Losses,
    Truth,
    find_out,
    neighbour,
    own_losses,
    truths,
)
from reference.run import Array
from tests.reference.oracle.known import truth_of_losses
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
    more = [nearby.losses["dx"] / nearby.own_losses["dx"] for _, nearby in known]
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
    assert max(of_run.tolerances.values()) * np.finfo(np.float64).eps < tolerance.MOST_ROUNDING
    with pytest.raises(ValueError, match="rounding in float64 may change everything"):
        judge(run.inputs | backward(fused, run))


Asked = list[tuple[int, Array, Sizes]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The runs of which the losses are asked, as they are asked; each loses 3 of every block, and of dx 1, 2, 3 …"""
    asked: Asked = []

    def losses(cases: Sequence[Case], shape: Sizes) -> list[Losses]:
        asked.extend((case.number, case.inputs["x"], shape) for case in cases)
        return [dict.fromkeys(DIMS, 3.0) | {"dx": 1.0 + n} for n in range(len(cases))]

    monkeypatch.setattr(truth, "own_losses", losses)
    return asked


def of_losses(number: int = 0, **lost: float) -> Truth:
    """The truth of a run, D + H of which is 9, that loses so much by itself."""
    run = Case(number, "ordinary", without_zeros((3, 2, 4, 5)).inputs)
    batch: Any = SimpleNamespace(own_losses={2: NO_LOSSES | lost})
    return Truth(run, (3, 4, 6, 8), {}, {}, batch, lane=2)


def put_together(own: Losses, dx: int = 1) -> Any:
    """What is lost in all, if runs nearby lose as `asked` says, and the first of them `dx` units of dx."""
    near = dict.fromkeys(DIMS, [3] * 7) | {"dx": [*range(dx, dx + 7)]}
    return pytest.approx({name: np.linalg.norm([own.get(name, 0), *near[name]]) for name in DIMS})


@pytest.mark.parametrize("lost", [{"h": 4.5}, {"h": 9e4}, {"h": np.inf}], ids=str)
def test_nothing_nearby_counts_for_a_run_that_is_not_suspected_or_tells_nothing(
    lost: dict[str, float], asked: Asked
) -> None:
    of_run = of_losses(**lost)
    assert of_run.losses == of_run.own_losses == NO_LOSSES | lost
    assert asked == []


@pytest.mark.parametrize("lost", [{"h": 4.51}, {"C": 900.0, "dx": 2.0}], ids=str)
def test_what_is_lost_nearby_counts_too_if_a_run_is_suspected(lost: dict[str, float], asked: Asked) -> None:
    of_run = of_losses(7, **lost)
    assert of_run.losses == put_together(lost)
    assert of_run.own_losses == NO_LOSSES | lost
    assert [(number, shape) for number, _, shape in asked] == [(7, (3, 4, 6, 8))] * tolerance.NEIGHBOURS
    assert len({x.tobytes() for _, x, _ in asked}) == tolerance.NEIGHBOURS


def test_losses_that_are_found_out_together_are_put_together_run_by_run(asked: Asked) -> None:
    known = [of_losses(0, h=100), of_losses(1, h=1), of_losses(2, C=200), replace(of_losses(3, h=50), shape=SHAPES[0])]
    find_out(known)
    own = (3, 4, 6, 8)
    assert [(number, shape) for number, _, shape in asked] == [(0, own)] * 7 + [(2, own)] * 7 + [(3, SHAPES[0])] * 7
    assert known[1].losses == known[1].own_losses
    assert known[0].losses == put_together({"h": 100})
    assert known[2].losses == put_together({"C": 200}, dx=8)
    assert known[3].losses == put_together({"h": 50})
    assert len(asked) == 21


def test_nothing_is_lost_where_there_is_no_step() -> None:
    run = without_zeros((0, 2, 3, 4))
    run.inputs["C0"][:] = 1e200
    (of_run,) = truths([run])
    assert of_run.losses == of_run.alone().losses == NO_LOSSES
    assert judge(run.inputs | backward(fused, run) | {"C_T": run.inputs["C0"]}).ok


def test_a_run_is_suspected_by_its_worst_block_its_steps_and_its_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, int, int]] = []
    monkeypatch.setattr(tolerance, "suspected", lambda *args, **named: asked.append((*args, *named.items())))
    assert of_losses(h=1, dx=2).losses["dx"] == 2
    assert asked == [(2, ("steps", 3), ("terms", 9))]


def test_nobody_asks_what_is_lost_where_an_error_is_far_below_what_is_allowed_anyway(asked: Asked) -> None:
    of_run, alone, nearby = of_losses(h=100, C=20), 8 * 20, 8 * (20**2 + 7 * 3**2) ** 0.5
    for units, allowed, found_out, neighbours in (
        (16, 64, 0, 0), (16.1, alone, 1, 0), (40, alone, 1, 0), (40.1, nearby, 1, 7), (np.inf, nearby, 1, 7),
    ):  # fmt: skip
        assert of_run.allowed("C", units) == pytest.approx(allowed)
        assert ("own_losses" in vars(of_run), len(asked)) == (found_out, neighbours)
    assert of_run.allowed("C", np.nan) == of_run.tolerances["C"]
    assert of_run.allowed("C", 16) == 64


def test_more_is_allowed_anyway_where_there_are_many_steps() -> None:
    of_run = truth_of_losses(without_zeros((100, 1, 2, 3)), {"h": 1000})
    assert (of_run.allowed("h", 50), of_run.allowed("h", 50.1)) == (200, 8000)


def test_what_is_known_is_kept_with_a_truth_that_is_kept_alone(asked: Asked) -> None:
    of_run = of_losses(h=100)
    assert "own_losses" not in vars(of_run.alone())
    assert of_run.allowed("h", 20) == 800
    kept = of_run.alone()
    assert (kept.batch, kept.own_losses, asked) == (None, of_run.own_losses, [])
    assert kept.losses == of_run.losses
    assert len(asked) == 2 * tolerance.NEIGHBOURS
    assert of_run.alone().losses == of_run.losses
    assert len(asked) == 2 * tolerance.NEIGHBOURS


@pytest.mark.parametrize("many", [True, False])
def test_a_run_alone_loses_what_it_loses_among_others(many: bool) -> None:
    (among,) = truths([drawn((3, 2, 4, 5), "ordinary", "float64", 3)], many)
    assert among.alone().own_losses == among.own_losses
    assert among.loss > 0


def test_losses_are_those_of_each_run_in_the_order_of_the_runs() -> None:
    runs = [drawn((3, 2, 4, 5), "ordinary", "float32", k) for k in range(7)]
    found = own_losses(runs, SHAPES[0])
    assert found == [truth.own_losses for truth in truths(runs)]
    assert len({each["h"] for each in found}) == 7


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
