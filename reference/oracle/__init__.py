"""The judge of LSTMs: draws runs, knows what they should give, and says where another gives it not.

    report = check(adapter)      # draws the runs itself
    report = judge(run)          # one recorded run: a mapping, an `.npz` file or a folder of `.npy` files
    reports = judge_all(runs)    # many of them, together
    print(report)                # report.ok  report.blocks  report.diagnosis  report.to_json()
    print(discover(run))         # a run with weights in an unknown layout: which it is, and the conversion

    @parametrize_with_checks([adapter, "pkg.module:other"])
    def test_lstm(adapter, check):
        check(adapter)

NumPy, JAX and pytest are imported when one of these is first used: the command line answers without.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference.oracle.checking import check
    from reference.oracle.conformance import parametrize_with_checks
    from reference.oracle.discovery import discover
    from reference.oracle.judging import judge, judge_all
    from reference.oracle.report import Report

__all__ = ["Report", "check", "discover", "judge", "judge_all", "parametrize_with_checks"]

HOMES = {
    "Report": "report",
    "check": "checking",
    "discover": "discovery",
    "judge": "judging",
    "judge_all": "judging",
    "parametrize_with_checks": "conformance",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{HOMES[name]}"), name)
