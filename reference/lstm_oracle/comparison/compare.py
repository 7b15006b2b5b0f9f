"""Compares the outputs of runs with their truths, block by block."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.inputs.cases import Case, RunId
from lstm_oracle.run import GRADIENTS, OUTPUTS, Array, DType, Run
from lstm_oracle.truth.batch import BLOCKS, DELTAS, VALUES
from lstm_oracle.truth.truth import Finding, Truth

Place = tuple[str, int | None]  # a block, and the step if it has steps


@dataclass(frozen=True)
class Trial:
    """The result of one run: the findings on its outputs, and its problems."""

    id: RunId
    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    refusal: str = ""  # why an empty run was refused, which is not a failure

    @property
    def kinds(self) -> set[FailureKind]:
        """The kinds of failure of the run; a block with NaN or infinity does not count as wrong values as well."""
        not_finite = {problem.block for problem in self.problems if problem.kind == FailureKind.NOT_FINITE}
        mismatch = any(block not in not_finite for block in self.wrong)
        return {problem.kind for problem in self.problems} | ({FailureKind.MISMATCH} if mismatch else set())

    @property
    def wrong(self) -> list[str]:
        """The names of the wrong blocks."""
        return [finding.block for finding in self.findings if not finding.ok]


def compare_outputs(truth: Truth, outputs: Run) -> list[Finding]:
    """Compare each output, in the order of `run.OUTPUTS`, at the precision of its own dtype."""
    return [truth.compare(name, array) for name, array in in_order(outputs).items()]


def in_order(outputs: Run) -> dict[str, Array]:
    """Return the outputs in the order of `run.OUTPUTS`."""
    return {name: outputs[name] for name in OUTPUTS if name in outputs}


def trial_of(case: Case, seen: Observation, findings: Sequence[Finding] = ()) -> Trial:
    """Return the trial of a case.

    An exception on a run without steps, rows or inputs is a refusal and not a failure, because many correct
    implementations do not support empty runs. If the run is accepted, its outputs are judged.
    """
    if 0 in case.sizes and [problem.kind for problem in seen.problems] == [FailureKind.RAISES]:
        return Trial(case.id, refusal=seen.problems[0].text)
    return Trial(case.id, tuple(findings), seen.problems)


def judge_trial(case: Case, truth: Truth, seen: Observation) -> Trial:
    """Compare the outputs of a case with the truth."""
    return trial_of(case, seen, compare_outputs(truth, seen.outputs))


def judge_trials(known: Sequence[tuple[Case, Truth]], seen: Sequence[Observation]) -> list[Trial]:
    """Compare the outputs of many cases with their truths, in a fraction of the time of `judge_trial` for each."""
    findings = compare_many([truth for _, truth in known], [in_order(one.outputs) for one in seen])
    return [trial_of(case, one, found) for (case, _), one, found in zip(known, seen, findings, strict=True)]


def compare_many(
    truths: Sequence[Truth], runs: Sequence[Mapping[str, Array]], dtypes: Sequence[DType] | None = None
) -> list[list[Finding]]:
    """Compare the blocks of many runs as `Truth.compare` does, one block at a time for all runs of a batch.

    Args:
        truths: the truth of each run.
        runs: the blocks of each run, by name.
        dtypes: the precision at which each run is judged, or None for the precision of each array.
    """
    found: list[dict[str, Finding]] = [{} for _ in truths]
    by_batch = defaultdict(list)
    for k, (truth, blocks) in enumerate(zip(truths, runs, strict=True)):
        for name, got in blocks.items():
            dtype = dtypes[k] if dtypes else got.dtype
            if truth.batch is None or not truth.fits(name, got, dtype):
                found[k][name] = truth.compare(name, got, dtype)
            else:
                by_batch[truth.batch, name, dtype].append(k)
    for (batch, name, dtype), indices in by_batch.items():
        arrays, lanes = [runs[k][name] for k in indices], [truths[k].lane for k in indices]
        by_step = batch.units_by_step(name, lanes, arrays, dtype)
        worst, steps = by_step.max(axis=1).tolist(), by_step.argmax(axis=1).tolist()
        for k, units, step in zip(indices, worst, steps, strict=True):
            found[k][name] = Finding(name, units, truths[k].allowed(name, units), step if "T" in BLOCKS[name] else None)
    return [[by_name[name] for name in blocks] for by_name, blocks in zip(found, runs, strict=True)]


def first_error(truth: Truth, blocks: Mapping[str, Array], dtype: DType) -> Place | None:
    """Return the first wrong block in the order of computation, and its step; None if all blocks are right.

    In the forward pass, this is the first wrong value of the first wrong step; otherwise, in the backward pass, the
    first wrong edge of the last wrong step; otherwise the first wrong gradient.
    """
    wrong = [
        (name, int(step) if truth.has_steps(name, got, dtype) else None)
        for name, got in blocks.items()
        for step in np.flatnonzero(truth.units_by_step(name, got, dtype) > truth.tolerance(name))
    ]
    order = [*VALUES, "C_T", *DELTAS, *GRADIENTS]

    def position(place: Place) -> tuple[bool, float, int]:
        name, step = place
        if name in VALUES:
            return False, step or 0, order.index(name)
        return True, -step if step is not None else math.inf, order.index(name)

    return min(wrong, key=position, default=None)


def first_error_text(truth: Truth, blocks: Mapping[str, Array], dtype: DType) -> str:
    """Return the first error as text, such as "in the backward pass: dx at step 0"; empty if all blocks are right."""
    name, step = first_error(truth, blocks, dtype) or ("", None)
    if not name:
        return ""
    which_pass = "forward" if name in VALUES or name == "C_T" else "backward"
    return f"in the {which_pass} pass: {name}{'' if step is None else f' at step {step}'}"


def require_well_conditioned(truth: Truth, outputs: Mapping[str, Array]) -> None:
    """Raise ValueError if rounding in the precision of an output may change every digit of this run."""
    for name, array in outputs.items():
        if not truth.is_well_conditioned(array.dtype):
            raise ValueError(
                f"{name} cannot be judged: the run amplifies rounding errors in {array.dtype} too much (it is chaotic "
                "or near the end of the range); expected a run with fewer steps, or smaller weights or gradients"
            )
