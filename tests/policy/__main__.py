"""`make false-alarms`: does the tolerance ever fail an honest LSTM, and how far above it do mistakes lie?

Prints the tables and writes POLICY.md beside this file. Exit status 1 if one honest run fails.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from reference.oracle.findings import judge
from reference.oracle.truth import truths
from tests.policy import report
from tests.policy.honest import DTYPES, chunks, subjects
from tests.policy.margins import drawn, margin, mistakes
from tests.policy.report import Found, Judged

POLICY = Path(__file__).parent / "POLICY.md"


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make false-alarms", description=__doc__)
    parser.add_argument("--runs", type=int, default=3600, help="drawn runs; each is judged by every implementation")
    parser.add_argument("--mistaken", type=int, default=100, help="runs on which every mistake is made, in each dtype")
    parser.add_argument("--seed", type=int, default=2023)
    parser.add_argument("--output", type=Path, default=POLICY, metavar="FILE", help="written instead of POLICY.md")
    options = parser.parse_args()
    progress = partial(track, console=Console(stderr=True), transient=True)

    judged, refused = [], 0
    for cases in progress([*chunks(options.seed, options.runs)], "honest runs"):
        more, fewer = judge_all(cases)
        judged += more
        refused += fewer
    margins = []
    for dtype in DTYPES:
        known = drawn(options.seed + 1, options.mistaken, dtype)
        margins += filter(None, (margin(bug, known) for bug in progress(mistakes(dtype), f"mistakes, {dtype}")))
    found = Found(options.seed, judged, refused, margins)
    report.show(found)
    options.output.write_text(report.markdown(found), encoding="utf-8")
    return 1 if found.alarms else 0


def judge_all(cases):
    """What comes of these runs, by every honest implementation, and how many are refused."""
    known, judged, refused = truths(cases), [], 0
    for who, subject in subjects().items():
        for case, truth, outputs in zip(cases, known, subject(cases), strict=True):
            if outputs is None:
                continue
            if not truth.tells(case.dtype):
                refused += 1
                continue
            worst = max(judge(truth, outputs, case.dtype), key=lambda finding: finding.ratio)
            place = f"{case}, {worst.block}: {worst.units:.1f} of {worst.tolerance:.1f} units"
            judged.append(Judged(who, case.dtype.name, case.regime, worst.ratio, worst.units, place))
    return judged, refused


if __name__ == "__main__":
    sys.exit(main())
