"""DERIVATION.md and its picture agree with the code and with autodiff."""

from __future__ import annotations

import ast
import inspect
import re
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest

from lstm_oracle.run import WEIGHTS, Array
from manual import bptt, derivation
from tests.manual.derivation.document import FOLDER, PICTURE, TEXT, anchors, code_blocks, rows, section
from tests.strategies import without_zeros
from tests.twins import forward, params_of, truth_of, upstream_of

ERRATA = {8: 1, 22: 2, 23: 3}
ARRIVING = {
    1: "`dh[t]`",
    2: "`dh_T` at the last step, else δ25 of step t+1",
    4: "`dC_T` at the last step, else δ11 of step t+1",
}  # test_bptt.py tests that the code does this
OTHERS = sorted(set(range(1, 27)) - set(ARRIVING))
VALUES = ("f", "i", "g", "o", "C", "tanh_C", "h")
RUN = without_zeros((3, 2, 4, 4))  # D = H, because otherwise the printed δ23 raises an error


def true(block: str) -> Array:
    return truth_of(RUN).blocks[block]


def values() -> SimpleNamespace:
    """Return the true values of all steps, under the names of the derivation."""
    start = {f"{state}_prev": np.stack([RUN.inputs[f"{state}0"], *true(state)[:-1]]) for state in "hC"}
    return SimpleNamespace(x=RUN.inputs["x"], **start, **{name: true(name) for name in VALUES})


def close(got: Array, want: Array) -> None:
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-12, strict=True)


def test_the_table_has_all_edges_in_order_and_three_errata() -> None:
    assert list(rows()) == list(range(1, 27))
    assert {n: row.derived for n, row in rows().items() if row.arrives} == ARRIVING
    linked = {n: f"[**erratum {k}**](#erratum-{k})" for n, k in ERRATA.items()}
    assert {n: row.differs for n, row in rows().items() if row.differs} == linked


@pytest.mark.parametrize("n", OTHERS)
def test_an_equation_as_derived_is_the_line_of_code(n: int) -> None:
    lines = [line for line in ast.walk(ast.parse(inspect.getsource(derivation.deltas))) if isinstance(line, ast.Assign)]
    (right_side,) = [ast.unparse(line.value) for line in lines if ast.unparse(line.targets[0]) == f"δ[{n}]"]
    assert rows()[n].derived == f"`{right_side}`"


@pytest.mark.parametrize("n", OTHERS)
def test_an_equation_as_printed_is_correct_unless_it_is_an_erratum(n: int) -> None:
    δ = {m: true(f"δ{m}") for m in range(1, 27) if m != n}
    printed = rows()[n].as_printed(params_of(RUN), values(), δ)
    if n in ERRATA:
        assert np.all(np.abs(printed - true(f"δ{n}")) > 1e-3 * np.abs(true(f"δ{n}")))
    else:
        close(printed, true(f"δ{n}"))


@pytest.mark.parametrize("n", ERRATA)
def test_an_erratum_has_its_section_and_its_comment_in_the_code(n: int) -> None:
    row, k = rows()[n], ERRATA[n]
    derived = row.derived.strip("`").replace(" @ ", " * ")
    derived = re.sub(r"p\.(\w+)\.T", r"\1ᵀ", re.sub(r"δ\[(\d+)\]", r"δ\1", derived))
    assert section(f"Erratum {k}").splitlines()[0] == f"Printed {row.printed}, derived `{derived}`."
    (line,) = [line for line in inspect.getsource(derivation).splitlines() if f"# erratum {k}: " in line]
    assert line.split()[0] == f"δ[{n}]"
    assert line.endswith(f"# erratum {k}: printed {row.printed.strip('`')}")


def test_the_code_of_the_forward_pass_computes_the_true_values() -> None:
    forward_pass, _, _ = code_blocks()
    names = {name: RUN.inputs[name] for name in WEIGHTS} | vars(values())
    names = {name: value for name, value in names.items() if name not in VALUES}
    exec(forward_pass, names | {"tanh": np.tanh, "sigmoid": lambda z: (1 + np.tanh(z / 2)) / 2}, found := {})
    assert set(found) == set(VALUES) - {"tanh_C"}
    for name, value in found.items():
        close(value, true(name))


def test_the_code_of_the_weight_updates_computes_the_true_gradients() -> None:
    _, updates, _ = code_blocks()
    total = dict.fromkeys(WEIGHTS, 0.0)
    for t in range(3):
        s = SimpleNamespace(**{name: value[t] for name, value in vars(values()).items()})
        for name, update in eval(updates, {"s": s, "δ": {n: true(f"δ{n}")[t] for n in range(1, 27)}}).items():
            total[name] += update
    for name in WEIGHTS:
        close(total[name], true(f"d{name}"))


def test_the_code_of_backpropagation_through_time_computes_the_true_gradients() -> None:
    _, _, back = code_blocks()
    tape = forward(bptt, RUN)
    names = {"T": 3, "p": tape.params, "steps": [bptt.step_of(tape, t) for t in range(3)], "deltas": derivation.deltas}
    names |= upstream_of(RUN) | {"dx": np.empty((3, 2, 4))}
    exec(back, names)
    for name in ("dx", "dh0", "dC0"):
        close(names[name], true(name))


@pytest.mark.parametrize("name", ["dsigmoid", "dtanh"])
def test_the_derivatives_in_the_text_are_the_lines_of_code(name: str) -> None:
    (formula,) = re.findall(rf"`{name}\(y\) = (.*?)`", TEXT)
    assert f"    return {formula}\n" in inspect.getsource(getattr(derivation, name))


def test_the_picture_shows_every_edge_once_and_marks_the_misprints() -> None:
    svg = {"svg": "http://www.w3.org/2000/svg"}
    groups = ElementTree.parse(PICTURE).findall(".//svg:g[@class]", svg)
    marks = {group.get("class"): [text.text for text in group.findall("svg:text", svg)] for group in groups}
    right, misprinted = marks["edge"], marks["edge misprint"]
    assert misprinted == [*map(str, ERRATA), "n"]  # and the legend
    assert sorted(map(int, right + misprinted[:-1])) == list(range(1, 27))


@pytest.mark.parametrize("n", range(1, 27))
def test_every_row_links_to_its_line_in_the_proof(n: int) -> None:
    line = linked(rows()[n].in_coq.removeprefix("[line](").removesuffix(")"))
    assert line.startswith("let δ := step_deltas " if n in ARRIVING else f"let δ{n} := ")


@pytest.mark.parametrize("k", ERRATA.values())
def test_every_erratum_links_to_its_counterexample(k: int) -> None:
    target, *_ = re.findall(r"\[a counterexample\]\((.*?)\)", section(f"Erratum {k}"))
    assert linked(target).startswith(f"Theorem erratum_{k}_is_wrong ")


def linked(target: str) -> str:
    """Return the line of a file that a link leads to."""
    file, _, number = target.partition("#L")
    return (FOLDER / file).read_text(encoding="utf-8").splitlines()[int(number) - 1].strip()


def test_every_link_has_a_target() -> None:
    for target in re.findall(r"\]\((.*?)\)", TEXT):
        file, _, anchor = target.partition("#")
        assert (FOLDER / file).is_file() if file else anchor in anchors(), target
