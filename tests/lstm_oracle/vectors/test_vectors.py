"""The test vectors: they expose every mistake, their values are certified, and other languages can read them."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lstm_oracle import judge
from lstm_oracle.certified.certificate import rounded
from lstm_oracle.cli import main as cli
from lstm_oracle.diagnosis.bugs import CATALOGUE, BugKind
from lstm_oracle.inputs.files import read_run
from lstm_oracle.run import INPUTS, OUTPUTS, Run
from lstm_oracle.truth import tolerance
from lstm_oracle.vectors import DRAWS, DTYPES, drawn
from lstm_oracle.vectors.exposure import Effect, is_exposed
from lstm_oracle.vectors.files import SCHEMA, write
from lstm_oracle.vectors.flags import FLAGS
from tests.lstm_oracle.known import outputs_of
from tests.vectors import cover

CANDIDATES = Path(__file__).parents[2] / "candidates"
FEW = {"minimal": DRAWS["minimal"], "diagnostic": DRAWS["diagnostic"][:2]}
BY_DTYPE = pytest.mark.parametrize("dtype", [dtype.name for dtype in DTYPES])
Document = dict[str, Any]

needs_node = pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All vectors in float64, as the command writes them, and a few in float32."""
    all_of_them, few = tmp_path_factory.mktemp("vectors"), tmp_path_factory.mktemp("few")
    assert cli.main(["vectors", str(all_of_them), "--dtype", "float64"]) == 0
    for path in write(few, [DTYPES[1]], FEW):
        if "float32" in path.name:
            shutil.copy(path, all_of_them)
    return all_of_them


def document(folder: Path, dtype: str) -> Document:
    found: Document = json.loads((folder / f"lstm_{dtype}.json").read_text(encoding="utf-8"))
    return found


def vectors_of(document: Document, *groups: str) -> list[Document]:
    return [
        test for group in document["testGroups"] for test in group["tests"] if group["type"] in groups or not groups
    ]


def inputs_of(test: Document, dtype: str) -> Run:
    return {name: np.array(array["data"], dtype).reshape(array["shape"]) for name, array in test["inputs"].items()}


