"""Mistakes are named, right programs and unknown mistakes are not, and the latter are located."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from reference.oracle import ours
from reference.oracle.bugs import CATALOGUE, PROGRAMS, AsNamed, Bug, Derived, Unit, compose
from reference.oracle.bugs.cell import Blocks
from reference.oracle.cases import Case, draw_inputs
from reference.oracle.diagnosis import Evidence, diagnose, locate
from reference.oracle.findings import judge
from reference.oracle.fit import Fit
from reference.oracle.truth import Truth, truths
from reference.run import OUTPUTS, WEIGHTS, Array
from tests.reference.oracle.known import FLOAT32, FLOAT64, Known, evidence_of, known_runs

BUGS = [*CATALOGUE.values()]
WEIGHT_GRADIENTS = [f"d{name}" for name in WEIGHTS]
FORWARD = [bug for bug in BUGS if bug.forward and bug.kind != "precision"]


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


@pytest.fixture(scope="module")
def known_32() -> Known:
    return known_runs(FLOAT32)


def names(evidence: list[Evidence]) -> list[set[str]]:
    return [{bug.id for bug in explanation} for explanation in diagnose(evidence)]


def caught(evidence: list[Evidence]) -> bool:
    return any(not finding.ok for e in evidence for finding in judge(e.truth, e.outputs, e.dtype))


# What is in the catalogue.


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_every_mistake_is_named_and_no_other(bug: Bug, known: Known) -> None:
    assert names(evidence_of(bug.unit, known)) == [{bug.id}]


@pytest.mark.parametrize("bug", [b for b in BUGS if b.kind != "precision"][::16], ids=lambda bug: bug.id)
def test_in_float32_too(bug: Bug, known_32: Known) -> None:
    assert names(evidence_of(bug.unit, known_32)) == [{bug.id}]


@pytest.mark.parametrize("bug", FORWARD[::12], ids=lambda bug: bug.id)
@pytest.mark.parametrize("base", [Derived, AsNamed])
def test_with_gradients_made_by_hand_for_the_right_unit_it_is_the_same_mistake(
    bug: Bug, base: type[Unit], known: Known
) -> None:
    assert names(evidence_of(compose((bug,), base), known)) == [{bug.id}]


@pytest.mark.parametrize(
    ("id", "given"),
    [
        ("W_transposed", ["h"]),
        ("gate_order_ifgo", ["h", "C_T"]),
        ("h_without_tanh", ["h", "C"]),
        ("no_cell_carry", ["dW_f", "dU_i", "dx"]),
        ("no_cell_carry", ["dC0"]),
        ("bias_mean_over_batch", ["db_o"]),
    ],
)
def test_a_part_of_the_outputs_is_enough(id: str, given: list[str], known: Known) -> None:
    assert {id} in names(evidence_of(CATALOGUE[id].unit, known, given))


def test_what_the_runs_cannot_tell_apart_is_all_named() -> None:
    known = known_runs(sizes=[(1, 2, 5, 4)])
    named = names(evidence_of(CATALOGUE["dC_T_dropped"].unit, known))
    assert {"dC_T_dropped"} in named
    assert {"no_cell_carry"} in named
    assert all(len(explanation) == 1 for explanation in named)


@pytest.mark.parametrize(
    "ids",
    [
        ("W_transposed", "dC_T_dropped"),
        ("cell_carry_by_the_wrong_f", "no_hidden_carry"),
        ("gate_order_ifgo", "h_for_h_prev"),
        ("C0_ignored", "C_for_C_prev"),
        ("misprint_8", "misprint_22"),
        ("x_in_float32", "db_f_is_db_i"),
        ("h0_ignored", "dtanh_of_C", "dh_through_sigmoid", "weights_before_activation", "bias_mean_over_batch"),
    ],
)
def test_several_mistakes_are_named_together(ids: tuple[str, ...], known: Known) -> None:
    bugs = tuple(sorted((CATALOGUE[id] for id in ids), key=lambda bug: bug.number))
    assert names(evidence_of(compose(bugs), known)) == [set(ids)]


@pytest.mark.parametrize("ids", PROGRAMS.values(), ids=lambda ids: ids[0])
@pytest.mark.parametrize("base", [Unit, Derived])
def test_a_program_that_was_seen_is_named_even_without_dx(ids: tuple[str, ...], base: type[Unit], known: Known) -> None:
    evidence = evidence_of(compose(tuple(CATALOGUE[id] for id in ids), base), known, ["h", "C", *WEIGHT_GRADIENTS])
    assert names(evidence) == [set(ids)]


def test_of_a_program_that_was_seen_only_what_is_there_is_named(known: Known) -> None:
    ids = ["dh_through_sigmoid", "dtanh_of_C", "weights_before_activation"]
    assert set(ids) < set(PROGRAMS["R package rnn, backprop_lstm"])
    evidence = evidence_of(compose(tuple(CATALOGUE[id] for id in ids)), known, ["h", "C", *WEIGHT_GRADIENTS])
    assert names(evidence) == [set(ids)]


def test_random_pairs_are_caught_always_and_named_mostly(known: Known) -> None:
    rng = np.random.default_rng(11)
    named = 0
    for _ in range(5):
        one, other = (BUGS[n] for n in sorted(rng.choice(len(BUGS), 2, replace=False)))
        evidence = evidence_of(compose((one, other)), known)
        assert caught(evidence)
        named += {one.id, other.id} in names(evidence)
    assert named >= 3


def test_a_mistake_that_one_run_hides_is_found_on_another(known: Known) -> None:
    case, _ = known[0]
    hidden = replace(case, inputs=case.inputs | {"dC_T": np.zeros_like(case.inputs["dC_T"])})
    both = [(hidden, truths([hidden])[0]), known[1]]
    bugs = CATALOGUE["dC_T_dropped"], CATALOGUE["dx_zero"]
    assert names(evidence_of(compose(bugs), both)) == [{"dC_T_dropped", "dx_zero"}]


# What is right.


@pytest.mark.parametrize("blocks", [ours.bptt_blocks, ours.fused_blocks])
def test_right_programs_get_no_name(blocks: Callable[..., Blocks], known: Known, known_32: Known) -> None:
    for case, truth in known + known_32:
        outputs = {name: array for name, array in blocks(case).items() if name in OUTPUTS}
        evidence = [Evidence(case.inputs, truth, outputs, case.dtype)]
        assert diagnose(evidence) == []
        assert locate(evidence) == ""


def test_what_is_no_number_or_has_another_shape_gets_no_name(known: Known) -> None:
    for change in (lambda a: a * np.nan, lambda a: a[..., :-1]):
        e = evidence_of(Unit, known)[0]
        wrong = replace(e, outputs=dict(e.outputs) | {"dx": change(np.asarray(e.outputs["dx"]))})
        assert diagnose([wrong]) == []
        assert ("wrong is dx" in locate([wrong])) == bool(np.isnan(wrong.outputs["dx"]).all())


def test_a_run_that_overflows_does_not_hide_the_name_of_the_mistake_that_does_it() -> None:
    ordinary = known_runs(FLOAT32)[0]
    inputs = {name: np.float32(1e15) * a if name[0] == "d" else a for name, a in ordinary[0].inputs.items()}
    large = replace(ordinary[0], inputs=inputs)
    both = [ordinary, (large, truths([large])[0])]
    misprinted = evidence_of(CATALOGUE["misprint_8"].unit, both)
    assert not all(np.isfinite(a).all() for a in misprinted[1].outputs.values())
    assert names(misprinted) == [{"misprint_8"}]
    assert names([misprinted[0], evidence_of(Unit, both)[1]]) == []


@pytest.mark.parametrize("seed", [28, 39])
def test_an_error_just_above_the_tolerance_gets_a_place_and_no_name(seed: int) -> None:
    inputs = draw_inputs(np.random.default_rng(seed), (12, 2, 3, 5), "ordinary", FLOAT64)
    case = Case(0, "ordinary", inputs | {name: 8 * a for name, a in inputs.items() if name[0] == "W"})
    known = [(case, truths([case])[0])]

    def off(by: float) -> list[Evidence]:
        class Off(Unit):
            def shown(self, states: Blocks) -> Blocks:
                h = states["h"].copy()
                h[-1, 0, 0] += by
                return super().shown(states) | {"h": h}

        return evidence_of(Off, known, ["h"])

    wrong = next(evidence for evidence in map(off, 1e-14 * 2 ** np.arange(0, 10, 0.25)) if caught(evidence))
    assert diagnose(wrong) == []
    assert "first wrong at step 11 of 12 in row 0 of the batch: h is wrong" in locate(wrong)


@pytest.mark.parametrize("explains", [True, False])
def test_no_explanation_is_empty(explains: bool, known: Known, monkeypatch: pytest.MonkeyPatch) -> None:
    right = Fit.explained
    monkeypatch.setattr(Fit, "explained", lambda fit, program: right(fit, program) if program.bugs else explains)
    found = diagnose(evidence_of(CATALOGUE["dC_T_dropped"].unit, known[:1]))
    assert found == ([] if explains else [(CATALOGUE["dC_T_dropped"],)])


def test_one_wrong_number_in_float32_is_too_little_for_a_name() -> None:
    one = evidence_of(CATALOGUE["h0_ignored"].unit, known_runs(FLOAT32, sizes=[(1, 1, 2, 1)]), ["C_T"])
    assert caught(one)
    assert diagnose(one) == []


# Precision, in the arithmetic of others.


class OtherTanh(Unit):
    """tanh in float32 by another formula, with other last bits."""

    def tanh(self, z: Array) -> Array:
        e = np.exp(np.float32(2) * z.astype(np.float32))
        return ((e - 1) / (e + 1)).astype(z.dtype)


class NearTanh(Unit):
    """tanh with errors as large as float32's, but none of float32's digits."""

    def tanh(self, z: Array) -> Array:
        return np.tanh(z) * (1 + 2e-8 * np.cos(50 * z))


def in_float32(known: Known) -> list[Evidence]:
    """What the fused twin gives in float32, as float64."""
    found = []
    for case, truth in known:
        rough = replace(case, inputs={name: array.astype(np.float32) for name, array in case.inputs.items()})
        outputs = {n: a.astype(np.float64) for n, a in ours.fused_blocks(rough).items() if n in OUTPUTS}
        found.append(Evidence(case.inputs, truth, outputs, FLOAT64))
    return found


def test_parts_in_float32_are_told_from_rounding_and_from_each_other(known: Known) -> None:
    assert names(evidence_of(OtherTanh, known)) == [{"tanh_in_float32"}]
    assert names(in_float32(known)) == [{"all_in_float32"}]
    near = evidence_of(NearTanh, known)
    assert diagnose(near) == []
    assert locate(near).startswith("every error is as small as one of rounding to float32; forward")


def test_no_error_is_called_as_small_as_float32_s_where_float32_tells_nothing(
    known: Known, monkeypatch: pytest.MonkeyPatch
) -> None:
    near = evidence_of(NearTanh, known)
    monkeypatch.setattr(Truth, "tells", lambda truth, dtype: dtype != FLOAT32)
    assert locate(near).startswith("forward: first wrong")


def test_an_empty_run_is_no_evidence() -> None:
    known = known_runs(sizes=[(0, 2, 3, 4)])
    assert diagnose(evidence_of(Unit, known)) == []
