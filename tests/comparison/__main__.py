"""Compares which wrong LSTMs `lstm-oracle check`, gradient checks and ONNX's node tests detect: `make compare`.

Prints the table and writes COMPARISON.md and comparison.json beside this file. The exit status is 1 if
`lstm-oracle check` misses a wrong LSTM or fails the correct one.
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
from tests.comparison.report import NAMED, NODE_TESTS, SUITE, Results
from tests.comparison.variants import GROUPS, Group, Variant, draw

HERE = Path(__file__).parent
CORRECT_DRAWS = 20  # draws on which the correct unit is checked


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="make compare", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="number of draws for mistakes of the backward pass")
    options = parser.parse_args()
    progress = partial(track, console=Console(stderr=True), transient=True)

    results = Results()
    results.alarms = false_alarms(progress(range(CORRECT_DRAWS), "the correct unit"))
    for name, group in GROUPS.items():
        seeds = options.seeds if name == "backward" else 1
        caught = {check: [[] for _ in range(seeds)] for check in GRADIENT_CHECKS}
        caught |= {SUITE: [[]], NAMED: [[]]} | ({} if name == "backward" else {NODE_TESTS: [[]]})
        for bug in progress(group.bugs, group.title):
            for check_name, seed in verdicts(group, bug, seeds):
                caught[check_name][seed].append(bug.id)
        results.caught[name] = caught
    report.show(results)
    (HERE / "COMPARISON.md").write_text(report.markdown(results), encoding="utf-8")
    (HERE / "comparison.json").write_text(json.dumps(results.to_json(), indent=1) + "\n", encoding="utf-8")
    missed = any(results.missed(name, SUITE) for name in GROUPS)
    return int(missed or results.alarms[SUITE][0] > 0)


def verdicts(group: Group, bug, seeds: int) -> Iterable[tuple[str, int]]:
    """Yield the checks that detect a mistake, each with the number of the draw."""
    variant = group.variant(bug)
    verdict = check(variant.adapter)
    if not verdict.ok:
        yield SUITE, 0
    if (bug,) in verdict.explanations:
        yield NAMED, 0
    if bug.forward and not node_tests(variant):
        yield NODE_TESTS, 0
    for name, passes in GRADIENT_CHECKS.items():
        for seed in range(seeds):
            if not passes(variant, draw(seed)):
                yield name, seed


def false_alarms(seeds: Iterable[int]) -> dict[str, tuple[int, int]]:
    """Return how often each check fails the correct unit, and in how many attempts."""
    correct, failed = Variant(), dict.fromkeys((SUITE, *GRADIENT_CHECKS), 0)
    for seed in seeds:
        failed[SUITE] += not check(correct.adapter, seed=seed).ok
        for name, passes in GRADIENT_CHECKS.items():
            failed[name] += not passes(correct, draw(seed))
    alarms = {name: (count, CORRECT_DRAWS) for name, count in failed.items()}
    return alarms | {NODE_TESTS: (int(not node_tests(correct)), 1)}


if __name__ == "__main__":
    sys.exit(main())
