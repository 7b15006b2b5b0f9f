"""Locates an error that no known mistake explains.

In the forward pass, the location is the first wrong step, and whether the steps are right if each starts from the
state that the implementation itself returned for the preceding step. In the backward pass, every edge and every sum of
a correct unit is perturbed in turn: the error may lie in a computation whose perturbation changes exactly the outputs
that are wrong.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lstm_oracle.diagnosis.bugs.equations import GATE_EDGES, PREACTIVATION_EDGES, X_EDGES, Step
from lstm_oracle.diagnosis.bugs.unit import Unit
from lstm_oracle.diagnosis.evidence import FORWARD, Evidence
from lstm_oracle.diagnosis.fit import Fit
from lstm_oracle.diagnosis.hypothesis import Hypothesis
from lstm_oracle.diagnosis.perturb import AtStep, perturbed_units
from lstm_oracle.diagnosis.precision import is_float32_rounding
from lstm_oracle.run import GATES, Array
from lstm_oracle.truth.batch import FLOAT32

AT_STEPS: dict[str, AtStep] = {
    "": lambda t, T: True,
    " at the last step only": lambda t, T: t == T - 1,
    " at the first step only": lambda t, T: t == 0,
    " at every step but the last": lambda t, T: t < T - 1,
    " at every step but the first": lambda t, T: t > 0,
}
SMALL = 1e-6  # an error so small that its size is reported, because a plot would not show it


def locate(evidence: Sequence[Evidence]) -> str:
    """Return the location of the first error, in words that follow "The error is located"; empty if there is none.

    Args:
        evidence: the outputs of an implementation on one or more runs.
    """
    fits = [Fit(e) for e in evidence if e.has_expected_shapes]
    fits = sorted((fit for fit in fits if fit.wrong_places().any()), key=lambda fit: fit.search_cost)
    if not fits:
        return ""
    forward = [fit for fit in fits if fit.wrong_places()[: fit.partition.forward_places].any()]
    text = forward_location(forward[0]) if forward else backward_location(fits[0], responsible_gate(fits))
    # On a run on which float32 loses every digit, every error is within the tolerance of float32.
    if all(is_float32_rounding(fit) and fit.evidence.truth.is_well_conditioned(FLOAT32) for fit in fits):
        text += ". Every error is as small as a rounding error in float32"
    return text


# The forward pass.


def forward_location(fit: Fit) -> str:
    """Return the first wrong step, and which of its values is wrong."""
    wrong = [place for place, bad in zip(fit.partition.places, fit.wrong_places(), strict=True) if bad]
    by_step = [(step, name) for name, step in wrong if name in FORWARD and step is not None]
    if not by_step:
        return "in the forward pass: C_T is wrong" + (
            ", although every C is right" if "C" in fit.partition.names else ""
        )
    first = min(step for step, _ in by_step)
    names = {name for step, name in by_step if step == first}
    steps = len(fit.simulation.inputs["x"])
    return (
        f"in the forward pass: first wrong at step {first} of {steps}{wrong_rows(fit, names, first)}, "
        f"where {wrong_values(fit, names)}{steps_from_returned_states(fit)}{size_of_small_error(fit, names, first)}"
    )


def wrong_values(fit: Fit, names: set[str]) -> str:
    """Return which values of a step are wrong, and what may be the cause."""
    if "C" not in fit.partition.names or names == {"C"}:
        return f"{', '.join(sorted(names))} is wrong"
    if names == {"h"}:
        return "h is wrong and C is right, so the error is in gate o, in tanh(C) or in their product"
    return "C is wrong, so the error is in the gates f, i and g, in their inputs, or in the sum of the products"


def wrong_rows(fit: Fit, names: set[str], step: int) -> str:
    """Return which rows of the batch are wrong at a step; empty if all are."""
    truth = fit.evidence.truth
    wrong = np.zeros(fit.simulation.inputs["h0"].shape[0], bool)
    for name in names:
        units = truth.units(name, np.asarray(fit.evidence.outputs[name]), fit.evidence.dtype)[step]
        wrong |= (units > truth.tolerance(name)).any(axis=1)
    if wrong.all():
        return ""
    rows = [str(row) for row in np.flatnonzero(wrong)]
    return f" in row{'s' * (len(rows) > 1)} {', '.join(rows)} of the batch"


def steps_from_returned_states(fit: Fit) -> str:
    """Return which steps are right if each starts from the state returned for the preceding step; empty if mixed."""
    right = steps_right_from_returned_states(fit)
    if not right:
        return ""
    if right[0] and not any(right[1:]):
        return "; the first step is right, but no later step is, even if it starts from the returned h and C"
    if all(right[1:]) and not right[0]:
        return (
            "; every later step is right if it starts from the returned h and C, "
            "so the error is in the state from which the first step starts"
        )
    if not any(right):
        return "; no step is right, even if it starts from the returned h and C"
    return ""


def steps_right_from_returned_states(fit: Fit) -> list[bool]:
    """Return for each step whether it follows from the state returned for the preceding one; empty if unknown."""
    inputs = fit.simulation.inputs
    if not {"h", "C"} <= set(fit.partition.names) or len(inputs["x"]) < 2:
        return []
    h, C = (np.asarray(fit.evidence.outputs[name], np.float64) for name in "hC")
    unit, limit = Unit(inputs), 10 * float(np.max(fit.limit))
    right = []
    with np.errstate(all="ignore"):
        for t in range(unit.T):
            s = Step(t, unit.input_at(t), *((h[t - 1], C[t - 1]) if t else (inputs["h0"], inputs["C0"])))
            unit.forward(s)
            error = max(np.max(np.abs(s.h - h[t])), np.max(np.abs(s.C - C[t]) / np.maximum(1, np.abs(C[t]))))
            right.append(bool(error <= limit))
    return right


def size_of_small_error(fit: Fit, names: set[str], step: int) -> str:
    """Return the size of the error at a step if it is small; empty otherwise."""
    got, truth = fit.evidence.outputs, fit.evidence.truth.blocks
    error = max(float(np.max(np.abs(got[name][step].astype(np.float64) - truth[name][step]))) for name in names)
    return f"; the first error is only {error:.0e}" if error < SMALL else ""


# The backward pass.


def responsible_gate(fits: Sequence[Fit]) -> str | None:
    """Return the only gate from which the error of dx at the last step can come, or None if it cannot be determined.

    If D > H, the gradients of x from one gate, δ U.T, do not span the space of all x. The gate is the only one whose
    span contains the error.
    """
    for fit in fits:
        inputs, dx = fit.simulation.inputs, fit.evidence.outputs.get("dx")
        T, _, D = inputs["x"].shape
        if T - 1 not in wrong_dx_steps(fit) or dx is None or not fit.evidence.is_finite or inputs["h0"].shape[1] >= D:
            continue
        truth = fit.evidence.truth
        error = np.asarray(dx, np.float64)[-1] - truth.blocks["dx"][-1]
        rounding = fit.limit[fit.partition.places.index(("dx", T - 1))] * float(np.max(truth.scales["dx"][-1]))
        possible = [k for k in GATES if distance_to_span(error, inputs[f"U_{k}"]) <= rounding]
        if len(possible) == 1 and np.max(np.abs(error)) > 100 * rounding:
            return possible[0]
    return None


def wrong_dx_steps(fit: Fit) -> list[int]:
    """Return the steps at which dx is wrong."""
    wrong = zip(fit.partition.places, fit.wrong_places(), strict=True)
    return [step for (name, step), bad in wrong if name == "dx" and bad and step is not None]


def distance_to_span(error: Array, U: Array) -> float:
    """Return the largest entry of an error at x, (B, D), that no gradient of the form δ U.T explains."""
    δ, *_ = np.linalg.lstsq(U, error.T, rcond=None)
    return float(np.max(np.abs(error.T - U @ δ), initial=0))


def backward_location(fit: Fit, gate: str | None) -> str:
    """Return the wrong gradients, and the computations of the backward pass that change exactly these."""
    right_forward = " (the forward pass is right)" if fit.partition.forward_places else ""
    clauses = [wrong_gradients(fit), right_dx(fit), f"at the last step, the error of dx comes from gate {gate} only"]
    text = "; ".join(clause for clause in clauses[: 3 if gate else 2] if clause)
    return f"in the backward pass{right_forward}: {text}. {possible_causes(fit, gate)}"


def wrong_gradients(fit: Fit) -> str:
    """Return which gradients are wrong."""
    wrong = zip(fit.partition.places, fit.wrong_places(), strict=True)
    names = [*dict.fromkeys(name for (name, _), bad in wrong if bad)]
    given = [name for name in fit.partition.names if name not in FORWARD]
    if len(given) > 1 and set(given) <= set(names):
        return "all gradients are wrong"
    return f"{joined(names)} {'are' if len(names) > 1 else 'is'} wrong"


def right_dx(fit: Fit) -> str:
    """Return at which steps dx is right; empty if it is wrong at the last step or was not returned."""
    wrong, T = wrong_dx_steps(fit), len(fit.simulation.inputs["x"])
    if wrong and max(wrong) < T - 1:
        return f"dx is right from the last step back to step {max(wrong) + 1}"
    return "dx is right at every step" if "dx" in fit.partition.names and not wrong else ""


def possible_causes(fit: Fit, gate: str | None) -> str:
    """Return the computations whose perturbation changes exactly the wrong places, or the latest that changes all."""
    wrong = fit.wrong_places()
    of_gate = {f"δ{edges[gate]}" for edges in (GATE_EDGES, PREACTIVATION_EDGES, X_EDGES) if gate}
    for at_steps, at in AT_STEPS.items():
        causes = [name for name, unit in perturbed_units(at) if np.array_equal(dependent_places(fit, unit), wrong)]
        causes = [name for name in causes if name in of_gate] or causes
        if causes:
            others = f", but {joined(causes[1:], 'or')} would have the same effect" if causes[1:] else ""
            return f"If a single computation is wrong, the earliest possible is {causes[0]}{at_steps}{others}"
    last = "the upstream gradients"
    for name, unit in perturbed_units(AT_STEPS[""]):
        dependent = dependent_places(fit, unit)
        if dependent.any() and not (wrong & ~dependent).any():
            last = name
    return (
        "No single computation affects exactly these gradients; the latest that affects all of them, "
        f"and others, is {last}"
    )


def dependent_places(fit: Fit, perturbed: type[Unit]) -> Array:
    """Return the places at which a perturbed unit differs from the correct one, (P,)."""
    correct = fit.simulation.outputs(Hypothesis())
    assert correct is not None
    with np.errstate(all="ignore"):
        unit = perturbed(fit.simulation.inputs)
        return fit.differing_places(fit.partition.flatten(unit.states() | unit.gradients()), correct)


def joined(names: Sequence[str], conjunction: str = "and") -> str:
    """Return a list of names in words: a; a and b; a, b and c."""
    *first, last = names
    return f"{', '.join(first)} {conjunction} {last}" if first else last
