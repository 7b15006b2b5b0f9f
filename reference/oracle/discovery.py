"""Finds how weights lie whose layout nobody knows: in which layouts a recorded run is that of an LSTM.

Names and shapes leave some hundred layouts. Each is run over the first steps, and dropped if it is
farther off than the policy could ever forgive; what is left is judged as any recorded run is.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from hashlib import sha256
from typing import Any

import numpy as np

import manual
from manual.layouts import LAYOUTS, Layout, unpack
from manual.named import array_of
from reference.oracle.behaviour import fitting
from reference.oracle.candidate_layouts import candidates, normal
from reference.oracle.cases import Case
from reference.oracle.files import read_run
from reference.oracle.findings import Finding
from reference.oracle.judging import exact, path_of, require_telling, require_within_reason
from reference.oracle.laid_out import OF_NO_WEIGHT
from reference.oracle.report import finite
from reference.oracle.tolerance import MOST_ROUNDING
from reference.oracle.trial import findings
from reference.oracle.truth import truths
from reference.run import INPUTS, OUTPUTS, WEIGHTS, Array, complete

GIVEN = [name for name in INPUTS if name not in WEIGHTS]
STATES = {"h", "C", "C_T"}
FIRST = 16  # steps and rows on which a layout must be near before it is judged
NEAR = 2 * MOST_ROUNDING  # so far off is no run that the policy accepts


@dataclass(frozen=True)
class Explanation:
    """A layout in which the run is, or may be, that of an LSTM, and how near each output is."""

    layout: Layout
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether every output is right to rounding."""
        return all(finding.ok for finding in self.findings)

    @property
    def ratio(self) -> float:
        """The worst error, as a multiple of what rounding may do."""
        return max(finding.ratio for finding in self.findings)

    @property
    def packages(self) -> list[str]:
        """The known layouts that are this one but for the names."""
        return [name for name, known in LAYOUTS.items() if form(known, self.layout) == form(self.layout, self.layout)]

    @property
    def conversion(self) -> str:
        """A few lines of Python that make `params` of the mapping `arrays`."""
        given = [field.name for field in fields(Layout) if getattr(self.layout, field.name) != field.default]
        arguments = "".join(f"    {name}={getattr(self.layout, name)!r},\n" for name in given)
        return (
            f"from manual.layouts import Layout, unpack\n\nlayout = Layout(\n{arguments})\n"
            "params = unpack({name: arrays[name] for name in layout.dims}, layout)"
        )

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "layout": {field.name: getattr(self.layout, field.name) for field in fields(Layout)},
            "packages": self.packages,
            "conversion": self.conversion,
            "blocks": [{"name": one.block, "ok": one.ok, "ratio": finite(one.ratio)} for one in self.findings],
        }


@dataclass(frozen=True)
class Discovery:
    """What was found: none, one or several layouts. `print` shows it to people, `to_json` to programs."""

    subject: str
    outputs: tuple[str, ...]
    tried: int
    explanations: tuple[Explanation, ...]
    nearest: Explanation | None  # where nothing explains the run

    @property
    def ok(self) -> bool:
        """Whether exactly one layout explains the run."""
        return len(self.explanations) == 1

    def __str__(self) -> str:
        from reference.oracle.layout_wording import words

        return words(self)

    def to_json(self) -> dict[str, Any]:
        """The same as JSON."""
        layouts = [one.to_json() for one in self.explanations]
        nearest = self.nearest and self.nearest.to_json()
        return {"ok": self.ok, "subject": self.subject, "tried": self.tried, "layouts": layouts, "nearest": nearest}


