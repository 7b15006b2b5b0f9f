"""One call of a candidate, and everything that it does besides computing.

NumPy alone: this runs in the child process as well, where nothing else should be imported.
"""

from __future__ import annotations

import contextlib
import io
import random
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from reference.oracle.laid_out import OWN, inputs_in, outputs_from, outputs_in
from reference.run import OUTPUTS, Array, Run, sizes_of

Adapter = Callable[..., Any]

# What a candidate can do wrong besides a wrong value; the sentence goes on after "The candidate".
MISBEHAVIOURS = {
    "raises": "raises an exception",
    "exits": "ends the process",
    "crashes": "crashes the process",
    "hangs": "gives no answer in time",
    "return_type": "returns something else than a mapping from name to array",
    "unknown_name": "returns a name that no run has",
    "no_output": "returns no output",
    "layout": "returns gradients that do not lie as the weights do",
    "shape": "returns an array of the wrong shape",
    "dtype": "returns an array of the wrong dtype",
    "not_finite": "returns NaN or infinity",
    "varying": "returns other outputs on some runs",
    "writes_inputs": "writes into its inputs",
    "views_inputs": "returns views of its inputs",
    "reuses_outputs": "writes into what it returned before",
    "unstable": "gives other bits on a second call",
    "keeps_state": "keeps state between calls",
    "prints": "prints to standard output",
    "random_state": "changes the global random state",
    "split": "gives another result on a sequence in two pieces",
    "rows": "lets the rows of a batch change each other",
}
FATAL = ("raises", "exits", "crashes", "hangs")  # no outputs came back


@dataclass(frozen=True)
class Problem:
    """Something that a candidate did on one call; `kind` is a key of MISBEHAVIOURS."""

    kind: str
    text: str
    block: str = ""  # the output that it is about, if it is about one


@dataclass(frozen=True)
class Observation:
    """One call: the outputs that have their shape, and what else was seen."""

    outputs: dict[str, Array] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()

    @property
    def fatal(self) -> bool:
        """Whether the call did not return."""
        return any(problem.kind in FATAL for problem in self.problems)


class Observer:
    """Calls an adapter; remembers what it returned, to see whether a later call writes there."""

    def __init__(self, adapter: Adapter, layout: str = OWN) -> None:
        self.adapter, self.layout = adapter, layout
        self.returned: list[tuple[str, Array, Array]] = []  # name, the array itself, a copy

    def __call__(self, inputs: Run) -> Observation:
        """Call the adapter with copies of the inputs."""
        handed = inputs_in(self.layout, inputs)
        given = {name: array.copy() for name, array in handed.items()}
        randomness, printed = Randomness.moved_on(), io.StringIO()
        try:
            with contextlib.redirect_stdout(printed):
                result = self.adapter(**given)
        except KeyboardInterrupt:
            raise
        except SystemExit as stop:
            code = "" if stop.code is None else repr(stop.code)
            return Observation(problems=(Problem("exits", f"calls sys.exit({code})"),))
        except BaseException as error:
            return Observation(problems=(Problem("raises", last_line(error)),))
        problems = list(side_effects(handed, given, randomness.changed(), printed.getvalue()))
        if reused := [name for name, array, copy in self.returned if not same_bits(array, copy)]:
            problems.append(Problem("reuses_outputs", f"changes the {reused[0]} that it returned from the call before"))
        arrays, wrong = arrays_of(result, outputs_in(self.layout))
        aliased = [(k, n) for k, array in arrays.items() for n in given if np.shares_memory(array, given[n])]
        problems += [Problem("views_inputs", f"{k} shares its memory with the input {n}") for k, n in aliased[:1]]
        self.returned = [(name, array, array.copy()) for name, array in arrays.items()]
        try:
            arrays = outputs_from(self.layout, arrays)
        except (TypeError, ValueError) as error:
            wrong.append(Problem("layout", str(error)))
            arrays = {name: array for name, array in arrays.items() if name in OUTPUTS}
        outputs, misfits = fitting(arrays, inputs)
        return Observation(outputs, (*problems, *wrong, *misfits))


