"""Which part of a float64 program was computed in float32, told by the digits of its outputs.

Two libraries' float32 functions differ in their last bit, and a sum depends on its order. So such a
program cannot be repeated bit by bit, as the catalogue's other mistakes can. But a number that was
computed in float32 has only so many digits: an output is one, or the tanh in it is, once the exact
rest is divided out. A mistake of precision is named if the program's outputs have few digits exactly
where that mistake leaves few, and are right in float64 exactly where it leaves them right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, Unit
from lstm_oracle.diagnosis.fit import Evidence, Fit, Program
from lstm_oracle.run import GATES, Array
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import FLOAT32

UNREPEATABLE = ("tanh_in_float32", "sigmoid_in_float32", "totals_in_float32", "backward_in_float32", "all_in_float32")
Marks = dict[object, bool]


def slight(fit: Fit) -> bool:
    """Whether all errors of a float64 program are what float32 would lose."""
    truth = fit.evidence.truth
    error = fit.worst(fit.got - fit.flat(truth.blocks))
    small = bool(np.all(tolerance.units(error, fit.scales, FLOAT32) <= fit.allowed))
    return small and fit.evidence.dtype == np.float64


def rounded_parts(evidence: Sequence[Evidence]) -> list[tuple[Bug, ...]]:
    """The mistakes of precision whose traces the outputs of every run have."""
    fits = [fit for fit in map(Fit, evidence) if fit.cells]
    if not all(map(slight, fits)):
        return []
    seen = [marks(fit, fit.evidence.outputs) for fit in fits]
    if not any(any(few.values()) for few, _ in seen):
        return []
    found: list[tuple[Bug, ...]] = []
    for bug in map(CATALOGUE.__getitem__, UNREPEATABLE):
        left = [marks(fit, outputs(fit, Program((bug,)))) for fit in fits]
        if left == seen:
            found.append((bug,))
    return found


def outputs(fit: Fit, program: Program) -> dict[str, Array]:
    """What a program gives on a run, of the outputs that are there."""
    (bug,) = program.bugs
    unit: Unit = bug.unit(fit.run)
    found = unit.states() | unit.gradients()
    return {name: found[name] for name in fit.evidence.outputs}


def marks(fit: Fit, outputs: Mapping[str, Array]) -> tuple[Marks, Marks]:
    """Where wrong outputs have the digits of float32 alone, and where outputs are right in float64."""
    error = fit.worst(fit.flat(outputs) - fit.flat(fit.evidence.truth.blocks))
    units = tolerance.units(error, fit.scales, np.dtype(np.float64))
    right: Marks = dict(zip(fit.cells, (units <= fit.allowed).tolist(), strict=True))
    blocks = {name: outputs[name] for name in fit.names}
    T, B, _ = fit.run["x"].shape
    if T * B == 1:  # a bias's gradient is no sum, and shows whether autodiff rounded it where it passed a cast
        blocks = {name: array for name, array in blocks.items() if name[:2] != "db"}
    few: Marks = {
        name: is_float32(a) for name, a in blocks.items() if not all(right[c] for c in fit.cells if c[0] == name)
    }
    if "C_T" in blocks and T == 1:
        blocks["C"] = blocks["C_T"][None]
    if {"h", "C"} <= blocks.keys() and not all(right[cell] for cell in fit.cells if cell[0] in "hC"):
        few |= {f"{name} inside": is_float32(a) for name, a in inside(fit.run, blocks["h"], blocks["C"]).items()}
    return few, right


def inside(run: Mapping[str, Array], h: Array, C: Array) -> dict[str, Array]:
    """The values of tanh and of a sigmoid in every step, from the program's own states and the exact rest."""
    unit = Unit(run)
    h_prev, C_prev = np.concatenate([run["h0"][None], h])[:-1], np.concatenate([run["C0"][None], C])[:-1]
    z = {k: h_prev @ run["W_" + k] + run["x"] @ run["U_" + k] + run["b_" + k] for k in GATES}
    with np.errstate(all="ignore"):
        f, i, o = (unit.sigmoid(z[k]) for k in "fio")
        return {"g": (C - f * C_prev) / i, "tanh(C)": h / o, "o": h / np.tanh(C)}


def is_float32(array: Array) -> bool:
    """Whether nearly all numbers are within a thousandth of a last float32 digit of a float32 number."""
    numbers = array[np.isfinite(array) & (array != 0)]
    with np.errstate(all="ignore"):
        off = np.abs(numbers - numbers.astype(np.float32)) / (np.abs(numbers) * np.finfo(np.float32).eps)
    return bool(len(off) and np.mean(off < 1e-3) > 0.9)
