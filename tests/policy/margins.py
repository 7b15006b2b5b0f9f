"""By how much the known mistakes exceed the tolerance, on runs as `lstm-oracle check` draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, BugKind, ShapeMismatch
from lstm_oracle.inputs.cases import Case, draw_case
from lstm_oracle.run import OUTPUTS, DType
from lstm_oracle.truth.truth import Truth, compute_losses, truths


@dataclass(frozen=True)
class Margin:
    """The errors of one mistake, on all runs whose sizes allow the mistake."""

    bug: Bug
    dtype: str
    runs: int
    shown: int  # the number of runs on which the error exceeds the tolerance
    largest: float  # the largest error on any run, relative to the tolerance
    median: float  # the median over the runs of the largest error, relative to the tolerance


def draw_runs(seed: int, count: int, dtype: DType) -> list[tuple[Case, Truth]]:
    """Draw so many runs; return those that are neither empty nor ill-conditioned, each with its truth."""
    cases = [draw_case(seed, number, dtype) for number in range(count)]
    found = truths(cases)
    compute_losses(found)
    known = zip(cases, found, strict=True)
    return [(case, truth) for case, truth in known if 0 not in case.sizes and truth.is_well_conditioned(dtype)]


def mistakes(dtype: DType) -> list[Bug]:
    """Return the catalogue for this precision: in float32, it is no mistake to compute in float32."""
    every = CATALOGUE.values()
    return [b for b in every if not (dtype == np.float32 and b.kind == BugKind.PRECISION and "float32" in b.id)]


def margin(bug: Bug, known: Sequence[tuple[Case, Truth]]) -> Margin | None:
    """Measure one mistake; return None if no run allows it, because the mistake requires two equal sizes."""
    ratios = []
    for case, truth in known:
        with np.errstate(all="ignore"):
            try:
                unit = bug.unit(case.inputs)
                outputs = unit.states() | unit.gradients()
            except ShapeMismatch:
                continue
            arrays = {name: np.asarray(outputs[name], case.dtype) for name in OUTPUTS}
            findings = [truth.compare(name, array) for name, array in arrays.items()]
            # A comparison may stop at a lower bound of the tolerance; here the tolerance itself counts.
            ratios.append(max(finding.units / truth.tolerance(finding.block) for finding in findings))
    if not ratios:
        return None
    shown = sum(not ratio <= 1 for ratio in ratios)
    return Margin(bug, known[0][0].dtype.name, len(ratios), shown, max(ratios), float(np.median(ratios)))


def mildest_first(margins: Iterable[Margin]) -> list[Margin]:
    """Return the margins, those with the smallest error first."""
    return sorted(margins, key=lambda margin: margin.largest)
