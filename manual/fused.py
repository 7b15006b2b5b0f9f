"""The unit over time, forward and backward, fast: the equations of `manual.bptt`, regrouped.

Everything here, in `manual.batch` and in `manual.single` is an optimisation of two loops. With W, U and b as in
`Params`, hs and Cs starting with h0 and C0, and δ25 = dh_T and δ11 = dC_T at the end of the sequence, they are:

    for t in range(T):
        z_f, z_i, z_g, z_o = np.split(hs[t] @ W + x[t] @ U + b, 4, axis=1)
        f[t], i[t], g[t], o[t] = sigmoid(z_f), sigmoid(z_i), np.tanh(z_g), sigmoid(z_o)
        Cs[t + 1] = Cs[t] * f[t] + i[t] * g[t]
        hs[t + 1] = np.tanh(Cs[t + 1]) * o[t]

    for t in reversed(range(T)):
        tanh_C, δ3 = np.tanh(Cs[t + 1]), dh[t] + δ25
        δ8 = δ3 * o[t] * (1 - tanh_C**2) + δ11
        δ16, δ15 = δ8 * Cs[t] * f[t] * (1 - f[t]), δ8 * g[t] * i[t] * (1 - i[t])
        δ14, δ13 = δ8 * i[t] * (1 - g[t] ** 2), δ3 * tanh_C * o[t] * (1 - o[t])
        Δ[t] = np.concatenate([δ16, δ15, δ14, δ13], axis=1)
        δ25, δ11 = Δ[t] @ W.T, δ8 * f[t]
        dW, dU, db, dx[t] = dW + hs[t].T @ Δ[t], dU + x[t].T @ Δ[t], db + Δ[t].sum(axis=0), Δ[t] @ U.T

The optimisations; tests/benchmarks/speed.md, written by `make bench`, has the gain of those that it measures:

- *One product per block of steps* for everything that no step waits for: dx and the weight gradients, and x @ U where
  it is large. A block is short enough that what one call leaves in the cache is still there for the next.
- *Few calls and little memory traffic within a step*: in `manual.batch` for many sequences.
- *Factors computed in advance*: the factors by which δ3 and δ8 are multiplied on the way to the gates depend on the
  forward pass only (`batch.compute_factors`), so that many steps share one call.
- *One sequence of few units* has its own kernels in `manual.single`, whose backward pass multiplies by Jacobians.
- *Workspaces* keep small arrays and their views from pass to pass: `manual.workspace`.
- The loops iterate over arrays, which makes views of rows faster than indexing does, and pass `out` by position, which
  is faster than by keyword; `ndarray.dot` is faster than `numpy.dot`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isqrt
from typing import overload

import numpy as np

from manual import api, batch, single
from manual.checks import Array, checked_size
from manual.params import ParamGradients, Params
from manual.tape import CheckpointedTape, Gradients, States, Tape, empty_tape

ROWS = 256  # of the products of a block: enough for full speed, unless the weights are large

Kernel = single.ForwardKernel | batch.ForwardKernel
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
        h0, C0: the initial hidden and cell state, (B, H); zeros if missing.
        checkpoint: for long sequences, the number of steps from one kept cell state to the next; `backward` recomputes
            the other values, one segment at a time. True chooses about √T, but at least 256 / B, or 1024 / B with many
            units. The results are the same: to the bit for True unless a pass has to use a wider dtype, otherwise up to
            rounding.

    Returns:
        The tape: `.h` and `.C` (T, B, H), `.h_T` and `.C_T` (B, H), in the dtype of `params`, and what `backward`
        needs; with checkpoints, no `.C`. Its arrays are new, except that it refers to `params` and `x`: change neither
        before the backward pass.

    Raises:
        TypeError, ValueError: an argument has the wrong type, dtype or shape; the message says which and what.
    """
    if checkpoint is None:
        return api.forward(run, params, x, h0, C0)
    every = None if checkpoint is True else checked_size("checkpoint", checkpoint, least=1)
    return api.forward(partial(run_with_checkpoints, every=every), params, x, h0, C0)


