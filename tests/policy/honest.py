"""Honest implementations, the runs that they are judged on, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

import numpy as np

from lstm_oracle.autodiff import lstm
from lstm_oracle.inputs.cases import REGIMES, Case, draw_case, draw_inputs
from lstm_oracle.run import Array, DType
from lstm_oracle.truth.batch import evaluate
from lstm_oracle.truth.truth import compute_losses, truths
from lstm_oracle.verify import ours, theirs
from lstm_oracle.verify.verify import SUBJECTS
from manual import derivation

DTYPES = np.dtype(np.float64), np.dtype(np.float32)
LONG = 400, 2, 3, 5  # beyond what `draw_case` draws
AMPLIFYING: Any = "amplifying"  # and so is this regime
CHUNK = 512  # fills the lanes of what JAX compiles
Outputs = dict[str, Array]
Subject = Callable[[Sequence[Case]], Sequence[Outputs | None]]


@dataclass(frozen=True)
class Judged:
    """One run of an honest implementation."""

    who: str
    dtype: str
    regime: str
    ratio: float  # its worst error, as a multiple of the tolerance
    units: float
    place: str  # run and block, in words


def judge_all(subjects: Mapping[str, Subject], cases: Sequence[Case]) -> tuple[list[Judged], int]:
    """What comes of these runs, and how many were left out: those that the judge refuses."""
    known, judged, refused = truths(cases), [], 0
    compute_losses(known)
    for who, subject in subjects.items():
        for case, truth, outputs in zip(cases, known, subject(cases), strict=True):
            if outputs is None:
                continue
            if not truth.is_well_conditioned(case.dtype):
                refused += 1
                continue
            # In full, however small the error.
            compared = (truth.compare(name, array, case.dtype) for name, array in outputs.items())
            found = [replace(one, tolerance=truth.tolerance(one.block)) for one in compared]
            worst = max(found, key=lambda finding: finding.ratio)
            place = f"{case}, {worst.block}: {worst.units:.1f} of {worst.tolerance:.1f} units"
            judged.append(Judged(who, case.dtype.name, case.regime, worst.ratio, worst.units, place))
    return judged, refused


def chunks(seed: int, runs: int) -> Iterator[list[Case]]:
    """The runs, in lists of one dtype."""
    for first in range(0, runs, CHUNK):
        numbers = range(first, min(first + CHUNK, runs))
        for turn, dtype in enumerate(DTYPES):
            yield [draw(seed, number, dtype) for number in numbers if number // len(REGIMES) % 2 == turn]


def draw(seed: int, number: int, dtype: DType) -> Case:
    """A run as `draw_case` draws it; one of sixteen is long instead, and one amplifies errors."""
    rng = np.random.default_rng([seed, number])
    if number % 16 == 0:
        regime = REGIMES[number % len(REGIMES)]
        return Case(number, regime, draw_inputs(rng, LONG, regime, dtype))
    if number % 16 == 8:
        return amplifying(rng, number, dtype)
    return draw_case(seed, number, dtype)


def amplifying(rng: np.random.Generator, number: int, dtype: DType) -> Case:
    """A run of recurrent weights so large that errors may grow from step to step."""
    T, B, H = rng.integers([20, 1, 4], [71, 4, 11])
    inputs, times = draw_inputs(rng, (int(T), int(B), 3, int(H)), "ordinary", dtype), rng.uniform(1.5, 14)
    larger = {name: array * dtype.type(times) for name, array in inputs.items() if name[0] == "W"}
    return Case(number, AMPLIFYING, inputs | larger)


def subjects() -> dict[str, Subject]:
    """Whoever is honest, by name; PyTorch where it is installed."""
    more = {
        "bptt, sigmoid by tanh": lambda cases: [sigmoid_by_tanh(case) for case in cases],
        "JAX": lambda cases: evaluate(theirs.by_autodiff(lstm.unroll), cases, cases[0].dtype),
    }
    if find_spec("torch"):
        from lstm_oracle.candidates.packages import torch

        more["PyTorch"] = lambda cases: [None if 0 in case.sizes else torch.lstm(**case.inputs) for case in cases]
    return SUBJECTS | more


def sigmoid_by_tanh(case: Case) -> Outputs:
    """The unit with another form of the sigmoid."""
    with patch.object(derivation, "sigmoid", lambda z: (1 + np.tanh(z / 2)) / 2):
        return ours.bptt_blocks(case)
