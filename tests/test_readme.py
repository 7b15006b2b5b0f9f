"""Every block of the README does what it says: files are written, commands and Python run, and print what is shown.

A block is a file if its first line is a comment with the file's name. All run in one folder, in order.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lstm_oracle.cli import main as cli

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PADDED_BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.M | re.S)
FILE = re.compile(r"(?:#|//|/\*) ([\w./-]+\.\w+)")
MAKE = {"make verify": "lstm-oracle verify", "make test": "python -m pytest"}
# What is added to a command that would take long here.
LESS = {"lstm-oracle check": "--runs 20", "lstm-oracle vectors": "--dtype float64", "pytest": "-k 'values and h'"}
WRONG = "lstm-oracle check", "pytest"  # what judges one of the two wrong LSTMs, and ends with status 1


def test_no_block_is_of_a_kind_that_nobody_runs() -> None:
    assert {language for language, _ in PADDED_BLOCKS} == {"console", "python", "pycon", "text", "yaml"}


def test_the_make_targets_do_what_is_said() -> None:
    lines = [line for language, text in PADDED_BLOCKS if language == "console" for line in text.splitlines()]
    assert {line.removeprefix("$ ") for line in lines if line.startswith("$ make ")} == MAKE.keys()
    for command, program in MAKE.items():
        dry = subprocess.run([*command.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert program in dry.stdout


def test_verify_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    at = next(k for k, (language, text) in enumerate(PADDED_BLOCKS) if language == "console" and "make verify" in text)
    assert cli.main(["verify", "--runs", "24"]) == 0
    assert numberless(capsys.readouterr().out) == numberless(PADDED_BLOCKS[at + 1][1])


def test_the_blocks_do_what_they_show(tmp_path: Path) -> None:
    names: dict[str, object] = {}
    for (language, text), (follows, shown) in zip(PADDED_BLOCKS, [*PADDED_BLOCKS[1:], ("", "")], strict=True):
        printed = run(language, text, tmp_path, names)
        if printed is not None and follows == "text":
            assert numberless(printed) == numberless(shown)


def run(language: str, text: str, folder: Path, names: dict[str, object]) -> str | None:
    """What a block prints, if it is one that prints."""
    if file := FILE.match(text):
        path = folder / file[1]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    elif language == "yaml":
        job = yaml.safe_load((ROOT / ".github/lstm-oracle.yml").read_text(encoding="utf-8"))["jobs"]["judge"]
        assert all(step in job["steps"] for step in yaml.safe_load(text))
    elif language == "console":
        return commands(text, folder)
    elif language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(text, names)
        return printed.getvalue()
    elif language == "pycon":
        session = doctest.DocTestParser().get_doctest(text, names, "README.md", None, None)
        assert doctest.DocTestRunner().run(session).failed == 0
    return None


def commands(text: str, folder: Path) -> str | None:
    """What the commands of a block print; those of make have a test of their own."""
    lines = [shorter(line.removeprefix("$ ")) for line in text.splitlines() if not line.startswith("$ make ")]
    if not lines:
        return None
    for tool in ("cc", "node"):
        if any(line.startswith(f"{tool} ") for line in lines) and not shutil.which(tool):
            return None
    shutil.copytree(ROOT / "tests/candidates", folder / "tests/candidates", dirs_exist_ok=True)
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    script = "\n".join(["set -e", *lines])
    done = subprocess.run(script, shell=True, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == any(line.startswith(WRONG) for line in lines), done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def shorter(command: str) -> str:
    """The command on fewer runs."""
    return next((f"{command} {less}" for start, less in LESS.items() if command.startswith(start)), command)


def numberless(text: str) -> list[str]:
    """The words of a report, whatever its numbers and the widths of its columns."""
    masked = re.sub(r"(?<![δ\w_])\d+(\.\d+)?(e-?\d+)?", "N", text)
    return re.sub(r"[─\s]+", " ", masked).split()


def test_the_folders_are_laid_out_as_drawn() -> None:
    (drawn,) = (text for language, text in PADDED_BLOCKS if language == "text" and text.startswith("manual/"))
    path = [ROOT]
    for line in drawn.splitlines():
        indent, entries = re.match(r"( *)([^\s,]+(?:, [^\s,]+)*)", line).groups()  # type: ignore[union-attr]
        del path[len(indent) // 2 + 1 :]
        for entry in entries.split(", "):
            assert (path[-1] / entry).exists(), f"{path[-1] / entry} is not there"
        path.append(path[-1] / entries.split(", ")[0])


def test_the_files_that_are_linked_are_there() -> None:
    links = re.findall(r"\]\((?!https?:|\.\./|#)([^)#]+)\)", README) + re.findall(r'(?:src|srcset)="([^"]+)"', README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
