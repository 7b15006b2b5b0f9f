"""The narrowest place that can be said to be wrong where no known mistake explains a program.

Forward it is the first wrong step, and whether the program's steps are right from the states that it
hands on itself. Backward, every edge and every sum of the right unit is nudged in turn: those places
fit whose nudge reaches exactly the blocks that are wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lstm_oracle.diagnosis.bugs.cell import SUMS, TO_X, VALUES, Blocks, Edges, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.diagnosis.fit import FORWARD, Evidence, Fit, fits_shapes, is_finite
from lstm_oracle.diagnosis.precision import slight
from lstm_oracle.run import GATES, Array
from lstm_oracle.truth.batch import FLOAT32

STEPS: dict[str, Callable[[int, int], bool]] = {  # of t and T
    "": lambda t, T: True,
    " at the last step alone": lambda t, T: t == T - 1,
    " at the first step alone": lambda t, T: t == 0,
    " at every step but the last": lambda t, T: t < T - 1,
    " at every step but the first": lambda t, T: t > 0,
}
SMALL = 1e-6  # an error that is told by its size
EDGES = (3, 5, 6, 7, 8, 9, 10, 11, 12, *range(13, 27))  # those that a step computes, in its order


def locate(evidence: Sequence[Evidence]) -> str:
    """Where a program first goes wrong, in words; empty if it does not."""
    fits = [Fit(e) for e in evidence if fits_shapes(e)]
    fits = sorted((fit for fit in fits if fit.wrong().any()), key=lambda fit: fit.search_cost)
    if not fits:
        return ""
    digits = "every error is as small as one of rounding to float32; "
    # Where float32 loses all, every error is slight.
    few = digits if all(slight(fit) and fit.evidence.truth.is_well_conditioned(FLOAT32) for fit in fits) else ""
    forward = [fit for fit in fits if fit.wrong()[: fit.forward_cells].any()]
    return few + (located_forward(forward[0]) if forward else located_backward(fits[0], sole_gate(fits)))


def located_forward(fit: Fit) -> str:
    """The first wrong step, and what is wrong in it."""
    cells = [cell for cell, wrong in zip(fit.cells, fit.wrong(), strict=True) if wrong and cell[0] in FORWARD]
    timed = [(t, name) for name, t in cells if t is not None]
    if not timed:
        return "forward: C_T is wrong" + (", every C is right" if "C" in fit.names else "")
    first = min(t for t, _ in timed)
    names = {name for t, name in timed if t == first}
    text = f"forward: first wrong at step {first} of {len(fit.run['x'])}{rows(fit, names, first)}: "
    if "C" not in fit.names or names == {"C"}:
        text += f"{', '.join(sorted(names))} is wrong"
    elif names == {"h"}:
        text += "h is wrong and C is right, so it is the gate o, tanh(C) or their product"
    else:
        text += "C is wrong, so it is the gates f, i, g, what they are computed from, or the sum of the products"
    return text + by_themselves(fit) + how_small(fit, names, first)


def how_small(fit: Fit, names: set[str], t: int) -> str:
    """How large the error is where it begins, if nobody would see it in a plot."""
    got, truth = fit.evidence.outputs, fit.evidence.truth.blocks
    error = max(float(np.max(np.abs(got[name][t].astype(np.float64) - truth[name][t]))) for name in names)
    return f"; it begins with an error of {error:.0e} alone" if error < SMALL else ""


def rows(fit: Fit, names: set[str], t: int) -> str:
    """The rows of the batch that are wrong, if some are right."""
    off = np.zeros(fit.run["h0"].shape[0], bool)
    for name in names:
        units = fit.evidence.truth.units(name, np.asarray(fit.evidence.outputs[name]), fit.evidence.dtype)[t]
        off |= (units > fit.evidence.truth.tolerance(name)).any(axis=1)
    return "" if off.all() else f" in row {', '.join(map(str, np.flatnonzero(off)))} of the batch"


def by_themselves(fit: Fit) -> str:
    """Which steps are right from the states that the program's own step before left."""
    if not {"h", "C"} <= set(fit.names) or len(fit.run["x"]) < 2:
        return ""
    h, C = (np.asarray(fit.evidence.outputs[name], np.float64) for name in "hC")
    unit, limit = Unit(fit.run), 10 * float(np.max(fit.limit))
    good = []
    with np.errstate(all="ignore"):
        for t in range(unit.T):
            s = Step(t, unit.input(t), *((h[t - 1], C[t - 1]) if t else (unit.run["h0"], unit.run["C0"])))
            unit.forward(s)
            error = max(np.max(np.abs(s.h - h[t])), np.max(np.abs(s.C - C[t]) / np.maximum(1, np.abs(C[t]))))
            good.append(bool(error <= limit))
    if good[0] and not any(good[1:]):
        return "; the first step is right and no later one is, even from the program's own h and C before it"
    if all(good[1:]) and not good[0]:
        return "; every later step is right from the program's own h and C before it, so it is the first step's start"
    if not any(good):
        return "; no step is right, even from the program's own h and C before it"
    return ""


