"""The hand-written twins, as subjects of the judge."""

from __future__ import annotations

from types import ModuleType

import numpy as np

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import Array
from manual import api as door
from manual import bptt, fused
from manual.unit import Gradients, Params, Tape


def bptt_blocks(case: Case) -> dict[str, Array]:
    """All values, edges and gradients by `manual.bptt`."""
    tape, upstream = forward(bptt, case)
    deltas = bptt.deltas(tape, **upstream)
    edges = {f"δ{n}": np.stack([δ[n] for δ in deltas]) for n in range(1, 27)} if deltas else {}
    return values(tape) | edges | gradients(bptt.backward(tape, **upstream))


def fused_blocks(case: Case) -> dict[str, Array]:
    """All values and gradients by `manual.fused`, and the edges that its backward pass holds."""
    tape, upstream = forward(fused, case)
    Δ, _, _ = gate_deltas(tape, upstream["dh"], upstream["dh_T"], upstream["dC_T"])
    edges = dict(zip(("δ16", "δ15", "δ14", "δ13"), np.split(Δ, 4, axis=-1), strict=True))
    result = gradients(fused.backward(tape, **upstream))
    return values(tape) | edges | {"δ26": result["dx"]} | result


def gate_deltas(tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> tuple[Array, Array, Array]:
    """δ16, δ15, δ14 and δ13 of every step as `fused` holds them side by side, (T, B, 4H); δ25 and δ11 of the first."""
    found = deltas_back(tape, dh, dh_T, dC_T, fused.goes_by_jacobians(tape))
    if door.finite(found):
        return found
    return deltas_back(tape, dh, dh_T, dC_T, by_jacobians=False)  # as `fused` itself


def deltas_back(tape: Tape, dh: Array, dh_T: Array, dC_T: Array, by_jacobians: bool) -> tuple[Array, Array, Array]:
    """Those of one of its two ways."""
    T, B, H = tape.h.shape
    all_Δ, δ25, δ11 = np.empty((T, B, 4 * H), tape.h.dtype), dh_T.copy(), dC_T.copy()
    for s, Δ, _ in fused.blocks_back(tape, dh, δ25, δ11, by_jacobians):
        all_Δ[s : s + len(Δ)] = Δ
    return all_Δ, δ25, δ11


def forward(twin: ModuleType, case: Case) -> tuple[Tape, dict[str, Array]]:
    """A twin's forward pass, and what arrives for its backward pass."""
    run = case.inputs
    params = Params.from_gates(**{name: array for name, array in run.items() if name[:2] in ("W_", "U_", "b_")})
    tape: Tape = twin.forward(params, run["x"], run["h0"], run["C0"])
    return tape, {name: run[name] for name in ("dh", "dh_T", "dC_T")}


def values(tape: Tape) -> dict[str, Array]:
    """The forward values of every step."""
    return {name: getattr(tape, name) for name in ("f", "i", "g", "o", "C", "tanh_C", "h", "C_T")}


def gradients(found: Gradients) -> dict[str, Array]:
    """The gradients by their names in a run."""
    by_gate = {f"d{name}": d for name, d in found.params.gates().items()}
    return by_gate | {"dx": found.x, "dh0": found.h0, "dC0": found.C0}