def discover(run: Mapping[str, Any] | str | os.PathLike[str]) -> Discovery:
    """Find the layouts that explain a recorded run.

    Args:
        run: x, and h0 and C0 where they are not zero; h, C or C_T, and any of dx, dh0 and dC0 with
            the upstream gradients; and the weights, by any other names, as a package or a program
            has them. A mapping, an `.npz` file, or a folder of `.npy` files.

    Raises:
        TypeError, ValueError: no run, or arrays that cannot be the weights of an LSTM of its sizes;
            `files.RunFileError` where a file is at fault.
    """
    subject = "run" if isinstance(run, Mapping) else str(run)
    arrays = run if isinstance(run, Mapping) else read_run(path_of(run), others=True)
    given, outputs, weights = sorted_out({name: array_of(name, array) for name, array in arrays.items()})
    D, H = given["x"].shape[-1], next(iter(outputs.values())).shape[-1]
    layouts = list(candidates({name: array.shape for name, array in weights.items()}, D, H))
    if not layouts:
        found = ", ".join(f"{name} {array.shape}" for name, array in weights.items()) or "not there"
        raise ValueError(
            f"the weights are {found}; expected those of one LSTM with D={D} and H={H}: matrices of {D}, {H} or "
            f"{D + H} rows and {4 * H} columns, or turned, or one for each gate; two biases, one or none"
        )
    anyhow = complete(given | unpack(weights, layouts[0]).gates())
    fit_shapes(outputs, anyhow)
    require_within_reason(Case(0, "recorded", anyhow).sizes)
    near: dict[str, tuple[Case, list[Layout]]] = {}  # those in which the weights are the same are judged as one
    for layout in layouts:
        params = unpack(weights, layout)
        if error(params, anyhow, outputs) <= NEAR:
            key = sha256(b"".join(array.tobytes() for array in params.gates().values())).hexdigest()
            near.setdefault(key, (Case(0, "recorded", anyhow | params.gates()), []))[1].append(layout)
    judged = judged_in_full(list(near.values()), outputs)
    right = tuple(one for one in judged if one.ok)
    nearest = None if right else min(judged, key=lambda one: one.ratio, default=None)
    return Discovery(subject, tuple(outputs), len(layouts), right, nearest)


def sorted_out(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, Array], dict[str, Array]]:
    """The inputs of a run, its outputs, and what is left: the weights. Numbers are exact in float64."""
    if unfit := [name for name in arrays if name in OUTPUTS and name not in OF_NO_WEIGHT]:
        raise ValueError(f"{unfit[0]} is a weight's gradient; expected x, h and the like, and weights by other names")
    given = {name: exact(name, arrays[name]) for name in GIVEN if name in arrays}
    outputs = {name: np.asarray(arrays[name]) for name in OF_NO_WEIGHT if name in arrays}
    weights = {name: exact(name, array) for name, array in arrays.items() if name not in {*GIVEN, *OF_NO_WEIGHT}}
    if "x" not in given or outputs.keys().isdisjoint(STATES):
        raise ValueError(f"the run has {', '.join([*given, *outputs]) or 'neither'}; expected x, and h, C or C_T")
    for name, array in (given | outputs).items():
        if array.ndim != len((INPUTS | OUTPUTS)[name]):
            raise ValueError(f"{name} has shape {array.shape}; expected ({', '.join((INPUTS | OUTPUTS)[name])})")
    return given, outputs, weights


def fit_shapes(outputs: Mapping[str, Array], inputs: Mapping[str, Array]) -> None:
    """Refuse outputs that are not of the run's sizes."""
    _, problems = fitting(dict(outputs), inputs)
    if unfit := [problem.text for problem in problems if problem.kind == "shape"]:
        raise ValueError(unfit[0])


def error(params: manual.Params, run: Mapping[str, Array], outputs: Mapping[str, Array]) -> float:
    """How far the states are off, in their own size, in the first steps and rows; C_T alone tells after all steps."""
    some = slice(FIRST if {"h", "C"} & outputs.keys() else None)
    tape = manual.forward(params, run["x"][some, some], run["h0"][some], run["C0"][some])
    size = max(1, np.max(np.abs(tape.Cs), initial=0))
    errors = [np.abs(tape.h - outputs["h"][some, some])] if "h" in outputs else []
    errors += [np.abs(tape.C - outputs["C"][some, some]) / size] if "C" in outputs else []
    errors += [] if errors else [np.abs(tape.C_T - outputs["C_T"]) / size]
    worst = max(np.max(off, initial=0) for off in errors)
    return float(worst) if np.isfinite(worst) else np.inf


def judged_in_full(near: Sequence[tuple[Case, list[Layout]]], outputs: Mapping[str, Array]) -> list[Explanation]:
    """Every output in each of the layouts, by the policy that judges every run."""
    cases = [case for case, _ in near]
    found: list[Explanation] = []
    refusal = None
    for (_, layouts), truth in zip(near, truths(cases), strict=True):
        try:
            require_telling(truth, outputs)
        except ValueError as error:
            refusal = error
            continue
        found += [Explanation(layout, tuple(findings(truth, outputs))) for layout in layouts]
    if refusal and not any(one.ok for one in found):
        raise refusal
    return found


def form(layout: Layout, like: Layout) -> tuple[object, ...]:
    """A layout without its names, and without its biases where `like` has none."""
    layout = normal(layout)
    stacked, kinds = layout.U == layout.W, ("U", "W", "b", "second_b") if like.names("b") else ("U", "W")
    counts = [(len(layout.names(kind)), len(layout.sharing(kind))) for kind in kinds]
    places = layout.interleaved, layout.direction, layout.h_first if stacked else None
    return layout.gates, {*layout.transposed}, places, layout.forget_offset, counts
