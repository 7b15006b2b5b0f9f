"""What came of one run: how far each output is off, and what else was seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.cases import Case, Regime, Sizes
from reference.oracle.findings import Finding, judge
from reference.oracle.truth import Truth
from reference.run import OUTPUTS, Array, Run

MISMATCH = "mismatch"  # beside the kinds of `behaviour.MISBEHAVIOURS`


@dataclass(frozen=True)
class Which:
    """Which run it was, without its arrays."""

    number: int
    regime: Regime
    sizes: Sizes
    dtype: str

    @classmethod
    def of(cls, case: Case) -> Which:
        """That of a case."""
        return cls(case.number, case.regime, case.sizes, case.dtype.name)

    @property
    def size(self) -> tuple[bool, int, int]:
        """How much there is to look at, to be compared; an empty run shows little and comes last."""
        return 0 in self.sizes, prod(self.sizes), sum(self.sizes)

    @property
    def sizes_text(self) -> str:
        """T, B, D and H in words."""
        return " ".join(f"{dim}={size}" for dim, size in zip("TBDH", self.sizes, strict=True))

    def __str__(self) -> str:
        return f"run {self.number} ({self.sizes_text}, {self.regime}, {self.dtype})"


@dataclass(frozen=True)
class Trial:
    """What came of one run."""

    which: Which
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    refused: str = ""  # why it did not take a run without steps, rows or inputs

    @property
    def kinds(self) -> set[str]:
        """The kinds of failure that it shows."""
        broken = {problem.block for problem in self.problems if problem.kind == "not_finite"}
        mismatch = any(not finding.ok and finding.block not in broken for finding in self.findings)
        return {problem.kind for problem in self.problems} | ({MISMATCH} if mismatch else set())

    @property
    def wrong(self) -> list[str]:
        """The blocks that are wrong."""
        return [finding.block for finding in self.findings if not finding.ok]


def judged(case: Case, truth: Truth | None, seen: Observation) -> Trial:
    """What a candidate did with a case. If there is a truth, each output is judged in the precision of its dtype."""
    return trial(case, seen, findings(truth, seen.outputs) if truth else [])


def trial(case: Case, seen: Observation, found: Sequence[Finding]) -> Trial:
    """What came of a case, by what was seen and found.

    An exception on a run without steps, rows or inputs is a refusal and no failure: many good
    implementations know no empty run. What they return for one is judged.
    """
    which = Which.of(case)
    if 0 in which.sizes and [problem.kind for problem in seen.problems] == ["raises"]:
        (problem,) = seen.problems
        return Trial(which, refused=problem.text)
    return Trial(which, tuple(found), seen.problems)


def findings(truth: Truth, outputs: Run) -> list[Finding]:
    """A finding for each output, in the order of `reference.run.OUTPUTS`."""
    return [
        finding for name, array in in_order(outputs).items() for finding in judge(truth, {name: array}, array.dtype)
    ]


def in_order(outputs: Run) -> dict[str, Array]:
    """The outputs in the order of `reference.run.OUTPUTS`."""
    return {name: outputs[name] for name in OUTPUTS if name in outputs}


def returned(seen: Observation) -> bool:
    """Whether there is something to compare another call with."""
    return bool(seen.outputs) and not seen.fatal
