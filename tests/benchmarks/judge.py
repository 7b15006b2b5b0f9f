"""How many runs are judged in a second, and where the time goes: python -m tests.benchmarks.judge.

A judged run is drawn, its truth is told by autodiff (all gradients, and all edges for the scales),
and every output of a candidate, h, C, C_T and all gradients, is compared with it. The candidate is
`manual.fused`; its own time is a column, and no part of the judge's. Shapes are compiled before.
Prints the tables and writes judge.md beside this file.
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
from lstm_oracle.truth.truth import Truth, compute_losses, truths, truths_in_chunks
from lstm_oracle.verify import ours
from lstm_oracle.verify.verify import verify
from manual import fused

HERE = Path(__file__).parent
FLOAT64 = np.dtype(np.float64)
COLUMNS = ("draw", "truth", "compare", "judged, a second", "manual.fused", "with it, a second")


@dataclass(frozen=True)
class Load:
    """Runs to judge: all sizes up to the largest, or these alone."""

    title: str
    largest: Sizes
    runs: int
    chunk: int
    fixed: bool = False

    def case(self, number: int) -> Case:
        """The run of this number."""
        rng = np.random.default_rng([7, number])
        T, B, D, H = self.largest if self.fixed else (int(rng.integers(1, most + 1)) for most in self.largest)
        regime = REGIMES[number % len(REGIMES)]
        return Case(number, regime, draw_inputs(rng, (T, B, D, H), regime, FLOAT64))

    def chunks(self) -> Iterator[list[Case]]:
        """All runs, drawn when they are asked for."""
        for first in range(0, self.runs, self.chunk):
            yield [self.case(number) for number in range(first, min(first + self.chunk, self.runs))]


LOADS = (
    Load("T ≤ 12, B ≤ 4, D ≤ 6, H ≤ 6", (12, 4, 6, 6), 4096, 256),
    Load("T = 64, B = 8, D = 64, H = 64", (64, 8, 64, 64), 64, 8, fixed=True),
)


def outputs(case: Case) -> dict[str, Array]:
    """What `manual.fused` returns."""
    tape, upstream = ours.forward(fused, case)
    return in_order(ours.values(tape) | ours.gradients(fused.backward(tape, **upstream)))


def told(cases: Sequence[Case], many: bool) -> list[Truth]:
    """Their truths, waited for."""
    found = truths(cases, many)
    for truth in found:
        assert len(truth.blocks["h"]) == len(truth.scales["h"]) == truth.case.sizes[0]
    return found


def compare(known: Sequence[tuple[Case, Truth]], found: Sequence[dict[str, Array]]) -> None:
    """Judge a chunk; nothing may be wrong."""
    for findings in compare_many([truth for _, truth in known], found):
        assert len(findings) == len(OUTPUTS)
        assert all(finding.ok for finding in findings)


def adapter(**run: Array) -> dict[str, Array]:
    """`manual.fused` as a candidate of `check`."""
    return outputs(Case(0, "recorded", run))


class Clock:
    """Seconds by the wall and of CPU, added up over calls."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0

    def __call__(self, function: Callable[..., Any], *args: Any) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = function(*args)
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu
        return result


def stages(load: Load) -> dict[str, Clock]:
    """Each stage by itself, then all together as `check` does it: truths on other threads, ahead of the rest."""
    clocks = {name: Clock() for name in ("draw", "truth", "fused", "compare", "judged", "all")}
    many = load.runs >= MANY
    compute_losses(truths(next(load.chunks()), many))  # compiles all
    found: list[list[dict[str, Array]]] = []
    chunks = load.chunks()
    while cases := clocks["draw"](next, chunks, None):
        known = list(zip(cases, clocks["truth"](told, cases, many), strict=True))
        found.append(clocks["fused"](lambda cases: [outputs(case) for case in cases], cases))
        clocks["compare"](compare, known, found[-1])

    def judged() -> None:
        for known, got in zip(truths_in_chunks(load.chunks(), many), found, strict=True):
            compare(known, got)

    def everything() -> None:
        for known in truths_in_chunks(load.chunks(), many):
            compare(known, [outputs(case) for case, _ in known])

    clocks["judged"](judged)
    clocks["all"](everything)
    return clocks


