"""The record of the trial agrees with itself, and names only what is in the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from lstm_oracle.diagnosis.bugs import CATALOGUE

RECORD = (Path(__file__).parent / "WILD.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading."""
    section = RECORD.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_figures_are_those_of_the_tables() -> None:
    right, first, later = rows("Right"), rows("Wrong, first"), rows("Wrong, afterwards")
    summary = [line for line in RECORD.splitlines() if re.match(r"\| (first|then), with", line)]
    figures = [[int(cell) for cell in line.strip("|").split("|")[1:]] for line in summary]
    assert [row[1] for row in figures] == [len(first), len(later)]
    assert sum(row[0] for row in figures) == len(right) + len(first) + len(later)
    for wrong, (_, _, verdicts, names, then, now) in zip((first, later), figures, strict=True):
        assert (verdicts, names) == (0, 0)
        assert sum(row[3] != "located" for row in wrong) == then
        assert sum((row[3] if row[4] == "same" else row[4]) != "located" for row in wrong) == now
    assert all(row[3] == "right" and row[2].startswith("right") for row in right)


def test_what_is_named_is_in_the_catalogue() -> None:
    wrong = rows("Wrong, first") + rows("Wrong, afterwards")
    named = {id for row in wrong for id in re.findall(r"`(\w+)`", f"{row[3:]}")}
    assert len(named) > 20
    assert named <= CATALOGUE.keys()
