"""The two hand-written implementations, the twins, as subjects of `verify`: their blocks by name."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import WEIGHTS, Array
from lstm_oracle.truth.batch import VALUES
from manual import bptt, fused
from manual.params import Params
from manual.tape import Gradients, Tape


def bptt_blocks(case: Case) -> dict[str, Array]:
    """Return all values, edges and gradients of a run by `manual.bptt`; without a step there are no edges."""
    tape, upstream = forward(bptt, case)
    deltas = bptt.deltas(tape, **upstream)
    edges = {f"δ{n}": np.stack([δ[n] for δ in deltas]) for n in range(1, 27)} if deltas else {}
    return values(tape) | edges | gradients(bptt.backward(tape, **upstream))


def fused_blocks(case: Case) -> dict[str, Array]:
    """Return all values and gradients of a run by `manual.fused`, and the edges that its backward pass computes."""
    tape, upstream = forward(fused, case)
    gates = np.split(gate_deltas(tape, **upstream), 4, axis=-1)
    result = gradients(fused.backward(tape, **upstream))
    edges = dict(zip(("δ16", "δ15", "δ14", "δ13"), gates, strict=True))
    return values(tape) | edges | {"δ26": result["dx"]} | result


def gate_deltas(tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> Array:
    """Return δ16, δ15, δ14 and δ13 of every step as `manual.fused` has them side by side, (T, B, 4H).

    For a run with entries that are not finite, `manual.fused` may compute them in another way; none is drawn.
    """
    T, B, H = tape.h.shape
    found = np.empty((T, B, 4 * H), tape.h.dtype)
    by_jacobians = fused.uses_jacobians(tape)
    for first, block, _ in fused.backward_blocks(tape, dh, dh_T.copy(), dC_T.copy(), by_jacobians):
        found[first : first + len(block)] = block
    return found


def forward(twin: ModuleType, case: Case) -> tuple[Tape, dict[str, Array]]:
    """Return the tape of a twin's forward pass, and the upstream gradients for its backward pass."""
    run = case.inputs
    params = Params.from_gates(**{name: run[name] for name in WEIGHTS})
    tape: Tape = twin.forward(params, run["x"], run["h0"], run["C0"])
    return tape, {name: run[name] for name in ("dh", "dh_T", "dC_T")}


def values(tape: Tape) -> dict[str, Array]:
    """Return the values of the forward pass at every step, and the last cell state."""
    return {name: getattr(tape, name) for name in (*VALUES, "C_T")}


def gradients(found: Gradients) -> dict[str, Array]:
    """Return gradients under their names in a run."""
    by_gate = {f"d{name}": d for name, d in found.params.gates().items()}
    return by_gate | {"dx": found.x, "dh0": found.h0, "dC0": found.C0}
