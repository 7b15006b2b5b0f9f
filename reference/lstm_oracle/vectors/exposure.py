"""What a mistake of the catalogue does to the outputs of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import Bug, ShapeMismatch
from lstm_oracle.diagnosis.fit import FORWARD
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import OUTPUTS
from lstm_oracle.truth.truth import Truth

CLEAR = 10.0


@dataclass(frozen=True)
class Effect:
    """What a mistake does to the outputs of a vector."""

    outputs: tuple[str, ...]  # wrong by `CLEAR` tolerances or more
    perhaps: tuple[str, ...]  # wrong by less, but by a tenth of a tolerance or more: these may show it or not


def effect_of(bug: Bug, case: Case, truth: Truth) -> Effect | None:
    """What a mistake does to a run's outputs; None where a program with it stops.

    The program computes in float64 whatever the run is in, so that its own rounding has no part in it.
    """
    inputs = {name: array.astype(np.float64) for name, array in case.inputs.items()}
    with np.errstate(all="ignore"):
        try:
            program = bug.unit(inputs)
            outputs = program.states() | program.gradients()
        except ShapeMismatch:
            return None
        worst = {
            name: float(np.max(truth.units(name, np.asarray(outputs[name]), case.dtype), initial=0))
            / truth.tolerance(name)
            for name in OUTPUTS
        }
    return Effect(
        tuple(name for name, ratio in worst.items() if ratio >= CLEAR),
        tuple(name for name, ratio in worst.items() if 1 / CLEAR < ratio < CLEAR),
    )


def shows(bug: Bug, effect: Effect | None) -> bool:
    """Whether a mistake is exposed; one of the forward pass, by the states alone."""
    if effect is None:
        return False
    by_states = bug.forward and bug.kind != "precision"
    return any(name in FORWARD or not by_states for name in effect.outputs)
