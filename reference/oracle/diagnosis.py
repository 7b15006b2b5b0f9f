"""What is wrong with a candidate, by name where one is known, else by place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reference.oracle.findings import narrowest
from reference.oracle.truth import Truth
from reference.run import Array, DType


@dataclass(frozen=True)
class Bug:
    """A known mistake."""

    id: str
    text: str
    seen_in: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """One run of a candidate, with what it should have given."""

    inputs: Mapping[str, Array]
    truth: Truth
    outputs: Mapping[str, Array]
    dtype: DType


def diagnose(evidence: Sequence[Evidence]) -> list[tuple[Bug, ...]]:
    """The alternative explanations of what these runs gave, each one or several mistakes."""
    return []


def locate(evidence: Sequence[Evidence]) -> str:
    """The narrowest place of what is wrong, in words."""
    places = (narrowest(run.truth, run.outputs, run.dtype) for run in evidence)
    block, step = next((place for place in places if place), ("", None))
    return block if step is None else f"{block} at step {step}"
