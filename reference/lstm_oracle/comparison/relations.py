"""What must hold between calls of a candidate, whatever the correct values are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation, same_bits
from lstm_oracle.comparison.compare import compare_outputs
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import GRADIENTS, INPUTS, OUTPUTS, Run
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.truth import Truth

Call = Callable[[Run], Observation]
SUMMED = [name for name in GRADIENTS if name[:2] in ("dW", "dU", "db")]  # over steps and rows
TOLERANCES = 4  # how many of them two results may differ by: each of the three calls has an error of its own


def same_again(call: Call, restart: Callable[[], bool], case: Case, other: Case, truth: Truth) -> Problem | None:
    """Check that the same inputs give the same bits, at once and after a call with other inputs of the same sizes.

    A difference comes either from state that a call left behind or from nondeterminism. It is state if every fresh
    start gives the same pair of results or, where nothing can be restarted, if the first call was right and the second
    was not.
    """

    def pair() -> tuple[Observation, Observation]:
        return call(case.inputs), call(case.inputs)

    first, second = pair()
    if not first.has_outputs:
        return None
    if changed := difference(first, second):
        if restart():
            fresh, restarted = pair(), restart()
            has_state = restarted and not any(difference(*calls) for calls in zip(fresh, pair(), strict=True))
        else:
            has_state = is_right(truth, first) and not is_right(truth, second)
        kind = FailureKind.KEEPS_STATE if has_state else FailureKind.UNSTABLE
        return Problem(kind, f"a second call with the same inputs {changed}")
    for problem in call(other.inputs).problems:
        if problem.kind == FailureKind.REUSES_OUTPUTS:
            return problem
    if changed := difference(first, call(case.inputs)):
        text = f"after a call with other inputs, a repeated call with the first inputs {changed}"
        return Problem(FailureKind.KEEPS_STATE, text)
    return None


def difference(first: Observation, again: Observation) -> str:
    """Return how a repeated call differs, as the end of a sentence; empty if it does not."""
    if not again.has_outputs or first.outputs.keys() != again.outputs.keys():
        return again.problems[0].text if again.problems else f"returns {', '.join(again.outputs) or 'nothing'}"
    for name, array in first.outputs.items():
        if not same_bits(array, again.outputs[name]):
            with np.errstate(all="ignore"):
                return f"gives a different {name}, by up to {np.max(np.abs(array - again.outputs[name])):.2g}"
    return ""


def is_right(truth: Truth, seen: Observation) -> bool:
    """Return whether all outputs are right."""
    return all(finding.ok for finding in compare_outputs(truth, seen.outputs))


def split_equals_whole(call: Call, case: Case, truth: Truth, whole: Observation) -> Problem | None:
    """Check that a sequence in two parts, with states passed on and gradients passed back, gives the same results."""
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
    else:  # the forward pass alone
        first = {name: array for name, array in first.items() if name in ("h", "C")}
    joined = {
        name: first[name] + second[name] if name in SUMMED else np.concatenate([first[name], second[name]])
        for name in common(first, second)
    }
    joined |= {name: first[name] for name in ("dh0", "dC0") if name in first}  # each is of one part alone
    joined |= {name: second[name] for name in ("C_T",) if name in second}
    text = f"between the whole sequence and its two parts, cut before step {cut}"
    return mismatch(FailureKind.SPLIT, truth, joined, whole.outputs, text)


def rows_are_independent(call: Call, case: Case, truth: Truth, whole: Observation) -> Problem | None:
    """Check that a batch in two parts gives the same results."""
    B = case.sizes[1]
    if B < 2:
        return None
    parts = []
    for rows in (slice(0, 1), slice(1, B)):
        part = {
            name: array.take(range(B)[rows], INPUTS[name].index("B")) if "B" in INPUTS[name] else array
            for name, array in case.inputs.items()
        }
        parts.append(call(part).outputs)
    joined = {
        name: parts[0][name] + parts[1][name]
        if name in SUMMED
        else np.concatenate([part[name] for part in parts], OUTPUTS[name].index("B"))
        for name in common(*parts)
    }
    text = f"between the whole batch and its two parts, the first row and the other {B - 1}"
    return mismatch(FailureKind.ROWS, truth, joined, whole.outputs, text)


def common(one: Run, other: Run) -> list[str]:
    """Return the names of the outputs that both have."""
    return [name for name in OUTPUTS if name in one and name in other]


def mismatch(kind: FailureKind, truth: Truth, joined: Run, whole: Run, where: str) -> Problem | None:
    """Return a problem for the first block in which two results differ by more than rounding explains."""
    for name in common(joined, whole):
        if not np.isfinite(whole[name]).all():
            continue
        with np.errstate(all="ignore"):
            error = joined[name].astype(np.float64) - whole[name]
        units = tolerance.units(error, truth.scales[name], whole[name].dtype).max(initial=0) / TOLERANCES
        if units > truth.allowed(name, units):
            return Problem(kind, f"{name} differs by up to {np.max(np.abs(error)):.2g} {where}")
    return None
