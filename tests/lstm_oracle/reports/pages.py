"""Recorded runs, and a report in which all that comes from outside attacks the page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from lstm_oracle.inputs.cases import Sizes, draw_case
from lstm_oracle.reports.report import Failure, Report
from tests.candidates import adapters

HOSTILE = "</pre><script>window.attacked = 1</script><img src=x onerror='window.attacked = 1'>\"'&amp;{{ 7 * 7 }}"


def recorded(name: str = "right", dtype: str = "float64", sizes: Sizes = (4, 2, 3, 5)) -> dict[str, Any]:
    """What a candidate gives on a run, and the run."""
    inputs = draw_case(0, 1, np.dtype(dtype), sizes, "ordinary").inputs
    return inputs | getattr(adapters, name)(**{key: array.copy() for key, array in inputs.items()})


def hostile(report: Report) -> Report:
    """The report with such a name, such a place, such an exception and such a command."""
    raises = Failure("raises", HOSTILE, 1, None, repeat=HOSTILE)
    return replace(
        report,
        subject=HOSTILE,
        explanations=(),
        location=HOSTILE,
        notes=(HOSTILE,),
        failures=(*report.failures, raises),
    )
