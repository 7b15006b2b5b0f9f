"""Relations between the calls of a candidate: a right LSTM satisfies all, and a violation is described."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pytest

from lstm_oracle.candidates.failures import Problem
from lstm_oracle.candidates.observer import FATAL, Observation
from lstm_oracle.comparison.relations import rows_are_independent, same_again, split_equals_whole
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import INPUTS, OUTPUTS, Array, Run
from tests.candidates import adapters
from tests.lstm_oracle.comparison.test_compare import truth
from tests.strategies import without_zeros

CASE, OTHER = without_zeros((3, 2, 4, 5)), without_zeros((3, 2, 5, 4))
EPS = 2.0**-52
RAISES, PRINTS = Problem("raises", "ValueError: lost"), Problem("prints", "wrote 'a' during the call")
REUSES = Problem("reuses_outputs", "changes the h that it returned from the call before")


def observation(h: float = 0, dx: float = 0, *problems: Problem) -> Observation:
    """Right outputs except for one entry of each, which is off by so many units of rounding."""
    outputs = {name: truth().blocks[name].copy() for name in ("h", "dx")}
    outputs["h"][1, 1, 1], outputs["dx"][2, 0, 3] = h * EPS, dx * EPS
    return Observation(outputs, problems)


RIGHT, NEAR, WRONG, WORSE = observation(), observation(10), observation(100), observation(1000)


def repeated(*starts: Sequence[Observation]) -> Problem | None:
    """`same_again` for a candidate with these answers after each start, of which the last one stays."""
    answers = [list(start) for start in starts]

    def call(inputs: Run) -> Observation:
        return answers[0].pop(0) if len(answers[0]) > 1 else answers[0][0]

    def restart() -> bool:
        return len(answers) > 1 and bool(answers.pop(0))

    return same_again(call, restart, CASE, OTHER, truth())


# The same inputs again.


def test_the_same_bits_at_once_and_after_other_inputs_are_no_problem() -> None:
    assert repeated([RIGHT, RIGHT, WRONG, RIGHT]) is None
    assert repeated([WRONG, WRONG, RIGHT, WRONG]) is None
    assert repeated([RIGHT, observation(0, 0, PRINTS), RIGHT, RIGHT]) is None


@pytest.mark.parametrize("first", [Observation(), *(Observation(RIGHT.outputs, (Problem(k, ""),)) for k in FATAL)])
def test_a_first_call_that_returned_nothing_is_not_compared(first: Observation) -> None:
    assert repeated([first, RIGHT, RIGHT, WRONG]) is None


@pytest.mark.parametrize(
    ("kind", "starts"),
    [
        # Without a restart it is state if only the first call was right.
        ("unstable", [[RIGHT, NEAR]]),
        ("unstable", [[WRONG, WORSE]]),
        ("unstable", [[WRONG, RIGHT]]),
        ("keeps_state", [[RIGHT, WRONG]]),
        # Otherwise it is state if two restarts give the same pair.
        ("keeps_state", [[WRONG, RIGHT], [WRONG, NEAR], [WRONG, NEAR]]),
        ("unstable", [[WRONG, RIGHT], [WRONG, NEAR], [RIGHT, NEAR]]),
        ("unstable", [[WRONG, RIGHT], [WRONG, NEAR], [WRONG, RIGHT]]),
        ("unstable", [[WRONG, RIGHT], [WRONG, NEAR]]),
    ],
)
def test_state_is_distinguished_from_chance(kind: str, starts: list[list[Observation]]) -> None:
    problem = repeated(*starts)
    assert problem is not None
    assert problem.kind == kind
    assert problem.text.startswith("a second call with the same inputs gives another h, by up to ")


def test_a_difference_after_other_inputs_is_state() -> None:
    text = "after a call with other inputs, one with the same inputs as before gives another h, by up to 2.2e-14"
    assert repeated([RIGHT, RIGHT, RIGHT, WRONG]) == Problem("keeps_state", text)
    writes = Problem("writes_inputs", "h0 changed during the call")
    assert repeated([RIGHT, RIGHT, observation(0, 0, PRINTS, writes, REUSES), WRONG]) == REUSES
    assert repeated([RIGHT, RIGHT, observation(0, 0, PRINTS, writes), RIGHT]) is None


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (observation(-4, 9), "gives another h, by up to 8.9e-16"),
        (observation(0, -4), "gives another dx, by up to 8.9e-16"),
        (observation(-0.0), "gives another h, by up to 0"),
        (observation(np.inf), "gives another h, by up to inf"),
        (observation(np.nan), "gives another h, by up to nan"),
        (Observation(RIGHT.outputs, (RAISES, PRINTS)), "ValueError: lost"),
        (Observation({"h": RIGHT.outputs["h"]}, (PRINTS,)), "wrote 'a' during the call"),
        (Observation({"C": RIGHT.outputs["h"], "h": RIGHT.outputs["h"]}), "returns C, h"),
        (Observation(), "returns nothing"),
    ],
)
def test_the_difference_of_a_second_call_is_described(second: Observation, text: str) -> None:
    problem = repeated([RIGHT, second])
    assert problem is not None
    assert problem.text == f"a second call with the same inputs {text}"


# In pieces.

Relation = Callable[..., Problem | None]
RELATIONS: dict[str, tuple[Relation, str]] = {
    "split": (split_equals_whole, "the whole and its pieces, cut before step 3"),
    "rows": (rows_are_independent, "the batch and its rows, the first and the other 2"),
}
LONG = without_zeros((5, 3, 2, 4))
EACH = pytest.mark.parametrize("kind", RELATIONS)
# The outputs that a candidate may return; a sequence in pieces compares only the forward pass of the first four.
SOME = [["h", "C"], ["h", "C_T"], ["h", "C", "C_T"], ["h", "C_T", "dx", "dh0", "dW_f"], [*OUTPUTS]]


def right(
    names: Sequence[str] = (*OUTPUTS,), but: int = 0, without: Collection[str] = ()
) -> Callable[[Run], Observation]:
    """A right LSTM that returns these outputs, fewer of them at the call of this number."""
    calls = 0

    def call(inputs: Run) -> Observation:
        nonlocal calls
        calls += 1
        assert list(inputs) == list(INPUTS)
        outputs = adapters.right(**inputs)
        return Observation({name: outputs[name] for name in names if calls != but or name not in without})

    return call


def related(kind: str, call: Callable[[Run], Observation], case: Case = LONG, **changed: Array) -> Problem | None:
    """The problem if the whole is what this call returns, except for what is changed."""
    relation, _ = RELATIONS[kind]
    return relation(call, case, truth(), Observation(call(case.inputs).outputs | changed))


@EACH
@pytest.mark.parametrize("names", SOME, ids=len)
@pytest.mark.parametrize("sizes", [(5, 3, 2, 4), (2, 2, 3, 5), (4, 2, 3, 1)])
def test_a_right_lstm_gives_in_pieces_what_it_gives_at_once(kind: str, names: list[str], sizes: Any) -> None:
    assert related(kind, right(names), without_zeros(sizes)) is None


@EACH
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_difference_in_any_output_is_found(kind: str, name: str) -> None:
    wrong = adapters.right(**LONG.inputs)[name]
    wrong[-1] -= 0.001
    problem = related(kind, right(), **{name: wrong})
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
    problem = related(kind, right(), case, h=adapters.right(**case.inputs)["h"] + 0.001)
    assert problem == Problem(kind, f"h differs by up to 0.001 between {between}")


@pytest.mark.parametrize("names", SOME[:4], ids=len)
def test_a_sequence_in_two_pieces_compares_the_states_of_a_forward_pass_alone(names: list[str]) -> None:
    for name in {"h", "C", "C_T"} & {*names}:
        problem = related("split", right(names), **{name: adapters.right(**LONG.inputs)[name] + 0.001})
        assert problem is not None
        assert problem.text.startswith(f"{name} differs")


def test_an_lstm_that_carries_no_state_from_piece_to_piece_is_found() -> None:
    def call(inputs: Run) -> Observation:
        return Observation(adapters.right(**inputs | {"h0": 0 * inputs["h0"], "C0": 0 * inputs["C0"]}))

    problem = related("split", call)
    assert problem is not None
    assert problem.text.startswith("h differs")


@pytest.mark.parametrize(
    ("kind", "sizes", "names"),
    [("split", (1, 2, 3, 4), OUTPUTS), ("rows", (2, 1, 3, 4), OUTPUTS), ("split", LONG.sizes, ["C", "C_T", "dx"]),
     ("split", LONG.sizes, ["h", "dx", "dh0", "dC0"])],
)  # fmt: skip
def test_a_run_that_cannot_be_divided_is_not_compared(kind: str, sizes: Any, names: Sequence[str]) -> None:
    case = without_zeros(sizes)
    wrong = {name: array + 1 for name, array in right(names)(case.inputs).outputs.items()}
    assert related(kind, right(names), case, **wrong) is None


@EACH
@pytest.mark.parametrize("missing", [{"h"}, {"C", "C_T"}, {"C"}, {"C_T"}, {"dh0"}, {"dC0"}, {"dW_f", "dx"}, {*OUTPUTS}])
def test_an_output_that_not_every_piece_returns_is_not_compared(kind: str, missing: set[str]) -> None:
    whole = right()(LONG.inputs)
    for piece in (1, 2, 3):
        assert RELATIONS[kind][0](right(but=piece, without=missing), LONG, truth(), whole) is None


@EACH
def test_an_output_that_only_the_pieces_return_is_not_compared(kind: str) -> None:
    assert RELATIONS[kind][0](right(), LONG, truth(), right(["h", "C_T", "dW_f"])(LONG.inputs)) is None


# How far apart two results may be.


@EACH
def test_a_difference_of_four_tolerances_is_allowed_and_no_more(kind: str) -> None:
    h = adapters.right(**LONG.inputs)["h"]
    for sign in (1, -1):
        for tolerances, allowed in ((3.9, True), (4.1, False)):
            changed = h.copy()
            changed[0, 1, 2] += sign * tolerances * 64 * EPS
            assert (related(kind, right(), h=changed) is None) == allowed
    assert related(kind, right(), h=h.astype(np.float32)) is None


@EACH
def test_a_whole_that_is_not_finite_is_not_compared(kind: str) -> None:
    dx = adapters.right(**LONG.inputs)["dx"]
    problem = related(kind, right(), h=np.full((5, 3, 4), np.nan), dx=dx + 1)
    assert problem == Problem(kind, f"dx differs by up to 1 between {RELATIONS[kind][1]}")


@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, 1.7e308])
def test_pieces_that_overflow_differ_from_a_whole_that_is_finite(kind: str, value: float) -> None:
    whole = right()(LONG.inputs)

    def call(inputs: Run) -> Observation:
        outputs = adapters.right(**inputs)
        return Observation(outputs | {"h": np.full_like(outputs["h"], value)})

    whole.outputs["h"][:] = -1.7e308
    said = "inf" if value > 1 else "nan"
    assert RELATIONS[kind][0](call, LONG, truth(), whole) == Problem(
        kind, f"h differs by up to {said} between {RELATIONS[kind][1]}"
    )


@EACH
def test_an_output_without_entries_does_not_differ(kind: str) -> None:
    assert related(kind, right(), without_zeros((5, 3, 0, 4))) is None