def rows(loads: Sequence[Load]) -> list[list[str]]:
    """The table of stages: milliseconds of CPU a run, and runs a second by the wall and by the CPU's time."""
    made = []
    for load in loads:
        clocks = stages(load)
        ms = {name: f"{1e3 * clock.cpu / load.runs:.3g}" for name, clock in clocks.items()}
        rate = {name: f"{load.runs / clock.wall:,.0f} ({load.runs / clock.cpu:,.0f})" for name, clock in clocks.items()}
        cells = [ms["draw"], ms["truth"], ms["compare"], rate["judged"], ms["fused"], rate["all"]]
        made.append([load.title, *cells])
    return made


def parts(load: Load) -> list[str]:
    """What a truth is made of: milliseconds of CPU a run, the least of several calls with all lanes full."""
    shape = shape_for(load.largest, many=load.runs >= MANY)
    lanes = lanes_for(shape)
    cases = [Load(load.title, shape, lanes, lanes, fixed=True).case(number) for number in range(lanes)]
    batch = Batch(cases, shape, lanes)

    def computed(dtype: str) -> None:
        with full_precision():
            jax.block_until_ready(compiled(blocks, False)(*stacked(cases, shape, lanes, np.dtype(dtype))))

    def scaled() -> None:
        for name in ("blocks", "scales"):
            vars(batch).pop(name, None)
        assert len(batch.scales["h"]) == lanes

    found = [load.title]
    for work in (
        lambda: stacked(cases, shape, lanes, FLOAT64),
        lambda: computed("float64"),
        scaled,
        lambda: computed("float32"),
    ):
        clocks = [Clock() for _ in range(6)]
        for clock in clocks:
            clock(work)
        found.append(f"{1e3 * min(clock.cpu for clock in clocks) / lanes:.3g}")
    return found


def commands(runs: int) -> list[list[str]]:
    """`check` and `verify`, as a user calls them in a process where all is compiled."""
    verify(0, range(64), [FLOAT64])
    clocks = {"check": Clock(), "verify": Clock()}
    clocks["check"](lambda: check(adapter, max_examples=runs, seed=1))
    clocks["verify"](lambda: verify(1, range(runs), [FLOAT64]))
    return [[name, f"{runs / clock.wall:,.0f} ({runs / clock.cpu:,.0f})"] for name, clock in clocks.items()]


def markdown(titles: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table."""
    rule = ["---", *["--:"] * (len(titles) - 1)]
    return "\n".join("| " + " | ".join(line) + " |" for line in (titles, rule, *lines)) + "\n"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.judge", description=__doc__)
    parser.add_argument("--runs", type=int, default=600, help="runs of check and verify each (default: 600)")
    options = parser.parse_args()
    keep_freed_memory()  # as the command does
    page = [
        "A stage in milliseconds of CPU a run; runs a second by the wall, and in brackets by the CPU's time.\n",
        markdown(["runs", *COLUMNS], rows(LOADS)),
        "Of the truth, milliseconds of CPU a run in a batch that is full: the inputs put side by side, autodiff in "
        "float64, scales in NumPy; and in float32, which is asked only where an error is not far below what is "
        "allowed anyway.\n",
        markdown(["runs", "inputs", "float64", "scales", "float32"], [parts(load) for load in LOADS]),
        f"Runs of all drawn sizes, T up to 70 and H up to 66, {options.runs} each, a second; `check` of "
        "`manual.fused` in its process, `verify` of all subjects with its certificates.\n",
        markdown(["command", "runs a second"], commands(options.runs)),
        f"{os.cpu_count()} cores; load {os.getloadavg()[0]:.1f}.\n",
    ]
    text = "\n".join(page)
    (HERE / "judge.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
