"""A vector, and which there are."""

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

Group = Literal["minimal", "telling"]
Draw = tuple[int, Sizes, Regime]  # its number, its sizes T, B, D, H, its regime
Draws = Mapping[Group, tuple[Draw, ...]]
DRAWS: Draws = {
    # One is enough, of the least sizes: axes that are taken for each other must fit (T = B, D = H), back-propagation
    # cut off after 4 steps needs 5, and a transposed matrix 2 rows. The forget gates near 1 let the cell grow beyond 3.
    "minimal": ((38, (5, 5, 2, 2), "remembering"),),
    "telling": (
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
    """A run with its certified outputs."""

    group: Group
    case: Case
    expected: dict[str, Array]
    tolerances: dict[str, list[float]]  # per step for what has steps, else one number
    effects: dict[str, Effect]  # by the id of the mistake
    stops: tuple[str, ...]  # the mistakes with which a program stops on these sizes


def vectors(dtype: DType, draws: Draws = DRAWS) -> list[Vector]:
    """The vectors of one dtype, in order."""
    groups = [group for group, some in draws.items() for _ in some]
    known = drawn([draw for some in draws.values() for draw in some], dtype)
    return [_vector(group, *run) for group, run in zip(groups, known, strict=True)]


def drawn(draws: Sequence[Draw], dtype: DType) -> list[tuple[Case, Truth]]:
    """The case of each draw, with its truth."""
    cases = [draw_case(SEED, number, dtype, sizes, regime) for number, sizes, regime in draws]
    return [*zip(cases, truths(cases), strict=True)]


def _vector(group: Group, case: Case, truth: Truth) -> Vector:
    certain = rounded(case.inputs)
    found = {bug.id: effect_of(bug, case, truth) for bug in CATALOGUE.values()}
    return Vector(
        group,
        case,
        expected={name: certain[name] for name in OUTPUTS},
        tolerances={name: allowed(truth, name, case.dtype) for name in OUTPUTS},
        effects={name: effect for name, effect in found.items() if effect and (effect.outputs or effect.perhaps)},
        stops=tuple(name for name, effect in found.items() if effect is None),
    )


def allowed(truth: Truth, name: str, dtype: DType) -> list[float]:
    """The absolute error that an output may have: at each step, or anywhere."""
    limits = truth.absolute_tolerance(name, dtype)
    return [float(f"{limit:.2e}") for limit in np.ravel(limits)]
