"""One call of a candidate: its exceptions, and what it changes besides its result."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lstm_oracle.run import Array
from tests.candidates import adapters
from tests.lstm_oracle.candidates.observing import RUN, observe, problems, problems_of, right

# Exceptions.


def fails(run: Any) -> None:
    raise ArithmeticError("lost\n  a   sign")


def test_an_exception_is_reported_in_one_line_with_the_file_and_line_that_raised_it() -> None:
    line = fails.__code__.co_firstlineno + 1
    for act in (fails, lambda run: fails(run)):
        assert problems_of(act) == [("raises", f"ArithmeticError: lost a sign (test_side_effects.py:{line})")]
    observed = observe(adapters.raises)
    line = adapters.raises.__code__.co_firstlineno + 1
    assert problems(observed) == [("raises", f"ArithmeticError: lost a sign (adapters.py:{line})")]
    assert observed.outputs == {}


def test_an_exception_of_the_call_itself_has_no_line() -> None:
    def adapter(x: Any) -> None: ...

    ((_, text),) = problems(observe(adapter))
    assert re.fullmatch(r"TypeError: .*adapter\(\) got an unexpected keyword argument 'W_f'", text)


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("lost"), "ValueError: lost"),
        (SyntaxError("no number", ("a.py", 3, 1, "1 +", 3, 2)), "SyntaxError: no number"),
        (ValueError("x" * 289), f"ValueError: {'x' * 288}"),
    ],
)
@pytest.mark.parametrize("notes", [(), ("a note\nof two lines", "another note")])
def test_an_exception_is_reported_without_its_notes_in_at_most_300_characters(
    error: Exception, text: str, notes: tuple[str, ...]
) -> None:
    error = type(error)(*error.args)
    for note in notes:
        error.add_note(note)

    def act(run: Any) -> None:
        raise error

    ((kind, found),) = problems_of(act)
    assert kind == "raises"
    assert re.fullmatch(re.escape(text) + r" \(test_side_effects.py:\d+\)", found)


@pytest.mark.parametrize(("code", "call"), [((), "sys.exit()"), ((3,), "sys.exit(3)"), (("no",), "sys.exit('no')")])
def test_an_exit_is_reported_with_its_status(code: tuple[Any, ...], call: str) -> None:
    def act(run: Any) -> None:
        raise SystemExit(*code)

    assert problems_of(act) == [("exits", f"calls {call}")]


def test_a_keyboard_interrupt_is_not_caught() -> None:
    def act(run: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        problems_of(act)


# Side effects.


def test_printed_text_is_reported_up_to_60_characters(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems_of(lambda run: print("step 1")) == [("prints", r"wrote 'step 1\n' during the call")]
    assert problems_of(lambda run: print("x" * 60, end="")) == [("prints", f"wrote '{'x' * 60}' during the call")]
    assert problems_of(lambda run: print("x" * 61, end="")) == [("prints", f"wrote '{'x' * 60}'… during the call")]
    assert capsys.readouterr().out == ""


def test_inputs_that_are_written_to_are_named_and_the_run_is_unchanged() -> None:
    def act(run: Any) -> None:
        run["h0"] += 1
        run["C0"][0, 3] = np.nextafter(run["C0"][0, 3], np.inf)
        run["dh_T"][:] *= 1

    before = {name: array.copy() for name, array in RUN.items()}
    assert problems_of(act) == [("writes_inputs", "h0, C0 changed during the call")]
    assert all(np.array_equal(RUN[name], array) for name, array in before.items())


def test_a_changed_sign_of_zero_is_a_change() -> None:
    def adapter(**run: Any) -> dict[str, Array]:
        run["h0"][:] = -0.0
        return right()

    observed = observe(adapter, run=RUN | {"h0": np.zeros((1, 4))})
    assert problems(observed) == [("writes_inputs", "h0 changed during the call")]


def test_the_first_output_that_shares_memory_with_an_input_is_named() -> None:
    observed = observe(lambda **run: {"h": run["dh"][:], "C_T": run["C0"]})
    assert problems(observed) == [("views_inputs", "h shares memory with the input dh")]
    assert list(observed.outputs) == ["h", "C_T"]


def test_outputs_of_the_previous_call_may_be_returned_again_but_not_overwritten() -> None:
    outputs = right("h", "C", "dx")

    def adapter(**run: Any) -> dict[str, Array]:
        for name in ("C", "dx"):
            outputs[name] += 1
        return outputs

    problem = ("reuses_outputs", "changed the C that the previous call had returned")
    for times, expected in ((1, []), (2, [problem]), (3, [problem])):
        assert problems(observe(adapter, times=times)) == expected
    assert problems(observe(lambda **run: outputs, times=2)) == []


def sets_numpy(part: int, value: Any) -> Callable[[Any], None]:
    """Changes one part of NumPy's global random state."""

    def act(run: Any) -> None:
        state: list[Any] = list(np.random.get_state())  # noqa: NPY002
        state[part] = value(state[part])
        np.random.set_state(tuple(state))  # noqa: NPY002

    return act


@pytest.mark.parametrize(
    ("act", "name", "times"),
    [
        (lambda run: random.random(), "random", 1),
        (lambda run: np.random.random(), "numpy.random", 1),  # noqa: NPY002
        (lambda run: (random.random(), np.random.random()), "random and numpy.random", 1),  # noqa: NPY002
        (sets_numpy(1, lambda keys: keys ^ 1), "numpy.random", 1),
        (sets_numpy(2, lambda at: at % 600 + 1), "numpy.random", 1),
        (sets_numpy(3, lambda has_gauss: 1 - has_gauss), "numpy.random", 1),
        (sets_numpy(4, lambda gauss: gauss + 0.5), "numpy.random", 1),
        (lambda run: random.seed(3), "random", 2),  # the second call finds the state that the first left
        (lambda run: np.random.seed(3), "numpy.random", 2),  # noqa: NPY002
    ],
)
def test_a_change_of_a_global_random_state_is_reported_and_undone(
    act: Callable[[Any], object], name: str, times: int
) -> None:
    def state() -> Any:
        _, keys, *rest = np.random.get_state()  # type: ignore[misc]  # noqa: NPY002
        return random.getstate(), keys.tolist(), rest

    before = state()
    assert problems_of(act, times=times) == [("random_state", f"the state of {name} changed during the call")]
    assert state() == before
