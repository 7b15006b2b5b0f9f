"""The record in WILD.md is consistent, and names only mistakes of the catalogue."""

from __future__ import annotations

import re
from pathlib import Path

from lstm_oracle.diagnosis.bugs import CATALOGUE

RECORD = (Path(__file__).parent / "WILD.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table below a heading, row by row and without the header."""
    section = RECORD.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def test_the_summary_agrees_with_the_tables() -> None:
    correct, first, second = rows("Correct"), rows("Incorrect, first set"), rows("Incorrect, second set")
    summary = [line for line in RECORD.splitlines() if re.match(r"\| (first|second) set, with", line)]
    figures = [[int(cell) for cell in line.strip("|").split("|")[1:]] for line in summary]
    assert [row[1] for row in figures] == [len(first), len(second)]
    assert sum(row[0] for row in figures) == len(correct) + len(first) + len(second)
    for incorrect, (_, _, verdicts, names, then, now) in zip((first, second), figures, strict=True):
        assert (verdicts, names) == (0, 0)
        assert sum(row[3] != "located" for row in incorrect) == then
        assert sum((row[3] if row[4] == "same" else row[4]) != "located" for row in incorrect) == now
    assert all(row[3] == "correct" and row[2].startswith("correct") for row in correct)


def test_every_named_mistake_is_in_the_catalogue() -> None:
    incorrect = rows("Incorrect, first set") + rows("Incorrect, second set")
    named = {id for row in incorrect for id in re.findall(r"`(\w+)`", f"{row[3:]}")}
    assert len(named) > 20
    assert named <= CATALOGUE.keys()
