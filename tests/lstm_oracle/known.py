"""Runs with their truth, and the outputs of units with mistakes on them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lstm_oracle.diagnosis.bugs import ShapeMismatch, Unit
from lstm_oracle.diagnosis.evidence import Evidence
from lstm_oracle.inputs.cases import Case, draw_inputs
from lstm_oracle.run import Array, DType
from lstm_oracle.truth.truth import Losses, Truth, truths

FLOAT64 = np.dtype(np.float64)
FLOAT32 = np.dtype(np.float32)
SIZES = ((3, 2, 5, 4), (5, 3, 4, 6), (4, 4, 5, 5))  # the last for mistakes that need D = H or T = B
Known = list[tuple[Case, Truth]]


def known_runs(dtype: DType = FLOAT64, sizes: Iterable[tuple[int, int, int, int]] = SIZES) -> Known:
    """Return ordinary runs of these sizes (T, B, D, H), none of whose inputs is zero, with their truth."""
    cases = []
    for number, size in enumerate(sizes):
        inputs = draw_inputs(np.random.default_rng([number, 7]), size, "ordinary", FLOAT64)
        rng = np.random.default_rng([number, 8])
        for name in ("b_f", "b_i", "b_g", "b_o", "h0", "C0", "dh", "dh_T", "dC_T"):
            inputs[name] = 2 * rng.normal(size=inputs[name].shape)  # large enough to be clipped
        cases.append(Case(number, "ordinary", {name: array.astype(dtype) for name, array in inputs.items()}))
    return [*zip(cases, truths(cases), strict=True)]


def truth_of_losses(
    case: Case, losses: Losses, blocks: Mapping[str, Array] = {}, scales: Mapping[str, Array] = {}
) -> Truth:
    """Return a truth whose measured losses are these."""
    return Truth(case, case.sizes, blocks, scales, _own_losses=losses, _losses=losses)


def outputs_of(unit: type[Unit], inputs: dict[str, Array]) -> dict[str, Array] | None:
    """Return the outputs of a unit, or None if these sizes do not allow its mistake."""
    with np.errstate(all="ignore"):
        try:
            instance = unit(inputs)
            return {name: np.array(a) for name, a in (instance.states() | instance.gradients()).items()}
        except ShapeMismatch:
            return None


def evidence_of(unit: type[Unit], known: Known, names: Iterable[str] | None = None) -> list[Evidence]:
    """Return all outputs of a unit, or those with these names, on every run whose sizes allow its mistake."""
    found = []
    for case, truth in known:
        outputs = outputs_of(unit, case.inputs)
        if outputs is not None:
            chosen = {name: outputs[name] for name in (outputs if names is None else names)}
            found.append(Evidence(case.inputs, truth, chosen, case.dtype))
    return found
