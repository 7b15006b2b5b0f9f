"""The kinds of failure of a candidate: wrong values, and every kind of misbehaviour."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class FailureKind(StrEnum):
    """A kind of failure, in the order of reports; the value is the name in JSON."""

    MISMATCH = "mismatch"
    RAISES = "raises"
    EXITS = "exits"
    CRASHES = "crashes"
    HANGS = "hangs"
    RETURN_TYPE = "return_type"
    UNKNOWN_NAME = "unknown_name"
    NO_OUTPUT = "no_output"
    LAYOUT = "layout"
    SHAPE = "shape"
    DTYPE = "dtype"
    NOT_FINITE = "not_finite"
    VARYING = "varying"
    WRITES_INPUTS = "writes_inputs"
    VIEWS_INPUTS = "views_inputs"
    REUSES_OUTPUTS = "reuses_outputs"
    UNSTABLE = "unstable"
    KEEPS_STATE = "keeps_state"
    PRINTS = "prints"
    RANDOM_STATE = "random_state"
    SPLIT = "split"
    ROWS = "rows"

    @property
    def description(self) -> str:
        """A description for people, which begins a sentence."""
        return DESCRIPTIONS[self]


DESCRIPTIONS = {
    FailureKind.MISMATCH: "Returns wrong values",
    FailureKind.RAISES: "Raises an exception",
    FailureKind.EXITS: "Exits its process",
    FailureKind.CRASHES: "Crashes its process",
    FailureKind.HANGS: "Does not return in time",
    FailureKind.RETURN_TYPE: "Does not return a mapping from names to arrays",
    FailureKind.UNKNOWN_NAME: "Returns an array under an unknown name",
    FailureKind.NO_OUTPUT: "Returns no output",
    FailureKind.LAYOUT: "Returns weight gradients that do not match the layout",
    FailureKind.SHAPE: "Returns an array of the wrong shape",
    FailureKind.DTYPE: "Returns an array of the wrong dtype",
    FailureKind.NOT_FINITE: "Returns NaN or infinity",
    FailureKind.VARYING: "Returns a different set of outputs on different runs",
    FailureKind.WRITES_INPUTS: "Modifies its inputs",
    FailureKind.VIEWS_INPUTS: "Returns views of its inputs",
    FailureKind.REUSES_OUTPUTS: "Overwrites arrays that it returned earlier",
    FailureKind.UNSTABLE: "Is not deterministic",
    FailureKind.KEEPS_STATE: "Keeps state between calls",
    FailureKind.PRINTS: "Prints to standard output",
    FailureKind.RANDOM_STATE: "Changes the global random state",
    FailureKind.SPLIT: "Splitting the sequence in two changes the result",
    FailureKind.ROWS: "Batch rows influence one another",
}
NO_RESULT = (FailureKind.RAISES, FailureKind.EXITS, FailureKind.CRASHES, FailureKind.HANGS)  # the call did not return


@dataclass(frozen=True)
class Problem:
    """One failure of a candidate, on one call or across calls."""

    kind: FailureKind
    text: str
    block: str = ""  # the output concerned, or empty
