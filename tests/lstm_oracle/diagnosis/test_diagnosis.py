"""Known mistakes are named, unknown ones are located, and correct implementations get neither name nor location."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lstm_oracle.diagnosis.bugs import (
    CATALOGUE,
    KNOWN_PROGRAMS,
    Bug,
    BugKind,
    HandDerived,
    HandDerivedUnmapped,
    Unit,
    compose,
)
from lstm_oracle.diagnosis.evidence import Evidence
from lstm_oracle.diagnosis.locate import locate
from lstm_oracle.diagnosis.search import diagnose
from lstm_oracle.inputs.cases import Case, draw_inputs
from lstm_oracle.run import OUTPUTS, WEIGHTS, Array
from lstm_oracle.truth.truth import truths
from lstm_oracle.verify import twins
from tests.conftest import PROFILE
from tests.lstm_oracle.known import FLOAT32, FLOAT64, Known, evidence_of, known_runs

BUGS = [*CATALOGUE.values()]
WITHOUT_DX = ["h", "C", *(f"d{name}" for name in WEIGHTS)]
FORWARD = [bug for bug in BUGS if bug.forward and bug.kind != BugKind.PRECISION]


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


@pytest.fixture(scope="module")
def known_32() -> Known:
    return known_runs(FLOAT32)


def names(evidence: list[Evidence]) -> list[set[str]]:
    # With more time than by default, the result does not depend on the speed of the machine.
    return [{bug.id for bug in explanation} for explanation in diagnose(evidence, seconds=60)]


def is_wrong(evidence: list[Evidence]) -> bool:
    return any(not e.truth.compare(name, array, e.dtype).ok for e in evidence for name, array in e.outputs.items())


def with_mistakes(ids: tuple[str, ...], base: type[Unit] = Unit) -> type[Unit]:
    return compose(tuple(sorted((CATALOGUE[id] for id in ids), key=lambda bug: bug.number)), base)


def changed(method: str, change: Callable[..., Any]) -> type[Unit]:
    """Return the correct unit with one method changed: `change` maps its value and arguments to the new value."""

    def override(unit: Unit, *arguments: Any) -> Any:
        return change(getattr(Unit, method)(unit, *arguments), *arguments)

    return type("Changed", (Unit,), {method: override})


# Known mistakes.


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.id)
def test_every_mistake_of_the_catalogue_is_wrong(bug: Bug, known: Known) -> None:
    assert is_wrong(evidence_of(bug.unit, known))


@pytest.mark.parametrize("bug", BUGS if PROFILE == "deep" else BUGS[::4], ids=lambda bug: bug.id)
def test_a_mistake_is_the_only_one_named(bug: Bug, known: Known) -> None:
    """`make naming` names every mistake of the catalogue, as this test does in the profile `deep`."""
    assert names(evidence_of(bug.unit, known)) == [{bug.id}]


@pytest.mark.parametrize("bug", [b for b in BUGS if b.kind != BugKind.PRECISION][::16], ids=lambda bug: bug.id)
def test_mistakes_are_named_in_float32_too(bug: Bug, known_32: Known) -> None:
    assert names(evidence_of(bug.unit, known_32)) == [{bug.id}]


@pytest.mark.parametrize("bug", FORWARD[::12], ids=lambda bug: bug.id)
@pytest.mark.parametrize("base", [HandDerived, HandDerivedUnmapped])
def test_a_forward_mistake_is_named_even_with_the_gradients_of_the_correct_equations(
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
def test_a_mistake_is_named_from_some_of_the_outputs(id: str, given: list[str], known: Known) -> None:
    assert {id} in names(evidence_of(CATALOGUE[id].unit, known, given))


def test_all_mistakes_that_match_the_runs_are_named() -> None:
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


@pytest.mark.parametrize(
    "ids", [*KNOWN_PROGRAMS.values(), KNOWN_PROGRAMS["R package rnn, backprop_lstm"][1:4]], ids="+".join
)
@pytest.mark.parametrize("base", [Unit, HandDerived])
def test_the_mistakes_of_a_known_program_are_named_even_in_part_and_without_dx(
    ids: tuple[str, ...], base: type[Unit], known: Known
) -> None:
    assert names(evidence_of(with_mistakes(ids, base), known, WITHOUT_DX)) == [set(ids)]


def test_a_mistake_that_does_not_show_on_one_run_is_found_on_another(known: Known) -> None:
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


# Outputs that no mistake is named for.


@pytest.mark.parametrize("blocks", [twins.bptt_blocks, twins.fused_blocks])
def test_a_correct_implementation_gets_neither_name_nor_location(
    blocks: Callable[..., Any], known: Known, known_32: Known
) -> None:
    for case, truth in known + known_32:
        outputs = {name: array for name, array in blocks(case).items() if name in OUTPUTS}
        evidence = [Evidence(case.inputs, truth, outputs, case.dtype)]
        assert diagnose(evidence) == []
        assert locate(evidence) == ""


def test_an_empty_run_is_no_evidence() -> None:
    assert diagnose(evidence_of(Unit, known_runs(sizes=[(0, 2, 3, 4)]))) == []


def test_no_mistake_is_named_for_nan_and_wrong_shapes(known: Known) -> None:
    for change in (lambda a: a * np.nan, lambda a: a[..., :-1]):
        e = evidence_of(Unit, known)[0]
        wrong = replace(e, outputs=dict(e.outputs) | {"dx": change(np.asarray(e.outputs["dx"]))})
        assert diagnose([wrong]) == []
        assert ("dx is wrong" in locate([wrong])) == bool(np.isnan(wrong.outputs["dx"]).all())


@pytest.mark.parametrize("seed", [28, 39])
def test_an_error_just_above_the_tolerance_is_located_but_not_named(seed: int) -> None:
    inputs = draw_inputs(np.random.default_rng(seed), (12, 2, 3, 5), "ordinary", FLOAT64)
    case = Case(0, "ordinary", inputs | {name: 8 * a for name, a in inputs.items() if name[0] == "W"})
    known = [(case, truths([case])[0])]

    def off(by: float) -> list[Evidence]:
        error = np.zeros((12, 2, 5))
        error[-1, 0, 0] = by
        return evidence_of(
            changed("return_states", lambda states, _: states | {"h": states["h"] + error}), known, ["h"]
        )

    wrong = next(evidence for evidence in map(off, 1e-14 * 2 ** np.arange(0, 10, 0.25)) if is_wrong(evidence))
    assert diagnose(wrong) == []
    assert "first wrong at step 11 of 12 in row 0 of the batch, where h is wrong" in locate(wrong)


def test_one_wrong_number_in_float32_is_not_enough_evidence() -> None:
    one = evidence_of(CATALOGUE["h0_ignored"].unit, known_runs(FLOAT32, sizes=[(1, 1, 2, 1)]), ["C_T"])
    assert is_wrong(one)
    assert diagnose(one) == []


# Precision, with functions that differ in the last bits from NumPy's.


def other_tanh(_: Array, z: Array) -> Array:
    """Compute tanh in float32 by another formula, which differs in the last bits."""
    e = np.exp(np.float32(2) * z.astype(np.float32))
    return ((e - 1) / (e + 1)).astype(z.dtype)


def near_tanh(tanh: Array, z: Array) -> Array:
    """Compute tanh in float64 with errors as large as those of float32."""
    return tanh * (1 + 2e-8 * np.cos(50 * z))


def test_a_part_computed_in_float32_is_recognised_by_its_digits(known: Known) -> None:
    all_in_32 = []
    for case, truth in known:
        rough = replace(case, inputs={name: array.astype(np.float32) for name, array in case.inputs.items()})
        outputs = {n: a.astype(np.float64) for n, a in twins.fused_blocks(rough).items() if n in OUTPUTS}
        all_in_32.append(Evidence(case.inputs, truth, outputs, FLOAT64))
    assert names(all_in_32) == [{"all_in_float32"}]
    assert names(evidence_of(changed("tanh", other_tanh), known)) == [{"tanh_in_float32"}]


def test_errors_as_small_as_float32_rounding_are_reported_unless_float32_loses_every_digit(known: Known) -> None:
    near = evidence_of(changed("tanh", near_tanh), known)
    assert diagnose(near) == []
    assert locate(near).endswith("Every error is as small as a rounding error in float32")
    inputs = draw_inputs(np.random.default_rng(1), (40, 2, 3, 5), "ordinary", FLOAT64)
    chaotic = Case(0, "ordinary", inputs | {name: 6 * a for name, a in inputs.items() if name[0] == "W"})
    (truth,) = truths([chaotic])
    assert truth.is_well_conditioned(FLOAT64)
    assert not truth.is_well_conditioned(FLOAT32)
    assert "float32" not in locate(evidence_of(changed("tanh", near_tanh), [(chaotic, truth)]))


# Unknown mistakes: the method of the unit that is changed, the change, and parts of the location.

UNKNOWN: list[tuple[str, Callable[..., Any], tuple[str, ...]]] = [
    (
        "cell_state",
        lambda C, s: s.C_prev * s.f**2 + s.i * s.g,
        ("in the forward pass: first wrong at step 0", "C is wrong", "no step is right"),
    ),
    ("sigmoid", lambda σ, z: σ + 1e-11 * σ * (1 - σ), ("first wrong at step 0", "the first error is only ", "e-12")),
    (
        "hidden_state",
        lambda h, s: 1.01 * h if s.t == 2 else h,
        ("first wrong at step 2 of 3, where h is wrong and C is right",),
    ),
    ("input_at", lambda x, t: x * [[1], [0]], ("first wrong at step 0 of 3 in row 1 of the batch",)),
    (
        "return_states",
        lambda states, _: states | {"C_T": 1.001 * states["C_T"]},
        ("in the forward pass: C_T is wrong, although every C is right",),
    ),
    (
        "edges_13_to_16",
        lambda _, s, δ: δ.update({15: 0.9 * δ[15]}),
        ("the error of dx comes from gate i only", "the earliest possible is δ10, but δ15 would have the same effect"),
    ),
    (
        "carried_gradients",
        lambda carried, s, δ: (0.5 * carried[0], carried[1]),
        ("right from the last step back to step 2", "δ2 as passed to the preceding step"),
    ),
    (
        "weight_gradients",
        lambda d, s, δ: d | {name: 1.1 * d[name] for name in ("W_g", "U_g", "b_g")},
        ("dW_g, dU_g and db_g are wrong; dx is right", "δ14 as used for the weight gradients of gate g"),
    ),
    (
        "weight_gradients",
        lambda d, s, δ: {name: 0.7**s.t * array for name, array in d.items()},
        ("dx is right at every step", "the computation of the weight gradients"),
    ),
    (
        "return_gradients",
        lambda d, _: d | {"dh0": d["dh0"] + 1e-3},
        ("in the backward pass (the forward pass is right): dh0 is wrong; dx is right", "is dh0 as returned"),
    ),
    (
        "return_gradients",
        lambda d, _: d | {"dx": d["dx"] + 1e-3 * np.random.default_rng(0).normal(size=d["dx"].shape)},
        ("dx is wrong", "δ26"),
    ),
]


@pytest.mark.parametrize(("method", "change", "location"), UNKNOWN)
def test_an_unknown_mistake_is_located_but_not_named(
    method: str, change: Callable[..., Any], location: tuple[str, ...], known: Known
) -> None:
    evidence = evidence_of(changed(method, change), known[:1])
    assert is_wrong(evidence)
    assert diagnose(evidence) == []
    for words in location:
        assert words in locate(evidence)


def test_a_search_stops_when_its_time_is_used_up() -> None:
    unknown = changed("cell_state", lambda C, s: s.C_prev * s.f**2 + s.i * s.g)
    assert diagnose(evidence_of(unknown, known_runs(sizes=[(5, 4, 4, 6)])), seconds=0.05) == []
