"""Verdicts as one self-contained HTML page, without scripts, external fonts or external images.

The template escapes text from outside, such as the name of a candidate or the message of an exception, and the content
security policy of the page forbids all scripts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.resources import files

import jinja2

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.reports import text
from lstm_oracle.reports.heat_map import heat_map, shade
from lstm_oracle.reports.verdict import Verdict, versions

LEGEND = {
    "correct": {"r1": "to 0.01", "r2": "0.1", "r3": "1"},
    "wrong": {"w1": "to 10³", "w2": "10⁶", "w3": "10⁹", "w4": "10¹²", "w5": "above", "nan": "not finite"},
}


def page(verdicts: Sequence[Verdict]) -> str:
    """Return the page of one verdict, or of several verdicts, each in a section of its own."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"address": text.address, "number": text.number, "shade": shade}
    template = environment.from_string(files(__package__).joinpath("page.html.jinja").read_text(encoding="utf-8"))
    given = {"heat_map": heat_map, "text": text, "pieces": pieces, "MISMATCH": FailureKind.MISMATCH, "LEGEND": LEGEND}
    return template.render(verdicts=verdicts, title=title(verdicts), by=versions(), **given)


def title(verdicts: Sequence[Verdict]) -> str:
    """Return the title of the page."""
    if len(verdicts) == 1:
        return f"{text.conclusion(verdicts[0])}: {verdicts[0].subject}"
    return f"{sum(verdict.ok for verdict in verdicts)} of {len(verdicts)} runs correct"


def pieces(name: str) -> list[str]:
    """Return the pieces of a long name between which a narrow page may break the line."""
    return re.split(r"(?<=[.:/_#])", name)
