"""Relations that must hold between the calls of a candidate, whatever the correct values are."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation, same_bits
from lstm_oracle.comparison.compare import compare_outputs
from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import GRADIENTS, INPUTS, OUTPUTS, Array, Run
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.truth import Truth

Call = Callable[[Run], Observation]
SUMMED = [name for name in GRADIENTS if name[:2] in ("dW", "dU", "db")]  # sums over steps and rows
TOLERANCES = 4  # the number of tolerances by which two results may differ: each of the three calls has its own error


def same_again(call: Call, restart: Callable[[], bool], case: Case, other: Case, truth: Truth) -> Problem | None:
    """Check that equal inputs give equal bits, at once and after a call with other inputs of the same sizes.

    A difference is caused either by state from an earlier call or by nondeterminism. It counts as state if every
    restart leads to the same pair of results or, for a candidate that cannot be restarted, if the first call is right
    and the second is wrong.

    Args:
        call: calls the candidate.
        restart: restarts the candidate, and returns whether that is possible.
        case: the inputs of the repeated calls.
        other: the other inputs.
        truth: the truth of `case`.
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
        text = f"after a call with other inputs, a call with the first inputs {changed}"
        return Problem(FailureKind.KEEPS_STATE, text)
    return None


def difference(first: Observation, again: Observation) -> str:
    """Return how a repeated call differs from the first, as the end of a sentence; empty if nothing differs."""
    if not again.has_outputs or first.outputs.keys() != again.outputs.keys():
        return again.problems[0].text if again.problems else f"returns {', '.join(again.outputs) or 'nothing'}"
    for name, array in first.outputs.items():
        if not same_bits(array, again.outputs[name]):
            with np.errstate(all="ignore"):
                error = np.max(np.abs(array - again.outputs[name]))
            return f"returns a different {name}, by up to {error:.2g}"
    return ""


def is_right(truth: Truth, seen: Observation) -> bool:
    """Return whether all outputs are right."""
    return all(finding.ok for finding in compare_outputs(truth, seen.outputs))


def split_equals_whole(call: Call, case: Case, truth: Truth, whole: Observation) -> Problem | None:
    """Check that a sequence computed in two parts equals the whole."""
    T = case.sizes[0]
    if T < 2 or not has_states(whole.outputs):
        return None
    cut = (T + 1) // 2
    joined = computed_in_two_parts(call, case.inputs, cut)
    text = f"between the whole sequence and its two parts, cut before step {cut}"
    return mismatch(FailureKind.SPLIT, truth, joined, whole.outputs, text)


def has_states(outputs: Run) -> bool:
    """Return whether the outputs contain the states with which a later sequence can continue."""
    return "h" in outputs and ("C" in outputs or "C_T" in outputs)


def computed_in_two_parts(call: Call, run: Run, cut: int) -> dict[str, Array]:
    """Return the outputs of a sequence cut before a step; empty if the first part does not return its states.

    The states of the first part are passed on to the second, and the gradients of the second are passed back.
    """
    early = {**run} | {name: run[name][:cut] for name in ("x", "dh")}
    late = {**run} | {name: run[name][cut:] for name in ("x", "dh")}
    first = call(early).outputs
    if not has_states(first):
        return {}
    second = call(late | {"h0": first["h"][-1], "C0": first["C_T"] if "C_T" in first else first["C"][-1]}).outputs
    if "dh0" in second and "dC0" in second:
        first = call(early | {"dh_T": second["dh0"], "dC_T": second["dC0"]}).outputs
    else:  # compare only the forward pass
        first = {name: array for name, array in first.items() if name in ("h", "C")}
    at_the_ends = {"C_T": second, "dh0": first, "dC0": first}
    joined = {name: join(name, (first, second), "T") for name in common(first, second) if name not in at_the_ends}
    return joined | {name: part[name] for name, part in at_the_ends.items() if name in part}


def rows_are_independent(call: Call, case: Case, truth: Truth, whole: Observation) -> Problem | None:
    """Check that a batch computed in two parts equals the whole."""
    B = case.sizes[1]
    if B < 2:
        return None
    first, others = (call(rows_of(case.inputs, rows)).outputs for rows in (range(1), range(1, B)))
    joined = {name: join(name, (first, others), "B") for name in common(first, others)}
    text = f"between the whole batch and its two parts, the first row and the other {B - 1}"
    return mismatch(FailureKind.ROWS, truth, joined, whole.outputs, text)


def rows_of(run: Run, rows: range) -> dict[str, Array]:
    """Return the inputs of some rows of the batch."""
    return {
        name: array.take(rows, INPUTS[name].index("B")) if "B" in INPUTS[name] else array for name, array in run.items()
    }


def join(name: str, parts: Sequence[Run], dim: str) -> Array:
    """Return an output of the whole from those of its parts: their sum, or else their concatenation along `dim`."""
    arrays = [part[name] for part in parts]
    return np.sum(arrays, axis=0) if name in SUMMED else np.concatenate(arrays, OUTPUTS[name].index(dim))


def common(one: Run, other: Run) -> list[str]:
    """Return the names of the outputs that both runs have."""
    return [name for name in OUTPUTS if name in one and name in other]


def mismatch(kind: FailureKind, truth: Truth, joined: Run, whole: Run, where: str) -> Problem | None:
    """Return a problem for the first output in which two results differ by more than rounding errors, or None."""
    for name in common(joined, whole):
        if not np.isfinite(whole[name]).all():
            continue
        with np.errstate(all="ignore"):
            error = joined[name].astype(np.float64) - whole[name]
        units = tolerance.units(error, truth.scales[name], whole[name].dtype).max(initial=0) / TOLERANCES
        if units > truth.allowed(name, units):
            return Problem(kind, f"{name} differs by up to {np.max(np.abs(error)):.2g} {where}")
    return None
