"""The layouts that a search found, as data, as JSON and in words."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from lstm_oracle.inputs.files import printable
from lstm_oracle.layouts.possible import canonical
from lstm_oracle.layouts.text import describe
from lstm_oracle.reports.text import listed, number
from lstm_oracle.reports.verdict import json_number
from lstm_oracle.truth.truth import Finding
from manual.layouts import LAYOUTS, Layout

SEVERAL = (
    "Record a run that distinguishes them: with several steps and units, D other than H, nonzero states and biases, "
    "and no two weights the same."
)


@dataclass(frozen=True)
class Match:
    """A layout under which the run is that of an LSTM, or nearest to it, with the error of each output."""

    layout: Layout
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """True if every output is correct."""
        return all(finding.ok for finding in self.findings)

    @property
    def ratio(self) -> float:
        """The worst error relative to the rounding tolerance."""
        return max(finding.ratio for finding in self.findings)

    @property
    def packages(self) -> list[str]:
        """The names of the known layouts that equal this one apart from the names of the arrays."""
        return [name for name, known in LAYOUTS.items() if form(known, self.layout) == form(self.layout, self.layout)]

    @property
    def conversion(self) -> str:
        """Python code that makes `params` from the mapping `arrays`."""
        given = [field.name for field in fields(Layout) if getattr(self.layout, field.name) != field.default]
        arguments = "".join(f"    {name}={getattr(self.layout, name)!r},\n" for name in given)
        return (
            f"from manual.layouts import Layout, unpack\n\nlayout = Layout(\n{arguments})\n"
            "params = unpack({name: arrays[name] for name in layout.dims}, layout)"
        )

    def __str__(self) -> str:
        packages = f"Used by {listed(self.packages)}." if self.packages else "None of the known packages uses it."
        return f"{describe(self.layout)}.\n{packages}\n\n{self.conversion}"

    def to_json(self) -> dict[str, Any]:
        """Return the match as JSON."""
        return {
            "layout": {field.name: getattr(self.layout, field.name) for field in fields(Layout)},
            "packages": self.packages,
            "conversion": self.conversion,
            "blocks": [{"name": one.block, "ok": one.ok, "ratio": json_number(one.ratio)} for one in self.findings],
        }


@dataclass(frozen=True)
class Discovery:
    """The layouts that explain a run: none, one or several.

    `print(discovery)` is for people, `discovery.to_json()` for programs.
    """

    subject: str
    outputs: tuple[str, ...]  # the outputs with which the layouts were compared
    tried: int  # how many layouts the names and shapes of the weights allow
    matches: tuple[Match, ...]
    nearest: Match | None  # the layout with the smallest error if none matches; None if all are far off

    @property
    def ok(self) -> bool:
        """True if exactly one layout explains the run."""
        return len(self.matches) == 1

    def __str__(self) -> str:
        outputs, count = listed(self.outputs), len(self.matches)
        if not count:
            return printable(f"{self.subject}: none of {self.tried} layouts explains {outputs}. {self._nearest_text()}")
        head = f"one of {self.tried} layouts explains" if count == 1 else f"{count} of {self.tried} layouts explain"
        parts = [f"{self.subject}: {head} {outputs}.", *map(str, self.matches), *[SEVERAL] * (count > 1)]
        return printable("\n\n".join(parts))

    def _nearest_text(self) -> str:
        """Return how far off the nearest layout is, or what to check if all are far off."""
        if self.nearest is None:
            return (
                "All are far off. Check that x and h are time-major, (T, B, …), and that h0 and C0 were zero if they "
                "are not recorded. Otherwise this is not an LSTM, or an incorrect one."
            )
        wrong = listed([finding.block for finding in self.nearest.findings if not finding.ok])
        ratio = number(self.nearest.ratio)
        return f"The nearest is wrong in {wrong}, by {ratio} times the rounding tolerance:\n\n{self.nearest}"

    def to_json(self) -> dict[str, Any]:
        """Return the discovery as JSON."""
        layouts = [match.to_json() for match in self.matches]
        nearest = self.nearest and self.nearest.to_json()
        return {"ok": self.ok, "subject": self.subject, "tried": self.tried, "layouts": layouts, "nearest": nearest}


def form(layout: Layout, like: Layout) -> tuple[object, ...]:
    """Return what distinguishes a layout apart from names, without its biases if `like` has none."""
    layout = canonical(layout)
    kinds = ("U", "W", "b", "second_b") if like.names("b") else ("U", "W")
    counts = [(len(layout.names(kind)), len(layout.sharing(kind))) for kind in kinds]
    order = layout.interleaved, layout.direction, layout.h_first if layout.U == layout.W else None
    return layout.gates, {*layout.transposed}, order, layout.forget_offset, counts
