"""The unit over time, forward and backward, fast: the same equations as `manual.bptt`, regrouped.

- What no step waits for is done for all steps at once: `x @ U + b` before the forward loop; the
  gates' derivatives before the backward loop; dW, dU, db and dx after it, one GEMM each.
- A step multiplies its state by the four gates' weights in one GEMM.
- A step's gates lie one behind the other, (4, B, H), so that one call serves several of them.
- The loops write into buffers made once.
"""

from __future__ import annotations

import numpy as np

from manual import door
from manual.unit import Array, Gradients, Params, Tape, empty_tape, unchecked


def forward(params: Params, x: Array, h0: Array | None = None, C0: Array | None = None) -> Tape:
    """Run the unit over a batch of sequences.

    Args:
        params: the weights, of D inputs and H units.
        x: the input, (T, B, D); T, B and D may be 0.
        h0, C0: the hidden and the cell state to start from, (B, H); zeros if missing.

    Returns:
        The tape: `.h` and `.C` (T, B, H), `.h_T` and `.C_T` (B, H), in the dtype of `params`, and
        what `backward` needs. Its arrays are new, except that it refers to `params` and `x`:
        change neither before the backward pass.

    Raises:
        TypeError, ValueError: an argument's type, dtype or shape; the message says which and what.
    """
    return door.forward(run, params, x, h0, C0)


def backward(tape: Tape, dh: Array | None = None, *, dh_T: Array | None = None, dC_T: Array | None = None) -> Gradients:
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
    return door.backward(gradients, tape, dh, dh_T, dC_T)


def run(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """The forward pass, on checked input."""
    T, B, D = x.shape
    H = params.hidden_size
    tape = empty_tape(params, x, h0, C0)
    W, U, b = (f_i_o_g(stacked) for stacked in (params.W, params.U, params.b))
    from_x = (x.reshape(T * B, D) @ U + b).reshape(T, B, 4, H).swapaxes(1, 2)
    from_h = np.empty((B, 4 * H), x.dtype)
    from_h_by_gate = from_h.reshape(B, 4, H).swapaxes(0, 1)
    i_g = np.empty((B, H), x.dtype)
    for t in range(T):
        gates, C, tanh_C = tape.gates[t], tape.Cs[t + 1], tape.tanh_C[t]
        f, i, o, g = gates
        np.dot(tape.hs[t], W, out=from_h)
        np.add(from_x[t], from_h_by_gate, out=gates)
        sigmoids = gates[:3]
        np.exp(sigmoids, out=sigmoids)
        np.add(sigmoids, 1, out=sigmoids)
        np.reciprocal(sigmoids, out=sigmoids)
        np.tanh(g, out=g)
        np.multiply(tape.Cs[t], f, out=C)
        np.multiply(i, g, out=i_g)
        np.add(C, i_g, out=C)
        np.tanh(C, out=tanh_C)
        np.multiply(tanh_C, o, out=tape.hs[t + 1])
    return tape


def f_i_o_g(stacked: Array) -> Array:
    """Columns in the tape's order, the sigmoids' negated: 1 / (1 + exp(-z)) then takes what comes."""
    f, i, g, o = np.split(stacked, 4, axis=-1)
    return np.concatenate([-f, -i, -o, g], axis=-1)


def gate_deltas(tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> tuple[Array, Array, Array]:
    """δ16, δ15, δ14 and δ13 of every step side by side, (T, B, 4H); and δ25 and δ11 of the first."""
    T, B, H = tape.h.shape
    W_T = np.ascontiguousarray(tape.params.W.T)
    # What δ3 is multiplied by on its way to δ8 and δ13, and δ8 on its way to δ16, δ15 and δ14.
    to_8 = tape.o * (1 - tape.tanh_C * tape.tanh_C)
    to_13 = tape.tanh_C * tape.o * (1 - tape.o)
    to_gates = np.empty((T, 3, B, H), tape.h.dtype)
    to_gates[:, 0] = tape.Cs[:-1] * tape.f * (1 - tape.f)
    to_gates[:, 1] = tape.g * tape.i * (1 - tape.i)
    to_gates[:, 2] = tape.i * (1 - tape.g * tape.g)

    Δ = np.empty((T, B, 4 * H), tape.h.dtype)
    Δ_by_gate = Δ.reshape(T, B, 4, H).swapaxes(1, 2)
    δ25, δ11 = dh_T.copy(), dC_T.copy()
    δ3, δ8 = np.empty_like(δ25), np.empty_like(δ25)
    for t in reversed(range(T)):
        np.add(dh[t], δ25, out=δ3)
        np.multiply(δ3, to_8[t], out=δ8)
        np.add(δ8, δ11, out=δ8)
        np.multiply(δ8, to_gates[t], out=Δ_by_gate[t, :3])
        np.multiply(δ3, to_13[t], out=Δ_by_gate[t, 3])
        np.multiply(δ8, tape.f[t], out=δ11)
        np.dot(Δ[t], W_T, out=δ25)
    return Δ, δ25, δ11


def gradients(tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> Gradients:
    """The backward pass, on checked input."""
    T, B, D = tape.x.shape
    H = tape.params.hidden_size
    Δ, dh0, dC0 = gate_deltas(tape, dh, dh_T, dC_T)
    Δ = Δ.reshape(T * B, 4 * H)
    dW = tape.hs[:-1].reshape(T * B, H).T @ Δ
    dU = tape.x.reshape(T * B, D).T @ Δ
    dx = (Δ @ tape.params.U.T).reshape(T, B, D)
    return Gradients(unchecked(dW, dU, Δ.sum(axis=0)), dx, dh0, dC0)
