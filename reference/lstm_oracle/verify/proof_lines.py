"""Compares the proof in `manual/proof` with the code that it is about, line by line, without Coq.

`lines.txt` there has all lines of derivation.py and bptt.py, each followed by the lines of Derivation.v and Bptt.v,
marked with an arrow, that say the same. The four files have to consist of exactly these lines, except for comments and
docstrings.
"""

from __future__ import annotations

import ast
import re
from itertools import zip_longest
from pathlib import Path

import manual

FOLDER = Path(manual.__file__).parent
PROOF = FOLDER / "proof"
LINES = "proof/lines.txt"
COMPARED = {"derivation.py": "proof/Derivation.v", "bptt.py": "proof/Bptt.v"}
FILES = (*COMPARED, *COMPARED.values(), LINES)
ARROW = "⇒ "


def sources() -> dict[str, str]:
    """Return the texts of the code, of the proof and of lines.txt, by file.

    Raises:
        FileNotFoundError: the proof is not here, because it is not part of the wheel.
    """
    return {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES}


def pairs(texts: dict[str, str]) -> list[tuple[str, str]]:
    """Return the lines of lines.txt, each beside that of the code or the proof, to which it has to be equal.

    A line that is missing or too many stands beside an empty one.
    """
    found: list[tuple[str, str]] = []
    for python, coq in COMPARED.items():
        code, proof = listed(texts[LINES], f"{python} {ARROW}{Path(coq).name}")
        found += zip_longest(python_lines(code), python_lines(texts[python]), fillvalue="")
        found += zip_longest(proof, coq_lines(texts[coq]), fillvalue="")
    return found


def listed(lines: str, title: str) -> tuple[str, list[str]]:
    """Return the Python code and the lines of the proof in the part of lines.txt with this title."""
    parts = re.split(rf"^(\S+ {ARROW}\S+)$", lines, flags=re.M)
    here = parts[parts.index(title) + 1].splitlines()
    code = [line for line in here if not line.lstrip().startswith(ARROW)]
    proof = [line.lstrip().removeprefix(ARROW) for line in here if line.lstrip().startswith(ARROW)]
    return "\n".join(code), proof


def python_lines(code: str) -> list[str]:
    """Return the lines of Python code as `ast.unparse` writes them, without docstrings and empty lines."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            del node.body[0]
    return [line for line in ast.unparse(tree).splitlines() if line]


def coq_lines(proof: str) -> list[str]:
    """Return the lines of a file of the proof without comments and indentation."""
    return [line.strip() for line in without_comments(proof).splitlines() if line.strip()]


def without_comments(proof: str) -> str:
    """Return a file of the proof without comments, which may be nested, and in which Coq skips strings as a whole."""
    depth, text = 0, []
    for part in re.split(r'("[^"]*"|\(\*|\*\))', proof):
        if part == "(*":
            depth += 1
        elif part == "*)":
            depth -= 1
        elif depth == 0:
            text.append(part)
    return "".join(text)
