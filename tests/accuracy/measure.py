"""Measures the rounding errors of both twins and of autodiff against certified truth, on the same runs.

All inputs are representable in float32, so that both precisions have the same truth. An error is the exact difference
from a value that is enclosed to 25 digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import numpy as np
from flint import arb

from lstm_oracle import autodiff
from lstm_oracle.certified.certificate import enclosed
from lstm_oracle.certified.series import precision
from lstm_oracle.inputs.cases import REGIMES, Case, Regime, draw_inputs
from lstm_oracle.truth import tolerance
from lstm_oracle.verify.twins import bptt_blocks, fused_blocks
from manual import derivation

DTYPES = np.dtype(np.float32), np.dtype(np.float64)
SUBJECTS = "bptt", "fused", "JAX"
LENGTHS = {1: 20, 3: 20, 10: 20, 30: 12, 100: 6, 300: 4, 1000: 3}  # T, and how many runs of each regime
D, H = 3, 4
ROWS = 2, 1  # B, in turn, because `manual.fused` has another kernel for one sequence

FORMS = {  # of the sigmoid
    "1 / (1 + exp(-z))": lambda z: 1 / (1 + np.exp(-z)),
    "(1 + tanh(z / 2)) / 2": lambda z: (1 + np.tanh(z / 2)) / 2,
    "jax.nn.sigmoid": lambda z: np.asarray(jax.nn.sigmoid(z))[()],
}


@dataclass(frozen=True)
class Exact:
    """A block of the truth, each entry as the nearest float64 and the remainder."""

    nearest: np.ndarray
    remainder: np.ndarray

    @classmethod
    def of(cls, balls: np.ndarray) -> Exact:
        with precision(2048):  # the difference is exact
            nearest = np.frompyfunc(lambda number: float(arb(number).mid()), 1, 1)(balls)
            remainder = np.frompyfunc(lambda number, near: float((arb(number) - near).mid()), 2, 1)(balls, nearest)
        return cls(np.asarray(nearest, float), np.asarray(remainder, float))

    def error(self, got: np.ndarray) -> np.ndarray:
        return np.abs((got.astype(float) - self.nearest) - self.remainder)


@dataclass(frozen=True)
class Error:
    """The error of one implementation in one block of one run."""

    subject: str
    dtype: str
    regime: Regime
    T: int
    run: int
    block: str
    units: float  # of the worst entry, in eps · scale
    norm: float  # ‖error‖ / ‖truth‖, in eps
    ulps: float  # of the median entry, in units in the last place
    worst_ulps: float


def measure(lengths: dict[int, int] = LENGTHS) -> Iterator[list[Error]]:
    """Yield the errors of all implementations, run by run."""
    for T, runs in lengths.items():
        for regime in REGIMES:
            for run in range(runs):
                rng = np.random.default_rng([T, REGIMES.index(regime), run])
                inputs = draw_inputs(rng, (T, ROWS[run % 2], D, H), regime, DTYPES[0])
                yield list(errors(inputs, regime, T, run))


def errors(inputs: dict[str, np.ndarray], regime: Regime, T: int, run: int) -> Iterator[Error]:
    """Yield the errors of all implementations on one run, block by block."""
    truth = {name: Exact.of(balls) for name, balls in enclosed(inputs, digits=25).items()}
    in_64 = {name: array.astype(float) for name, array in inputs.items()}
    scales = tolerance.scales(in_64, {name: exact.nearest for name, exact in truth.items()})
    for dtype in DTYPES:
        case = Case(run, regime, {name: array.astype(dtype) for name, array in inputs.items()})
        for subject, outputs in zip(SUBJECTS, (bptt_blocks(case), fused_blocks(case), jax_blocks(case)), strict=True):
            for block, got in outputs.items():
                error, size = truth[block].error(got), np.abs(truth[block].nearest)
                if not np.any(size):
                    continue
                ulps = error / np.spacing(size.astype(dtype)).astype(float)
                eps = float(np.finfo(dtype).eps)
                yield Error(
                    subject=subject,
                    dtype=dtype.name,
                    regime=regime,
                    T=T,
                    run=run,
                    block=block,
                    units=float(tolerance.units(error, scales[block], dtype).max()),
                    norm=float(np.linalg.norm(error / size.max()) / np.linalg.norm(size / size.max()) / eps),
                    ulps=float(np.median(ulps[size > 0])),
                    worst_ulps=float(ulps.max()),
                )


def jax_blocks(case: Case) -> dict[str, np.ndarray]:
    """Return states, edges and gradients by autodiff."""
    run = case.inputs
    weights = {name: array for name, array in run.items() if name[:2] in ("W_", "U_", "b_")}
    arguments = weights, run["x"], run["h0"], run["C0"]
    upstream = {name: run[name] for name in ("dh", "dh_T", "dC_T")}
    h, C = autodiff.forward(*arguments)
    deltas = autodiff.deltas(*arguments, **upstream)
    edges = {f"δ{n}": np.stack([δ[n] for δ in deltas]) for n in range(1, 27)}
    return {"h": h, "C": C} | edges | autodiff.backward(*arguments, **upstream)


def sigmoid_errors(z: float, dtype: np.dtype) -> dict[str, tuple[float, float]]:
    """Return the relative errors, in eps, of each form y of the sigmoid at z, and of the derivative y (1 - y)."""
    z = dtype.type(z)
    with np.errstate(over="ignore", invalid="ignore"), precision(4096), jax.enable_x64(True):
        true = 1 / (1 + (-arb(float(z))).exp())

        def relative(got: float, true: arb) -> float:
            return float((abs(arb(float(got)) - true) / true).mid()) / float(np.finfo(dtype).eps)

        values = {name: form(z) for name, form in FORMS.items()}
        return {
            name: (relative(y, true), relative(derivation.dsigmoid(y), true * (1 - true))) for name, y in values.items()
        }
