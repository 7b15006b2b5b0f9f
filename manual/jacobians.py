"""The way back through time for one sequence of few units: one call of NumPy a step.

What arrives at a step, [δ3, δ11, 1], times a matrix is what arrives at the step before: the step's
Jacobian, with the loss gradient dh of the step before for a last row. Its entries depend on the
forward pass alone, so that those of many steps are made together.

    δ11 before = (δ3 * to_8 + δ11) * f
    δ3 before  = dh before + δ16 @ W_fᵀ + δ15 @ W_iᵀ + δ14 @ W_gᵀ + δ13 @ W_oᵀ

with δ16, δ15 and δ14 = (δ3 * to_8 + δ11) * to_f_i_g, and δ13 = δ3 * to_o: linear in δ3 and in δ11.

The matrices have (2H+1) 2H entries a step, which is more than the calls cost that they save once
there are some forty units, and B times as many for a batch.
"""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np

from manual.factors import room_for_factors
from manual.unit import Array, Params

MOST_UNITS = 40
NUMBERS = 2**17  # in the matrices that are made together

dot, multiply = np.ndarray.dot, np.multiply

_spare: deque[Jacobians] = deque(maxlen=1)  # append and pop are safe between threads


class Jacobians:
    """Room for the matrices of some steps, and the way back through them.

    Memory that is taken anew costs a page fault every 4 KiB, more than all that is computed here. So
    the room goes from one backward pass to the next that has as many units.
    """

    @classmethod
    def of(cls, params: Params, block: int) -> Jacobians:
        """Those of this unit, for blocks of so many steps; in the room that a pass has left, if it is there."""
        key = params.hidden_size, params.W.dtype, block
        try:
            found = _spare.pop()  # no other thread has what was popped
        except IndexError:
            found = cls(*key)
        if (found.H, found.W.dtype, len(found.Δ)) != key:
            found = cls(*key)
        found.W[...] = params.W.T.reshape(4, found.H, found.H).swapaxes(0, 1)
        return found

    def leave(self) -> None:
        """Leave the room to the next pass: in float64 at most 3 MiB."""
        _spare.append(self)

    def __init__(self, H: int, dtype: np.dtype[Any], block: int) -> None:
        self.H, self.together = H, max(1, min(block, NUMBERS // (4 * H * H)))
        self.room, self.Δ = room_for_factors(block, 1, H, dtype), np.empty((block, 1, 4 * H), dtype)
        self.W = np.empty((H, 4, H), dtype)  # of unit j, for every gate, what it takes from h
        self.per_gate = np.zeros((2, 4, H, block), dtype)  # factors of δ3, and of δ11, on their way to f, i, g, o
        self.matrices = np.zeros((self.together, 2 * H + 1, 2 * H), dtype)
        self.states = np.ones((block + 1, 2 * H + 1), dtype)  # [δ3, δ11, 1], first what leaves these steps
        to_δ3, to_δ11 = self.matrices[:, : 2 * H, :H], self.matrices[..., H:]
        self.to_δ3 = to_δ3.reshape(self.together, 2, H, H).transpose(1, 2, 0, 3)
        self.δ3_to_δ11 = np.einsum("tjj->tj", to_δ11[:, :H])
        self.δ11_to_δ11 = np.einsum("tjj->tj", to_δ11[:, H : 2 * H])

    def back(
        self, dh: Array, to_f_i_g: Array, to_o: Array, to_8: Array, f: Array, Δ: Array, δ25: Array, δ11: Array
    ) -> None:
        """Write δ16, δ15, δ14 and δ13 of these steps to Δ, and to δ25 and δ11 what leaves the first of them."""
        n, H = len(dh), self.H
        dh, to_f_i_g, to_o, to_8, f = dh[:, 0], to_f_i_g[:, :, 0], to_o[:, 0], to_8[:, 0], f[:, 0]
        states, per_gate = self.states[: n + 1], self.per_gate[..., :n]
        per_gate[1, :3] = to_f_i_g.transpose(1, 2, 0)
        multiply(per_gate[1, :3], to_8.T, per_gate[0, :3])
        per_gate[0, 3] = to_o.T
        per_gate = per_gate.transpose(0, 2, 3, 1)

        states[n, :H], states[n, H : 2 * H] = dh[-1] + δ25[0], δ11[0]
        for last in range(n, 0, -self.together):
            m = min(self.together, last)
            first = last - m
            matrices = self.matrices[:m]
            np.matmul(per_gate[:, :, first:last], self.W, self.to_δ3[:, :, :m])
            multiply(f[first:last], to_8[first:last], self.δ3_to_δ11[:m])
            self.δ11_to_δ11[:m] = f[first:last]
            matrices[1:, 2 * H, :H] = dh[first : last - 1]
            matrices[0, 2 * H, :H] = dh[first - 1] if first else 0  # the next call adds its own
            views = states[first + 1 : last + 1], matrices, states[first:last, : 2 * H]
            for state, matrix, before in zip(*(v[::-1] for v in views), strict=True):
                dot(state, matrix, before)
        δ25[0], δ11[0] = states[0, :H], states[0, H : 2 * H]

        δ3 = states[1:, :H]
        δ8 = δ3 * to_8
        δ8 += states[1:, H : 2 * H]
        gates = Δ.reshape(n, 4, H)
        multiply(δ8[:, None], to_f_i_g, gates[:, :3])
        multiply(δ3, to_o, gates[:, 3])
