"""One step of the unit, forward and backward, in the equations and the order of DERIVATION.md.

`δ[n]` is the loss gradient with respect to the value on edge n of the picture in DERIVATION.md (unit.svg). The
functions do not validate, and they do not depend on the number type: `p` may be any object with the attributes
W_f … b_o, and an array may hold any numbers for which NumPy has its operators, exp and tanh.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Edges = dict[int, Array]


@dataclass(frozen=True, slots=True)
class Step:
    """The values of one step of the forward pass."""

    x: Array  # BD
    h_prev: Array  # BH, as are all that follow
    C_prev: Array
    f: Array
    i: Array
    g: Array
    o: Array
    C: Array
    tanh_C: Array
    h: Array


def sigmoid(z: Array) -> Array:
    """Return 1 / (1 + exp(-z))."""
    with np.errstate(over="ignore"):  # for very negative z, exp(-z) is inf, and 1 / inf is 0, the correct limit
        y: Array = 1 / (1 + np.exp(-z))
    return y


def dsigmoid(y: Array) -> Array:
    """Return the derivative of the sigmoid at the point where its value is y."""
    return y * (1 - y)


def dtanh(y: Array) -> Array:
    """Return the derivative of tanh at the point where its value is y."""
    return 1 - y * y


def step(p: Any, x: Array, h_prev: Array, C_prev: Array) -> Step:
    """Compute one step forward from x (B, D), h_prev (B, H) and C_prev (B, H)."""
    f = sigmoid(h_prev @ p.W_f + x @ p.U_f + p.b_f)
    i = sigmoid(h_prev @ p.W_i + x @ p.U_i + p.b_i)
    g = np.tanh(h_prev @ p.W_g + x @ p.U_g + p.b_g)
    o = sigmoid(h_prev @ p.W_o + x @ p.U_o + p.b_o)
    C = C_prev * f + i * g
    tanh_C = np.tanh(C)
    h = tanh_C * o
    return Step(x, h_prev, C_prev, f, i, g, o, C, tanh_C, h)


def deltas(p: Any, s: Step, δ: Edges) -> Edges:
    """Compute one step backward: given δ[1], δ[2] and δ[4], (B, H), add all other edges to δ, and return δ."""
    δ[3] = δ[1] + δ[2]
    δ[5] = δ[3] * s.o
    δ[6] = δ[3] * s.tanh_C
    δ[7] = δ[5] * dtanh(s.tanh_C)
    δ[8] = δ[7] + δ[4]  # erratum 1: printed δ7 · δ4
    δ[9] = δ[8] * s.i
    δ[10] = δ[8] * s.g
    δ[11] = δ[8] * s.f
    δ[12] = δ[8] * s.C_prev
    δ[13] = δ[6] * dsigmoid(s.o)
    δ[14] = δ[9] * dtanh(s.g)
    δ[15] = δ[10] * dsigmoid(s.i)
    δ[16] = δ[12] * dsigmoid(s.f)
    δ[17] = δ[13] @ p.U_o.T
    δ[18] = δ[13] @ p.W_o.T
    δ[19] = δ[14] @ p.U_g.T
    δ[20] = δ[14] @ p.W_g.T
    δ[21] = δ[15] @ p.U_i.T
    δ[22] = δ[15] @ p.W_i.T  # erratum 2: printed δ16 * W_iᵀ
    δ[23] = δ[16] @ p.U_f.T  # erratum 3: printed δ16 * W_fᵀ
    δ[24] = δ[16] @ p.W_f.T
    δ[25] = δ[18] + δ[20] + δ[22] + δ[24]
    δ[26] = δ[17] + δ[19] + δ[21] + δ[23]
    return δ


def updates(s: Step, δ: Edges) -> dict[str, Array]:
    """Return what one step contributes to the gradient of every weight, by name, summed over the batch."""
    return {
        "W_f": s.h_prev.T @ δ[16],
        "W_i": s.h_prev.T @ δ[15],
        "W_g": s.h_prev.T @ δ[14],
        "W_o": s.h_prev.T @ δ[13],
        "U_f": s.x.T @ δ[16],
        "U_i": s.x.T @ δ[15],
        "U_g": s.x.T @ δ[14],
        "U_o": s.x.T @ δ[13],
        "b_f": δ[16].sum(axis=0),
        "b_i": δ[15].sum(axis=0),
        "b_g": δ[14].sum(axis=0),
        "b_o": δ[13].sum(axis=0),
    }