def infer(params: Params, x: Array, h0: Array | None = None, C0: Array | None = None) -> States:
    """Run the unit as `forward` does, to the same bits, without keeping a tape.

    Args:
        params, x, h0, C0: as for `forward`.

    Returns:
        The states: `.h` (T, B, H), and `.h_T` and `.C_T` (B, H), from which another call can continue.

    Raises:
        TypeError, ValueError: an argument has the wrong type, dtype or shape; the message says which and what.
    """
    return api.forward(run_without_tape, params, x, h0, C0)


def backward(
    tape: Tape | CheckpointedTape,
    dh: Array | None = None,
    *,
    dh_T: Array | None = None,
    dC_T: Array | None = None,
) -> Gradients:
    """Propagate the gradient of the loss back through time.

    Args:
        tape: what `forward` returned.
        dh: the gradient of the loss with respect to every output h, (T, B, H).
        dh_T, dC_T: the gradients with respect to the last h and C that arrive from beyond the last step, (B, H).
            A missing gradient is zero, but at least one has to be given. The last h receives `dh[-1] + dh_T` in all.

    Returns:
        The gradients: `.params` (its W_f … b_o are dW_f … db_o), `.x` (T, B, D), `.h0` and `.C0` (B, H), summed over
        the batch as the loss is; new arrays, in the dtype of the parameters.

    Raises:
        TypeError, ValueError: an argument has the wrong type, dtype or shape; the message says which and what.
    """
    return api.backward(gradients, tape, dh, dh_T, dC_T, tapes=(Tape, CheckpointedTape))


