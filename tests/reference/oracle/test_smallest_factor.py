"""A gate that is nearly shut may be off by eps: that is rounding, and a wrong early step still is not."""

from __future__ import annotations

import numpy as np
import pytest

from manual import derivation
from reference.certified import rounded
from reference.oracle import tolerance
from reference.oracle.cases import Case, draw_inputs
from reference.oracle.ours import bptt_blocks

DTYPES = [np.dtype(np.float32), np.dtype(np.float64)]


def shut(gates, dtype, upstream=("dh", "dh_T", "dC_T"), T=5):
    """A run with these gates nearly shut, and these upstream gradients alone."""
    inputs = draw_inputs(np.random.default_rng(5), (T, 2, 1, 3), "ordinary", dtype)
    for gate in gates:
        inputs[f"b_{gate}"][:] = -14
    for name in {"dh", "dh_T", "dC_T"} - set(upstream):
        inputs[name][:] = 0
    return Case(0, "saturated", inputs)


def units(case, outputs):
    """The worst error of each block against certified truth."""
    truth = rounded(case.inputs, np.dtype(np.float64))
    scales = tolerance.scales({name: a.astype(float) for name, a in case.inputs.items()}, truth)
    return {
        name: tolerance.units(got - truth[name], scales[name], case.dtype).max(initial=0)
        for name, got in outputs.items()
    }


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("upstream", [("dh", "dh_T", "dC_T"), ("dC_T",), ("dh_T",)], ids="+".join)
@pytest.mark.parametrize("gates", ["f", "o", "fio"])
def test_sigmoid_by_tanh_is_honest(gates, upstream, dtype, monkeypatch):
    case = shut(gates, dtype, upstream)
    monkeypatch.setattr(derivation, "sigmoid", lambda z: (1 + np.tanh(z / 2)) / 2)
    found = units(case, bptt_blocks(case))
    worst = max(found, key=found.get)
    assert found[worst] <= tolerance.LEAST, worst


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_wrong_early_step_shows_after_the_gradient_has_vanished(dtype):
    case = shut("", dtype, ("dC_T",), T=40)
    outputs = bptt_blocks(case)
    size = np.abs(outputs["dx"]).max(axis=(1, 2))
    assert size[0] < 1e-7 * size[-1]
    outputs["dx"][0] *= 1.5
    assert units(case, outputs)["dx"] > tolerance.LEAST


def test_what_is_rounded_alike_at_every_step_may_lose_units_at_every_step():
    assert tolerance.tolerance(loss=0, steps=10) == tolerance.LEAST
    assert tolerance.tolerance(loss=0, steps=1000) == tolerance.PER_STEP * 1000
    assert tolerance.tolerance(loss=1000, steps=1000) == tolerance.MARGIN * 1000
