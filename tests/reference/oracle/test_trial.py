"""What is kept of one run: which it was, what failed, and in what order runs are looked at."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reference.oracle.behaviour import FATAL, Observation, Problem
from reference.oracle.cases import Case, Sizes
from reference.oracle.findings import Finding
from reference.oracle.trial import MISMATCH, Trial, Which, findings, judged, returned
from tests.reference.oracle.test_findings import truth
from tests.strategies import drawn

RUN = drawn((3, 2, 4, 5), "ordinary", "float64", 0)
H = truth().blocks["h"]
RIGHT, WRONG = Finding("h", 3, 64, 1), Finding("dx", 100, 64, 0)
RAISES = Problem("raises", "it raised ValueError: no steps")


def which(sizes: Sizes) -> Which:
    return Which(7, "tiny", sizes, "float32")


def test_a_run_is_told_without_its_arrays() -> None:
    told = Which.of(Case(12, "linear", drawn((3, 2, 4, 5), "linear", "float32", 0).inputs))
    assert told == Which(12, "linear", (3, 2, 4, 5), "float32")
    assert told.sizes_text == "T=3 B=2 D=4 H=5"
    assert str(told) == "run 12 (T=3 B=2 D=4 H=5, linear, float32)"


def test_the_smallest_run_comes_first_and_empty_ones_last() -> None:
    order: list[Sizes] = [(1, 1, 1, 1), (1, 1, 1, 2), (2, 2, 1, 1), (1, 4, 1, 1), (3, 2, 2, 1), (0, 1, 1, 1)]
    assert sorted([*reversed(order)], key=lambda sizes: which(sizes).size) == order
    assert which((2, 3, 1, 5)).size == (False, 30, 11)
    assert which((2, 3, 0, 5)).size == (True, 0, 10)


def test_a_trial_has_the_kinds_of_its_problems_and_of_a_mismatch() -> None:
    assert Trial(which((1, 1, 1, 1))).kinds == set()
    assert Trial(which((1, 1, 1, 1)), (RIGHT,)).kinds == set()
    assert Trial(which((1, 1, 1, 1)), (RIGHT, WRONG)).kinds == {MISMATCH} == {"mismatch"}
    assert Trial(which((1, 1, 1, 1)), (RIGHT,), (RAISES,)).kinds == {"raises"}
    assert Trial(which((1, 1, 1, 1)), (WRONG,), (RAISES,)).kinds == {"raises", MISMATCH}


def test_what_is_not_finite_is_no_mismatch_besides() -> None:
    broken = Problem("not_finite", "dx holds NaN", "dx")
    assert Trial(which((1, 1, 1, 1)), (RIGHT, WRONG), (broken,)).kinds == {"not_finite"}
    other = replace(broken, block="h")
    assert Trial(which((1, 1, 1, 1)), (RIGHT, WRONG), (other,)).kinds == {"not_finite", MISMATCH}
    assert Trial(which((1, 1, 1, 1)), (WRONG,), (Problem("shape", "", "dx"),)).kinds == {"shape", MISMATCH}
    assert Trial(which((1, 1, 1, 1)), (WRONG,), (Problem("dtype", "", "dx"),)).kinds == {"dtype", MISMATCH}


def test_the_wrong_blocks_are_named() -> None:
    assert Trial(which((1, 1, 1, 1)), (RIGHT, WRONG, replace(WRONG, block="dh0"))).wrong == ["dx", "dh0"]
    assert Trial(which((1, 1, 1, 1)), (RIGHT,)).wrong == []


def test_outputs_are_judged_in_order_each_in_its_own_precision() -> None:
    blocks = truth().blocks
    found = findings(truth(), {"dC0": blocks["dC0"].astype(np.float32), "h": H, "dx": blocks["dx"] + 1})
    assert [(finding.block, finding.ok) for finding in found] == [("h", True), ("dx", False), ("dC0", True)]


def test_what_a_candidate_did_is_kept() -> None:
    trial = judged(RUN, truth(), Observation({"h": H + 1}, (RAISES,)))
    assert (trial.which, trial.problems, trial.refused) == (Which.of(RUN), (RAISES,), "")
    assert (trial.wrong, trial.kinds, type(trial.findings)) == (["h"], {MISMATCH, "raises"}, tuple)
    assert judged(RUN, truth(), Observation({"h": H}, ())).kinds == set()


def test_without_a_truth_nothing_is_judged() -> None:
    trial = judged(RUN, None, Observation({"h": H + 1}, (RAISES,)))
    assert (trial.findings, trial.problems) == ((), (RAISES,))


def test_an_exception_on_an_empty_run_is_a_refusal_and_nowhere_else() -> None:
    empty = drawn((0, 2, 4, 5), "ordinary", "float64", 0)
    trial = judged(empty, truth(T=0), Observation({}, (RAISES,)))
    assert (trial.refused, trial.kinds) == ("it raised ValueError: no steps", set())
    assert judged(RUN, truth(), Observation({}, (RAISES,))).refused == ""
    hangs = Problem("hangs", "no answer")
    for problems in ((hangs,), (RAISES, hangs), ()):
        trial = judged(empty, truth(T=0), Observation({}, problems))
        assert (trial.refused, trial.problems) == ("", problems)


@pytest.mark.parametrize("kind", ["shape", "writes_inputs", "not_finite"])
def test_there_is_something_to_compare_unless_it_failed_fatally(kind: str) -> None:
    h = {"h": np.zeros((3, 2, 5))}
    assert returned(Observation(h, ()))
    assert returned(Observation({}, ())) is False
    assert kind not in FATAL
    assert returned(Observation(h, (Problem(kind, ""),)))
    for fatal in FATAL:
        assert not returned(Observation(h, (Problem(kind, ""), Problem(fatal, ""))))
