"""The unit over time, forward and backward: the literal implementation, based on the numbered derivation.

This implementation is written to be read, `manual.fused` to be fast. Both have the same signatures, except that
`manual.fused.forward` also takes `checkpoint`, and without checkpoints each accepts the tape of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from manual import api
from manual.checks import Array
from manual.derivation import Edges, Step, step, updates
from manual.derivation import deltas as step_deltas
from manual.params import ParamGradients, Params
from manual.tape import Gradients, Tape, empty_tape


def forward(params: Params, x: Array, h0: Array | None = None, C0: Array | None = None) -> Tape:
    """Run the unit over a batch of sequences, as `manual.forward` does."""
    return api.forward(run, params, x, h0, C0)


def backward(tape: Tape, dh: Array | None = None, *, dh_T: Array | None = None, dC_T: Array | None = None) -> Gradients:
    """Propagate the loss gradient back through time, as `manual.backward` does."""
    return api.backward(gradients, tape, dh, dh_T, dC_T)


def deltas(tape: Tape, dh: Array | None = None, *, dh_T: Array | None = None, dC_T: Array | None = None) -> list[Edges]:
    """Compute the loss gradient on every numbered edge of every step.

    Args:
        tape, dh, dh_T, dC_T: as for `manual.backward`, but a tape without checkpoints.

    Returns:
        One dictionary per step, `{1: δ1, …, 26: δ26}`, of arrays (B, H), or (B, D) on the edges that lead to x: 17, 19,
        21, 23 and 26. The numbers are those of the source; see DERIVATION.md and its picture.

    Raises:
        TypeError, ValueError: an argument of the wrong type, dtype or shape; the message names the argument.
    """
    return api.backward(all_deltas, tape, dh, dh_T, dC_T)


def run(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """Run the forward pass on validated input."""
    tape = empty_tape(params, x, h0, C0)
    for t in range(len(x)):
        s = step(params, x[t], tape.hs[t], tape.Cs[t])
        tape.f[t], tape.i[t], tape.g[t], tape.o[t] = s.f, s.i, s.g, s.o
        tape.Cs[t + 1], tape.tanh_C[t], tape.hs[t + 1] = s.C, s.tanh_C, s.h
    return tape


def step_of(tape: Tape, t: int) -> Step:
    """Return the values of step t under the names of the derivation, as views of the tape."""
    return Step(
        x=tape.x[t],
        h_prev=tape.hs[t],
        C_prev=tape.Cs[t],
        f=tape.f[t],
        i=tape.i[t],
        g=tape.g[t],
        o=tape.o[t],
        C=tape.Cs[t + 1],
        tanh_C=tape.tanh_C[t],
        h=tape.hs[t + 1],
    )


def steps_back(
    tape: Tape, dh: Array, dh_T: Array, dC_T: Array, edges: Callable[[Edges], Edges] = dict
) -> Iterator[tuple[int, Step, Edges]]:
    """Yield the index, the values and the edges of every step, from the last to the first.

    Args:
        tape, dh, dh_T, dC_T: validated; the edges 1, 2 and 4 refer to the upstream gradients without copying them.
        edges: makes the dictionary of a step's edges from the edges 1, 2 and 4. `lstm_oracle` passes one that records
            edges or replaces them by wrong ones.
    """
    δ25, δ11 = dh_T, dC_T
    for t in reversed(range(len(tape.x))):
        s = step_of(tape, t)
        δ = step_deltas(tape.params, s, edges({1: dh[t], 2: δ25, 4: δ11}))
        δ25, δ11 = δ[25], δ[11]
        yield t, s, δ


def all_deltas(tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> list[Edges]:
    """Return the edges of every step, from validated input."""
    upstream = dh.copy(), dh_T.copy(), dC_T.copy()  # because they are returned as δ1, δ2 and δ4
    return [δ for _, _, δ in steps_back(tape, *upstream)][::-1]


def gradients(tape: Tape, dh: Array, dh_T: Array, dC_T: Array, edges: Callable[[Edges], Edges] = dict) -> Gradients:
    """Run the backward pass on validated input, with `edges` as for `steps_back`."""
    W, U, b = tape.params.W, tape.params.U, tape.params.b
    d_params = ParamGradients(np.zeros_like(W), np.zeros_like(U), np.zeros_like(b))
    dx, dh0, dC0 = np.empty_like(tape.x), dh_T.copy(), dC_T.copy()
    for t, s, δ in steps_back(tape, dh, dh_T, dC_T, edges):
        for name, update in updates(s, δ).items():
            total = getattr(d_params, name)  # a view
            total += update  # a sum, because every step uses the same weights
        dx[t], dh0, dC0 = δ[26], δ[25], δ[11]
    return Gradients(d_params, dx, dh0, dC0)
