"""Every code block of the README runs, and prints what it says."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import subprocess
from pathlib import Path

import pytest

from reference.oracle import cli

ROOT = Path(__file__).parents[1]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(encoding="utf-8"), re.M | re.S)


def blocks(kind: str) -> list[str]:
    return [text for language, text in BLOCKS if language == kind]


def after(kind: str, holding: str) -> str:
    """The block that follows the one of this kind that holds this text."""
    at = next(k for k, (language, text) in enumerate(BLOCKS) if language == kind and holding in text)
    return BLOCKS[at + 1][1]


def test_no_block_is_of_a_kind_that_nobody_runs() -> None:
    assert {language for language, _ in BLOCKS} == {"console", "python", "pycon", "text"}


def test_the_commands_are_targets_that_do_what_is_said() -> None:
    commands = [line.removeprefix("$ ") for block in blocks("console") for line in block.splitlines()]
    assert commands == ["make verify", "make test"]
    for command, program in {"make verify": "lstm-oracle verify", "make test": "python -m pytest"}.items():
        dry = subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert program in dry.stdout


def test_verify_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    shown = after("console", "make verify")
    assert cli.main(["verify", "--runs", "24"]) == 0
    assert numberless(capsys.readouterr().out) == numberless(shown)


def numberless(text: str) -> list[str]:
    """The words of a report, whatever its numbers and the widths of its columns."""
    masked = re.sub(r"(?<![δ\w_])\d+(\.\d+)?", "N", text)
    return re.sub(r"[─\s]+", " ", masked).split()


def test_the_example_trains_and_its_errors_are_real() -> None:
    names: dict[str, object] = {}
    (example,) = blocks("python")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(example, names)
    assert printed.getvalue() == after("python", "import manual")
    (session,) = blocks("pycon")
    test = doctest.DocTestParser().get_doctest(session, names, "README.md", None, None)
    assert doctest.DocTestRunner().run(test).failed == 0


def test_the_folders_are_laid_out_as_drawn() -> None:
    (drawn,) = (text for text in blocks("text") if text.startswith("manual/"))
    path = [ROOT]
    for line in drawn.splitlines():
        indent, entries = re.match(r"( *)([^\s,]+(?:, [^\s,]+)*)", line).groups()  # type: ignore[union-attr]
        del path[len(indent) // 2 + 1 :]
        for entry in entries.split(", "):
            assert (path[-1] / entry).exists(), f"{path[-1] / entry} is not there"
        path.append(path[-1] / entries.split(", ")[0])
