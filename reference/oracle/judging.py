"""`judge`: recorded runs, whoever recorded them."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from reference.oracle.behaviour import Observation, fitting
from reference.oracle.cases import Case, Sizes
from reference.oracle.diagnosis import diagnose, locate
from reference.oracle.examination import evidence
from reference.oracle.files import RunFileError, read_run
from reference.oracle.findings import beginning
from reference.oracle.padding import MANY, SHAPES, numbers_of, shape_for
from reference.oracle.report import Failure, Kept, Report, blocks_of
from reference.oracle.trial import MISMATCH, judged
from reference.oracle.truth import Truth, find_out, truths
from reference.run import INPUTS, OUTPUTS, Array, complete, plain

Source = Mapping[str, Array] | str | os.PathLike[str]

MOST_TOGETHER = 2**25  # numbers in the blocks of runs that are judged together
MOST_BYTES = 2**32  # of memory for the truth of one run
ARRAYS = 120  # of (T, B, H), that autodiff holds at once: measured


@dataclass(frozen=True)
class Recorded:
    """A recorded run that can be judged."""

    file: str | None
    case: Case
    outputs: dict[str, Array]  # in whichever shape and dtype
    seconds: float  # that it took to read

    @property
    def dtype(self) -> str:
        """The precisions of its outputs."""
        return "/".join(np.unique([array.dtype.name for array in self.outputs.values()]))


def judge(run: Source) -> Report:
    """Judge one recorded run: its inputs and any of its outputs, in one mapping or in files.

    Args:
        run: a mapping from name to array, an `.npz` file, or a folder of `.npy` files. Inputs are
            float32 or float64 and are taken as exact. Every output is judged at the precision of
            its own dtype.

    Raises:
        TypeError, ValueError: no run, or one that is too large to be judged here;
            `files.RunFileError` where a file is at fault. The message says which array, what it
            was and what was expected.
    """
    (report,) = judge_all([run])
    if isinstance(report, Exception):
        raise report
    return report


def judge_all(runs: Sequence[Source]) -> Iterator[Report | TypeError | ValueError]:
    """Judge many recorded runs, several together, which takes much less time than one by one.

    They are read as they are judged, and no more of them are in memory than fit there. In the place
    of the report on a run that is unusable comes the error that `judge` would raise.
    """
    for some in together(runs):
        start = time.perf_counter()
        usable = [one.case for one in some if isinstance(one, Recorded)]
        known = truths(usable, many=len(runs) >= MANY)
        find_out(known)  # what `require_telling` asks of each
        share = (time.perf_counter() - start) / max(len(usable), 1)
        told = iter(known)
        for one in some:
            try:
                yield verdict(one, next(told), share) if isinstance(one, Recorded) else one
            except ValueError as error:
                yield error


def together(runs: Sequence[Source]) -> Iterator[list[Recorded | TypeError | ValueError]]:
    """What is read of so many runs at a time as are judged together."""
    some: list[Recorded | TypeError | ValueError] = []
    numbers = 0
    for run in runs:
        try:
            one = recorded(run)
        except (TypeError, ValueError) as error:
            some.append(error)
            continue
        more = numbers_of(shape_for(one.case.sizes))
        if some and numbers + more > MOST_TOGETHER:
            yield some
            some, numbers = [], 0
        some.append(one)
        numbers += more
    yield some


def recorded(run: Source) -> Recorded:
    """Read a run; the errors are those of `judge`."""
    start = time.perf_counter()
    arrays = run if isinstance(run, Mapping) else read_run(path_of(run))
    if unknown := [name for name in arrays if name not in INPUTS | OUTPUTS]:
        raise TypeError(f"{unknown[0]} is not an array of a run; expected {', '.join([*INPUTS, *OUTPUTS])}")
    case = Case(0, "recorded", complete({name: exact(name, arrays[name]) for name in INPUTS if name in arrays}))
    outputs = {name: plain(name, arrays[name]) for name in OUTPUTS if name in arrays}
    if not outputs:
        raise ValueError(f"the run has no outputs; expected any of {', '.join(OUTPUTS)}")
    for name, array in outputs.items():
        if array.dtype not in (np.float32, np.float64):
            raise TypeError(f"{name} has dtype {array.dtype}; expected float32 or float64")
    if not case.sizes[3]:
        raise ValueError(f"the run has {named(case.sizes)}; expected H at least 1")
    require_within_reason(case.sizes)
    if shape_for(case.sizes) not in SHAPES:
        announce(*shape_for(case.sizes))
    file = None if isinstance(run, Mapping) else str(run)
    return Recorded(file, case, outputs, time.perf_counter() - start)


def verdict(run: Recorded, truth: Truth, seconds: float) -> Report:
    """The report on a run of which the truth is known, after so many seconds."""
    start = time.perf_counter()
    case = run.case
    require_telling(truth, run.outputs)
    truth = truth.alone()
    fit, problems = fitting(run.outputs, case.inputs)
    problems = [problem for problem in problems if problem.kind != "dtype"]  # that of a recorded run is its own
    if not problems:
        require_numbers(fit, case.sizes)
    trial = judged(case, truth, Observation(fit, tuple(problems)))
    finite = {name: array for name, array in fit.items() if np.isfinite(array).all()}
    wrong = evidence(case, truth, finite) if MISMATCH in trial.kinds else None
    explanations = tuple(tuple(bugs) for bugs in diagnose([wrong])) if wrong else ()
    kept = Kept(trial.which, case.inputs, fit, truth, repeat(run.file) if run.file else "")
    texts = {problem.kind: problem.text for problem in reversed(problems)}
    if wrong:
        texts = {MISMATCH: ", ".join(trial.wrong)} | texts
    return Report(
        subject=run.file or "run",
        dtype=run.dtype,
        blocks=blocks_of([trial]),
        failures=tuple(Failure(kind, text, 1, trial.which, kept.repeat) for kind, text in texts.items()),
        explanations=explanations,
        beginning=beginning(truth, wrong.outputs, wrong.dtype) if wrong else "",
        location=locate([wrong]) if wrong and not explanations else "",
        trials=(trial,),
        kept=kept,
        pictured=kept,
        seconds=run.seconds + seconds + time.perf_counter() - start,
    )


def repeat(file: str) -> str:
    """The command that judges a file again."""
    return shlex.join(["lstm-oracle", "judge", file])


def exact(name: str, value: Array) -> Array:
    """An input in float64, which holds every float32 exactly."""
    array = plain(name, value)
    if array.dtype not in (np.float32, np.float64):
        raise TypeError(f"{name} has dtype {array.dtype}; expected float32 or float64")
    if not np.isfinite(array).all():
        at = [int(k) for k in np.argwhere(~np.isfinite(array))[0]]
        raise ValueError(f"{name} is {array[tuple(at)]} at {at}; expected finite inputs, nothing else can be judged")
    return array.astype(np.float64)


def require_telling(truth: Truth, outputs: Mapping[str, Array]) -> None:
    """Refuse outputs of a run on which rounding alone may change everything."""
    for name, array in outputs.items():
        if not truth.tells(array.dtype):
            raise ValueError(
                f"{name} is of a run on which rounding in {array.dtype} may change everything (chaotic, or near the "
                "end of the range); expected one that tells right from wrong: fewer steps, smaller weights or gradients"
            )


def require_numbers(outputs: Mapping[str, Array], sizes: Sizes) -> None:
    """Refuse outputs that are all empty, as h is without a batch: nothing would be judged."""
    if not any(array.size for array in outputs.values()):
        found = f"the run has {named(sizes)}, and no number in {', '.join(outputs)}"
        raise ValueError(f"{found}; expected an output that holds one")


def path_of(run: str | os.PathLike[str]) -> Path:
    """The path to a file or folder; an empty one is not taken for the current folder."""
    if not isinstance(run, str | os.PathLike):
        kinds = "a mapping from name to array, an .npz file or a folder of .npy files"
        raise TypeError(f"run is of type {type(run).__name__}; expected {kinds}")
    if not os.fspath(run):
        raise RunFileError("the path is empty; expected an .npz file or a folder of .npy files")
    return Path(run)


def require_within_reason(sizes: Sizes) -> None:
    """Refuse a run whose truth does not fit into memory."""
    T, B, D, H = sizes
    needed = 8 * (ARRAYS * T * B * max(D, H) + 40 * H * (H + D))
    if needed > MOST_BYTES:
        found = f"the run has {named(sizes)}, for which autodiff needs about {needed / 2**30:.1f} GiB"
        raise ValueError(f"{found}; expected at most {MOST_BYTES / 2**30:.0f}: take fewer steps or rows")


def named(sizes: Sizes) -> str:
    """The sizes of a run, each with its name."""
    return " ".join(f"{name}={size}" for name, size in zip("TBDH", sizes, strict=True))


@cache
def announce(T: int, B: int, D: int, H: int) -> None:
    """Say, once, that a shape takes a while."""
    print(f"Compiling the truth for up to {named((T, B, D, H))}; this takes some seconds.", file=sys.stderr)
