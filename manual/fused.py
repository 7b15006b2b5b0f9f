"""The unit over time, forward and backward, fast: the same equations as `manual.bptt`, regrouped.

What takes time is the matrix products, then the memory, then, for small units, each call of NumPy.

- All that enters a step's gates is one product, of [h, x, 1] and [W; U; b]. Where that is large, the part of x and
  of the bias, which no step waits for, is one product for a whole block of steps; so are dx and the weights' gradients.
- OpenBLAS multiplies small matrices as they lie, and packs larger ones anew in every call, which for few rows costs as
  much as to multiply them. So the weights of a middling product are cut into tiles of columns that are small enough.
- A product wants a step's gates side by side, (B, 4H), or in tiles; everything else wants them one behind the
  other, (4, B, H), for one call to serve several. Transposed views lead from one to the other.
- A step works in arrays that stay in the cache, and is copied to the tape in one piece.
- The factors of δ3 and δ8 on their way to the gates depend on the forward pass alone: `manual.factors` computes them
  for a block at a time, before the loop that goes back over its steps.
- A block is short, so that for units of usual size what one call leaves in the cache is still there for the next.
- For one sequence and few units, where the calls are all that costs, `manual.jacobians` goes back with one call a step.
- Buffers are made once a pass. The loops run over zipped views, which are made faster than by an index, and
  give `out` by position, which is called faster than by name; `dot` is the method, faster than the function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import repeat
from math import isqrt
from typing import overload

import numpy as np

from manual import door
from manual.checks import checked_size
from manual.factors import factors, room_for_factors
from manual.jacobians import MOST_UNITS, Jacobians
from manual.unit import Array, CheckpointedTape, Gradients, Params, States, Tape, empty_tape, unchecked

ROWS = 256  # of a product that serves a block: enough for it to run at full speed
SMALL = 10**6  # multiplications in a product: with AVX-512, OpenBLAS packs neither factor of those that have no more
LARGE = 10**7  # from here on BLAS's threads pay more than tiles, and many rows at a time more than one call
NARROW = 16  # columns of a tile at least: fewer leave the processor's registers half empty

Product = Callable[[Array, Array, Array], object]
dot: Product = np.ndarray.dot
add, exp, multiply, reciprocal, tanh = np.add, np.exp, np.multiply, np.reciprocal, np.tanh


@overload
def forward(
    params: Params, x: Array, h0: Array | None = None, C0: Array | None = None, *, checkpoint: None = None
) -> Tape: ...
@overload
def forward(
    params: Params, x: Array, h0: Array | None = None, C0: Array | None = None, *, checkpoint: int
) -> CheckpointedTape: ...
def forward(
    params: Params, x: Array, h0: Array | None = None, C0: Array | None = None, *, checkpoint: int | None = None
) -> Tape | CheckpointedTape:
    """Run the unit over a batch of sequences.

    Args:
        params: the weights, of D inputs and H units.
        x: the input, (T, B, D); T, B and D may be 0.
        h0, C0: the hidden and the cell state to start from, (B, H); zeros if missing.
        checkpoint: for long sequences: keep the cell state of every so many steps only; True chooses
            about √T, but 256 / B at least. `backward` computes the rest once more, a stretch at a time. The results are
            the same: to the bit for True unless a pass has to go into a wider type, else to rounding.

    Returns:
        The tape: `.h` and `.C` (T, B, H), `.h_T` and `.C_T` (B, H), in the dtype of `params`, and
        what `backward` needs; with checkpoints, no `.C`. Its arrays are new, except that it refers
        to `params` and `x`: change neither before the backward pass.

    Raises:
        TypeError, ValueError: an argument's type, dtype or shape; the message says which and what.
    """
    if checkpoint is None:
        return door.forward(run, params, x, h0, C0)
    every = None if checkpoint is True else checked_size("checkpoint", checkpoint, least=1)
    return door.forward(partial(run_in_stretches, every=every), params, x, h0, C0)


def infer(params: Params, x: Array, h0: Array | None = None, C0: Array | None = None) -> States:
    """Run the unit as `forward` does, to the same bits, and keep no tape.

    Args:
        params, x, h0, C0: as for `forward`.

    Returns:
        The states: `.h` (T, B, H), and `.h_T` and `.C_T` (B, H), from which another call can go on.

    Raises:
        TypeError, ValueError: an argument's type, dtype or shape; the message says which and what.
    """
    return door.forward(run_without_tape, params, x, h0, C0)


def backward(
    tape: Tape | CheckpointedTape,
    dh: Array | None = None,
    *,
    dh_T: Array | None = None,
    dC_T: Array | None = None,
) -> Gradients:
    """Propagate the loss gradient back through time.

    Args:
        tape: what `forward` returned.
        dh: the loss gradient arriving at every output h, (T, B, H).
        dh_T, dC_T: the loss gradient arriving at the last h and C from beyond the last step, (B, H).
            What is missing is zero. All that arrives at the last h is `dh[-1] + dh_T`.

    Returns:
        The gradients: `.params` (its W_f … b_o are dW_f … db_o), `.x` (T, B, D), `.h0`, `.C0` (B, H),
        summed over the batch as the loss is; new arrays, in the dtype of the parameters.

    Raises:
        TypeError, ValueError: an argument's type, dtype or shape; the message says which and what.
    """
    return door.backward(gradients, tape, dh, dh_T, dC_T, tapes=(Tape, CheckpointedTape))


def run(params: Params, x: Array, h0: Array, C0: Array, sums: Sums | None = None) -> Tape:
    """The forward pass, on checked input; `sums` are those of these params and this B, if they are at hand."""
    tape = empty_tape(params, x, h0, C0)
    (T, B, _), H, block = x.shape, params.hidden_size, block_of(x)
    sums = sums or Sums(params, block, B)
    product, W, to, z, h_x_1, hs = sums.product, sums.W, sums.to, sums.z, sums.h_x_1, sums.hs
    slab, parts, one = np.empty((5, B, H), x.dtype), np.empty((2, B, H), x.dtype), np.array(1, x.dtype)
    (C, g, _, _, o), (kept, new) = slab, parts
    C_g, f_i, f_i_o = slab[:2], slab[2:4], slab[2:]
    z_g, z_f_i_o = z[0], z[1:]
    invert_later = B == 1  # a call less a step: f_i_o holds 1/f, 1/i and 1/o until the block is done
    apply = np.divide if invert_later else np.multiply
    hs[0], C[:] = h0, C0
    for s in range(0, T, block):
        n = min(block, T - s)
        slabs = tape.slabs[s : s + n]
        views = h_x_1, sums.from_x(x[s : s + n]), slabs, tape.tanh_C[s:], hs[1:]
        for h_x_1_t, z_x, slab_t, tanh_C, h in zip(*views, strict=False):  # as many as slabs has
            product(h_x_1_t, W, to)
            if z_x is not None:
                add(z, z_x, z)
            exp(z_f_i_o, f_i_o)
            add(f_i_o, one, f_i_o)
            if not invert_later:
                reciprocal(f_i_o, f_i_o)
            tanh(z_g, g)
            slab_t[...] = slab
            apply(C_g, f_i, parts)
            add(kept, new, C)
            tanh(C, tanh_C)
            apply(tanh_C, o, h)
        if invert_later:
            reciprocal(slabs[:, 2:], slabs[:, 2:])
        tape.hs[s + 1 : s + n + 1] = hs[1 : n + 1]
        hs[0] = hs[n]
    tape.slabs[-1, 0] = C
    return tape


def run_in_stretches(params: Params, x: Array, h0: Array, C0: Array, every: int | None) -> CheckpointedTape:
    """The forward pass, a stretch at a time, of whose tape h stays, and where the cell stood."""
    T = len(x)
    if every is None:  # whole blocks: then every product is the one it is without checkpoints
        every = block_of(x) * max(1, round(isqrt(T) / block_of(x)))
    every = max(1, min(every, T))
    hs = np.empty((T + 1, *h0.shape), x.dtype)
    hs[0] = h0
    checkpoints = np.stack([C0, *cells(params, x, hs, C0, every)])
    return CheckpointedTape(params, x, hs, checkpoints, every)


def run_without_tape(params: Params, x: Array, h0: Array, C0: Array) -> States:
    """The forward pass, its tape gone after each block."""
    hs, C = np.empty((len(x) + 1, *h0.shape), x.dtype), C0.copy()
    hs[0] = h0
    for last in cells(params, x, hs, C, block_of(x)):
        C = last
    return States(hs[1:], hs[-1].copy(), C)


def cells(params: Params, x: Array, hs: Array, C: Array, every: int) -> Iterator[Array]:
    """Go forward from hs[0] and C, fill the rest of hs, and give the cell state after each stretch."""
    sums = Sums(params, block_of(x[:every]), len(C))
    for s in range(0, len(x), every):
        tape = run(params, x[s : s + every], hs[s], C, sums)
        hs[s + 1 : s + 1 + every] = tape.h
        C = tape.C_T.copy()
        del tape  # before the next one is made
        yield C


class Sums:
    """What enters the gates of a step, z, (4, B, H): g, f, i, o, those of the sigmoids negated, for 1 / (1 + exp(-z)).

    `product(h_x_1[t], W, to)` writes it there; `from_x` tells what is still to be added.
    """

    def __init__(self, params: Params, block: int, B: int) -> None:
        D, H, dtype = params.input_size, params.hidden_size, params.W.dtype
        given = np.concatenate([params.W, params.U, params.b[None]])
        negated = -given  # in one piece: NumPy 2.4's negative is wrong from float32 columns into columns
        weights = np.concatenate([given[:, 2 * H : 3 * H], negated[:, : 2 * H], negated[:, 3 * H :]], axis=1)
        self.x_apart = B * weights.size > LARGE
        K = H if self.x_apart else H + D + 1
        self.h_x_1 = np.ones((block + 1, B, K), dtype)  # h and x are written to later
        self.hs, self.z = self.h_x_1[..., :H], np.empty((4, B, H), dtype)
        self.product: Product
        self.W: Array
        self.to: Array
        if B == 1:
            self.product, self.W, self.to = dot, weights[:K], self.z.reshape(1, 4 * H)
        else:
            tile = tile_of(H, others=B * K)
            self.product, self.to = np.matmul, self.z.reshape(4, B, H // tile, tile).swapaxes(1, 2)
            self.W = weights[:K].reshape(K, 4, H // tile, tile).transpose(1, 2, 0, 3).copy()
        self.U_b = weights[H:].reshape(D + 1, 4, H).swapaxes(0, 1)
        if self.x_apart:
            self.x_1, self.zs_x = np.ones((block * B, D + 1), dtype), np.empty((4, block * B, H), dtype)

    def from_x(self, x: Array) -> Iterable[Array | None]:
        """Take the inputs of a block; for each of its steps, what `product` leaves out, until the next block's."""
        n, B, D = x.shape
        if not self.x_apart:
            self.h_x_1[:n, :, -D - 1 : -1] = x
            return repeat(None)
        x_1, zs_x = self.x_1[: n * B], self.zs_x[:, : n * B]
        x_1[:, :D] = x.reshape(n * B, D)
        np.matmul(x_1, self.U_b, zs_x)
        return zs_x.reshape(4, n, *self.z.shape[1:]).swapaxes(0, 1)


