"""Explains wrong values: the first error, and the known mistakes that match or else the location of the error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.comparison.compare import first_error_text
from lstm_oracle.diagnosis.evidence import Evidence
from lstm_oracle.diagnosis.locate import locate
from lstm_oracle.diagnosis.search import diagnose
from lstm_oracle.reports.verdict import Explanation, RunArtifact
from lstm_oracle.run import DType


@dataclass(frozen=True)
class Explained:
    """The explanation of wrong values, as far as there is one."""

    first_error: str = ""
    explanations: tuple[Explanation, ...] = ()
    location: str = ""  # of the error, if there are no explanations


def explain(failing: RunArtifact, others: Sequence[RunArtifact] = ()) -> Explained:
    """Explain the wrong values of a run.

    Args:
        failing: the run.
        others: further runs of the same candidate, right or wrong, with which explanations must agree.
    """
    evidence = [evidence_of(run) for run in (failing, *others)]
    usable = [e for e in evidence if e.outputs]
    explanations = tuple(tuple(bugs) for bugs in diagnose(usable))
    first_error = first_error_text(failing.truth, evidence[0].outputs, evidence[0].dtype)
    return Explained(first_error, explanations, "" if explanations else locate(usable))


def evidence_of(run: RunArtifact) -> Evidence:
    """Return the finite outputs of a run as evidence, converted to the coarsest of their precisions."""
    finite = {name: array for name, array in run.outputs.items() if np.isfinite(array).all()}
    dtype: DType = min((array.dtype for array in finite.values()), default=np.dtype(np.float64))
    return Evidence(run.inputs, run.truth, {name: array.astype(dtype) for name, array in finite.items()}, dtype)
