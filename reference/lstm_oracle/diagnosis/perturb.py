"""Units in which one computation of the backward pass is perturbed, to see which outputs depend on the computation."""

from __future__ import annotations

from collections.abc import Callable

from lstm_oracle.diagnosis.bugs.equations import PREACTIVATION_EDGES, Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.run import GATES, WEIGHTS, Array

FACTOR = 1.25
EDGES = (3, 5, 6, 7, 8, 9, 10, 11, 12, *range(13, 27))  # the edges that a step computes, in the order of computation

AtStep = Callable[[int, int], bool]  # whether the computation is perturbed at step t of T


def perturbed_units(at: AtStep) -> list[tuple[str, type[Unit]]]:
    """Return a description of each computation of the backward pass, in order, and the unit that perturbs it."""
    found = [(f"δ{n}", with_edge(n, at)) for n in EDGES]
    found += [(f"δ{n} as passed to the preceding step", with_carried(n, at)) for n in (2, 4)]
    found += [("the computation of the weight gradients", with_weight_gradients(at))]
    found += [(f"the computation of d{kind}_f … d{kind}_o", with_weight_gradients(at, prefix=kind)) for kind in "WUb"]
    for k in GATES:
        description = f"δ{PREACTIVATION_EDGES[k]} as used for the weight gradients of gate {k}"
        found.append((description, with_weight_gradients(at, suffix=k)))
    found += [(f"the computation of d{name}", with_weight_gradients(at, prefix=name)) for name in WEIGHTS]
    return found + [(f"{name} as returned", with_returned(name)) for name in ("dx", "dh0", "dC0")]


class PerturbedEdges(dict[int, Array]):
    """The edges of a step, one of which is perturbed when it is set."""

    def __init__(self, δ: Edges, n: int) -> None:
        super().__init__(δ)
        self.n = n

    def __setitem__(self, n: int, δ: Array) -> None:
        super().__setitem__(n, FACTOR * δ if n == self.n else δ)


def with_edge(n: int, at: AtStep) -> type[Unit]:
    """Return the unit that perturbs an edge."""

    class Perturbed(Unit):
        def backward(self, s: Step, δ: Edges) -> None:
            edges = PerturbedEdges(δ, n) if at(s.t, self.T) else δ
            super().backward(s, edges)
            δ.update(edges)

    return Perturbed


def with_carried(n: int, at: AtStep) -> type[Unit]:
    """Return the unit that perturbs edge 2 or edge 4 of the preceding step, when a step passes it on."""

    class Perturbed(Unit):
        def carried_gradients(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().carried_gradients(s, δ)
            factor = FACTOR if s.t and at(s.t, self.T) else 1
            return (factor * δ2, δ4) if n == 2 else (δ2, factor * δ4)

    return Perturbed


def with_weight_gradients(at: AtStep, prefix: str = "", suffix: str = "") -> type[Unit]:
    """Return the unit that perturbs the contribution of a step to the gradients of some weights, chosen by name."""

    def is_chosen(name: str) -> bool:
        return name.startswith(prefix) and name.endswith(suffix)

    class Perturbed(Unit):
        def weight_gradients(self, s: Step, δ: Edges) -> Blocks:
            found = super().weight_gradients(s, δ)
            return {name: FACTOR * a if is_chosen(name) and at(s.t, self.T) else a for name, a in found.items()}

    return Perturbed


def with_returned(name: str) -> type[Unit]:
    """Return the unit that perturbs a gradient when it is returned."""

    class Perturbed(Unit):
        def return_gradients(self, d: Blocks) -> Blocks:
            return super().return_gradients(d) | {name: FACTOR * d[name]}

    return Perturbed
