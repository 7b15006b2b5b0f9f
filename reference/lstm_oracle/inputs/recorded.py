"""Reads recorded runs, from a mapping or from files."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lstm_oracle.inputs.cases import Case, sizes_text
from lstm_oracle.inputs.files import RunFileError, read_run
from lstm_oracle.run import INPUTS, OUTPUTS, Array, complete, plain

Source = Mapping[str, Array] | str | os.PathLike[str]


@dataclass(frozen=True)
class RecordedRun:
    """A recorded run: its inputs as a case, and its outputs."""

    file: str | None  # the path, or None for a mapping
    case: Case  # the inputs, converted to float64
    outputs: dict[str, Array]  # of any shape, in float32 or float64
    seconds: float  # the time that reading took

    @property
    def dtype(self) -> str:
        """The precisions of the outputs, such as "float32/float64"."""
        return "/".join(np.unique([array.dtype.name for array in self.outputs.values()]))


def read_recorded(run: Source) -> RecordedRun:
    """Read a recorded run.

    Args:
        run: a mapping from name to array, an `.npz` file, or a folder of `.npy` files.

    Raises:
        TypeError, ValueError: not a run, or one without outputs or units; `RunFileError`, a ValueError, if a file is
            at fault.
    """
    start = time.perf_counter()
    arrays = run if isinstance(run, Mapping) else read_run(path_of(run))
    if unknown := [name for name in arrays if name not in INPUTS | OUTPUTS]:
        raise TypeError(f"{unknown[0]} is not an array of a run; expected any of {', '.join([*INPUTS, *OUTPUTS])}")
    inputs = complete({name: exact_input(name, arrays[name]) for name in INPUTS if name in arrays})
    case = Case(0, "recorded", inputs)
    outputs = {name: plain(name, arrays[name]) for name in OUTPUTS if name in arrays}
    if not outputs:
        raise ValueError(f"the run has no outputs; expected any of {', '.join(OUTPUTS)}")
    for name, array in outputs.items():
        require_float(name, array)
    if not case.sizes[3]:
        raise ValueError(f"the run has {sizes_text(case.sizes)}; expected H of at least 1")
    file = None if isinstance(run, Mapping) else str(run)
    return RecordedRun(file, case, outputs, time.perf_counter() - start)


def exact_input(name: str, value: Array) -> Array:
    """Return a float32 or float64 input in float64, which represents it exactly.

    Raises:
        TypeError: the input has another dtype.
        ValueError: the input is not finite.
    """
    array = plain(name, value)
    require_float(name, array)
    if not np.isfinite(array).all():
        at = [int(k) for k in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"{name} is {array[tuple(at)]} at {at}; expected finite inputs")
    return array.astype(np.float64)


def require_float(name: str, array: Array) -> None:
    """Raise TypeError unless an array is float32 or float64."""
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; expected float32 or float64")


def path_of(run: str | os.PathLike[str]) -> Path:
    """Return the path to a file or folder of a run.

    Raises:
        TypeError: neither a string nor a path.
        RunFileError: an empty string, which would otherwise mean the current folder.
    """
    if not isinstance(run, str | os.PathLike):
        expected = "a mapping from name to array, an .npz file or a folder of .npy files"
        raise TypeError(f"run is of type {type(run).__name__}; expected {expected}")
    if not os.fspath(run):
        raise RunFileError("the path is empty; expected an .npz file or a folder of .npy files")
    return Path(run)
