"""`make compare`: which wrong LSTMs are caught by this suite, by gradient checks, and by ONNX's vectors?

Prints the table and writes COMPARISON.md and comparison.json beside this file. Exit status 1 if this suite misses one,
or fails the right one.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track

from lstm_oracle import check
from tests.comparison import report
from tests.comparison.checkers import GRADIENT_CHECKS
from tests.comparison.onnx_cases import node_tests
from tests.comparison.programs import GROUPS, Group, Program, draw
from tests.comparison.report import NAMED, NODE_TESTS, SUITE, Found

HERE = Path(__file__).parent
RIGHT = 20  # draws on which the right unit is checked


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="draws for mistakes of the backward pass")
    options = parser.parse_args()
    progress = partial(track, console=Console(stderr=True), transient=True)

    found = Found()
    found.alarms = false_alarms(progress(range(RIGHT), "the right unit"))
    for name, group in GROUPS.items():
        seeds = options.seeds if name == "backward" else 1
        caught = {check: [[] for _ in range(seeds)] for check in GRADIENT_CHECKS}
        caught |= {SUITE: [[]], NAMED: [[]]} | ({} if name == "backward" else {NODE_TESTS: [[]]})
        for bug in progress(group.bugs, group.title):
            for check_name, seed in verdicts(group, bug, seeds):
                caught[check_name][seed].append(bug.id)
        found.caught[name] = caught
    report.show(found)
    (HERE / "COMPARISON.md").write_text(report.markdown(found), encoding="utf-8")
    (HERE / "comparison.json").write_text(json.dumps(found.to_json(), indent=1) + "\n", encoding="utf-8")
    missed = any(found.missed(name, SUITE) for name in GROUPS)
    return int(missed or found.alarms[SUITE][0] > 0)


def verdicts(group: Group, bug, seeds: int) -> Iterable[tuple[str, int]]:
    """The checks that catch this mistake, each with the number of its draw."""
    program = group.program(bug)
    verdict = check(program.blocks)
    if not verdict.ok:
        yield SUITE, 0
    if (bug,) in verdict.explanations:
        yield NAMED, 0
    if bug.forward and not node_tests(program):
        yield NODE_TESTS, 0
    for name, passes in GRADIENT_CHECKS.items():
        for seed in range(seeds):
            if not passes(program, draw(seed)):
                yield name, seed


def false_alarms(seeds: Iterable[int]) -> dict[str, tuple[int, int]]:
    """How often each check fails the right unit, and of how many times."""
    right, failed = Program(), dict.fromkeys((SUITE, *GRADIENT_CHECKS), 0)
    for seed in seeds:
        failed[SUITE] += not check(right.blocks, seed=seed).ok
        for name, passes in GRADIENT_CHECKS.items():
            failed[name] += not passes(right, draw(seed))
    return {name: (count, RIGHT) for name, count in failed.items()} | {NODE_TESTS: (int(not node_tests(right)), 1)}


if __name__ == "__main__":
    sys.exit(main())
