"""One sequence, where each call of NumPy costs more than what it computes: the fewest calls, on views made once.

Forward, a step takes eight calls. It writes to the room of its block, which holds 1/f, 1/i and 1/o until the block is
done: then they are inverted together, and all goes to the tape in a few pieces.

Back, if the units are few, a step takes one call. What arrives at it, [δ3, δ11, 1], times a matrix is what arrives at
the step before: the step's Jacobian, with the loss gradient dh of the step before for a last row. All but that row
depends on the forward pass alone, so that the matrices of many steps are made together.

    δ11 before = (δ3 * to_8 + δ11) * f
    δ3 before  = dh before + δ16 @ W_fᵀ + δ15 @ W_iᵀ + δ14 @ W_gᵀ + δ13 @ W_oᵀ

with δ16, δ15 and δ14 = (δ3 * to_8 + δ11) * to_f_i_g, and δ13 = δ3 * to_o: linear in δ3 and in δ11.

The matrices have (2H+1) 2H entries a step, B times as many for a batch: from some forty units on, to fill them
costs more than the calls that they save.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.factors import factors
from manual.unit import Array, Params, Tape
from manual.workspace import Room, Rows

MOST_UNITS = 40  # that go back by Jacobians
NUMBERS = 2**17  # in the room of a block, and in the matrices that are made together: they stay in the cache

dot = np.ndarray.dot
add, divide, exp, multiply, reciprocal, tanh = np.add, np.divide, np.exp, np.multiply, np.reciprocal, np.tanh


class Forward(Room):
    """Room for a block of steps, and the way through them."""

    @classmethod
    def of(cls, params: Params, block: int) -> Forward:
        """That of this unit, for blocks of so many steps at most."""
        H = params.hidden_size
        way = cls.taken(params.input_size, H, params.W.dtype, block)
        given = np.concatenate([params.W, params.U, params.b[None]])
        negated = -given  # in one piece: NumPy 2.4's negative is wrong from float32 columns into columns
        parts = given[:, 2 * H : 3 * H], negated[:, : 2 * H], negated[:, 3 * H :]
        np.concatenate(parts, axis=1, out=way.weights)
        return way

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int) -> None:
        super().__init__(D, H, dtype, block)
        K = H + D + 1
        self.H, self.block = H, max(1, min(block, NUMBERS // (K + 6 * H)))
        self.weights = np.empty((K, 4 * H), dtype)  # of g, and of f, i and o negated, for 1 / (1 + exp(-z))
        self.h_x_1 = np.ones((self.block + 1, K), dtype)
        self.hs, self.xs = self.h_x_1[:, :H], self.h_x_1[:, H:-1]  # h before every step, and the last; its x
        slabs = self.slabs = np.empty((self.block + 1, 5 * H), dtype)  # C_prev, g, 1/f, 1/i and 1/o
        self.Cs, self.tanh_Cs = slabs[:, :H], np.empty((self.block, H), dtype)
        self.z, self.parts, self.one = np.empty(4 * H, dtype), np.empty(2 * H, dtype), np.array(1, dtype)
        self.steps = Rows(
            self.h_x_1,
            slabs[:, 2 * H :],  # 1/f, 1/i and 1/o
            slabs[:, H : 2 * H],  # g
            slabs[:, : 2 * H],  # C_prev and g
            slabs[:, 2 * H : 4 * H],  # 1/f and 1/i
            self.Cs[1:],
            self.tanh_Cs,
            slabs[:, 4 * H :],  # 1/o
            self.hs[1:],
        )

    def start(self, h0: Array, C0: Array) -> None:
        """From these states."""
        self.hs[0], self.Cs[0] = h0, C0

    def go(self, x: Array, slabs: Array, tanh_C: Array, h: Array) -> None:
        """Take the inputs of a block, and fill its part of the tape."""
        n, H, weights, z, parts, one = len(x), self.H, self.weights, self.z, self.parts, self.one
        z_g, z_f_i_o, kept, new = z[:H], z[H:], parts[:H], parts[H:]
        self.xs[:n] = x.squeeze(1)
        for h_x_1, f_i_o, g, C_g, f_i, C, tanh_C_t, o, h_t in self.steps.first(n):
            dot(h_x_1, weights, z)
            exp(z_f_i_o, f_i_o)
            add(f_i_o, one, f_i_o)
            tanh(z_g, g)
            divide(C_g, f_i, parts)
            add(kept, new, C)
            tanh(C, tanh_C_t)
            divide(tanh_C_t, o, h_t)
        slabs = slabs.reshape(n, 5 * H)
        slabs[:, : 2 * H] = self.slabs[:n, : 2 * H]
        reciprocal(self.slabs[:n, 2 * H :], slabs[:, 2 * H :])
        tanh_C.squeeze(1)[...], h.squeeze(1)[...] = self.tanh_Cs[:n], self.hs[1 : n + 1]
        self.hs[0], self.Cs[0] = self.hs[n], self.Cs[n]

    @property
    def C(self) -> Array:
        """The cell state after the steps so far, (1, H)."""
        return self.Cs[:1]


class Backward(Room):
    """Room for the Jacobians of some steps, and the way back through them.

    What `go` does not write stays zero: δ11 goes to no o, and units meet through h alone.
    """

    @classmethod
    def of(cls, params: Params, block: int, most: int) -> Backward:
        """That of this unit, for blocks of so many steps; if it is little, for the most of all passes, who share it."""
        D, H = params.input_size, params.hidden_size
        way = cls.taken(D, H, params.W.dtype, most if most * (H + D + 1) <= NUMBERS else block)
        way.W_by_unit[...] = params.W.T.reshape(4, H, H).swapaxes(0, 1)
        return way

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int) -> None:
        super().__init__(D, H, dtype, block)
        self.H, self.together = H, max(1, min(block, NUMBERS // (4 * H * H)))
        self.h_x_1, self.Δ = np.ones((block, 1, H + D + 1), dtype), np.empty((block, 1, 4 * H), dtype)
        self.slabs, self.rests, self.addends = (np.empty((n, block, H), dtype) for n in (5, 3, 2))
        self.to_8 = np.empty((block, H), dtype)
        self.to_gates = np.zeros((2, 4, block, H), dtype)  # factors of δ3, and of δ11, on their way to f, i, g, o
        self.by_unit = np.zeros((2, H, 4, block), dtype)  # the same, as the product with W_by_unit wants them
        self.W_by_unit = np.empty((H, 4, H), dtype)  # of unit j, for every gate, what it takes from h
        matrices = self.matrices = np.zeros((self.together, 2 * H + 1, 2 * H), dtype)
        self.states = np.ones((block + 1, 2 * H + 1), dtype)  # [δ3, δ11, 1], first what leaves these steps
        self.steps, self.jacobians = Rows(self.states[1:], self.states[:, : 2 * H]), Rows(matrices)
        self.to_δ3 = matrices[:, : 2 * H, :H].reshape(self.together, 2, H, H).transpose(1, 2, 0, 3)
        self.δ3_to_δ11 = np.einsum("tjj->tj", matrices[:, :H, H:])
        self.δ11_to_δ11 = np.einsum("tjj->tj", matrices[:, H : 2 * H, H:])

    def go(self, tape: Tape, at: slice, dh: Array, δ25: Array, δ11: Array) -> Array:
        """δ16, δ15, δ14 and δ13 of a block, (n, 1, 4H), until the next; δ25 and δ11 become what leaves it."""
        n, H, dh = len(dh), self.H, dh.squeeze(1)
        slabs, rests, addends, to_8 = self.slabs[:, :n], self.rests[:, :n], self.addends[:, :n], self.to_8[:n]
        to_gates, by_unit, states = self.to_gates[:, :, :n], self.by_unit[..., :n], self.states[: n + 1]
        f, to_f_i_g, to_o = slabs[2], to_gates[1, :3], to_gates[0, 3]
        slabs[...] = tape.slabs[at].squeeze(2).swapaxes(0, 1)
        factors(slabs, tape.tanh_C[at].squeeze(1), tape.h[at].squeeze(1), to_f_i_g, to_o, to_8, rests, addends)
        multiply(to_f_i_g, to_8, to_gates[0, :3])
        by_unit[...] = to_gates.transpose(0, 3, 1, 2)

        steps = self.steps.first(n)
        states[n, :H], states[n, H : 2 * H] = dh[-1] + δ25[0], δ11[0]
        for last in range(n, 0, -self.together):
            m = min(self.together, last)
            first = last - m
            np.matmul(by_unit[..., first:last].swapaxes(2, 3), self.W_by_unit, self.to_δ3[:, :, :m])
            multiply(f[first:last], to_8[first:last], self.δ3_to_δ11[:m])
            self.δ11_to_δ11[:m] = f[first:last]
            self.matrices[1:m, 2 * H, :H] = dh[first : last - 1]
            self.matrices[0, 2 * H, :H] = dh[first - 1] if first else 0  # the next call adds that of its last step
            jacobians = self.jacobians.first(m)
            for (arriving, before), (jacobian,) in zip(steps[first:last][::-1], jacobians[::-1], strict=True):
                dot(arriving, jacobian, before)
        δ25[0], δ11[0] = states[0, :H], states[0, H : 2 * H]

        δ3, Δ = states[1:, :H], self.Δ[:n]
        δ8 = δ3 * to_8
        δ8 += states[1:, H : 2 * H]
        by_gate = Δ.reshape(n, 4, H).swapaxes(0, 1)
        multiply(δ8, to_f_i_g, by_gate[:3])
        multiply(δ3, to_o, by_gate[3])
        return Δ
