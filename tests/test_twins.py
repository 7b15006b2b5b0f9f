"""Both hand-written twins against autodiff: every value, every gradient, every edge of every step."""

from __future__ import annotations

from types import ModuleType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import manual
from lstm_oracle.inputs.cases import Case
from lstm_oracle.truth.batch import VALUES
from lstm_oracle.verify import twins
from lstm_oracle.verify.twins import gradients as named
from manual import bptt, derivation, fused
from tests.strategies import runs
from tests.twins import TWINS, backward, forward, judge, upstream_of

EDGES = range(1, 27)
RUNS = runs() | runs(sizes=st.tuples(st.integers(0, 18), st.just(1), st.integers(0, 4), st.integers(1, 9)))


@TWINS
@given(run=RUNS)
def test_every_forward_value_is_that_of_the_equations(twin: ModuleType, run: Case) -> None:
    tape = forward(twin, run)
    judge(run, {name: getattr(tape, name) for name in VALUES})
    for state, start in {"h": run.inputs["h0"], "C": run.inputs["C0"]}.items():
        np.testing.assert_array_equal(getattr(tape, f"{state}_T"), [start, *getattr(tape, state)][-1], strict=True)


@TWINS
@given(run=RUNS)
def test_every_gradient_is_that_of_autodiff(twin: ModuleType, run: Case) -> None:
    judge(run, backward(twin, run))


@TWINS
@given(run=RUNS)
def test_every_delta_is_the_gradient_of_its_edge(twin: ModuleType, run: Case) -> None:
    deltas = manual.deltas(forward(twin, run), **upstream_of(run))
    assert len(deltas) == len(run.inputs["x"])
    assert all(set(δ) == set(EDGES) for δ in deltas)
    if deltas:
        judge(run, {f"δ{n}": np.stack([δ[n] for δ in deltas]) for n in EDGES})


@given(run=RUNS)
def test_the_edges_that_the_fast_twin_computes_are_those_of_autodiff(run: Case) -> None:
    judge(run, {name: block for name, block in twins.fused_blocks(run).items() if name[0] == "δ"})


@given(run=RUNS)
def test_the_literal_twin_computes_each_step_as_the_derivation_does(run: Case) -> None:
    tape = forward(bptt, run)
    hs, Cs = [run.inputs["h0"], *tape.h], [run.inputs["C0"], *tape.C]
    for t, x in enumerate(run.inputs["x"]):
        step = derivation.step(tape.params, x, hs[t], Cs[t])
        for name in ("f", "i", "g", "o", "C", "tanh_C", "h"):
            np.testing.assert_array_equal(getattr(tape, name)[t], getattr(step, name), name, strict=True)


@TWINS
@given(run=RUNS)
def test_either_twin_accepts_the_tape_of_the_other(twin: ModuleType, run: Case) -> None:
    other = fused if twin is bptt else bptt
    judge(run, named(twin.backward(forward(other, run), **upstream_of(run))))
