"""The peak memory of a forward and backward pass, above what was allocated before.

Only Linux reports the peak of a process since a given moment; elsewhere there is no figure.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np

import manual
from manual import workspace
from manual.checks import Array

MiB = 2**20
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(T: int, B: int, D: int, H: int, dtype: str, checkpoint: bool = False) -> float | None:
    """Return the peak above the inputs in MiB, measured in a process of its own."""
    if not RESET.exists():
        return None
    command = [sys.executable, "-m", "tests.benchmarks.memory", json.dumps([T, B, D, H, dtype, checkpoint])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    return float(done.stdout)


def kept(T: int, B: int, D: int, H: int, dtype: str) -> float:
    """Return what has to be kept in MiB: f, i, g, o, C, tanh(C) and h of every step, and the result dx."""
    return T * B * (7 * H + D) * np.dtype(dtype).itemsize / MiB


def main(T: int, B: int, D: int, H: int, dtype: str, checkpoint: bool) -> None:
    """Run once on a short sequence, because of what libraries allocate once, then measure."""
    rng = np.random.default_rng(0)
    params = manual.Params.init(rng, D, H, dtype)
    x, dh = np.ones((T, B, D), dtype), np.ones((T, B, H), dtype)
    both(params, x[:300], dh[:300], checkpoint)
    workspace._pool.clear()  # the peak would count it
    return_free_memory()
    RESET.write_text("5")  # reset the peak
    before = resident("VmRSS")
    both(params, x, dh, checkpoint)
    print((resident("VmHWM") - before) / MiB)


def both(params: manual.Params, x: Array, dh: Array, checkpoint: bool) -> manual.Gradients:
    """Run forward and backward, keeping the tape to the end."""
    tape = manual.forward(params, x, checkpoint=True) if checkpoint else manual.forward(params, x)
    return manual.backward(tape, dh)


def return_free_memory() -> None:
    """Return free memory to the system if malloc is glibc's: reused memory would not show in the peak."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def resident(field: str) -> int:
    """Return a field of the process's status in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
