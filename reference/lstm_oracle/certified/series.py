"""The derivative of the loss without a backward pass: power series in ball arithmetic.

Every input and the value on every numbered edge moves by s along a direction. The loss is then a power series in s,
whose coefficient of s¹ is the derivative: the loss gradient times the direction. A forward pass is enough to compute
this series. A ball (`flint.arb`) is a number with a bound on its error that accounts for all rounding.

This module shares no code with `manual`: the equations are written out from the source again. It applies no rule of
differentiation either: FLINT adds, multiplies, divides and exponentiates series.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from flint import arb, arb_series, ctx

from lstm_oracle.run import Array

Balls = Mapping[str, Array]  # object arrays of `arb`: the inputs of a run, or its blocks


@contextmanager
def precision(bits: int) -> Iterator[None]:
    """Compute, within this context, with balls of this many bits and with series up to s¹."""
    before = ctx.prec, ctx.cap
    ctx.prec, ctx.cap = bits, 2
    try:
        yield
    finally:
        ctx.prec, ctx.cap = before


def derivative(run: Balls, direction: Balls) -> arb:
    """Return the derivative along a direction of the loss Σ dh·h + Σ dh_T·h_T + Σ dC_T·C_T.

    Args:
        run: the inputs of a complete run.
        direction: arrays by the names of inputs (W_f … b_o, x, h0, C0) and of edges (δ1 … δ26, each with an entry for
            every step). Inputs and edges without an array do not move.
    """
    s = np.empty((), object)  # NumPy would take a bare series for a sequence
    s[()] = arb_series([0, 1])
    p = {name: values + s * direction[name] if name in direction else values for name, values in run.items()}
    h, C, L = p["h0"], p["C0"], arb_series([0])
    for t in range(len(p["x"])):
        h_out, h, C = step(p, probes(direction, t, s), p["x"][t], h, C)
        L += np.sum(run["dh"][t] * h_out)
    L += np.sum(run["dh_T"] * h) + np.sum(run["dC_T"] * C)
    return L[1]


def probes(direction: Balls, t: int, s: Array) -> Callable[[int], Any]:
    """Return the function from n to the amount that is added to the value on edge n at step t."""
    moved = {name for name in direction if name[0] == "δ" and np.any(direction[name][t])}
    return lambda n: s * direction[f"δ{n}"][t] if f"δ{n}" in moved else 0


def step(p: Balls, e: Callable[[int], Any], x: Array, h_prev: Array, C_prev: Array) -> tuple[Array, Array, Array]:
    """Compute one step of the unit, with e(n) added to the value on edge n of manual/unit.svg.

    Returns the values on the edges 1, 2 and 4, which leave the step: h, h and C, each (B, H).
    """
    h_prev, x, C_prev = h_prev + e(25), x + e(26), C_prev + e(11)
    f = sigmoid((h_prev + e(24)) @ p["W_f"] + (x + e(23)) @ p["U_f"] + p["b_f"] + e(16)) + e(12)
    i = sigmoid((h_prev + e(22)) @ p["W_i"] + (x + e(21)) @ p["U_i"] + p["b_i"] + e(15)) + e(10)
    g = tanh((h_prev + e(20)) @ p["W_g"] + (x + e(19)) @ p["U_g"] + p["b_g"] + e(14)) + e(9)
    o = sigmoid((h_prev + e(18)) @ p["W_o"] + (x + e(17)) @ p["U_o"] + p["b_o"] + e(13)) + e(6)
    C = f * C_prev + i * g + e(8)
    h = o * (tanh(C + e(7)) + e(5)) + e(3)
    return h + e(1), h + e(2), C + e(4)


def sigmoid(z: Array) -> Array:
    """Return eᶻ / (eᶻ + 1), in the form 1 - 1 / (eᶻ + 1)."""
    return 1 - 1 / (np.exp(z) + 1)


def tanh(z: Array) -> Array:
    """Return (e²ᶻ - 1) / (e²ᶻ + 1), because FLINT's series have no tanh of their own."""
    return 1 - 2 / (np.exp(2 * z) + 1)
