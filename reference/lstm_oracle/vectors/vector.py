"""The test vectors, and the runs from which they are made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lstm_oracle.certified.certificate import rounded
from lstm_oracle.diagnosis.bugs import CATALOGUE
from lstm_oracle.inputs.cases import Case, Regime, Sizes, draw_case
from lstm_oracle.run import OUTPUTS, Array, DType
from lstm_oracle.truth.truth import Truth, truths
from lstm_oracle.vectors.exposure import Effect, effect_of

SEED = 0
DTYPES: tuple[DType, ...] = (np.dtype(np.float64), np.dtype(np.float32))

Group = Literal["minimal", "diagnostic"]
Draw = tuple[int, Sizes, Regime]  # the number of a run, its sizes T, B, D, H, and its regime
Draws = Mapping[Group, tuple[Draw, ...]]
DRAWS: Draws = {
    # One vector is enough. Its sizes are the smallest possible: exchanged axes must fit (T = B, D = H), backpropagation
    # truncated after 4 steps needs 5 steps, and a transposed matrix needs 2 rows. With forget gates near 1, the cell
    # state exceeds 3, beyond which some programs clip it.
    "minimal": ((38, (5, 5, 2, 2), "remembering"),),
    "diagnostic": (
        (0, (1, 1, 1, 1), "ordinary"),
        (0, (1, 2, 3, 4), "ordinary"),
        (2, (4, 1, 2, 3), "ordinary"),
        (0, (5, 2, 3, 4), "ordinary"),
        (1, (4, 2, 3, 5), "plain"),
        (76, (4, 2, 3, 5), "ordinary"),
        (68, (4, 2, 3, 5), "ordinary"),
        (299, (4, 2, 3, 5), "ordinary"),
        (51, (4, 2, 3, 5), "ordinary"),
        (2, (5, 2, 3, 4), "saturated"),
        (2, (12, 1, 2, 3), "remembering"),
        (1, (3, 2, 1, 4), "large"),
        (1, (3, 2, 1, 4), "tiny"),
    ),
}


@dataclass(frozen=True)
class Vector:
    """A run with certified outputs."""

    group: Group
    case: Case
    expected: dict[str, Array]  # every output, correctly rounded to the dtype of the run
    tolerances: dict[str, list[float]]  # the absolute error allowed: for each step of an output with steps, else one
    effects: dict[str, Effect]  # by the id of the mistake
    raising: tuple[str, ...]  # the mistakes with which a program raises an error on these sizes


def vectors(dtype: DType, draws: Draws = DRAWS) -> list[Vector]:
    """Return the vectors of one dtype, in order."""
    groups = [group for group, some in draws.items() for _ in some]
    known = drawn([draw for some in draws.values() for draw in some], dtype)
    return [vector_of(group, case, truth) for group, (case, truth) in zip(groups, known, strict=True)]


def drawn(draws: Sequence[Draw], dtype: DType) -> list[tuple[Case, Truth]]:
    """Return the case of each draw, with its truth."""
    cases = [draw_case(SEED, number, dtype, sizes, regime) for number, sizes, regime in draws]
    return [*zip(cases, truths(cases), strict=True)]


def vector_of(group: Group, case: Case, truth: Truth) -> Vector:
    """Return the vector of a case: its certified outputs, their tolerances, and the effect of every known mistake."""
    certified = rounded(case.inputs)
    effects = {bug.id: effect_of(bug, case, truth) for bug in CATALOGUE.values()}
    return Vector(
        group,
        case,
        expected={name: certified[name] for name in OUTPUTS},
        tolerances={name: absolute_tolerances(truth, name, case.dtype) for name in OUTPUTS},
        effects={name: effect for name, effect in effects.items() if effect and (effect.outputs or effect.borderline)},
        raising=tuple(name for name, effect in effects.items() if effect is None),
    )


def absolute_tolerances(truth: Truth, name: str, dtype: DType) -> list[float]:
    """Return the absolute error that an output may have, at each step or as a whole, rounded to three digits."""
    return [float(f"{limit:.2e}") for limit in np.ravel(truth.absolute_tolerance(name, dtype))]
