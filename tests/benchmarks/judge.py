"""Measure how many runs are judged in a second, and where the time goes: python -m tests.benchmarks.judge.

Judging a run means that the run is drawn, that autodiff computes its truth (all gradients, and all edges for the
scales), and that every output of a candidate (h, C, C_T and all gradients) is compared with the truth. The candidate is
`manual.fused`; its time has a column of its own and is not part of the judge's. Shapes are compiled before the
measurement. The tables are printed, and written to judge.md beside this file.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lstm_oracle import check
from lstm_oracle.autodiff.lstm import full_precision
from lstm_oracle.cli.memory import keep_freed_memory
from lstm_oracle.comparison.compare import compare_many, in_order
from lstm_oracle.inputs.cases import REGIMES, Case, Sizes, draw_inputs
from lstm_oracle.run import OUTPUTS, Array
from lstm_oracle.truth.batch import Batch, blocks, compiled
from lstm_oracle.truth.padding import MANY, lanes_for, shape_for, stacked
from lstm_oracle.truth.truth import Truth, chunked, compute_losses, truths, truths_in_chunks
from lstm_oracle.verify import twins
from lstm_oracle.verify.verify import verify
from manual import fused

HERE = Path(__file__).parent
FLOAT64 = np.dtype(np.float64)
COLUMNS = ("draw", "truth", "compare", "judged per second", "`manual.fused`", "per second in all")
REPEATS = 6  # of a part of the truth, of which the fastest counts


@dataclass(frozen=True)
class Workload:
    """Runs to judge: of all sizes up to the largest, or all of the largest sizes."""

    title: str
    largest: Sizes
    runs: int
    chunk: int
    fixed: bool = False

    def case(self, number: int) -> Case:
        """Draw the run of this number."""
        rng = np.random.default_rng([7, number])
        T, B, D, H = self.largest if self.fixed else (int(rng.integers(1, most + 1)) for most in self.largest)
        regime = REGIMES[number % len(REGIMES)]
        return Case(number, regime, draw_inputs(rng, (T, B, D, H), regime, FLOAT64))

    def cases(self) -> Iterator[Case]:
        """Yield all runs, each drawn on demand."""
        return map(self.case, range(self.runs))


WORKLOADS = (
    Workload("T ≤ 12, B ≤ 4, D ≤ 6, H ≤ 6", (12, 4, 6, 6), 4096, 256),
    Workload("T = 64, B = 8, D = 64, H = 64", (64, 8, 64, 64), 64, 8, fixed=True),
)


def outputs(case: Case) -> dict[str, Array]:
    """Return the outputs of `manual.fused`."""
    tape, upstream = twins.forward(fused, case)
    return in_order(twins.values(tape) | twins.gradients(fused.backward(tape, **upstream)))


def computed_truths(cases: Sequence[Case], many: bool) -> list[Truth]:
    """Return the truths of these cases after JAX has computed them."""
    found = truths(cases, many)
    for truth in found:  # accessing a block waits for the result
        assert len(truth.blocks["h"]) == len(truth.scales["h"]) == truth.case.sizes[0]
    return found


def compare(known: Sequence[tuple[Case, Truth]], found: Sequence[dict[str, Array]]) -> None:
    """Compare the outputs of a chunk of runs with the truth; every output has to be correct."""
    for findings in compare_many([truth for _, truth in known], found):
        assert len(findings) == len(OUTPUTS)
        assert all(finding.ok for finding in findings)


def adapter(**run: Array) -> dict[str, Array]:
    """Run `manual.fused` as a candidate of `check`."""
    return outputs(Case(0, "recorded", run))


class Clock:
    """Calls functions, and adds up their elapsed time and CPU time in seconds."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = function(*args)
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return result


def stages(load: Workload) -> dict[str, Clock]:
    """Measure each stage by itself, then all together as in `check`, where other threads compute the truths."""
    clocks = {name: Clock() for name in ("draw", "truth", "fused", "compare", "judged", "all")}
    many = load.runs >= MANY
    compute_losses(truths(next(chunked(load.cases(), load.chunk)), many))  # to compile everything
    found: list[list[dict[str, Array]]] = []
    chunks = chunked(load.cases(), load.chunk)
    while cases := clocks["draw"](next, chunks, None):
        known = list(zip(cases, clocks["truth"](computed_truths, cases, many), strict=True))
        found.append(clocks["fused"](lambda cases: [outputs(case) for case in cases], cases))
        clocks["compare"](compare, known, found[-1])

    def judged() -> None:
        for known, got in zip(truths_in_chunks(load.cases(), many, load.chunk), found, strict=True):
            compare(known, got)

    def everything() -> None:
        for known in truths_in_chunks(load.cases(), many, load.chunk):
            compare(known, [outputs(case) for case, _ in known])

    clocks["judged"](judged)
    clocks["all"](everything)
    return clocks


