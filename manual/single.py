"""One sequence, where a NumPy call takes longer than its arithmetic: few calls per step, on views that are made once.

In the **forward** pass, a step takes eight calls. It writes to the arrays of its block, which hold 1/f, 1/i and 1/o
until the block is finished; then they are inverted together, and the block is copied to the tape in a few calls.

In the **backward** pass with few units, a step takes one call. The vector that arrives at a step, [δ3, δ11, 1], times a
matrix is the vector that arrives at the preceding step: the matrix is the step's Jacobian, with the gradient dh of the
preceding step as its last row. The other rows depend on the forward pass only, so that the matrices of many steps are
computed together.

    preceding δ11 = (δ3 * from_3_to_8 + δ11) * f
    preceding δ3  = preceding dh + δ16 @ W_fᵀ + δ15 @ W_iᵀ + δ14 @ W_gᵀ + δ13 @ W_oᵀ

with δ16, δ15 and δ14 = (δ3 * from_3_to_8 + δ11) * fig_from_8, and δ13 = δ3 * o_from_3: linear in δ3 and δ11.

The matrices have (2H+1) 2H entries a step, and B times as many for a batch: from some forty units on, filling them
takes longer than the calls that they save.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from manual.batch import Factors, compute_factors
from manual.checks import Array
from manual.params import Params
from manual.tape import Tape
from manual.workspace import RowViews, Workspace

MOST_UNITS = 40  # for which the backward pass uses Jacobians
MOST_NUMBERS = 2**17  # in the arrays of a block, and in the Jacobians of a chunk: they stay in the cache

dot = np.ndarray.dot
add, divide, exp, multiply, reciprocal, tanh = np.add, np.divide, np.exp, np.multiply, np.reciprocal, np.tanh


class ForwardKernel(Workspace):
    """The forward pass, block by block."""

    @classmethod
    def for_params(cls, params: Params, block: int) -> ForwardKernel:
        """Acquire a kernel for blocks of at most `block` steps, and copy the weights into it."""
        H = params.hidden_size
        kernel = cls.acquire(params.input_size, H, params.W.dtype, block)
        given = np.concatenate([params.W, params.U, params.b[None]])
        negated = -given  # a contiguous array: see `batch.pack_weights`
        parts = given[:, 2 * H : 3 * H], negated[:, : 2 * H], negated[:, 3 * H :]
        np.concatenate(parts, axis=1, out=kernel.weights)
        return kernel

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int) -> None:
        super().__init__(D, H, dtype, block)
        K = H + D + 1
        self.H, self.block = H, max(1, min(block, MOST_NUMBERS // (K + 6 * H)))
        self.weights = np.empty((K, 4 * H), dtype)  # of g, and of f, i and o negated, for 1 / (1 + exp(-z))
        self.h_x_1 = np.ones((self.block + 1, K), dtype)
        self.hs, self.xs = self.h_x_1[:, :H], self.h_x_1[:, H:-1]  # h before every step and after the last; x
        stacked = self.stacked = np.empty((self.block + 1, 5 * H), dtype)  # C_prev, g, 1/f, 1/i and 1/o
        self.Cs, self.tanh_Cs = stacked[:, :H], np.empty((self.block, H), dtype)
        self.z, self.quotients, self.one = np.empty(4 * H, dtype), np.empty(2 * H, dtype), np.array(1, dtype)
        self.steps = RowViews(
            self.h_x_1,
            stacked[:, 2 * H :],  # 1/f, 1/i and 1/o
            stacked[:, H : 2 * H],  # g
            stacked[:, : 2 * H],  # C_prev and g
            stacked[:, 2 * H : 4 * H],  # 1/f and 1/i
            self.Cs[1:],
            self.tanh_Cs,
            stacked[:, 4 * H :],  # 1/o
            self.hs[1:],
        )

    def set_state(self, h0: Array, C0: Array) -> None:
        """Set the states before the first step."""
        self.hs[0], self.Cs[0] = h0, C0

    def forward_block(self, x: Array, stacked: Array, tanh_C: Array, h: Array) -> None:
        """Compute the steps of a block from x (n, 1, D), and write its part of the tape."""
        n, H, weights, z, quotients, one = len(x), self.H, self.weights, self.z, self.quotients, self.one
        z_g, z_f_i_o, C_prev_f, g_i = z[:H], z[H:], quotients[:H], quotients[H:]
        self.xs[:n] = x.squeeze(1)
        for h_x_1, f_i_o, g, C_g, f_i, C, tanh_C_t, o, h_t in self.steps.first(n):
            dot(h_x_1, weights, z)
            exp(z_f_i_o, f_i_o)
            add(f_i_o, one, f_i_o)
            tanh(z_g, g)
            divide(C_g, f_i, quotients)
            add(C_prev_f, g_i, C)
            tanh(C, tanh_C_t)
            divide(tanh_C_t, o, h_t)
        stacked = stacked.reshape(n, 5 * H)
        stacked[:, : 2 * H] = self.stacked[:n, : 2 * H]
        reciprocal(self.stacked[:n, 2 * H :], stacked[:, 2 * H :])
        tanh_C.squeeze(1)[...], h.squeeze(1)[...] = self.tanh_Cs[:n], self.hs[1 : n + 1]
        self.hs[0], self.Cs[0] = self.hs[n], self.Cs[n]

    @property
    def C(self) -> Array:
        """The cell state after the last block, (1, H)."""
        return self.Cs[:1]


class BackwardKernel(Workspace):
    """The backward pass by Jacobians, block by block from the last one.

    Entries of the Jacobians that are never written stay zero: δ11 does not reach gate o, and units interact through h
    only.
    """

    @classmethod
    def for_params(cls, params: Params, block: int, most: int) -> BackwardKernel:
        """Acquire a kernel for blocks of `block` steps, and copy the weights into it.

        If `most` steps take little memory, the kernel is for `most` steps: passes of different lengths then share it.
        """
        D, H = params.input_size, params.hidden_size
        kernel = cls.acquire(D, H, params.W.dtype, most if most * (H + D + 1) <= MOST_NUMBERS else block)
        kernel.W_by_unit[...] = params.W.T.reshape(4, H, H).swapaxes(0, 1)
        return kernel

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int) -> None:
        super().__init__(D, H, dtype, block)
        self.H, self.chunk = H, max(1, min(block, MOST_NUMBERS // (4 * H * H)))
        self.h_x_1, self.Δ = np.ones((block, 1, H + D + 1), dtype), np.empty((block, 1, 4 * H), dtype)
        self.stacked, self.one_minus, self.scratch = (np.empty((n, block, H), dtype) for n in (5, 3, 2))
        self.from_3_to_8 = np.empty((block, H), dtype)
        self.to_gates = np.zeros((2, 4, block, H), dtype)  # from δ3, and from δ11, to the gates f, i, g, o
        self.by_unit = np.zeros((2, H, 4, block), dtype)  # to_gates, as the product with W_by_unit needs it
        self.W_by_unit = np.empty((H, 4, H), dtype)  # for unit j and every gate, row j of W
        jacobians = self.jacobians = np.zeros((self.chunk, 2 * H + 1, 2 * H), dtype)
        self.states = np.ones((block + 1, 2 * H + 1), dtype)  # [δ3, δ11, 1] of every step; row 0 leaves the block
        self.steps, self.jacobian_views = RowViews(self.states[1:], self.states[:, : 2 * H]), RowViews(jacobians)
        self.to_δ3 = jacobians[:, : 2 * H, :H].reshape(self.chunk, 2, H, H).transpose(1, 2, 0, 3)
        self.δ3_to_δ11 = np.einsum("tjj->tj", jacobians[:, :H, H:])
        self.δ11_to_δ11 = np.einsum("tjj->tj", jacobians[:, H : 2 * H, H:])

    def backward_block(self, tape: Tape, at: slice, dh: Array, δ25: Array, δ11: Array) -> Array:
        """Return δ16, δ15, δ14 and δ13 of the steps of a block side by side, (n, 1, 4H), a view until the next block.

        δ25 and δ11 are overwritten: on entry they arrive at the block's last step, on return they leave its first.
        """
        n, H, dh, states = len(dh), self.H, dh.squeeze(1), self.states
        self._compute_factors(tape, at, n)
        states[n, :H], states[n, H : 2 * H] = dh[-1] + δ25[0], δ11[0]
        for last in range(n, 0, -self.chunk):
            first = max(0, last - self.chunk)
            self._fill_jacobians(first, last, dh)
            steps, jacobians = self.steps.first(n)[first:last], self.jacobian_views.first(last - first)
            for (arriving, before), (jacobian,) in zip(steps[::-1], jacobians[::-1], strict=True):
                dot(arriving, jacobian, before)
        δ25[0], δ11[0] = states[0, :H], states[0, H : 2 * H]
        return self._gate_deltas(n)

    def _compute_factors(self, tape: Tape, at: slice, n: int) -> None:
        """Compute the factors of the n steps of a block."""
        stacked, one_minus, scratch = self.stacked[:, :n], self.one_minus[:, :n], self.scratch[:, :n]
        to_gates, from_3_to_8 = self.to_gates[:, :, :n], self.from_3_to_8[:n]
        stacked[...] = tape.stacked[at].squeeze(2).swapaxes(0, 1)
        out = Factors(to_gates[1, :3], to_gates[0, 3], from_3_to_8)
        compute_factors(stacked, tape.tanh_C[at].squeeze(1), tape.h[at].squeeze(1), out, one_minus, scratch)
        multiply(to_gates[1, :3], from_3_to_8, to_gates[0, :3])
        self.by_unit[..., :n] = to_gates.transpose(0, 3, 1, 2)

    def _fill_jacobians(self, first: int, last: int, dh: Array) -> None:
        """Write the Jacobians of the steps from `first` up to `last`, with dh of the preceding step in the last row.

        For the block's first step that row is zero, because the call for the preceding block adds dh of its last step.
        """
        n, H, f = last - first, self.H, self.stacked[2, first:last]
        np.matmul(self.by_unit[..., first:last].swapaxes(2, 3), self.W_by_unit, self.to_δ3[:, :, :n])
        multiply(f, self.from_3_to_8[first:last], self.δ3_to_δ11[:n])
        self.δ11_to_δ11[:n] = f
        self.jacobians[1:n, 2 * H, :H] = dh[first : last - 1]
        self.jacobians[0, 2 * H, :H] = dh[first - 1] if first else 0

    def _gate_deltas(self, n: int) -> Array:
        """Return δ16, δ15, δ14 and δ13 of all steps of the block, computed from δ3 and δ11."""
        H, δ3, δ11, Δ = self.H, self.states[1 : n + 1, : self.H], self.states[1 : n + 1, self.H : -1], self.Δ[:n]
        to_gates = self.to_gates[:, :, :n]
        δ8 = δ3 * self.from_3_to_8[:n]
        δ8 += δ11
        by_gate = Δ.reshape(n, 4, H).swapaxes(0, 1)
        multiply(δ8, to_gates[1, :3], by_gate[:3])
        multiply(δ3, to_gates[0, 3], by_gate[3])
        return Δ
