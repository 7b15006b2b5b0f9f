"""Helpers that observe one call of an adapter, on a small run without zeros."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lstm_oracle.candidates.observer import Observation
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.run import OUTPUTS, Array
from tests.strategies import without_zeros

RUN = without_zeros((2, 1, 3, 4)).inputs
SIZES = {"T": 2, "B": 1, "D": 3, "H": 4}


def right(*names: str, dtype: Any = np.float64) -> dict[str, Array]:
    """Outputs of the right shapes; h and dx if none is named."""
    return {name: np.full([SIZES[dim] for dim in OUTPUTS[name]], 0.5, dtype) for name in names or ("h", "dx")}


def observe(adapter: Callable[..., Any], layout: str = "manual", times: int = 1, run: Any = RUN) -> Observation:
    """The observation of the last of these calls."""
    with open_candidate(adapter, layout=layout) as candidate:
        return [candidate(run) for _ in range(times)][-1]


def problems(observation: Observation) -> list[tuple[str, str]]:
    return [(problem.kind, problem.text) for problem in observation.problems]


def problems_of(act: Callable[[Any], object], layout: str = "manual", times: int = 1) -> list[tuple[str, str]]:
    """The problems of an adapter that does this with its inputs and then returns right outputs."""

    def adapter(**run: Any) -> dict[str, Array]:
        act(run)
        return right()

    return problems(observe(adapter, layout, times))
