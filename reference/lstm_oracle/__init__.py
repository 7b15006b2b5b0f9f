"""The oracle: checks whether an LSTM implementation is correct, and says what is wrong if it is not.

    report = check(adapter)      # on runs that the oracle draws
    report = judge(run)          # one recorded run: a mapping, an `.npz` file or a folder of `.npy` files
    reports = judge_all(runs)    # many of them, which is faster than one by one
    print(report)                # report.ok  report.blocks  report.diagnosis  report.not_judged  report.to_json()
    print(discover(run))         # a recorded run with weights in an unknown layout: which layout, and the conversion

    @parametrize_with_checks([adapter, "pkg.module:other"])
    def test_lstm(adapter, check):
        check(adapter)

The parts, in the order in which to read them; each imports only those before it:

    run          the arrays of a run: names and dimensions
    autodiff     the unit in JAX, its gradients by autodiff, with a probe on every numbered edge
    certified    the derivation held against power series in ball arithmetic, to 50 digits and more
    inputs       what is drawn and what is read
    truth        the blocks of a run, and the tolerance for rounding errors in them
    candidates   the LSTMs to judge, and what they do when they are called
    comparison   outputs against truth, and calls against one another
    diagnosis    which known mistakes match the outputs, or else where the error is
    reports      the verdict as data, text, HTML and badge
    judging      check and judge: from a candidate or a recorded run to a report
    layouts      which layout the weights of a recorded run have
    verify       the hand derivation against all of this
    vectors      test vectors with certified outputs
    conformance, pytest_plugin, cli

NumPy, JAX and pytest are imported when one of these names is first used, so that the command answers quickly.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lstm_oracle import autodiff
    from lstm_oracle.conformance import parametrize_with_checks
    from lstm_oracle.judging.check import check
    from lstm_oracle.judging.judge import judge, judge_all
    from lstm_oracle.layouts.discovery import discover
    from lstm_oracle.reports.report import Report

    __version__: str

__all__ = [
    "Report",
    "__version__",
    "autodiff",
    "check",
    "discover",
    "judge",
    "judge_all",
    "parametrize_with_checks",
]

MODULES = {
    "Report": "reports.report",
    "check": "judging.check",
    "discover": "layouts.discovery",
    "judge": "judging.judge",
    "judge_all": "judging.judge",
    "parametrize_with_checks": "conformance",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("lstm-oracle")
    if name == "autodiff":
        return import_module("lstm_oracle.autodiff")
    if name in MODULES:
        return getattr(import_module(f"lstm_oracle.{MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
