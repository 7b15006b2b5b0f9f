"""The catalogue: no two mistakes are the same, and a wrong forward pass has the gradients of what it computes."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from lstm_oracle.comparison.compare import judge
from lstm_oracle.diagnosis.bugs import CATALOGUE, PROGRAMS, Bug, Unit
from lstm_oracle.run import WEIGHTS, Array
from lstm_oracle.verify import ours
from lstm_oracle.verify.errata import MISPRINTS, Misprint
from manual import bptt
from tests.lstm_oracle.known import Known, evidence_of, known_runs, outputs_of

BUGS = [*CATALOGUE.values()]
# An issue, a file, or what has a name.
SOURCE = r"^[\w-]+/[\w.-]+#\d+$|^[\w.-]+/[\w.-]+:\w|^R package|^Fichou|^JAX|layout$"
KINDS = {"layout", "bias", "forward", "state", "direction", "gradient", "update", "precision"}


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


def test_the_unit_without_a_mistake_is_right(known: Known) -> None:
    for e in evidence_of(Unit, known):
        assert all(finding.ok for finding in judge(e.truth, e.outputs, e.dtype))


def test_every_entry_has_a_readable_id_text_and_source() -> None:
    assert {bug.kind for bug in BUGS} == KINDS
    for bug in BUGS:
        assert re.fullmatch(r"[a-zA-Z0-9]+(_[a-zA-Z0-9]+)*", bug.id)
        assert 8 < len(bug.text) < 150
        assert not bug.text.endswith(".")
        assert all(re.search(SOURCE, source) for source in bug.seen_in)
    assert len({bug.text for bug in BUGS}) == len(BUGS)
    assert all(CATALOGUE.keys() >= set(ids) and len(ids) >= 3 for ids in PROGRAMS.values())
    assert all(re.search(SOURCE, source) for source in PROGRAMS)


def test_no_two_mistakes_are_the_same_and_none_changes_its_inputs(known: Known) -> None:
    vectors = []
    for case, _ in known:
        before = {name: array.copy() for name, array in case.inputs.items()}
        found = [outputs_of(bug.unit, case.inputs) for bug in BUGS]
        assert all(np.array_equal(case.inputs[name], array) for name, array in before.items())
        vectors.append([some and np.concatenate([a.ravel() for a in some.values()]) for some in found])
    for (m, one), (n, other) in combinations(enumerate(BUGS), 2):
        pairs = [(run[m], run[n]) for run in vectors if run[m] is not None and run[n] is not None]
        assert any(not np.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in pairs), (one.id, other.id)


def loss(bug: Bug, run: dict[str, Array], arriving: dict[str, Array]) -> float:
    """The loss of which a program computes the gradients: its own states times the gradients that arrive at them."""
    unit = bug.unit(run)
    unit.states()
    total = sum(float(np.sum(s.h * arriving["dh"][s.t])) for s in unit.steps)
    return total + float(np.sum(unit.steps[-1].h * arriving["dh_T"]) + np.sum(unit.steps[-1].C * arriving["dC_T"]))


@pytest.mark.parametrize("bug", [b for b in BUGS if b.forward and b.kind != "precision"], ids=lambda bug: bug.id)
def test_the_gradients_of_a_wrong_forward_pass_are_its_difference_quotients(bug: Bug, known: Known) -> None:
    for case, _ in known:
        found = outputs_of(bug.unit, case.inputs)
        if found is None:
            continue
        arriving = bug.unit(case.inputs).run
        for number, names in enumerate([[*WEIGHTS], ["x"], ["h0"], ["C0"]]):
            rng = np.random.default_rng(number)
            directions = {name: rng.normal(size=case.inputs[name].shape) for name in names}
            ends = [
                loss(
                    bug, case.inputs | {name: case.inputs[name] + step * d for name, d in directions.items()}, arriving
                )
                for step in (1e-6, -1e-6)
            ]
            slope = sum(float(np.sum(found[f"d{name}"] * direction)) for name, direction in directions.items())
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("misprint", MISPRINTS, ids=lambda misprint: f"δ{misprint.edge}")
def test_a_misprint_of_the_source_gives_the_gradients_of_the_derivation_with_that_misprint(
    misprint: Misprint, known: Known
) -> None:
    compared = 0
    for case, _ in known:
        found = outputs_of(CATALOGUE[f"misprint_{misprint.edge}"].unit, case.inputs)
        if found is not None:
            tape, upstream = ours.forward(bptt, case)
            steps = dict(misprint.steps(tape, **upstream))
            np.testing.assert_allclose(found["dx"], [steps[t][26] for t in sorted(steps)], rtol=1e-9)
            np.testing.assert_allclose(found["dh0"], steps[0][25], rtol=1e-9)
            np.testing.assert_allclose(found["dC0"], steps[0][11], rtol=1e-9)
            compared += 1
    assert compared
