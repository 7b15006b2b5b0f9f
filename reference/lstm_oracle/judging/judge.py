"""`judge`: judges recorded runs of any program."""

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

MOST_NUMBERS = 2**25  # in the blocks of the runs of one chunk

Unusable = TypeError | ValueError


def judge(run: Source) -> Report:
    """Judge one recorded run, which has all inputs and any of the outputs.

    Args:
        run: a mapping from name to array, an `.npz` file, or a folder of `.npy` files. The inputs are float32 or
            float64 and count as exact. Every output is judged at the precision of its own dtype.

    Returns:
        The report; `report.ok` is the verdict.

    Raises:
        TypeError, ValueError: `run` is not a run, or too large or too ill-conditioned to be judged.
        RunFileError: a file cannot be read as a run. This is a ValueError.
    """
    (report,) = judge_all([run])
    if isinstance(report, Exception):
        raise report
    return report


def judge_all(runs: Sequence[Source]) -> Iterator[Report | Unusable]:
    """Judge many recorded runs in chunks, which is much faster than one by one.

    Only the runs of one chunk are in memory at a time.

    Args:
        runs: as for `judge`, each.

    Yields:
        The report on each run, or the error that `judge` would raise.
    """
    for chunk in chunks_of(runs):
        start = time.perf_counter()
        usable = [run.case for run in chunk if isinstance(run, RecordedRun)]
        known = truths(usable, many=len(runs) >= MANY)
        compute_losses(known)  # for `require_well_conditioned`: faster than one by one
        share = (time.perf_counter() - start) / max(len(usable), 1)
        remaining = iter(known)
        for run in chunk:
            try:
                yield judge_recorded(run, next(remaining), share) if isinstance(run, RecordedRun) else run
            except ValueError as error:
                yield error


def chunks_of(runs: Sequence[Source]) -> Iterator[list[RecordedRun | Unusable]]:
    """Read runs in chunks of at most MOST_NUMBERS, with the error in place of every run that cannot be judged."""
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
    """Return the report on a recorded run; `seconds` is the time that its truth took.

    Raises:
        ValueError: the run is ill-conditioned, or all its outputs are empty.
    """
    start = time.perf_counter()
    case, truth = run.case, truth.detached()
    require_well_conditioned(truth, run.outputs)
    outputs, found = check_outputs(run.outputs, case.inputs)
    problems = [problem for problem in found if problem.kind != FailureKind.DTYPE]  # any precision may be recorded
    if not problems:
        require_entries(outputs, case.sizes)
    trial = judge_trial(case, truth, Observation(outputs, tuple(problems)))
    repeat = shlex.join(["lstm-oracle", "judge", run.file]) if run.file else ""
    artifact = RunArtifact(trial.id, case.inputs, outputs, truth, repeat)
    texts = {problem.kind: problem.text for problem in reversed(problems)}
    explained = Explained()
    if FailureKind.MISMATCH in trial.kinds:
        texts = {FailureKind.MISMATCH: ", ".join(trial.wrong)} | texts
        explained = explain(artifact)
    return Report(
        subject=run.file or "run",
        dtype=run.dtype,
        blocks=blocks_of([trial]),
        failures=tuple(Failure(kind, text, 1, trial.id, repeat) for kind, text in texts.items()),
        explanations=explained.explanations,
        first_error=explained.first_error,
        location=explained.location,
        trials=(trial,),
        failing=artifact if texts else None,
        pictured=artifact,
        seconds=run.seconds + seconds + time.perf_counter() - start,
    )


def require_entries(outputs: Mapping[str, Array], sizes: Sizes) -> None:
    """Raise ValueError if no output has an entry, so that nothing would be judged."""
    if not any(array.size for array in outputs.values()):
        found = f"the run has {sizes_text(sizes)}, so the outputs ({', '.join(outputs)}) are empty"
        raise ValueError(f"{found}; expected at least one output with entries")


@cache
def announce_compilation(shape: Sizes) -> None:
    """Print, once for each shape, that the truth has to be compiled first."""
    print(f"Compiling the truth for sizes up to {sizes_text(shape)}; this takes a few seconds.", file=sys.stderr)
