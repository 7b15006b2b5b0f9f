"""Observes one call of an adapter: the outputs, and the side effects.

The child process runs this module too, so it imports nothing heavier than NumPy.
"""

from __future__ import annotations

import contextlib
import io
import random
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lstm_oracle.candidates.failures import NO_RESULT, FailureKind, Problem
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT, inputs_in, output_names, outputs_from
from lstm_oracle.run import OUTPUTS, Array, Run, sizes_of

Adapter = Callable[..., Any]


@dataclass(frozen=True)
class Observation:
    """The result of one call: the outputs of the right shape, and the problems."""

    outputs: dict[str, Array] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def has_outputs(self) -> bool:
        """True if the call returned, with at least one output that can be compared."""
        return bool(self.outputs) and not any(problem.kind in NO_RESULT for problem in self.problems)

    @property
    def finite_outputs(self) -> dict[str, Array]:
        """The outputs without NaN and infinity."""
        return {name: array for name, array in self.outputs.items() if np.isfinite(array).all()}


class Observer:
    """Calls an adapter, and keeps the arrays that it returned to notice when a later call overwrites them."""

    def __init__(self, adapter: Adapter, layout: str = OWN_LAYOUT) -> None:
        self.adapter, self.layout = adapter, layout
        self._returned: list[tuple[str, Array, Array]] = []  # name, the array itself, a copy

    def __call__(self, inputs: Run) -> Observation:
        """Call the adapter with copies of the inputs in its layout, and return what was observed."""
        handed = inputs_in(self.layout, inputs)
        given = {name: array.copy() for name, array in handed.items()}
        before, printed = RandomStates.after_one_draw(), io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                result = self.adapter(**given)
        except KeyboardInterrupt:
            raise
        except SystemExit as stop:
            code = "" if stop.code is None else repr(stop.code)
            return Observation(problems=(Problem(FailureKind.EXITS, f"calls sys.exit({code})"),))
        except BaseException as error:
            return Observation(problems=(Problem(FailureKind.RAISES, last_line(error)),))
        problems = [*side_effects(handed, given, before.changed(), printed.getvalue()), *self._overwritten()]
        arrays, wrong = arrays_in(result, output_names(self.layout))
        problems += shared_memory(arrays, given)
        self._returned = [(name, array, array.copy()) for name, array in arrays.items()]
        try:
            arrays = outputs_from(self.layout, arrays)
        except (TypeError, ValueError) as error:
            wrong.append(Problem(FailureKind.LAYOUT, str(error)))
            arrays = {name: array for name, array in arrays.items() if name in OUTPUTS}
        outputs, misfits = check_outputs(arrays, inputs)
        return Observation(outputs, (*problems, *wrong, *misfits))

    def _overwritten(self) -> Iterator[Problem]:
        """Yield a problem if an array that the previous call returned has changed."""
        if changed := [name for name, array, copy in self._returned if not same_bits(array, copy)]:
            yield Problem(FailureKind.REUSES_OUTPUTS, f"changed the {changed[0]} that the previous call had returned")


def side_effects(inputs: Run, given: Run, random_states: list[str], printed: str) -> Iterator[Problem]:
    """Yield a problem for each side effect of a call.

    Args:
        inputs: the inputs.
        given: the copies that the call was given, after the call.
        random_states: the names of the global random states that changed.
        printed: the text that the call wrote to standard output.
    """
    if written := [name for name in inputs if not same_bits(given[name], inputs[name])]:
        yield Problem(FailureKind.WRITES_INPUTS, f"{', '.join(written)} changed during the call")
    if random_states:
        yield Problem(FailureKind.RANDOM_STATE, f"the state of {' and '.join(random_states)} changed during the call")
    if printed:
        yield printed_problem(printed)


def printed_problem(text: str) -> Problem:
    """Return the problem of a call that printed this text."""
    return Problem(FailureKind.PRINTS, f"wrote {text[:60]!r}{'…' if len(text) > 60 else ''} during the call")


def shared_memory(arrays: Run, given: Run) -> Iterator[Problem]:
    """Yield a problem for the first output that shares memory with an input."""
    for name, array in arrays.items():
        for other in given:
            if np.shares_memory(array, given[other]):
                yield Problem(FailureKind.VIEWS_INPUTS, f"{name} shares memory with the input {other}")
                return


