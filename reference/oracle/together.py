"""Many runs judged together: the findings are those of one by one, in a small part of the time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from reference.oracle.behaviour import Observation
from reference.oracle.cases import Case
from reference.oracle.findings import Finding, judge
from reference.oracle.trial import Trial, in_order, trial
from reference.oracle.truth import BLOCKS, Truth
from reference.run import Array, DType


def all_judged(known: Sequence[tuple[Case, Truth]], seen: Sequence[Observation]) -> list[Trial]:
    """`trial.judged` for many cases."""
    found = judge_together([truth for _, truth in known], [in_order(one.outputs) for one in seen])
    return [trial(case, one, by_block) for (case, _), one, by_block in zip(known, seen, found, strict=True)]


def judge_together(
    truths: Sequence[Truth], runs: Sequence[Mapping[str, Array]], dtypes: Sequence[DType] | None = None
) -> list[list[Finding]]:
    """`findings.judge` for many runs. Without `dtypes` each array is judged in the precision of its own."""
    found: list[dict[str, Finding]] = [{} for _ in truths]
    together = defaultdict(list)
    for k, (truth, outputs) in enumerate(zip(truths, runs, strict=True)):
        for block, got in outputs.items():
            dtype = dtypes[k] if dtypes else got.dtype
            if truth.batch is None or got.dtype != dtype or got.shape != truth.blocks[block].shape:
                (found[k][block],) = judge(truth, {block: got}, dtype)
            else:
                together[truth.batch, block, dtype].append(k)
    for (batch, block, dtype), numbers in together.items():
        arrays, lanes = [runs[k][block] for k in numbers], [truths[k].lane for k in numbers]
        by_step = batch.units(block, lanes, arrays, dtype)
        worst, steps = by_step.max(axis=1).tolist(), by_step.argmax(axis=1).tolist()
        timed = "T" in BLOCKS.get(block, "")
        for k, units, step in zip(numbers, worst, steps, strict=True):
            found[k][block] = Finding(block, units, truths[k].allowed(block, units), step if timed else None)
    return [[by_block[block] for block in outputs] for by_block, outputs in zip(found, runs, strict=True)]
