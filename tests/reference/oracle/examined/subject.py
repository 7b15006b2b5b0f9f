"""A candidate under examination: what it answers, and runs with truths written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from reference.oracle.behaviour import Observation, Problem
from reference.oracle.candidate import Candidate
from reference.oracle.cases import Case, Regime, Sizes, draw_case
from reference.oracle.examination import Examination
from reference.oracle.report import Report
from reference.oracle.truth import Truth
from reference.run import Array, Run
from tests.candidates import adapters
from tests.reference.oracle.known import truth_of_losses

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)
SEED = 5
PRINTS, RAISES = Problem("prints", "wrote 'a' during the call"), Problem("raises", "ValueError: lost")
HANGS, CRASHES = Problem("hangs", "gave no answer"), Problem("crashes", "died of SIGSEGV")
Answer = Callable[[Run], Observation]


def case(number: int = 0, sizes: Sizes = (3, 1, 2, 4), regime: Regime = "ordinary", dtype: Any = F64) -> Case:
    return draw_case(SEED, number, dtype, sizes, regime)


def truth(of: Case) -> Truth:
    """What the hand derivation says, each block of a size at which rounding is none of these tests' matter."""
    blocks: dict[str, Array] = adapters.right(**{name: array.astype(F64) for name, array in of.inputs.items()})
    scales = {name: np.array(10 * np.max(np.abs(a), initial=1)) for name, a in blocks.items()}
    return truth_of_losses(of, dict.fromkeys(blocks, 0.0), blocks, scales)


def right(inputs: Run) -> Observation:
    return Observation(adapters.right(**inputs))


def wrong(inputs: Run) -> Observation:
    """The first gate's bias has the wrong gradient."""
    outputs = adapters.right(**inputs)
    return Observation(outputs | {"db_f": outputs["db_f"] + 1})


def narrow(inputs: Run) -> Observation:
    """Right outputs, of which h comes in float32."""
    outputs = right(inputs).outputs
    return Observation({"h": outputs["h"].astype(F32), "C": outputs["C"]})


def doing(*problems: Problem, outputs: bool = True) -> Answer:
    """Right outputs, or none, and these problems."""
    return lambda inputs: Observation(right(inputs).outputs if outputs else {}, problems)


class Subject(Candidate):
    """A candidate that answers so; it notes its calls, and at how many of them it was started afresh."""

    def __init__(self, answer: Answer = right, target: str | None = "a:b", layout: str = "manual") -> None:
        super().__init__("the subject", target, layout)
        self.answer, self.restarts = answer, False
        self.calls: list[Run] = []
        self.starts: list[int] = []

    def __call__(self, inputs: Run) -> Observation:
        self.calls.append(inputs)
        return self.answer(inputs)

    def restart(self) -> bool:
        self.starts.append(len(self.calls))
        return self.restarts


def examined(subject: Subject | None = None, dtype: Any = F64) -> Examination:
    return Examination(subject or Subject(), SEED, dtype, lambda runs: None)


def report(subject: Subject, *cases: Case, shrink: bool = False) -> Report:
    return examined(subject).report(cases or [case(k) for k in range(4)], shrink)


def judging(e: Examination, *cases: Case) -> Examination:
    """The same after it judged these cases."""
    e.judge([(one, truth(one)) for one in cases])
    return e


def same(one: Run, other: Run) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