def stage_rows(loads: Sequence[Workload]) -> list[list[str]]:
    """Return a row for each workload, in the order of COLUMNS: milliseconds of CPU time per run, and rates."""
    rows = []
    for load in loads:
        clocks = stages(load)
        ms = {name: f"{1e3 * clock.cpu / load.runs:.3g}" for name, clock in clocks.items()}
        rate = {name: rate_text(load.runs, clock) for name, clock in clocks.items()}
        rows.append([load.title, ms["draw"], ms["truth"], ms["compare"], rate["judged"], ms["fused"], rate["all"]])
    return rows


def rate_text(runs: int, clock: Clock) -> str:
    """Return the runs per second of elapsed time and, in brackets, per second of CPU time."""
    return f"{runs / clock.wall:,.0f} ({runs / clock.cpu:,.0f})"


def truth_row(load: Workload) -> list[str]:
    """Return a row with the parts of a truth: milliseconds of CPU time per run, in a batch whose lanes are all used."""
    shape = shape_for(load.largest, many=load.runs >= MANY)
    lanes = lanes_for(shape)
    cases = [Workload(load.title, shape, lanes, lanes, fixed=True).case(number) for number in range(lanes)]
    batches = [Batch(cases, shape, lanes) for _ in range(REPEATS)]
    assert all(len(batch.blocks["h"]) == lanes for batch in batches)  # the scales are computed from these
    without_scales = iter(batches)

    def compute_blocks(dtype: str) -> None:
        with full_precision():
            jax.block_until_ready(compiled(blocks, False)(*stacked(cases, shape, lanes, np.dtype(dtype))))

    def compute_scales() -> None:
        assert len(next(without_scales).scales["h"]) == lanes

    row = [load.title]
    for work in (
        lambda: stacked(cases, shape, lanes, FLOAT64),
        lambda: compute_blocks("float64"),
        compute_scales,
        lambda: compute_blocks("float32"),
    ):
        clocks = [Clock() for _ in range(REPEATS)]
        for clock in clocks:
            clock(work)
        row.append(f"{1e3 * min(clock.cpu for clock in clocks) / lanes:.3g}")
    return row


def command_rows(runs: int) -> list[list[str]]:
    """Measure `check` and `verify` in a process in which everything has been compiled."""
    verify(0, range(64), [FLOAT64])
    clocks = {"check": Clock(), "verify": Clock()}
    clocks["check"](lambda: check(adapter, max_examples=runs, seed=1))
    clocks["verify"](lambda: verify(1, range(runs), [FLOAT64]))
    return [[name, rate_text(runs, clock)] for name, clock in clocks.items()]


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    rule = ["---", *["--:"] * (len(header) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows)) + "\n"


def main() -> None:
    """Measure, print the tables, and write judge.md."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.judge", description=__doc__)
    parser.add_argument("--runs", type=int, default=600, help="runs of check and verify each (default: 600)")
    options = parser.parse_args()
    keep_freed_memory()  # as the command does
    parts = [
        "# The speed of the judge\n",
        "Each stage in milliseconds of CPU time per run; rates in runs per second of elapsed time and, in brackets, "
        "per second of CPU time.\n",
        markdown_table(["runs", *COLUMNS], stage_rows(WORKLOADS)),
        "The parts of the truth, in milliseconds of CPU time per run in a full batch: the inputs are stacked, autodiff "
        "computes the blocks in float64, and NumPy the scales. The float32 evaluation is needed only where an error is "
        "not far below the smallest tolerance.\n",
        markdown_table(["runs", "inputs", "float64", "scales", "float32"], [truth_row(load) for load in WORKLOADS]),
        f"The rates of the commands, on {options.runs} runs each of all drawn sizes, with T up to 70 and H up to 66: "
        "`check` judges `manual.fused` in its own process, and `verify` all subjects, with certificates.\n",
        markdown_table(["command", "runs per second"], command_rows(options.runs)),
        f"Measured on {os.cpu_count()} cores, with a load of {os.getloadavg()[0]:.1f}.\n",
    ]
    text = "\n".join(parts)
    (HERE / "judge.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
