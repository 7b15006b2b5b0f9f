"""Reads DERIVATION.md: the table, the printed equations, the code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import manual
from lstm_oracle.run import Array

FOLDER = Path(manual.__file__).parent
TEXT = (FOLDER / "DERIVATION.md").read_text(encoding="utf-8")
PICTURE = FOLDER / "unit.svg"

# From the notation of the source to Python: its `·` is the pointwise product, its `*` the matrix product.
NOTATION = {
    r" \* ": " @ ",
    r" · ": " * ",
    r"δ(\d+)": r"δ[\1]",
    r"([WU]_[figo])ᵀ": r"p.\1.T",
    r"(tanh|sigmoid)'": r"d\1",
    r"tanh\(c_t\)": "s.tanh_C",
    r"c_\{t-1\}": "s.C_prev",
    r"\b([figo])_t": r"s.\1",
}


@dataclass(frozen=True)
class Row:
    """One row of the table, which describes one edge."""

    n: int
    edge: str
    printed: str
    derived: str
    differs: str
    in_coq: str

    @property
    def arrives(self) -> bool:
        """True if this δ arrives from outside the step, so that no equation is printed."""
        return self.printed.startswith("— (arrives from")

    def as_printed(self, p: Any, s: Any, δ: dict[int, Array]) -> Array:
        """Evaluate the printed equation literally."""
        equation = self.printed.strip("`")
        for sign, python in NOTATION.items():
            equation = re.sub(sign, python, equation)
        value: Array = eval(equation, {"p": p, "s": s, "δ": δ, "dtanh": dtanh, "dsigmoid": dsigmoid})
        return value


def dtanh(y: Array) -> Array:
    return (1 - y) * (1 + y)


def dsigmoid(y: Array) -> Array:
    return y - y**2


def rows() -> dict[int, Row]:
    """Return the rows of the table "All 26" by edge."""
    table = section("All 26").split("\n\n")[0].splitlines()
    assert table[0] == "| δ | edge | as printed | as derived | differs | in Coq |"
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]
    return {n: Row(n, *rest) for n, *rest in ((int(δ.removeprefix("δ")), *rest) for δ, *rest in cells)}


def section(title: str) -> str:
    """Return the text under a heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found, title
    return found[1].strip()


def code_blocks() -> list[str]:
    """Return the blocks of Python code in order."""
    return re.findall(r"^```python\n(.*?)^```$", TEXT, re.M | re.S)


def anchors() -> set[str]:
    """Return the anchors that GitHub gives to the headings."""
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", TEXT, re.M)}
