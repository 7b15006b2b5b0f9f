"""The verdict as people read it: as text, as an HTML page, as a badge."""

from __future__ import annotations

from html import escape
from typing import Any

from lstm_oracle.reports import badge, text
from lstm_oracle.reports.verdict import Verdict


class Report(Verdict):
    """The verdict on a candidate or a recorded run.

    `print(report)` is for people, `report.to_json()` for programs.
    """

    @classmethod
    def unreadable(cls, subject: str, reason: str) -> Report:
        """Return the report on a subject that could not be judged."""
        return cls(subject=subject, dtype="", blocks=(), notes=(reason,))

    def __str__(self) -> str:
        return text.report_text(self)

    def __repr__(self) -> str:
        return f"Report({text.summary(self)})"

    def _repr_html_(self) -> str:
        """Return the HTML page in a frame for a notebook, so that neither affects the style of the other."""
        return f'<iframe srcdoc="{escape(self.to_html())}" style="width: 100%; height: 40rem; border: 0"></iframe>'

    def to_html(self) -> str:
        """Return the verdict as one self-contained HTML page."""
        from lstm_oracle.reports import html  # loaded when it is first needed: Jinja takes a while to import

        return html.page([self])

    def to_badge(self) -> dict[str, Any]:
        """Return the verdict as JSON for an endpoint badge of shields.io."""
        return badge.badge([self])
