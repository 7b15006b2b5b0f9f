"""Both hand-written twins against autodiff: every value, every gradient, every edge of every step."""

from __future__ import annotations

from dataclasses import fields
from types import ModuleType

import numpy as np
from hypothesis import given

import manual
from manual import bptt, derivation, fused
from reference.oracle import ours
from reference.oracle.cases import Case
from reference.oracle.truth import VALUES
from tests.strategies import runs
from tests.twins import TWINS, backward, forward, judge, named, upstream_of

EDGES = range(1, 27)


def test_the_public_pair_is_the_fast_one() -> None:
    assert (manual.forward, manual.backward, manual.deltas) == (fused.forward, fused.backward, bptt.deltas)


@TWINS
@given(run=runs())
def test_every_forward_value_is_that_of_the_equations(twin: ModuleType, run: Case) -> None:
    tape = forward(twin, run)
    judge(run, {name: getattr(tape, name) for name in VALUES})
    for state, start in {"h": run.inputs["h0"], "C": run.inputs["C0"]}.items():
        np.testing.assert_array_equal(getattr(tape, f"{state}_T"), [start, *getattr(tape, state)][-1], strict=True)


@TWINS
@given(run=runs())
def test_every_gradient_is_that_of_autodiff(twin: ModuleType, run: Case) -> None:
    judge(run, backward(twin, run))


@TWINS
@given(run=runs())
def test_every_delta_is_the_gradient_of_its_edge(twin: ModuleType, run: Case) -> None:
    deltas = manual.deltas(forward(twin, run), **upstream_of(run))
    assert len(deltas) == len(run.inputs["x"])
    assert all(set(δ) == set(EDGES) for δ in deltas)
    if deltas:
        judge(run, {f"δ{n}": np.stack([δ[n] for δ in deltas]) for n in EDGES})


@TWINS
@given(run=runs())
def test_the_fused_twin_holds_the_gates_deltas(twin: ModuleType, run: Case) -> None:
    Δ, δ25, δ11 = ours.gate_deltas(forward(twin, run), *upstream_of(run).values())
    edges = dict(zip(("δ16", "δ15", "δ14", "δ13"), np.split(Δ, 4, axis=2), strict=True))
    judge(run, edges | {"dh0": δ25, "dC0": δ11})


@given(run=runs())
def test_the_literal_twin_keeps_every_step_as_the_derivation_has_it(run: Case) -> None:
    tape = forward(bptt, run)
    for t, x in enumerate(tape.x):
        kept, step = bptt.step_of(tape, t), derivation.step(tape.params, x, tape.hs[t], tape.Cs[t])
        for field in fields(step):
            np.testing.assert_array_equal(getattr(kept, field.name), getattr(step, field.name), field.name, strict=True)


@TWINS
@given(run=runs())
def test_either_goes_back_over_the_tape_of_the_other(twin: ModuleType, run: Case) -> None:
    other = fused if twin is bptt else bptt
    judge(run, named(twin.backward(forward(other, run), **upstream_of(run))))
