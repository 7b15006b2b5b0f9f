"""How far above the tolerance the known mistakes lie, on runs as `lstm-oracle check` draws them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, ShapeMismatch
from lstm_oracle.inputs.cases import Case, draw_case
from lstm_oracle.run import OUTPUTS, DType
from lstm_oracle.truth.truth import Truth, compute_losses, truths


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
    compute_losses(found)
    known = zip(cases, found, strict=True)
    return [(case, truth) for case, truth in known if 0 not in case.sizes and truth.is_well_conditioned(dtype)]


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
            except ShapeMismatch:
                continue
            arrays = {name: np.asarray(outputs[name], case.dtype) for name in OUTPUTS}
            findings = [truth.compare(name, array) for name, array in arrays.items()]
            # In full, however small the error.
            ratios.append(max(finding.units / truth.tolerance(finding.block) for finding in findings))
    if not ratios:
        return None
    wrong = sum(not ratio <= 1 for ratio in ratios)
    return Margin(bug, known[0][0].dtype.name, len(ratios), wrong, max(ratios), float(np.median(ratios)))


def mildest_first(margins: Iterable[Margin]) -> list[Margin]:
    return sorted(margins, key=lambda margin: margin.largest)
