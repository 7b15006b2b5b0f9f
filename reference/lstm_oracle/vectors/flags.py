"""Why a vector is there, and what its failing says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lstm_oracle.vectors.vector import Vector


@dataclass(frozen=True)
class Flag:
    """One reason."""

    applies: Callable[[Vector], bool]
    kind: Literal["basic", "edge", "range"]
    description: str
    effect: str  # what it means that such a vector fails, or that it does not


def _zero(vector: Vector, *names: str) -> bool:
    return not any(vector.case.inputs[name].any() for name in names)


FLAGS = {
    "EveryMistake": Flag(
        lambda v: v.group == "minimal",
        "basic",
        "one of the fewest vectors that together expose every mistake of the catalogue",
        "Where these are right, none of the mistakes that they list was made, alone.",
    ),
    "OneOfEach": Flag(
        lambda v: v.case.sizes == (1, 1, 1, 1),
        "basic",
        "T = B = D = H = 1: every array holds one number",
        "A failure can be followed by hand; mistakes of layout, of sums and of time cannot show.",
    ),
    "OneStep": Flag(
        lambda v: v.case.sizes[0] == 1,
        "basic",
        "T = 1: nothing is carried from step to step",
        "A failure lies within the step; where longer vectors alone fail, it lies in what is carried.",
    ),
    "OneRow": Flag(
        lambda v: v.case.sizes[1] == 1,
        "basic",
        "B = 1: there is no sum over the batch",
        "Where vectors with more rows alone fail, the sum over the batch is wrong, or rows are mixed.",
    ),
    "SizesDiffer": Flag(
        lambda v: len(set(v.case.sizes)) == 4,
        "basic",
        "T, B, D and H are four different numbers",
        "Axes that are taken for each other do not fit.",
    ),
    "EqualSizes": Flag(
        lambda v: v.case.sizes[0] == v.case.sizes[1] > 1 and v.case.sizes[2] == v.case.sizes[3] > 1,
        "edge",
        "T = B and D = H: axes that are taken for each other fit",
        "Such a mistake stops no program, and shows in the numbers alone.",
    ),
    "NoBias": Flag(
        lambda v: _zero(v, "b_f", "b_i", "b_g", "b_o"),
        "edge",
        "all biases are zero",
        "Where vectors with a bias alone fail, the bias is wrong.",
    ),
    "ZeroStates": Flag(
        lambda v: _zero(v, "h0", "C0"),
        "edge",
        "h0 and C0 are zero",
        "Where vectors with initial states alone fail, these are ignored or exchanged.",
    ),
    "OnlyDh": Flag(
        lambda v: _zero(v, "dh_T", "dC_T"),
        "edge",
        "the loss gradient arrives at the outputs h alone",
        "A failure lies elsewhere than in how dh_T and dC_T are taken.",
    ),
    "OnlyDhT": Flag(
        lambda v: _zero(v, "dh", "dC_T"),
        "edge",
        "the loss gradient arrives at the last h alone",
        "All gradients zero: dh_T is dropped.",
    ),
    "OnlyDCT": Flag(
        lambda v: _zero(v, "dh", "dh_T"),
        "edge",
        "the loss gradient arrives at the last C alone",
        "All gradients zero: dC_T is dropped, or not carried.",
    ),
    "Saturated": Flag(
        lambda v: v.case.regime == "saturated",
        "range",
        "biases of ±20 drive half of the gates to 0 or 1",
        "Not a number: the sigmoid overflows.",
    ),
    "Remembering": Flag(
        lambda v: v.case.regime == "remembering",
        "range",
        "forget gates near 1: the cell state grows over the steps, and its gradient reaches the first",
        "Where this alone fails, the cell state or its gradient is bounded or cut off.",
    ),
    "Large": Flag(
        lambda v: v.case.regime == "large",
        "range",
        "the loss gradient is of the order of 1e6",
        "Where this alone fails, gradients are clipped.",
    ),
    "Tiny": Flag(
        lambda v: v.case.regime == "tiny",
        "range",
        "the loss gradient is of the order of 1e-6",
        "Where this alone fails, small gradients are taken for zero, or a constant is added.",
    ),
}


def flags_of(vector: Vector) -> list[str]:
    """The reasons that apply to a vector."""
    return [name for name, flag in FLAGS.items() if flag.applies(vector)]
