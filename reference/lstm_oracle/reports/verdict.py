"""The verdict on a candidate or a recorded run, as data and as JSON."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.comparison.compare import Trial
from lstm_oracle.inputs.cases import RunId
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.run import OUTPUTS, Array
from lstm_oracle.truth.truth import Finding, Truth

if TYPE_CHECKING:  # the verdict is data, and does not load the catalogue
    from lstm_oracle.diagnosis.bugs import Bug

Explanation = tuple["Bug", ...]  # known mistakes that were made together


@dataclass(frozen=True)
class Block:
    """The worst error of one output over all runs that have the output."""

    name: str
    ok: bool
    ratio: float  # the worst error, relative to the rounding tolerance
    units: float  # the worst error, in units of rounding
    step: int | None  # the step of the worst error; None for an output without steps
    worst: RunId  # the run with the worst error
    runs: int  # how many runs have the output
    wrong: int  # in how many of these runs it is wrong


@dataclass(frozen=True)
class Failure:
    """One kind of failure, on the smallest run found that shows it."""

    kind: FailureKind
    text: str
    runs: int  # how many runs show it; 0 for a failure that shows only in a comparison of several calls
    smallest: RunId | None
    repeat: str = ""  # the command that repeats this run


@dataclass(frozen=True)
class RunArtifact:
    """A run with all its arrays and its truth, to be explained, saved, or shown step by step."""

    id: RunId
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    truth: Truth
    repeat: str = ""  # the command that repeats this run


@dataclass(frozen=True, repr=False)
class Verdict:
    """The verdict on one candidate or one recorded run."""

    subject: str  # what was judged: the name of a candidate, or a file
    dtype: str
    blocks: tuple[Block, ...]
    failures: tuple[Failure, ...] = ()
    explanations: tuple[Explanation, ...] = ()  # alternatives
    first_error: str = ""  # where the first error of the smallest wrong run is
    location: str = ""  # the narrowest location of the error, if no known mistake matches
    target: str | None = None  # the name of the subject on the command line
    layout: str = OWN_LAYOUT  # how the weights of the subject are arranged
    seed: int | None = None  # None for a recorded run
    trials: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    failing: RunArtifact | None = None  # the smallest failing run
    pictured: RunArtifact | None = None  # a failing run of several steps, or else the run with the largest error

    @property
    def ok(self) -> bool:
        """True if something was judged and nothing failed."""
        return bool(self.blocks) and not self.failures

    @property
    def not_judged(self) -> tuple[str, ...]:
        """The outputs that no run returned."""
        returned = {block.name for block in self.blocks}
        return tuple(name for name in OUTPUTS if name not in returned)

    @property
    def diagnosis(self) -> tuple[Bug, ...]:
        """Every known mistake that an explanation names."""
        return tuple({mistake.id: mistake for mistakes in self.explanations for mistake in mistakes}.values())

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON; `report.schema.json` beside this file describes it."""
        return {
            "ok": self.ok,
            "subject": self.subject,
            "blocks": [block_json(block) for block in self.blocks],
            "not_judged": list(self.not_judged),
            "diagnosis": [
                {"id": mistake.id, "text": mistake.text, "seen_in": list(mistake.seen_in), "explanation": number}
                for number, mistakes in enumerate(self.explanations)
                for mistake in mistakes
            ],
            "first_error": self.first_error,
            "location": self.location,
            "failures": [failure_json(failure) for failure in self.failures],
            "notes": list(self.notes),
            "dtype": self.dtype,
            "seed": self.seed,
            "layout": self.layout,
            "runs": len(self.trials),
            "seconds": round(self.seconds, 1),
            "versions": versions(),
        }


def blocks_of(trials: Sequence[Trial]) -> tuple[Block, ...]:
    """Return a block for every output that any run returned, in the order of `run.OUTPUTS`.

    The error of an output that had the wrong shape or was not an array is infinite.
    """
    found: dict[str, list[tuple[Finding, RunId]]] = {}
    for trial in trials:
        for finding in trial.findings:
            found.setdefault(finding.block, []).append((finding, trial.id))
        compared = {finding.block for finding in trial.findings}
        for name in {problem.block for problem in trial.problems} - compared - {""}:
            found.setdefault(name, []).append((Finding(name, math.inf, 1.0, None), trial.id))
    blocks = []
    for name in (name for name in OUTPUTS if name in found):
        worst, of_run = max(found[name], key=lambda pair: pair[0].ratio)
        wrong = sum(not finding.ok for finding, _ in found[name])
        blocks.append(Block(name, not wrong, worst.ratio, worst.units, worst.step, of_run, len(found[name]), wrong))
    return tuple(blocks)


def block_json(block: Block) -> dict[str, Any]:
    """Return a block as JSON."""
    return {
        "name": block.name,
        "ok": block.ok,
        "ratio": json_number(block.ratio),
        "units": json_number(block.units),
        "step": block.step,
        "runs": block.runs,
        "wrong": block.wrong,
        "worst": run_json(block.worst),
    }


def failure_json(failure: Failure) -> dict[str, Any]:
    """Return a failure as JSON."""
    return {
        "kind": failure.kind,
        "text": failure.text,
        "runs": failure.runs,
        "repeat": failure.repeat,
        "smallest": failure.smallest and run_json(failure.smallest),
    }


def run_json(run: RunId) -> dict[str, Any]:
    """Return a run's number, sizes, regime and dtype as JSON."""
    return {"run": run.number, "sizes": list(run.sizes), "regime": run.regime, "dtype": run.dtype}


def json_number(number: float) -> float | None:
    """Return a number, or None in place of infinity and NaN, which JSON does not have."""
    return number if math.isfinite(number) else None


def versions() -> dict[str, str]:
    """Return the versions of the packages that a verdict depends on."""
    found = {}
    for package in ("lstm-oracle", "numpy", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder, not installed
            found[package] = "unknown"
    return found
