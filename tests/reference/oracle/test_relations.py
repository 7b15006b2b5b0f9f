"""What must hold between calls: an LSTM that is right holds it all, and whatever differs is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.cases import Case
from reference.oracle.relations import apart, differing, rows_are_independent, same_again, split_equals_whole
from reference.run import INPUTS, OUTPUTS, Array, Run
from tests.candidates import adapters
from tests.reference.oracle.test_findings import truth
from tests.strategies import without_zeros

CASE, OTHER = without_zeros((3, 2, 4, 5)), without_zeros((3, 2, 5, 4))
EPS = 2.0**-52
RAISES, PRINTS = Problem("raises", "ValueError: lost"), Problem("prints", "wrote 'a' during the call")
REUSES = Problem("reuses_outputs", "changes the h that it returned from the call before")


class Scripted:
    """Gives these observations in turn and, asked to start afresh, these answers; notes the order of all."""

    def __init__(self, seen: Sequence[Observation], restarts: Sequence[bool] = (False,)) -> None:
        self.seen, self.restarts, self.asked = iter(seen), iter(restarts), ""

    def __call__(self, inputs: Run) -> Observation:
        self.asked += "c" if inputs is CASE.inputs else "o" if inputs is OTHER.inputs else "?"
        return next(self.seen)

    def restart(self) -> bool:
        self.asked += "r"
        return next(self.restarts)

    def same_again(self) -> Problem | None:
        return same_again(self, self.restart, CASE, OTHER, truth())


def seen(h: float = 0, dx: float = 0, *problems: Problem) -> Observation:
    """Outputs that are right but for one entry of each, which is off by so many units of rounding."""
    outputs = {name: truth().blocks[name].copy() for name in ("h", "dx")}
    outputs["h"][1, 1, 1], outputs["dx"][2, 0, 3] = h * EPS, dx * EPS
    return Observation(outputs, problems)


RIGHT, NEAR, WRONG, WORSE = seen(), seen(10), seen(100), seen(1000)


# The same inputs again.


def test_a_call_without_a_memory_gives_the_same_at_once_and_after_other_inputs() -> None:
    calls = Scripted([WRONG, WRONG, RIGHT, WRONG])
    assert calls.same_again() is None
    assert calls.asked == "ccoc"


@pytest.mark.parametrize("first", [Observation(), Observation(RIGHT.outputs, (RAISES,))])
def test_where_nothing_came_back_nothing_is_compared(first: Observation) -> None:
    calls = Scripted([first, RIGHT])
    assert calls.same_again() is None
    assert calls.asked == "cc"


@pytest.mark.parametrize(
    ("first", "second", "kind"),
    [(RIGHT, NEAR, "unstable"), (WRONG, WORSE, "unstable"), (WRONG, RIGHT, "unstable"), (RIGHT, WRONG, "keeps_state")],
)
def test_one_that_cannot_be_restarted_keeps_state_if_only_its_first_call_was_right(
    first: Observation, second: Observation, kind: str
) -> None:
    calls = Scripted([first, second])
    problem = calls.same_again()
    assert problem is not None
    assert problem.kind == kind
    assert problem.text.startswith("a second call with the same inputs gives another h, by up to ")
    assert calls.asked == "ccr"


@pytest.mark.parametrize(
    ("restarts", "fresh", "kind", "asked"),
    [
        ([True, True], [WRONG, NEAR, WRONG, NEAR], "keeps_state", "ccrccrcc"),
        ([True, True], [WRONG, NEAR, RIGHT, NEAR], "unstable", "ccrccrcc"),
        ([True, True], [WRONG, NEAR, WRONG, RIGHT], "unstable", "ccrccrcc"),
        ([True, False], [WRONG, NEAR], "unstable", "ccrccr"),
    ],
)
def test_one_that_can_be_restarted_keeps_state_if_every_start_gives_the_same_pair(
    restarts: list[bool], fresh: list[Observation], kind: str, asked: str
) -> None:
    calls = Scripted([WRONG, RIGHT, *fresh], restarts)
    problem = calls.same_again()
    assert problem is not None
    assert (problem.kind, calls.asked) == (kind, asked)


def test_what_other_inputs_left_behind_is_state() -> None:
    problem = Scripted([RIGHT, RIGHT, RIGHT, WRONG]).same_again()
    said = "after a call with other inputs, one with the same inputs as before gives another h, by up to 2.2e-14"
    assert problem == Problem("keeps_state", said)


def test_memory_that_other_inputs_are_computed_in_is_told_instead() -> None:
    writes = Problem("writes_inputs", "h0 changed during the call")
    assert Scripted([RIGHT, RIGHT, seen(0, 0, PRINTS, writes, REUSES), WRONG]).same_again() == REUSES
    assert Scripted([RIGHT, RIGHT, seen(0, 0, PRINTS, writes), RIGHT]).same_again() is None


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (seen(-4, 9), "gives another h, by up to 8.9e-16"),
        (seen(0, -4), "gives another dx, by up to 8.9e-16"),
        (Observation(RIGHT.outputs, (RAISES, PRINTS)), "ValueError: lost"),
        (Observation({"h": RIGHT.outputs["h"]}, (PRINTS,)), "wrote 'a' during the call"),
        (Observation({"C": RIGHT.outputs["h"], "h": RIGHT.outputs["h"]}), "returns C, h"),
        (Observation(), "returns nothing"),
    ],
)
def test_what_a_second_call_does_otherwise_is_told(second: Observation, said: str) -> None:
    problem = Problem("unstable", f"a second call with the same inputs {said}")
    assert Scripted([RIGHT, second]).same_again() == problem


def test_of_what_a_second_call_does_again_nothing_is_told() -> None:
    assert differing(RIGHT, seen(0, 0, PRINTS)) == ""


def test_infinities_differ_without_a_warning() -> None:
    first, second = seen(np.inf), seen(-np.inf)
    problem = Scripted([first, second]).same_again()
    assert problem is not None
    assert problem.text.endswith("gives another h, by up to inf")
    first.outputs["h"][0, 0, 0] = second.outputs["h"][0, 0, 0] = np.inf
    problem = Scripted([first, second]).same_again()
    assert problem is not None
    assert problem.text.endswith("gives another h, by up to nan")


# In pieces.

Relation = Callable[..., Problem | None]
RELATIONS: dict[str, tuple[Relation, str]] = {
    "split": (split_equals_whole, "the whole and its pieces, cut before step 3"),
    "rows": (rows_are_independent, "the batch and its rows, the first and the other 2"),
}
LONG = without_zeros((5, 3, 2, 4))
EACH = pytest.mark.parametrize("kind", RELATIONS)
# What a candidate may return; the first three are a forward pass alone, and so in effect is the fourth.
SOME = [["h", "C"], ["h", "C_T"], ["h", "C", "C_T"], ["h", "C_T", "dx", "dh0", "dW_f"], [*OUTPUTS]]


def of(names: Sequence[str], case: Case = LONG) -> Callable[[Run], Observation]:
    """A right LSTM that returns these outputs alone."""

    def call(inputs: Run) -> Observation:
        assert list(inputs) == list(INPUTS)
        outputs = adapters.right(**inputs)
        return Observation({name: outputs[name] for name in names})

    return call


def related(kind: str, call: Callable[[Run], Observation], case: Case = LONG, **changed: Array) -> Problem | None:
    """What is seen if the whole is what this call returns, but for what is changed."""
    relation, _ = RELATIONS[kind]
    return relation(call, case, truth(), Observation(call(case.inputs).outputs | changed))


@EACH
@pytest.mark.parametrize("names", SOME, ids=len)
@pytest.mark.parametrize("sizes", [(5, 3, 2, 4), (2, 2, 3, 5), (4, 2, 3, 1)])
def test_a_right_lstm_gives_in_pieces_what_it_gives_at_once(kind: str, names: list[str], sizes: Any) -> None:
    assert related(kind, of(names), without_zeros(sizes)) is None


@EACH
@pytest.mark.parametrize("name", OUTPUTS)
def test_any_output_may_differ(kind: str, name: str) -> None:
    wrong = adapters.right(**LONG.inputs)[name]
    wrong[-1] -= 0.001
    problem = related(kind, of([*OUTPUTS]), **{name: wrong})
    assert problem == Problem(kind, f"{name} differs by up to 0.001 between {RELATIONS[kind][1]}")


@pytest.mark.parametrize(
    ("kind", "sizes", "between"),
    [
        ("split", (2, 1, 3, 4), "the whole and its pieces, cut before step 1"),
        ("split", (4, 2, 3, 5), "the whole and its pieces, cut before step 2"),
        ("rows", (1, 2, 3, 4), "the batch and its rows, the first and the other 1"),
    ],
)
def test_two_steps_or_rows_are_enough(kind: str, sizes: Any, between: str) -> None:
    case = without_zeros(sizes)
    wrong = adapters.right(**case.inputs)["h"] + 0.001
    problem = related(kind, of([*OUTPUTS]), case, h=wrong)
    assert problem == Problem(kind, f"h differs by up to 0.001 between {between}")


@pytest.mark.parametrize("names", SOME[:4], ids=len)
def test_a_sequence_in_two_pieces_tells_of_a_forward_pass_alone(names: list[str]) -> None:
    for name in {"h", "C", "C_T"} & {*names}:
        wrong = adapters.right(**LONG.inputs)[name] + 0.001
        problem = related("split", of(names), **{name: wrong})
        assert problem is not None
        assert problem.text.startswith(f"{name} differs")


@pytest.mark.parametrize(
    ("kind", "sizes", "names"),
    [("split", (1, 2, 3, 4), OUTPUTS), ("rows", (2, 1, 3, 4), OUTPUTS), ("split", LONG.sizes, ["C", "C_T", "dx"]),
     ("split", LONG.sizes, ["h", "dx", "dh0", "dC0"])],
)  # fmt: skip
def test_what_cannot_be_taken_to_pieces_is_not_called(kind: str, sizes: Any, names: Sequence[str]) -> None:
    def call(inputs: Run) -> Observation:
        raise AssertionError("called")

    case = without_zeros(sizes)
    assert RELATIONS[kind][0](call, case, truth(), of(names)(case.inputs)) is None


@pytest.mark.parametrize("missing", [{"h"}, {"C", "C_T"}, {*OUTPUTS}])
def test_a_first_piece_without_a_state_to_hand_on_ends_it(missing: set[str]) -> None:
    asked: list[Run] = []

    def call(inputs: Run) -> Observation:
        asked.append(inputs)
        return of([name for name in OUTPUTS if name not in missing])(inputs)

    assert split_equals_whole(call, LONG, truth(), of([*OUTPUTS])(LONG.inputs)) is None
    assert len(asked) == 1


@EACH
@pytest.mark.parametrize("missing", [{"C"}, {"C_T"}, {"dh0"}, {"dC0"}, {"dW_f", "dx"}])
def test_what_does_not_come_of_every_piece_is_not_compared(kind: str, missing: set[str]) -> None:
    whole = of([*OUTPUTS])(LONG.inputs)
    for last in (1, 2, 3):
        calls = 0

        def call(inputs: Run, last: int = last) -> Observation:
            nonlocal calls
            calls += 1
            return of([name for name in OUTPUTS if name not in missing or calls != last])(inputs)

        assert RELATIONS[kind][0](call, LONG, truth(), whole) is None


@EACH
def test_what_comes_of_the_pieces_alone_is_not_compared(kind: str) -> None:
    assert RELATIONS[kind][0](of([*OUTPUTS]), LONG, truth(), of(["h", "C_T", "dW_f"])(LONG.inputs)) is None


# How far apart two results may be.


def difference(joined: Array, whole: Array, name: str = "h") -> Problem | None:
    return apart("split", truth(), {name: joined}, {name: whole}, "one and the other")


def test_four_times_the_tolerance_is_allowed_and_no_more() -> None:
    whole = np.zeros((3, 2, 5))
    for sign in (1, -1):
        joined = whole.copy()
        joined[0, 1, 2] = sign * 4 * 64 * EPS
        assert difference(joined, whole) is None
        joined[0, 1, 2] *= 1.001
        assert difference(joined, whole) == Problem("split", "h differs by up to 5.7e-14 between one and the other")
    narrow = joined.astype(np.float32)
    assert difference(narrow, whole.astype(np.float32)) is None
    assert difference(narrow, whole) is not None


def test_a_whole_that_is_not_finite_is_told_elsewhere() -> None:
    zeros = truth().blocks
    whole = {"h": np.full_like(zeros["h"], np.nan), "dx": zeros["dx"] + 1}
    problem = apart("rows", truth(), {"h": zeros["h"], "dx": zeros["dx"]}, whole, "them")
    assert problem == Problem("rows", "dx differs by up to 1 between them")


def test_pieces_that_are_not_finite_differ_from_a_whole_that_is() -> None:
    whole = np.zeros((3, 2, 5))
    for value in (np.nan, np.inf):
        problem = difference(np.full_like(whole, value), whole)
        assert problem == Problem("split", f"h differs by up to {value} between one and the other")


def test_the_largest_numbers_differ_without_a_warning() -> None:
    large = np.full((3, 2, 5), 3e38, np.float32)
    problem = difference(large, -large)
    assert problem == Problem("split", "h differs by up to 6e+38 between one and the other")
    huge = np.full((3, 2, 5), 1.7e308)
    problem = difference(huge, -huge)
    assert problem == Problem("split", "h differs by up to inf between one and the other")


def test_an_output_of_no_entries_does_not_differ() -> None:
    assert difference(np.zeros((3, 2, 0)), np.zeros((3, 2, 0)), "dx") is None
