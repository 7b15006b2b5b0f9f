"""Relations between the calls of a candidate: a correct LSTM satisfies all, and a violation is described."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
import pytest

from lstm_oracle.candidates.failures import NO_RESULT, FailureKind, Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.relations import rows_are_independent, same_again, split_equals_whole
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import INPUTS, OUTPUTS, Array, Run
from tests.candidates import adapters
from tests.lstm_oracle.comparison.test_compare import truth
from tests.strategies import without_zeros

CASE, OTHER = without_zeros((3, 2, 4, 5)), without_zeros((3, 2, 5, 4))
EPS = 2.0**-52
RAISES = Problem(FailureKind.RAISES, "ValueError: lost")
PRINTS = Problem(FailureKind.PRINTS, "wrote 'a' during the call")
REUSES = Problem(FailureKind.REUSES_OUTPUTS, "changed the h that the previous call had returned")
WRITES = Problem(FailureKind.WRITES_INPUTS, "h0 changed during the call")


def observation(h: float = 0, dx: float = 0, *problems: Problem) -> Observation:
    """Return right outputs except for one entry of each, whose error is so many units of rounding."""
    outputs = {name: truth().blocks[name].copy() for name in ("h", "dx")}
    outputs["h"][1, 1, 1], outputs["dx"][2, 0, 3] = h * EPS, dx * EPS
    return Observation(outputs, problems)


RIGHT, NEAR, WRONG, WORSE = observation(), observation(10), observation(100), observation(1000)


def repeated(*starts: Sequence[Observation]) -> Problem | None:
    """Return `same_again` for a candidate with these answers after each start; the last answer is repeated."""
    answers = [list(start) for start in starts]

    def call(inputs: Run) -> Observation:
        return answers[0].pop(0) if len(answers[0]) > 1 else answers[0][0]

    def restart() -> bool:
        return len(answers) > 1 and bool(answers.pop(0))

    return same_again(call, restart, CASE, OTHER, truth())


# Repeated calls.


def test_equal_bits_at_once_and_after_other_inputs_are_no_problem() -> None:
    assert repeated([RIGHT, RIGHT, WRONG, RIGHT]) is None
    assert repeated([WRONG, WRONG, RIGHT, WRONG]) is None
    assert repeated([RIGHT, observation(0, 0, PRINTS), RIGHT, RIGHT]) is None


@pytest.mark.parametrize("first", [Observation(), *(Observation(RIGHT.outputs, (Problem(k, ""),)) for k in NO_RESULT)])
def test_a_first_call_without_a_result_is_not_compared(first: Observation) -> None:
    assert repeated([first, RIGHT, RIGHT, WRONG]) is None


@pytest.mark.parametrize(
    ("kind", "starts"),
    [
        # Without restarts it is state if only the first call is right.
        ("unstable", [[RIGHT, NEAR]]),
        ("unstable", [[WRONG, WORSE]]),
        ("unstable", [[WRONG, RIGHT]]),
        ("keeps_state", [[RIGHT, WRONG]]),
        # Otherwise it is state if two restarts lead to the same pair of results.
        ("keeps_state", [[WRONG, RIGHT], [WRONG, NEAR], [WRONG, NEAR]]),
        ("unstable", [[WRONG, RIGHT], [WRONG, NEAR], [RIGHT, NEAR]]),
        ("unstable", [[WRONG, RIGHT], [WRONG, NEAR], [WRONG, RIGHT]]),
        ("unstable", [[WRONG, RIGHT], [WRONG, NEAR]]),
    ],
)
def test_state_is_distinguished_from_nondeterminism(kind: FailureKind, starts: list[list[Observation]]) -> None:
    problem = repeated(*starts)
    assert problem is not None
    assert problem.kind == kind
    assert problem.text.startswith("a second call with the same inputs returns a different h, by up to ")


def test_a_difference_after_other_inputs_is_state() -> None:
    text = "after a call with other inputs, a call with the first inputs returns a different h, by up to 2.2e-14"
    assert repeated([RIGHT, RIGHT, RIGHT, WRONG]) == Problem(FailureKind.KEEPS_STATE, text)
    assert repeated([RIGHT, RIGHT, observation(0, 0, PRINTS, WRITES, REUSES), WRONG]) == REUSES
    assert repeated([RIGHT, RIGHT, observation(0, 0, PRINTS, WRITES), RIGHT]) is None


@pytest.mark.parametrize(
    ("second", "text"),
    [
        (observation(-4, 9), "returns a different h, by up to 8.9e-16"),
        (observation(0, -4), "returns a different dx, by up to 8.9e-16"),
        (observation(-0.0), "returns a different h, by up to 0"),
        (observation(np.inf), "returns a different h, by up to inf"),
        (observation(np.nan), "returns a different h, by up to nan"),
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


# Sequences and batches in two parts.

Relation = Callable[..., Problem | None]
SPLIT, ROWS = FailureKind.SPLIT, FailureKind.ROWS
RELATIONS: dict[FailureKind, tuple[Relation, str]] = {
    SPLIT: (split_equals_whole, "the whole sequence and its two parts, cut before step 3"),
    ROWS: (rows_are_independent, "the whole batch and its two parts, the first row and the other 2"),
}
LONG = without_zeros((5, 3, 2, 4))
EACH = pytest.mark.parametrize("kind", RELATIONS)
# Outputs that a candidate may return; for the first four, only the forward pass of a sequence in parts is compared.
SUBSETS = [["h", "C"], ["h", "C_T"], ["h", "C", "C_T"], ["h", "C_T", "dx", "dh0", "dW_f"], [*OUTPUTS]]


def right(
    names: Sequence[str] = (*OUTPUTS,), but: int = 0, without: Collection[str] = ()
) -> Callable[[Run], Observation]:
    """Return a correct LSTM with these outputs, without some of them in call number `but`."""
    calls = 0

    def call(inputs: Run) -> Observation:
        nonlocal calls
        calls += 1
        assert list(inputs) == list(INPUTS)
        outputs = adapters.right(**inputs)
        return Observation({name: outputs[name] for name in names if calls != but or name not in without})

    return call


def related(
    kind: FailureKind, call: Callable[[Run], Observation], case: Case = LONG, **changed: Array
) -> Problem | None:
    """Return the problem of a candidate whose outputs for the whole run are changed."""
    relation, _ = RELATIONS[kind]
    return relation(call, case, truth(), Observation(call(case.inputs).outputs | changed))


@EACH
@pytest.mark.parametrize("names", SUBSETS, ids=len)
@pytest.mark.parametrize("sizes", [(5, 3, 2, 4), (2, 2, 3, 5), (4, 2, 3, 1)])
def test_the_two_parts_of_a_correct_lstm_equal_the_whole(kind: FailureKind, names: list[str], sizes: Any) -> None:
    assert related(kind, right(names), without_zeros(sizes)) is None


@EACH
@pytest.mark.parametrize("name", OUTPUTS)
def test_a_difference_in_any_output_is_found(kind: FailureKind, name: str) -> None:
    wrong = adapters.right(**LONG.inputs)[name]
    wrong[-1] -= 0.001
    problem = related(kind, right(), **{name: wrong})
    assert problem == Problem(kind, f"{name} differs by up to 0.001 between {RELATIONS[kind][1]}")


@pytest.mark.parametrize(
    ("kind", "sizes", "between"),
    [
        (SPLIT, (2, 1, 3, 4), "the whole sequence and its two parts, cut before step 1"),
        (SPLIT, (4, 2, 3, 5), "the whole sequence and its two parts, cut before step 2"),
        (ROWS, (1, 2, 3, 4), "the whole batch and its two parts, the first row and the other 1"),
    ],
)
def test_two_steps_or_rows_are_enough(kind: FailureKind, sizes: Any, between: str) -> None:
    case = without_zeros(sizes)
    problem = related(kind, right(), case, h=adapters.right(**case.inputs)["h"] + 0.001)
    assert problem == Problem(kind, f"h differs by up to 0.001 between {between}")


@pytest.mark.parametrize("names", SUBSETS[:4], ids=len)
def test_without_gradients_the_two_parts_of_a_sequence_are_compared_in_the_forward_pass(names: list[str]) -> None:
    for name in {"h", "C", "C_T"} & {*names}:
        problem = related(SPLIT, right(names), **{name: adapters.right(**LONG.inputs)[name] + 0.001})
        assert problem is not None
        assert problem.text.startswith(f"{name} differs")


def test_an_lstm_that_ignores_its_initial_states_is_detected() -> None:
    def call(inputs: Run) -> Observation:
        return Observation(adapters.right(**inputs | {"h0": 0 * inputs["h0"], "C0": 0 * inputs["C0"]}))

    problem = related(SPLIT, call)
    assert problem is not None
    assert problem.text.startswith("h differs")


@pytest.mark.parametrize(
    ("kind", "sizes", "names"),
    [(SPLIT, (1, 2, 3, 4), OUTPUTS), (ROWS, (2, 1, 3, 4), OUTPUTS), (SPLIT, LONG.sizes, ["C", "C_T", "dx"]),
     (SPLIT, LONG.sizes, ["h", "dx", "dh0", "dC0"])],
)  # fmt: skip
def test_a_run_that_cannot_be_divided_is_not_compared(kind: FailureKind, sizes: Any, names: Sequence[str]) -> None:
    case = without_zeros(sizes)
    wrong = {name: array + 1 for name, array in right(names)(case.inputs).outputs.items()}
    assert related(kind, right(names), case, **wrong) is None


@EACH
@pytest.mark.parametrize("missing", [{"h"}, {"C", "C_T"}, {"C"}, {"C_T"}, {"dh0"}, {"dC0"}, {"dW_f", "dx"}, {*OUTPUTS}])
def test_an_output_that_a_part_lacks_is_not_compared(kind: FailureKind, missing: set[str]) -> None:
    whole = right()(LONG.inputs)
    for number in (1, 2, 3):
        assert RELATIONS[kind][0](right(but=number, without=missing), LONG, truth(), whole) is None


@EACH
def test_an_output_that_the_whole_lacks_is_not_compared(kind: FailureKind) -> None:
    assert RELATIONS[kind][0](right(), LONG, truth(), right(["h", "C_T", "dW_f"])(LONG.inputs)) is None


# The tolerance.


@EACH
def test_a_difference_of_four_tolerances_is_allowed_and_no_more(kind: FailureKind) -> None:
    h = adapters.right(**LONG.inputs)["h"]
    for sign in (1, -1):
        for tolerances, allowed in ((3.9, True), (4.1, False)):
            changed = h.copy()
            changed[0, 1, 2] += sign * tolerances * 64 * EPS
            assert (related(kind, right(), h=changed) is None) == allowed
    assert related(kind, right(), h=h.astype(np.float32)) is None


@EACH
def test_a_whole_that_is_not_finite_is_not_compared(kind: FailureKind) -> None:
    dx = adapters.right(**LONG.inputs)["dx"]
    problem = related(kind, right(), h=np.full((5, 3, 4), np.nan), dx=dx + 1)
    assert problem == Problem(kind, f"dx differs by up to 1 between {RELATIONS[kind][1]}")


@EACH
@pytest.mark.parametrize("value", [np.nan, np.inf, 1.7e308])
def test_parts_that_overflow_differ_from_a_finite_whole(kind: FailureKind, value: float) -> None:
    whole = right()(LONG.inputs)

    def call(inputs: Run) -> Observation:
        outputs = adapters.right(**inputs)
        return Observation(outputs | {"h": np.full_like(outputs["h"], value)})

    whole.outputs["h"][:] = -1.7e308
    error = "inf" if value > 1 else "nan"
    assert RELATIONS[kind][0](call, LONG, truth(), whole) == Problem(
        kind, f"h differs by up to {error} between {RELATIONS[kind][1]}"
    )


@EACH
def test_an_empty_output_does_not_differ(kind: FailureKind) -> None:
    assert related(kind, right(), without_zeros((5, 3, 0, 4))) is None
