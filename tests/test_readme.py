"""The documents say what is true: every code block is run, and prints what is shown; every link leads somewhere.

A block is a file if its first line is a comment with the file's name. The blocks of a document run in one folder, in
order. Output is compared up to its numbers.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from lstm_oracle.cli import main as cli
from tests.test_imports import ORDER

ROOT = Path(__file__).parents[1]
PAGES = ("kernels", "packages", "languages")
DOCUMENTS = ("README.md", "reference/README.md", *(f"reference/{page}.md" for page in PAGES))
DOCUMENTS += ("manual/students.md", "manual/devices.md")
TEXTS = {document: (ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS}
JOB = (ROOT / ".github/lstm-oracle.yml").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

Block = tuple[str, str]  # language and text
BLOCKS: dict[str, list[Block]] = {
    document: re.findall(r"^```(\w+)\n(.*?)^```$", text, re.M | re.S) for document, text in TEXTS.items()
}
COMMANDS = [
    line.removeprefix("$ ")
    for blocks in BLOCKS.values()
    for language, text in blocks
    if language == "console"
    for line in text.splitlines()
]
FILE = re.compile(r"(?:#|//|/\*) ([\w./-]+\.\w+)")
ELSEWHERE = ("make ", "pip ")  # commands that have tests of their own
TARGETS = {"make verify": "lstm-oracle verify", "make test": "python -m pytest"}
# What is added to a command to keep it short here.
SHORTER = {"lstm-oracle check": "--runs 7", "pytest --lstm": "--lstm-runs 7"}
# Commands that judge an incorrect LSTM, and end with status 1.
INCORRECT = (
    "lstm-oracle check my_lstm:lstm",
    "lstm-oracle check 'exec:./lstm'",
    "lstm-oracle check kernel:lstm",
    "lstm-oracle judge recorded.npz",
    "pytest --lstm=my_lstm:lstm",
)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_does_what_the_document_shows(
    document: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(ROOT / "tests/candidates", tmp_path / "tests/candidates")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    names: dict[str, object] = {}
    blocks = BLOCKS[document]
    for (language, text), (following, shown) in zip(blocks, [*blocks[1:], ("", "")], strict=True):
        capsys.readouterr()
        if run_block(language, text, names) and following == "text":
            assert without_numbers(capsys.readouterr().out) == without_numbers(shown)


def run_block(language: str, text: str, names: dict[str, object]) -> bool:
    """Run a block in the current folder, and return whether its output can be compared."""
    if file := FILE.match(text):
        Path(file[1]).write_text(text, encoding="utf-8")
        return False
    match language:
        case "console":
            return run_commands(text)
        case "python":
            exec(text, names)
            return True
        case "pycon":
            session = doctest.DocTestParser().get_doctest(text, names, "document", None, None)
            assert doctest.DocTestRunner().run(session).failed == 0
        case "yaml":
            steps = yaml.safe_load(JOB)["jobs"]["judge"]["steps"]
            assert all(step in steps for step in yaml.safe_load(text))
        case "markdown":
            assert text.strip() in JOB
        case "text":
            pass  # the output of the block before, a formula, or a drawing
        case _:
            pytest.fail(f"nobody runs blocks of the kind {language}")
    return False


def run_commands(text: str) -> bool:
    """Run the commands of a block, unless one needs a program that is not installed; return whether they were run."""
    commands = [line.removeprefix("$ ") for line in text.splitlines()]
    commands = [command for command in commands if not command.startswith(ELSEWHERE)]
    needed = {tool for tool in ("cc", "node") for command in commands if re.search(rf"(^|:){tool} ", command)}
    if not commands or not all(map(shutil.which, needed)):
        return False
    for command in commands:
        less = next((f" {less}" for start, less in SHORTER.items() if command.startswith(start)), "")
        assert run_command(command + less) == command.startswith(INCORRECT), command
    return True


def run_command(command: str) -> int:
    """Run a command, print what it prints, and return its exit status.

    `lstm-oracle` runs in this process, where JAX is imported and has compiled its programs.
    """
    program, *arguments = shlex.split(command)
    if program == "lstm-oracle":
        return cli.main(arguments)
    environment = os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}
    done = subprocess.run(command, shell=True, env=environment, capture_output=True, text=True)
    print(done.stdout, end="")
    assert not done.stderr
    return done.returncode


def without_numbers(text: str) -> list[str]:
    """Return the words of a text with its numbers masked, whatever the widths of its columns."""
    masked = re.sub(r"(?<![δ\w_])\d+(\.\d+)?(e-?\d+)?", "N", text)
    return re.sub(r"[─\s]+", " ", masked).split()


def test_verify_prints_what_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = BLOCKS["reference/README.md"]
    shown = blocks[blocks.index(("console", "$ make verify\n")) + 1][1]
    assert cli.main(["verify", "--runs", "24"]) == 0
    printed = re.sub(
        "checked by Coq .* on this machine", "not checked on this machine (make proof)", capsys.readouterr().out
    )
    assert without_numbers(printed) == without_numbers(shown)


def test_the_make_targets_run_what_they_promise() -> None:
    assert {command for command in COMMANDS if command.startswith("make ")} == TARGETS.keys()
    for target, program in TARGETS.items():
        dry = subprocess.run([*target.split(), "-n"], cwd=ROOT, capture_output=True, text=True, check=True)
        assert program in dry.stdout


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    assert {name for text in TEXTS.values() for name in re.findall(r"`make ([a-z-]+)", text)} <= targets


def test_the_extras_that_are_installed_exist() -> None:
    installs = [command for command in COMMANDS if command.startswith("pip ")]
    assert {extra for command in installs for extra in re.findall(r"\[(\w+)\]", command)} == {"oracle"}
    assert "oracle" in PROJECT["optional-dependencies"]


def test_the_citation_is_of_this_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert (citation["title"], citation["version"]) == (PROJECT["name"], PROJECT["version"])


def drawn_paths() -> Iterator[str]:
    """Yield the paths of the drawing of the source tree, as in `reference/lstm_oracle/cli/`."""
    (drawing,) = (text for _, text in BLOCKS["reference/README.md"] if text.startswith("manual/"))
    folders: list[str] = []
    for line in drawing.splitlines():
        indent, entries = re.match(r"( *)([^\s,]+(?:, [^\s,]+)*)", line).groups()  # type: ignore[union-attr]
        del folders[len(indent) // 2 :]
        yield from ("".join(folders) + entry for entry in entries.split(", "))
        folders.append(entries.split(", ")[0])


def test_the_source_tree_is_as_drawn() -> None:
    paths = list(drawn_paths())
    assert [path for path in paths if not (ROOT / path).exists()] == []
    parts = [Path(path).stem for path in paths if re.fullmatch(r"reference/lstm_oracle/[^/]+/?", path)]
    assert parts == ORDER


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading(document: str) -> None:
    text = TEXTS[document]
    links = re.findall(r"\]\((?!https?:|\.\./\.\./actions)([^)]+)\)", text)
    links += re.findall(r'(?:src|srcset)="([^"]+)"', text)
    assert links
    for link in links:
        path, _, heading = link.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        assert file.exists(), link
        assert not heading or heading in headings(file.read_text(encoding="utf-8")), link


def headings(text: str) -> set[str]:
    """Return the anchors that GitHub gives the headings of a document."""
    titles = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
