"""The layouts against the packages: with converted weights, their layers and ours compute the same states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from lstm_oracle import discover
from lstm_oracle.inputs.cases import Case
from manual import Params, forward, infer
from manual.layouts import LAYOUTS, pack, unpack
from tests.manual.layouts.packages import PACKAGES, Package
from tests.strategies import without_zeros
from tests.twins import agree, backward, fused, params_of

SIZES = (4, 2, 3, 5)
STATE = ("x", "h0", "C0")
pytestmark = pytest.mark.filterwarnings("default")  # warnings of the packages are not errors of ours


@cache
def made(name: str) -> Package:
    return PACKAGES[name]()


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> Package:
    try:
        return made(request.param)
    except ImportError as error:
        pytest.skip(f"{request.param}: {error}")


def flat(arrays: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    found = {}
    for name, value in arrays.items():
        found |= flat(value, f"{above}{name}/") if isinstance(value, Mapping) else {above + name: np.asarray(value)}
    return found


def states_by(run: Case, params: Params) -> dict[str, Any]:
    found = forward(params, *(run.inputs[name] for name in STATE))
    return {"h": found.h, "C_T": found.C_T}


def states_of(package: Package, arrays: dict[str, Any], run: Case) -> tuple[dict[str, Any], Any]:
    h, C_T, gradients = package.computes(arrays, run)
    return {"h": np.asarray(h), "C_T": np.asarray(C_T)}, gradients


def test_a_layer_with_our_weights_computes_our_states_and_gradients(package: Package) -> None:
    run = without_zeros(SIZES, package.dtype)
    theirs, gradients = states_of(package, pack(params_of(run), package.layout), run)
    agree(theirs, states_by(run, params_of(run)))
    if gradients is not None:
        found = unpack(gradients, package.layout, gradients=True)
        ours = backward(fused, run)
        agree({f"d{name}": gradient for name, gradient in found.gates().items()}, {k: ours[k] for k in list(ours)[:12]})


def test_from_the_weights_of_a_layer_we_compute_its_states_and_recognise_its_layout(package: Package) -> None:
    run, rng = without_zeros(SIZES, package.dtype), np.random.default_rng(0)
    own = flat(package.own(*SIZES[2:]))
    assert {name: array.dtype for name, array in own.items()} == dict.fromkeys(own, np.float32)
    moved = {name: (a + rng.normal(size=a.shape)).astype(run.dtype) for name, a in own.items()}  # new biases are zero
    params = unpack(moved, package.layout, prefix=package.prefix)
    packed = pack(params, package.layout, prefix=package.prefix)
    assert {name: array.shape for name, array in packed.items()} == {name: array.shape for name, array in own.items()}
    theirs, _ = states_of(package, {name.removeprefix(package.prefix): array for name, array in moved.items()}, run)
    agree(states_by(run, params), theirs)
    state = {name: run.inputs[name] for name in STATE}
    agree({"h": infer(params, **state).h}, {"h": theirs["h"]})
    (found,) = discover(moved | state | theirs).matches
    assert package.layout in found.packages


def test_a_layer_with_two_gates_exchanged_computes_other_states(package: Package) -> None:
    run, layout = without_zeros(SIZES, package.dtype), LAYOUTS[package.layout]
    exchanged = replace(layout, gates=layout.gates.translate(str.maketrans("io", "oi")))
    theirs, _ = states_of(package, pack(params_of(run), exchanged), run)
    with pytest.raises(AssertionError, match="h is off by more than"):
        agree(theirs, states_by(run, params_of(run)))
