"""Test vectors: runs with their certified outputs, for those who cannot run Python.

A vector holds the complete inputs of a run in one dtype, float64 or float32, every output that
`reference.run` names, correctly rounded from certified truth, and how far from it an honest
implementation may be: absolute numbers from the one policy (`reference.oracle.tolerance`), to three
digits, so that a reader needs a subtraction and a comparison alone.

Which vectors there are is data: `DRAWS`, each drawn by its number, sizes and regime. The first group
is the smallest set that exposes every mistake of the catalogue; `make vectors` computes it again, by
an integer program over thousands of drawn runs. The second holds what is simple or extreme by itself,
so that the vectors that fail, and those that do not, tell where to look. Why a vector is there, and
which mistakes it exposes in which outputs, is computed from its run.

A mistake is exposed by an output that it makes wrong by `CLEAR` tolerances, so that no platform's
rounding hides it. In the smallest set one of the forward pass must show in the states, however the
gradients are made; and to stop, as a program may whose axes do not fit each other, is not enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from reference.certified import rounded
from reference.oracle.bugs import CATALOGUE, Bug, Unfit
from reference.oracle.cases import Case, Regime, Sizes, draw_case
from reference.oracle.fit import FORWARD
from reference.oracle.tolerance import unit
from reference.oracle.truth import Truth, truths
from reference.run import OUTPUTS, Array, DType

SEED = 0
CLEAR = 10.0
DTYPES: tuple[DType, ...] = (np.dtype(np.float64), np.dtype(np.float32))

Group = Literal["minimal", "telling"]
Draw = tuple[int, Sizes, Regime]  # its number, its sizes T, B, D, H, its regime
Draws = Mapping[Group, tuple[Draw, ...]]
DRAWS: Draws = {
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
class Flag:
    """Why a vector is there."""

    applies: Callable[[Case], bool]
    kind: Literal["basic", "edge", "range"]
    description: str
    effect: str  # what it means that such a vector fails, or that it does not


def _zero(case: Case, *names: str) -> bool:
    return not any(case.inputs[name].any() for name in names)


FLAGS = {
    "OneOfEach": Flag(
        lambda case: case.sizes == (1, 1, 1, 1),
        "basic",
        "T = B = D = H = 1: every array holds one number",
        "A failure can be followed by hand; mistakes of layout, of sums and of time cannot show.",
    ),
    "OneStep": Flag(
        lambda case: case.sizes[0] == 1,
        "basic",
        "T = 1: nothing is carried from step to step",
        "A failure lies within the step; where longer vectors alone fail, it lies in what is carried.",
    ),
    "OneRow": Flag(
        lambda case: case.sizes[1] == 1,
        "basic",
        "B = 1: there is no sum over the batch",
        "Where vectors with more rows alone fail, the sum over the batch is wrong, or rows are mixed.",
    ),
    "SizesDiffer": Flag(
        lambda case: len(set(case.sizes)) == 4,
        "basic",
        "T, B, D and H are four different numbers",
        "Axes that are taken for each other do not fit.",
    ),
    "EqualSizes": Flag(
        lambda case: case.sizes[0] == case.sizes[1] > 1 and case.sizes[2] == case.sizes[3] > 1,
        "edge",
        "T = B and D = H: axes that are taken for each other fit",
        "Such a mistake stops no program, and shows in the numbers alone.",
    ),
    "NoBias": Flag(
        lambda case: _zero(case, "b_f", "b_i", "b_g", "b_o"),
        "edge",
        "all biases are zero",
        "Where vectors with a bias alone fail, the bias is wrong.",
    ),
    "ZeroStates": Flag(
        lambda case: _zero(case, "h0", "C0"),
        "edge",
        "h0 and C0 are zero",
        "Where vectors with initial states alone fail, these are ignored or exchanged.",
    ),
    "OnlyDh": Flag(
        lambda case: _zero(case, "dh_T", "dC_T"),
        "edge",
        "the loss gradient arrives at the outputs h alone",
        "A failure lies elsewhere than in how dh_T and dC_T are taken.",
    ),
    "OnlyDhT": Flag(
        lambda case: _zero(case, "dh", "dC_T"),
        "edge",
        "the loss gradient arrives at the last h alone",
        "All gradients zero: dh_T is dropped.",
    ),
    "OnlyDCT": Flag(
        lambda case: _zero(case, "dh", "dh_T"),
        "edge",
        "the loss gradient arrives at the last C alone",
        "All gradients zero: dC_T is dropped, or not carried.",
    ),
    "Saturated": Flag(
        lambda case: case.regime == "saturated",
        "range",
        "biases of ±20 drive half of the gates to 0 or 1",
        "Not a number: the sigmoid overflows.",
    ),
    "Remembering": Flag(
        lambda case: case.regime == "remembering",
        "range",
        "forget gates near 1: the cell state grows over the steps, and its gradient reaches the first",
        "Where this alone fails, the cell state or its gradient is bounded or cut off.",
    ),
    "Large": Flag(
        lambda case: case.regime == "large",
        "range",
        "the loss gradient is of the order of 1e6",
        "Where this alone fails, gradients are clipped.",
    ),
    "Tiny": Flag(
        lambda case: case.regime == "tiny",
        "range",
        "the loss gradient is of the order of 1e-6",
        "Where this alone fails, small gradients are taken for zero, or a constant is added.",
    ),
}


@dataclass(frozen=True)
class Effect:
    """What a mistake does to the outputs of a vector."""

    outputs: tuple[str, ...]  # wrong by `CLEAR` tolerances or more
    perhaps: tuple[str, ...]  # wrong by less, or by rounding: these may show it or not


@dataclass(frozen=True)
class Vector:
    """A run with its certified outputs."""

    group: Group
    case: Case
    expected: dict[str, Array]
    tolerances: dict[str, list[float]]  # per step for what has steps, else one number
    effects: dict[str, Effect]  # by the id of the mistake
    stops: tuple[str, ...]  # the mistakes with which a program stops on these sizes

    @property
    def flags(self) -> list[str]:
        """Why it is there."""
        return [name for name, flag in FLAGS.items() if flag.applies(self.case)]


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
    limits = truth.tolerance * unit(truth.scales[name], dtype)
    return [float(f"{limit:.2e}") for limit in np.ravel(limits)]


def effect_of(bug: Bug, case: Case, truth: Truth) -> Effect | None:
    """What a mistake does to a run's outputs; None where a program with it stops."""
    with np.errstate(all="ignore"):
        try:
            program = bug.unit(case.inputs)
            outputs = program.states() | program.gradients()
        except Unfit:
            return None
        worst = {
            name: float(np.max(truth.units(name, np.asarray(outputs[name]), case.dtype), initial=0)) / truth.tolerance
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
