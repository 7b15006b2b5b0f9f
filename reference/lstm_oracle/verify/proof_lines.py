"""Compares the lines of the proof in `manual/proof` with those of `derivation.py` and `bptt.py`, without Coq.

The equations of `derivation.py` are translated to the notation of `Derivation.v`. The loop of `bptt.py` assigns to
entries of arrays, for which Coq has no statement: LOOP pairs each of its statements with lines of `Bptt.v`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import manual

FOLDER = Path(manual.__file__).parent
PROOF = FOLDER / "proof"
FILES = ("derivation.py", "bptt.py", "proof/Derivation.v", "proof/Bptt.v")

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
FUNCTION = "Definition {} {{m n}} : mat m n -> mat m n := map {}."
# The first lines of the definitions of Derivation.v, and the lines that stand for `return δ`.
DEFINITIONS = {
    "step": ["Definition step (p : Params) (x : mat B D) (h_prev C_prev : mat B H) : Step := ("],
    "deltas": ["Definition deltas (p : Params) (s : Step) (δ1 δ2 δ4 : mat B H) : Edges := ("],
    "updates": [
        "Definition updates (s : Step) (δ : Edges) : Params := (",
        "fun w => match w return mat (rows w) H with",
    ],
}
RETURN_EDGES = [
    "fun n => match n return mat B (width n) with",
    *(f"| e{n} => δ{n}" for n in range(1, 27)),
    "end)%M.",
]

# The statements of each function of bptt.py, and after an arrow the lines of Bptt.v that say the same. A line before
# the first statement belongs to the definition, and those after the last statement close it.
LOOP = {
    "": """
        ⇒ Definition set {A} (a : nat -> A) (t : nat) (value : A) : nat -> A := fun q => if q =? t then value else a q.
        ⇒ Module Tape.
        ⇒ Record Tape {B D H : nat} := {
        ⇒ params : Params D H; x : nat -> mat B D; hs : nat -> mat B H; Cs : nat -> mat B H;
        ⇒ f : nat -> mat B H; i : nat -> mat B H; g : nat -> mat B H; o : nat -> mat B H; tanh_C : nat -> mat B H }.
        ⇒ Arguments Tape : clear implicits.
        ⇒ End Tape.
        ⇒ Module Gradients.
        ⇒ Record Gradients {B D H : nat} := { params : Params D H; x : nat -> mat B D; h0 : mat B H; C0 : mat B H }.
        ⇒ Arguments Gradients : clear implicits.
        ⇒ End Gradients.
        ⇒ Import Tape(Tape) Gradients(Gradients).
        ⇒ Section Time.
        ⇒ Context {B D H : nat}.
        ⇒ Definition empty_tape (p : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H) : Tape B D H :=
        ⇒ let array := fun _ => zero in
        ⇒ Tape.Build_Tape _ _ _ p x (set array 0 h0) (set array 0 C0) array array array array array.
    """,
    "run": """
        ⇒ Fixpoint run (params : Params D H) (x : nat -> mat B D) (h0 C0 : mat B H) (T : nat) : Tape B D H :=
        ⇒ match T with
    tape = empty_tape(params, x, h0, C0)
        ⇒ | O => empty_tape params x h0 C0
    for t in range(len(x)):
        ⇒ | S t =>
        ⇒ let tape := run params x h0 C0 t in
    s = step(params, x[t], tape.hs[t], tape.Cs[t])
        ⇒ let s := step params (x t) (tape.(Tape.hs) t) (tape.(Tape.Cs) t) in
        ⇒ {| Tape.params := tape.(Tape.params);
        ⇒ Tape.x := tape.(Tape.x);
    tape.f[t], tape.i[t], tape.g[t], tape.o[t] = (s.f, s.i, s.g, s.o)
        ⇒ Tape.f := set tape.(Tape.f) t s.(f);
        ⇒ Tape.i := set tape.(Tape.i) t s.(i);
        ⇒ Tape.g := set tape.(Tape.g) t s.(g);
        ⇒ Tape.o := set tape.(Tape.o) t s.(o);
    tape.Cs[t + 1], tape.tanh_C[t], tape.hs[t + 1] = (s.C, s.tanh_C, s.h)
        ⇒ Tape.Cs := set tape.(Tape.Cs) (t + 1) s.(C);
        ⇒ Tape.tanh_C := set tape.(Tape.tanh_C) t s.(tanh_C);
        ⇒ Tape.hs := set tape.(Tape.hs) (t + 1) s.(h) |}
    return tape
        ⇒ end.
    """,
    "step_of": """
        ⇒ Definition step_of (tape : Tape B D H) (t : nat) : Step B D H :=
    x=tape.x[t]
        ⇒ {| x := tape.(Tape.x) t;
    h_prev=tape.hs[t]
        ⇒ h_prev := tape.(Tape.hs) t;
    C_prev=tape.Cs[t]
        ⇒ C_prev := tape.(Tape.Cs) t;
    f=tape.f[t]
        ⇒ f := tape.(Tape.f) t;
    i=tape.i[t]
        ⇒ i := tape.(Tape.i) t;
    g=tape.g[t]
        ⇒ g := tape.(Tape.g) t;
    o=tape.o[t]
        ⇒ o := tape.(Tape.o) t;
    C=tape.Cs[t + 1]
        ⇒ C := tape.(Tape.Cs) (t + 1);
    tanh_C=tape.tanh_C[t]
        ⇒ tanh_C := tape.(Tape.tanh_C) t;
    h=tape.hs[t + 1]
        ⇒ h := tape.(Tape.hs) (t + 1) |}.
    """,
    "steps_back": """
        ⇒ Variable step_deltas : Params D H -> Step B D H -> mat B H -> mat B H -> mat B H -> Edges B D H.
        ⇒ Fixpoint steps_back (tape : Tape B D H) (dh : nat -> mat B H) (T : nat) (δ25 δ11 : mat B H)
        ⇒ : list (nat * Step B D H * Edges B D H) :=
    δ25, δ11 = (dh_T, dC_T)
    for t in reversed(range(len(tape.x))):
        ⇒ match T with
        ⇒ | O => nil
        ⇒ | S t =>
    s = step_of(tape, t)
        ⇒ let s := step_of tape t in
    δ = step_deltas(tape.params, s, edges({1: dh[t], 2: δ25, 4: δ11}))
        ⇒ let δ := step_deltas tape.(Tape.params) s (dh t) δ25 δ11 in
    δ25, δ11 = (δ[25], δ[11])
        ⇒ let δ25 := δ e25 in
        ⇒ let δ11 := δ e11 in
    yield (t, s, δ)
        ⇒ (t, s, δ) :: steps_back tape dh t δ25 δ11
        ⇒ end.
    """,
    "gradients": """
    W, U, b = (tape.params.W, tape.params.U, tape.params.b)
    d_params = ParamGradients(np.zeros_like(W), np.zeros_like(U), np.zeros_like(b))
    dx, dh0, dC0 = (np.empty_like(tape.x), dh_T.copy(), dC_T.copy())
    for t, s, δ in steps_back(tape, dh, dh_T, dC_T, edges):
        ⇒ Definition accumulate (G : Gradients B D H) '((t, s, δ) : nat * Step B D H * Edges B D H) : Gradients B D H :=
    for name, update in updates(s, δ).items():
    total = getattr(d_params, name)
    total += update
        ⇒ {| Gradients.params := fun w => (G.(Gradients.params) w + updates s δ w)%M;
    dx[t], dh0, dC0 = (δ[26], δ[25], δ[11])
        ⇒ Gradients.x := set G.(Gradients.x) t (δ e26);
        ⇒ Gradients.h0 := δ e25;
        ⇒ Gradients.C0 := δ e11 |}.
    return Gradients(d_params, dx, dh0, dC0)
        ⇒ Definition gradients_by (tape : Tape B D H) (T : nat) (dh : nat -> mat B H) (dh_T dC_T : mat B H)
        ⇒ : Gradients B D H :=
        ⇒ fold_left accumulate (steps_back tape dh T dh_T dC_T)
        ⇒ {| Gradients.params := fun w => zero;
        ⇒ Gradients.x := fun _ => zero;
        ⇒ Gradients.h0 := dh_T;
        ⇒ Gradients.C0 := dC_T |}.
    """,
    "all_deltas": """
    upstream = (dh.copy(), dh_T.copy(), dC_T.copy())
    return [δ for _, _, δ in steps_back(tape, *upstream)][::-1]
        ⇒ Definition all_deltas_by (tape : Tape B D H) (T : nat) (dh : nat -> mat B H) (dh_T dC_T : mat B H)
        ⇒ : list (Edges B D H) :=
        ⇒ rev (List.map (fun '(t, s, δ) => δ) (steps_back tape dh T dh_T dC_T)).
    """,
}


def sources() -> dict[str, str]:
    """Return the texts of the code and of the proof by file.

    Raises:
        FileNotFoundError: the proof is not here, because it is not part of the wheel.
    """
    return {name: (FOLDER / name).read_text(encoding="utf-8") for name in FILES}


def pairs(texts: dict[str, str]) -> list[tuple[str, str]]:
    """Return pairs of lines that have to be equal: the line that is expected, and that of the code or the proof.

    A line that is missing or too many stands beside an empty one.
    """
    derivation, loop = lines_of(texts["proof/Derivation.v"], "sigmoid"), lines_of(texts["proof/Bptt.v"], "set")
    statements, lines = paired()
    return [
        *zip_longest(translated(texts["derivation.py"]), derivation, fillvalue=""),
        *zip_longest(statements, statements_of(texts["bptt.py"]), fillvalue=""),
        *zip_longest(lines, loop, fillvalue=""),
    ]


# Python.


def translated(code: str) -> Iterator[str]:
    """Yield the lines of Derivation.v that say what derivation.py says."""
    found = functions(code)
    for name in ("sigmoid", "dsigmoid", "dtanh"):
        yield FUNCTION.format(name, f"(fun {found[name].args.args[0].arg} => {coq(value_of(found[name]))})")
    yield FUNCTION.format("tanh", "Rtrigo_def.tanh")
    for name, first in DEFINITIONS.items():
        yield from first
        for statement in found[name].body[1:]:  # without the docstring
            yield from definition_lines(statement)


def definition_lines(statement: ast.stmt) -> Iterator[str]:
    """Yield the lines of Derivation.v that say what a statement of `step`, `deltas` or `updates` says."""
    match statement:
        case ast.Assign(targets=[target], value=value):
            yield re.sub(r"δ\[(\d+)\]", r"δ\1", f"let {coq(target)} := {coq(value)} in")
        case ast.Return(value=ast.Call(func=ast.Name(id="Step"), args=values)):
            yield f"Build_Step {' '.join(map(coq, values))})%M."
        case ast.Return(value=ast.Name(id="δ")):
            yield from RETURN_EDGES
        case ast.Return(value=ast.Dict(keys=weights, values=values)):
            for weight, value in zip(weights, values, strict=True):
                name = ast.literal_eval(weight) if weight else ""
                yield re.sub(r"δ\[(\d+)\]", r"δ e\1", f"| {name} => {coq(value)}")
            yield "end)%M."
        case _:
            yield ast.unparse(statement)


def coq(expression: ast.expr) -> str:
    """Return an expression of derivation.py in the notation of the proof."""
    text = ast.unparse(expression)
    for python, notation in NOTATION.items():
        text = re.sub(python, notation, text)
    return text


def functions(code: str) -> dict[str, ast.FunctionDef]:
    """Return the functions of a Python file by name."""
    return {node.name: node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)}


def value_of(function: ast.FunctionDef) -> ast.expr:
    """Return the expression whose value a function returns, where it is given a name also."""
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.AnnAssign | ast.Return)]
    (value,) = (value for value in values if value is not None and not isinstance(value, ast.Name))
    return value


def statements_of(code: str) -> Iterator[str]:
    """Yield the statements of the functions of bptt.py that LOOP has, those of a loop after its first line."""
    found = functions(code)
    for name in LOOP:
        if name:
            yield from flat(found[name].body[1:])  # without the docstring


def flat(statements: list[ast.stmt]) -> Iterator[str]:
    """Yield the lines of statements, and of a call with keywords its arguments."""
    for statement in statements:
        match statement:
            case ast.For(body=body):
                yield ast.unparse(statement).splitlines()[0]
                yield from flat(body)
            case ast.Return(value=ast.Call(func=ast.Name(id="Step"), args=[], keywords=keywords)):
                yield from map(ast.unparse, keywords)
            case _:
                yield ast.unparse(statement)


# The proof.


def lines_of(proof: str, first: str) -> Iterator[str]:
    """Yield the lines of a file of the proof from a definition on to the end of its section, without comments."""
    text = re.sub(r"\(\*.*?\*\)", "", proof[proof.index(f"\nDefinition {first} ") : proof.rindex("\nEnd ")], flags=re.S)
    for line in filter(None, map(str.strip, text.splitlines())):
        yield from re.split(r" (?=\| e\d)", line)


def paired() -> tuple[list[str], list[str]]:
    """Return the statements of LOOP, and its lines of the proof."""
    lines = [line.strip() for text in LOOP.values() for line in text.splitlines() if line.strip()]
    return (
        [line for line in lines if not line.startswith("⇒ ")],
        [line.removeprefix("⇒ ") for line in lines if line.startswith("⇒ ")],
    )
