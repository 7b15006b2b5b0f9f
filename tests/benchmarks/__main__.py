"""`make bench`: measures, prints a table, and writes speed.json, speed.md and speed.svg beside this file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

from tests.benchmarks import lines, memory, report
from tests.benchmarks.contenders import ABLATIONS, CONTENDERS, Work
from tests.benchmarks.race import Racer, race, ratio

HERE = Path(__file__).parent
SHAPES = [
    (32, 1, 16, 16),
    (100, 1, 32, 32),
    (128, 32, 64, 128),
    (256, 16, 128, 256),
    (64, 64, 256, 512),
    (1000, 8, 64, 128),
]  # T, B, D, H
BASE = (256, 16, 64, 64)  # from which one size at a time grows
GROWTH = {"T": (64, 256, 1024, 4096), "B": (4, 16, 64, 256), "D": (16, 64, 256, 1024), "H": (32, 64, 128, 256, 512)}
MODULES = {"torch": "torch", "jax": "jax", "onnxruntime": "onnxruntime"}
PARTS = ("races", "lines", "memory", "gains", "growth")
ABLATED = [(32, 1, 16, 16), (100, 1, 32, 32), (100, 1, 64, 64), (32, 8, 16, 16), (100, 16, 32, 32)]
LONG = [(1000, 8, 64, 128), (10_000, 8, 64, 128), (100_000, 1, 32, 64)]


def main() -> None:
    """Measure all that was asked for, then report."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and one thread alone, no growth")
    parser.add_argument("--rounds", type=int, default=0, help="rounds of each race; 9, or 5 if quick")
    options = parser.parse_args()
    rounds = options.rounds or (5 if options.quick else 9)
    found: dict[str, Any] = {"machine": machine(), "import_ms": import_time()} | {part: [] for part in PARTS}
    found["memory"] = [consumption(shape, dtype) for shape in LONG for dtype in ("float32", "float64")]
    found["gains"] = gains(rounds)
    found["races"] += races(True, rounds)
    if find_spec("line_profiler"):
        found["lines"] = [
            {"shape": shape, "dtype": dtype, "lines": lines.measured(Work(*shape, dtype, "both"))}
            for shape in SHAPES[2:]  # for one sequence a line takes no longer than measuring it
            for dtype in ("float32", "float64")
        ]
    write(found)  # here as well, because what follows takes long and uses every core
    if not options.quick:
        found["growth"] = growth(rounds)
        found["races"] += races(False, rounds)
        write(found)
    report.show(found)


def write(found: dict[str, Any]) -> None:
    """Write the files for what has been measured so far."""
    (HERE / "speed.json").write_text(json.dumps(found, indent=1) + "\n")
    (HERE / "speed.md").write_text(report.markdown(found))
    report.plot(found, HERE / "speed.svg")


def races(pinned: bool, rounds: int) -> list[dict[str, Any]]:
    """Measure all contenders on every shape."""
    here = [name for name in CONTENDERS if find_spec(MODULES.get(name, "numpy"))]
    racers, rows = [Racer(name, pinned) for name in here], []
    for task in ("both", "forward"):
        for shape in SHAPES:
            for dtype in ("float32", "float64"):
                times = race(racers, Work(*shape, dtype, task), rounds, seconds=0.05)
                row = {"task": task, "shape": shape, "dtype": dtype, "threads": "one" if pinned else "all"}
                row |= {"ms": 1e3 * median(times["fused"])}
                row |= {"ratio": {name: ratio(times, "fused", name) for name in times if name != "fused"}}
                rows.append(row)
                print(f"{row['threads']} {task} {shape} {dtype}: {row['ms']:.2f} ms", file=sys.stderr)
    for racer in racers:
        racer.close()
    return rows


def gains(rounds: int) -> list[dict[str, Any]]:
    """Measure the time without each optimisation relative to the time with all of them."""
    racers, rows = [Racer(name, pinned=True) for name in ("fused", *ABLATIONS)], []
    for shape in ABLATED:
        times = race(racers, Work(*shape, "float32", "both"), rounds, seconds=0.05)
        rows.append({"shape": shape, "ratio": {name: ratio(times, name, "fused") for name in ABLATIONS}})
    for racer in racers:
        racer.close()
    return rows


def growth(rounds: int) -> list[dict[str, Any]]:
    """Measure how the time grows with one size, the others being those of BASE."""
    racer, rows = Racer("fused", pinned=True), []
    for dim, sizes in GROWTH.items():
        for size in sizes:
            shape = dict(zip("TBDH", BASE, strict=True)) | {dim: size}
            times = race([racer], Work(*shape.values(), "float32", "both"), rounds, seconds=0.02)
            rows.append({"dim": dim, "size": size, "ms": 1e3 * min(times["fused"])})
    racer.close()
    return rows


def consumption(shape: tuple[int, int, int, int], dtype: str) -> dict[str, Any]:
    """Measure the peak memory without and with checkpoints."""
    peaks = {"whole": memory.peak(*shape, dtype), "checkpointed": memory.peak(*shape, dtype, checkpoint=True)}
    return {"shape": shape, "dtype": dtype, "must": memory.kept(*shape, dtype), **peaks}


def import_time() -> dict[str, float]:
    """Measure the milliseconds to import NumPy, and those that `manual` adds; medians of interleaved runs."""
    code = "import time; a = time.perf_counter(); import numpy; b = time.perf_counter(); import manual; "
    code += "print(b - a, time.perf_counter() - b)"
    runs = [subprocess.check_output([sys.executable, "-c", code], text=True).split() for _ in range(11)]
    return {"numpy": 1e3 * median(float(a) for a, _ in runs), "manual": 1e3 * median(float(b) for _, b in runs)}


def machine() -> dict[str, str]:
    """Return the machine and the versions."""
    info = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in info if line.startswith("model name")), platform.processor())
    found = {"cpu": model, "cores": str(os.cpu_count()), "system": platform.system(), "date": str(date.today())}
    found["python"] = platform.python_version()
    for package in ("numpy", "torch", "jax", "onnxruntime"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


main()
