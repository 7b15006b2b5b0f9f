"""Recorded runs, and a report in which all text from outside attacks the page."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from lstm_oracle import judge
from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.inputs.cases import Sizes, draw_case
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.verdict import Failure
from lstm_oracle.run import INPUTS
from tests.candidates import adapters

NAMES = "right", "forward_only", "no_cell_carry", "with_nan", "amplified"
HOSTILE = "</pre><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>\"'&amp;{{ 7 * 7 }}"


def recorded(name: str = "right", dtype: str = "float64", sizes: Sizes = (4, 2, 3, 5)) -> dict[str, Any]:
    """The inputs of a run, and the outputs of a candidate on it."""
    inputs = draw_case(0, 1, np.dtype(dtype), sizes, "ordinary").inputs
    return inputs | getattr(adapters, name)(**{key: array.copy() for key, array in inputs.items()})


@cache
def report_of(name: str, dtype: str = "float64") -> Report:
    """The report on the outputs of a candidate; "amplified" is a correct one, on a run with a large tolerance."""
    if name != "amplified":
        return judge(recorded(name, dtype))
    inputs = {key: array * (4 if key[0] == "W" else 1) for key, array in recorded(sizes=(40, 2, 3, 6)).items()}
    return judge({key: inputs[key] for key in INPUTS} | adapters.right(**{key: inputs[key] for key in INPUTS}))


def hostile(report: Report) -> Report:
    """The report with a hostile subject, location, note, exception and command."""
    raises = Failure(FailureKind.RAISES, HOSTILE, 1, None, repeat=HOSTILE)
    return replace(
        report,
        subject=HOSTILE,
        explanations=(),
        location=HOSTILE,
        notes=(HOSTILE,),
        failures=(*report.failures, raises),
    )


def chaotic() -> dict[str, Any]:
    """Return a run that amplifies rounding errors without bound."""
    run = recorded(sizes=(60, 2, 3, 5))
    return {name: 100 * array if name[:2] in ("W_", "U_") else array for name, array in run.items()}
