"""The report of `check` on a wrong LSTM: the kinds of failure, the smallest runs, the explanation, and the notes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lstm_oracle import Report, check
from lstm_oracle.inputs.cases import Case, RunId, draw_case
from lstm_oracle.reports.verdict import Failure
from lstm_oracle.run import INPUTS, OUTPUTS
from tests.candidates import adapters
from tests.candidates.adapters import Arrays

DOUBLE = np.dtype(np.float64)


def wrong(**run: Any) -> Arrays:
    """Return a wrong dx, equally wrong in every part of a sequence or a batch."""
    outputs = adapters.right(**run)
    return outputs | {"dx": 2 * outputs["dx"]}


def failures(report: Report) -> dict[str, Failure]:
    return {failure.kind: failure for failure in report.failures}


def case_of(run: RunId, seed: int = 0) -> Case:
    return draw_case(seed, run.number, DOUBLE, run.sizes, run.regime)


# The kinds of failure.


def test_wrong_values_come_first_then_the_other_kinds_in_a_fixed_order() -> None:
    def adapter(**run: Any) -> Arrays:
        if len(run["x"]) > 9:
            raise ValueError("lost")
        print("a", end="")
        outputs = wrong(**run)
        run["h0"] += 1
        return outputs

    report = check(adapter, max_examples=7)
    assert [(failure.kind, failure.text) for failure in report.failures] == [
        ("mismatch", "dx"),
        ("raises", failures(report)["raises"].text),
        ("writes_inputs", "h0 changed during the call"),
        ("prints", "wrote 'a' during the call"),
    ]
    assert failures(report)["raises"].text.startswith("ValueError: lost (test_failures.py:")
    long = [trial for trial in report.trials if trial.id.sizes[0] > 9]
    assert failures(report)["raises"].runs == len(long) > 0
    assert failures(report)["prints"].runs == 10 - len(long)
    assert failures(report)["mismatch"].runs == sum("dx" in trial.wrong for trial in report.trials)


def test_the_smallest_run_of_a_failure_shows_the_same_kind() -> None:
    def adapter(**run: Any) -> Arrays:
        steps = len(run["x"])
        if steps != 2:
            print(f"{steps} steps", end="")
        return (wrong if steps > 1 else adapters.right)(**run)

    report = check(adapter, max_examples=7)
    found = [(failure.kind, failure.text, failure.smallest and failure.smallest.sizes) for failure in report.failures]
    assert found == [
        ("mismatch", "dx", (2, 1, 1, 1)),
        ("prints", "wrote '1 steps' during the call", (1, 1, 1, 1)),
    ]


def test_a_failure_that_does_not_occur_again_is_reported_as_it_was_observed() -> None:
    once = [draw_case(0, 4, DOUBLE).inputs["x"].tobytes()]

    def adapter(**run: Any) -> Arrays:
        if run["x"].tobytes() in once:
            print("a", end="")
            once.clear()
        return adapters.right(**run)

    report = check(adapter, max_examples=7)
    (failure,) = report.failures
    assert (failure.kind, failure.text, failure.runs) == ("prints", "wrote 'a' during the call", 1)
    assert str(failure.smallest) == str(draw_case(0, 4, DOUBLE))


def test_a_difference_between_calls_is_a_failure_on_the_smallest_run_that_was_compared() -> None:
    def adapter(**run: Any) -> Arrays:
        outputs = adapters.right(**run)
        return outputs | {"h": outputs["h"] + 0.01 * outputs["h"].shape[0] + 0.1 * outputs["h"].shape[1]}

    found = failures(check(adapter, max_examples=7))
    sizes = [draw_case(0, k, DOUBLE).sizes for k in range(7)]
    smallest = min((size for size in sizes if size[0] > 1 and size[1] > 1 and 0 not in size), key=np.prod)
    assert found.keys() == {"mismatch", "split", "rows"}
    for kind in ("split", "rows"):
        run = found[kind].smallest
        assert found[kind].runs == 0
        assert run is not None
        assert run.sizes == smallest
        assert f"run={run.number}, " in found[kind].repeat


def test_an_adapter_that_returns_a_different_set_of_outputs_on_different_runs_varies() -> None:
    def adapter(**run: Any) -> Arrays:
        steps = len(run["x"])
        if steps > 9:
            raise ValueError("lost")
        missing = ("C", "dW_f", "db_o", "dh0") if steps == 1 else ()
        return {name: array for name, array in adapters.right(**run).items() if name not in missing}

    report = check(adapter, max_examples=14)
    returned = [trial for trial in report.trials if trial.findings]
    one, other = next((returned[0], trial) for trial in returned if len(trial.findings) != len(returned[0].findings))
    assert failures(report).keys() == {"raises", "varying"}
    assert failures(report)["varying"].text == (f"returned C, dW_f, db_o, dh0 on only one of {one.id} and {other.id}")
    assert failures(report)["varying"].smallest == other.id


def test_a_note_says_that_state_may_be_the_reason_of_wrong_values_if_a_restart_is_impossible() -> None:
    calls = 0

    def adapter(**run: Any) -> Arrays:
        nonlocal calls
        calls += 1
        outputs = adapters.right(**run)
        return outputs | {"h": outputs["h"] + calls - 1}

    report = check(adapter, max_examples=4)
    assert list(failures(report)) == ["mismatch", "unstable", "keeps_state"]
    assert len(report.trials) == 7
    assert report.notes == (
        "The candidate keeps state between calls, which may be why values are wrong: judge the candidate by its "
        "name, pkg.module:adapter, to have it restarted for every run.",
    )


# Empty runs.


UNSUPPORTED = ("Empty sequences (T=0)", "Empty batches (B=0)", "Inputs of size 0 (D=0)")


@pytest.mark.parametrize("dim", range(3), ids="TBD".__getitem__)
def test_an_exception_on_an_empty_run_is_noted_and_not_a_failure(dim: int) -> None:
    def adapter(**run: Any) -> Arrays:
        if 0 in run["x"].shape[dim : dim + 1]:
            raise ValueError("too small")
        return adapters.right(**run)

    report = check(adapter, max_examples=4)
    assert report.ok
    (note,) = report.notes
    assert note.startswith(
        f"{UNSUPPORTED[dim]} are not supported (not counted as a failure): ValueError: too small (test_failures."
    )
    assert note in str(report)


def test_refused_empty_runs_are_noted_once_for_each_dimension_unless_other_runs_raise() -> None:
    report = check(adapters.refuses_empty, max_examples=14)
    assert [note.split(" are not ")[0] for note in report.notes] == [*UNSUPPORTED]
    assert check(adapters.raises, max_examples=2).notes == ()


# The explanation.


def test_a_known_mistake_is_named() -> None:
    report = check(adapters.no_cell_carry, max_examples=7)
    assert [bug.id for bug in report.diagnosis] == ["no_cell_carry"]
    assert report.location == ""
    single = check(
        lambda **run: adapters.no_cell_carry(**run) | {"h": np.float32(adapters.right(**run)["h"])}, max_examples=7
    )
    assert [bug.id for bug in single.diagnosis] == ["no_cell_carry"], (
        "all outputs are compared in the coarsest precision"
    )
    assert failures(single).keys() == {"mismatch", "dtype"}


def test_a_mistake_is_named_only_if_it_agrees_with_the_right_runs_too() -> None:
    def zero_from(steps: int) -> Callable[..., Arrays]:
        def adapter(**run: Any) -> Arrays:
            outputs = adapters.right(**run)
            return outputs | ({"dx": 0 * outputs["dx"]} if len(run["x"]) >= steps else {})

        return adapter

    report = check(zero_from(0), max_examples=7)
    assert [bug.id for bug in report.diagnosis] == ["dx_zero"]
    report = check(zero_from(5), max_examples=7)
    assert (failures(report).keys(), report.diagnosis) == ({"mismatch"}, ())
    assert "dx is wrong" in report.location


def test_an_unknown_mistake_is_located() -> None:
    report = check(lambda **run: adapters.right(**run) | {"db_f": np.ones_like(run["b_f"])}, run=0, sizes=(3, 2, 4, 5))
    assert (report.explanations, report.first_error) == ((), "in the backward pass: db_f")
    assert "db_f is wrong; dx is right at every step" in report.location


def test_a_misbehaviour_without_wrong_values_is_not_explained() -> None:
    for adapter in (adapters.prints, adapters.in_float32, adapters.with_nan, adapters.raises):
        report = check(adapter, run=0, sizes=(3, 2, 4, 5))
        assert (report.first_error, report.explanations, report.location) == ("", (), "")
        assert report.failing is not None


def test_outputs_that_are_not_finite_are_no_evidence() -> None:
    def adapter(**run: Any) -> Arrays:
        outputs = adapters.right(**run)
        return outputs | {"h": np.full_like(outputs["h"], np.nan), "db_f": outputs["db_f"] + 1}

    report = check(adapter, run=0, sizes=(3, 2, 4, 5))
    assert report.first_error == "in the backward pass: db_f"
    assert "db_f is wrong" in report.location
    assert report.failing is not None
    assert report.failing.outputs.keys() == OUTPUTS.keys()


# The runs whose arrays are kept.


def test_the_smallest_wrong_run_is_kept_even_if_another_failure_came_first() -> None:
    def adapter(**run: Any) -> Arrays:
        print("a", end="")
        return (wrong if len(run["x"]) > 2 else adapters.right)(**run)

    report = check(adapter, max_examples=7, seed=2)
    kept = report.failing
    assert kept is not None
    assert (kept.id, kept.repeat) == (report.failures[0].smallest, report.failures[0].repeat)
    assert kept.id.sizes == (3, 1, 1, 1)
    inputs = case_of(kept.id, seed=2).inputs
    assert all(np.array_equal(kept.inputs[name], inputs[name]) for name in INPUTS)
    right = adapters.right(**inputs)
    np.testing.assert_array_equal(kept.outputs["dx"], 2 * right["dx"])
    np.testing.assert_allclose(kept.truth.blocks["dx"], right["dx"], rtol=1e-10, atol=1e-12)


def long(run: Arrays) -> bool:
    return len(run["x"]) > 9


@pytest.mark.parametrize(
    ("adapter", "kind"),
    [
        (wrong, "mismatch"),
        (lambda **run: (adapters.prints if long(run) else adapters.right)(**run), "prints"),
        (lambda **run: (wrong if long(run) else adapters.prints)(**run), "mismatch"),
    ],
)
def test_the_pictured_run_is_the_smallest_failing_one_of_several_steps_and_different_sizes(
    adapter: Callable[..., Arrays], kind: str
) -> None:
    report = check(adapter, max_examples=30)
    shown = [trial.id for trial in report.trials if kind in trial.kinds and 0 not in trial.id.sizes]
    several = [run for run in shown if run.sizes[0] > 2 and len({*run.sizes}) == 4]
    assert 1 < len(several) <= len(shown)
    pictured = report.pictured
    assert pictured is not None
    assert pictured.id == min(several, key=lambda run: (np.prod(run.sizes), sum(run.sizes)))
    inputs = case_of(pictured.id).inputs
    assert all(np.array_equal(pictured.inputs[name], inputs[name]) for name in INPUTS)
    assert pictured.repeat.startswith(("check(adapter, run=", "lstm-oracle check "))


def test_a_run_without_outputs_or_entries_is_not_pictured() -> None:
    assert check(adapters.raises, run=0).pictured is None
    assert check(adapters.right, run=0, sizes=(3, 0, 2, 4)).pictured is None