def sole_gate(fits: Sequence[Fit]) -> str | None:
    """The gate whose input matrix alone can have sent the error to x at the last step, if that can be told.

    It can where D > H: then what one gate can send to x fills a part of the space only.
    """
    for fit in fits:
        T, _, D = fit.run["x"].shape
        steps = [t for (name, t), bad in zip(fit.cells, fit.wrong(), strict=True) if name == "dx" and bad]
        if T - 1 not in steps or not is_finite(fit.evidence) or fit.run["h0"].shape[1] >= D:
            continue
        error = np.asarray(fit.evidence.outputs["dx"], np.float64)[-1] - fit.evidence.truth.blocks["dx"][-1]
        rounding = fit.limit[fit.cells.index(("dx", T - 1))] * float(np.max(fit.evidence.truth.scales["dx"][-1]))
        within = [k for k in GATES if outside(error, fit.run[f"U_{k}"]) <= rounding]
        if len(within) == 1 and np.max(np.abs(error)) > 100 * rounding:
            return within[0]
    return None


def outside(error: Array, U: Array) -> float:
    """How much of an error at x (B, D) no δ times U.T gives."""
    share, *_ = np.linalg.lstsq(U, error.T, rcond=None)
    return float(np.max(np.abs(error.T - U @ share), initial=0))


def located_backward(fit: Fit, sole: str | None) -> str:
    """The wrong blocks, and the places in the backward pass that make exactly these wrong."""
    wrong = fit.wrong()
    text = "backward, after a right forward pass: " if fit.forward_cells else ""
    text += f"wrong {listed(fit, wrong)}"
    steps = [t for (name, t), bad in zip(fit.cells, wrong, strict=True) if name == "dx" and bad and t is not None]
    T = len(fit.run["x"])
    if steps and max(steps) < T - 1:
        text += f"; dx is right from the last step back to step {max(steps) + 1}"
    elif "dx" in fit.names and not steps:
        text += "; dx is right at every step"
    if sole:
        text += f"; at the last step the error of dx is one of gate {sole} alone"
    of_gate = {f"δ{edges[sole]}" for edges in (VALUES, SUMS, TO_X) if sole}
    for which, at in STEPS.items():
        fitting = [name for name, unit in places(at) if np.array_equal(reached(fit, unit), wrong)]
        fitting = [name for name in fitting if name in of_gate] or fitting
        if fitting:
            also = f"; {', '.join(fitting[1:])} would do as well" if fitting[1:] else ""
            return f"{text}. If one place is at fault, the earliest is {fitting[0]}{which}{also}"
    last = "what arrives from above"
    for name, unit in places(STEPS[""]):
        touched = reached(fit, unit)
        if (wrong & ~touched).any() or not touched.any():
            continue
        last = name
    return f"{text}. No single place makes exactly these wrong; the latest that reaches all of them is {last}"


