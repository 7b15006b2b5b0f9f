"""The comparison is fair: the correct unit passes every check, a gross mistake none, and each group is as described."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lstm_oracle.diagnosis.bugs import CATALOGUE
from tests.comparison.checkers import GRADIENT_CHECKS
from tests.comparison.onnx_cases import cases, node_tests, passes
from tests.comparison.report import CHECKS, NAMED, NODE_TESTS, SUITE, Results, markdown, rows
from tests.comparison.variants import BACKWARD, FORWARD, GROUPS, RUN, UPSTREAM, Variant, arguments_of, draw

NEEDS = {"gradcheck": "torch", "gradcheck, fast": "torch", "assert_numerical_grads": "chex"}


def variant(name: str) -> Variant:
    return Variant(CATALOGUE[name].unit)


def outputs(of: Variant, seed: int = 0) -> np.ndarray:
    return np.concatenate([array.ravel() for array in of.outputs(arguments_of(draw(seed)))])


@pytest.mark.parametrize("name", GRADIENT_CHECKS)
def test_a_gradient_check_passes_the_correct_unit_and_no_wrong_gradient(name):
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"{NEEDS[name]} is not installed; `make compare` installs it")
    check, run = GRADIENT_CHECKS[name], draw(0)
    assert check(Variant(), run)
    assert not check(variant("weights_negated"), run)
    assert check(variant("h0_ignored"), run)  # the gradients are those of the wrong forward pass
    with pytest.raises(Exception, match="division by zero"):  # an exception in the variant is not a failed check
        check(SimpleNamespace(outputs=lambda arguments: 1 / 0, gradients=None), run)


def test_the_node_tests_of_onnx_pass_the_correct_unit_and_no_wrong_value():
    assert len(cases()) == 6
    assert node_tests(Variant())
    assert not any(passes(variant("no_activation_figo"), case) for case in cases())


def test_there_are_enough_mistakes_of_the_backward_and_of_the_forward_pass():
    assert min(len(BACKWARD), len(FORWARD)) >= 30
    right = {seed: outputs(Variant(), seed) for seed in range(3)}
    for bug in BACKWARD:
        np.testing.assert_array_equal(outputs(Variant(bug.unit)), right[0])
    alike = {bug.id for bug in FORWARD if all(np.allclose(outputs(Variant(bug.unit), s), right[s]) for s in right)}
    assert alike <= {"C_clipped_3"}  # the values do not reach the bound


def test_the_groups_differ_in_the_gradients_of_a_wrong_forward_pass():
    arguments, upstream = arguments_of(RUN), [RUN[name] for name in UPSTREAM]
    for bug in FORWARD:
        np.testing.assert_allclose(*(outputs(GROUPS[name].variant(bug)) for name in ("by hand", "forward")))
    variants = [GROUPS[name].variant(CATALOGUE["h_without_tanh"]) for name in ("by hand", "forward")]
    assert not all(map(np.allclose, *(v.gradients(arguments, upstream) for v in variants)))
    swapped, right = (of.outputs(arguments) for of in (variant("final_states_exchanged"), Variant()))
    assert all(map(np.array_equal, swapped, (right[0], right[2], right[1])))


def test_the_table_counts_detected_mistakes_and_the_list_names_missed_ones():
    every = {name: [bug.id for bug in group.bugs] for name, group in GROUPS.items()}
    results = Results(alarms=dict.fromkeys(CHECKS, (0, 20)))
    for group, ids in every.items():
        results.caught[group] = {SUITE: [ids], NAMED: [ids]} | {name: [ids[2:], ids] for name in GRADIENT_CHECKS}
    results.caught["forward"][NODE_TESTS] = [[]]
    by_check, n = {row[0]: row[1:] for row in rows(results)}, len(BACKWARD)
    assert by_check["gradcheck"][0] == f"{n - 2} ({n - 2}–{n})"
    assert by_check[NODE_TESTS][:1] == ["–"]
    text = markdown(results)
    assert f"2: {', '.join(every['backward'][:2])}" in text
    assert f"{GROUPS['forward'].title}: all" in text
