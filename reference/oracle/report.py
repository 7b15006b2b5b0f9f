"""What the oracle found out about one candidate or one recorded run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Protocol

from reference.oracle.findings import Finding
from reference.oracle.laid_out import OWN
from reference.oracle.trial import Trial, Which
from reference.oracle.truth import Truth
from reference.run import OUTPUTS, Array


class Named(Protocol):
    """A known mistake, as the catalogue describes it."""

    @property
    def id(self) -> str: ...
    @property
    def text(self) -> str: ...
    @property
    def seen_in(self) -> tuple[str, ...]: ...


@dataclass(frozen=True)
class Block:
    """One output over all runs that have it, by its worst error."""

    name: str
    ok: bool
    ratio: float  # the worst error, as a multiple of what rounding may do
    units: float  # the same in units of rounding
    step: int | None  # where it is, for a block with steps
    which: Which  # the run that it is from
    runs: int
    wrong: int  # how many of the runs


@dataclass(frozen=True)
class Failure:
    """One kind of failure, on the smallest run that shows it."""

    kind: str  # "mismatch", or a key of `behaviour.MISBEHAVIOURS`
    text: str
    runs: int  # how many runs show it; 0 where it lies between calls
    which: Which | None
    repeat: str = ""  # the command that repeats this run


@dataclass(frozen=True)
class Kept:
    """A run with all its arrays: to be saved, or to be shown step by step."""

    which: Which
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    truth: Truth
    repeat: str = ""  # the command that repeats it


@dataclass(frozen=True)
class Report:
    """The verdict. `print(report)` shows it to people, `report.to_json()` to programs."""

    subject: str  # what is judged: the name of a candidate, or a file
    dtype: str
    blocks: tuple[Block, ...]
    failures: tuple[Failure, ...] = ()
    explanations: tuple[tuple[Named, ...], ...] = ()  # alternatives, each of one or several known mistakes
    beginning: str = ""  # where the smallest wrong run goes wrong first
    location: str = ""  # the narrowest place, where no mistake is named
    target: str | None = None  # the subject's name on the command line
    layout: str = OWN  # how its weights lie
    seed: int | None = None
    trials: tuple[Trial, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    kept: Kept | None = field(default=None, repr=False)  # the smallest failing run
    pictured: Kept | None = field(default=None, repr=False)  # one that fails over several steps; else the worst of all

    @property
    def ok(self) -> bool:
        """Whether something was judged and nothing failed."""
        return bool(self.blocks) and not self.failures

    @property
    def diagnosis(self) -> tuple[Named, ...]:
        """Every known mistake that is named, in whichever explanation."""
        return tuple({bug.id: bug for bugs in self.explanations for bug in bugs}.values())

    def __str__(self) -> str:
        from reference.oracle.wording import words

        return words(self)

    def to_html(self) -> str:
        """The verdict as one HTML page that needs nothing beside it."""
        from reference.oracle.page import page

        return page([self])

    def to_badge(self) -> dict[str, Any]:
        """The verdict as JSON for an endpoint badge of shields.io."""
        from reference.oracle.badge import badge

        return badge([self])

    def to_json(self) -> dict[str, Any]:
        """The verdict as JSON, described by `report.schema.json` beside this file."""
        return {
            "ok": self.ok,
            "subject": self.subject,
            "blocks": [
                {"name": block.name, "ok": block.ok, "ratio": finite(block.ratio), "units": finite(block.units)}
                | {"step": block.step, "runs": block.runs, "wrong": block.wrong, "worst": which_json(block.which)}
                for block in self.blocks
            ],
            "diagnosis": [
                {"id": bug.id, "text": bug.text, "seen_in": list(bug.seen_in), "explanation": number}
                for number, bugs in enumerate(self.explanations)
                for bug in bugs
            ],
            "beginning": self.beginning,
            "location": self.location,
            "failures": [
                {"kind": failure.kind, "text": failure.text, "runs": failure.runs, "repeat": failure.repeat}
                | {"smallest": failure.which and which_json(failure.which)}
                for failure in self.failures
            ],
            "notes": list(self.notes),
            "dtype": self.dtype,
            "seed": self.seed,
            "layout": self.layout,
            "runs": len(self.trials),
            "seconds": round(self.seconds, 1),
            "versions": versions(),
        }


def unread(file: str, why: str) -> Report:
    """The report of a file that could not be judged."""
    return Report(subject=file, dtype="", blocks=(), notes=(why,))


def blocks_of(trials: Sequence[Trial]) -> tuple[Block, ...]:
    """Every output that was returned, over all runs, in the order of `reference.run.OUTPUTS`.

    One that had the wrong shape or was no array is infinitely far off.
    """
    found: dict[str, list[tuple[Finding, Which]]] = {}
    for trial in trials:
        for finding in trial.findings:
            found.setdefault(finding.block, []).append((finding, trial.which))
        judged = {finding.block for finding in trial.findings}
        for name in {problem.block for problem in trial.problems} - judged - {""}:
            found.setdefault(name, []).append((Finding(name, math.inf, 1.0, None), trial.which))
    blocks = []
    for name in (name for name in OUTPUTS if name in found):
        worst, which = max(found[name], key=lambda pair: pair[0].ratio)
        wrong = sum(not finding.ok for finding, _ in found[name])
        blocks.append(Block(name, not wrong, worst.ratio, worst.units, worst.step, which, len(found[name]), wrong))
    return tuple(blocks)


def which_json(which: Which) -> dict[str, Any]:
    """A run's number, sizes and regime."""
    return {"run": which.number, "sizes": list(which.sizes), "regime": which.regime, "dtype": which.dtype}


def versions() -> dict[str, str]:
    """The versions of what a verdict rests on."""
    found = {}
    for package in ("lstm-oracle", "numpy", "jax"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # run from a folder, not installed
            found[package] = "unknown"
    return found


def finite(number: float) -> float | None:
    """JSON has no infinity: an error that is not a number is null."""
    return number if math.isfinite(number) else None