def listed(fit: Fit, wrong: Array) -> str:
    """The wrong blocks, gates together."""
    names = dict.fromkeys(name for (name, _), bad in zip(fit.cells, wrong, strict=True) if bad)
    given = [name for name in fit.names if name not in FORWARD]
    if all(name in names for name in given):
        return "are all gradients" if len(given) > 1 else f"is {given[0]}"
    return ("are " if len(names) > 1 else "is ") + ", ".join(names)


def reached(fit: Fit, unit: type[Unit]) -> Array:
    """The cells that a nudge changes."""
    with np.errstate(all="ignore"):
        nudged, right = unit(fit.run), Unit(fit.run)
        blocks = [fit.flat(u.states() | u.gradients()) for u in (nudged, right)]
        return fit.differs(*blocks)


def places(at: Callable[[int, int], bool]) -> list[tuple[str, type[Unit]]]:
    """Every place of the backward pass, in the order of computation, with a unit that is nudged there."""
    edges = [(f"δ{n}", edge(n, at)) for n in EDGES]
    carries = [("what is carried on as δ2", carry(0, at)), ("what is carried on as δ4", carry(1, at))]
    sums = [
        (f"δ{n} as the weights of gate {k} use it", gate(k, at)) for k, n in zip(GATES, (16, 15, 14, 13), strict=True)
    ]
    sums += [
        (f"the product that makes d{name}", update(name, at))
        for name in (f"{kind}_{k}" for kind in "WUb" for k in GATES)
    ]
    kinds = [(f"the products that make d{kind}_f … d{kind}_o", update(kind, at)) for kind in "WUb"]
    all_weights = [("the sums that make all weights' gradients", update("", at))]
    last = [(f"{name} as it is returned", output(name)) for name in ("dx", "dh0", "dC0")]
    return edges + carries + all_weights + kinds + sums + last


def edge(n: int, at: Callable[[int, int], bool]) -> type[Unit]:
    """The unit with one edge nudged."""

    class Nudged(Unit):
        def backward(self, s: Step, δ: Edges) -> None:
            edges = OneEdge(δ, n) if at(s.t, self.T) else δ
            super().backward(s, edges)
            δ.update(edges)

    return Nudged


class OneEdge(dict[int, Array]):
    """Edges that change one of them as it is set."""

    def __init__(self, δ: Edges, n: int) -> None:
        super().__init__(δ)
        self.n = n

    def __setitem__(self, n: int, δ: Array) -> None:
        super().__setitem__(n, 1.25 * δ if n == self.n else δ)


def carry(which: int, at: Callable[[int, int], bool]) -> type[Unit]:
    """The unit that nudges what goes to the step before."""

    class Nudged(Unit):
        def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
            δ2, δ4 = super().leaving(s, δ)
            factor = 1.25 if s.t and at(s.t, self.T) else 1
            return (factor * δ2, δ4) if which == 0 else (δ2, factor * δ4)

    return Nudged


def update(start: str, at: Callable[[int, int], bool]) -> type[Unit]:
    """The unit that nudges the updates whose names start so."""

    class Nudged(Unit):
        def updates(self, s: Step, δ: Edges) -> Blocks:
            found = super().updates(s, δ)
            return {n: 1.25 * a if n.startswith(start) and at(s.t, self.T) else a for n, a in found.items()}

    return Nudged


def gate(k: str, at: Callable[[int, int], bool]) -> type[Unit]:
    """The unit that nudges all updates of one gate."""

    class Nudged(Unit):
        def updates(self, s: Step, δ: Edges) -> Blocks:
            found = super().updates(s, δ)
            return {n: 1.25 * a if n.endswith(k) and at(s.t, self.T) else a for n, a in found.items()}

    return Nudged


def output(name: str) -> type[Unit]:
    """The unit that nudges what it returns."""

    class Nudged(Unit):
        def returned(self, d: Blocks) -> Blocks:
            return super().returned(d) | {name: 1.25 * d[name]}

    return Nudged
