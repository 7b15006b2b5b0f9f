"""The proof is of this code: a change of any line of either is noticed; and what Coq does not accept is not proven."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lstm_oracle.verify.proof import THEOREMS, NotProvenError, check, files
from lstm_oracle.verify.proof_lines import DEFINITIONS, LOOP, pairs, sources

TEXTS = sources()
# Lines of derivation.py that the proof has nothing for: two only avoid a warning, and one has no name to change.
NOT_COMPARED = ("with np.errstate", "return y\n", "return {\n")
FIRST = {"proof/Derivation.v": "Definition sigmoid", "proof/Bptt.v": "Definition set"}
needs_coq = pytest.mark.skipif(not shutil.which("coqc"), reason="Coq is not installed")
TRIVIAL = {"A.v": "".join(f"Theorem {name} : True. Proof. exact I. Qed.\n" for name in THEOREMS)}


def compared(file: str) -> Iterator[int]:
    """Yield the indices of the lines of a file that have to match the other side."""
    lines = TEXTS[file].splitlines(keepends=True)
    if file in FIRST:
        (start,) = (index for index, line in enumerate(lines) if line.startswith(FIRST[file]))
        end = max(index for index, line in enumerate(lines) if line.startswith("End "))
        found = range(start, end)
    else:
        names = LOOP if file == "bptt.py" else ("sigmoid", "dsigmoid", "dtanh", *DEFINITIONS)
        functions = [node for node in ast.parse(TEXTS[file]).body if isinstance(node, ast.FunctionDef)]
        bodies = [node for function in functions if function.name in names for node in function.body[1:]]
        found = [line for node in bodies for line in range(node.lineno - 1, node.end_lineno or 0)]
    for index in found:
        line = re.sub(r"\(\*.*|^    .*\*\)$", "", lines[index])
        if re.search(r"\w", line) and not line.lstrip().startswith(NOT_COMPARED):
            yield index


def changed(file: str, index: int) -> dict[str, str]:
    """Return the sources with the last name or number of a line changed."""
    lines = TEXTS[file].splitlines(keepends=True)
    code, comment = re.fullmatch(r"(.*?)((?:  #.*)?)", lines[index], re.S).groups()  # type: ignore[union-attr]
    (*_, last) = re.finditer(r"\w+", code)
    other = str(int(last[0]) + 1) if last[0].isdigit() else f"{last[0]}_"
    lines[index] = code[: last.start()] + other + code[last.end() :] + comment
    return TEXTS | {file: "".join(lines)}


def test_every_line_of_the_proof_is_that_of_the_code() -> None:
    assert [pair for pair in pairs(TEXTS) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("file", TEXTS)
def test_a_change_of_any_line_is_noticed(file: str) -> None:
    indices = [*compared(file)]
    assert len(indices) > 30
    for index in indices:
        assert any(expected != found for expected, found in pairs(changed(file, index))), index + 1


@pytest.mark.parametrize("file", TEXTS)
def test_a_line_too_many_or_too_few_is_noticed(file: str) -> None:
    lines = TEXTS[file].splitlines(keepends=True)
    equation = next(index for index in compared(file) if re.search(r"\bs(\.|,| :)", lines[index]))
    for other in (lines[:equation] + lines[equation + 1 :], lines[: equation + 1] + lines[equation:]):
        assert any(expected != found for expected, found in pairs(TEXTS | {file: "".join(other)}))


# Coq. A small proof with the names of the theorems stands for the long one.


@needs_coq
def test_the_axioms_of_a_proof_are_found(tmp_path: Path) -> None:
    assert check(tmp_path, TRIVIAL, 60) == set()
    classical = "From Coq Require Import Classical.\n" + TRIVIAL["A.v"].replace(
        "True. Proof. exact I.", "True \\/ ~ True. Proof. apply classic.", 1
    )
    assert check(tmp_path, {"A.v": classical}, 60) == {"Classical_Prop.classic"}


@needs_coq
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (TRIVIAL["A.v"].replace("True", "False", 1), "Coq does not accept A.v"),
        (TRIVIAL["A.v"].replace("exact I. Qed", "Admitted", 1), "A.v has the word Admitted"),
        ("Axiom a : False.\n" + TRIVIAL["A.v"], "A.v has the word Axiom"),
        (TRIVIAL["A.v"].replace(THEOREMS[0], "another"), "Coq does not accept Assumptions.v"),
        ("Theorem slow : True. Proof. do 1000000000 idtac. exact I. Qed.", "Coq did not finish A.v within 2 s"),
    ],
)
def test_what_coq_does_not_accept_is_not_proven(text: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(NotProvenError, match=reason):
        check(tmp_path, {"A.v": text}, 2)


def test_without_coq_the_command_says_how_to_get_it() -> None:
    command = [sys.executable, "-m", "lstm_oracle.verify.proof"]
    done = subprocess.run(command, env=os.environ | {"PATH": ""}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("coqc is not installed: apt install coq libcoq-coquelicot")


def test_the_files_of_the_proof_are_in_order() -> None:
    for earlier, file in enumerate(files()):
        imported = re.findall(r"From LSTM Require Import (.*)\.", file.read_text(encoding="utf-8"))
        assert {name for line in imported for name in line.split()} <= {path.stem for path in files()[:earlier]}
