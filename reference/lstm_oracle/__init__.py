"""The oracle: checks whether an LSTM implementation is correct, and explains what is wrong if it is not.

    report = check(adapter)      # on runs that the oracle draws
    report = judge(run)          # one recorded run: a mapping, an `.npz` file or a folder of `.npy` files
    reports = judge_all(runs)    # many recorded runs, faster than one by one
    print(report)                # report.ok  report.blocks  report.diagnosis  report.not_judged  report.to_json()
    print(discover(run))         # the layout of the weights of a recorded run, and the conversion

    @parametrize_with_checks([adapter, "pkg.module:other"])
    def test_lstm(adapter, check):
        check(adapter)

The modules and packages, in reading order; each imports only those before it:

    run          the arrays of a run: names and dimensions
    autodiff     the unit in JAX, its gradients by autodiff, with a probe on every numbered edge
    certified    the derivation held against power series in ball arithmetic, to 50 digits and more
    inputs       the runs that are drawn, and recorded runs from files
    truth        the blocks of a run, and the tolerance for rounding errors in them
    candidates   the LSTMs to judge, and the observation of their calls
    comparison   outputs against the truth, and calls against one another
    diagnosis    the known mistakes that match the outputs, or else the location of the error
    reports      the verdict as data, text, HTML and badge
    judging      check and judge: from a candidate or a recorded run to a report
    layouts      the layout of the weights of a recorded run
    verify       the hand derivation against autodiff, certified values and other packages
    vectors      test vectors with certified outputs
    conformance, pytest_plugin, cli

NumPy, JAX and pytest are imported when a public name is first used, so that the command answers quickly.
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
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("lstm-oracle")
        except PackageNotFoundError:  # used from a folder, not installed
            return "unknown"
    if name == "autodiff":
        return import_module("lstm_oracle.autodiff")
    if name in MODULES:
        return getattr(import_module(f"lstm_oracle.{MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
