"""The door to a check: what is refused, by its name, and what an examination is made of where nothing is."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from reference.oracle import checking
from reference.oracle.cases import Case, draw_case
from reference.oracle.checking import check
from reference.oracle.laid_out import NAMES
from reference.oracle.report import Report
from tests.candidates import adapters

REPORT = Report("the subject", "float64", ())


class Made:
    """Stands for a candidate and for its examination; it notes what they are made of."""

    def __init__(self) -> None:
        self.candidate: tuple[Any, ...] = ()
        self.subject: dict[str, Any] = {}
        self.closed = False
        self.shrink: bool | None = None
        self.examination: tuple[Any, ...] = ()
        self.cases: Sequence[Case] = ()

    def a_candidate(self, *adapter: Any, **how: Any) -> Made:
        self.candidate, self.subject = adapter, how
        return self

    def __enter__(self) -> str:
        return "the subject"

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def an_examination(self, *of: Any) -> Made:
        self.examination = of
        return self

    def report(self, cases: Sequence[Case], shrink: bool) -> Report:
        assert not self.closed
        self.cases, self.shrink = cases, shrink
        return REPORT


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> Made:
    made = Made()
    monkeypatch.setattr(checking, "candidate", made.a_candidate)
    monkeypatch.setattr(checking, "Examination", made.an_examination)
    return made


def same(cases: Sequence[Case], wanted: Sequence[Case]) -> bool:
    """Whether these are the same runs, to the last number and the last bit."""
    return [str(case) for case in cases] == [str(case) for case in wanted] and all(
        np.array_equal(case.inputs[name], array)
        for case, want in zip(cases, wanted, strict=True)
        for name, array in want.inputs.items()
    )


def test_a_check_is_of_100_runs_and_of_one_without_steps_one_without_rows_and_one_without_inputs(made: Made) -> None:
    assert check(adapters.right) is REPORT
    double = np.dtype(np.float64)
    wanted = [draw_case(0, number, double) for number in range(100)]
    empty = {100: (0, 2, 3, 4), 101: (3, 0, 2, 4), 102: (2, 3, 0, 4)}
    wanted += [draw_case(0, number, double, sizes) for number, sizes in empty.items()]
    assert same(made.cases, wanted)
    assert made.candidate == (adapters.right,)
    assert made.subject == {"timeout": 60, "isolate": False, "layout": "manual"}
    *of, progress = made.examination
    assert of == ["the subject", 0, double]
    assert isinstance(of[2], np.dtype)
    assert progress(1) is None
    assert made.shrink is True
    assert made.closed


def test_everything_can_be_asked_for(made: Made) -> None:
    check("a:b", dtype="float32", max_examples=2, seed=3, timeout=0.5, isolate=True, layout="torch", progress=print)
    single = np.dtype(np.float32)
    assert same(made.cases[:2], [draw_case(3, number, single) for number in range(2)])
    assert [(case.number, case.sizes) for case in made.cases[2:]] == [
        (2, (0, 2, 3, 4)), (3, (3, 0, 2, 4)), (4, (2, 3, 0, 4)),
    ]  # fmt: skip
    assert made.candidate == ("a:b",)
    assert made.subject == {"timeout": 0.5, "isolate": True, "layout": "torch"}
    assert made.examination == ("the subject", 3, single, print)


def test_all_but_the_adapter_is_given_by_its_name(made: Made) -> None:
    assert check(adapter=adapters.right) is REPORT
    with pytest.raises(TypeError, match="takes 1 positional argument but 2 were given"):
        check(adapters.right, "float64")  # type: ignore[misc]


@pytest.mark.parametrize("run", [0, 7])
@pytest.mark.parametrize("changed", [{}, {"sizes": (0, 3, 0, 2)}, {"regime": "tiny"}])
def test_one_run_can_be_judged_alone_and_is_not_made_smaller(made: Made, run: int, changed: dict[str, Any]) -> None:
    check(adapters.right, run=run, seed=3, **changed)
    assert same(made.cases, [draw_case(3, run, np.dtype(np.float64), **changed)])
    assert made.shrink is False


@pytest.mark.parametrize("arguments", [{"max_examples": 1}, {"sizes": [1, 1, 0, 1], "run": 0}, {"timeout": 1}])
def test_the_least_that_can_be_asked_for_is_enough(made: Made, arguments: dict[str, Any]) -> None:
    assert check(adapters.right, **arguments) is REPORT


REGIMES = "ordinary, linear, saturated, remembering, large, tiny, plain"
OF_A_RUN = "expected (T, B, D, H), whole numbers, none negative and H at least 1"
REFUSED = [
    ({"dtype": "float16"}, "dtype is 'float16'; expected float64 or float32"),
    ({"max_examples": 0}, "max_examples is 0; expected a whole number from 1 on"),
    ({"max_examples": 2.0}, "max_examples is 2.0; expected a whole number from 1 on"),
    ({"seed": -1}, "seed is -1; expected a whole number from 0 on"),
    ({"run": ""}, "run is ''; expected a whole number from 0 on"),
    ({"run": -1}, "run is -1; expected a whole number from 0 on"),
    ({"run": "1"}, "run is '1'; expected a whole number from 0 on"),
    ({"run": 0, "regime": "recorded"}, f"regime is 'recorded'; expected one of {REGIMES}"),
    ({"sizes": (1, 1, 1, 1)}, "sizes and regime change one run; name it with run"),
    ({"regime": "tiny"}, "sizes and regime change one run; name it with run"),
    ({"layout": "pytorch"}, f"layout is 'pytorch'; expected one of {', '.join(NAMES)}"),
    ({"timeout": 0}, "timeout is 0; expected seconds, more than 0"),
    ({"timeout": -1.5}, "timeout is -1.5; expected seconds, more than 0"),
    ({"timeout": math.nan}, "timeout is nan; expected seconds, more than 0"),
    ({"timeout": "long"}, "timeout is 'long'; expected seconds, more than 0"),
    *(
        ({"run": 0, "sizes": sizes}, f"sizes is {sizes!r}; {OF_A_RUN}")
        for sizes in (3, (), (1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3, 4.0), "1234", (1, 2, 3, 0), (-1, 2, 3, 4),
                      (1, 2, -1, 4), {1, 2, 3, 4})
    ),
    ({"run": 0, "sizes": (10**9, 1, 1, 1)}, "the run has T=1000000000 B=1 D=1 H=1, for which autodiff needs about"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_an_argument_that_does_not_fit_is_refused_by_name(made: Made, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}") as refused:
        check(adapters.right, **arguments)
    assert str(refused.value) == said or said.endswith("about")
    assert made.candidate == ()
