"""Findings and trials of runs whose truth is written by hand: the size of an error, the first error, the tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.compare import (
    Trial,
    compare_outputs,
    first_error,
    first_error_text,
    judge_trial,
    require_well_conditioned,
)
from lstm_oracle.run import GRADIENTS, Array, DType
from lstm_oracle.truth.batch import BLOCKS, DELTAS, VALUES
from lstm_oracle.truth.truth import Finding, Truth
from tests.lstm_oracle.known import truth_of_losses
from tests.strategies import drawn, without_zeros

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)
SIZE = {"T": 3, "B": 2, "D": 4, "H": 5}
ALLOWED = 64  # units, each of which is 2⁻⁵² here


def truth(T: int = 3, loss: float = 0) -> Truth:
    """Return a truth whose blocks are all zero, with a scale of 1."""
    size = SIZE | {"T": T}
    blocks = {name: np.zeros([size[dim] for dim in dims]) for name, dims in BLOCKS.items()}
    run, scales = without_zeros((T, 2, 4, 5)), dict.fromkeys(blocks, np.array(1.0))
    return truth_of_losses(run, dict.fromkeys(blocks, loss), blocks, scales)


def off(units: Mapping[str, float], at: tuple[int, ...] = (-1, -1), T: int = 3) -> dict[str, Array]:
    """Return right blocks except for one entry of the named ones; "h@1" names h at step 1."""
    blocks = {name: block.copy() for name, block in truth(T).blocks.items()}
    for place, size in units.items():
        name, *step = place.split("@")
        blocks[name][(*map(int, step), *at)[: blocks[name].ndim]] = size * 2.0**-52
    return blocks


def compared(blocks: Mapping[str, Array], dtype: DType = F64, T: int = 3) -> dict[str, Finding]:
    return {name: truth(T).compare(name, block, dtype) for name, block in blocks.items()}


def test_a_finding_is_the_worst_error_and_its_step() -> None:
    findings = compared(off({"h@1": 10, "h@2": -30, "dx@0": 3, "dW_f": -7, "C_T": 5}))
    assert {name: (round(f.units), f.step) for name, f in findings.items() if f.units} == {
        "h": (30, 2), "dx": (3, 0), "dW_f": (7, None), "C_T": (5, None),
    }  # fmt: skip
    assert all(finding.tolerance == ALLOWED and finding.ok for finding in findings.values())
    assert findings["h"].ratio == pytest.approx(30 / 64)


def test_an_error_in_any_entry_is_found() -> None:
    for b in range(2):
        for k in range(4):
            assert compared(off({"dx@1": 9}, at=(b, k)))["dx"].units == pytest.approx(9)
            assert compared(off({"dU_g": 9}, at=(k, b)))["dU_g"].units == pytest.approx(9)


@pytest.mark.parametrize(("place", "first"), [("h@1", ("h", 1)), ("dW_f", ("dW_f", None))])
def test_an_error_as_large_as_the_tolerance_is_allowed_and_a_larger_one_is_not(
    place: str, first: tuple[str, int | None]
) -> None:
    blocks = off({place: 64})
    assert compared(blocks)[first[0]].ok
    assert first_error(truth(), blocks, F64) is None
    blocks = off({place: 64.001})
    assert not compared(blocks)[first[0]].ok
    assert first_error(truth(), blocks, F64) == first


def test_if_no_finite_tolerance_exists_only_early_acceptance_passes() -> None:
    for units, allowed, ok in ((16, 64, True), (17, math.inf, False)):
        finding = truth(loss=math.inf).compare("h", off({"h@1": units})["h"])
        assert (round(finding.units), finding.tolerance, finding.ok) == (units, allowed, ok)


def test_another_shape_or_dtype_is_infinitely_wrong() -> None:
    blocks = off({})
    wrong = {
        "h": blocks["h"][:1], "dh0": np.zeros((7, 7)), "dx": blocks["dx"][..., :1], "dW_f": np.zeros(5),
        "C": blocks["C"].astype(F32), "f": blocks["f"].astype(np.longdouble),
    }  # fmt: skip
    for finding in compared(wrong).values():
        assert (finding.units, finding.step, finding.ok) == (math.inf, None, False)
    assert compared({"h": blocks["h"].astype(F32)}, F32)["h"].ok
    assert not compared({"h": blocks["h"]}, F32)["h"].ok


def test_errors_are_in_units_of_the_precision_of_the_comparison() -> None:
    h = off({"h@1": 10})["h"].astype(F32)
    assert compared({"h": h}, F32)["h"].units == pytest.approx(10 * 2.0**-29)


def test_a_single_step_is_step_0() -> None:
    assert compared({"h": off({}, T=1)["h"]}, T=1)["h"].step == 0


def test_a_run_without_steps_rows_or_inputs_has_no_error() -> None:
    for finding in compared(off({}, T=0), T=0).values():
        assert (finding.units, finding.step, finding.ok) == (0, None, True)
    empty = {"h": np.zeros((3, 0, 5)), "dU_f": np.zeros((0, 5))}
    of = replace(truth(), blocks={**truth().blocks, **empty})
    assert [(f.units, f.step) for f in (of.compare(*block) for block in empty.items())] == [(0, 0), (0, None)]
    assert first_error(of, empty, F64) is None


# The blocks that are wrong together, and the first of them in the order of computation.
FIRST = [
    (["h@1", "f@2", "δ8@2", "dW_f"], ("h", 1)),
    (["C@1", "f@1", "h@1", "tanh_C@1"], ("f", 1)),
    (["o@0", "f@1"], ("o", 0)),
    (["h@2", "C_T"], ("h", 2)),
    (["δ7@2", "δ8@2", "δ8@1"], ("δ7", 2)),
    (["δ8@1", "δ9@2", "dx@2"], ("δ9", 2)),
    (["δ8@0", "dW_f"], ("δ8", 0)),
    (["dx@0", "dW_f", "dh0"], ("dx", 0)),
    (["dC0", "dW_i", "dW_f"], ("dW_f", None)),
    (["dC0", "C_T"], ("C_T", None)),
    (["δ25@0", "δ3@1"], ("δ3", 1)),
    (["δ16@1", "δ15@1"], ("δ15", 1)),
]


@pytest.mark.parametrize(("wrong", "first"), FIRST)
def test_the_first_error_is_the_first_in_the_order_of_computation(
    wrong: list[str], first: tuple[str, int | None]
) -> None:
    for order in (wrong, wrong[::-1]):
        blocks = off(dict.fromkeys(wrong, 1000))
        names = [place.split("@")[0] for place in order]
        ordered = sorted(blocks, key=lambda name: names.index(name) if name in names else len(names))
        assert first_error(truth(), {name: blocks[name] for name in ordered}, F64) == first


def test_an_array_of_another_shape_is_wrong_from_the_first_step_on() -> None:
    for place, first in (
        ("f@1", ("h", None)),
        ("C@0", ("C", 0)),
        ("tanh_C@1", ("h", None)),
        ("δ8@2", ("h", None)),
    ):
        blocks = off({place: 1000}) | {"h": np.zeros(5)}
        for order in (blocks, dict(reversed(blocks.items()))):
            assert first_error(truth(), order, F64) == first


def test_every_block_can_have_the_first_error() -> None:
    for block in (*VALUES, "C_T", *DELTAS, *GRADIENTS):
        step = 2 if BLOCKS[block][:1] == "T" else None
        place = f"{block}@{step}" if step is not None else block
        assert first_error(truth(), off({place: 1000}), F64) == (block, step)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"h@1": 1000}, "in the forward pass: h at step 1"),
        ({"C_T": 1000}, "in the forward pass: C_T"),
        ({"δ8@2": 1000}, "in the backward pass: δ8 at step 2"),
        ({"dx@0": 1000}, "in the backward pass: dx at step 0"),
        ({"dW_f": 1000}, "in the backward pass: dW_f"),
        ({"h@1": 64}, ""),
    ],
)
def test_the_first_error_as_text(wrong: dict[str, float], text: str) -> None:
    assert first_error_text(truth(), off(wrong), F64) == text


@pytest.mark.parametrize("dtype", [F64, F32], ids=str)
def test_outputs_of_an_ill_conditioned_run_are_refused_by_name(dtype: DType) -> None:
    outputs = {"dx": off({})["dx"].astype(dtype)}
    require_well_conditioned(truth(loss=100), outputs)
    with pytest.raises(ValueError, match=f"^dx cannot be judged: the run amplifies rounding errors in {dtype}"):
        require_well_conditioned(truth(loss=1e6), outputs)


# One run: the findings on its outputs, and the kinds of failure that it shows.

RUN = drawn((3, 2, 4, 5), "ordinary", "float64", 0)
RAISES = Problem(FailureKind.RAISES, "ValueError: no steps")
NOT_FINITE = FailureKind.NOT_FINITE


@pytest.mark.parametrize(
    ("wrong", "problems", "kinds"),
    [
        (False, [], set()),
        (True, [], {"mismatch"}),
        (False, [RAISES], {"raises"}),
        (True, [RAISES], {"raises", "mismatch"}),
        (True, [Problem(NOT_FINITE, "", "dx")], {"not_finite"}),  # and not a mismatch as well
        (True, [Problem(NOT_FINITE, "", "h")], {"not_finite", "mismatch"}),
        (True, [Problem(FailureKind.SHAPE, "", "dx")], {"shape", "mismatch"}),
    ],
)
def test_a_trial_shows_its_problems_and_a_mismatch(wrong: bool, problems: list[Problem], kinds: set[str]) -> None:
    trial = Trial(RUN.id, (Finding("h", 3, 64, 1), Finding("dx", 100 * wrong, 64, 0)), tuple(problems))
    assert trial.kinds == kinds
    assert trial.wrong == ["dx"] * wrong


def test_outputs_are_compared_in_order_each_in_its_own_precision() -> None:
    blocks = truth().blocks
    outputs = {"dC0": blocks["dC0"].astype(F32), "h": blocks["h"], "dx": blocks["dx"] + 1}
    assert [(f.block, f.ok) for f in compare_outputs(truth(), outputs)] == [("h", True), ("dx", False), ("dC0", True)]
    trial = judge_trial(RUN, truth(), Observation(outputs, (RAISES,)))
    assert (trial.id, trial.wrong, trial.problems) == (RUN.id, ["dx"], (RAISES,))
    assert (trial.kinds, trial.refusal) == ({"mismatch", "raises"}, "")


def test_an_exception_as_the_only_problem_of_an_empty_run_is_a_refusal() -> None:
    empty = drawn((0, 2, 4, 5), "ordinary", "float64", 0)
    trial = judge_trial(empty, truth(T=0), Observation({}, (RAISES,)))
    assert (trial.refusal, trial.kinds) == ("ValueError: no steps", set())
    hangs = Problem(FailureKind.HANGS, "did not answer")
    for case, problems in ((empty, (hangs,)), (empty, (RAISES, hangs)), (empty, ()), (RUN, (RAISES,))):
        trial = judge_trial(case, truth(T=case.sizes[0]), Observation({}, problems))
        assert (trial.refusal, trial.problems) == ("", problems)
