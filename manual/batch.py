"""Many sequences, a step at a time: matrix products, and the least memory between them.

- All that enters a step's gates is one product, of [h, x, 1] and [W; U; b]. Where that is large, the part of x and
  of the bias, which no step waits for, is one product for a whole block of steps.
- OpenBLAS multiplies small matrices as they lie, and packs larger ones anew in every call, which for few rows costs as
  much as to multiply them. So the weights of a middling product are cut into tiles of columns that are small enough.
- Back, the product wants a step's gates side by side, (B, 4H); everything else wants them one behind the other,
  (4, B, H), for one call to serve several. Transposed views lead from one to the other.
- A step works in arrays that stay in the cache, and is copied to the tape in one piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat
from typing import Any

import numpy as np

from manual.factors import factors
from manual.unit import Array, Params, Tape
from manual.workspace import Room

CACHED = 2**17  # bytes of a gate whose factors are made together, for them to stay in the cache
SMALL = 10**6  # multiplications in a product: with AVX-512, OpenBLAS packs neither factor of those that have no more
LARGE = 10**7  # from here on BLAS's threads pay more than tiles, and many rows at a time more than one call
NARROW = 16  # columns of a tile at least: fewer leave the processor's registers half empty

Product = Callable[[Array, Array, Array], object]
dot: Product = np.ndarray.dot
add, exp, multiply, reciprocal, tanh = np.add, np.exp, np.multiply, np.reciprocal, np.tanh
matmul: Product = np.matmul


class Forward(Room):
    """Room for a block of steps, and the way through them."""

    @classmethod
    def of(cls, params: Params, block: int, B: int) -> Forward:
        """That of this unit, for blocks of so many steps and so many rows."""
        way = cls.taken(params.input_size, params.hidden_size, params.W.dtype, block, B)
        lay(params.W, way.W[:, :, : way.H])
        lay(params.U, way.U_b[:, :, :-1])
        lay(params.b[None], way.U_b[:, :, -1:])
        return way

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int, B: int) -> None:
        super().__init__(D, H, dtype, block, B)
        self.H, self.block = H, block
        self.x_apart = B * (H + D + 1) * 4 * H > LARGE
        K = H if self.x_apart else H + D + 1
        tile = tile_of(H, others=B * K)
        self.h_x_1 = np.ones((block + 1, B, K), dtype)  # or h alone, where x is apart
        self.hs = self.h_x_1[..., :H]  # h before every step, and the last
        self.z = np.empty((4, B, H), dtype)  # of g, and of f, i and o negated, for 1 / (1 + exp(-z))
        self.to = self.z.reshape(4, B, H // tile, tile).swapaxes(1, 2)
        self.W = np.empty((4, H // tile, K, tile), dtype)  # the weights of z, as a product takes them
        self.U_b = self.W[:, :, H:]
        if self.x_apart:
            self.U_b = np.empty((4, 1, D + 1, H), dtype)
            self.x_1 = np.ones((block * B, D + 1), dtype)
            self.zs_x = np.empty((4, block * B, H), dtype)
        self.slab = np.empty((5, B, H), dtype)  # C_prev, g, f, i and o
        self.parts, self.one = np.empty((2, B, H), dtype), np.array(1, dtype)
        self.C = self.slab[0]

    def start(self, h0: Array, C0: Array) -> None:
        """From these states."""
        self.hs[0], self.C[...] = h0, C0

    def go(self, x: Array, slabs: Array, tanh_C: Array, h: Array) -> None:
        """Take the inputs of a block, and fill its part of the tape."""
        n, W, to, z, slab, parts, one = len(x), self.W, self.to, self.z, self.slab, self.parts, self.one
        (C, g, _, _, o), (kept, new) = slab, parts
        C_g, f_i, f_i_o = slab[:2], slab[2:4], slab[2:]
        z_g, z_f_i_o = z[0], z[1:]
        views = self.h_x_1, self.from_x(x), slabs, tanh_C, self.hs[1:]
        for h_x_1_t, z_x, slab_t, tanh_C_t, h_t in zip(*views, strict=False):  # as many as slabs has
            matmul(h_x_1_t, W, to)
            if z_x is not None:
                add(z, z_x, z)
            exp(z_f_i_o, f_i_o)
            add(f_i_o, one, f_i_o)
            reciprocal(f_i_o, f_i_o)
            tanh(z_g, g)
            slab_t[...] = slab
            multiply(C_g, f_i, parts)
            add(kept, new, C)
            tanh(C, tanh_C_t)
            multiply(tanh_C_t, o, h_t)
        h[...] = self.hs[1 : n + 1]
        self.hs[0] = self.hs[n]

    def from_x(self, x: Array) -> Iterable[Array | None]:
        """Take the inputs of a block; for each of its steps, what is still to be added to its product, or None."""
        n, B, D = x.shape
        if not self.x_apart:
            self.h_x_1[:n, :, self.H : -1] = x
            return repeat(None)
        x_1, zs_x = self.x_1[: n * B], self.zs_x[:, : n * B]
        x_1[:, :D] = x.reshape(n * B, D)
        matmul(x_1, self.U_b.squeeze(1), zs_x)
        return zs_x.reshape(4, n, *self.z.shape[1:]).swapaxes(0, 1)


def lay(given: Array, out: Array) -> None:
    """Write the columns of f, i, g and o, (K, 4H), as those of g, -f, -i and -o, (4, H / tile, K, tile).

    NumPy 2.4's `negative` is wrong from float32 columns into columns; a product is not.
    """
    _, _, K, tile = out.shape
    f_i_g_o = given.reshape(K, 4, out.shape[1], tile).transpose(1, 2, 0, 3)
    out[0] = f_i_g_o[2]
    multiply(f_i_g_o[:2], -1, out[1:3])
    multiply(f_i_g_o[3], -1, out[3])


def tile_of(columns: int, others: int) -> int:
    """How many columns make a tile, if each takes so many multiplications; all of them where tiles do not help."""
    if not SMALL < columns * others <= LARGE:
        return columns
    return max((n for n in range(NARROW, columns) if columns % n == 0 and n * others <= SMALL), default=columns)


class Backward(Room):
    """The way back over the steps of a block, one by one."""

    @classmethod
    def of(cls, params: Params, block: int, B: int) -> Backward:
        """That of this unit, for blocks of so many steps and so many rows."""
        H = params.hidden_size
        way = cls.taken(params.input_size, H, params.W.dtype, block, B)
        way.W_T[...] = params.W.T.reshape(4 * H, H // way.tile, way.tile).swapaxes(0, 1)
        return way

    def __init__(self, D: int, H: int, dtype: np.dtype[Any], block: int, B: int) -> None:
        super().__init__(D, H, dtype, block, B)
        self.H, self.tile = H, tile_of(H, others=B * 4 * H)
        self.h_x_1 = np.ones((block, B, H + D + 1), dtype)
        self.Δ, self.W_T = np.empty((block, B, 4 * H), dtype), np.empty((H // self.tile, 4 * H, self.tile), dtype)
        self.together = max(1, min(block, CACHED // max(1, B * H * dtype.itemsize)))
        self.to_f_i_g, self.rests, self.addends = (np.empty((self.together, n, B, H), dtype) for n in (3, 3, 2))
        self.to_o, self.to_8 = (np.empty((self.together, B, H), dtype) for _ in range(2))
        self.δ3, self.δ8 = (np.empty((B, H), dtype) for _ in range(2))

    def go(self, tape: Tape, at: slice, dh: Array, δ25: Array, δ11: Array) -> Array:
        """δ16, δ15, δ14 and δ13 of a block, (n, B, 4H), until the next; δ25 and δ11 become what leaves it."""
        Δ = self.Δ[: len(dh)]
        for last in range(len(dh), 0, -self.together):
            first = max(0, last - self.together)
            some = slice(at.start + first, at.start + last)
            self.go_together(tape, some, dh[first:last], Δ[first:last], δ25, δ11)
        return Δ

    def go_together(self, tape: Tape, at: slice, dh: Array, Δ: Array, δ25: Array, δ11: Array) -> None:
        """Fill the Δ of these steps, whose factors are made together."""
        (n, B, H), δ3, δ8, f = dh.shape, self.δ3, self.δ8, tape.f[at]
        product, W_T, to_δ25 = self.product(δ25)
        to_f_i_g, rests, addends = (a[:n].swapaxes(0, 1) for a in (self.to_f_i_g, self.rests, self.addends))
        to_o, to_8 = self.to_o[:n], self.to_8[:n]
        factors(tape.slabs[at].swapaxes(0, 1), tape.tanh_C[at], tape.h[at], to_f_i_g, to_o, to_8, rests, addends)
        by_gate = Δ.reshape(n, B, 4, H).swapaxes(1, 2)
        views = dh, to_8, to_o, to_f_i_g.swapaxes(0, 1), f, by_gate[:, :3], by_gate[:, 3], Δ
        for δ1, δ3_to_8, δ3_to_13, δ8_to_gates, f_t, δ16_15_14, δ13, Δ_t in zip(*(v[::-1] for v in views), strict=True):
            add(δ1, δ25, δ3)
            multiply(δ3, δ3_to_8, δ8)
            add(δ8, δ11, δ8)
            multiply(δ8, δ8_to_gates, δ16_15_14)
            multiply(δ3, δ3_to_13, δ13)
            multiply(δ8, f_t, δ11)
            product(Δ_t, W_T, to_δ25)

    def product(self, δ25: Array) -> tuple[Product, Array, Array]:
        """What multiplies Δ and Wᵀ, in tiles or whole, that Wᵀ, and δ25 as it writes it."""
        if self.tile == self.H:
            return dot, self.W_T[0], δ25
        return matmul, self.W_T, δ25.reshape(len(δ25), self.H // self.tile, self.tile).swapaxes(0, 1)
