"""The catalogue: every mistake is one, no two are the same, and a wrong forward pass has its own gradients."""

from __future__ import annotations

import re
from itertools import combinations

import numpy as np
import pytest

from manual import bptt
from reference.oracle import ours
from reference.oracle.bugs import CATALOGUE, PROGRAMS, Bug, Unfit, Unit, compose
from reference.oracle.errata import MISPRINTS
from reference.oracle.findings import judge
from reference.run import INPUTS, WEIGHTS, Array
from tests.reference.oracle.known import FLOAT64, Known, evidence_of, known_runs, outputs_of

BUGS = [*CATALOGUE.values()]
# An issue, a file, or what has a name.
SOURCE = r"^[\w-]+/[\w.-]+#\d+$|^[\w.-]+/[\w.-]+:\w|^R package|^Fichou|^JAX|layout$"
KINDS = {"layout", "bias", "forward", "state", "direction", "gradient", "update", "precision"}


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


def test_the_unit_that_mistakes_are_made_in_is_right(known: Known) -> None:
    for e in evidence_of(Unit, known):
        assert all(finding.ok for finding in judge(e.truth, e.outputs, e.dtype))


def test_every_entry_can_be_read() -> None:
    assert len(BUGS) >= 60
    assert {bug.kind for bug in BUGS} == KINDS
    for bug in BUGS:
        assert re.fullmatch(r"[a-zA-Z0-9]+(_[a-zA-Z0-9]+)*", bug.id)
        assert 8 < len(bug.text) < 150
        assert not bug.text.endswith(".")
        assert all(re.search(SOURCE, source) for source in bug.seen_in)
    assert len({bug.text for bug in BUGS}) == len(BUGS)
    assert sum(bool(bug.seen_in) for bug in BUGS) >= 60


def test_programs_are_made_of_known_mistakes_and_hold_three_at_least() -> None:
    assert all(CATALOGUE.keys() >= set(ids) and len(ids) >= 3 for ids in PROGRAMS.values())
    assert all(re.search(SOURCE, source) for source in PROGRAMS)


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_every_mistake_is_caught(bug: Bug, known: Known) -> None:
    assert any(not finding.ok for e in evidence_of(bug.unit, known) for finding in judge(e.truth, e.outputs, e.dtype))


def test_no_two_mistakes_are_the_same(known: Known) -> None:
    of_run = [[outputs_of(bug.unit, case.inputs) for bug in BUGS] for case, _ in known]
    vectors = [[found and np.concatenate([a.ravel() for a in found.values()]) for found in run] for run in of_run]
    for (m, one), (n, other) in combinations(enumerate(BUGS), 2):
        pairs = [(run[m], run[n]) for run in vectors if run[m] is not None and run[n] is not None]
        assert any(not np.allclose(a, b, rtol=1e-10, atol=1e-10) for a, b in pairs), (one.id, other.id)


def loss(bug: Bug, run: dict[str, Array], arriving: dict[str, Array]) -> float:
    """The loss that a program's gradients are of, as it sees it: its own states against what arrives at them."""
    unit = bug.unit(run)
    unit.states()
    dh, dh_T, dC_T = (arriving[name] for name in ("dh", "dh_T", "dC_T"))
    total = sum(float(np.sum(s.h * dh[s.t])) for s in unit.steps)
    return total + float(np.sum(unit.steps[-1].h * dh_T) + np.sum(unit.steps[-1].C * dC_T))


@pytest.mark.parametrize("bug", [b for b in BUGS if b.forward and b.kind != "precision"], ids=lambda bug: bug.id)
def test_the_gradients_of_a_wrong_forward_pass_are_its_own(bug: Bug, known: Known) -> None:
    for case, _ in known:
        found = outputs_of(bug.unit, case.inputs)
        if found is None:
            continue
        arriving = bug.unit(case.inputs).run
        for number, names in enumerate([[*WEIGHTS], ["x"], ["h0"], ["C0"]]):
            rng = np.random.default_rng(number)
            ways = {name: rng.normal(size=case.inputs[name].shape) for name in names}
            ends = [
                loss(bug, case.inputs | {name: case.inputs[name] + step * way for name, way in ways.items()}, arriving)
                for step in (1e-6, -1e-6)
            ]
            slope = sum(float(np.sum(found[f"d{name}"] * way)) for name, way in ways.items())
            assert (ends[0] - ends[1]) / 2e-6 == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_the_source_s_misprints_are_those_of_the_derivation(known: Known) -> None:
    for misprint in MISPRINTS:
        bug = CATALOGUE[f"misprint_{misprint.edge}"]
        for case, _ in known:
            try:
                unit = bug.unit(case.inputs)
                unit.states()
                unit.gradients()
            except Unfit:
                continue
            tape, upstream = ours.forward(bptt, case)
            for t, δ in misprint.steps(tape, **upstream):
                np.testing.assert_allclose(unit.δ[t][misprint.edge], δ[misprint.edge], rtol=1e-9)


def test_mistakes_combine(known: Known) -> None:
    case, _ = known[0]
    both = compose((CATALOGUE["W_transposed"], CATALOGUE["dx_zero"]))
    found, transposed = outputs_of(both, case.inputs), outputs_of(CATALOGUE["W_transposed"].unit, case.inputs)
    assert found is not None
    assert transposed is not None
    assert not found["dx"].any()
    np.testing.assert_array_equal(found["dW_f"], transposed["dW_f"])


def test_a_mistake_leaves_the_run_as_it_was(known: Known) -> None:
    case, _ = known[-1]
    before = {name: array.copy() for name, array in case.inputs.items()}
    for bug in BUGS:
        outputs_of(bug.unit, case.inputs)
    assert all(np.array_equal(case.inputs[name], before[name]) for name in INPUTS)
    assert case.dtype == FLOAT64
