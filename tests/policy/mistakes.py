"""Mild mistakes that people made in an LSTM, each a function of a run: how far above the tolerance are they?

Each returns what `lstm-oracle judge` is given, states and gradients, or None for a run where it is no mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from types import SimpleNamespace
from unittest.mock import patch

import numpy as np

from manual import bptt, derivation
from reference.oracle import ours
from reference.oracle.cases import Case

Outputs = dict[str, np.ndarray]
GATES = "figo"


def outputs(case: Case, edges=dict, tape=None) -> Outputs:
    """States and gradients by `manual.bptt`; `edges` makes the dictionary of each step, the last step first."""
    right, upstream = ours.forward(bptt, case)
    tape = tape or right
    with np.errstate(all="ignore"):
        found = bptt.gradients(tape, **upstream, edges=edges)
    return {"h": tape.h, "C": tape.C, "C_T": tape.C_T} | ours.gradients(found)


def narrower(dtype):
    return {np.dtype(np.float64): np.float32, np.dtype(np.float32): np.float16}[dtype]


def in_steps(alter: Callable[[int, dict], None]):
    """A maker of dictionaries that are altered as they arrive, with the number of steps gone back."""
    gone = count()

    def edges(arriving):
        alter(next(gone), arriving)
        return arriving

    return edges


def rewriting(n: int, equation):
    """A maker of dictionaries with another equation for δn."""

    class Rewritten(dict):
        def __setitem__(self, m, δ):
            super().__setitem__(m, equation(self) if m == n else δ)

    return Rewritten


def narrow_tanh(case):
    def tanh(z):
        return np.tanh(z.astype(narrower(case.dtype))).astype(case.dtype)

    with patch.object(derivation, "np", SimpleNamespace(tanh=tanh, exp=np.exp, errstate=np.errstate)):
        return outputs(case)


def narrow_weights(case):
    """Weights of 11 significant bits, as a GPU's TF32 multiplies; of 24 in float64."""
    bits = {np.dtype(np.float64): 24, np.dtype(np.float32): 11}[case.dtype]

    def cut(array):
        mantissa, exponent = np.frexp(array)
        return np.ldexp(np.round(mantissa * 2**bits) / 2**bits, exponent).astype(array.dtype)

    return outputs(Case(0, case.regime, {n: cut(a) if n[:2] in ("W_", "U_") else a for n, a in case.inputs.items()}))


def narrow_sums(case):
    found = outputs(case)
    with np.errstate(over="ignore"):
        return found | {
            name: d.astype(narrower(case.dtype)).astype(d.dtype) for name, d in found.items() if name[:2] == "dW"
        }


def hard_sigmoid(case):
    with patch.object(derivation, "sigmoid", lambda z: np.clip(0.2 * z + 0.5, 0, 1).astype(z.dtype)):
        return outputs(case)


def another_gates_bias(case):
    found = outputs(case)
    return found | {"db_f": found["db_i"]}


def two_biases(case):
    found = outputs(case)
    return found | {f"db_{k}": 2 * found[f"db_{k}"] for k in GATES}


def mean_over_batch(case):
    found = outputs(case)
    return found | {f"db_{k}": found[f"db_{k}"] / case.sizes[1] for k in GATES} if case.sizes[1] > 1 else None


def last_step_alone(case):
    if case.sizes[0] < 2:
        return None
    tape, upstream = ours.forward(bptt, case)
    (_, s, δ), *_ = bptt.steps_back(tape, **upstream)
    return outputs(case) | {f"d{name}": d for name, d in derivation.updates(s, δ).items() if name[0] == "W"}


def truncated(case):
    T = case.sizes[0]

    def alter(gone, arriving):
        if gone == T - 1:
            arriving |= {2: 0 * arriving[2], 4: 0 * arriving[4]}

    return outputs(case, in_steps(alter)) if T > 1 else None


def without_carry(edge):
    def mistake(case):
        def alter(gone, arriving):
            if gone:
                arriving[edge] = 0 * arriving[edge]

        return outputs(case, in_steps(alter)) if case.sizes[0] > 1 else None

    return mistake


def without_dC_T(case):
    def alter(gone, arriving):
        if not gone:
            arriving[4] = 0 * arriving[4]

    return outputs(case, in_steps(alter)) if case.sizes[0] and case.inputs["dC_T"].any() else None


def h_for_h_prev(case):
    tape, upstream = ours.forward(bptt, case)
    found = outputs(case)
    if not case.sizes[0]:
        return None
    Δ = [np.stack([δ[n] for _, _, δ in bptt.steps_back(tape, **upstream)][::-1]) for n in (16, 15, 14, 13)]
    return found | {f"dW_{k}": np.einsum("tbi,tbj->ij", tape.h, δ) for k, δ in zip(GATES, Δ, strict=True)}


def h0_ignored_in_dW(case):
    tape, upstream = ours.forward(bptt, case)
    if not case.sizes[0] or not case.inputs["h0"].any():
        return None
    tape.hs[0] = 0
    found = outputs(case)
    wrong = ours.gradients(bptt.gradients(tape, **upstream))
    return found | {name: d for name, d in wrong.items() if name[:2] == "dW"}


def misprint(n, equation):
    def mistake(case):
        if case.sizes[0] < (2 if n == 22 else 1):
            return None
        tape, _ = ours.forward(bptt, case)
        return outputs(case, rewriting(n, lambda δ: equation(tape.params, δ)))

    return mistake


def dtanh_of_the_argument(case):
    """δ7 by 1 - C² where 1 - tanh² C is meant: the value taken for the function of it."""
    tape, _ = ours.forward(bptt, case)
    steps = iter(range(case.sizes[0] - 1, -1, -1))

    def edges(arriving):
        C = tape.C[next(steps)]
        return rewriting(7, lambda δ: δ[5] * (1 - C * C))(arriving)

    return outputs(case, edges)


def gates_swapped(case):
    run = case.inputs
    if not case.sizes[0]:
        return None
    return outputs(Case(0, case.regime, run | {f"W_{k}": run[f"W_{m}"] for k, m in ("io", "oi")}))


MISTAKES: dict[str, Callable[[Case], Outputs | None]] = {
    "tanh in the next narrower type": narrow_tanh,
    "weights of half the bits, as TF32": narrow_weights,
    "dW summed in the next narrower type": narrow_sums,
    "hard_sigmoid": hard_sigmoid,
    "W_i and W_o swapped": gates_swapped,
    "db_f copied from db_i": another_gates_bias,
    "bias counted twice in db": two_biases,
    "db is the mean over the batch": mean_over_batch,
    "dW from the last step alone": last_step_alone,
    "gradient cut off before the first step": truncated,
    "δ11 not carried": without_carry(4),
    "δ25 not carried": without_carry(2),
    "dC_T dropped": without_dC_T,
    "h for h_prev in dW": h_for_h_prev,
    "h0 ignored in dW": h0_ignored_in_dW,
    "1 - C² for 1 - tanh² C": dtanh_of_the_argument,
    "misprint 1, δ7 · δ4": misprint(8, lambda p, δ: δ[7] * δ[4]),
    "misprint 2, δ16 * W_iᵀ": misprint(22, lambda p, δ: δ[16] @ p.W_i.T),
}
