"""Examines a candidate on cases: calls it, compares, reduces each failure to a small run, and explains wrong values."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from lstm_oracle.candidates.base import Candidate
from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.compare import Trial, judge_trial, judge_trials, trial_of
from lstm_oracle.inputs.cases import Case, draw_case
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.judging.calls import Caller, CrossCallFailure, calls_in_parts, repeated_calls, varying_names
from lstm_oracle.judging.collection import Collection, refusals
from lstm_oracle.judging.explain import Explained, explain
from lstm_oracle.judging.shrinking import smallest
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.verdict import Failure, RunArtifact, blocks_of
from lstm_oracle.run import DType
from lstm_oracle.truth.padding import MANY
from lstm_oracle.truth.truth import truths, truths_in_chunks

CHUNK = 128  # cases that are in memory at the same time
CASES_REPEATED = 2  # for which repeated calls are compared
CASES_IN_PARTS = 3  # which are computed in parts as well
CASES_WITH_STATE = 15  # on which a candidate that keeps state is judged, each after a fresh start
FIRST_SEARCH = 80, 10.0  # attempts and seconds for the smallest run that shows wrong values, or the first failure
OTHER_SEARCHES = 30, 3.0  # and for other kinds of failure

Repeat = Callable[[Case], str]


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
        candidate: what is judged.
        cases: drawn with `seed`, all of dtype `dtype`.
        seed: draws further cases while failures are reduced.
        dtype: the precision of the cases.
        shrink: whether each failure is reduced to the smallest run that shows it.
        progress: called with the number of runs that have been judged since the last call.
    """
    start = time.perf_counter()
    caller, repeat = Caller(candidate), partial(repeat_command, candidate, seed)
    nonempty = [case for case in cases if 0 not in case.sizes]
    between = by_kind(repeated_calls(caller, nonempty[:CASES_REPEATED], seed))
    keeps_state = FailureKind.KEEPS_STATE in between
    notes = [restarted(caller)] if keeps_state else []
    if caller.restarts:
        cases = cases[:CASES_WITH_STATE]

    judged = judge_cases(caller, cases, repeat, progress)
    if not keeps_state:
        several = (case for case in nonempty if 1 not in case.sizes[:2])  # steps and rows
        smallest_first = sorted(several, key=lambda case: case.id.size_key)
        between = by_kind(calls_in_parts(caller, smallest_first[:CASES_IN_PARTS])) | between
    if varying := varying_names(judged.trials):
        problem, trial = varying
        between[problem.kind] = problem, draw_case(seed, trial.id.number, dtype, trial.id.sizes, trial.id.regime)

    if skipped := len(cases) - len(judged.trials):
        notes.append(f"The candidate hung or died so often that {skipped} runs were not judged.")
    if FailureKind.RAISES not in judged.smallest_failing:
        notes += refusals(judged.trials)
    failures, failing = reduced_failures(caller, judged, between, seed if shrink else None, repeat)
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
        notes=tuple(notes),
        failing=artifact,
        pictured=judged.pictured,
        seconds=time.perf_counter() - start,
    )


def by_kind(failures: Iterable[CrossCallFailure]) -> dict[FailureKind, CrossCallFailure]:
    """Return the first failure of every kind."""
    found: dict[FailureKind, CrossCallFailure] = {}
    for problem, case in failures:
        found.setdefault(problem.kind, (problem, case))
    return found


def restarted(caller: Caller) -> str:
    """Have a candidate that keeps state start afresh for every call, if it can, and return the note that says so."""
    caller.restarts = caller.candidate.restart()
    if caller.restarts:
        return "The candidate keeps state between calls, so it was restarted for every run."
    return (
        "The candidate keeps state between calls, and its values may be wrong for that reason alone: judge it by its "
        "name, pkg.module:adapter, to have it restarted for every run."
    )


def judge_cases(caller: Caller, cases: Sequence[Case], repeat: Repeat, progress: Callable[[int], None]) -> Collection:
    """Call a candidate with every case, until it is given up, and compare what it returns."""
    collection = Collection(repeat)
    chunks = (cases[k : k + CHUNK] for k in range(0, len(cases), CHUNK))
    for known in truths_in_chunks(chunks, many=len(cases) >= MANY):
        observations = []
        for case, _ in known:
            if not caller.has_given_up:
                observations.append(caller(case.inputs))
                progress(1)
        known = known[: len(observations)]
        for (case, truth), seen, trial in zip(known, observations, judge_trials(known, observations), strict=True):
            collection.add(case, truth, seen, trial)
    return collection


