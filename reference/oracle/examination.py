"""One check under way: the calls, their comparison, the search for the smallest failure, its diagnosis."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from reference.oracle import relations
from reference.oracle.behaviour import MISBEHAVIOURS, Observation, Problem
from reference.oracle.candidate import Candidate
from reference.oracle.cases import Case, Regime, draw_case
from reference.oracle.diagnosis import Evidence, diagnose, locate
from reference.oracle.findings import beginning
from reference.oracle.laid_out import OWN
from reference.oracle.padding import MANY
from reference.oracle.report import Failure, Kept, Named, Report, blocks_of
from reference.oracle.shrinking import smallest
from reference.oracle.together import all_judged
from reference.oracle.trial import MISMATCH, Trial, Which, judged, returned
from reference.oracle.truth import Truth, truths, truths_ahead
from reference.run import DType, Run

CHUNK = 128  # cases that are in memory together
PROBED = 2  # cases on which calls are compared with each other
RELATED = 3  # cases that are computed in pieces
HANGS, DEATHS = 3, 12  # after so many it is not called again
FRESH = 15  # cases judged on one that keeps state, each after a fresh start
SEARCH = 80, 10.0  # attempts and seconds for the smallest failing run of the first kind
QUICK = 30, 3.0  # and of others
Rank = tuple[bool, bool, tuple[Any, ...]]  # how little a run shows
STARTS_AFRESH = " as pkg.module:adapter to have it started afresh for every run"


class Examination:
    """One check under way."""

    def __init__(self, subject: Candidate, seed: int, dtype: DType, progress: Callable[[int], None]) -> None:
        self.subject, self.seed, self.dtype, self.progress = subject, seed, dtype, progress
        self.hangs = 0
        self.fresh = False  # whether every call needs a fresh start
        self.trials: list[Trial] = []
        self.between: dict[str, tuple[Problem, Case]] = {}  # seen between calls, by kind
        self.shown: dict[str, tuple[Which, Case]] = {}  # the smallest case that shows each kind
        self.wrong: dict[Regime, tuple[Which, Evidence]] = {}
        self.right: dict[Regime, tuple[Which, Evidence]] = {}
        self.pictured: tuple[Rank, Kept] | None = None
        self.notes: list[str] = []

    def call(self, inputs: Run) -> Observation:
        """Call the candidate, unless it has died too often."""
        if self.fresh:
            self.subject.restart()
        seen = self.subject(inputs)
        self.hangs += any(problem.kind == "hangs" for problem in seen.problems)
        return seen

    @property
    def given_up(self) -> bool:
        """Whether it hung or died too often to be called again."""
        return self.hangs >= HANGS or self.subject.deaths >= DEATHS

    def report(self, cases: Sequence[Case], shrink: bool) -> Report:
        """Judge the candidate on these cases."""
        start = time.perf_counter()
        whole = [case for case in cases if 0 not in case.sizes]
        self.compare_calls(whole[:PROBED])
        if self.fresh:
            cases = cases[:FRESH]
        chunks = (cases[k : k + CHUNK] for k in range(0, len(cases), CHUNK))
        for known in truths_ahead(chunks, many=len(cases) >= MANY):
            self.judge(known)
        self.relate(sorted((case for case in whole if 1 not in case.sizes[:2]), key=lambda case: Which.of(case).size))
        self.compare_names()
        if skipped := len(cases) - len(self.trials):
            self.notes.append(f"It hung or died so often that {skipped} runs were not judged.")
        self.note_refusals()
        failures = self.failures(shrink)
        begins, explanations, location, kept = self.diagnosis()
        return Report(
            subject=self.subject.name,
            target=self.subject.target,
            layout=self.subject.layout,
            dtype=self.dtype.name,
            seed=self.seed,
            blocks=blocks_of(self.trials),
            failures=tuple(failures),
            beginning=begins,
            explanations=explanations,
            location=location,
            trials=tuple(self.trials),
            notes=tuple(self.notes),
            kept=kept,
            pictured=self.pictured and self.pictured[1],
            seconds=time.perf_counter() - start,
        )

    def compare_calls(self, cases: Sequence[Case]) -> None:
        """Call again with the same inputs; first of all, while nothing has been called before."""
        for case, truth in zip(cases, truths(cases), strict=True):
            other = draw_case(self.seed, case.number + 1_000_000, case.dtype, case.sizes, "ordinary")
            if not self.given_up:
                problem = relations.same_again(self.call, self.subject.restart, case, other, truth)
                self.note_between(problem, case)
        if "keeps_state" in self.between:
            self.fresh = self.subject.restart()
            fresh = "was started afresh for every run" if self.fresh else "may be wrong for that reason alone: name it"
            self.notes.append(f"It keeps state, so it {fresh}{'' if self.fresh else STARTS_AFRESH}.")

    def judge(self, known: Sequence[tuple[Case, Truth]]) -> None:
        """Judge every case by its truth."""
        observations = []
        for case, _ in known:
            if not self.given_up:  # which it stays
                observations.append(self.call(case.inputs))
                self.progress(1)
        known = known[: len(observations)]
        for (case, truth), seen, trial in zip(known, observations, all_judged(known, observations), strict=True):
            self.trials.append(trial)
            for kind in trial.kinds:
                if kind not in self.shown or trial.which.size < self.shown[kind][0].size:
                    self.shown[kind] = trial.which, case
            self.keep(case, truth, seen, trial)
            self.picture(case, truth, seen, trial)

    def keep(self, case: Case, truth: Truth, seen: Observation, trial: Trial) -> None:
        """Keep the smallest telling run of every regime: several steps, and sizes that can be told apart."""
        outputs = {name: array for name, array in seen.outputs.items() if np.isfinite(array).all()}
        if outputs and 0 not in case.sizes:  # an empty run explains nothing
            kept = self.wrong if MISMATCH in trial.kinds else self.right
            if case.regime not in kept or dull(trial.which) < dull(kept[case.regime][0]):
                kept[case.regime] = trial.which, evidence(case, truth.alone(), outputs)

    def picture(self, case: Case, truth: Truth, seen: Observation, trial: Trial) -> None:
        """Keep the run that is best to look at: the smallest telling one that is wrong, else the worst of all."""
        if not seen.outputs or 0 in case.sizes:
            return
        worst = max(finding.ratio for finding in trial.findings)
        rank = MISMATCH not in trial.kinds, not trial.kinds, dull(trial.which) if trial.kinds else (-worst,)
        if self.pictured is None or rank < self.pictured[0]:
            self.pictured = rank, Kept(trial.which, case.inputs, seen.outputs, truth.alone(), self.repeat(case))

    def relate(self, cases: Sequence[Case]) -> None:
        """Compute some cases in pieces, as well."""
        cases = [] if "keeps_state" in self.between else cases[:RELATED]
        for case, truth in zip(cases, truths(cases), strict=True):
            if self.given_up:
                return
            whole = self.call(case.inputs)
            if returned(whole):
                self.note_between(relations.split_equals_whole(self.call, case, truth, whole), case)
                self.note_between(relations.rows_are_independent(self.call, case, truth, whole), case)

    def compare_names(self) -> None:
        """The same outputs come back from every run that returned any."""
        named = [(trial, {finding.block for finding in trial.findings}) for trial in self.trials if not trial.problems]
        named = [(trial, names) for trial, names in named if names]
        for trial, names in named:
            if names != named[0][1]:
                other = ", ".join(sorted(names ^ named[0][1]))
                text = f"{other} came back from only one of {named[0][0].which} and {trial.which}"
                self.between["varying"] = Problem("varying", text), self.case(trial.which)
                return

    def note_between(self, problem: Problem | None, case: Case) -> None:
        """Remember what was seen between calls."""
        if problem:
            self.between.setdefault(problem.kind, (problem, case))

    def note_refusals(self) -> None:
        """Say which empty runs were not taken."""
        if "raises" in self.shown:
            return
        for dim, name in zip(range(3), "TBD", strict=True):
            refusals = [trial.refused for trial in self.trials if trial.refused and not trial.which.sizes[dim]]
            if refusals:
                self.notes.append(f"It takes no run with {name}=0, which is no failure: {refusals[0]}.")

    def failures(self, shrink: bool) -> list[Failure]:
        """Every kind of failure on the smallest run found that shows it, wrong values first."""
        found = []
        for kind in (kind for kind in (MISMATCH, *MISBEHAVIOURS) if kind in self.shown or kind in self.between):
            count = sum(kind in trial.kinds for trial in self.trials)
            if kind in self.between:
                problem, case = self.between[kind]
                found.append(Failure(kind, problem.text, 0, Which.of(case), self.repeat(case)))
                continue
            waits = kind == "hangs"  # which is not waited for again
            case = self.shrunk(kind) if shrink and not waits else self.shown[kind][1]
            trial = None if waits else self.again(case, kind)
            if trial is None or kind not in trial.kinds:  # what was seen stands
                case = self.shown[kind][1]
                trial = next(trial for trial in self.trials if trial.which == Which.of(case))
            self.shown[kind] = trial.which, case
            text = next((problem.text for problem in trial.problems if problem.kind == kind), "")
            found.append(Failure(kind, text or ", ".join(trial.wrong), count, trial.which, self.repeat(case)))
        return found

    def shrunk(self, kind: str) -> Case:
        """The smallest case found that shows this kind of failure."""
        case = self.shown[kind][1]
        attempts, seconds = SEARCH if kind in (MISMATCH, next(iter(self.shown))) else QUICK
        return smallest(
            lambda c: kind in self.again(c, kind).kinds, case, self.seed, attempts=attempts, seconds=seconds
        )

    def again(self, case: Case, kind: str) -> Trial:
        """Judge one more case, by its truth if that is asked."""
        if self.given_up:
            return Trial(Which.of(case))
        seen = self.call(case.inputs)
        if kind != MISMATCH:
            return judged(case, None, seen)
        (truth,) = truths([case])
        return judged(case, truth, seen)

    def diagnosis(self) -> tuple[str, tuple[tuple[Named, ...], ...], str, Kept | None]:
        """Where it goes wrong first, what explains it, or the narrowest place; and the run to save."""
        if not self.shown:
            return "", (), "", None
        kind = MISMATCH if MISMATCH in self.shown else next(iter(self.shown))
        _, case = self.shown[kind]
        (truth,) = (truth.alone() for truth in truths([case]))
        seen = Observation() if self.given_up or kind == "hangs" else self.call(case.inputs)
        kept = Kept(Which.of(case), case.inputs, seen.outputs, truth, self.repeat(case))
        if MISMATCH not in self.shown:
            return "", (), "", kept
        finite = {name: array for name, array in seen.outputs.items() if np.isfinite(array).all()}
        now = evidence(case, truth, finite)
        known = [now] if finite else []
        known += [run for kept_of in (self.wrong, self.right) for _, run in kept_of.values()]
        explanations = tuple(tuple(bugs) for bugs in diagnose(known))
        begins = beginning(truth, now.outputs, now.dtype)
        return begins, explanations, "" if explanations else locate(known), kept

    def case(self, which: Which) -> Case:
        """The case again, of which only the name was kept."""
        return draw_case(self.seed, which.number, self.dtype, which.sizes, which.regime)

    def repeat(self, case: Case) -> str:
        """The command, or the call, that judges this case alone."""
        own = draw_case(self.seed, case.number, case.dtype)
        if self.subject.target is None:
            changed = f", sizes={case.sizes}" * (case.sizes != own.sizes)
            changed += f", regime={case.regime!r}" * (case.regime != own.regime)
            changed += f", layout={self.subject.layout!r}" * (self.subject.layout != OWN)
            return f"check(adapter, run={case.number}, seed={self.seed}, dtype={case.dtype.name!r}{changed})"
        words = ["lstm-oracle", "check", self.subject.target, "--run", str(case.number), "--seed", str(self.seed)]
        words += ["--dtype", case.dtype.name]
        if case.sizes != own.sizes:
            words += ["--sizes", ",".join(map(str, case.sizes))]
        if case.regime != own.regime:
            words += ["--regime", case.regime]
        if self.subject.layout != OWN:
            words += ["--layout", self.subject.layout]
        return shlex.join(words)


def dull(which: Which) -> tuple[bool, tuple[bool, int, int]]:
    """How little a run shows, to be compared: one of few steps, or of sizes that cannot be told apart."""
    return which.sizes[0] < 3 or len(set(which.sizes)) < 4, which.size


def evidence(case: Case, truth: Truth, outputs: Run) -> Evidence:
    """A run for the diagnosis, all in the coarsest precision that it came in."""
    dtype: DType = min((array.dtype for array in outputs.values()), default=np.dtype(np.float64))
    return Evidence(case.inputs, truth, {name: array.astype(dtype) for name, array in outputs.items()}, dtype)
