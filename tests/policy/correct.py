"""Correct implementations, and their errors on drawn runs."""

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
from lstm_oracle.verify import others, twins
from lstm_oracle.verify.verify import SUBJECTS
from manual import derivation

DTYPES = np.dtype(np.float64), np.dtype(np.float32)
LONG_SIZES = 400, 2, 3, 5  # T, B, D, H: more steps than `draw_case` draws
AMPLIFYING: Any = "amplifying"  # a regime that `draw_case` does not draw
CHUNK = 512  # cases that are judged together, to fill the lanes of the compiled functions
Outputs = dict[str, Array]
Subject = Callable[[Sequence[Case]], Sequence[Outputs | None]]  # None: a case that is not supported


@dataclass(frozen=True)
class JudgedRun:
    """The worst error of a correct implementation on one run."""

    subject: str
    dtype: str
    regime: str
    ratio: float  # the worst error, relative to the tolerance
    units: float  # the worst error, in units of rounding
    place: str  # the run and the block, for people


def judge_all(subjects: Mapping[str, Subject], cases: Sequence[Case]) -> tuple[list[JudgedRun], int]:
    """Judge every subject on every case; also return how many of these runs were left out as ill-conditioned."""
    known, judged, ill_conditioned = truths(cases), [], 0
    compute_losses(known)
    for name, subject in subjects.items():
        for case, truth, outputs in zip(cases, known, subject(cases), strict=True):
            if outputs is None:
                continue
            if not truth.is_well_conditioned(case.dtype):
                ill_conditioned += 1
                continue
            # A comparison may stop at a lower bound of the tolerance; here the tolerance itself counts.
            compared = (truth.compare(block, array, case.dtype) for block, array in outputs.items())
            findings = [replace(finding, tolerance=truth.tolerance(finding.block)) for finding in compared]
            worst = max(findings, key=lambda finding: finding.ratio)
            place = f"{case}, {worst.block}: {worst.units:.1f} units, of {worst.tolerance:.1f} allowed"
            judged.append(JudgedRun(name, case.dtype.name, case.regime, worst.ratio, worst.units, place))
    return judged, ill_conditioned


def chunks(seed: int, runs: int) -> Iterator[list[Case]]:
    """Draw so many runs, and yield them in lists of one dtype each."""
    for first in range(0, runs, CHUNK):
        numbers = range(first, min(first + CHUNK, runs))
        for turn, dtype in enumerate(DTYPES):
            yield [draw(seed, number, dtype) for number in numbers if number // len(REGIMES) % 2 == turn]


def draw(seed: int, number: int, dtype: DType) -> Case:
    """Draw a run as `draw_case` does; but one in sixteen is long, and one in sixteen amplifies errors."""
    rng = np.random.default_rng([seed, number])
    if number % 16 == 0:
        regime = REGIMES[number % len(REGIMES)]
        return Case(number, regime, draw_inputs(rng, LONG_SIZES, regime, dtype))
    if number % 16 == 8:
        return draw_amplifying(rng, number, dtype)
    return draw_case(seed, number, dtype)


def draw_amplifying(rng: np.random.Generator, number: int, dtype: DType) -> Case:
    """Draw a run with recurrent weights so large that errors may grow from step to step."""
    T, B, H = rng.integers([20, 1, 4], [71, 4, 11])
    inputs, factor = draw_inputs(rng, (int(T), int(B), 3, int(H)), "ordinary", dtype), rng.uniform(1.5, 14)
    large = {name: array * dtype.type(factor) for name, array in inputs.items() if name[0] == "W"}
    return Case(number, AMPLIFYING, inputs | large)


def subjects() -> dict[str, Subject]:
    """Return the correct implementations by name: those of `verify` and more, with PyTorch if it is installed."""
    more: dict[str, Subject] = {
        "bptt, sigmoid by tanh": lambda cases: [blocks_with_sigmoid_by_tanh(case) for case in cases],
        "JAX": lambda cases: evaluate(others.by_autodiff(lstm.unroll), cases, cases[0].dtype),
    }
    if find_spec("torch"):
        from lstm_oracle.candidates.packages import torch  # loaded only if it is installed

        more["PyTorch"] = lambda cases: [None if 0 in case.sizes else torch.lstm(**case.inputs) for case in cases]
    return SUBJECTS | more


def blocks_with_sigmoid_by_tanh(case: Case) -> Outputs:
    """Return the blocks of `manual.bptt` with another legitimate form of the sigmoid."""
    with patch.object(derivation, "sigmoid", lambda z: (1 + np.tanh(z / 2)) / 2):
        return twins.bptt_blocks(case)
