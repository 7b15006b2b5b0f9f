"""One step of a derivation against autodiff, place by place.

A place is what a line gives: a function, a forward value, an edge, an update. They stand in the order of
computation, and each part gets right input, so that the first place that is wrong names the line at fault.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from traceback import walk_tb
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import WEIGHTS, Array
from tests.strategies import without_zeros
from tests.twins import params_of, truth_of

FUNCTIONS = ("sigmoid", "dsigmoid", "dtanh")
VALUES = ("f", "i", "g", "o", "C", "tanh_C", "h")
KEPT = ("x", "h_prev", "C_prev")
EDGES = tuple(f"δ{n}" for n in range(3, 27) if n != 4)
UPDATES = tuple(f"d{name}" for name in WEIGHTS)
PLACES = FUNCTIONS + VALUES + KEPT + EDGES + UPDATES

# All sizes are equal, so that a wrong product runs, gives wrong numbers, and does not stop what follows.
RUN = without_zeros((1, 4, 4, 4))

Z = np.linspace(-9, 9, 50)
FAR = np.array([-1e6, -1000.0, 1000.0, 1e6])


def faults(derivation: ModuleType, run: Case = RUN) -> dict[str, str]:
    """What is wrong at every place of a derivation; nothing where all is right."""
    want = wanted(run)
    got, stops = given(derivation, run)
    return {place: fault(place, got.get(place), want[place], stops) for place in PLACES}


def fault(place: str, got: Any, want: Array, stops: list[str]) -> str:
    if not isinstance(got, np.ndarray):
        return f"{place} is missing; {'; '.join(stops) or 'nothing stopped'}"
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{place} is {got.dtype} of shape {got.shape}, not {want.dtype} of shape {want.shape}"
    off = np.max(np.abs(got - want)) / np.max(np.abs(want), initial=1)
    return "" if off <= 1e-13 else f"{place} is off by {off:.2g}"


def first_fault(derivation: ModuleType) -> str | None:
    """The place that the first failing test names."""
    return next((place for place, fault in faults(derivation).items() if fault), None)


def wanted(run: Case) -> dict[str, Array]:
    """The truth for every place: the functions' from other formulas, all else from autodiff."""
    blocks, nudged = truth_of(run).blocks, Z + 1e-30j
    functions = {
        "sigmoid": (1 + np.tanh(np.append(Z, FAR) / 2)) / 2,
        "dsigmoid": np.imag(1 / (1 + np.exp(-nudged))) / 1e-30,
        "dtanh": np.imag(np.tanh(nudged)) / 1e-30,
    }
    edges = {place: blocks[place][0] for place in EDGES}
    updates = {place: blocks[place] for place in UPDATES}
    return functions | vars(true_step(run)) | edges | updates


def given(derivation: ModuleType, run: Case) -> tuple[dict[str, Any], list[str]]:
    """What a derivation gives at every place; where a part stops, what it had by then."""
    got: dict[str, Any] = {}
    stops: list[str] = []

    @contextmanager
    def part(name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            stops.append(f"{name} stopped with {error!r}")
            for frame, _ in walk_tb(error.__traceback__):
                if frame.f_code.co_name == "step":
                    got.update({p: value for p, value in frame.f_locals.items() if p in VALUES})

    with part("sigmoid"), np.errstate(over="raise", divide="ignore"):
        got["sigmoid"] = derivation.sigmoid(np.append(Z, FAR))
    with part("dsigmoid"):
        got["dsigmoid"] = derivation.dsigmoid((1 + np.tanh(Z / 2)) / 2)
    with part("dtanh"):
        got["dtanh"] = derivation.dtanh(np.tanh(Z))
    with part("step"):
        step = derivation.step(params_of(run), run.inputs["x"][0], run.inputs["h0"], run.inputs["C0"])
        got |= {p: getattr(step, p) for p in VALUES + KEPT}
    edges = FirstWritten({n: true_edges(run)[n] for n in (1, 2, 4)})
    with part("deltas"):
        returned = derivation.deltas(params_of(run), true_step(run), edges)
        if returned is not edges:
            edges.first.clear()
            raise TypeError(f"a return of {returned!r}, not of the dictionary it is handed")
    got |= {f"δ{n}": value for n, value in edges.first.items()}
    with part("updates"):
        got |= {f"d{name}": u for name, u in derivation.updates(true_step(run), true_edges(run)).items()}
    return got, stops


class FirstWritten(dict[int, Array]):
    """Edges that remember what came first, so that a line which overwrites another's is missed at its own."""

    def __init__(self, edges: dict[int, Array]) -> None:
        super().__init__(edges)
        self.first = dict(edges)

    def __setitem__(self, n: int, δ: Array) -> None:
        super().__setitem__(n, δ)
        self.first.setdefault(n, δ)


def true_step(run: Case) -> SimpleNamespace:
    """The values of a run's first step by autodiff's forward pass, under the derivation's names."""
    values = {name: truth_of(run).blocks[name][0] for name in VALUES}
    return SimpleNamespace(x=run.inputs["x"][0], h_prev=run.inputs["h0"], C_prev=run.inputs["C0"], **values)


def true_edges(run: Case) -> dict[int, Array]:
    """The edges of a run's first step by autodiff."""
    return {n: truth_of(run).blocks[f"δ{n}"][0] for n in range(1, 27)}
