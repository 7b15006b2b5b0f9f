"""Examines a candidate on cases: calls it, compares the outputs, reduces the failures, and explains wrong values."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from lstm_oracle.candidates.base import Candidate
from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.comparison.compare import Trial, judge_trials
from lstm_oracle.inputs.cases import Case, RunId, draw_case
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.judging.calls import Caller, CrossCallFailure, calls_in_parts, repeated_calls, varying_names
from lstm_oracle.judging.collection import Collection, Repeat
from lstm_oracle.judging.explain import Explained, explain
from lstm_oracle.judging.shrinking import failing_artifact, reduced_failures
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.verdict import blocks_of
from lstm_oracle.run import DType
from lstm_oracle.truth.padding import MANY
from lstm_oracle.truth.truth import truths_in_chunks

CASES_REPEATED = 2  # for which repeated calls are compared
CASES_IN_PARTS = 3  # which are also computed in parts
CASES_WITH_STATE = 15  # on which a candidate that keeps state is judged, each after a restart

RESTARTED = "The candidate keeps state between calls, so it was restarted for every run."
NOT_RESTARTED = (
    "The candidate keeps state between calls, which may be why values are wrong: judge the candidate by its "
    "name, pkg.module:adapter, to have it restarted for every run."
)


def examine(
    candidate: Candidate,
    cases: Sequence[Case],
    *,
    seed: int,
    dtype: DType,
    shrink: bool = True,
    progress: Callable[[int], None] = lambda runs: None,
) -> Report:
    """Judge a candidate on cases.

    Args:
        candidate: the LSTM to judge.
        cases: runs drawn with `seed`, all of dtype `dtype`.
        seed: the seed of further cases, to which failures are reduced.
        dtype: the precision of the cases.
        shrink: whether to reduce each failure to the smallest run found that shows it.
        progress: called with the number of runs that have been judged since the last call.
    """
    start = time.perf_counter()
    caller, repeat = Caller(candidate), partial(repeat_command, candidate, seed)
    nonempty = [case for case in cases if 0 not in case.sizes]
    cross_call = first_of_each_kind(repeated_calls(caller, nonempty[:CASES_REPEATED], seed))
    keeps_state = FailureKind.KEEPS_STATE in cross_call
    restarts = keeps_state and caller.restart_before_every_call()
    if restarts:
        cases = cases[:CASES_WITH_STATE]
    judged = judge_cases(caller, cases, repeat, progress)
    if not keeps_state:
        cross_call = first_of_each_kind(calls_in_parts(caller, smallest_divisible(nonempty))) | cross_call
    cross_call |= first_of_each_kind(varying_names(judged.trials))

    failures, failing = reduced_failures(caller, judged, cross_call, seed if shrink else None, repeat)
    artifact = failing_artifact(caller, failing, repeat)
    explained = explain(artifact, judged.informative) if artifact and FailureKind.MISMATCH in failing else Explained()
    return Report(
        subject=candidate.name,
        target=candidate.target,
        layout=candidate.layout,
        dtype=dtype.name,
        seed=seed,
        blocks=blocks_of(judged.trials),
        failures=tuple(failures),
        first_error=explained.first_error,
        explanations=explained.explanations,
        location=explained.location,
        trials=tuple(judged.trials),
        notes=tuple(notes_on(judged.trials, len(cases), keeps_state, restarts)),
        failing=artifact,
        pictured=judged.pictured,
        seconds=time.perf_counter() - start,
    )


def first_of_each_kind(failures: Iterable[CrossCallFailure]) -> dict[FailureKind, CrossCallFailure]:
    """Return the first failure of every kind."""
    found: dict[FailureKind, CrossCallFailure] = {}
    for problem, run in failures:
        found.setdefault(problem.kind, (problem, run))
    return found


def smallest_divisible(cases: Iterable[Case]) -> list[Case]:
    """Return the smallest cases with more than one step and more than one row."""
    divisible = (case for case in cases if 1 not in case.sizes[:2])
    return sorted(divisible, key=lambda case: case.id.size_key)[:CASES_IN_PARTS]


def judge_cases(caller: Caller, cases: Sequence[Case], repeat: Repeat, progress: Callable[[int], None]) -> Collection:
    """Call a candidate with every case, unless it hangs or dies too often, and compare the outputs with the truth."""
    collection = Collection(repeat)
    for known in truths_in_chunks(cases, many=len(cases) >= MANY):
        observations = []
        for case, _ in known:
            if not caller.has_given_up:
                observations.append(caller(case.inputs))
                progress(1)
        known = known[: len(observations)]
        for (case, truth), seen, trial in zip(known, observations, judge_trials(known, observations), strict=True):
            collection.add(case, truth, seen, trial)
    return collection


def notes_on(trials: Sequence[Trial], runs: int, keeps_state: bool, restarts: bool) -> Iterator[str]:
    """Yield the notes of the report: how a candidate with state was judged, and which runs were not judged.

    Args:
        trials: the runs that were judged.
        runs: how many runs were to be judged.
        keeps_state: whether the candidate keeps state between calls.
        restarts: whether the candidate was restarted for every run.
    """
    if keeps_state:
        yield RESTARTED if restarts else NOT_RESTARTED
    if skipped := runs - len(trials):
        yield f"The candidate hung or died so often that {skipped} runs were not judged."
    if any(FailureKind.RAISES in trial.kinds for trial in trials):
        return  # a refusal of empty runs may be the same exception
    for axis, what in enumerate(("Empty sequences (T=0)", "Empty batches (B=0)", "Inputs of size 0 (D=0)")):
        if refusals := [trial.refusal for trial in trials if trial.refusal and trial.id.sizes[axis] == 0]:
            yield f"{what} are not supported (not counted as a failure): {refusals[0]}."


def repeat_command(candidate: Candidate, seed: int, run: RunId) -> str:
    """Return the command that judges one run again; for a callable without a name, the call in Python."""
    drawn = draw_case(seed, run.number, np.dtype(run.dtype))
    options: dict[str, Any] = {"run": run.number, "seed": seed, "dtype": run.dtype}
    if run.sizes != drawn.sizes:
        options["sizes"] = run.sizes
    if run.regime != drawn.regime:
        options["regime"] = run.regime
    if candidate.layout != OWN_LAYOUT:
        options["layout"] = candidate.layout
    if candidate.target is None:
        return f"check(adapter, {', '.join(f'{name}={value!r}' for name, value in options.items())})"
    words = ["lstm-oracle", "check", candidate.target]
    for name, value in options.items():
        words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
    return shlex.join(words)
