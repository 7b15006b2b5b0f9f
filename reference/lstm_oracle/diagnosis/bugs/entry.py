"""The entries of the catalogue, and units with several mistakes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from lstm_oracle.diagnosis.bugs.unit import Unit

R_PACKAGE = "R package rnn, backprop_lstm"  # the code of the source's author


class ShapeMismatch(Exception):
    """A mistake cannot be made at these sizes, because a program with the mistake would stop with an error."""


class BugKind(StrEnum):
    """The part of an LSTM in which a mistake is made."""

    LAYOUT = "layout"  # weights, inputs and states are mistaken for one another
    BIAS = "bias"
    FORWARD = "forward"  # a step of the forward pass
    STATE = "state"  # the initial state, and the state between steps
    DIRECTION = "direction"  # the direction of time
    GRADIENT = "gradient"  # the edges of the backward pass
    UPDATE = "update"  # the sums that make the weight gradients, and the gradients as they are returned
    PRECISION = "precision"


@dataclass(frozen=True, eq=False)
class Bug:
    """A known mistake."""

    number: int  # in the order of the catalogue
    id: str
    kind: BugKind
    text: str  # a sentence for the reports, without a capital letter and a full stop
    seen_in: tuple[str, ...]
    unit: type[Unit]

    @property
    def forward(self) -> bool:
        """True if the mistake is made in the forward pass; its gradients are those of the wrong forward pass."""
        return self.kind not in (BugKind.GRADIENT, BugKind.UPDATE)


CATALOGUE: dict[str, Bug] = {}


def register(kind: BugKind, name: str, text: str, unit: type[Unit], seen_in: Sequence[str] = ()) -> None:
    """Add a mistake to the catalogue, such as one member of a family that differs in a letter or a number."""
    assert name not in CATALOGUE, name
    CATALOGUE[name] = Bug(len(CATALOGUE), name, kind, text, tuple(seen_in), unit)


def bug(kind: BugKind, *seen_in: str) -> Callable[[type[Unit]], type[Unit]]:
    """Add the decorated unit to the catalogue, with its class name as the id and its docstring as the sentence."""

    def add(unit: type[Unit]) -> type[Unit]:
        text = " ".join((unit.__doc__ or "").split()).removesuffix(".")
        register(kind, unit.__name__, text, unit, seen_in)
        return unit

    return add


def compose(bugs: Sequence[Bug], base: type[Unit] = Unit) -> type[Unit]:
    """Return the unit with all of these mistakes.

    Args:
        bugs: the mistakes.
        base: `Unit` for the gradients of the wrong forward pass; `HandDerived` or `HandDerivedUnmapped` for
            gradients that were derived by hand from the correct equations.
    """
    backward = [b.unit for b in bugs if not b.forward]
    forward = [b.unit for b in bugs if b.forward]
    parents = [*backward, *([] if base is Unit else [base]), *forward]
    return type("WrongUnit", (*parents, Unit), {})