def arrays_in(result: object, names: Sequence[str]) -> tuple[dict[str, Array], list[Problem]]:
    """Return the arrays of these names in the result of a call, and a problem for every other item."""
    if not isinstance(result, Mapping):
        expected = "expected a mapping from names to arrays"
        return {}, [Problem(FailureKind.RETURN_TYPE, f"returned {type(result).__name__}; {expected}")]
    if not result:
        text = f"returned an empty mapping; expected any of {', '.join(names)}"
        return {}, [Problem(FailureKind.NO_OUTPUT, text)]
    arrays: dict[str, Array] = {}
    problems = []
    for name, value in result.items():
        if name not in names:
            text = f"{str(name)[:40]!r} is not an output; expected any of {', '.join(names)}"
            problems.append(Problem(FailureKind.UNKNOWN_NAME, text))
            continue
        try:
            arrays[name] = as_array(value)
        except TypeError as error:
            problems.append(Problem(FailureKind.RETURN_TYPE, f"{name} {error}", name))
    return arrays, problems


def as_array(value: object) -> Array:
    """Return a value as a NumPy array of numbers.

    Raises:
        TypeError: the value is not an array of numbers; the message continues a sentence that begins with its name.
    """
    if not hasattr(value, "__array__"):
        raise TypeError(f"is of type {type(value).__name__}; expected an array of numbers")
    try:
        array = np.asarray(value)
    except Exception as error:  # of the candidate's own class
        raise TypeError(f"cannot be converted to a NumPy array: {last_line(error)}") from None
    if array.dtype.hasobject:
        raise TypeError(f"has dtype {array.dtype}; expected an array of numbers")
    return array


def check_outputs(arrays: Run, inputs: Run) -> tuple[dict[str, Array], list[Problem]]:
    """Return copies of the outputs of the right shape in float32 or float64, and a problem for everything else."""
    sizes, dtype = sizes_of(inputs), inputs["x"].dtype
    outputs, problems = {}, []
    for name, array in arrays.items():
        if array.shape != tuple(sizes[dim] for dim in OUTPUTS[name]):
            expected = ", ".join(f"{dim}={sizes[dim]}" for dim in OUTPUTS[name])
            problems.append(Problem(FailureKind.SHAPE, f"{name} has shape {array.shape}; expected ({expected})", name))
            continue
        if array.dtype != dtype:
            text = f"{name} has dtype {array.dtype}; expected {dtype}, the dtype of the inputs"
            problems.append(Problem(FailureKind.DTYPE, text, name))
        if array.dtype in (np.float32, np.float64):
            outputs[name] = np.array(array)
            if not np.isfinite(array).all():
                problems.append(not_finite(name, array))
    return outputs, problems


def not_finite(name: str, array: Array) -> Problem:
    """Return the problem of an output with entries that are NaN or infinite."""
    wrong = np.argwhere(~np.isfinite(array))
    first = tuple(int(k) for k in wrong[0])
    found = f"{name} is not finite in {len(wrong)} of {array.size} entries"
    return Problem(FailureKind.NOT_FINITE, f"{found}; the first is {array[first]} at {list(first)}", name)


class RandomStates:
    """A snapshot of the global random states of Python and NumPy."""

    def __init__(self) -> None:
        self.python = random.getstate()
        self.numpy: Any = np.random.get_state()  # noqa: NPY002

    @classmethod
    def after_one_draw(cls) -> RandomStates:
        """Draw a number from each state, and return a snapshot.

        Without the draw, an adapter that sets the same seed in every call would leave the states unchanged.
        """
        random.random(), np.random.random()  # noqa: NPY002
        return cls()

    def changed(self) -> list[str]:
        """Return the names of the states that differ from the snapshot."""
        now = RandomStates()
        numpy = now.numpy[2:] != self.numpy[2:] or not np.array_equal(now.numpy[1], self.numpy[1])
        return ["random"] * (now.python != self.python) + ["numpy.random"] * numpy

    def restore(self) -> None:
        """Set the states to this snapshot."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002


def same_bits(one: Array, other: Array) -> bool:
    """Return whether two arrays are equal bit for bit, in the same shape and dtype."""
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def last_line(error: BaseException) -> str:
    """Return an exception as one line: its type and message, and the file and line that raised it."""
    notes = sum(note.count("\n") + 1 for note in getattr(error, "__notes__", []))  # the notes follow the message
    message = " ".join(traceback.format_exception_only(error)[-1 - notes].split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{message} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else message
