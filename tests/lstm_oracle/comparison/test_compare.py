"""The findings on a run whose truth is written by hand: how large each error is, where it begins, what is allowed."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from lstm_oracle.candidates.failures import Problem
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.comparison.compare import Trial, beginning, findings, first_error, judge, judged
from lstm_oracle.inputs.cases import Case, RunId, Sizes
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.truth.batch import DELTAS, PADDED_BLOCKS, VALUES
from lstm_oracle.truth.truth import Finding, Truth
from tests.lstm_oracle.known import truth_of_losses
from tests.strategies import drawn, without_zeros

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)
SIZE = {"T": 3, "B": 2, "D": 4, "H": 5}
ALLOWED = 64  # units, of which each is 2⁻⁵² here


def truth(T: int = 3, loss: float = 0) -> Truth:
    """All blocks are zero, and of size 1."""
    size = SIZE | {"T": T}
    blocks = {name: np.zeros([size[dim] for dim in dims]) for name, dims in (PADDED_BLOCKS | {"C_T": "BH"}).items()}
    run, scales = without_zeros((T, 2, 4, 5)), dict.fromkeys(blocks, np.array(1.0))
    return truth_of_losses(run, dict.fromkeys(blocks, loss), blocks, scales)


def off(units: dict[str, float], at: tuple[int, ...] = (-1, -1), T: int = 3) -> dict[str, Array]:
    """The right outputs but for one entry of these blocks, named with a step where it has steps: "h@1"."""
    outputs = {name: block.copy() for name, block in truth(T).blocks.items()}
    for name, size in units.items():
        block, *step = name.split("@")
        outputs[block][(*map(int, step), *at)[: outputs[block].ndim]] = size * 2.0**-52
    return outputs


def finding_of(outputs: dict[str, Array], name: str, of: Truth | None = None) -> Finding:
    (finding,) = judge(of or truth(), {name: outputs[name]}, F64)
    return finding


def test_a_finding_is_the_worst_error_and_its_step() -> None:
    outputs = off({"h@1": 10, "h@2": -30, "dx@0": 3, "dW_f": -7, "C_T": 5})
    findings = {finding.block: finding for finding in judge(truth(), outputs, F64)}
    assert list(findings) == list(outputs)
    assert {name: (round(f.units), f.step) for name, f in findings.items() if f.units} == {
        "h": (30, 2), "dx": (3, 0), "dW_f": (7, None), "C_T": (5, None),
    }  # fmt: skip
    assert all(finding.tolerance == ALLOWED and finding.ok for finding in findings.values())
    assert findings["h"].ratio == pytest.approx(30 / 64)


def test_an_error_in_any_entry_is_found() -> None:
    for b in range(2):
        for k in range(4):
            assert finding_of(off({"dx@1": 9}, at=(b, k)), "dx").units == pytest.approx(9)
            assert finding_of(off({"dU_g": 9}, at=(k, b)), "dU_g").units == pytest.approx(9)


def test_an_error_as_large_as_the_tolerance_is_allowed_and_a_larger_one_is_not() -> None:
    for block, name in {"h@1": "h", "dW_f": "dW_f"}.items():
        outputs = off({block: 64})
        assert finding_of(outputs, name).ok
        assert first_error(truth(), outputs, F64) is None
        outputs = off({block: 64.001})
        assert not finding_of(outputs, name).ok
        assert first_error(truth(), outputs, F64) == (name, 1 if name == "h" else None)


def test_where_rounding_has_no_bound_only_an_error_far_below_any_tolerance_is_right() -> None:
    for units, allowed, ok in ((16, 64, True), (17, math.inf, False)):
        finding = finding_of(off({"h@1": units}), "h", truth(loss=math.inf))
        assert (round(finding.units), finding.tolerance, finding.ok) == (units, allowed, ok)


def test_another_shape_or_dtype_is_infinitely_wrong() -> None:
    outputs = off({})
    wrong = {
        "h": outputs["h"][:1], "dh0": np.zeros((7, 7)), "dx": outputs["dx"][..., :1], "dW_f": np.zeros(5),
        "C": outputs["C"].astype(F32), "f": outputs["f"].astype(np.longdouble),
    }  # fmt: skip
    findings = judge(truth(), wrong, F64)
    assert [finding.block for finding in findings] == list(wrong)
    assert all((finding.units, finding.step, finding.ok) == (math.inf, None, False) for finding in findings)
    assert judge(truth(), {"h": outputs["h"].astype(F32)}, F32)[0].ok
    assert not judge(truth(), {"h": outputs["h"]}, F32)[0].ok


def test_errors_are_in_units_of_the_precision_asked_for() -> None:
    outputs = {name: block.astype(F32) for name, block in off({"h@1": 10}).items()}
    assert judge(truth(), {"h": outputs["h"]}, F32)[0].units == pytest.approx(10 * 2.0**-29)


def test_the_only_step_is_a_step() -> None:
    assert judge(truth(T=1), {"h": off({}, T=1)["h"]}, F64)[0].step == 0


def test_a_run_without_steps_rows_or_inputs_has_no_error() -> None:
    for finding in judge(truth(T=0), off({}, T=0), F64):
        assert (finding.units, finding.step, finding.ok) == (0, None, True)
    empty = {"h": np.zeros((3, 0, 5)), "dU_f": np.zeros((0, 5))}
    of = replace(truth(), blocks={**truth().blocks, **empty})
    assert [(f.units, f.step) for f in judge(of, empty, F64)] == [(0, 0), (0, None)]
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
def test_the_narrowest_place_is_the_first_in_the_order_of_computation(
    wrong: list[str], first: tuple[str, int | None]
) -> None:
    for order in (wrong, wrong[::-1]):
        outputs = off(dict.fromkeys(wrong, 1000))
        names = [place.split("@")[0] for place in order]
        blocks = sorted(outputs, key=lambda name: names.index(name) if name in names else len(names))
        assert first_error(truth(), {name: outputs[name] for name in blocks}, F64) == first


def test_an_array_of_another_shape_is_wrong_from_the_first_step_on() -> None:
    for places, first in (
        (["f@1"], ("h", None)),
        (["C@0"], ("C", 0)),
        (["tanh_C@1"], ("h", None)),
        (["δ8@2"], ("h", None)),
    ):
        outputs = off(dict.fromkeys(places, 1000)) | {"h": np.zeros(5)}
        for order in (outputs, dict(reversed(outputs.items()))):
            assert first_error(truth(), order, F64) == first


def test_every_block_can_be_the_narrowest() -> None:
    for block in (*VALUES, "C_T", *DELTAS, *GRADIENTS):
        step = 2 if PADDED_BLOCKS.get(block, "")[:1] == "T" else None
        place = f"{block}@{step}" if step is not None else block
        assert first_error(truth(), off({place: 1000}), F64) == (block, step)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("h@1", "h, from step 1 on"), ("δ8@2", "δ8, from step 2 backwards"), ("dx@0", "dx, from step 0 backwards"),
     ("dW_f", "dW_f"), ("C_T", "C_T"), ("f@0", "f, from step 0 on")],
)  # fmt: skip
def test_the_beginning_in_words(wrong: str, words: str) -> None:
    assert beginning(truth(), off({wrong: 1000}), F64) == words


def test_a_right_run_has_no_beginning() -> None:
    assert beginning(truth(), off({"h@1": 64}), F64) == ""


# One run: its outputs judged together, and the kinds of failure that it shows.

RUN = drawn((3, 2, 4, 5), "ordinary", "float64", 0)
WHICH = RunId(12, "linear", (3, 2, 4, 5), "float32")
RAISES = Problem("raises", "ValueError: no steps")


def test_a_run_is_named_without_its_arrays() -> None:
    named = RunId.of(Case(12, "linear", drawn((3, 2, 4, 5), "linear", "float32", 0).inputs))
    assert named == WHICH
    assert str(named) == "run 12 (T=3 B=2 D=4 H=5, linear, float32)"


def test_runs_are_ordered_by_their_size_with_empty_ones_last() -> None:
    order: list[Sizes] = [(1, 1, 1, 1), (1, 1, 1, 2), (2, 2, 1, 1), (1, 4, 1, 1), (3, 2, 2, 1), (0, 1, 1, 1)]
    assert sorted([*reversed(order)], key=lambda sizes: replace(WHICH, sizes=sizes).size) == order


@pytest.mark.parametrize(
    ("wrong", "problems", "kinds"),
    [
        (False, [], set()),
        (True, [], {"mismatch"}),
        (False, [RAISES], {"raises"}),
        (True, [RAISES], {"raises", "mismatch"}),
        (True, [Problem("not_finite", "", "dx")], {"not_finite"}),  # which is no mismatch besides
        (True, [Problem("not_finite", "", "h")], {"not_finite", "mismatch"}),
        (True, [Problem("shape", "", "dx")], {"shape", "mismatch"}),
    ],
)
def test_a_run_shows_its_problems_and_a_mismatch(wrong: bool, problems: list[Problem], kinds: set[str]) -> None:
    trial = Trial(WHICH, (Finding("h", 3, 64, 1), Finding("dx", 100 * wrong, 64, 0)), tuple(problems))
    assert trial.kinds == kinds
    assert trial.wrong == ["dx"] * wrong


def test_outputs_are_judged_in_order_each_in_its_own_precision() -> None:
    blocks = truth().blocks
    outputs = {"dC0": blocks["dC0"].astype(np.float32), "h": blocks["h"], "dx": blocks["dx"] + 1}
    assert [(f.block, f.ok) for f in findings(truth(), outputs)] == [("h", True), ("dx", False), ("dC0", True)]
    trial = judged(RUN, truth(), Observation(outputs, (RAISES,)))
    assert (trial.id, trial.wrong, trial.problems) == (RUN.id, ["dx"], (RAISES,))
    assert (trial.kinds, trial.refusal) == ({"mismatch", "raises"}, "")


def test_without_a_truth_only_the_problems_are_kept() -> None:
    trial = judged(RUN, None, Observation({"h": truth().blocks["h"] + 1}, (RAISES,)))
    assert (trial.findings, trial.problems) == ((), (RAISES,))


def test_an_exception_alone_on_an_empty_run_is_a_refusal() -> None:
    empty = drawn((0, 2, 4, 5), "ordinary", "float64", 0)
    trial = judged(empty, truth(T=0), Observation({}, (RAISES,)))
    assert (trial.refusal, trial.kinds) == ("ValueError: no steps", set())
    hangs = Problem("hangs", "no answer")
    for case, problems in ((empty, (hangs,)), (empty, (RAISES, hangs)), (empty, ()), (RUN, (RAISES,))):
        trial = judged(case, truth(T=case.sizes[0]), Observation({}, problems))
        assert (trial.refusal, trial.problems) == ("", problems)
