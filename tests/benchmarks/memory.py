"""How much memory a forward and backward pass takes at its peak, over what was there before it.

Linux alone says what a process's peak was since a given moment; elsewhere there is no figure.
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
from manual import workspace as rooms

MiB = 2**20
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak(T: int, B: int, D: int, H: int, dtype: str, checkpoint: bool = False) -> float | None:
    """The peak above the inputs, in MiB, measured in a process of its own."""
    if not RESET.exists():
        return None
    command = [sys.executable, "-m", "tests.benchmarks.memory", json.dumps([T, B, D, H, dtype, checkpoint])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    return float(done.stdout)


def kept(T: int, B: int, D: int, H: int, dtype: str) -> float:
    """The tape that must be kept and the result dx, in MiB: f, i, g, o, C, tanh(C) and h of every step, and dx."""
    return T * B * (7 * H + D) * np.dtype(dtype).itemsize / MiB


def main(T: int, B: int, D: int, H: int, dtype: str, checkpoint: bool) -> None:
    """Run once on little, for what the libraries keep, then measure."""
    rng = np.random.default_rng(0)
    params = manual.Params.init(rng, D, H, dtype)
    x, dh = np.ones((T, B, D), dtype), np.ones((T, B, H), dtype)
    both(params, x[:300], dh[:300], checkpoint)
    rooms._left.clear()  # the peak counts them
    hand_back()
    RESET.write_text("5")  # the peak starts anew
    before = resident("VmRSS")
    both(params, x, dh, checkpoint)
    print((resident("VmHWM") - before) / MiB)


def both(params: manual.Params, x: manual.unit.Array, dh: manual.unit.Array, checkpoint: bool) -> manual.Gradients:
    """Forward and backward, the tape alive to the end."""
    tape = manual.forward(params, x, checkpoint=True) if checkpoint else manual.forward(params, x)
    return manual.backward(tape, dh)


def hand_back() -> None:
    """Give the system what is free, where malloc is glibc's: it would be used again, and be missing in the peak."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def resident(field: str) -> int:
    """A field of the process's status, in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main(*json.loads(sys.argv[1]))