def reduced_failures(
    caller: Caller,
    judged: Collection,
    between: Mapping[FailureKind, CrossCallFailure],
    seed: int | None,
    repeat: Repeat,
) -> tuple[list[Failure], dict[FailureKind, Case]]:
    """Return every kind of failure on the smallest run found that shows it, and the case of each kind seen in a run.

    Without a seed, failures are not reduced to smaller runs.
    """
    failing = dict(judged.smallest_failing)
    failures = []
    for kind in FailureKind:
        if kind in between:
            problem, case = between[kind]
            failures.append(Failure(kind, problem.text, 0, case.id, repeat(case)))
        elif kind in failing:
            failing[kind], trial = reproduced(caller, judged, kind, seed)
            texts = [problem.text for problem in trial.problems if problem.kind == kind] or [", ".join(trial.wrong)]
            runs = sum(kind in other.kinds for other in judged.trials)
            failures.append(Failure(kind, texts[0], runs, trial.id, repeat(failing[kind])))
    return failures, failing


def reproduced(caller: Caller, judged: Collection, kind: FailureKind, seed: int | None) -> tuple[Case, Trial]:
    """Return the smallest case found that shows a kind of failure again, with its trial, or else the one that did."""
    seen = judged.smallest_failing[kind]
    if kind != FailureKind.HANGS:  # waiting for it once more would take as long again
        case = seen if seed is None else shrunk(caller, judged, kind, seed)
        trial = judge_again(caller, case, kind)
        if kind in trial.kinds:
            return case, trial
    return seen, next(trial for trial in judged.trials if trial.id == seen.id)


def shrunk(caller: Caller, judged: Collection, kind: FailureKind, seed: int) -> Case:
    """Return the smallest case found that shows this kind of failure."""
    first = next(iter(judged.smallest_failing))
    attempts, seconds = FIRST_SEARCH if kind in (FailureKind.MISMATCH, first) else OTHER_SEARCHES

    def fails(case: Case) -> bool:
        return kind in judge_again(caller, case, kind).kinds

    return smallest(fails, judged.smallest_failing[kind], seed, attempts=attempts, seconds=seconds)


def judge_again(caller: Caller, case: Case, kind: FailureKind) -> Trial:
    """Judge one more case; its values are compared only if wrong values are looked for."""
    if caller.has_given_up:
        return Trial(case.id)
    seen = caller(case.inputs)
    if kind != FailureKind.MISMATCH:
        return trial_of(case, seen)
    (truth,) = truths([case])
    return judge_trial(case, truth, seen)


def failing_artifact(caller: Caller, failing: Mapping[FailureKind, Case], repeat: Repeat) -> RunArtifact | None:
    """Return the run to save: the one with wrong values, or else the one that showed the first failure."""
    if not failing:
        return None
    kind = FailureKind.MISMATCH if FailureKind.MISMATCH in failing else next(iter(failing))
    case = failing[kind]
    (truth,) = truths([case])
    seen = Observation() if caller.has_given_up or kind == FailureKind.HANGS else caller(case.inputs)
    return RunArtifact(case.id, case.inputs, seen.outputs, truth.detached(), repeat(case))


def repeat_command(candidate: Candidate, seed: int, case: Case) -> str:
    """Return the command, or for a callable without a name the call in Python, that judges a case alone."""
    drawn = draw_case(seed, case.number, case.dtype)
    layout = candidate.layout if candidate.layout != OWN_LAYOUT else None
    if candidate.target is None:
        changed = f", sizes={case.sizes}" * (case.sizes != drawn.sizes)
        changed += f", regime={case.regime!r}" * (case.regime != drawn.regime)
        changed += f", layout={layout!r}" if layout else ""
        return f"check(adapter, run={case.number}, seed={seed}, dtype={case.dtype.name!r}{changed})"
    words = ["lstm-oracle", "check", candidate.target, "--run", str(case.number), "--seed", str(seed)]
    words += ["--dtype", case.dtype.name]
    if case.sizes != drawn.sizes:
        words += ["--sizes", ",".join(map(str, case.sizes))]
    if case.regime != drawn.regime:
        words += ["--regime", case.regime]
    if layout:
        words += ["--layout", layout]
    return shlex.join(words)
