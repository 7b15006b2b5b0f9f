"""The unit over time, forward and backward, fast: the same equations as `manual.bptt`, regrouped.

What takes time is the matrix products, then the memory, then, for small units, each call of NumPy.

- What no step waits for is one product for a whole block of steps: dx, the weights' gradients, and what enters the
  gates from x where the whole is much. A block is short, so that for units of usual size what one call leaves in the
  cache is still there for the next.
- The steps of a block are `manual.batch`'s, or for one sequence `manual.single`'s. A way is a room with its steps:
  a pass takes one, and leaves it to the next (`manual.workspace`).
- What takes δ3 and δ8 to the gates depends on the forward pass alone: `manual.factors` computes it for many steps.
- The loops run over views of rows, which are made faster so than by an index, and give `out` by position, which is
  called faster than by name; `dot` is the method, faster than the function.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isqrt
from typing import overload

import numpy as np

from manual import api as door
from manual import batch, single
from manual.checks import checked_size
from manual.unit import Array, CheckpointedTape, Gradients, Params, States, Tape, empty_tape, unchecked

ROWS = 256  # of a product that serves a block: enough for it to run at full speed, unless the weights are large

Way = single.Forward | batch.Forward
dot = np.ndarray.dot


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
            about √T, but 256 / B at least, with many units 1024 / B. `backward` computes the rest once more, a
            stretch at a time. The results are the same: to the bit for True unless a pass has to go into a wider
            type, else to rounding.

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


def run(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """The forward pass, on checked input."""
    way = way_of(params, x)
    tape = run_on(way, params, x, h0, C0)
    way.leave()
    return tape


def run_on(way: Way, params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """The same, of the whole or a stretch of it, on a way that serves all stretches."""
    tape = empty_tape(params, x, h0, C0)
    way.start(h0, C0)
    for s in range(0, len(x), way.block):
        at = slice(s, s + way.block)
        way.go(x[at], tape.slabs[:-1][at], tape.tanh_C[at], tape.h[at])
    tape.slabs[-1, 0] = way.C
    return tape


def way_of(params: Params, x: Array) -> Way:
    """The way forward for inputs like these."""
    B = x.shape[1]
    return single.Forward.of(params, ROWS) if B == 1 else batch.Forward.of(params, block_of(x, params.hidden_size), B)


def run_in_stretches(params: Params, x: Array, h0: Array, C0: Array, every: int | None) -> CheckpointedTape:
    """The forward pass, a stretch at a time: of its tape stay h, and the cell state before every stretch."""
    T = len(x)
    if every is None:  # whole blocks: then every product is the one it is without checkpoints
        block = block_of(x, params.hidden_size)
        every = block * max(1, round(isqrt(T) / block))
    every = max(1, min(every, T))
    hs = np.empty((T + 1, *h0.shape), x.dtype)
    hs[0] = h0
    checkpoints = np.stack([C0, *cells(params, x, hs, C0, every)])
    return CheckpointedTape(params, x, hs, checkpoints, every)


def run_without_tape(params: Params, x: Array, h0: Array, C0: Array) -> States:
    """The forward pass, its tape gone after each block."""
    hs, C = np.empty((len(x) + 1, *h0.shape), x.dtype), C0.copy()
    hs[0] = h0
    for last in cells(params, x, hs, C, block_of(x, params.hidden_size)):
        C = last
    return States(hs[1:], hs[-1].copy(), C)


def cells(params: Params, x: Array, hs: Array, C: Array, every: int) -> Iterator[Array]:
    """Go forward from hs[0] and C, fill the rest of hs, and give the cell state after each stretch."""
    way = way_of(params, x[:every])
    for s in range(0, len(x), every):
        tape = run_on(way, params, x[s : s + every], hs[s], C)
        hs[s + 1 : s + 1 + every] = tape.h
        C = tape.C_T.copy()
        del tape  # before the next one is made
        yield C
    way.leave()


def block_of(x: Array, H: int) -> int:
    """How many steps make a block: those of 256 rows, or of two rows a unit up to 1024, in float64 up to 512.

    The more rows, the less often BLAS packs the weights; the fewer, the more stays in the cache.
    """
    T, B, _ = x.shape
    rows = ROWS * max(1, min(H // 128, 16 // x.itemsize))
    return max(1, min(T, rows // max(1, B)))


def gradients(tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array) -> Gradients:
    """The backward pass, on checked input."""
    if goes_by_jacobians(tape):
        found = summed(tape, dh, dh_T, dC_T, by_jacobians=True)
        # Jacobians hold zeros, and 0 * inf is NaN: what arrives, or was computed forward, and is not finite in one
        # unit, spreads to all, down to h0.
        if door.finite(found.h0):
            return found
    return summed(tape, dh, dh_T, dC_T, by_jacobians=False)


def goes_by_jacobians(tape: Tape | CheckpointedTape) -> bool:
    """Whether a pass goes back by Jacobians: one of few units, as long as all is finite."""
    _, B, H = tape.h.shape
    return B == 1 and H <= single.MOST_UNITS


def summed(tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array, by_jacobians: bool) -> Gradients:
    """The gradients, of blocks that go back by Jacobians, if `by_jacobians`, or else step by step."""
    p, (T, B, D) = tape.params, tape.x.shape
    H, U_T, dtype = p.hidden_size, p.U.T.copy(), p.W.dtype
    dx, δ25, δ11 = np.empty((T, B, D), dtype), dh_T.copy(), dC_T.copy()
    dWUb = np.zeros((H + D + 1, 4 * H), dtype)
    of_a_block = np.empty_like(dWUb)
    for start, stretch in stretches_back(tape):
        for s, Δ, h_x_1 in blocks_back(stretch, dh[start:], δ25, δ11, by_jacobians):
            n = len(Δ)
            Δ, h_x_1 = Δ.reshape(n * B, 4 * H), h_x_1.reshape(n * B, H + D + 1)
            dot(h_x_1.T, Δ, of_a_block)
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


def blocks_back(
    tape: Tape, dh: Array, δ25: Array, δ11: Array, by_jacobians: bool
) -> Iterator[tuple[int, Array, Array]]:
    """The first step of every block, its δ16, δ15, δ14 and δ13 side by side, and its [h_prev, x, 1]; last block first.

    δ25 and δ11 are written to: they hold what arrives at the last step, which there is δ2 and δ4, then what leaves the
    first.
    """
    T, B, H = tape.h.shape
    block = block_of(tape.x, H)
    way = single.Backward.of(tape.params, block, ROWS) if by_jacobians else batch.Backward.of(tape.params, block, B)
    for s in reversed(range(0, T, block)):
        at = slice(s, min(s + block, T))
        h_x_1 = way.h_x_1[: at.stop - s]
        h_x_1[..., :H], h_x_1[..., H:-1] = tape.hs[at], tape.x[at]
        yield s, way.go(tape, at, dh[at], δ25, δ11), h_x_1
    way.leave()
