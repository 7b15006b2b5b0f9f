"""The effect of a known mistake on the outputs of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import Bug, BugKind, ShapeMismatch
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import GRADIENTS, OUTPUTS, Array
from lstm_oracle.truth.truth import Truth

CLEAR = 10.0  # times the tolerance
STATES = OUTPUTS.keys() - GRADIENTS.keys()


@dataclass(frozen=True)
class Effect:
    """The outputs of a vector that a mistake changes."""

    outputs: tuple[str, ...]  # wrong by CLEAR tolerances or more
    borderline: tuple[str, ...]  # wrong by less, but by more than 1 / CLEAR tolerances: may show the mistake or not


def effect_of(bug: Bug, case: Case, truth: Truth) -> Effect | None:
    """Return the effect of a mistake on the outputs of a run, or None if a program with the mistake raises an error.

    The program computes in float64 in any case, so that its own rounding errors do not contribute.
    """
    inputs = {name: array.astype(np.float64) for name, array in case.inputs.items()}
    with np.errstate(all="ignore"):
        try:
            program = bug.unit(inputs)
            outputs = program.states() | program.gradients()
        except ShapeMismatch:
            return None
        ratios = {name: ratio(truth, name, np.asarray(outputs[name]), case) for name in OUTPUTS}
    return Effect(
        tuple(name for name, worst in ratios.items() if worst >= CLEAR),
        tuple(name for name, worst in ratios.items() if 1 / CLEAR < worst < CLEAR),
    )


def ratio(truth: Truth, name: str, output: Array, case: Case) -> float:
    """Return the worst error of an output, relative to the tolerance."""
    return float(np.max(truth.units(name, output, case.dtype), initial=0)) / truth.tolerance(name)


def is_exposed(bug: Bug, effect: Effect | None) -> bool:
    """Return whether an effect exposes its mistake; a mistake in the forward pass has to show in the states."""
    if effect is None:
        return False
    if bug.forward and bug.kind != BugKind.PRECISION:
        return not STATES.isdisjoint(effect.outputs)
    return bool(effect.outputs)
