"""Collects the results of many runs: every trial, but the arrays of only a few informative runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.compare import Trial
from lstm_oracle.inputs.cases import Case, Regime, RunId
from lstm_oracle.reports.verdict import RunArtifact
from lstm_oracle.truth.truth import Truth

Repeat = Callable[[RunId], str]  # returns the command that repeats a run


class Collection:
    """Every trial, the smallest case of each kind of failure, and a few runs with their arrays."""

    def __init__(self, repeat: Repeat) -> None:
        self.trials: list[Trial] = []
        self.smallest_failing: dict[FailureKind, Case] = {}
        self._repeat = repeat
        self._wrong: dict[Regime, RunArtifact] = {}
        self._right: dict[Regime, RunArtifact] = {}
        self._pictured: tuple[tuple[Any, ...], RunArtifact] | None = None  # with its rank

    @property
    def informative(self) -> list[RunArtifact]:
        """The most informative run of every regime with wrong values, then of every regime without."""
        return [*self._wrong.values(), *self._right.values()]

    @property
    def pictured(self) -> RunArtifact | None:
        """The most informative failing run, or else the run with the largest error."""
        return self._pictured and self._pictured[1]

    def add(self, case: Case, truth: Truth, seen: Observation, trial: Trial) -> None:
        """Add the trial of a run, and keep the arrays of the run only if it is more informative than earlier ones."""
        self.trials.append(trial)
        for kind in trial.kinds:
            smallest = self.smallest_failing.get(kind)
            if smallest is None or trial.id.size_key < smallest.id.size_key:
                self.smallest_failing[kind] = case
        if seen.outputs and 0 not in case.sizes:  # an empty run neither explains nor shows an error
            self._keep_informative(case, truth, seen, trial)
            self._keep_pictured(case, truth, seen, trial)

    def _keep_informative(self, case: Case, truth: Truth, seen: Observation, trial: Trial) -> None:
        alike = self._wrong if FailureKind.MISMATCH in trial.kinds else self._right
        kept = alike.get(case.regime)
        if seen.finite_outputs and (kept is None or informativeness_key(trial.id) < informativeness_key(kept.id)):
            alike[case.regime] = self._artifact(case, truth, seen)

    def _keep_pictured(self, case: Case, truth: Truth, seen: Observation, trial: Trial) -> None:
        largest_error = max(finding.ratio for finding in trial.findings)
        within = informativeness_key(trial.id) if trial.kinds else (-largest_error,)
        rank = FailureKind.MISMATCH not in trial.kinds, not trial.kinds, within
        if self._pictured is None or rank < self._pictured[0]:
            self._pictured = rank, self._artifact(case, truth, seen)

    def _artifact(self, case: Case, truth: Truth, seen: Observation) -> RunArtifact:
        return RunArtifact(case.id, case.inputs, seen.outputs, truth.detached(), self._repeat(case.id))


def informativeness_key(run: RunId) -> tuple[bool, tuple[bool, int, int]]:
    """Return a key that sorts small informative runs first: of several steps, and of sizes that all differ."""
    return run.sizes[0] < 3 or len(set(run.sizes)) < 4, run.size_key
