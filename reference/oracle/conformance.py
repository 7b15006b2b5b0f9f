"""The conformance suite: one test for each thing that an LSTM must do, read from one check.

@parametrize_with_checks([adapter, "pkg.module:other"])
def test_lstm(adapter, check):
    check(adapter)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from reference.oracle.behaviour import MISBEHAVIOURS, Adapter
from reference.oracle.cases import REGIMES
from reference.oracle.checking import check
from reference.oracle.report import Failure, Report
from reference.oracle.trial import MISMATCH, Trial
from reference.oracle.wording import explanation, listed
from reference.run import OUTPUTS

# The tests of behaviour by name, each with the kinds of failure that it holds.
BEHAVIOUR = {
    "returns": ("raises", "exits", "crashes", "hangs"),
    "outputs": ("return_type", "unknown_name", "no_output", "layout", "varying"),
    "shapes": ("shape",),
    "dtypes": ("dtype",),
    "finite": ("not_finite",),
    "inputs_untouched": ("writes_inputs",),
    "no_views": ("views_inputs", "reuses_outputs"),
    "same_bits": ("unstable",),
    "no_state": ("keeps_state",),
    "quiet": ("prints",),
    "random_state": ("random_state",),
    "split_sequence": ("split",),
    "batch_rows": ("rows",),
}


@dataclass(frozen=True)
class Property:
    """One test: called with a report, it returns, fails or skips."""

    name: str
    hold: Callable[[Report], None]


def properties() -> Iterator[Property]:
    """The tests of the suite, in order."""
    for name, kinds in BEHAVIOUR.items():
        yield Property(name, lambda report, kinds=kinds: behaves(report, kinds))  # type: ignore[misc]
    for name in OUTPUTS:
        yield Property(f"values[{name}]", lambda report, name=name: block_is_right(report, name))  # type: ignore[misc]
    for regime in REGIMES:
        yield Property(
            f"regime[{regime}]",
            lambda report, regime=regime: runs_are_right(report, lambda trial: trial.which.regime == regime),  # type: ignore[misc]
        )
    for at, dim in enumerate("TBD"):
        yield Property(
            f"empty[{dim}=0]",
            lambda report, at=at: runs_are_right(report, lambda trial: trial.which.sizes[at] == 0),  # type: ignore[misc]
        )


def behaves(report: Report, kinds: Sequence[str]) -> None:
    """None of these was seen."""
    if failures := [failure for failure in report.failures if failure.kind in kinds]:
        pytest.fail("\n".join(map(told, failures)), pytrace=False)


def block_is_right(report: Report, name: str) -> None:
    """An output is right on every run."""
    block = next((block for block in report.blocks if block.name == name), None)
    if block is None:
        pytest.skip(f"{name} is not returned")
    if not block.ok:
        lines = [f"{name} is wrong on {block.wrong} of {block.runs} runs, worst on {block.which}"]
        lines += [line for failure in report.failures if failure.kind == MISMATCH for line in why(report, failure)]
        pytest.fail("\n".join(lines), pytrace=False)


def runs_are_right(report: Report, chosen: Callable[[Trial], bool]) -> None:
    """All outputs are right on all runs of a sort."""
    trials = [trial for trial in report.trials if chosen(trial)]
    if not (judged := [trial for trial in trials if trial.findings]):
        reasons = [trial.refused or "; ".join(problem.text for problem in trial.problems) for trial in trials]
        pytest.skip(f"no such run was judged: {reasons[0] if reasons else 'none was drawn'}")
    if wrong := [trial for trial in judged if trial.wrong]:
        text = f"wrong on {len(wrong)} of {len(judged)} runs: {wrong[0].which}: {listed(wrong[0].wrong)}"
        pytest.fail(text, pytrace=False)


def told(failure: Failure) -> str:
    """A misbehaviour in words."""
    return "\n".join([f"it {MISBEHAVIOURS[failure.kind]}: {failure.text}", *why(None, failure)])


def why(report: Report | None, failure: Failure) -> list[str]:
    """What explains a failure, and how to repeat it."""
    return [*(explanation(report) if report else []), *([f"Repeat with: {failure.repeat}"] if failure.repeat else [])]


class Check:
    """A test of the suite, to be called with an adapter."""

    def __init__(self, tested: Property, options: dict[str, Any], reports: dict[Any, Report]) -> None:
        self.tested, self.options, self.reports = tested, options, reports

    def __call__(self, adapter: Adapter | str) -> None:
        """Fail or skip as the adapter deserves; it is judged once for all tests."""
        key = adapter if isinstance(adapter, str) else id(adapter)  # not every callable can be hashed
        if key not in self.reports:
            self.reports[key] = check(adapter, **self.options)
        self.tested.hold(self.reports[key])


def parametrize_with_checks(adapters: Sequence[Adapter | str], **options: Any) -> pytest.MarkDecorator:
    """A decorator that runs a test, a function of `adapter` and `check`, for every adapter and property.

    Args:
        adapters: what `reference.oracle.check` takes.
        options: its other arguments, such as dtype and max_examples.
    """
    if isinstance(adapters, str) or callable(adapters):
        raise TypeError("adapters is a single one; expected a list of adapters")
    reports: dict[Any, Report] = {}
    pairs = [
        pytest.param(adapter, Check(tested, options, reports), id=f"{name_of(adapter)}-{tested.name}")
        for adapter in adapters
        for tested in properties()
    ]
    return pytest.mark.parametrize(("adapter", "check"), pairs)


def name_of(adapter: Adapter | str) -> str:
    """An adapter's name in the name of a test."""
    return adapter if isinstance(adapter, str) else str(getattr(adapter, "__name__", type(adapter).__name__))
