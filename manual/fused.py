"""The unit over time, forward and backward, fast: the same equations as `manual.bptt`, regrouped.

What takes time is the matrix products, then the memory, then, for small units, each call of NumPy.

- A step multiplies its state by all four gates' weights in one product. What no step waits for,
  `x @ U + b`, dx and the weights' gradients, is one product for a whole block of steps.
- The bias is the weight of one more input, which is always 1: it costs nothing of its own.
- A product wants a step's gates side by side, (B, 4H); everything else wants them one behind the
  other, (4, B, H), for one call to serve several. Transposed views lead from one to the other.
- The factors of δ3 and δ8 on their way to the gates depend on the forward pass alone: they are
  computed for a block at a time, before the loop that goes back over its steps.
- A block is short, so that for units of usual size what one call leaves in the cache is still there
  for the next.
- Buffers are made once a pass. The loops run over zipped views, which are made faster than by an index, and
  give `out` by position, which is called faster than by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from math import isqrt
from typing import overload

import numpy as np

from manual import door
from manual.checks import checked_size
from manual.unit import Array, CheckpointedTape, Gradients, Params, States, Tape, empty_tape, unchecked

ROWS = 256  # of a product that serves a block: enough for it to run at full speed


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
            the same, to the bit for True, else to rounding.

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
    tape = empty_tape(params, x, h0, C0)
    h = h0
    H, block, (T, B, D) = params.hidden_size, block_of(x), x.shape
    W, U_b = weights_of_slabs(params)
    x_1 = with_a_one(block, x)
    from_x = np.empty((block, B, 4 * H), x.dtype)
    sums, sigmoids, addends = (np.empty((n, B, H), x.dtype) for n in (4, 3, 2))
    z = sums.reshape(B, 4 * H)
    z_g, *_ = z_by_gate = z.reshape(B, 4, H).swapaxes(0, 1)
    z_sigmoids = z_by_gate[1:]
    kept, new = addends
    one = np.array(1, x.dtype)
    for s in range(0, T, block):
        n = len(x[s : s + block])
        x_1[:n, :, :D] = x[s : s + n]
        np.dot(x_1[:n].reshape(n * B, D + 1), U_b, from_x[:n].reshape(n * B, 4 * H))
        slabs = tape.slabs[s:]
        views = slabs[:, 1], slabs[:, 2:], slabs[:, :2], slabs[:, 2:4], slabs[:, 4]
        for z_x, g, f_i_o, C_g, f_i, o, C, tanh_C, h_next in zip(  # to the end of the block, or of the sequence
            from_x, *views, tape.Cs[s + 1 :], tape.tanh_C[s:], tape.hs[s + 1 :], strict=False
        ):
            np.dot(h, W, z)
            np.add(z, z_x, z)
            np.exp(z_sigmoids, sigmoids)
            np.add(sigmoids, one, sigmoids)
            np.reciprocal(sigmoids, f_i_o)
            np.tanh(z_g, g)
            np.multiply(C_g, f_i, addends)
            np.add(kept, new, C)
            np.tanh(C, tanh_C)
            np.multiply(tanh_C, o, h_next)
            h = h_next
    return tape


def run_in_stretches(params: Params, x: Array, h0: Array, C0: Array, every: int | None) -> CheckpointedTape:
    """The forward pass, a stretch at a time, of whose tape h stays, and where the cell stood."""
    T = len(x)
    if every is None:  # whole blocks: then every product is the one it is without checkpoints
        every = block_of(x) * max(1, round(isqrt(T) / block_of(x)))
    every = max(1, min(every, T))
    hs, checkpoints = np.empty((T + 1, *h0.shape), x.dtype), [C0.copy()]
    hs[0] = h0
    for s in range(0, T, every):
        tape = run(params, x[s : s + every], hs[s], checkpoints[-1])
        hs[s + 1 : s + 1 + every] = tape.h
        checkpoints.append(tape.C_T.copy())
    return CheckpointedTape(params, x, hs, np.stack(checkpoints), every)


def run_without_tape(params: Params, x: Array, h0: Array, C0: Array) -> States:
    """The forward pass, its tape gone after each block."""
    tape = run_in_stretches(params, x, h0, C0, block_of(x))
    return States(tape.h, tape.h_T, tape.C_T)


def block_of(x: Array) -> int:
    """How many steps make a block."""
    T, B, _ = x.shape
    return max(1, min(T, ROWS // max(1, B)))


def weights_of_slabs(params: Params) -> tuple[Array, Array]:
    """W, and U with b below it, their columns in the slabs' order, g, f, i, o.

    Those of the sigmoids are negated: 1 / (1 + exp(-z)) then takes what comes.
    """
    H = params.hidden_size
    given = np.concatenate([params.W, params.U, params.b[None]])
    negated = -given  # in one piece: NumPy 2.4's negative is wrong from float32 columns into columns
    ours = np.concatenate([given[:, 2 * H : 3 * H], negated[:, : 2 * H], negated[:, 3 * H :]], axis=1)
    return ours[:H], ours[H:]


def with_a_one(block: int, x: Array) -> Array:
    """Room for a block of x, with one more input that is 1."""
    _, B, D = x.shape
    x_1 = np.empty((block, B, D + 1), x.dtype)
    x_1[..., D] = 1
    return x_1


def gradients(tape: Tape | CheckpointedTape, dh: Array, dh_T: Array, dC_T: Array) -> Gradients:
    """The backward pass, on checked input."""
    p, (T, B, D) = tape.params, tape.x.shape
    H, U_T = p.hidden_size, p.U.T.copy()
    dW, dU_b = np.zeros_like(p.W, order="C"), np.zeros((D + 1, 4 * H), p.W.dtype)
    dx, δ25, δ11 = np.empty((T, B, D), p.W.dtype), dh_T.copy(), dC_T.copy()
    x_1 = with_a_one(block_of(tape.x), tape.x)
    for start, stretch in stretches_back(tape):
        for s, Δ in blocks_back(stretch, dh[start:], δ25, δ11):
            n = len(Δ)
            Δ = Δ.reshape(n * B, 4 * H)
            x_1[:n, :, :D] = stretch.x[s : s + n]
            dW += stretch.hs[s : s + n].reshape(n * B, H).T @ Δ
            dU_b += x_1[:n].reshape(n * B, D + 1).T @ Δ
            np.dot(Δ, U_T, dx[start + s : start + s + n].reshape(n * B, D))
        del stretch  # before the next one is made
    return Gradients(unchecked(dW, dU_b[:D], dU_b[D]), dx, δ25, δ11)


def stretches_back(tape: Tape | CheckpointedTape) -> Iterator[tuple[int, Tape]]:
    """The tape in pieces, each with its first step: all in one, or those between checkpoints, last first."""
    if isinstance(tape, Tape):
        yield 0, tape
        return
    for k in reversed(range(len(tape.checkpoints) - 1)):
        s = k * tape.every
        yield s, run(tape.params, tape.x[s : s + tape.every], tape.hs[s], tape.checkpoints[k])


def blocks_back(tape: Tape, dh: Array, δ25: Array, δ11: Array) -> Iterator[tuple[int, Array]]:
    """The first step of every block and its δ16, δ15, δ14 and δ13 side by side, last block first.

    δ25 and δ11 are written to: they hold what arrives at the last step, then what leaves the first.
    """
    T, B, H = tape.h.shape
    block, dtype = block_of(tape.x), tape.h.dtype
    W_T = tape.params.W.T.copy()
    buffer = np.empty((block, B, 4 * H), dtype)
    Δ_by_gate = buffer.reshape(block, B, 4, H).swapaxes(1, 2)
    scratch = [np.empty((block, n, B, H), dtype) for n in (3, 3, 2, 1, 1)]
    δ3, δ8 = np.empty_like(δ25), np.empty_like(δ25)
    for s in reversed(range(0, T, block)):
        n = len(tape.x[s : s + block])
        to_f_i_g, to_o, to_8 = factors(tape, slice(s, s + n), [array[:n] for array in scratch])
        views = dh[s : s + n], to_8, to_o, to_f_i_g, tape.f[s : s + n], Δ_by_gate[:n, :3], Δ_by_gate[:n, 3], buffer[:n]
        for δ1, δ3_to_8, δ3_to_13, δ8_to_gates, f, δ16_15_14, δ13, Δ in zip(*(v[::-1] for v in views), strict=True):
            np.add(δ1, δ25, δ3)
            np.multiply(δ3, δ3_to_8, δ8)
            np.add(δ8, δ11, δ8)
            np.multiply(δ8, δ8_to_gates, δ16_15_14)
            np.multiply(δ3, δ3_to_13, δ13)
            np.multiply(δ8, f, δ11)
            np.dot(Δ, W_T, δ25)
        yield s, buffer[:n]


def factors(tape: Tape, steps: slice, scratch: list[Array]) -> tuple[Array, Array, Array]:
    """What takes δ8 to δ16, δ15 and δ14, (n, 3, B, H), and δ3 to δ13 and to δ8, (n, B, H) each."""
    slabs, h = tape.slabs[steps], tape.h[steps]
    f_i_o, i, o, g = slabs[:, 2:], slabs[:, 3], slabs[:, 4], slabs[:, 1]
    to_f_i_g, rests, addends, to_o, to_8 = scratch
    to_o, to_8, to_g = to_o[:, 0], to_8[:, 0], to_f_i_g[:, 2]
    np.subtract(1, f_i_o, rests)
    np.multiply(slabs[:, :2], slabs[:, 2:4], addends)  # C_prev * f and g * i
    np.multiply(addends, rests[:, :2], to_f_i_g[:, :2])  # C_prev * f * (1 - f) and g * i * (1 - i)
    np.multiply(addends[:, 1], g, to_g)
    np.subtract(i, to_g, to_g)  # i * (1 - g * g)
    np.multiply(h, rests[:, 2], to_o)  # tanh_C * o * (1 - o)
    np.multiply(h, tape.tanh_C[steps], to_8)
    np.subtract(o, to_8, to_8)  # o * (1 - tanh_C * tanh_C)
    return to_f_i_g, to_o, to_8
