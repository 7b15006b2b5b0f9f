"""The conformance suite: a test for each property that an LSTM must have, all decided by one report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import Adapter
from lstm_oracle.comparison.compare import Trial
from lstm_oracle.inputs.cases import REGIMES
from lstm_oracle.judging.check import check
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.text import explanation, listed, repeat
from lstm_oracle.reports.verdict import Failure
from lstm_oracle.run import OUTPUTS

# The tests of behaviour by name, each with the kinds of failure that make it fail.
BEHAVIOUR: dict[str, tuple[FailureKind, ...]] = {
    "returns": (FailureKind.RAISES, FailureKind.EXITS, FailureKind.CRASHES, FailureKind.HANGS),
    "outputs": (
        FailureKind.RETURN_TYPE,
        FailureKind.UNKNOWN_NAME,
        FailureKind.NO_OUTPUT,
        FailureKind.LAYOUT,
        FailureKind.VARYING,
    ),
    "shapes": (FailureKind.SHAPE,),
    "dtypes": (FailureKind.DTYPE,),
    "finite": (FailureKind.NOT_FINITE,),
    "inputs_untouched": (FailureKind.WRITES_INPUTS,),
    "no_views": (FailureKind.VIEWS_INPUTS, FailureKind.REUSES_OUTPUTS),
    "same_bits": (FailureKind.UNSTABLE,),
    "no_state": (FailureKind.KEEPS_STATE,),
    "quiet": (FailureKind.PRINTS,),
    "random_state": (FailureKind.RANDOM_STATE,),
    "split_sequence": (FailureKind.SPLIT,),
    "batch_rows": (FailureKind.ROWS,),
}


@dataclass(frozen=True)
class Property:
    """A test of the suite: `hold` takes a report and passes by returning, fails, or skips."""

    name: str
    hold: Callable[[Report], None]


def properties() -> Iterator[Property]:
    """Yield the properties that are tested, in order."""
    for name, kinds in BEHAVIOUR.items():
        yield Property(name, lambda report, kinds=kinds: behaves(report, kinds))  # type: ignore[misc]
    for name in OUTPUTS:
        yield Property(f"values[{name}]", lambda report, name=name: block_is_right(report, name))  # type: ignore[misc]
    for regime in REGIMES:
        yield Property(
            f"regime[{regime}]",
            lambda report, regime=regime: runs_are_right(report, lambda trial: trial.id.regime == regime),  # type: ignore[misc]
        )
    for at, dim in enumerate("TBD"):
        yield Property(
            f"empty[{dim}=0]",
            lambda report, at=at: runs_are_right(report, lambda trial: trial.id.sizes[at] == 0),  # type: ignore[misc]
        )


def behaves(report: Report, kinds: Sequence[FailureKind]) -> None:
    """Fail if the report has a failure of one of these kinds."""
    if failures := [failure for failure in report.failures if failure.kind in kinds]:
        pytest.fail("\n".join(map(misbehaviour_text, failures)), pytrace=False)


def block_is_right(report: Report, name: str) -> None:
    """Fail if an output is wrong on any run; skip if the output was not returned."""
    block = next((block for block in report.blocks if block.name == name), None)
    if block is None:
        pytest.skip(f"{name} was not returned")
    if not block.ok:
        lines = [f"{name} is wrong on {block.wrong} of {block.runs} runs, worst on {block.worst}"]
        for failure in report.failures:
            if failure.kind == FailureKind.MISMATCH:
                lines += [*explanation(report), *repeat(failure)]
        pytest.fail("\n".join(lines), pytrace=False)


def runs_are_right(report: Report, chosen: Callable[[Trial], bool]) -> None:
    """Fail if an output is wrong on any of the chosen runs; skip if none of these runs was judged."""
    trials = [trial for trial in report.trials if chosen(trial)]
    if not (judged := [trial for trial in trials if trial.findings]):
        why = [trial.refusal or "; ".join(problem.text for problem in trial.problems) for trial in trials]
        pytest.skip(f"no such run was judged: {why[0] if why else 'none was drawn'}")
    if wrong := [trial for trial in judged if trial.wrong]:
        text = f"wrong on {len(wrong)} of {len(judged)} runs: {wrong[0].id}: {listed(wrong[0].wrong)}"
        pytest.fail(text, pytrace=False)


def misbehaviour_text(failure: Failure) -> str:
    """Return a misbehaviour, and the command that repeats the run."""
    return "\n".join([f"{failure.kind.description}: {failure.text}", *repeat(failure)])


class Check:
    """A test of the suite as a function of an adapter, which is judged once for all tests.

    Args:
        tested: the property that is tested.
        options: further arguments of `lstm_oracle.check`.
        reports: the reports so far, by adapter, shared by all tests.
    """

    def __init__(self, tested: Property, options: dict[str, Any], reports: dict[Any, Report]) -> None:
        self.tested, self.options, self.reports = tested, options, reports

    def __call__(self, adapter: Adapter | str) -> None:
        """Return, fail or skip, depending on the report on the adapter."""
        key = adapter if isinstance(adapter, str) else id(adapter)  # not every callable can be hashed
        if key not in self.reports:
            self.reports[key] = check(adapter, **self.options)
        self.tested.hold(self.reports[key])


def parametrize_with_checks(adapters: Sequence[Adapter | str], **options: Any) -> pytest.MarkDecorator:
    """Return a decorator that runs a test for every adapter and every property of the conformance suite.

    The test takes two arguments, `adapter` and `check`, and calls `check(adapter)`.

    Args:
        adapters: a list of callables and target names, as `lstm_oracle.check` takes them.
        options: further arguments of `lstm_oracle.check`, such as `dtype` and `max_examples`.

    Raises:
        TypeError: `adapters` is a single adapter.

    Example, as a file `test_lstm.py`, to be run by `pytest`::

        from lstm_oracle import parametrize_with_checks
        from manual import Params, backward, forward


        def lstm(x, h0, C0, dh, dh_T, dC_T, **weights):
            tape = forward(Params.from_gates(**weights), x, h0, C0)
            gradients = backward(tape, dh, dh_T=dh_T, dC_T=dC_T)
            return {"h": tape.h, "C_T": tape.C_T, "dx": gradients.x}


        @parametrize_with_checks([lstm], max_examples=7)
        def test_lstm(adapter, check):
            check(adapter)
    """
    if isinstance(adapters, str) or callable(adapters):
        raise TypeError(f"adapters is a single adapter, {adapters!r}; expected a list of adapters")
    reports: dict[Any, Report] = {}
    pairs = [
        pytest.param(adapter, Check(tested, options, reports), id=f"{name_of(adapter)}-{tested.name}")
        for adapter in adapters
        for tested in properties()
    ]
    return pytest.mark.parametrize(("adapter", "check"), pairs)


def name_of(adapter: Adapter | str) -> str:
    """Return the name of an adapter for the names of its tests."""
    return adapter if isinstance(adapter, str) else str(getattr(adapter, "__name__", type(adapter).__name__))
