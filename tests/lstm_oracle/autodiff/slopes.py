"""Directional derivatives of the loss by complex steps through a plain NumPy unit.

They use neither a derivation by hand nor autodiff.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import WEIGHTS, Array, Run
from tests.strategies import UPSTREAM

STEP = 1e-30  # so small that no second-order term remains; and nothing cancels, unlike in a finite difference
# The edges of a gate in the source's picture: to h_prev, to x, pre-activation, value.
GATES = {"f": (24, 23, 16, 12), "i": (22, 21, 15, 10), "g": (20, 19, 14, 9), "o": (18, 17, 13, 6)}
ARRIVING = {"dh": "h_out", "dh_next": "h_next", "dC_next": "C_next"}  # on edges 1, 2 and 4


def unit(run: Run, added: Mapping[int, Array]) -> dict[str, Array]:
    """Return all values of every step from the equations, (T, B, H), complex if an input is complex.

    `added[n]`, with an entry for every step, is added to the value on edge n.
    """
    h, C, steps = run["h0"], run["C0"], []
    for t, x in enumerate(run["x"]):
        e = {n: added[n][t] if n in added else 0 for n in range(1, 27)}
        h, x, s = h + e[25], x + e[26], {}
        for gate, (to_h, to_x, before, value) in GATES.items():
            z = (h + e[to_h]) @ run[f"W_{gate}"] + (x + e[to_x]) @ run[f"U_{gate}"] + run[f"b_{gate}"] + e[before]
            s[gate] = (np.tanh(z) if gate == "g" else 1 / (1 + np.exp(-z))) + e[value]
        s["C"] = (C + e[11]) * s["f"] + s["i"] * s["g"] + e[8]
        s["tanh_C"] = np.tanh(s["C"] + e[7]) + e[5]
        s["h"] = s["tanh_C"] * s["o"] + e[3]
        s |= {"h_out": s["h"] + e[1], "h_next": s["h"] + e[2], "C_next": s["C"] + e[4]}
        h, C = s["h_next"], s["C_next"]
        steps.append(s)
    return {name: np.stack([s[name] for s in steps]) for name in steps[0]}


def slope(run: Run, arriving: Mapping[str, Array], along: Mapping[str | int, Array]) -> float:
    """Return the derivative of the loss along a direction in the inputs and on the edges, exact up to rounding."""
    steps = {at: 1j * STEP * direction for at, direction in along.items()}
    moved = {name: array + steps[name] if name in steps else array for name, array in run.items()}
    values = unit(moved, {n: step for n, step in steps.items() if isinstance(n, int)})
    return sum(float(np.sum(δ * values[ARRIVING[name]]).imag) for name, δ in arriving.items()) / STEP


def assert_same_slope(
    run: Run, arriving: Mapping[str, Array], gradients: Mapping[Any, Array], rng: np.random.Generator
) -> None:
    """Compare gradients with the slope of the loss along a random direction.

    The keys of `gradients` are the names of inputs and the numbers of edges.
    """
    along = {at: rng.normal(size=gradient.shape) for at, gradient in gradients.items()}
    terms = np.concatenate([np.ravel(gradients[at] * direction) for at, direction in along.items()])
    largest = max(np.max(np.abs(δ)) for δ in arriving.values())
    cancelled = 1e-16 * largest * sum(np.sum(np.abs(direction)) for direction in along.values())  # in a saturated 1 - y
    allowed = 1e-13 * np.sum(np.abs(terms)) + cancelled
    assert abs(np.sum(terms) - slope(run, arriving, along)) <= allowed, list(gradients)


def arriving_at(run: Run) -> dict[str, Array]:
    """Return the loss gradients that arrive on the edges 1, 2 and 4 of every step, each (T, B, H)."""
    zeros = np.zeros_like(run["dh"][1:])
    return {"dh": run["dh"], "dh_next": np.stack([*zeros, run["dh_T"]]), "dC_next": np.stack([*zeros, run["dC_T"]])}


def arguments(run: Case) -> dict[str, Any]:
    """Return the arguments of `autodiff.backward` for a run."""
    others = {name: array for name, array in run.inputs.items() if name not in WEIGHTS}
    return {"params": {name: run.inputs[name] for name in WEIGHTS}} | others


def forward_arguments(run: Case) -> dict[str, Any]:
    """Return the arguments of `autodiff.forward` for a run."""
    return {name: given for name, given in arguments(run).items() if name not in UPSTREAM}
