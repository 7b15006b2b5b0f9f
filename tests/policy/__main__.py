"""`make false-alarms`: does the tolerance ever fail an honest LSTM, and how far above it do mistakes lie?

Exit status 1 if one honest run fails.
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from unittest.mock import patch

import numpy as np
from mistakes import MISTAKES
from rich.console import Console
from rich.progress import track
from rich.table import Table

from manual import derivation
from reference import lstm
from reference.oracle import ours, theirs
from reference.oracle.cases import REGIMES, Case, draw_case, draw_inputs
from reference.oracle.findings import judge
from reference.oracle.truth import evaluate, truths
from reference.oracle.verify import SUBJECTS

DTYPES = np.dtype(np.float64), np.dtype(np.float32)
LONG = 400, 2, 3, 5  # beyond what `draw_case` draws: one run of sixteen
CHUNK = 128
Outputs = dict[str, np.ndarray]


def main() -> int:
    parser = argparse.ArgumentParser(prog="make false-alarms", description=__doc__)
    parser.add_argument("--runs", type=int, default=4800, help="drawn runs; each is judged by every implementation")
    parser.add_argument("--mistaken", type=int, default=600, help="runs on which the mistakes are judged")
    parser.add_argument("--seed", type=int, default=2023)
    options = parser.parse_args()
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140
    progress = partial(track, console=Console(stderr=True), transient=True)

    ratios: Ratios = defaultdict(list)
    for cases in progress(list(chunks(options.seed, options.runs)), "honest runs"):
        known = truths(cases)
        for name, subject in honest().items():
            record(ratios, name, cases, known, subject(cases))
    console.print(honest_table(ratios))
    judged = sum(map(len, ratios.values()))
    alarms = [found for some in ratios.values() for found in some if found[0] > 1]
    console.print(f"{judged} runs of honest implementations judged, {len(alarms)} false alarms. Seed {options.seed}.\n")
    for ratio, _, place in alarms:
        console.print(f"FALSE ALARM: {ratio:.2f} times the tolerance, {place}")

    wrong: Ratios = defaultdict(list)
    for cases in progress(list(chunks(options.seed + 1, options.mistaken)), "mistakes"):
        cases = [case for case in cases if case.sizes[0] and case.sizes[1]]  # else there is nothing to mistake
        known = truths(cases)
        for name, mistake in MISTAKES.items():
            record(wrong, name, cases, known, [mistake(case) for case in cases])
    console.print(margin_table(wrong))
    return 1 if alarms else 0


# By who is judged and dtype: for each run the error over the tolerance, the error in units, and which it is.
Ratios = dict[tuple[str, str], list[tuple[float, float, str]]]


def chunks(seed: int, runs: int) -> Iterator[list[Case]]:
    """The runs, in lists of one dtype."""
    for first in range(0, runs, CHUNK):
        numbers = range(first, min(first + CHUNK, runs))
        for turn, dtype in enumerate(DTYPES):
            yield [draw(seed, number, dtype) for number in numbers if number // len(REGIMES) % 2 == turn]


def draw(seed: int, number: int, dtype: np.dtype) -> Case:
    if number % 16:
        return draw_case(seed, number, dtype)
    regime = REGIMES[number % len(REGIMES)]
    return Case(number, regime, draw_inputs(np.random.default_rng([seed, number]), LONG, regime, dtype))


def honest() -> dict[str, Callable[[Sequence[Case]], Sequence[Outputs | None]]]:
    """The honest implementations."""
    others = {
        "bptt, sigmoid by tanh": lambda cases: [sigmoid_by_tanh(case) for case in cases],
        "JAX": lambda cases: evaluate(theirs.by_autodiff(lstm.unroll), cases, cases[0].dtype),
    }
    if find_spec("torch"):
        from reference.oracle.packages import torch

        others["PyTorch"] = lambda cases: [None if 0 in case.sizes else torch.lstm(**case.inputs) for case in cases]
    return SUBJECTS | others


def sigmoid_by_tanh(case: Case) -> Outputs:
    """The unit with another form of the sigmoid."""
    with patch.object(derivation, "sigmoid", lambda z: (1 + np.tanh(z / 2)) / 2):
        return ours.bptt_blocks(case)


def record(ratios: Ratios, name: str, cases: Sequence[Case], known, outputs: Sequence[Outputs | None]) -> None:
    for case, truth, found in zip(cases, known, outputs, strict=True):
        if found is not None:
            worst = max(judge(truth, found, case.dtype), key=lambda finding: finding.ratio)
            place = f"{name}, {case}, {worst.block}: {worst.units:.1f} of {worst.tolerance:.1f} units"
            ratios[name, case.dtype.name].append((worst.ratio, worst.units, place))


def honest_table(ratios: Ratios) -> Table:
    quantiles = 0.5, 0.99, 0.999
    table = Table(
        "who", "dtype", "runs", "false alarms", *(f"{q * 100:g} %" for q in quantiles), "worst", "in units", "run"
    )
    for (name, dtype), found in sorted(ratios.items()):
        by_run = [ratio for ratio, _, _ in found]
        ratio, units, place = max(found)
        cells = [f"{np.quantile(by_run, q):.3f}" for q in quantiles]
        alarms = sum(r > 1 for r in by_run)
        where = place.split(", ", name.count(", ") + 1)[-1]
        table.add_row(name, dtype, str(len(found)), str(alarms), *cells, f"{ratio:.3f}", f"{units:.1f}", where)
    table.title = "Honest implementations: the worst error of a run, as a share of the tolerance"
    return table


def margin_table(ratios: Ratios) -> Table:
    table = Table("mistake", "dtype", "runs", "caught", "smallest", "1 %", "median")
    for (name, dtype), found in ratios.items():
        by_run = [ratio for ratio, _, _ in found]
        caught = np.mean([ratio > 1 for ratio in by_run])
        cells = [f"{v:.1e}" for v in (min(by_run), np.quantile(by_run, 0.01), np.median(by_run))]
        table.add_row(name, dtype, str(len(found)), f"{caught:.1%}", *cells)
    table.title = "Mistakes: the worst error of a run, as a multiple of the tolerance"
    return table


if __name__ == "__main__":
    sys.exit(main())
