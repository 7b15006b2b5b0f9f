"""Reports as one HTML page that stands by itself: no script, no font, no picture from elsewhere.

What comes from outside, such as a candidate's name or the text of its exception, is escaped by the
template, and the page's own policy forbids every script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

import jinja2

from reference.oracle import heat, wording
from reference.oracle.report import Report, versions
from reference.oracle.trial import MISMATCH

LEGEND = {
    "right": {"r1": "to 0.01", "r2": "0.1", "r3": "1"},
    "wrong": {"w1": "to 10³", "w2": "10⁶", "w3": "10⁹", "w4": "10¹²", "w5": "above", "nan": "not finite"},
}


def page(reports: Sequence[Report]) -> str:
    """The page of one report, or of several, each in a section."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"address": wording.address, "number": wording.number, "shade": heat.shade}
    template = environment.from_string(files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8"))
    given = {"heat": heat.heat, "say": wording, "pieces": pieces, "MISMATCH": MISMATCH, "LEGEND": LEGEND}
    return template.render(reports=reports, title=title(reports), by=versions(), **given)


def title(reports: Sequence[Report]) -> str:
    """What stands in the browser's tab."""
    if len(reports) == 1:
        return f"{wording.conclusion(reports[0])}: {reports[0].subject}"
    return f"{sum(report.ok for report in reports)} of {len(reports)} runs right"


def pieces(name: str) -> list[str]:
    """A long name in pieces, between which a narrow page may break it."""
    return re.split(r"(?<=[.:/_#])", name)
