"""The flags of test vectors: why a vector is included, and what its failure means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from lstm_oracle.vectors.vector import Vector


@dataclass(frozen=True)
class Flag:
    """One reason to include a vector."""

    applies: Callable[[Vector], bool]
    kind: Literal["basic", "edge", "range"]
    description: str
    effect: str  # what follows if such a vector fails, or if it passes


def is_zero(vector: Vector, *names: str) -> bool:
    """Return whether all of these inputs are zero."""
    return not any(vector.case.inputs[name].any() for name in names)


FLAGS = {
    "EveryMistake": Flag(
        lambda v: v.group == "minimal",
        "basic",
        "one of the smallest set of vectors that expose every mistake of the catalogue",
        "If all of these pass, none of the mistakes that they list was made by itself.",
    ),
    "OneOfEach": Flag(
        lambda v: v.case.sizes == (1, 1, 1, 1),
        "basic",
        "T = B = D = H = 1: every array has one number",
        "A failure can be retraced by hand; mistakes of layout, of sums and of time do not show.",
    ),
    "OneStep": Flag(
        lambda v: v.case.sizes[0] == 1,
        "basic",
        "T = 1: nothing is carried from step to step",
        "If this fails, the error is within a step; if only longer vectors fail, it is in what is carried.",
    ),
    "OneRow": Flag(
        lambda v: v.case.sizes[1] == 1,
        "basic",
        "B = 1: there is no sum over the batch",
        "If only vectors with more rows fail, the sum over the batch is wrong, or rows influence one another.",
    ),
    "SizesDiffer": Flag(
        lambda v: len(set(v.case.sizes)) == 4,
        "basic",
        "T, B, D and H are four different numbers",
        "Axes that are confused with each other do not fit.",
    ),
    "EqualSizes": Flag(
        lambda v: v.case.sizes[0] == v.case.sizes[1] > 1 and v.case.sizes[2] == v.case.sizes[3] > 1,
        "edge",
        "T = B and D = H: axes that are confused with each other fit",
        "Such a mistake raises no error and shows only in the numbers.",
    ),
    "NoBias": Flag(
        lambda v: is_zero(v, "b_f", "b_i", "b_g", "b_o"),
        "edge",
        "all biases are zero",
        "If only vectors with a bias fail, the bias is wrong.",
    ),
    "ZeroStates": Flag(
        lambda v: is_zero(v, "h0", "C0"),
        "edge",
        "h0 and C0 are zero",
        "If only vectors with initial states fail, these are ignored or exchanged.",
    ),
    "OnlyDh": Flag(
        lambda v: is_zero(v, "dh_T", "dC_T"),
        "edge",
        "the loss gradient arrives only at the outputs h",
        "If this fails, the error is not in how dh_T and dC_T are used.",
    ),
    "OnlyDhT": Flag(
        lambda v: is_zero(v, "dh", "dC_T"),
        "edge",
        "the loss gradient arrives only at the last h",
        "If all gradients are zero, dh_T is ignored.",
    ),
    "OnlyDCT": Flag(
        lambda v: is_zero(v, "dh", "dh_T"),
        "edge",
        "the loss gradient arrives only at the last C",
        "If all gradients are zero, dC_T is ignored or not carried back.",
    ),
    "Saturated": Flag(
        lambda v: v.case.regime == "saturated",
        "range",
        "biases of ±20 drive half of the gates to 0 or 1",
        "If an output is NaN, the sigmoid overflows.",
    ),
    "Remembering": Flag(
        lambda v: v.case.regime == "remembering",
        "range",
        "forget gates near 1: the cell state grows over the steps, and its gradient reaches the first step",
        "If only this fails, the cell state or its gradient is clipped or truncated.",
    ),
    "Large": Flag(
        lambda v: v.case.regime == "large",
        "range",
        "the loss gradient is of the order of 1e6",
        "If only this fails, gradients are clipped.",
    ),
    "Tiny": Flag(
        lambda v: v.case.regime == "tiny",
        "range",
        "the loss gradient is of the order of 1e-6",
        "If only this fails, small gradients are set to zero, or a constant is added.",
    ),
}


def flags_of(vector: Vector) -> list[str]:
    """Return the names of the flags that apply to a vector."""
    return [name for name, flag in FLAGS.items() if flag.applies(vector)]
