"""`judge`: judges recorded runs, whoever recorded them."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cache

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import Observation, check_outputs
from lstm_oracle.comparison.compare import judge_trial, require_well_conditioned
from lstm_oracle.inputs.cases import Sizes, sizes_text
from lstm_oracle.inputs.recorded import RecordedRun, Source, read_recorded
from lstm_oracle.judging.explain import Explained, explain
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.verdict import Failure, RunArtifact, blocks_of
from lstm_oracle.run import Array
from lstm_oracle.truth.padding import MANY, SHAPES, numbers_in_blocks, require_memory, shape_for
from lstm_oracle.truth.truth import Truth, compute_losses, truths

MOST_NUMBERS = 2**25  # in the blocks of runs that are judged together

Unusable = TypeError | ValueError


def judge(run: Source) -> Report:
    """Judge one recorded run: its inputs and any of its outputs.

    Args:
        run: a mapping from name to array, an `.npz` file, or a folder of `.npy` files. The inputs are float32 or
            float64 and are taken as exact. Every output is judged at the precision of its own dtype.

    Returns:
        The report; `report.ok` is the verdict.

    Raises:
        TypeError, ValueError: not a run, or one that is too large to be judged here; `RunFileError`, a ValueError,
            if a file is at fault. The message says which array, what it was and what was expected.
    """
    (report,) = judge_all([run])
    if isinstance(report, Exception):
        raise report
    return report


def judge_all(runs: Sequence[Source]) -> Iterator[Report | Unusable]:
    """Judge many recorded runs, several at a time, which takes much less time than one by one.

    Runs are read as they are judged, and only as many are in memory as fit there.

    Yields:
        The report on every run, or the error that `judge` would raise for it.
    """
    for chunk in chunks_of(runs):
        start = time.perf_counter()
        usable = [run.case for run in chunk if isinstance(run, RecordedRun)]
        known = truths(usable, many=len(runs) >= MANY)
        compute_losses(known)  # which `require_well_conditioned` needs of each
        share = (time.perf_counter() - start) / max(len(usable), 1)
        remaining = iter(known)
        for run in chunk:
            try:
                yield judge_recorded(run, next(remaining), share) if isinstance(run, RecordedRun) else run
            except ValueError as error:
                yield error


def chunks_of(runs: Sequence[Source]) -> Iterator[list[RecordedRun | Unusable]]:
    """Read runs, or catch the errors of those that are unusable, in chunks that are judged together."""
    chunk: list[RecordedRun | Unusable] = []
    numbers = 0
    for source in runs:
        try:
            run = read_recorded(source)
            require_memory(run.case.sizes)
        except (TypeError, ValueError) as error:
            chunk.append(error)
            continue
        shape = shape_for(run.case.sizes)
        if shape not in SHAPES:
            announce_compilation(shape)
        more = numbers_in_blocks(shape)
        if chunk and numbers + more > MOST_NUMBERS:
            yield chunk
            chunk, numbers = [], 0
        chunk.append(run)
        numbers += more
    yield chunk


def judge_recorded(run: RecordedRun, truth: Truth, seconds: float) -> Report:
    """Return the report on a recorded run whose truth took so many seconds.

    Raises:
        ValueError: the run is ill-conditioned, or its outputs are empty.
    """
    start = time.perf_counter()
    case, truth = run.case, truth.detached()
    require_well_conditioned(truth, run.outputs)
    outputs, found = check_outputs(run.outputs, case.inputs)
    problems = [problem for problem in found if problem.kind != FailureKind.DTYPE]  # any precision may be recorded
    if not problems:
        require_numbers(outputs, case.sizes)
    trial = judge_trial(case, truth, Observation(outputs, tuple(problems)))
    artifact = RunArtifact(trial.id, case.inputs, outputs, truth, repeat_command(run.file) if run.file else "")
    texts = {problem.kind: problem.text for problem in reversed(problems)}
    explained = Explained()
    if FailureKind.MISMATCH in trial.kinds:
        texts = {FailureKind.MISMATCH: ", ".join(trial.wrong)} | texts
        explained = explain(artifact)
    return Report(
        subject=run.file or "run",
        dtype=run.dtype,
        blocks=blocks_of([trial]),
        failures=tuple(Failure(kind, text, 1, trial.id, artifact.repeat) for kind, text in texts.items()),
        explanations=explained.explanations,
        first_error=explained.first_error,
        location=explained.location,
        trials=(trial,),
        failing=artifact,
        pictured=artifact,
        seconds=run.seconds + seconds + time.perf_counter() - start,
    )


def require_numbers(outputs: Mapping[str, Array], sizes: Sizes) -> None:
    """Raise ValueError if all outputs are empty, as h is without a batch, since nothing would be judged."""
    if not any(array.size for array in outputs.values()):
        found = f"the run has {sizes_text(sizes)}, so that {', '.join(outputs)} hold no numbers"
        raise ValueError(f"{found}; expected at least one output that does")


def repeat_command(file: str) -> str:
    """Return the command that judges a file again."""
    return shlex.join(["lstm-oracle", "judge", file])


@cache
def announce_compilation(shape: Sizes) -> None:
    """Say, once for each shape, that it has to be compiled first."""
    print(f"Compiling the truth for sizes up to {sizes_text(shape)}; this takes some seconds.", file=sys.stderr)
