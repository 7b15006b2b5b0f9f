"""Recognises by the digits of the outputs which part of a float64 implementation was computed in float32.

Unlike the other mistakes of the catalogue, such a mistake cannot be reproduced bit by bit: the float32 functions of two
libraries differ in the last bit, and a sum depends on its order. But a number that was computed in float32 has only so
many digits. Either an output is a float32 number, or the value of an activation function is, once the other factors of
an output are divided out. A mistake of precision is named if it makes the same outputs float32 numbers as the
implementation does, and leaves the same outputs right in float64.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lstm_oracle.comparison.compare import Place
from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, Unit
from lstm_oracle.diagnosis.evidence import Evidence
from lstm_oracle.diagnosis.fit import Fit
from lstm_oracle.diagnosis.hypothesis import Hypothesis
from lstm_oracle.run import GATES, Array
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import FLOAT32, FLOAT64

UNREPEATABLE = ("tanh_in_float32", "sigmoid_in_float32", "totals_in_float32", "backward_in_float32", "all_in_float32")


class Traces(NamedTuple):
    """The traces that a computation in float32 leaves in the outputs."""

    float32: dict[str, bool]  # for each wrong output, and each value computed from one, whether it is a float32 number
    right: dict[Place, bool]  # for each place, whether it is right in float64


def is_float32_rounding(fit: Fit) -> bool:
    """Return whether the outputs are judged in float64 and all errors are within the tolerance of float32."""
    error = fit.partition.largest(fit.returned - fit.partition.flatten(fit.evidence.truth.blocks))
    small = bool(np.all(tolerance.units(error, fit.scales, FLOAT32) <= fit.allowed))
    return small and fit.evidence.dtype == np.float64


def find_float32_parts(evidence: Sequence[Evidence]) -> list[tuple[Bug, ...]]:
    """Return the mistakes of precision whose traces equal those in the outputs, on every run."""
    fits = [fit for fit in map(Fit, evidence) if fit.partition.places]
    if not all(map(is_float32_rounding, fits)):
        return []
    seen = [traces(fit, fit.evidence.outputs) for fit in fits]
    if not any(any(of_run.float32.values()) for of_run in seen):
        return []
    found: list[tuple[Bug, ...]] = []
    for bug in map(CATALOGUE.__getitem__, UNREPEATABLE):
        left = [traces(fit, outputs_with(bug, fit)) for fit in fits]
        if left == seen:
            found.append((bug,))
    return found


def outputs_with(bug: Bug, fit: Fit) -> dict[str, Array]:
    """Run the unit with a mistake; return the outputs that the implementation returned, too."""
    _, found = Hypothesis((bug,)).run(fit.simulation.inputs)
    return {name: found[name] for name in fit.evidence.outputs}


def traces(fit: Fit, outputs: Mapping[str, Array]) -> Traces:
    """Return the traces of a computation in float32 in some outputs of a run."""
    partition, inputs = fit.partition, fit.simulation.inputs
    error = partition.largest(partition.flatten(outputs) - partition.flatten(fit.evidence.truth.blocks))
    units = tolerance.units(error, fit.scales, FLOAT64)
    right = dict(zip(partition.places, (units <= fit.allowed).tolist(), strict=True))
    wrong = {name for (name, _), is_right in right.items() if not is_right}

    blocks = {name: outputs[name] for name in partition.names}
    T, B, _ = inputs["x"].shape
    if T * B == 1:  # a bias gradient is not a sum then, and shows whether autodiff rounded it at a cast
        blocks = {name: array for name, array in blocks.items() if name[:2] != "db"}
    float32 = {name: is_float32(array) for name, array in blocks.items() if name in wrong}
    if "C_T" in blocks and T == 1:
        blocks["C"] = blocks["C_T"][None]
    if {"h", "C"} <= blocks.keys() and wrong & {"h", "C"}:
        values = activations(inputs, blocks["h"], blocks["C"])
        float32 |= {f"{name} in the steps": is_float32(array) for name, array in values.items()}
    return Traces(float32, right)


def activations(inputs: Mapping[str, Array], h: Array, C: Array) -> dict[str, Array]:
    """Return g, tanh(C) and o of every step, (T, B, H), computed from the states that an implementation returned."""
    unit = Unit(inputs)
    h_prev, C_prev = np.concatenate([inputs["h0"][None], h])[:-1], np.concatenate([inputs["C0"][None], C])[:-1]
    z = {k: h_prev @ inputs["W_" + k] + inputs["x"] @ inputs["U_" + k] + inputs["b_" + k] for k in GATES}
    with np.errstate(all="ignore"):
        f, i, o = (unit.sigmoid(z[k]) for k in "fio")
        return {"g": (C - f * C_prev) / i, "tanh(C)": h / o, "o": h / np.tanh(C)}


def is_float32(array: Array) -> bool:
    """Return whether nearly all numbers are within a thousandth of a unit in the last place of a float32 number."""
    numbers = array[np.isfinite(array) & (array != 0)]
    with np.errstate(all="ignore"):
        error = np.abs(numbers - numbers.astype(np.float32)) / (np.abs(numbers) * np.finfo(np.float32).eps)
    return bool(len(error) and np.mean(error < 1e-3) > 0.9)
