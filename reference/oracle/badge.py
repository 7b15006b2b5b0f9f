"""A verdict as a badge for a README, in the format of https://shields.io/badges/endpoint-badge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from reference.oracle.behaviour import MISBEHAVIOURS
from reference.oracle.report import Report
from reference.oracle.wording import conclusion, listed
from reference.run import OUTPUTS

COLOURS = {"RIGHT": "brightgreen", "WRONG": "red", "MISBEHAVES": "orange", "NOT JUDGED": "lightgrey"}
OPTIONAL = ("C", "C_T")  # an LSTM that hands out every h and every gradient is judged in whole without them
FEW = 3  # outputs that a badge has room to name


def badge(reports: Sequence[Report]) -> dict[str, Any]:
    """The badge of one report, or of several together: the first that is not right speaks for all."""
    report = next((report for report in reports if not report.ok), reports[0])
    word = conclusion(report)
    said = {"RIGHT": right, "WRONG": wrong}.get(word, misbehaves)(report)
    if not report.ok and len(reports) > 1:
        said = f"{sum(not report.ok for report in reports)} of {len(reports)} runs, {said}"
    return {"schemaVersion": 1, "label": "LSTM", "message": said, "color": COLOURS[word], "isError": not report.ok}


def right(report: Report) -> str:
    """What is verified, in which precision; nothing more than was judged."""
    names = [block.name for block in report.blocks]
    if all(name in names or name in OPTIONAL for name in OUTPUTS):
        return f"verified, {report.dtype}"
    return f"{few(names)} verified, {report.dtype}"


def wrong(report: Report) -> str:
    """Which outputs are wrong."""
    return f"{few([block.name for block in report.blocks if not block.ok])} wrong"


def misbehaves(report: Report) -> str:
    """What it does that it should not do."""
    return MISBEHAVIOURS[report.failures[0].kind] if report.failures else "not judged"


def few(names: Sequence[str]) -> str:
    """Some outputs by name, many by number."""
    return listed(names) if len(names) <= FEW else f"{len(names)} of {len(OUTPUTS)} outputs"