def run(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """Run the forward pass on validated input."""
    kernel = select_kernel(params, x)
    tape = run_segment(kernel, params, x, h0, C0)
    kernel.release()
    return tape


def select_kernel(params: Params, x: Array) -> Kernel:
    """Acquire the forward kernel for inputs of this shape."""
    B = x.shape[1]
    if B == 1:
        return single.ForwardKernel.for_params(params, ROWS)
    return batch.ForwardKernel.for_params(params, steps_per_block(x, params.hidden_size), B)


def run_segment(kernel: Kernel, params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """Run the forward pass over a sequence, or over a segment of one, by a kernel that may serve all segments."""
    tape = empty_tape(params, x, h0, C0)
    kernel.set_state(h0, C0)
    for s in range(0, len(x), kernel.block):
        at = slice(s, s + kernel.block)
        kernel.forward_block(x[at], tape.stacked[:-1][at], tape.tanh_C[at], tape.h[at])
    tape.stacked[-1, 0] = kernel.C
    return tape


def run_with_checkpoints(params: Params, x: Array, h0: Array, C0: Array, every: int | None) -> CheckpointedTape:
    """Run the forward pass segment by segment; keep h, and of each segment the cell state before its first step."""
    T = len(x)
    if every is None:  # whole blocks, so that every product is the one of a pass without checkpoints
        block = steps_per_block(x, params.hidden_size)
        every = block * max(1, round(isqrt(T) / block))
    every = max(1, min(every, T))
    hs = np.empty((T + 1, *h0.shape), x.dtype)
    hs[0] = h0
    checkpoints = np.stack([C0, *forward_segments(params, x, hs, C0, every)])
    return CheckpointedTape(params, x, hs, checkpoints, every)


def run_without_tape(params: Params, x: Array, h0: Array, C0: Array) -> States:
    """Run the forward pass block by block, keeping the tape of one block at a time."""
    hs, C = np.empty((len(x) + 1, *h0.shape), x.dtype), C0.copy()
    hs[0] = h0
    for after in forward_segments(params, x, hs, C, steps_per_block(x, params.hidden_size)):
        C = after
    return States(hs[1:], hs[-1].copy(), C)


def forward_segments(params: Params, x: Array, hs: Array, C: Array, every: int) -> Iterator[Array]:
    """Run segments of `every` steps from hs[0] and C; fill the rest of hs, and yield C after each segment."""
    kernel = select_kernel(params, x[:every])
    for s in range(0, len(x), every):
        tape = run_segment(kernel, params, x[s : s + every], hs[s], C)
        hs[s + 1 : s + 1 + every] = tape.h
        C = tape.C_T.copy()
        del tape  # before the next one is allocated
        yield C
    kernel.release()


def steps_per_block(x: Array, H: int) -> int:
    """Return the number of steps in a block: for 256 rows, or for up to 2H rows, but at most 1024 (512 in float64).

    With more rows BLAS packs the weights less often; with fewer, more stays in the cache.
    """
    T, B, _ = x.shape
    rows = ROWS * max(1, min(H // 128, 16 // x.itemsize))
    return max(1, min(T, rows // max(1, B)))


def gradients(tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array) -> Gradients:
    """Run the backward pass on validated input."""
    if uses_jacobians(tape):
        found = accumulate_gradients(tape, dh, dh_T, dC_T, by_jacobians=True)
        # Jacobians contain zeros, and 0 * inf is NaN: a value that is not finite spreads from one unit to all units,
        # back to h0.
        if api.all_finite(found.h0):
            return found
    return accumulate_gradients(tape, dh, dh_T, dC_T, by_jacobians=False)


def uses_jacobians(tape: Tape | CheckpointedTape) -> bool:
    """Return whether the backward pass uses Jacobians: for one sequence of few units, as long as all is finite."""
    _, B, H = tape.h.shape
    return B == 1 and H <= single.MOST_UNITS


def accumulate_gradients(
    tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array, by_jacobians: bool
) -> Gradients:
    """Return the gradients; the weight gradients are accumulated block by block, from the last one."""
    p, (T, B, D) = tape.params, tape.x.shape
    H, U_T, dtype = p.hidden_size, p.U.T.copy(), p.W.dtype
    dx, δ25, δ11 = np.empty((T, B, D), dtype), dh_T.copy(), dC_T.copy()
    dWUb = np.zeros((H + D + 1, 4 * H), dtype)
    of_block = np.empty_like(dWUb)
    for start, segment in backward_segments(tape):
        for s, Δ, h_x_1 in backward_blocks(segment, dh[start:], δ25, δ11, by_jacobians):
            n = len(Δ)
            Δ, h_x_1 = Δ.reshape(n * B, 4 * H), h_x_1.reshape(n * B, H + D + 1)
            dot(h_x_1.T, Δ, of_block)
            dWUb += of_block
            dot(Δ, U_T, dx[start + s : start + s + n].reshape(n * B, D))
        del segment  # before the next one is allocated
    return Gradients(ParamGradients(dWUb[:H], dWUb[H:-1], dWUb[-1]), dx, δ25, δ11)


def backward_segments(tape: Tape | CheckpointedTape) -> Iterator[tuple[int, Tape]]:
    """Yield the first step and the tape of every segment from one checkpoint to the next, last segment first."""
    if isinstance(tape, Tape):
        yield 0, tape
        return
    kernel = api.in_range(run, tape.params, tape.x, tape.hs[0], tape.checkpoints[0])  # in the dtype of the forward pass
    for k in reversed(range(len(tape.checkpoints) - 1)):
        s = k * tape.every
        yield s, kernel(tape.params, tape.x[s : s + tape.every], tape.hs[s], tape.checkpoints[k])


def backward_blocks(
    tape: Tape, dh: Array, δ25: Array, δ11: Array, by_jacobians: bool
) -> Iterator[tuple[int, Array, Array]]:
    """Yield for every block, last first, its first step, its δ16, δ15, δ14, δ13 side by side, and its [h_prev, x, 1].

    The arrays are views that the next block overwrites. δ25 and δ11 are overwritten: on entry they arrive at the last
    step, as its δ2 and δ4, and after each block they leave its first step.
    """
    T, B, H = tape.h.shape
    block = steps_per_block(tape.x, H)
    if by_jacobians:
        kernel: single.BackwardKernel | batch.BackwardKernel = single.BackwardKernel.for_params(
            tape.params, block, ROWS
        )
    else:
        kernel = batch.BackwardKernel.for_params(tape.params, block, B)
    for s in reversed(range(0, T, block)):
        at = slice(s, min(s + block, T))
        h_x_1 = kernel.h_x_1[: at.stop - s]
        h_x_1[..., :H], h_x_1[..., H:-1] = tape.hs[at], tape.x[at]
        yield s, kernel.backward_block(tape, at, dh[at], δ25, δ11), h_x_1
    kernel.release()
