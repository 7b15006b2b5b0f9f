"""What must hold between the calls of a candidate, whatever the right values are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from reference.oracle import tolerance
from reference.oracle.behaviour import Observation, Problem, same_bits
from reference.oracle.cases import Case
from reference.oracle.trial import findings, returned
from reference.oracle.truth import Truth
from reference.run import GRADIENTS, INPUTS, OUTPUTS, Run

Call = Callable[[Run], Observation]
SUMMED = [name for name in GRADIENTS if name[:2] in ("dW", "dU", "db")]  # over steps and rows
ALLOWED = 4  # tolerances: each of three calls has an error of its own


def same_again(call: Call, restart: Callable[[], bool], case: Case, other: Case, truth: Truth) -> Problem | None:
    """The same inputs give the same bits, at once, and after other inputs of the same sizes.

    Outputs that differ come from what a call left behind, or from chance. They come from what was
    left if every fresh start gives the same pair or, where nothing can be started afresh, if the
    first call was right and the second was not.
    """

    def pair() -> tuple[Observation, Observation]:
        return call(case.inputs), call(case.inputs)

    first, second = pair()
    if not returned(first):
        return None
    if changed := differing(first, second):
        text = f"a second call with the same inputs {changed}"
        if restart():
            fresh, restarted = pair(), restart()
            repeats = restarted and not any(differing(*calls) for calls in zip(fresh, pair(), strict=True))
        else:
            repeats = is_right(truth, first) and not is_right(truth, second)
        return Problem("keeps_state" if repeats else "unstable", text)
    for problem in call(other.inputs).problems:
        if problem.kind == "reuses_outputs":
            return problem
    if changed := differing(first, call(case.inputs)):
        return Problem("keeps_state", f"after a call with other inputs, one with the same inputs as before {changed}")
    return None


def differing(first: Observation, again: Observation) -> str:
    """What a later call does otherwise, in words; empty if nothing."""
    if not returned(again) or first.outputs.keys() != again.outputs.keys():
        return again.problems[0].text if again.problems else f"returns {', '.join(again.outputs) or 'nothing'}"
    for name, array in first.outputs.items():
        if not same_bits(array, again.outputs[name]):
            with np.errstate(all="ignore"):
                return f"gives another {name}, by up to {np.max(np.abs(array - again.outputs[name])):.2g}"
    return ""


def is_right(truth: Truth, seen: Observation) -> bool:
    """Whether all outputs are."""
    return all(finding.ok for finding in findings(truth, seen.outputs))


def split_equals_whole(call: Call, case: Case, truth: Truth, whole: Observation) -> Problem | None:
    """A sequence in two pieces, the state handed on and the gradient handed back, gives what the whole gives."""
    T, run = case.sizes[0], case.inputs
    names = whole.outputs.keys()
    if T < 2 or "h" not in names or not names & {"C", "C_T"}:
        return None
    cut = (T + 1) // 2
    early = run | {name: run[name][:cut] for name in ("x", "dh")}
    late = run | {name: run[name][cut:] for name in ("x", "dh")}
    first = call(early).outputs
    if "h" not in first or not first.keys() & {"C", "C_T"}:
        return None
    second = call(late | {"h0": first["h"][-1], "C0": first["C_T"] if "C_T" in first else first["C"][-1]}).outputs
    if "dh0" in second and "dC0" in second:
        first = call(early | {"dh_T": second["dh0"], "dC_T": second["dC0"]}).outputs
    else:  # forward alone
        first = {name: array for name, array in first.items() if name in ("h", "C")}
    joined = {
        name: first[name] + second[name] if name in SUMMED else np.concatenate([first[name], second[name]])
        for name in common(first, second)
    }
    joined |= {name: first[name] for name in ("dh0", "dC0") if name in first}  # these are of one piece alone
    joined |= {name: second[name] for name in ("C_T",) if name in second}
    return apart("split", truth, joined, whole.outputs, f"the whole and its pieces, cut before step {cut}")


def rows_are_independent(call: Call, case: Case, truth: Truth, whole: Observation) -> Problem | None:
    """A batch in two parts gives what the whole gives."""
    B = case.sizes[1]
    if B < 2:
        return None
    parts = []
    for rows in (slice(0, 1), slice(1, B)):
        taken = {
            name: array.take(range(B)[rows], INPUTS[name].index("B")) if "B" in INPUTS[name] else array
            for name, array in case.inputs.items()
        }
        parts.append(call(taken).outputs)
    joined = {
        name: parts[0][name] + parts[1][name]
        if name in SUMMED
        else np.concatenate([part[name] for part in parts], OUTPUTS[name].index("B"))
        for name in common(*parts)
    }
    return apart("rows", truth, joined, whole.outputs, f"the batch and its rows, the first and the other {B - 1}")


def common(one: Run, other: Run) -> list[str]:
    """The outputs that both have."""
    return [name for name in OUTPUTS if name in one and name in other]


def apart(kind: str, truth: Truth, joined: Run, whole: Run, between: str) -> Problem | None:
    """The first block in which two results are further apart than rounding may bring them."""
    for name in common(joined, whole):
        if not np.isfinite(whole[name]).all():
            continue
        with np.errstate(all="ignore"):
            error = joined[name].astype(np.float64) - whole[name]
        units = tolerance.units(error, truth.scales[name], whole[name].dtype).max(initial=0) / ALLOWED
        if units > truth.allowed(name, units):
            return Problem(kind, f"{name} differs by up to {np.max(np.abs(error)):.2g} between {between}")
    return None
