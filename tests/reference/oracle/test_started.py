"""A truth by itself, and when truths are computed: a shape at a time, and ahead of what is judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

from reference.oracle import tolerance, truth
from reference.oracle.cases import Case, Sizes
from reference.oracle.padding import FINER, SHAPES
from reference.oracle.truth import (
    BLOCKS,
    FLOAT32,
    FLOAT64,
    VALUES,
    Truth,
    own_losses,
    started,
    truths,
    truths_ahead,
)
from reference.probes import EDGES, TO_X
from reference.run import GRADIENTS
from tests.reference.oracle.known import truth_of_losses
from tests.reference.oracle.test_batch import EPS, SMALL, WIDE
from tests.strategies import drawn, without_zeros

RUN = without_zeros(SMALL)


class Recorded:
    """In place of a batch: what it is made of, and which lanes are asked for."""

    made: list[tuple[Sequence[Case], Sizes, int]]
    asked: list[Case]

    def __init__(self, cases: Sequence[Case], shape: Sizes, lanes: int) -> None:
        self.cases = cases
        self.made.append((cases, shape, lanes))

    def truth(self, lane: int) -> Case:
        self.asked.append(self.cases[lane])
        return self.cases[lane]

    @property
    def own_losses(self) -> list[dict[str, float]]:
        return [{"h": float(case.number)} for case in self.cases]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> type[Recorded]:
    monkeypatch.setattr(truth, "Batch", Recorded)
    Recorded.made, Recorded.asked = [], []
    return Recorded


def runs_of(*sizes: Sizes) -> list[Case]:
    return [drawn(size, "ordinary", "float64", number) for number, size in enumerate(sizes)]


def test_a_block_is_a_value_an_edge_or_a_gradient() -> None:
    assert set(BLOCKS) == set(VALUES) | {f"δ{n}" for n in EDGES} | set(GRADIENTS)
    assert {name for name, dims in BLOCKS.items() if dims == "TBD"} == {f"δ{n}" for n in TO_X} | {"dx"}
    assert (str(FLOAT32), str(FLOAT64)) == ("float32", "float64")


def test_units_of_a_truth_are_multiples_of_eps_times_the_scale() -> None:
    one = Truth(RUN, SMALL, {"h": np.ones((1, 1, 2))}, {"h": np.full((1, 1, 1), 2.0)})
    got = one.blocks["h"] + [6 * EPS, 0]
    assert one.units("h", got, FLOAT64).tolist() == [[[pytest.approx(3), 0]]]
    assert one.units("h", got + 1, FLOAT32).max() == pytest.approx(2**22)


def truth_that_loses(T: int = 1, **losses: float) -> Truth:
    return truth_of_losses(without_zeros((T, 2, 4, 5)), losses)


def test_the_tolerance_is_that_of_the_loss_of_a_block_and_of_the_steps() -> None:
    one = truth_that_loses(9, h=16, dx=32)
    assert one.tolerances == {"h": tolerance.tolerance(16, 9), "dx": tolerance.tolerance(32, 9)}
    assert one.loss == 32
    assert truth_that_loses(900, h=16).tolerances == {"h": tolerance.tolerance(16, 900)}
    assert tolerance.tolerance(16, 9) < tolerance.tolerance(16, 900)


def test_a_run_tells_by_its_worst_block_and_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[float, int, np.dtype[Any]]] = []
    monkeypatch.setattr(tolerance, "tells", lambda *args: asked.append(args) or "it does")
    assert truth_that_loses(9, h=16, dx=32).tells(FLOAT32) == "it does"
    assert asked == [(32, 9, FLOAT32)]


def test_a_truth_stays_as_it_is() -> None:
    one = Truth(RUN, SMALL, {}, {})
    assert (one.batch, one.lane) == (None, 0)
    with pytest.raises(FrozenInstanceError):
        one.lane = 1


def test_truths_are_computed_a_shape_at_a_time_and_come_in_the_order_of_the_cases(recorded: type[Recorded]) -> None:
    runs = runs_of(SMALL, WIDE, *[SMALL] * 5)
    assert truths(runs) == runs
    first, then, last = [runs[k] for k in (0, 2, 3, 4, 5)], [runs[6]], [runs[1]]
    assert recorded.made == [(first, SHAPES[0], 5), (then, SHAPES[0], 5), (last, SHAPES[1], 7)]


def test_nothing_is_waited_for_before_it_is_asked_for(recorded: type[Recorded]) -> None:
    wait = started(runs_of(SMALL, WIDE), many=False)
    assert (len(recorded.made), recorded.asked) == (2, [])
    assert wait() == recorded.asked


def test_many_truths_are_computed_in_a_finer_shape(recorded: type[Recorded]) -> None:
    truths(runs_of(SMALL), many=True)
    assert len([*truths_ahead([runs_of(SMALL)], many=True)]) == len([*truths_ahead([runs_of(SMALL)])]) == 1
    assert [shape for _, shape, _ in recorded.made] == [FINER[0], FINER[0], SHAPES[0]]


def test_the_next_chunk_is_begun_before_one_is_handed_out_and_no_other(recorded: type[Recorded]) -> None:
    runs = runs_of(SMALL, SMALL, SMALL, SMALL)
    begun = []
    for chunk in truths_ahead([runs[:1], runs[1:3], runs[3:]]):
        assert chunk == [(case, case) for case in recorded.asked[-len(chunk) :]]
        begun.append((len(recorded.made), len(recorded.asked)))
    assert begun == [(2, 1), (3, 3), (3, 4)]
    assert recorded.asked == runs


def test_what_is_lost_is_computed_in_the_shape_that_is_asked_for(recorded: type[Recorded]) -> None:
    runs = [Case(number, "ordinary", RUN.inputs) for number in range(12)]
    assert own_losses(runs, SHAPES[0]) == [{"h": number} for number in range(12)]
    assert recorded.made == [(runs[:5], SHAPES[0], 5), (runs[5:10], SHAPES[0], 5), (runs[10:], SHAPES[0], 5)]


def test_a_batch_is_asked_what_is_lost_once_the_next_is_begun_and_no_other(
    recorded: type[Recorded], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    monkeypatch.setattr(recorded, "own_losses", property(lambda batch: begun.append(len(recorded.made)) or []))
    own_losses(runs_of(*[WIDE] * 22), SHAPES[1])
    assert begun == [2, 3, 4, 4]
