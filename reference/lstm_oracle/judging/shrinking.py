"""Reduces each failure to the smallest run found that still shows it."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Mapping
from functools import partial

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.compare import Trial, judge_trial, trial_of
from lstm_oracle.inputs.cases import REGIMES, Case, Regime, Sizes, draw_case
from lstm_oracle.judging.calls import Caller, CrossCallFailure
from lstm_oracle.judging.collection import Collection, Repeat
from lstm_oracle.reports.verdict import Failure, RunArtifact
from lstm_oracle.truth.truth import truths

FIRST_SEARCH = 80, 10.0  # attempts and seconds for wrong values, or the first failure
OTHER_SEARCHES = 30, 3.0  # and for every other kind of failure
SIMPLEST_FIRST: tuple[Regime, ...] = ("plain", "ordinary", *(r for r in REGIMES if r not in ("plain", "ordinary")))


def reduced_failures(
    caller: Caller,
    judged: Collection,
    cross_call: Mapping[FailureKind, CrossCallFailure],
    seed: int | None,
    repeat: Repeat,
) -> tuple[list[Failure], dict[FailureKind, Case]]:
    """Return the failures, one of each kind on the smallest run found, and the case of each kind seen in single calls.

    Args:
        caller: calls the candidate.
        judged: the runs that were judged.
        cross_call: the failures across calls, which are not reduced.
        seed: the seed of the runs, or None to reduce no failure.
        repeat: returns the command that repeats a run.
    """
    failing = dict(judged.smallest_failing)
    failures = []
    for kind in FailureKind:
        if kind in cross_call:
            problem, run = cross_call[kind]
            failures.append(Failure(kind, problem.text, 0, run, repeat(run)))
        elif kind in failing:
            failing[kind], trial = reproduced(caller, judged, kind, seed)
            texts = [problem.text for problem in trial.problems if problem.kind == kind] or [", ".join(trial.wrong)]
            runs = sum(kind in other.kinds for other in judged.trials)
            failures.append(Failure(kind, texts[0], runs, trial.id, repeat(trial.id)))
    return failures, failing


def reproduced(caller: Caller, judged: Collection, kind: FailureKind, seed: int | None) -> tuple[Case, Trial]:
    """Return the smallest case found that shows a kind of failure again, and its trial.

    If the failure does not occur again, the case and the trial are those that showed it first.
    """
    seen = judged.smallest_failing[kind]
    if kind != FailureKind.HANGS:  # another hang would take the whole time limit again
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
    """Judge one more case; the values are compared only for the kind MISMATCH."""
    if caller.has_given_up:
        return Trial(case.id)
    seen = caller(case.inputs)
    if kind != FailureKind.MISMATCH:
        return trial_of(case, seen)
    (truth,) = truths([case])
    return judge_trial(case, truth, seen)


def failing_artifact(caller: Caller, failing: Mapping[FailureKind, Case], repeat: Repeat) -> RunArtifact | None:
    """Return the run to save: the run with wrong values, or else the run of the first failure; None if all is right."""
    if not failing:
        return None
    kind = FailureKind.MISMATCH if FailureKind.MISMATCH in failing else next(iter(failing))
    case = failing[kind]
    (truth,) = truths([case])
    seen = Observation() if caller.has_given_up or kind == FailureKind.HANGS else caller(case.inputs)
    return RunArtifact(case.id, case.inputs, seen.outputs, truth.detached(), repeat(case.id))


def smallest(fails: Callable[[Case], bool], case: Case, seed: int, *, attempts: int, seconds: float) -> Case:
    """Return the smallest case found that fails as `case` does, by Hypothesis.

    Every case that is tried has the number of `case`, and no size larger than the size there, so that JAX need not
    compile another shape. A size is zero only if it is zero in `case`.

    Args:
        fails: returns whether a case fails.
        case: a case that fails.
        seed: the seed from which `case` was drawn.
        attempts: the largest number of other cases to try.
        seconds: the time limit.
    """
    end = time.monotonic() + seconds
    known: dict[tuple[Sizes, Regime], bool] = {(case.sizes, case.regime): True}
    failing = [case]

    def still_fails(drawn: tuple[Sizes, Regime]) -> bool:
        if drawn not in known:
            if time.monotonic() > end or len(known) > attempts:
                return False
            other = draw_case(seed, case.number, case.dtype, *drawn)
            known[drawn] = fails(other)
            failing.extend([other] * known[drawn])
        return known[drawn]

    # One choice for each size, half of them the size of `case`: Hypothesis shrinks towards few choices first.
    sizes = st.tuples(*(st.integers(min(1, size), 2 * size).map(partial(min, size)) for size in case.sizes))
    regimes = st.sampled_from([*SIMPLEST_FIRST, *[case.regime] * len(SIMPLEST_FIRST)])
    bounded = settings(
        database=None,
        deadline=None,
        max_examples=attempts,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with contextlib.suppress(NoSuchExample):  # a failure that occurs by chance stays with the run that showed it
        find(st.tuples(sizes, regimes), still_fails, settings=bounded, random=random.Random(seed))
    return min(failing, key=lambda found: (found.id.size_key, SIMPLEST_FIRST.index(found.regime)))
