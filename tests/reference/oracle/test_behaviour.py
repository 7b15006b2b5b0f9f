"""One call of a candidate: what it is handed, what is taken of what it returns, and all that it does besides."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from reference.oracle.behaviour import (
    FATAL,
    MISBEHAVIOURS,
    Observation,
    Observer,
    Problem,
    Randomness,
    last_line,
    same_bits,
)
from reference.run import INPUTS, OUTPUTS, Array
from tests.candidates import adapters
from tests.strategies import without_zeros

RUN = without_zeros((2, 1, 3, 4)).inputs
SIZES = {"T": 2, "B": 1, "D": 3, "H": 4}
Told = list[tuple[str, str]]  # kinds of problems, and what is said of them


def right(*names: str, dtype: Any = np.float64) -> dict[str, Array]:
    """Outputs of the right shapes; h and dx if none is named."""
    return {name: np.full([SIZES[dim] for dim in OUTPUTS[name]], 0.5, dtype) for name in names or ("h", "dx")}


def told(seen: Observation) -> Told:
    return [(problem.kind, problem.text) for problem in seen.problems]


def calling(act: Callable[[Any], object], times: int = 1, layout: str = "manual") -> Observation:
    """The last call of an adapter that does this with what it is handed, and then returns right outputs."""

    def adapter(**run: Any) -> dict[str, Array]:
        act(run)
        return right()

    observer = Observer(adapter, layout)
    return [observer(RUN) for _ in range(times)][-1]


def returning(result: Any, layout: str = "manual") -> Observation:
    """A call that returns this."""
    return Observer(lambda **run: result, layout)(RUN)


def about(seen: Observation) -> list[str]:
    return [problem.block for problem in seen.problems]


@pytest.fixture(autouse=True)
def same_randomness() -> Iterator[None]:
    """These tests leave the global random states as they were."""
    before, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    yield
    random.setstate(before)
    np.random.set_state(numpy)  # noqa: NPY002


def test_a_call_is_handed_copies_of_all_inputs() -> None:
    handed: dict[str, Array] = {}
    seen = calling(handed.update)
    assert list(handed) == list(INPUTS)
    for name, array in handed.items():
        np.testing.assert_array_equal(array, RUN[name], strict=True)
        assert not np.shares_memory(array, RUN[name])
    assert told(seen) == []


def test_what_it_returns_is_copied() -> None:
    returned = right()
    seen = returning(returned)
    assert (list(seen.outputs), told(seen)) == (["h", "dx"], [])
    for name, array in returned.items():
        np.testing.assert_array_equal(seen.outputs[name], array, strict=True)
        assert not np.shares_memory(seen.outputs[name], array)


def test_without_a_call_nothing_is_seen() -> None:
    assert (Observation().outputs, Observation().problems, Problem("prints", "").block) == ({}, (), "")


def test_every_kind_of_problem_has_its_sentence() -> None:
    of_one_call = {
        "raises", "exits", "return_type", "unknown_name", "no_output", "layout", "shape", "dtype", "not_finite",
        "writes_inputs", "views_inputs", "reuses_outputs", "prints", "random_state",
    }  # fmt: skip
    of_a_process, of_several_calls = {"crashes", "hangs"}, {"varying", "unstable", "keeps_state", "split", "rows"}
    assert MISBEHAVIOURS.keys() == of_one_call | of_a_process | of_several_calls
    assert all(re.fullmatch("[a-z]+s [a-zN ]+[a-z]", text) for text in MISBEHAVIOURS.values())


def test_a_call_that_did_not_return_is_fatal() -> None:
    fatal = {kind for kind in MISBEHAVIOURS if Observation(problems=(Problem("dtype", ""), Problem(kind, ""))).fatal}
    assert fatal == {"raises", "exits", "crashes", "hangs"} == {*FATAL}
    assert not Observation(right()).fatal


# An exception, and where it was raised.


def fails(run: Any) -> None:
    raise ArithmeticError("lost\n  a   sign")


def fails_further_on(run: Any) -> None:
    fails(run)


def test_an_exception_is_told_in_one_line_with_the_place_that_it_came_from() -> None:
    line = fails.__code__.co_firstlineno + 1
    for act in (fails, fails_further_on):
        seen = calling(act)
        assert told(seen) == [("raises", f"ArithmeticError: lost a sign (test_behaviour.py:{line})")]
        assert seen.outputs == {}
    (problem,) = calling(lambda run: adapters.raises(**run)).problems
    line = adapters.raises.__code__.co_firstlineno + 1
    assert problem.text == f"ArithmeticError: lost a sign (adapters.py:{line})"


def test_an_exception_of_the_call_itself_has_no_place() -> None:
    def adapter(x: Any) -> None: ...

    (problem,) = Observer(adapter)(RUN).problems
    assert re.fullmatch(r"TypeError: .*adapter\(\) got an unexpected keyword argument 'W_f'", problem.text)
    assert last_line(ValueError("never raised")) == "ValueError: never raised"


def test_of_an_exception_its_own_line_is_told() -> None:
    error: Exception = ValueError("lost")
    error.add_note("what follows\nis advice")
    error.add_note("and more")
    assert last_line(error) == "ValueError: lost"
    error = SyntaxError("no number", ("a.py", 3, 1, "1 +", 3, 2))
    assert last_line(error) == "SyntaxError: no number"
    error.add_note("what follows\nis advice")
    assert last_line(error) == "SyntaxError: no number"
    assert last_line(ValueError("x" * 288)) == f"ValueError: {'x' * 288}"
    assert last_line(ValueError("x" * 289)) == f"ValueError: {'x' * 288}"


@pytest.mark.parametrize(("code", "said"), [((), "sys.exit()"), ((3,), "sys.exit(3)"), (("no",), "sys.exit('no')")])
def test_an_exit_is_told_with_its_status(code: tuple[Any, ...], said: str) -> None:
    def act(run: Any) -> None:
        raise SystemExit(*code)

    assert told(calling(act)) == [("exits", f"calls {said}")]


def test_who_interrupts_is_obeyed() -> None:
    def act(run: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        calling(act)


# What a call does besides.


def test_what_is_printed_is_told_up_to_60_letters(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(calling(lambda run: print("step 1"))) == [("prints", r"wrote 'step 1\n' during the call")]
    assert told(calling(lambda run: print("x" * 60, end=""))) == [("prints", f"wrote '{'x' * 60}' during the call")]
    assert told(calling(lambda run: print("x" * 61, end=""))) == [("prints", f"wrote '{'x' * 60}'… during the call")]
    assert capsys.readouterr().out == ""


def test_inputs_that_are_written_to_are_named_and_the_run_is_as_it_was() -> None:
    def act(run: Any) -> None:
        run["h0"] += 1
        run["C0"][0, 3] = -run["C0"][0, 3]

    before = {name: array.copy() for name, array in RUN.items()}
    assert told(calling(act)) == [("writes_inputs", "h0, C0 changed during the call")]
    assert all(np.array_equal(RUN[name], array) for name, array in before.items())


def test_the_first_output_that_shares_memory_with_an_input_is_named() -> None:
    seen = Observer(lambda **run: {"h": run["dh"][:], "C_T": run["C0"]})(RUN)
    assert told(seen) == [("views_inputs", "h shares its memory with the input dh")]
    assert list(seen.outputs) == ["h", "C_T"]


def test_memory_that_was_returned_before_may_not_be_written_to() -> None:
    buffers = right("h", "C", "dx")

    def adapter(**run: Any) -> dict[str, Array]:
        for name in ("C", "dx"):
            buffers[name] += 1
        return buffers

    observer = Observer(adapter)
    said = [("reuses_outputs", "changes the C that it returned from the call before")]
    assert [told(observer(RUN)) for _ in range(3)] == [[], said, said]


def test_memory_that_was_returned_before_may_be_returned_again() -> None:
    returned = right()
    assert told(calling(lambda run: None, times=2)) == []
    observer = Observer(lambda **run: returned)
    assert [told(observer(RUN)) for _ in range(2)] == [[], []]


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda run: random.random(), "random"),
        (lambda run: np.random.random(), "numpy.random"),  # noqa: NPY002
        (lambda run: (random.random(), np.random.random()), "random and numpy.random"),  # noqa: NPY002
    ],
)
def test_a_global_random_state_that_changes_is_named(act: Callable[[Any], object], name: str) -> None:
    assert told(calling(act)) == [("random_state", f"the state of {name} changed during the call")]


@pytest.mark.parametrize("seed", [random.seed, np.random.seed])
def test_one_that_seeds_as_was_seeded_before_is_seen(seed: Callable[[int], None]) -> None:
    seed(3)
    assert [kind for kind, _ in told(calling(lambda run: seed(3)))] == ["random_state"]
    assert [kind for kind, _ in told(calling(lambda run: seed(3), times=2))] == ["random_state"]


def test_each_part_of_a_random_state_counts_and_is_set_back() -> None:
    state: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, *_ = state
    parts: list[tuple[Any, ...]] = [(keys ^ 1, 5, 1, 0.25), (keys, 6, 1, 0.25), (keys, 5, 0, 0.25), (keys, 5, 1, 0.5)]
    np.random.set_state((kind, keys, 5, 1, 0.25))  # noqa: NPY002
    before = Randomness()
    assert before.changed() == []
    for part in parts:
        np.random.set_state((kind, *part))  # noqa: NPY002
        assert before.changed() == ["numpy.random"]
        before.restore()
        assert before.changed() == []
        state = np.random.get_state()  # noqa: NPY002
        assert state[2:] == (5, 1, 0.25)
    random.random()
    assert before.changed() == ["random"]
    before.restore()
    assert before.changed() == []


def test_two_arrays_are_the_same_only_to_the_last_bit() -> None:
    one = np.array([[0.0, 1.0], [2.0, np.nan]])
    assert same_bits(one, one.copy())
    assert same_bits(one, np.asfortranarray(one))
    others = [(one, np.nextafter(one, np.inf)), (one, one * [[-1, 1], [1, 1]])]
    others += [(np.zeros((2, 3)), np.zeros((3, 2))), (np.zeros(2), np.zeros(2, np.int64))]
    assert not any(same_bits(one, other) or same_bits(other, one) for one, other in others)
