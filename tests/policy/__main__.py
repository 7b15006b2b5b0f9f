"""`make false-alarms`: does the tolerance ever fail a correct LSTM, and by how much do mistakes exceed it?

Prints the tables and writes POLICY.md beside this file. The exit status is 1 if a correct implementation fails.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from tests.policy import report
from tests.policy.correct import DTYPES, chunks, judge_all, subjects
from tests.policy.margins import draw_runs, margin, mistakes
from tests.policy.report import Results

POLICY = Path(__file__).parent / "POLICY.md"


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make false-alarms", description=__doc__)
    parser.add_argument(
        "--runs", type=int, default=3400, help="runs to draw, on each of which every implementation is judged"
    )
    parser.add_argument(
        "--mistake-runs", type=int, default=100, help="runs to draw in each dtype, on which every mistake is made"
    )
    parser.add_argument("--seed", type=int, default=414)
    parser.add_argument(
        "--output", type=Path, default=POLICY, metavar="FILE", help="file to write in place of POLICY.md"
    )
    options = parser.parse_args()
    progress = partial(track, console=Console(stderr=True), transient=True)

    judged, ill_conditioned = [], 0
    for cases in progress([*chunks(options.seed, options.runs)], "correct implementations"):
        more, left_out = judge_all(subjects(), cases)
        judged += more
        ill_conditioned += left_out
    margins = []
    for dtype in DTYPES:
        known = draw_runs(options.seed + 1, options.mistake_runs, dtype)
        margins += filter(None, (margin(bug, known) for bug in progress(mistakes(dtype), f"mistakes, {dtype}")))
    results = Results(options.seed, judged, ill_conditioned, margins)
    report.show(results)
    options.output.write_text(report.markdown(results), encoding="utf-8")
    return 1 if results.false_alarms else 0


if __name__ == "__main__":
    sys.exit(main())