def side_effects(inputs: Run, given: Run, randomness: list[str], printed: str) -> Iterable[Problem]:
    """What a call changed besides its result."""
    if written := [name for name in inputs if not same_bits(given[name], inputs[name])]:
        yield Problem("writes_inputs", f"{', '.join(written)} changed during the call")
    if randomness:
        yield Problem("random_state", f"the state of {' and '.join(randomness)} changed during the call")
    if printed:
        yield prints(printed)


def prints(text: str) -> Problem:
    """That a call printed this."""
    return Problem("prints", f"wrote {text[:60]!r}{'…' if len(text) > 60 else ''} during the call")


def arrays_of(result: object, names: Sequence[str]) -> tuple[dict[str, Array], list[Problem]]:
    """The arrays of these names in what an adapter returned."""
    if not isinstance(result, Mapping):
        wanted = "expected a mapping from name to array"
        return {}, [Problem("return_type", f"returned {type(result).__name__}; {wanted}")]
    arrays: dict[str, Array] = {}
    problems = []
    for name, value in result.items():
        if name not in names:
            problems.append(Problem("unknown_name", f"{str(name)[:40]!r} is no output; expected {', '.join(names)}"))
            continue
        try:
            array = np.asarray(value) if hasattr(value, "__array__") else None
        except Exception as error:
            problems.append(Problem("return_type", f"{name} cannot be read as an array: {last_line(error)}", name))
            continue
        if array is None or array.dtype.hasobject:
            what = f"is a {type(value).__name__}" if array is None else "has dtype object"
            problems.append(Problem("return_type", f"{name} {what}; expected an array of numbers", name))
        else:
            arrays[name] = array
    if not result:
        problems.append(Problem("no_output", f"returned an empty mapping; expected any of {', '.join(names)}"))
    return arrays, problems


def fitting(arrays: Run, inputs: Run) -> tuple[dict[str, Array], list[Problem]]:
    """Copies of the outputs that can be judged: of the right shape, in float32 or float64."""
    sizes, dtype = sizes_of(inputs), inputs["x"].dtype
    outputs, problems = {}, []
    for name, array in arrays.items():
        expected = tuple(sizes[dim] for dim in OUTPUTS[name])
        if array.shape != expected:
            shape = ", ".join(f"{dim}={sizes[dim]}" for dim in OUTPUTS[name])
            problems.append(Problem("shape", f"{name} has shape {array.shape}; expected ({shape})", name))
            continue
        if array.dtype != dtype:
            problems.append(
                Problem("dtype", f"{name} has dtype {array.dtype}; expected {dtype}, that of the inputs", name)
            )
        if array.dtype in (np.float32, np.float64):
            outputs[name] = np.array(array)
            if not np.isfinite(array).all():
                at = tuple(int(k) for k in np.argwhere(~np.isfinite(array))[0])
                count = np.count_nonzero(~np.isfinite(array))
                found = f"{count} of {array.size} values, the first {array[at]} at {list(at)}"
                problems.append(Problem("not_finite", f"{name} is not finite in {found}", name))
    return outputs, problems


class Randomness:
    """The global random states of Python and NumPy."""

    def __init__(self) -> None:
        self.python = random.getstate()
        self.numpy: Any = np.random.get_state()  # noqa: NPY002

    @classmethod
    def moved_on(cls) -> Randomness:
        """The states after one draw: so a candidate that seeds them as they were seeded last is seen, too."""
        random.random(), np.random.random()  # noqa: NPY002
        return cls()

    def changed(self) -> list[str]:
        """Whose state is another by now."""
        now = Randomness()
        numpy = now.numpy[2:] != self.numpy[2:] or not np.array_equal(now.numpy[1], self.numpy[1])
        return ["random"] * (now.python != self.python) + ["numpy.random"] * numpy

    def restore(self) -> None:
        """Set the states back."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002


def same_bits(one: Array, other: Array) -> bool:
    """Whether two arrays are equal to the last bit."""
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def last_line(error: BaseException) -> str:
    """The last line of an error's traceback, and where it was raised."""
    noted = sum(note.count("\n") + 1 for note in getattr(error, "__notes__", []))  # which come after it
    said = " ".join(traceback.format_exception_only(error)[-1 - noted].split())[:300]
    frames = traceback.extract_tb(error.__traceback__)
    return f"{said} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if len(frames) > 1 else said
