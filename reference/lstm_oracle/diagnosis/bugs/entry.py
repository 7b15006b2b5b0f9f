"""How a mistake enters the catalogue, and how several make a program."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lstm_oracle.diagnosis.bugs.unit import Unit

R_PACKAGE = "R package rnn, backprop_lstm"  # the code of the source's author


class ShapeMismatch(Exception):
    """These sizes do not let the mistake be made: the program would stop with an error."""


@dataclass(frozen=True, eq=False)
class Bug:
    """A known mistake."""

    number: int  # in the order of the catalogue
    id: str
    kind: str
    text: str  # one sentence, for people
    seen_in: tuple[str, ...]
    unit: type[Unit]

    @property
    def forward(self) -> bool:
        """Whether the forward pass is where it is made; its gradients are then those of that forward pass."""
        return self.kind not in ("gradient", "update")


CATALOGUE: dict[str, Bug] = {}


def bug(kind: str, *seen_in: str) -> Callable[[type[Unit]], type[Unit]]:
    """Enter a class into the catalogue: its name is the id, its docstring the sentence."""

    def enter(unit: type[Unit]) -> type[Unit]:
        name, text = unit.__name__, " ".join((unit.__doc__ or "").split()).removesuffix(".")
        assert name not in CATALOGUE, name
        CATALOGUE[name] = Bug(len(CATALOGUE), name, kind, text, seen_in, unit)
        return unit

    return enter


def named(name: str, text: str, unit: type[Unit]) -> type[Unit]:
    """One member of a family of mistakes that differ in a letter or a number, to be entered by `bug`."""
    unit.__name__ = unit.__qualname__ = name
    unit.__doc__ = text
    return unit


def compose(bugs: tuple[Bug, ...], base: type[Unit] = Unit) -> type[Unit]:
    """A program with all of these mistakes.

    With `HandDerived` or `HandDerivedUnmapped` as the base its gradients are derived by hand, for the right unit,
    and not for the forward pass that it has.
    """
    backward = [b.unit for b in bugs if not b.forward]
    forward = [b.unit for b in bugs if b.forward]
    parents = [*backward, *([] if base is Unit else [base]), *forward]
    return type("Wrong", (*parents, Unit), {})