def wrong_in(test: Document, outputs: Run | None) -> list[str]:
    """The outputs that are wrong according to the JSON; none for a program that raises an error."""
    found = []
    for name, expected in test["expected"].items() if outputs else ():
        data, allowed = np.array(expected["data"]), np.array(expected["tolerance"])
        error = np.abs(np.asarray(outputs[name], np.float64).ravel() - data)
        if not (error <= np.repeat(allowed, len(data) // len(allowed))).all():
            found.append(name)
    return found


def exposed_in(test: Document) -> dict[str, Document]:
    """Return what the JSON says about the mistakes that a vector exposes, by mistake."""
    return {name: effect for effect in test["exposes"] for name in effect["mistakes"]}


@BY_DTYPE
def test_the_vectors_fit_their_schema(folder: Path, dtype: str) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    schema = json.loads((folder / SCHEMA).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    right = document(folder, dtype)
    assert [*validator.iter_errors(right)] == []
    del vectors_of(right)[0]["inputs"]["C0"]
    assert not validator.is_valid(right)


@BY_DTYPE
def test_the_minimal_set_exposes_every_mistake(folder: Path, dtype: str) -> None:
    """Except, in float32, the mistakes that consist in computing in float32."""
    minimal, hidden = vectors_of(document(folder, dtype), "minimal"), set()
    for bug in CATALOGUE.values():
        shown = []
        for test in minimal:
            wrong = wrong_in(test, outputs_of(bug.unit, dict(inputs_of(test, dtype))))
            effect = exposed_in(test).get(bug.id, {"outputs": [], "borderline": []})
            assert {*effect["outputs"]} <= {*wrong} <= {*effect["outputs"], *effect["borderline"]}, bug.id
            by_states = bug.forward and bug.kind != BugKind.PRECISION  # the gradients may be derived in any way
            shown += [name for name in effect["outputs"] if name in ("h", "C", "C_T") or not by_states]
        if not shown:
            hidden.add(bug.id)
    narrow = {bug.id for bug in CATALOGUE.values() if bug.kind == BugKind.PRECISION and "float16" not in bug.id}
    assert hidden == (narrow if dtype == "float32" else set())


def test_no_vector_of_the_minimal_set_is_redundant(folder: Path) -> None:
    exposed = [set(exposed_in(test)) for test in vectors_of(document(folder, "float64"), "minimal")]
    for k, found in enumerate(exposed):
        assert found - set().union(*exposed[:k], *exposed[k + 1 :])


def test_a_mistake_of_the_forward_pass_is_exposed_by_the_states_alone() -> None:
    in_dx, in_h = Effect(("dx",), ()), Effect(("h",), ("dx",))
    assert [is_exposed(CATALOGUE["hard_sigmoid"], effect) for effect in (in_dx, in_h, None)] == [False, True, False]
    assert is_exposed(CATALOGUE["carry_in_float32"], in_dx)
    assert is_exposed(CATALOGUE["dx_zero"], in_dx)


@given(st.lists(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), min_size=1, max_size=5), st.data())
def test_a_cover_is_the_smallest(rows: list[list[bool]], data: st.DataObject) -> None:
    costs = np.array(data.draw(st.lists(st.integers(1, 9), min_size=6, max_size=6)))
    subsets = [[k for k in range(6) if n >> k & 1] for n in range(64)]
    covering = [some for some in subsets if all(any(row[k] for k in some) for row in rows)]
    best = min(covering, key=lambda some: (len(some), costs[some].sum(), sum(some)))
    found = cover(np.array(rows), costs)
    assert found in covering
    assert (len(found), costs[found].sum(), sum(found)) == (len(best), costs[best].sum(), sum(best))


@BY_DTYPE
def test_the_expected_outputs_are_certified_to_the_bit(folder: Path, dtype: str) -> None:
    for number, test in enumerate(vectors_of(document(folder, dtype)), 1):
        recorded = read_run(folder / f"lstm_{dtype}_{number:02}.npz")
        assert test["tcId"] == number
        for name, array in (test["inputs"] | test["expected"]).items():
            np.testing.assert_array_equal(np.array(array["data"]).reshape(array["shape"]), recorded[name])
            assert recorded[name].dtype == dtype
        assert set(recorded) == {*INPUTS, *OUTPUTS}
        assert judge(recorded).ok
        if number < 3:
            certified = rounded(inputs_of(test, dtype))
            assert all(np.array_equal(recorded[name], certified[name]) for name in OUTPUTS)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_tolerances_are_those_of_the_judge_on_any_machine(folder: Path, dtype: np.dtype[Any]) -> None:
    ((_, truth),) = drawn(DRAWS["minimal"], dtype)
    test = vectors_of(document(folder, dtype.name))[0]
    for name, expected in test["expected"].items():
        step = np.repeat(expected["tolerance"], len(expected["data"]) // len(expected["tolerance"]))
        for part, ok in ((0.99, True), (1.01, False)):
            changed = truth.blocks[name] + part * step.reshape(expected["shape"])
            ratio = np.max(truth.units(name, changed, dtype)) / truth.tolerance(name)
            assert (ratio <= 1) == ok, name
    for case, truth in drawn([draw for some in DRAWS.values() for draw in some], dtype):
        lost = max(truth.losses.values())
        assert 2 * tolerance.MARGIN * lost < tolerance.LEAST, case  # losses, which depend on the machine, play no part
        assert {truth.tolerance(name) for name in truth.losses} == {tolerance.LEAST}, case


def test_flags_and_mistakes_have_notes(folder: Path) -> None:
    found = document(folder, "float64")
    tests = vectors_of(found)
    assert found["numberOfTests"] == len(tests) == sum(map(len, DRAWS.values()))
    assert {flag for test in tests for flag in test["flags"]} == set(FLAGS)
    assert set(found["notes"]) == {*FLAGS, *CATALOGUE}


def test_the_same_vectors_are_written_to_the_same_bytes(tmp_path: Path) -> None:
    draws = {"diagnostic": DRAWS["diagnostic"][:1]}
    one, two = ({path.name: path.read_bytes() for path in write(tmp_path / name, DTYPES, draws)} for name in "ab")
    assert one == two


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine").write_text("kept")
    assert cli.main(["vectors", str(tmp_path)]) == 2
    assert "is not empty; expected a new or empty folder" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
    assert cli.main(["vectors", str(tmp_path / "mine")]) == 2


def read_by_node(*arguments: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", CANDIDATES / "vectors.js", *arguments], capture_output=True, text=True)


@needs_node
@BY_DTYPE
def test_a_right_lstm_in_javascript_passes_all_vectors(folder: Path, dtype: str) -> None:
    done = read_by_node(folder / f"lstm_{dtype}.json")
    count = len(vectors_of(document(folder, dtype)))
    assert (done.returncode, done.stdout) == (0, f"{count} of {count} vectors are correct.\n"), done.stderr


@needs_node
@pytest.mark.parametrize(
    ("right", "wrong", "mistake"),
    [
        ("dC[n] + dhn * o", "dhn * o", "no_cell_carry"),
        ("W[k][m * H + j]", "W[k][j * H + m]", "W_transposed"),  # and dW with W
        ("dW[k][m * H + j] += h[t * BH", "dW[k][m * H + j] += h[(t + 1) * BH", "h_for_h_prev"),
        ('k === "g" ? Math.tanh(z)', 'k === "none" ? Math.tanh(z)', "candidate_by_sigmoid"),
    ],
)
def test_a_wrong_lstm_in_javascript_fails_and_its_mistake_is_named(
    folder: Path, tmp_path: Path, right: str, wrong: str, mistake: str
) -> None:
    text = (CANDIDATES / "lstm.js").read_text(encoding="utf-8")
    assert right in text
    (tmp_path / "wrong.js").write_text(text.replace(right, wrong), encoding="utf-8")
    done = read_by_node(folder / "lstm_float64.json", tmp_path / "wrong.js")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "EveryMistake: one of the smallest set of vectors" in done.stdout
    assert f"\n    {mistake}: " in done.stdout.split("\nKnown mistakes that match")[-1]
