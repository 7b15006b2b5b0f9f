"""LSTMs to judge: a correct one, and adapters each with one mistake or misbehaviour."""

from __future__ import annotations

import ctypes
import os
import sys
import time
from typing import Any

import numpy as np

from manual import Params, bptt, fused

Arrays = dict[str, Any]


def right(**run: Any) -> Arrays:
    """Return every output of the hand derivation."""
    params = Params.from_gates(**{name: run[name] for name in run if name[:2] in ("W_", "U_", "b_")})
    tape = fused.forward(params, run["x"], run["h0"], run["C0"])
    found = fused.backward(tape, run["dh"], dh_T=run["dh_T"], dC_T=run["dC_T"])
    gradients = {f"d{name}": d for name, d in found.params.gates().items()}
    return {"h": tape.h, "C": tape.C, "C_T": tape.C_T, **gradients, "dx": found.x, "dh0": found.h0, "dC0": found.C0}


def forward_only(**run: Any) -> Arrays:
    return {name: array for name, array in right(**run).items() if name in ("h", "C_T")}


class NoCellCarry(dict[int, Any]):
    def __setitem__(self, n: int, δ: Any) -> None:
        super().__setitem__(n, self[7] if n == 8 else δ)


def no_cell_carry(**run: Any) -> Arrays:
    """Do not carry the cell gradient from step to step: δ8 = δ7."""
    params = Params.from_gates(**{name: run[name] for name in run if name[:2] in ("W_", "U_", "b_")})
    tape = bptt.forward(params, run["x"], run["h0"], run["C0"])
    found = bptt.gradients(tape, run["dh"], run["dh_T"], run["dC_T"], edges=NoCellCarry)
    gradients = {f"d{name}": d for name, d in found.params.gates().items()}
    return {"h": tape.h, "C": tape.C, **gradients, "dx": found.x, "dh0": found.h0, "dC0": found.C0}


def only_long(**run: Any) -> Arrays:
    """Return a wrong h from the fourth step on."""
    outputs = right(**run)
    outputs["h"][3:] *= 1.001
    return outputs


def only_saturated(**run: Any) -> Arrays:
    """Return a wrong dC0 if a bias is large."""
    outputs = right(**run)
    return outputs | {"dC0": outputs["dC0"] * (1 + (np.abs(run["b_o"]).max() > 15))}


def refuses_empty(**run: Any) -> Arrays:
    if run["x"].size == 0:
        raise ValueError("no empty input")
    return right(**run)


def raises(**run: Any) -> Arrays:
    raise ArithmeticError("lost a sign")


def in_float32(**run: Any) -> Arrays:
    return {name: array.astype(np.float32) for name, array in right(**run).items()}


def with_nan(**run: Any) -> Arrays:
    outputs = right(**run)
    outputs["dx"][-1:, :1] = np.nan
    return outputs


def writes_inputs(**run: Any) -> Arrays:
    outputs = right(**run)
    run["h0"] += 1
    return outputs


buffers: dict[Any, Any] = {}


def reuses_outputs(**run: Any) -> Arrays:
    """Return h in a buffer that the next call overwrites."""
    outputs = right(**run)
    buffer = buffers.setdefault(outputs["h"].shape, outputs["h"])
    buffer[:] = outputs["h"]
    return outputs | {"h": buffer}


noise = np.random.default_rng()


def unstable(**run: Any) -> Arrays:
    outputs = right(**run)
    return outputs | {"h": outputs["h"] * (1 + noise.choice([0, 2e-16, 4e-16], size=outputs["h"].shape))}


state: dict[Any, Any] = {}


def keeps_state(**run: Any) -> Arrays:
    """Start from the final states of the previous call."""
    at = run["h0"].shape
    outputs = right(**run | state.get(at, {}))
    state[at] = {"h0": outputs["h"][-1], "C0": outputs["C_T"]} if len(outputs["h"]) else {}
    return outputs


totals: dict[Any, Any] = {}


def accumulates(**run: Any) -> Arrays:
    """Scale a gradient by the number of changes of the inputs; equal inputs in a row give equal outputs."""
    outputs = right(**run)
    if state.get("x") is not None and state["x"] != run["x"].tobytes():
        totals["b"] = totals.get("b", 0) + 1
    state["x"] = run["x"].tobytes()
    return outputs | {"db_f": outputs["db_f"] * (1 + totals.get("b", 0))}


def prints(**run: Any) -> Arrays:
    print("step 1 of 7")
    return right(**run)


def prints_from_c(**run: Any) -> Arrays:
    os.write(1, b"loss 0.3\n")
    return right(**run)


def seeds_numpy(**run: Any) -> Arrays:
    np.random.seed(0)  # noqa: NPY002
    return right(**run)


def mixes_rows(**run: Any) -> Arrays:
    outputs = right(**run)
    return outputs | {"h": outputs["h"] - 1e-3 * outputs["h"].sum(axis=1, keepdims=True)}


def hangs(**run: Any) -> Arrays:
    if len(run["x"]) == 3:
        time.sleep(1000)
    return right(**run)


def calls_sys_exit(**run: Any) -> Arrays:
    if len(run["x"]) == 3:
        sys.exit(3)
    return right(**run)


def calls_os_exit(**run: Any) -> Arrays:
    if len(run["x"]) == 3:
        os._exit(0)
    return right(**run)


def segfaults(**run: Any) -> Arrays:
    if len(run["x"]) == 3:
        ctypes.string_at(0)
    return right(**run)


not_callable = 3
