"""The comparison is fair: the right unit passes every check, a gross mistake none, and programs are what they say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from reference.oracle.bugs import CATALOGUE
from tests.comparison import onnx_cases
from tests.comparison.checkers import GRADIENT_CHECKS
from tests.comparison.onnx_cases import cases, node_tests, passed
from tests.comparison.programs import BACKWARD, FORWARD, GROUPS, RUN, UPSTREAM, Program, arguments_of, draw
from tests.comparison.report import CHECKS, NAMED, NODE_TESTS, SUITE, Found, markdown, rows

NEEDS = {"gradcheck": "torch", "gradcheck, fast": "torch", "assert_numerical_grads": "chex"}


def program(name: str) -> Program:
    return Program(CATALOGUE[name].unit)


def outputs(of: Program, seed: int = 0) -> np.ndarray:
    return np.concatenate([array.ravel() for array in of.outputs(arguments_of(draw(seed)))])


def gradients(of: Program) -> np.ndarray:
    return np.concatenate(
        [array.ravel() for array in of.gradients(arguments_of(RUN), [RUN[name] for name in UPSTREAM])]
    )


@pytest.mark.parametrize("name", GRADIENT_CHECKS)
def test_a_gradient_check_passes_the_right_unit_and_no_wrong_gradient(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed; `make compare` installs it")
    passes, run = GRADIENT_CHECKS[name], draw(0)
    assert passes(Program(), run)
    assert not passes(program("weights_negated"), run)
    assert passes(program("h0_ignored"), run)  # its gradients are those of what it computes


def test_onnx_s_vectors_pass_the_right_unit_and_no_wrong_value():
    assert len(cases()) == 6
    assert node_tests(Program())
    assert not any(passed(program("no_activation_figo"), case) for case in cases())


@pytest.mark.parametrize(
    ("attribute", "of"), [("one_direction", "test_lstm_reverse"), ("seeing", "test_lstm_with_peepholes")]
)
def test_onnx_s_vectors_see_what_an_adapter_leaves_out(attribute, of, monkeypatch):
    def without(*arguments):
        if attribute == "seeing":
            return arguments[0]
        program, x, given = arguments
        return original(program, x[::-1], given)

    original = getattr(onnx_cases, attribute)
    monkeypatch.setattr(onnx_cases, attribute, without)
    (case,) = (case for case in cases() if case.name == of)
    assert not passed(Program(), case)


def test_there_are_enough_mistakes_of_both_kinds_and_each_is_on_its_side():
    assert min(len(BACKWARD), len(FORWARD)) >= 30
    right = {seed: outputs(Program(), seed) for seed in range(3)}
    for bug in BACKWARD:
        np.testing.assert_array_equal(outputs(Program(bug.unit)), right[0])
    alike = {bug.id for bug in FORWARD if all(np.allclose(outputs(Program(bug.unit), s), right[s]) for s in right)}
    assert alike == {"C_clipped_3"} or not alike  # a bound that small values do not reach


def test_by_hand_is_another_program_than_its_own_gradients():
    for bug in FORWARD:
        by_hand, own = GROUPS["by hand"].program(bug), GROUPS["forward"].program(bug)
        np.testing.assert_allclose(outputs(by_hand), outputs(own))
    by_hand, own = (GROUPS[name].program(CATALOGUE["h_without_tanh"]) for name in ("by hand", "forward"))
    assert not np.allclose(gradients(by_hand), gradients(own))


def test_the_states_exchanged_are_exchanged_in_the_gradients_too():
    h, h_T, C_T = program("final_states_exchanged").outputs(arguments_of(draw(0)))
    right_h, right_h_T, right_C_T = Program().outputs(arguments_of(draw(0)))
    np.testing.assert_array_equal(h, right_h)
    np.testing.assert_array_equal(h_T, right_C_T)
    np.testing.assert_array_equal(C_T, right_h_T)


def test_the_table_counts_what_was_caught_and_lists_what_was_missed():
    every = {name: [bug.id for bug in group.bugs] for name, group in GROUPS.items()}
    found = Found(alarms=dict.fromkeys(CHECKS, (0, 20)))
    for group, ids in every.items():
        found.caught[group] = {SUITE: [ids], NAMED: [ids]} | {name: [ids[2:], ids] for name in GRADIENT_CHECKS}
    found.caught["forward"][NODE_TESTS] = [[]]
    by_check = {row[0]: row[1:] for row in rows(found)}
    n = len(BACKWARD)
    assert by_check["gradcheck"][0] == f"{n - 2} ({n - 2}–{n})"
    assert by_check[NODE_TESTS][:1] == ["–"]
    assert found.missed("backward", "gradcheck") == every["backward"][:2]
    text = markdown(found)
    assert f"2: {', '.join(every['backward'][:2])}" in text
    assert f"{GROUPS['forward'].title}: all" in text


def test_what_a_checker_does_not_know_is_not_taken_for_a_verdict():
    broken = SimpleNamespace(outputs=lambda arguments: 1 / 0, gradients=None)
    with pytest.raises(Exception, match="division by zero"):
        GRADIENT_CHECKS["check_grads, float64"](broken, draw(0))
