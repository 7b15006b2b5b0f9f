"""The comparison is fair: the right unit passes every check, a gross mistake none, and programs are what they say."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lstm_oracle.diagnosis.bugs import CATALOGUE
from tests.comparison.checkers import GRADIENT_CHECKS
from tests.comparison.onnx_cases import cases, node_tests, passed
from tests.comparison.programs import BACKWARD, FORWARD, GROUPS, RUN, UPSTREAM, Program, arguments_of, draw
from tests.comparison.report import CHECKS, NAMED, NODE_TESTS, SUITE, Found, markdown, rows

NEEDS = {"gradcheck": "torch", "gradcheck, fast": "torch", "assert_numerical_grads": "chex"}


def program(name: str) -> Program:
    return Program(CATALOGUE[name].unit)


def outputs(of: Program, seed: int = 0) -> np.ndarray:
    return np.concatenate([array.ravel() for array in of.outputs(arguments_of(draw(seed)))])


@pytest.mark.parametrize("name", GRADIENT_CHECKS)
def test_a_gradient_check_passes_the_right_unit_and_no_wrong_gradient(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed; `make compare` installs it")
    passes, run = GRADIENT_CHECKS[name], draw(0)
    assert passes(Program(), run)
    assert not passes(program("weights_negated"), run)
    assert passes(program("h0_ignored"), run)  # its gradients are those of what it computes
    with pytest.raises(Exception, match="division by zero"):  # which is no verdict
        passes(SimpleNamespace(outputs=lambda arguments: 1 / 0, gradients=None), run)


def test_the_vectors_of_onnx_pass_the_right_unit_and_no_wrong_value():
    assert len(cases()) == 6
    assert node_tests(Program())
    assert not any(passed(program("no_activation_figo"), case) for case in cases())


def test_there_are_enough_mistakes_of_the_backward_and_of_the_forward_pass():
    assert min(len(BACKWARD), len(FORWARD)) >= 30
    right = {seed: outputs(Program(), seed) for seed in range(3)}
    for bug in BACKWARD:
        np.testing.assert_array_equal(outputs(Program(bug.unit)), right[0])
    alike = {bug.id for bug in FORWARD if all(np.allclose(outputs(Program(bug.unit), s), right[s]) for s in right)}
    assert alike <= {"C_clipped_3"}  # a bound that small values do not reach


def test_programs_differ_as_their_group_says():
    arguments, upstream = arguments_of(RUN), [RUN[name] for name in UPSTREAM]
    for bug in FORWARD:
        np.testing.assert_allclose(*(outputs(GROUPS[name].program(bug)) for name in ("by hand", "forward")))
    programs = [GROUPS[name].program(CATALOGUE["h_without_tanh"]) for name in ("by hand", "forward")]
    assert not all(map(np.allclose, *(program.gradients(arguments, upstream) for program in programs)))
    exchanged, right = (of.outputs(arguments) for of in (program("final_states_exchanged"), Program()))
    assert all(map(np.array_equal, exchanged, (right[0], right[2], right[1])))


def test_the_table_counts_what_was_caught_and_lists_what_was_missed():
    every = {name: [bug.id for bug in group.bugs] for name, group in GROUPS.items()}
    found = Found(alarms=dict.fromkeys(CHECKS, (0, 20)))
    for group, ids in every.items():
        found.caught[group] = {SUITE: [ids], NAMED: [ids]} | {name: [ids[2:], ids] for name in GRADIENT_CHECKS}
    found.caught["forward"][NODE_TESTS] = [[]]
    by_check, n = {row[0]: row[1:] for row in rows(found)}, len(BACKWARD)
    assert by_check["gradcheck"][0] == f"{n - 2} ({n - 2}–{n})"
    assert by_check[NODE_TESTS][:1] == ["–"]
    text = markdown(found)
    assert f"2: {', '.join(every['backward'][:2])}" in text
    assert f"{GROUPS['forward'].title}: all" in text
