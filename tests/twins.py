"""Helpers that run either hand-written twin, compute the truth by autodiff, and compare the results."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import WEIGHTS, Array
from lstm_oracle.truth import truth
from lstm_oracle.verify import twins
from lstm_oracle.verify.twins import gradients as named
from manual import Params, Tape, bptt, fused

EXACT = 1e-11  # a bound on errors in float64 that does not depend on the tolerance
TWINS = pytest.mark.parametrize("twin", [bptt, fused], ids=lambda twin: twin.__name__)


def params_of(run: Case) -> Params:
    return Params.from_gates(**{name: run.inputs[name] for name in WEIGHTS})


def upstream_of(run: Case) -> dict[str, Array]:
    return {name: run.inputs[name] for name in ("dh", "dh_T", "dC_T")}


def forward(twin: ModuleType, run: Case) -> Tape:
    return twins.forward(twin, run)[0]


def backward(twin: ModuleType, run: Case) -> dict[str, Array]:
    return named(twin.backward(forward(twin, run), **upstream_of(run)))


def truth_of(run: Case) -> truth.Truth:
    """Return the truth of a run, cached."""
    key = (run.sizes, run.dtype, *(array.tobytes() for array in run.inputs.values()))
    if key not in _truths:
        if len(_truths) >= 500:
            _truths.clear()
        _truths[key] = truth.truths([run])[0].detached()
    return _truths[key]


def judge(run: Case, blocks: Mapping[str, Array]) -> None:
    """Assert that blocks are correct: within the oracle's tolerance and, in float64, within EXACT as well."""
    true = truth_of(run)
    for name, got in blocks.items():
        want, scale = true.blocks[name], true.scales[name]
        assert got.shape == want.shape, f"{name} has shape {got.shape}, not {want.shape}"
        assert got.dtype == run.dtype, f"{name} is {got.dtype}, not {run.dtype}"
        worst = float(np.max(true.units(name, got, run.dtype), initial=0))
        allowed = true.allowed(name, worst)
        assert worst <= allowed, f"{name} is {worst:.3g} units off, and {allowed:.3g} are allowed"
        if run.dtype == np.float64:
            assert np.all(np.abs(got - want) <= EXACT * np.maximum(1, scale)), f"{name} is off by more than {EXACT}"


def agree(got: Mapping[str, Array], want: Mapping[str, Array], size: float = 1) -> None:
    """Assert that blocks equal others up to the rounding of sums whose terms have this magnitude."""
    assert set(got) == set(want)
    for name, block in want.items():
        assert got[name].shape == block.shape, f"{name} has shape {got[name].shape}, not {block.shape}"
        assert got[name].dtype == block.dtype, f"{name} is {got[name].dtype}, not {block.dtype}"
        allowed = 1e4 * np.finfo(block.dtype).eps * np.max(np.abs(block), initial=size)
        assert np.all(np.abs(got[name] - block) <= allowed), f"{name} is off by more than {allowed:.2g}"


def same_bits(got: Mapping[str, Array], want: Mapping[str, Array]) -> bool:
    """Return whether blocks are equal bit for bit."""
    one, other = ({name: (a.shape, a.dtype, a.tobytes()) for name, a in blocks.items()} for blocks in (got, want))
    return one == other


_truths: dict[tuple[object, ...], truth.Truth] = {}
