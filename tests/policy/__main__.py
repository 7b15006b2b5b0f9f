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

from tests.policy import report
from tests.policy.honest import DTYPES, chunks, judge_all, subjects
from tests.policy.margins import drawn, margin, mistakes
from tests.policy.report import Found

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
        more, left_out = judge_all(subjects(), cases)
        judged += more
        refused += left_out
    margins = []
    for dtype in DTYPES:
        known = drawn(options.seed + 1, options.mistaken, dtype)
        margins += filter(None, (margin(bug, known) for bug in progress(mistakes(dtype), f"mistakes, {dtype}")))
    found = Found(options.seed, judged, refused, margins)
    report.show(found)
    options.output.write_text(report.markdown(found), encoding="utf-8")
    return 1 if found.alarms else 0


if __name__ == "__main__":
    sys.exit(main())
