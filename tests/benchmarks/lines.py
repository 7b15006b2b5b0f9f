"""Measure where `manual` spends its time, line by line: forward and backward, on one CPU, in its own process.

line_profiler measures every line and takes time itself: its overhead on lines that do nothing is subtracted from each
line as often as it is executed. python -m tests.benchmarks.lines T B D H dtype prints all lines that compute or copy.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from inspect import isclass, isfunction
from pathlib import Path

from tests.benchmarks.contenders import Call, Work, fused, pin
from tests.benchmarks.race import ONE_THREAD

KINDS = {
    "products": r"(np\.)?(dot|matmul|product)\(",
    "exp, tanh": r"(exp|tanh)\(",
    "+ − × ÷": r"(np\.)?(add|subtract|multiply|divide|reciprocal)\(|\w+ \+= ",
    "copies": r"[\w., ]+\[[^=]+\] = |.* = .*(\.copy|empty_tape|np\.(ones|zeros|empty))\(|np\.concatenate",
}  # a line has the first kind whose pattern matches its beginning; the rest are loops, views and checks
PASSES, SECONDS = 5, 0.5  # at least, of one measurement

Line = tuple[str, str, float]  # the function, the line, and its share of the time of a pass


def kind_of(text: str) -> str:
    """Return the kind of a line; empty if it has none."""
    return next((kind for kind, pattern in KINDS.items() if re.match(pattern, text)), "")


def shares(lines: list[Line]) -> dict[str, float]:
    """Return the share of the time that each kind of line takes, and the rest."""
    found = {kind: sum(share for _, text, share in lines if kind_of(text) == kind) for kind in KINDS}
    return found | {"loops, views, checks": 1 - sum(found.values())}


def measured(work: Work) -> list[Line]:
    """Return the lines that compute or copy, slowest first, as measured in a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.lines", *map(str, (work.T, work.B, work.D, work.H)), work.dtype]
    return json.loads(subprocess.check_output([*command, "--json"], text=True, env=os.environ | ONE_THREAD))


def profiled(work: Work) -> list[Line]:
    """Return the lines that compute or copy, slowest first, as measured in this process."""
    from line_profiler import LineProfiler

    from manual import api, batch, single, workspace
    from manual import fused as passes

    call, profiler = fused(work), LineProfiler()
    for module in (passes, batch, single, workspace, api):
        for value in vars(module).values():
            if (isfunction(value) or isclass(value)) and value.__module__ == module.__name__:
                (profiler.add_class if isclass(value) else profiler.add_callable)(value)
    call()
    with profiler:
        wall, count = passes_of(call)
    stats, own = profiler.get_stats(), profiler_overhead()
    passed = [
        (file, function, number, hits / count, stats.unit * ticks / count)
        for (file, _, function), timings in stats.timings.items()
        for number, hits, ticks in timings
    ]
    whole = wall - own * sum(hits for *_, hits, _ in passed)
    found = []
    for file, function, number, hits, elapsed in passed:
        text = Path(file).read_text(encoding="utf-8").splitlines()[number - 1].strip()
        if kind_of(text):
            found.append((f"{Path(file).stem}.{function}", text, (elapsed - own * hits) / whole))
    return sorted(found, key=lambda line: -line[-1])


def passes_of(call: Call) -> tuple[float, int]:
    """Return the seconds of a pass, and how many passes were measured."""
    start, count = time.perf_counter(), 0
    while count < PASSES or time.perf_counter() - start < SECONDS:
        call()
        count += 1
    return (time.perf_counter() - start) / count, count


def profiler_overhead() -> float:
    """Return the seconds that the profiler adds each time a line is executed."""
    from line_profiler import LineProfiler

    def nothing() -> None:
        for _ in range(10_000):
            pass

    unprofiled, _ = passes_of(nothing)
    with LineProfiler(nothing):
        profiled, _ = passes_of(nothing)
    return (profiled - unprofiled) / 20_000


def main() -> None:
    """Print the lines of one shape."""
    *sizes, dtype = (word for word in sys.argv[1:] if word != "--json")
    T, B, D, H = map(int, sizes)
    work = Work(T, B, D, H, dtype, "both")
    if "--json" in sys.argv:
        pin()
        print(json.dumps(profiled(work)))
        return
    found = measured(work)
    for place, text, share in found:
        print(f"{100 * share:5.1f} %  {place:26} {text}")
    print(", ".join(f"{kind}: {100 * share:.0f} %" for kind, share in shares(found).items()))


if __name__ == "__main__":
    main()
