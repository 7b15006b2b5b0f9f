"""Finds the layout of the weights in a recorded run: the one under which the outputs are those of an LSTM.

Names and shapes allow about a hundred layouts. With each of them the first steps are computed, and the layout is
discarded if the states are further off than any tolerance allows. The others are judged like any recorded run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np

import manual
from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import check_outputs
from lstm_oracle.comparison.compare import compare_outputs, require_well_conditioned
from lstm_oracle.inputs.cases import Case
from lstm_oracle.inputs.files import read_run
from lstm_oracle.inputs.recorded import exact_input, path_of
from lstm_oracle.inputs.weight_layout import NOT_OF_WEIGHTS
from lstm_oracle.layouts.possible import possible_layouts
from lstm_oracle.layouts.result import Discovery, Match
from lstm_oracle.run import INPUTS, OUTPUTS, WEIGHTS, Array, complete
from lstm_oracle.truth.padding import require_memory
from lstm_oracle.truth.tolerance import MOST_ROUNDING
from lstm_oracle.truth.truth import truths
from manual.layouts import Layout, unpack
from manual.name_checks import array_of

NOT_WEIGHTS = [name for name in INPUTS if name not in WEIGHTS]
STATES = {"h", "C", "C_T"}
FIRST = 16  # the number of steps, and of rows, with which a layout is compared before it is judged
NEAR = 2 * MOST_ROUNDING  # the largest error of a layout that is judged; no tolerance allows more


def discover(run: Mapping[str, Any] | str | os.PathLike[str]) -> Discovery:
    """Find the layouts that explain a recorded run.

    Args:
        run: x, and h0 and C0 unless they are zero; h, C or C_T, and any of dx, dh0 and dC0 with the upstream
            gradients; and the weights, under any other names. A mapping, an `.npz` file, or a folder of `.npy`
            files.

    Raises:
        TypeError, ValueError: not a run, or arrays that cannot be the weights of an LSTM of its sizes;
            `RunFileError`, a ValueError, if a file is at fault.
    """
    subject = "run" if isinstance(run, Mapping) else str(run)
    arrays = run if isinstance(run, Mapping) else read_run(path_of(run), any_names=True)
    given, outputs, weights = sort_arrays({name: array_of(name, array) for name, array in arrays.items()})
    layouts = fitting_layouts(weights, given["x"].shape[-1], next(iter(outputs.values())).shape[-1])
    inputs = complete(given | unpack(weights, layouts[0]).gates())  # the weights of any layout, to check the shapes
    require_shapes(outputs, inputs)
    require_memory(Case(0, "recorded", inputs).sizes)
    judged = judge_layouts(near_layouts(layouts, weights, inputs, outputs), outputs)
    matches = tuple(match for match in judged if match.ok)
    nearest = None if matches else min(judged, key=lambda match: match.ratio, default=None)
    return Discovery(subject, tuple(outputs), len(layouts), matches, nearest)


def sort_arrays(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """Return the inputs of a run in float64, its outputs, and all other arrays, the weights, in float64."""
    if gradients := [name for name in arrays if name in OUTPUTS and name not in NOT_OF_WEIGHTS]:
        raise ValueError(
            f"{gradients[0]} is the gradient of a weight; expected x, h and the like, and the weights under other names"
        )
    given = {name: exact_input(name, arrays[name]) for name in NOT_WEIGHTS if name in arrays}
    outputs = {name: np.asarray(arrays[name]) for name in NOT_OF_WEIGHTS if name in arrays}
    others = [name for name in arrays if name not in {*NOT_WEIGHTS, *NOT_OF_WEIGHTS}]
    weights = {name: exact_input(name, arrays[name]) for name in others}
    if "x" not in given or outputs.keys().isdisjoint(STATES):
        found = ", ".join([*given, *outputs]) or "neither inputs nor outputs"
        raise ValueError(f"the run has {found}; expected x, and h, C or C_T")
    for name, array in (given | outputs).items():
        if array.ndim != len((INPUTS | OUTPUTS)[name]):
            raise ValueError(f"{name} has shape {array.shape}; expected ({', '.join((INPUTS | OUTPUTS)[name])})")
    return given, outputs, weights


def fitting_layouts(weights: Mapping[str, Array], D: int, H: int) -> list[Layout]:
    """Return every layout that the weights may have by their names and shapes.

    Raises:
        ValueError: there is none.
    """
    layouts = list(possible_layouts({name: array.shape for name, array in weights.items()}, D, H))
    if not layouts:
        found = ", ".join(f"{name} {array.shape}" for name, array in weights.items()) or "missing"
        raise ValueError(
            f"the weights are {found}; expected those of one LSTM with D={D} and H={H}: matrices with {D}, {H} or "
            f"{D + H} rows and {4 * H} columns, or transposed, or one for each gate; two biases, one or none"
        )
    return layouts


def require_shapes(outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> None:
    """Raise ValueError unless the outputs have the sizes of the run."""
    _, problems = check_outputs(dict(outputs), inputs)
    if misfits := [problem.text for problem in problems if problem.kind == FailureKind.SHAPE]:
        raise ValueError(misfits[0])


def state_error(params: manual.Params, run: Mapping[str, Array], outputs: Mapping[str, Array]) -> float:
    """Return the largest error of the states in the first steps and rows, that of cell states relative to their size.

    If C_T is the only state, all steps are computed.
    """
    first = slice(FIRST if {"h", "C"} & outputs.keys() else None)
    tape = manual.forward(params, run["x"][first, first], run["h0"][first], run["C0"][first])
    size = max(1, np.max(np.abs(tape.Cs), initial=0))
    errors = [np.abs(tape.h - outputs["h"][first, first])] if "h" in outputs else []
    errors += [np.abs(tape.C - outputs["C"][first, first]) / size] if "C" in outputs else []
    errors += [] if errors else [np.abs(tape.C_T - outputs["C_T"]) / size]
    worst = max(np.max(error, initial=0) for error in errors)
    return float(worst) if np.isfinite(worst) else np.inf


def near_layouts(
    layouts: Sequence[Layout], weights: Mapping[str, Array], inputs: Mapping[str, Array], outputs: Mapping[str, Array]
) -> list[tuple[Case, list[Layout]]]:
    """Return the layouts under which the first states are near the outputs, grouped by the weights that result.

    Each group comes with the case that has these weights.
    """
    found: dict[str, tuple[Case, list[Layout]]] = {}
    for layout in layouts:
        params = unpack(weights, layout)
        if state_error(params, inputs, outputs) <= NEAR:
            key = sha256(b"".join(array.tobytes() for array in params.gates().values())).hexdigest()
            found.setdefault(key, (Case(0, "recorded", {**inputs, **params.gates()}), []))[1].append(layout)
    return list(found.values())


def judge_layouts(near: Sequence[tuple[Case, list[Layout]]], outputs: Mapping[str, Array]) -> list[Match]:
    """Compare the outputs with each layout's truth, with the tolerance by which every run is judged.

    Raises:
        ValueError: no layout matches, and with some the run is too ill-conditioned to be judged.
    """
    found: list[Match] = []
    refusal = None
    for (_, layouts), truth in zip(near, truths([case for case, _ in near]), strict=True):
        try:
            require_well_conditioned(truth, outputs)
        except ValueError as error:
            refusal = error
            continue
        found += [Match(layout, tuple(compare_outputs(truth, outputs))) for layout in layouts]
    if refusal and not any(match.ok for match in found):
        raise refusal
    return found
