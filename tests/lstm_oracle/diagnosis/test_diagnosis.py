"""Known mistakes are named, right programs and unknown mistakes are not, and the latter are located."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstm_oracle.comparison.compare import judge
from lstm_oracle.diagnosis.bugs import CATALOGUE, PROGRAMS, Bug, HandDerived, HandDerivedUnmapped, Unit, compose
from lstm_oracle.diagnosis.fit import Evidence
from lstm_oracle.diagnosis.locate import locate
from lstm_oracle.diagnosis.search import diagnose
from lstm_oracle.inputs.cases import Case, draw_inputs
from lstm_oracle.run import OUTPUTS, WEIGHTS, Array
from lstm_oracle.truth.truth import truths
from lstm_oracle.verify import ours
from tests.lstm_oracle.known import FLOAT32, FLOAT64, Known, evidence_of, known_runs

BUGS = [*CATALOGUE.values()]
WITHOUT_DX = ["h", "C", *(f"d{name}" for name in WEIGHTS)]
FORWARD = [bug for bug in BUGS if bug.forward and bug.kind != "precision"]


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


@pytest.fixture(scope="module")
def known_32() -> Known:
    return known_runs(FLOAT32)


def names(evidence: list[Evidence]) -> list[set[str]]:
    return [{bug.id for bug in explanation} for explanation in diagnose(evidence)]


def is_wrong(evidence: list[Evidence]) -> bool:
    return any(not finding.ok for e in evidence for finding in judge(e.truth, e.outputs, e.dtype))


def with_mistakes(ids: tuple[str, ...], base: type[Unit] = Unit) -> type[Unit]:
    return compose(tuple(sorted((CATALOGUE[id] for id in ids), key=lambda bug: bug.number)), base)


def changed(method: str, change: Callable[..., Any]) -> type[Unit]:
    """The right unit, of which one method gives something else: `change` takes what it gives and its arguments."""

    def override(unit: Unit, *arguments: Any) -> Any:
        return change(getattr(Unit, method)(unit, *arguments), *arguments)

    return type("Changed", (Unit,), {method: override})


# Known mistakes.


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_every_mistake_of_the_catalogue_is_wrong_and_named_and_no_other_is(bug: Bug, known: Known) -> None:
    evidence = evidence_of(bug.unit, known)
    assert is_wrong(evidence)
    assert names(evidence) == [{bug.id}]


@pytest.mark.parametrize("bug", [b for b in BUGS if b.kind != "precision"][::16], ids=lambda bug: bug.id)
def test_mistakes_are_named_in_float32_too(bug: Bug, known_32: Known) -> None:
    assert names(evidence_of(bug.unit, known_32)) == [{bug.id}]


@pytest.mark.parametrize("bug", FORWARD[::12], ids=lambda bug: bug.id)
@pytest.mark.parametrize("base", [HandDerived, HandDerivedUnmapped])
def test_a_forward_mistake_is_named_although_the_gradients_are_those_of_the_right_equations(
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
def test_some_of_the_outputs_are_enough_for_a_name(id: str, given: list[str], known: Known) -> None:
    assert {id} in names(evidence_of(CATALOGUE[id].unit, known, given))


def test_all_mistakes_that_explain_the_runs_are_named() -> None:
    named = names(evidence_of(CATALOGUE["dC_T_dropped"].unit, known_runs(sizes=[(1, 2, 5, 4)])))
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
    assert names(evidence_of(with_mistakes(ids), known)) == [set(ids)]


@pytest.mark.parametrize("ids", [*PROGRAMS.values(), PROGRAMS["R package rnn, backprop_lstm"][1:4]], ids="+".join)
@pytest.mark.parametrize("base", [Unit, HandDerived])
def test_a_program_seen_before_or_a_part_of_it_is_named_even_without_dx(
    ids: tuple[str, ...], base: type[Unit], known: Known
) -> None:
    assert names(evidence_of(with_mistakes(ids, base), known, WITHOUT_DX)) == [set(ids)]


def test_a_mistake_that_one_run_hides_is_found_on_another(known: Known) -> None:
    case, _ = known[0]
    hidden = replace(case, inputs=case.inputs | {"dC_T": np.zeros_like(case.inputs["dC_T"])})
    both = [(hidden, truths([hidden])[0]), known[1]]
    assert names(evidence_of(with_mistakes(("dC_T_dropped", "dx_zero")), both)) == [{"dC_T_dropped", "dx_zero"}]


def test_a_mistake_that_overflows_on_one_run_is_named() -> None:
    ordinary = known_runs(FLOAT32)[0]
    inputs = {name: np.float32(1e15) * a if name[0] == "d" else a for name, a in ordinary[0].inputs.items()}
    large = replace(ordinary[0], inputs=inputs)
    both = [ordinary, (large, truths([large])[0])]
    misprinted = evidence_of(CATALOGUE["misprint_8"].unit, both)
    assert not all(np.isfinite(a).all() for a in misprinted[1].outputs.values())
    assert names(misprinted) == [{"misprint_8"}]
    assert names([misprinted[0], evidence_of(Unit, both)[1]]) == []


# What gets no name.


@pytest.mark.parametrize("blocks", [ours.bptt_blocks, ours.fused_blocks])
def test_right_programs_get_neither_name_nor_place(blocks: Callable[..., Any], known: Known, known_32: Known) -> None:
    for case, truth in known + known_32:
        outputs = {name: array for name, array in blocks(case).items() if name in OUTPUTS}
        evidence = [Evidence(case.inputs, truth, outputs, case.dtype)]
        assert diagnose(evidence) == []
        assert locate(evidence) == ""


def test_an_empty_run_is_no_evidence() -> None:
    assert diagnose(evidence_of(Unit, known_runs(sizes=[(0, 2, 3, 4)]))) == []


def test_nan_and_wrong_shapes_get_no_name(known: Known) -> None:
    for change in (lambda a: a * np.nan, lambda a: a[..., :-1]):
        e = evidence_of(Unit, known)[0]
        wrong = replace(e, outputs=dict(e.outputs) | {"dx": change(np.asarray(e.outputs["dx"]))})
        assert diagnose([wrong]) == []
        assert ("wrong is dx" in locate([wrong])) == bool(np.isnan(wrong.outputs["dx"]).all())


@pytest.mark.parametrize("seed", [28, 39])
def test_an_error_just_above_the_tolerance_gets_a_place_and_no_name(seed: int) -> None:
    inputs = draw_inputs(np.random.default_rng(seed), (12, 2, 3, 5), "ordinary", FLOAT64)
    case = Case(0, "ordinary", inputs | {name: 8 * a for name, a in inputs.items() if name[0] == "W"})
    known = [(case, truths([case])[0])]

    def off(by: float) -> list[Evidence]:
        error = np.zeros((12, 2, 5))
        error[-1, 0, 0] = by
        return evidence_of(changed("shown", lambda states, _: states | {"h": states["h"] + error}), known, ["h"])

    wrong = next(evidence for evidence in map(off, 1e-14 * 2 ** np.arange(0, 10, 0.25)) if is_wrong(evidence))
    assert diagnose(wrong) == []
    assert "first wrong at step 11 of 12 in row 0 of the batch: h is wrong" in locate(wrong)


def test_one_wrong_number_in_float32_is_too_little_for_a_name() -> None:
    one = evidence_of(CATALOGUE["h0_ignored"].unit, known_runs(FLOAT32, sizes=[(1, 1, 2, 1)]), ["C_T"])
    assert is_wrong(one)
    assert diagnose(one) == []


# Precision, in the arithmetic of other libraries.


def other_tanh(_: Array, z: Array) -> Array:
    """tanh in float32 by another formula, with other last bits."""
    e = np.exp(np.float32(2) * z.astype(np.float32))
    return ((e - 1) / (e + 1)).astype(z.dtype)


def near_tanh(tanh: Array, z: Array) -> Array:
    """tanh with errors as large as those of float32, but in float64."""
    return tanh * (1 + 2e-8 * np.cos(50 * z))


def test_float32_inside_a_float64_program_is_named_by_its_digits(known: Known) -> None:
    all_in_32 = []
    for case, truth in known:
        rough = replace(case, inputs={name: array.astype(np.float32) for name, array in case.inputs.items()})
        outputs = {n: a.astype(np.float64) for n, a in ours.fused_blocks(rough).items() if n in OUTPUTS}
        all_in_32.append(Evidence(case.inputs, truth, outputs, FLOAT64))
    assert names(all_in_32) == [{"all_in_float32"}]
    assert names(evidence_of(changed("tanh", other_tanh), known)) == [{"tanh_in_float32"}]


def test_an_error_as_small_as_float32_s_is_told_by_its_size_unless_float32_loses_every_digit(known: Known) -> None:
    near = evidence_of(changed("tanh", near_tanh), known)
    assert diagnose(near) == []
    assert locate(near).startswith("every error is as small as one of rounding to float32; forward")
    inputs = draw_inputs(np.random.default_rng(1), (40, 2, 3, 5), "ordinary", FLOAT64)
    chaotic = Case(0, "ordinary", inputs | {name: 6 * a for name, a in inputs.items() if name[0] == "W"})
    (truth,) = truths([chaotic])
    assert truth.is_well_conditioned(FLOAT64)
    assert not truth.is_well_conditioned(FLOAT32)
    assert locate(evidence_of(changed("tanh", near_tanh), [(chaotic, truth)])).startswith("forward: first wrong")


# Unknown mistakes: the method of the unit that is changed, the change, and what is said of its place.

UNKNOWN: list[tuple[str, Callable[..., Any], tuple[str, ...]]] = [
    ("cell", lambda C, s: s.C_prev * s.f**2 + s.i * s.g, ("first wrong at step 0", "C is wrong", "no step is right")),
    ("sigmoid", lambda σ, z: σ + 1e-11 * σ * (1 - σ), ("first wrong at step 0", "with an error of ", "e-12 alone")),
    ("hidden", lambda h, s: 1.01 * h if s.t == 2 else h, ("first wrong at step 2 of 3", "h is wrong and C is right")),
    ("input", lambda x, t: x * [[1], [0]], ("forward: first wrong at step 0", "in row 1 of the batch")),
    ("shown", lambda states, _: states | {"C_T": 1.001 * states["C_T"]}, ("forward: C_T is wrong, every C is right",)),
    (
        "edges_13_to_16",
        lambda _, s, δ: δ.update({15: 0.9 * δ[15]}),
        ("the error of dx is one of gate i alone", "the earliest is δ10; δ15"),
    ),
    (
        "leaving",
        lambda carried, s, δ: (0.5 * carried[0], carried[1]),
        ("right from the last step back to step 2", "what is carried on as δ2"),
    ),
    (
        "updates",
        lambda d, s, δ: d | {name: 1.1 * d[name] for name in ("W_g", "U_g", "b_g")},
        ("wrong are dW_g, dU_g, db_g; dx is right", "δ14 as the weights of gate g use it"),
    ),
    (
        "updates",
        lambda d, s, δ: {name: 0.7**s.t * array for name, array in d.items()},
        ("dx is right at every step", "the sums that make all weights' gradients"),
    ),
    (
        "returned",
        lambda d, _: d | {"dh0": d["dh0"] + 1e-3},
        ("wrong is dh0; dx is right", "the earliest is dh0 as it is returned"),
    ),
    (
        "returned",
        lambda d, _: d | {"dx": d["dx"] + 1e-3 * np.random.default_rng(0).normal(size=d["dx"].shape)},
        ("wrong is dx", "δ26"),
    ),
]


@pytest.mark.parametrize(("method", "change", "said"), UNKNOWN)
def test_an_unknown_mistake_is_located_and_gets_no_name(
    method: str, change: Callable[..., Any], said: tuple[str, ...], known: Known
) -> None:
    evidence = evidence_of(changed(method, change), known[:1])
    assert is_wrong(evidence)
    assert diagnose(evidence) == []
    for words in said:
        assert words in locate(evidence)


def test_a_search_that_takes_too_long_is_given_up() -> None:
    unknown = changed("cell", lambda C, s: s.C_prev * s.f**2 + s.i * s.g)
    assert diagnose(evidence_of(unknown, known_runs(sizes=[(5, 4, 4, 6)])), seconds=0.05) == []
