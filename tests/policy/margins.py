"""How far above the tolerance the known mistakes lie, on runs as `lstm-oracle check` draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from reference.oracle.bugs import CATALOGUE, Bug, Unfit
from reference.oracle.cases import Case, draw_case
from reference.oracle.findings import judge
from reference.oracle.truth import Truth, find_out, truths
from reference.run import OUTPUTS, DType


@dataclass(frozen=True)
class Margin:
    """One mistake, over all runs that it can be made on."""

    bug: Bug
    dtype: str
    runs: int
    wrong: int  # how many of them the tolerance tells from the right unit
    largest: float  # the worst error on any run, as a multiple of the tolerance
    median: float  # the same on the median run


def drawn(seed: int, count: int, dtype: DType) -> list[tuple[Case, Truth]]:
    """Runs in which there is something to mistake, with their truth."""
    cases = [draw_case(seed, number, dtype) for number in range(count)]
    found = truths(cases)
    find_out(found)
    known = zip(cases, found, strict=True)
    return [(case, truth) for case, truth in known if 0 not in case.sizes and truth.tells(dtype)]


def mistakes(dtype: DType) -> list[Bug]:
    """The catalogue, without what is no mistake in this precision: float32 in float32."""
    every = CATALOGUE.values()
    return [bug for bug in every if not (dtype == np.float32 and bug.kind == "precision" and "float32" in bug.id)]


def margin(bug: Bug, known: Sequence[tuple[Case, Truth]]) -> Margin | None:
    """Measure one mistake; None where it fits no run: a few need two equal sizes."""
    ratios = []
    for case, truth in known:
        with np.errstate(all="ignore"):
            try:
                program = bug.unit(case.inputs)
                outputs = program.states() | program.gradients()
            except Unfit:
                continue
            arrays = {name: np.asarray(outputs[name], case.dtype) for name in OUTPUTS}
            findings = judge(truth, arrays, case.dtype)
            # In full, however small the error.
            ratios.append(max(finding.units / truth.tolerances[finding.block] for finding in findings))
    if not ratios:
        return None
    wrong = sum(not ratio <= 1 for ratio in ratios)
    return Margin(bug, known[0][0].dtype.name, len(ratios), wrong, max(ratios), float(np.median(ratios)))


def mildest_first(margins: Iterable[Margin]) -> list[Margin]:
    return sorted(margins, key=lambda margin: margin.largest)
