"""Mistakes that nobody has catalogued are caught, located and given no name."""

from __future__ import annotations

import numpy as np
import pytest

from reference.oracle.bugs import Unit
from reference.oracle.bugs.cell import Blocks, Edges, Step
from reference.oracle.diagnosis import diagnose, locate
from reference.run import Array
from tests.reference.oracle.known import Known, evidence_of, known_runs
from tests.reference.oracle.test_diagnosis import caught


@pytest.fixture(scope="module")
def known() -> Known:
    return known_runs()


class ForgetSquared(Unit):
    def cell(self, s: Step) -> Array:
        return s.C_prev * s.f**2 + s.i * s.g


class SigmoidOff(Unit):
    def sigmoid(self, z: Array) -> Array:
        return super().sigmoid(z + 1e-11)


class OutputOffAtStep2(Unit):
    def hidden(self, s: Step) -> Array:
        return super().hidden(s) * (1.01 if s.t == 2 else 1)


class LastInputRowLost(Unit):
    def input(self, t: int) -> Array:
        return super().input(t) * (np.arange(len(super().input(t))) < 1)[:, None]


class Delta15Shrunk(Unit):
    def edges_13_to_16(self, s: Step, δ: Edges) -> None:
        super().edges_13_to_16(s, δ)
        δ[15] = 0.9 * δ[15]


class HiddenCarryHalved(Unit):
    def leaving(self, s: Step, δ: Edges) -> tuple[Array, Array]:
        δ2, δ4 = super().leaving(s, δ)
        return 0.5 * δ2, δ4


class GateGWeightsOff(Unit):
    def updates(self, s: Step, δ: Edges) -> Blocks:
        found = super().updates(s, δ)
        return found | {name: 1.1 * found[name] for name in ("W_g", "U_g", "b_g")}


class WeightsFade(Unit):
    def updates(self, s: Step, δ: Edges) -> Blocks:
        return {name: 0.7**s.t * array for name, array in super().updates(s, δ).items()}


class Dh0Shifted(Unit):
    def returned(self, d: Blocks) -> Blocks:
        return super().returned(d) | {"dh0": d["dh0"] + 1e-3}


class DxNoisy(Unit):
    def returned(self, d: Blocks) -> Blocks:
        noise = np.random.default_rng(0).normal(size=d["dx"].shape)
        return super().returned(d) | {"dx": d["dx"] + 1e-3 * noise}


class FinalCOff(Unit):
    def shown(self, states: Blocks) -> Blocks:
        return super().shown(states) | {"C_T": 1.001 * states["C_T"]}


UNKNOWN = [
    (ForgetSquared, ("forward: first wrong at step 0", "C is wrong", "no step is right")),
    (SigmoidOff, ("forward: first wrong at step 0", "it begins with an error of ", "e-12 alone")),
    (OutputOffAtStep2, ("forward: first wrong at step 2 of 3", "h is wrong and C is right")),
    (LastInputRowLost, ("forward: first wrong at step 0", "in row 1 of the batch")),
    (Delta15Shrunk, ("the error of dx is one of gate i alone", "the earliest is δ10; δ15")),
    (HiddenCarryHalved, ("right from the last step back to step 2", "what is carried on as δ2")),
    (
        GateGWeightsOff,
        ("wrong are dW_g, dU_g, db_g; dx is right", "the earliest is δ14 as the weights of gate g use it"),
    ),
    (WeightsFade, ("dx is right at every step", "the sums that make all weights' gradients")),
    (Dh0Shifted, ("wrong is dh0; dx is right", "the earliest is dh0 as it is returned")),
    (DxNoisy, ("wrong is dx", "δ26")),
    (FinalCOff, ("forward: C_T is wrong, every C is right",)),
]


@pytest.mark.parametrize(("unit", "said"), UNKNOWN, ids=lambda value: getattr(value, "__name__", ""))
def test_an_unknown_mistake_is_caught_and_located_and_gets_no_name(
    unit: type[Unit], said: tuple[str, ...], known: Known
) -> None:
    evidence = evidence_of(unit, known[:1])
    assert caught(evidence)
    assert diagnose(evidence) == []
    for words in said:
        assert words in locate(evidence)


def test_a_search_that_takes_too_long_is_given_up() -> None:
    case = known_runs(sizes=[(5, 4, 4, 6)])
    assert diagnose(evidence_of(ForgetSquared, case), seconds=0.05) == []
