"""Compares one step of a derivation with autodiff, place by place.

A place is the result of a line: a function, a forward value, an edge, an update. Places are in the order of
computation, and each part receives correct input, so that the first place that is wrong names the faulty line.
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

# All sizes are equal, so that a wrong product computes wrong numbers instead of raising an error.
RUN = without_zeros((1, 4, 4, 4))

Z = np.linspace(-9, 9, 50)
FAR = np.array([-1e6, -1000.0, 1000.0, 1e6])


def faults(derivation: ModuleType, run: Case = RUN) -> dict[str, str]:
    """Return a message for every place of a derivation; empty where the place is correct."""
    want = expected(run)
    got, errors = computed(derivation, run)
    return {place: fault(place, got.get(place), want[place], errors) for place in PLACES}


def fault(place: str, got: Any, want: Array, errors: list[str]) -> str:
    """Return the message for one place."""
    if not isinstance(got, np.ndarray):
        return f"{place} is missing; {'; '.join(errors) or 'no error was raised'}"
    if got.shape != want.shape or got.dtype != want.dtype:
        return f"{place} is {got.dtype} of shape {got.shape}, not {want.dtype} of shape {want.shape}"
    off = np.max(np.abs(got - want)) / np.max(np.abs(want), initial=1)
    return "" if off <= 1e-13 else f"{place} is off by {off:.2g}"


def first_fault(derivation: ModuleType) -> str | None:
    """Return the first place that is wrong, or None."""
    return next((place for place, fault in faults(derivation).items() if fault), None)


def expected(run: Case) -> dict[str, Array]:
    """Return the truth for every place: from other formulas for the functions, from autodiff for all others."""
    blocks, nudged = truth_of(run).blocks, Z + 1e-30j
    functions = {
        "sigmoid": (1 + np.tanh(np.append(Z, FAR) / 2)) / 2,
        "dsigmoid": np.imag(1 / (1 + np.exp(-nudged))) / 1e-30,
        "dtanh": np.imag(np.tanh(nudged)) / 1e-30,
    }
    edges = {place: blocks[place][0] for place in EDGES}
    updates = {place: blocks[place] for place in UPDATES}
    return functions | vars(true_step(run)) | edges | updates


def computed(derivation: ModuleType, run: Case) -> tuple[dict[str, Any], list[str]]:
    """Return what a derivation computes at every place, until an error in its part, and all errors."""
    got: dict[str, Any] = {}
    errors: list[str] = []

    @contextmanager
    def part(name: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            errors.append(f"{name} raised {error!r}")
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
            raise TypeError(f"deltas returned {returned!r} instead of its argument")
    got |= {f"δ{n}": value for n, value in edges.first.items()}
    with part("updates"):
        got |= {f"d{name}": u for name, u in derivation.updates(true_step(run), true_edges(run)).items()}
    return got, errors


class FirstWritten(dict[int, Array]):
    """Edges that keep the value written first, so that a line that writes to the wrong edge is missing at its own."""

    def __init__(self, edges: dict[int, Array]) -> None:
        super().__init__(edges)
        self.first = dict(edges)

    def __setitem__(self, n: int, δ: Array) -> None:
        super().__setitem__(n, δ)
        self.first.setdefault(n, δ)


def true_step(run: Case) -> SimpleNamespace:
    """Return the true values of the first step of a run, under the names of the derivation."""
    values = {name: truth_of(run).blocks[name][0] for name in VALUES}
    return SimpleNamespace(x=run.inputs["x"][0], h_prev=run.inputs["h0"], C_prev=run.inputs["C0"], **values)


def true_edges(run: Case) -> dict[int, Array]:
    """Return the true edges of the first step of a run."""
    return {n: truth_of(run).blocks[f"δ{n}"][0] for n in range(1, 27)}
