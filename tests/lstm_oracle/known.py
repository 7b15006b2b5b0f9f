"""Runs with their truth, and what a program with mistakes gives on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lstm_oracle.diagnosis.bugs import Unfit, Unit
from lstm_oracle.diagnosis.fit import Evidence
from lstm_oracle.inputs.cases import Case, draw_inputs
from lstm_oracle.run import Array, DType
from lstm_oracle.truth.truth import Losses, Truth, truths

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
SIZES = ((3, 2, 5, 4), (5, 3, 4, 6), (4, 4, 5, 5))  # the last one for what needs D = H, or T = B
Known = list[tuple[Case, Truth]]


def known_runs(dtype: DType = FLOAT64, sizes: Iterable[tuple[int, int, int, int]] = SIZES) -> Known:
    """Ordinary runs in which nothing vanishes."""
    cases = []
    for number, size in enumerate(sizes):
        inputs = draw_inputs(np.random.default_rng([number, 7]), size, "ordinary", FLOAT64)
        rng = np.random.default_rng([number, 8])
        for name in ("b_f", "b_i", "b_g", "b_o", "h0", "C0", "dh", "dh_T", "dC_T"):
            inputs[name] = 2 * rng.normal(size=inputs[name].shape)  # of a size that shows clipping
        cases.append(Case(number, "ordinary", {name: array.astype(dtype) for name, array in inputs.items()}))
    return [*zip(cases, truths(cases), strict=True)]


def truth_of_losses(
    case: Case, losses: Losses, blocks: Mapping[str, Array] = {}, scales: Mapping[str, Array] = {}
) -> Truth:
    """A truth that loses so many units of rounding of each block."""
    truth = Truth(case, case.sizes, blocks, scales)
    vars(truth).update(own_losses=losses, losses=losses)
    return truth


def outputs_of(unit: type[Unit], inputs: dict[str, Array]) -> dict[str, Array] | None:
    """What a program gives; None where it stops with an error."""
    with np.errstate(all="ignore"):
        try:
            program = unit(inputs)
            return {name: np.array(a) for name, a in (program.states() | program.gradients()).items()}
        except Unfit:
            return None


def evidence_of(unit: type[Unit], known: Known, names: Iterable[str] | None = None) -> list[Evidence]:
    """What a program gives on every run that it takes, all of it or these outputs."""
    found = []
    for case, truth in known:
        outputs = outputs_of(unit, case.inputs)
        if outputs is not None:
            chosen = {name: outputs[name] for name in (outputs if names is None else names)}
            found.append(Evidence(case.inputs, truth, chosen, case.dtype))
    return found
