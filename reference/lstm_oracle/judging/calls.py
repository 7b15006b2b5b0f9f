"""Calls a candidate, and compares its calls with one another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstm_oracle.candidates.base import Candidate
from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison import relations
from lstm_oracle.comparison.compare import Trial
from lstm_oracle.inputs.cases import Case, RunId, draw_case
from lstm_oracle.run import Run
from lstm_oracle.truth.truth import truths

MOST_HANGS, MOST_DEATHS = 3, 12  # after which a candidate is not called again
OTHER_INPUTS = 1_000_000  # added to a case's number to draw other inputs of the same sizes

CrossCallFailure = tuple[Problem, RunId]  # a problem across calls, and the run whose calls were compared


class Caller:
    """Calls a candidate, and counts how often the candidate hangs or dies."""

    def __init__(self, candidate: Candidate) -> None:
        self.candidate = candidate
        self._hangs, self._restarts = 0, False

    def __call__(self, inputs: Run) -> Observation:
        if self._restarts:
            self.candidate.restart()
        seen = self.candidate(inputs)
        self._hangs += any(problem.kind == FailureKind.HANGS for problem in seen.problems)
        return seen

    def restart_before_every_call(self) -> bool:
        """Restart the candidate before every call from now on; return whether that is possible."""
        self._restarts = self.candidate.restart()
        return self._restarts

    @property
    def has_given_up(self) -> bool:
        """True if the candidate hung or died too often to be called again."""
        return self._hangs >= MOST_HANGS or self.candidate.deaths >= MOST_DEATHS


def repeated_calls(caller: Caller, cases: Sequence[Case], seed: int) -> Iterator[CrossCallFailure]:
    """Call the candidate repeatedly with each case, before any other call, and yield the differences."""
    for case, truth in zip(cases, truths(cases), strict=True):
        if caller.has_given_up:
            return
        other = draw_case(seed, case.number + OTHER_INPUTS, case.dtype, case.sizes, "ordinary")
        if problem := relations.same_again(caller, caller.candidate.restart, case, other, truth):
            yield problem, case.id


def calls_in_parts(caller: Caller, cases: Sequence[Case]) -> Iterator[CrossCallFailure]:
    """Compute each case in parts of the sequence and of the batch, and yield the differences from the whole."""
    for case, truth in zip(cases, truths(cases), strict=True):
        if caller.has_given_up:
            return
        whole = caller(case.inputs)
        if whole.has_outputs:
            for relation in (relations.split_equals_whole, relations.rows_are_independent):
                if problem := relation(caller, case, truth, whole):
                    yield problem, case.id


def varying_names(trials: Sequence[Trial]) -> Iterator[CrossCallFailure]:
    """Yield a problem if runs return different sets of outputs, on the first run that differs from the first one."""
    returned = [trial for trial in trials if trial.findings and not trial.problems]
    names = [{finding.block for finding in trial.findings} for trial in returned]
    if others := [k for k in range(len(returned)) if names[k] != names[0]]:
        first, other = returned[0].id, returned[others[0]].id
        different = ", ".join(sorted(names[0] ^ names[others[0]]))
        yield Problem(FailureKind.VARYING, f"returned {different} on only one of {first} and {other}"), other
