"""The catalogue: all mistakes differ, and the gradients of a wrong forward pass are those of what it computes."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from lstm_oracle.comparison.compare import compare_outputs
from lstm_oracle.diagnosis.bugs import CATALOGUE, KNOWN_PROGRAMS, Bug, BugKind, Unit
from lstm_oracle.run import WEIGHTS, Array
from lstm_oracle.verify import twins
from lstm_oracle.verify.errata import MISPRINTS, Misprint
from manual import bptt
from tests.lstm_oracle.known import Known, evidence_of, known_runs, outputs_of

BUGS = [*CATALOGUE.values()]
# An issue, a file or a title.
SOURCE = r"^[\w-]+/[\w.-]+#\d+$|^[\w.-]+/[\w.-]+:\w|^R package|^Fichou|^JAX|layout$"


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


def test_the_unit_without_mistakes_is_correct(known: Known) -> None:
    for e in evidence_of(Unit, known):
        assert all(finding.ok for finding in compare_outputs(e.truth, e.outputs))


def test_every_entry_has_a_readable_id_text_and_source() -> None:
    assert {bug.kind for bug in BUGS} == {*BugKind}
    for bug in BUGS:
        assert re.fullmatch(r"[a-zA-Z0-9]+(_[a-zA-Z0-9]+)*", bug.id)
        assert 8 < len(bug.text) < 150
        assert not bug.text.endswith(".")
        assert all(re.search(SOURCE, source) for source in bug.seen_in)
    assert len({bug.text for bug in BUGS}) == len(BUGS)
    assert all(CATALOGUE.keys() >= set(ids) and len(ids) >= 3 for ids in KNOWN_PROGRAMS.values())
    assert all(re.search(SOURCE, source) for source in KNOWN_PROGRAMS)


def test_all_mistakes_differ_and_none_writes_to_its_inputs(known: Known) -> None:
    vectors = []
    for case, _ in known:
        before = {name: array.copy() for name, array in case.inputs.items()}
        found = [outputs_of(bug.unit, case.inputs) for bug in BUGS]
        assert all(np.array_equal(case.inputs[name], array) for name, array in before.items())
        vectors.append([some and np.concatenate([a.ravel() for a in some.values()]) for some in found])
    for (m, one), (n, other) in combinations(enumerate(BUGS), 2):
        pairs = [(run[m], run[n]) for run in vectors if run[m] is not None and run[n] is not None]
        assert any(not np.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in pairs), (one.id, other.id)


def loss(bug: Bug, run: dict[str, Array], upstream: dict[str, Array]) -> float:
    """Return the loss whose gradients a unit computes: the states of its steps times the upstream gradients."""
    unit = bug.unit(run)
    unit.states()
    total = sum(float(np.sum(s.h * upstream["dh"][s.t])) for s in unit.steps)
    return total + float(np.sum(unit.steps[-1].h * upstream["dh_T"]) + np.sum(unit.steps[-1].C * upstream["dC_T"]))


@pytest.mark.parametrize("bug", [b for b in BUGS if b.forward and b.kind != BugKind.PRECISION], ids=lambda bug: bug.id)
def test_the_gradients_of_a_wrong_forward_pass_agree_with_finite_differences(bug: Bug, known: Known) -> None:
    for case, _ in known:
        found = outputs_of(bug.unit, case.inputs)
        if found is None:
            continue
        upstream = bug.unit(case.inputs).run
        for number, names in enumerate([[*WEIGHTS], ["x"], ["h0"], ["C0"]]):
            rng = np.random.default_rng(number)
            directions = {name: rng.normal(size=case.inputs[name].shape) for name in names}
            moved = [
                case.inputs | {name: case.inputs[name] + step * d for name, d in directions.items()}
                for step in (1e-6, -1e-6)
            ]
            ends = [loss(bug, inputs, upstream) for inputs in moved]
            slope = sum(float(np.sum(found[f"d{name}"] * direction)) for name, direction in directions.items())
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("misprint", MISPRINTS, ids=lambda misprint: f"δ{misprint.edge}")
def test_a_misprint_of_the_source_has_the_gradients_of_the_derivation_with_the_misprint(
    misprint: Misprint, known: Known
) -> None:
    compared = 0
    for case, _ in known:
        found = outputs_of(CATALOGUE[f"misprint_{misprint.edge}"].unit, case.inputs)
        if found is not None:
            tape, upstream = twins.forward(bptt, case)
            steps = dict(misprint.steps(tape, **upstream))
            np.testing.assert_allclose(found["dx"], [steps[t][26] for t in sorted(steps)], rtol=1e-9)
            np.testing.assert_allclose(found["dh0"], steps[0][25], rtol=1e-9)
            np.testing.assert_allclose(found["dC0"], steps[0][11], rtol=1e-9)
            compared += 1
    assert compared
