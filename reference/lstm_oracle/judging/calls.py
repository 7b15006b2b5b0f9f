"""Calls of a candidate, and what is compared between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lstm_oracle.candidates.base import Candidate
from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison import relations
from lstm_oracle.comparison.compare import Trial
from lstm_oracle.inputs.cases import Case, draw_case
from lstm_oracle.run import Run
from lstm_oracle.truth.truth import truths

MOST_HANGS, MOST_DEATHS = 3, 12  # after which a candidate is not called again
OTHER_INPUTS = 1_000_000  # added to a case's number to draw other inputs of the same sizes

CrossCallFailure = tuple[Problem, Case]  # what was seen between calls, and the case


class Caller:
    """Calls a candidate until it has hung or died too often.

    Args:
        candidate: what is called.

    `restarts` may be set to have the candidate start afresh for every call.
    """

    def __init__(self, candidate: Candidate) -> None:
        self.candidate, self.restarts = candidate, False
        self._hangs = 0

    def __call__(self, inputs: Run) -> Observation:
        if self.restarts:
            self.candidate.restart()
        seen = self.candidate(inputs)
        self._hangs += any(problem.kind == FailureKind.HANGS for problem in seen.problems)
        return seen

    @property
    def has_given_up(self) -> bool:
        """Whether the candidate hung or died too often to be called again."""
        return self._hangs >= MOST_HANGS or self.candidate.deaths >= MOST_DEATHS


def repeated_calls(caller: Caller, cases: Sequence[Case], seed: int) -> Iterator[CrossCallFailure]:
    """Call repeatedly with the same inputs, while nothing else has been called yet, and yield what differs."""
    for case, truth in zip(cases, truths(cases), strict=True):
        if caller.has_given_up:
            return
        other = draw_case(seed, case.number + OTHER_INPUTS, case.dtype, case.sizes, "ordinary")
        if problem := relations.same_again(caller, caller.candidate.restart, case, other, truth):
            yield problem, case


def calls_in_parts(caller: Caller, cases: Sequence[Case]) -> Iterator[CrossCallFailure]:
    """Compute runs in parts, of the sequence and of the batch, and yield where the parts differ from the whole."""
    for case, truth in zip(cases, truths(cases), strict=True):
        if caller.has_given_up:
            return
        whole = caller(case.inputs)
        if whole.has_outputs:
            for relation in (relations.split_equals_whole, relations.rows_are_independent):
                if problem := relation(caller, case, truth, whole):
                    yield problem, case


def varying_names(trials: Sequence[Trial]) -> tuple[Problem, Trial] | None:
    """Return the first run on which other outputs were returned than on the first run that returned any."""
    returned = [(trial, {finding.block for finding in trial.findings}) for trial in trials if not trial.problems]
    returned = [(trial, names) for trial, names in returned if names]
    for trial, names in returned:
        if names != returned[0][1]:
            different = ", ".join(sorted(names ^ returned[0][1]))
            text = f"{different} was returned from only one of {returned[0][0].id} and {trial.id}"
            return Problem(FailureKind.VARYING, text), trial
    return None
