"""The proof is of this code: a change of either is noticed; and what Coq does not accept is not proven."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_oracle.verify.proof import THEOREMS, NotProvenError, axioms, check, files
from lstm_oracle.verify.proof_lines import COMPARED, LINES, coq_lines, pairs, python_lines, sources

TEXTS = sources()
CODE, PROOF = [*COMPARED], [*COMPARED.values()]
needs_coq = pytest.mark.skipif(not shutil.which("coqc"), reason="Coq is not installed")

# From the notation of derivation.py to that of Derivation.v, in this order.
NOTATION = {
    r"\bnp\.": "",
    r"(δ\[\d+\])\.sum\(axis=0\)": r"sum0 (\1)",
    r"\bp\.(\w+)\.T": r"(p \1)^T",
    r"\bp\.(\w+)": r"p \1",
    r"\bs\.(\w+)\.T": r"s.(\1)^T",
    r"\bs\.(\w+)": r"s.(\1)",
    r"\+ p b_": "+ᵇ p b_",
    r"\b(exp|d?sigmoid|d?tanh)\((\w+|s\.\(\w+\))\)": r"\1 \2",
    r"\b(exp|d?sigmoid|d?tanh)\(": r"\1 (",
    r"\(-": "(- ",
}


def is_of_other_code(file: str, text: str) -> bool:
    return any(expected != found for expected, found in pairs(TEXTS | {file: text}))


def test_every_line_of_the_proof_is_that_of_the_code() -> None:
    assert [pair for pair in pairs(TEXTS) if pair[0] != pair[1]] == []


@pytest.mark.parametrize("file", [*CODE, *PROOF])
def test_a_change_of_any_line_is_noticed(file: str) -> None:
    lines = python_lines(TEXTS[file]) if file in CODE else coq_lines(TEXTS[file])
    assert len(lines) > 40
    for index, line in enumerate(lines):
        for change in ([], [with_other_word(line)]):
            text = "\n".join([*lines[:index], *change, *lines[index + 1 :]])
            if file in PROOF or is_python(text):
                assert change == [line] or is_of_other_code(file, text), (line, change)


def with_other_word(line: str) -> str:
    """Return a line with its last name or number changed."""
    *_, last = [None, *re.finditer(r"\w+", line)]
    if last is None:
        return line
    other = str(int(last[0]) + 1) if last[0].isdigit() else f"{last[0]}_"
    return line[: last.start()] + other + line[last.end() :]


def is_python(code: str) -> bool:
    try:
        ast.parse(code)
    except SyntaxError:
        return False
    return True


CHANGES = [
    # Out of a loop, into a loop, after a loop.
    ("bptt.py", "        dx[t], dh0, dC0 = δ[26], δ[25], δ[11]\n", "    dx[t], dh0, dC0 = δ[26], δ[25], δ[11]\n"),
    (
        "bptt.py",
        "        δ25, δ11 = δ[25], δ[11]\n        yield t, s, δ\n",
        "    δ25, δ11 = δ[25], δ[11]\n    yield t, s, δ\n",
    ),
    ("bptt.py", "    return tape\n\n", "        return tape\n\n"),
    ("bptt.py", "    return Gradients(", "    else:\n        dh0 *= 2\n    return Gradients("),
    # Other arguments, fields, names and imports.
    ("bptt.py", "def gradients(tape: Tape, dh: Array, dh_T", "def gradients(tape: Tape, dh_T: Array, dh"),
    ("bptt.py", "run(params: Params, x: Array, h0: Array, C0", "run(params: Params, x: Array, C0: Array, h0"),
    ("bptt.py", "from manual.derivation import deltas as", "from manual.derivation import updates as"),
    ("derivation.py", "    f: Array\n    i: Array\n", "    i: Array\n    f: Array\n"),
    ("derivation.py", "step(p: Any, x: Array, h_prev: Array, C_prev", "step(p: Any, x: Array, C_prev: Array, h_prev"),
    ("derivation.py", "def step(", "dtanh = dsigmoid\n\n\ndef step("),
    ("derivation.py", "def dtanh(", "@abs\ndef dtanh("),
    # More statements, and one in the place of a docstring.
    ("derivation.py", "    return y\n\n", "    return 2 * y\n\n"),
    ("derivation.py", "    return 1 - y * y", "    y = 2 * y\n    return 1 - y * y"),
    ("derivation.py", '    """Return the derivative of tanh at the point where its value is y."""\n', "    y *= 2\n"),
    # A line in a comment that only Coq takes for one, and lines outside the sections.
    ("proof/Derivation.v", "  let δ8 := δ7 + δ4 in\n", '  (* " *)\n  let δ8 := δ7 + δ4 in\n  (* " *)\n'),
    ("proof/Derivation.v", "Section Unit.", 'Infix "@" := mul : mat_scope.\nSection Unit.'),
    ("proof/Bptt.v", "@gradients_by B D H deltas", "@gradients_by B D H others"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new"), CHANGES)
def test_a_change_of_what_a_line_means_is_noticed(file: str, old: str, new: str) -> None:
    assert TEXTS[file].count(old) == 1
    assert is_of_other_code(file, TEXTS[file].replace(old, new))


def test_each_equation_of_the_derivation_is_followed_by_the_same_equation() -> None:
    """The equations of derivation.py in lines.txt are translated to the notation of the proof."""
    part, _ = TEXTS[LINES].split("bptt.py")
    found = re.findall(r"^ +(?:(\w+|δ\[\d+\]) = |y: Array = |\"(\w_\w)\": |return )(.*?),?\n +⇒ (.*)", part, re.M)
    equations = [pair for pair in found if not re.match(r"Step\(|δ$", pair[2])]
    assert len(equations) == 3 + 7 + 23 + 12
    for target, weight, value, proof in equations:
        said = re.sub(r"δ\[(\d+)\]", r"δ e\1" if weight else r"δ\1", translated(value))
        name = re.sub(r"[\[\]]", "", target)
        before, after = (f"| {weight} => ", "") if weight else (f"let {name} := ", " in") if name else ("", "")
        assert proof == before + said + after if before else proof.endswith(f" => {said})."), proof


def translated(python: str) -> str:
    for pattern, notation in NOTATION.items():
        python = re.sub(pattern, notation, python)
    return python


# Coq. A small proof with the names of the theorems stands for the long one.


def small_proof(first: str = "True. Proof. exact I. Qed.", before: str = "") -> dict[str, str]:
    texts = {"Correctness.v": before, "Misprints.v": ""}
    for number, name in enumerate(THEOREMS):
        file, theorem = name.split(".")
        texts[f"{file}.v"] += f"Theorem {theorem} : {'True. Proof. exact I. Qed.' if number else first}\n"
    return texts


@needs_coq
def test_the_axioms_of_a_proof_are_found() -> None:
    assert check(small_proof(), 60) == set()
    classical = small_proof("True \\/ ~ True. Proof. apply classic. Qed.", "From Coq Require Import Classical.\n")
    assert check(classical, 60) == {"Classical_Prop.classic"}
    cheating = small_proof("False. Proof. exact cheat'. Qed.", "Variable cheat' : False.\n")
    assert check(cheating, 60) == {"Correctness.cheat'"}


@needs_coq
@pytest.mark.parametrize(
    ("texts", "reason"),
    [
        (small_proof("False. Proof. exact I. Qed."), "Coq does not accept Correctness.v"),
        (small_proof("False. Proof. Admitted."), "Correctness.v has 'Admitted'"),
        (small_proof(before="Axiom a : False.\n"), "Correctness.v has 'Axiom'"),
        (small_proof(before="Unset Positivity Checking.\n"), "Correctness.v has 'Unset Positivity Checking'"),
        (small_proof() | {"Misprints.v": ""}, "Coq does not accept Assumptions.v"),
    ],
)
def test_what_coq_does_not_accept_is_not_proven(texts: dict[str, str], reason: str) -> None:
    with pytest.raises(NotProvenError, match=reason):
        check(texts, 60)


@needs_coq
def test_a_proof_that_takes_too_long_is_not_proven() -> None:
    with pytest.raises(NotProvenError, match=r"did not finish the proof within 1 s; it was at Correctness.v"):
        check(small_proof("True. Proof. do 1000000000 idtac. exact I. Qed."), 1)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Axioms:\n",
        "Axioms:\nbad is assumed to be positive.\n",
        "Section Variables:\na : False\n",
        "Closed under the global context\na : False\n",
    ],
)
def test_an_answer_that_is_not_understood_is_no_proof(answer: str) -> None:
    with pytest.raises(NotProvenError, match="The answer of Coq about the assumptions is not understood"):
        axioms(answer)


def test_without_coq_the_command_says_how_to_get_it() -> None:
    command = [sys.executable, "-m", "lstm_oracle.verify.proof"]
    done = subprocess.run(command, env=os.environ | {"PATH": ""}, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("Coq with Coquelicot is not installed: apt install coq libcoq-coquelicot")


def test_the_files_of_the_proof_are_in_order() -> None:
    earlier: set[str] = set()
    for name, text in files().items():
        imported = re.findall(r"From LSTM Require Import (.*)\.", text)
        assert {module for line in imported for module in line.split()} <= earlier
        earlier.add(Path(name).stem)
