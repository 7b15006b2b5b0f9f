"""A verdict as a badge for a README, in the format of https://shields.io/badges/endpoint-badge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lstm_oracle.reports.text import conclusion, listed, lower_first
from lstm_oracle.reports.verdict import Verdict
from lstm_oracle.run import OUTPUTS

COLOURS = {"CORRECT": "brightgreen", "INCORRECT": "red", "MISBEHAVES": "orange", "NOT JUDGED": "lightgrey"}
OPTIONAL = ("C", "C_T")  # an LSTM that returns every h and every gradient is verified as a whole without them
MOST_NAMES = 3  # that fit on a badge


def badge(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Return the badge of one verdict, or of several: that of the first incorrect one, if there is any."""
    verdict = next((verdict for verdict in verdicts if not verdict.ok), verdicts[0])
    word = conclusion(verdict)
    if verdict.ok:
        message = verified(verdicts)
    else:
        message = wrong_outputs(verdict) if word == "INCORRECT" else misbehaviour(verdict)
        if len(verdicts) > 1:
            message = f"{sum(not verdict.ok for verdict in verdicts)} of {len(verdicts)} runs, {message}"
    return {"schemaVersion": 1, "label": "LSTM", "message": message, "color": COLOURS[word], "isError": not verdict.ok}


def verified(verdicts: Sequence[Verdict]) -> str:
    """Return which outputs are verified by every verdict, and in which precisions."""
    judged = [{block.name for block in verdict.blocks} for verdict in verdicts]
    names = [name for name in OUTPUTS if all(name in of_verdict for of_verdict in judged)]
    dtypes = "/".join(sorted({dtype for verdict in verdicts for dtype in verdict.dtype.split("/")}))
    if all(name in names or name in OPTIONAL for name in OUTPUTS):
        return f"verified, {dtypes}"
    return f"{named_or_counted(names)} verified, {dtypes}"


def wrong_outputs(verdict: Verdict) -> str:
    """Return which outputs are wrong."""
    return f"{named_or_counted([block.name for block in verdict.blocks if not block.ok])} wrong"


def misbehaviour(verdict: Verdict) -> str:
    """Return the first kind of misbehaviour in words."""
    return lower_first(verdict.failures[0].kind.description) if verdict.failures else "not judged"


def named_or_counted(names: Sequence[str]) -> str:
    """Return the names of the outputs, or how many there are if the names do not fit on a badge."""
    return listed(names) if len(names) <= MOST_NAMES else f"{len(names)} of {len(OUTPUTS)} outputs"
