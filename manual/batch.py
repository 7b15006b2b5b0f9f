"""Many sequences: the steps of a block, with few NumPy calls and little memory traffic.

- All pre-activations of a step are one product, [h, x, 1] @ [W; U; b]. Where that product is large, the share of x and
  of the bias, which no step waits for, is one product for a whole block of steps.
- OpenBLAS multiplies small matrices in place, and copies larger ones into packed buffers in every call, which for few
  rows costs as much as the multiplication. The weights of a medium-sized product are therefore cut into tiles of
  columns that are small enough to be multiplied in place.
- In the backward pass, the product needs the gates of a step side by side, (B, 4H); elementwise operations need them
  one after another, (4, B, H), so that one call serves several gates. Transposed views lead from one to the other.
- A step works on arrays that stay in the cache, and copies them to the tape in one call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any, NamedTuple

import numpy as np

from manual.checks import Array
from manual.params import Params
from manual.tape import Tape
from manual.workspace import Workspace

CACHED_BYTES = 2**17  # of one gate over the steps of a chunk, whose factors are computed together and stay in the cache
SMALL = 10**6  # multiplications in a product: up to here, OpenBLAS with AVX-512 packs neither factor
LARGE = 10**7  # from here on, the threads of BLAS gain more than tiles, and one product per block more than one call
NARROWEST_TILE = 16  # columns: fewer leave half of a vector register empty

Product = Callable[[Array, Array, Array], object]
dot: Product = np.ndarray.dot
add, exp, multiply, reciprocal, tanh = np.add, np.exp, np.multiply, np.reciprocal, np.tanh
matmul: Product = np.matmul


class ForwardKernel(Workspace):
    """The forward pass, block by block; `C` (B, H) is the cell state after the last block."""

    @classmethod
    def for_params(cls, params: Params, block: int, B: int) -> ForwardKernel:
        """Acquire a kernel for blocks of at most `block` steps and B rows, and copy the weights into it."""
        kernel = cls.acquire(params.input_size, params.hidden_size, params.W.dtype, block, B)
        pack_weights(params.W, kernel.W[:, :, : kernel.H])
        pack_weights(params.U, kernel.U_b[:, :, :-1])
        pack_weights(params.b[None], kernel.U_b[:, :, -1:])
        return kernel

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int, B: int) -> None:
        super().__init__(D, H, dtype, block, B)
        self.H, self.block = H, block
        self.x_apart = B * (H + D + 1) * 4 * H > LARGE  # whether x enters by one product per block
        K = H if self.x_apart else H + D + 1
        tile = tile_width(H, multiplications=B * K)
        self.h_x_1 = np.ones((block + 1, B, K), dtype)  # [h_prev, x, 1] of every step; or h_prev alone
        self.hs = self.h_x_1[..., :H]  # h before every step, and after the last
        self.z = np.empty((4, B, H), dtype)  # pre-activations: g, then f, i and o negated, for 1 / (1 + exp(-z))
        self.z_tiles = self.z.reshape(4, B, H // tile, tile).swapaxes(1, 2)
        self.W = np.empty((4, H // tile, K, tile), dtype)  # the weights of z, in tiles
        self.U_b = self.W[:, :, H:]
        if self.x_apart:
            self.U_b = np.empty((4, 1, D + 1, H), dtype)
            self.x_1 = np.ones((block * B, D + 1), dtype)
            self.zs_x = np.empty((4, block * B, H), dtype)
        self.stacked = np.empty((5, B, H), dtype)  # C_prev, g, f, i and o of one step
        self.products, self.one = np.empty((2, B, H), dtype), np.array(1, dtype)
        self.C = self.stacked[0]

    def set_state(self, h0: Array, C0: Array) -> None:
        """Set the states before the first step."""
        self.hs[0], self.C[...] = h0, C0

    def forward_block(self, x: Array, stacked: Array, tanh_C: Array, h: Array) -> None:
        """Compute the steps of a block from x (n, B, D), and write its part of the tape."""
        n, W, z_tiles, z, step, products, one = (
            len(x),
            self.W,
            self.z_tiles,
            self.z,
            self.stacked,
            self.products,
            self.one,
        )
        (C, g, _, _, o), (C_prev_f, g_i) = step, products
        C_g, f_i, f_i_o = step[:2], step[2:4], step[2:]
        z_g, z_f_i_o = z[0], z[1:]
        views = self.h_x_1, self._z_from_x(x), stacked, tanh_C, self.hs[1:]
        for h_x_1_t, z_x, stacked_t, tanh_C_t, h_t in zip(*views, strict=False):  # as many steps as `stacked` has
            matmul(h_x_1_t, W, z_tiles)
            if z_x is not None:
                add(z, z_x, z)
            exp(z_f_i_o, f_i_o)
            add(f_i_o, one, f_i_o)
            reciprocal(f_i_o, f_i_o)
            tanh(z_g, g)
            stacked_t[...] = step
            multiply(C_g, f_i, products)
            add(C_prev_f, g_i, C)
            tanh(C, tanh_C_t)
            multiply(tanh_C_t, o, h_t)
        h[...] = self.hs[1 : n + 1]
        self.hs[0] = self.hs[n]

    def _z_from_x(self, x: Array) -> Iterable[Array | None]:
        """Copy x of a block to the workspace; return for each step what to add to its product, or None if nothing."""
        n, B, D = x.shape
        if not self.x_apart:
            self.h_x_1[:n, :, self.H : -1] = x
            return repeat(None)
        x_1, zs_x = self.x_1[: n * B], self.zs_x[:, : n * B]
        x_1[:, :D] = x.reshape(n * B, D)
        matmul(x_1, self.U_b.squeeze(1), zs_x)
        return zs_x.reshape(4, n, *self.z.shape[1:]).swapaxes(0, 1)


def pack_weights(given: Array, out: Array) -> None:
    """Write weights (K, 4H) of f, i, g and o to `out`, (4, H / tile, K, tile), as the weights of g, -f, -i and -o.

    Multiplying by -1 is exact; `np.negative` has been wrong for strided arrays (numpy/numpy#26775).
    """
    _, _, K, tile = out.shape
    f_i_g_o = given.reshape(K, 4, out.shape[1], tile).transpose(1, 2, 0, 3)
    out[0] = f_i_g_o[2]
    multiply(f_i_g_o[:2], -1, out[1:3])
    multiply(f_i_g_o[3], -1, out[3])


def tile_width(columns: int, multiplications: int) -> int:
    """Return the width of a tile, given the multiplications per column; all columns if tiles do not help."""
    if not SMALL < columns * multiplications <= LARGE:
        return columns
    widths = (n for n in range(NARROWEST_TILE, columns) if columns % n == 0 and n * multiplications <= SMALL)
    return max(widths, default=columns)


class Factors(NamedTuple):
    """The factors of δ3 and δ8 in the backward pass through a step, which depend on the forward values only.

    They are computed for many steps at once, so that the loop over the steps need not compute them one by one.
    """

    fig_from_8: Array  # (3, …): from δ8 to δ16, δ15 and δ14
    o_from_3: Array  # from δ3 to δ13
    from_3_to_8: Array  # from δ3 to the share of δ8 that comes through tanh(C)


def compute_factors(stacked: Array, tanh_C: Array, h: Array, out: Factors, one_minus: Array, scratch: Array) -> None:
    """Compute the factors of many steps, as in `manual.derivation`; the trailing axes are arbitrary.

    Args:
        stacked: C_prev, g, f, i and o, (5, …).
        tanh_C, h: (…).
        out: overwritten with the factors.
        one_minus: (3, …), overwritten with 1 - f, 1 - i and 1 - o.
        scratch: (2, …), overwritten.
    """
    C_g, f_i, f_i_o, (_, g, _, i, o) = stacked[:2], stacked[2:4], stacked[2:], stacked
    f_i_from_8, g_from_8 = out.fig_from_8[:2], out.fig_from_8[2]
    np.subtract(1, f_i_o, one_minus)
    multiply(C_g, f_i, scratch)  # C_prev * f and g * i
    multiply(scratch, one_minus[:2], f_i_from_8)  # C_prev * f * (1 - f) and g * i * (1 - i)
    multiply(scratch[1], g, g_from_8)
    np.subtract(i, g_from_8, g_from_8)  # i * (1 - g * g)
    multiply(h, one_minus[2], out.o_from_3)  # tanh_C * o * (1 - o)
    multiply(h, tanh_C, out.from_3_to_8)
    np.subtract(o, out.from_3_to_8, out.from_3_to_8)  # o * (1 - tanh_C * tanh_C)


class BackwardKernel(Workspace):
    """The backward pass, block by block from the last one, step by step."""

    @classmethod
    def for_params(cls, params: Params, block: int, B: int) -> BackwardKernel:
        """Acquire a kernel for blocks of at most `block` steps and B rows, and copy the weights into it."""
        H = params.hidden_size
        kernel = cls.acquire(params.input_size, H, params.W.dtype, block, B)
        kernel.W_T[...] = params.W.T.reshape(4 * H, H // kernel.tile, kernel.tile).swapaxes(0, 1)
        return kernel

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int, B: int) -> None:
        super().__init__(D, H, dtype, block, B)
        self.H, self.tile = H, tile_width(H, multiplications=B * 4 * H)
        self.h_x_1 = np.ones((block, B, H + D + 1), dtype)
        self.Δ, self.W_T = np.empty((block, B, 4 * H), dtype), np.empty((H // self.tile, 4 * H, self.tile), dtype)
        self.chunk = max(1, min(block, CACHED_BYTES // max(1, B * H * dtype.itemsize)))
        self.fig_from_8, self.one_minus, self.scratch = (np.empty((self.chunk, n, B, H), dtype) for n in (3, 3, 2))
        self.o_from_3, self.from_3_to_8 = (np.empty((self.chunk, B, H), dtype) for _ in range(2))
        self.δ3, self.δ8 = (np.empty((B, H), dtype) for _ in range(2))

    def backward_block(self, tape: Tape, at: slice, dh: Array, δ25: Array, δ11: Array) -> Array:
        """Return δ16, δ15, δ14 and δ13 of the steps of a block side by side, (n, B, 4H), a view until the next block.

        δ25 and δ11 are overwritten: on entry they arrive at the block's last step, on return they leave its first.
        """
        Δ = self.Δ[: len(dh)]
        for last in range(len(dh), 0, -self.chunk):
            first = max(0, last - self.chunk)
            steps = slice(at.start + first, at.start + last)
            self._backward_steps(dh[first:last], tape.f[steps], self._factors(tape, steps), Δ[first:last], δ25, δ11)
        return Δ

    def _factors(self, tape: Tape, steps: slice) -> Factors:
        """Return the factors of some steps; the first axis is the step."""
        n = len(tape.h[steps])
        found = Factors(self.fig_from_8[:n], self.o_from_3[:n], self.from_3_to_8[:n])
        by_gate = found._replace(fig_from_8=found.fig_from_8.swapaxes(0, 1))
        one_minus, scratch = (array[:n].swapaxes(0, 1) for array in (self.one_minus, self.scratch))
        stacked = tape.stacked[steps].swapaxes(0, 1)
        compute_factors(stacked, tape.tanh_C[steps], tape.h[steps], by_gate, one_minus, scratch)
        return found

    def _backward_steps(self, dh: Array, f: Array, factors: Factors, Δ: Array, δ25: Array, δ11: Array) -> None:
        """Compute Δ of some steps, last step first, in place; δ25 and δ11 are overwritten."""
        (n, B, H), δ3, δ8 = dh.shape, self.δ3, self.δ8
        product, W_T, δ25_tiles = self._product(δ25)
        by_gate = Δ.reshape(n, B, 4, H).swapaxes(1, 2)
        views = dh, factors.from_3_to_8, factors.o_from_3, factors.fig_from_8, f, by_gate[:, :3], by_gate[:, 3], Δ
        backwards = (view[::-1] for view in views)
        for δ1, from_3_to_8, o_from_3, fig_from_8, f_t, δ16_15_14, δ13, Δ_t in zip(*backwards, strict=True):
            add(δ1, δ25, δ3)
            multiply(δ3, from_3_to_8, δ8)
            add(δ8, δ11, δ8)
            multiply(δ8, fig_from_8, δ16_15_14)
            multiply(δ3, o_from_3, δ13)
            multiply(δ8, f_t, δ11)
            product(Δ_t, W_T, δ25_tiles)

    def _product(self, δ25: Array) -> tuple[Product, Array, Array]:
        """Return the function that multiplies Δ and Wᵀ, whole or in tiles, and Wᵀ and δ25 as it needs them."""
        if self.tile == self.H:
            return dot, self.W_T[0], δ25
        return matmul, self.W_T, δ25.reshape(len(δ25), self.H // self.tile, self.tile).swapaxes(0, 1)