def block_of(x: Array) -> int:
    """How many steps make a block."""
    T, B, _ = x.shape
    return max(1, min(T, ROWS // max(1, B)))


def tile_of(columns: int, others: int) -> int:
    """How many columns make a tile, if each takes so many multiplications; all of them where tiles do not help."""
    if not SMALL < columns * others <= LARGE:
        return columns
    return max((n for n in range(NARROW, columns) if columns % n == 0 and n * others <= SMALL), default=columns)


def gradients(tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array) -> Gradients:
    """The backward pass, on checked input."""
    p, (T, B, D) = tape.params, tape.x.shape
    H, U_T, dtype = p.hidden_size, p.U.T.copy(), p.W.dtype
    dx, δ25, δ11 = np.empty((T, B, D), dtype), dh_T.copy(), dC_T.copy()
    h_x_1 = np.ones((block_of(tape.x), B, H + D + 1), dtype)
    dWUb = np.zeros((H + D + 1, 4 * H), dtype)
    of_a_block = np.empty_like(dWUb)
    few = by_jacobians(tape, dh, dh_T, dC_T)
    for start, stretch in stretches_back(tape):
        for s, Δ in blocks_back(stretch, dh[start:], δ25, δ11, few):
            n = len(Δ)
            Δ = Δ.reshape(n * B, 4 * H)
            h_x_1[:n, :, :H] = stretch.hs[s : s + n]
            h_x_1[:n, :, H:-1] = stretch.x[s : s + n]
            dot(h_x_1[:n].reshape(n * B, H + D + 1).T, Δ, of_a_block)
            dWUb += of_a_block
            dot(Δ, U_T, dx[start + s : start + s + n].reshape(n * B, D))
        del stretch  # before the next one is made
    return Gradients(unchecked(dWUb[:H], dWUb[H:-1], dWUb[-1]), dx, δ25, δ11)


def stretches_back(tape: Tape | CheckpointedTape) -> Iterator[tuple[int, Tape]]:
    """The tape in pieces, each with its first step: all in one, or those between checkpoints, last first."""
    if isinstance(tape, Tape):
        yield 0, tape
        return
    kernel = door.in_range(run, tape.params, tape.x, tape.hs[0], tape.checkpoints[0])  # as the forward pass has run
    for k in reversed(range(len(tape.checkpoints) - 1)):
        s = k * tape.every
        yield s, kernel(tape.params, tape.x[s : s + tape.every], tape.hs[s], tape.checkpoints[k])


def by_jacobians(tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array) -> bool:
    """Whether a pass goes back by Jacobians: one of few units, where all that they are made of is finite."""
    _, B, H = tape.h.shape
    # Jacobians hold zeros, and 0 * inf is NaN. Once the cell state is not finite it stays so: the last one tells.
    return B == 1 and H <= MOST_UNITS and door.finite((dh, dh_T, dC_T, tape.C_T, tape.params.W))


def blocks_back(tape: Tape, dh: Array, δ25: Array, δ11: Array, few: bool) -> Iterator[tuple[int, Array]]:
    """The first step of every block and its δ16, δ15, δ14 and δ13 side by side, last block first.

    δ25 and δ11 are written to: they hold what arrives at the last step, then what leaves the first. `few` is what
    `by_jacobians` says of the whole pass.
    """
    (T, B, _), block = tape.x.shape, block_of(tape.x)
    way: Jacobians | Steps = Jacobians.of(tape.params, ROWS) if few else Steps(tape.params, block, B)
    for s in reversed(range(0, T, block)):
        n = min(block, T - s)
        at = slice(s, s + n)
        way.back(dh[at], *factors(tape, at, [array[:n] for array in way.room]), tape.f[at], way.Δ[:n], δ25, δ11)
        yield s, way.Δ[:n]
    if isinstance(way, Jacobians):
        way.leave()


class Steps:
    """The way back over the steps of a block, one by one."""

    def __init__(self, params: Params, block: int, B: int) -> None:
        H, dtype = params.hidden_size, params.W.dtype
        self.room, self.Δ = room_for_factors(block, B, H, dtype), np.empty((block, B, 4 * H), dtype)
        self.δ3, self.δ8 = np.empty((2, B, H), dtype)
        self.tile = tile_of(H, others=B * 4 * H)
        self.W_T = params.W.T.reshape(4 * H, H // self.tile, self.tile).swapaxes(0, 1).copy()

    def back(
        self, dh: Array, to_f_i_g: Array, to_o: Array, to_8: Array, f: Array, Δ: Array, δ25: Array, δ11: Array
    ) -> None:
        """Write δ16, δ15, δ14 and δ13 of these steps to Δ, and to δ25 and δ11 what leaves the first of them."""
        (n, B, H), δ3, δ8, W_T = dh.shape, self.δ3, self.δ8, self.W_T
        product: Product = np.matmul
        to_δ25: Array = δ25.reshape(B, H // self.tile, self.tile).swapaxes(0, 1)
        if self.tile == H:
            product, to_δ25, W_T = dot, δ25, W_T[0]
        by_gate = Δ.reshape(n, B, 4, H).swapaxes(1, 2)
        views = dh, to_8, to_o, to_f_i_g, f, by_gate[:, :3], by_gate[:, 3], Δ
        for δ1, δ3_to_8, δ3_to_13, δ8_to_gates, f_t, δ16_15_14, δ13, Δ_t in zip(*(v[::-1] for v in views), strict=True):
            add(δ1, δ25, δ3)
            multiply(δ3, δ3_to_8, δ8)
            add(δ8, δ11, δ8)
            multiply(δ8, δ8_to_gates, δ16_15_14)
            multiply(δ3, δ3_to_13, δ13)
            multiply(δ8, f_t, δ11)
            product(Δ_t, W_T, to_δ25)
