"""One call of an adapter: its outputs, and its side effects.

This also runs in the child process, where only NumPy should be imported.
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
    """What one call gave: the outputs that have the right shape, and what went wrong."""

    outputs: dict[str, Array] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def has_outputs(self) -> bool:
        """Whether the call returned, with at least one output that can be compared."""
        return bool(self.outputs) and not any(problem.kind in NO_RESULT for problem in self.problems)

    @property
    def finite_outputs(self) -> dict[str, Array]:
        """The outputs that have no NaN and no infinity."""
        return {name: array for name, array in self.outputs.items() if np.isfinite(array).all()}


class Observer:
    """Calls an adapter and keeps what it returned, so that a later call that writes there is noticed."""

    def __init__(self, adapter: Adapter, layout: str = OWN_LAYOUT) -> None:
        self.adapter, self.layout = adapter, layout
        self._returned: list[tuple[str, Array, Array]] = []  # name, the array itself, a copy

    def __call__(self, inputs: Run) -> Observation:
        """Call the adapter with copies of the inputs in its layout, and observe what it does."""
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
        """Yield a problem if an array that the call before returned has changed."""
        if changed := [name for name, array, copy in self._returned if not same_bits(array, copy)]:
            yield Problem(FailureKind.REUSES_OUTPUTS, f"changed the {changed[0]} that the call before had returned")


def side_effects(inputs: Run, given: Run, random_states: list[str], printed: str) -> Iterator[Problem]:
    """Yield what a call changed besides its result.

    Args:
        inputs: the inputs before the call.
        given: the same arrays after the call.
        random_states: the global random states that changed.
        printed: what the call wrote to standard output.
    """
    if written := [name for name in inputs if not same_bits(given[name], inputs[name])]:
        yield Problem(FailureKind.WRITES_INPUTS, f"{', '.join(written)} changed during the call")
    if random_states:
        yield Problem(FailureKind.RANDOM_STATE, f"the state of {' and '.join(random_states)} changed during the call")
    if printed:
        yield printing(printed)


def printing(text: str) -> Problem:
    """Return the problem that a call printed this text."""
    return Problem(FailureKind.PRINTS, f"wrote {text[:60]!r}{'…' if len(text) > 60 else ''} during the call")


def shared_memory(arrays: Run, given: Run) -> Iterator[Problem]:
    """Yield a problem for the first output that shares its memory with an input."""
    for name, array in arrays.items():
        for other in given:
            if np.shares_memory(array, given[other]):
                yield Problem(FailureKind.VIEWS_INPUTS, f"{name} shares its memory with the input {other}")
                return


def arrays_in(result: object, names: Sequence[str]) -> tuple[dict[str, Array], list[Problem]]:
    """Return the arrays of these names in what an adapter returned, and what is wrong with the rest."""
    if not isinstance(result, Mapping):
        expected = "expected a mapping from name to array"
        return {}, [Problem(FailureKind.RETURN_TYPE, f"returned {type(result).__name__}; {expected}")]
    arrays: dict[str, Array] = {}
    problems = []
    for name, value in result.items():
        if name not in names:
            text = f"{str(name)[:40]!r} is not an output; expected any of {', '.join(names)}"
            problems.append(Problem(FailureKind.UNKNOWN_NAME, text))
            continue
        try:
            array = np.asarray(value) if hasattr(value, "__array__") else None
        except Exception as error:
            text = f"{name} cannot be converted to a NumPy array: {last_line(error)}"
            problems.append(Problem(FailureKind.RETURN_TYPE, text, name))
            continue
        if array is None or array.dtype.hasobject:
            what = f"is of type {type(value).__name__}" if array is None else "has dtype object"
            problems.append(Problem(FailureKind.RETURN_TYPE, f"{name} {what}; expected an array of numbers", name))
        else:
            arrays[name] = array
    if not result:
        text = f"returned an empty mapping; expected any of {', '.join(names)}"
        problems.append(Problem(FailureKind.NO_OUTPUT, text))
    return arrays, problems


def check_outputs(arrays: Run, inputs: Run) -> tuple[dict[str, Array], list[Problem]]:
    """Return copies of the outputs that can be compared, of the right shape and in float32 or float64; and problems."""
    sizes, dtype = sizes_of(inputs), inputs["x"].dtype
    outputs, problems = {}, []
    for name, array in arrays.items():
        if array.shape != tuple(sizes[dim] for dim in OUTPUTS[name]):
            expected = ", ".join(f"{dim}={sizes[dim]}" for dim in OUTPUTS[name])
            problems.append(Problem(FailureKind.SHAPE, f"{name} has shape {array.shape}; expected ({expected})", name))
            continue
        if array.dtype != dtype:
            text = f"{name} has dtype {array.dtype}; expected {dtype}, as the inputs have"
            problems.append(Problem(FailureKind.DTYPE, text, name))
        if array.dtype in (np.float32, np.float64):
            outputs[name] = np.array(array)
            if not np.isfinite(array).all():
                problems.append(not_finite(name, array))
    return outputs, problems


def not_finite(name: str, array: Array) -> Problem:
    """Return the problem that an output has entries that are NaN or infinite."""
    wrong = np.argwhere(~np.isfinite(array))
    first = tuple(int(k) for k in wrong[0])
    found = f"{name} is not finite in {len(wrong)} of {array.size} entries"
    return Problem(FailureKind.NOT_FINITE, f"{found}, the first of them {array[first]} at {list(first)}", name)


class RandomStates:
    """A snapshot of the global random states of Python and NumPy."""

    def __init__(self) -> None:
        self.python = random.getstate()
        self.numpy: Any = np.random.get_state()  # noqa: NPY002

    @classmethod
    def after_one_draw(cls) -> RandomStates:
        """Draw once and take a snapshot, so that an adapter that seeds with the same seed every time is noticed."""
        random.random(), np.random.random()  # noqa: NPY002
        return cls()

    def changed(self) -> list[str]:
        """Return the names of the states that have changed since the snapshot."""
        now = RandomStates()
        numpy = now.numpy[2:] != self.numpy[2:] or not np.array_equal(now.numpy[1], self.numpy[1])
        return ["random"] * (now.python != self.python) + ["numpy.random"] * numpy

    def restore(self) -> None:
        """Set the states to this snapshot."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002


def same_bits(one: Array, other: Array) -> bool:
    """Return whether two arrays are equal to the last bit."""
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def last_line(error: BaseException) -> str:
    """Return the last line of an error's traceback, and the file and line where it was raised."""
    notes = sum(note.count("\n") + 1 for note in getattr(error, "__notes__", []))  # they follow the message
    message = " ".join(traceback.format_exception_only(error)[-1 - notes].split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{message} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else message
