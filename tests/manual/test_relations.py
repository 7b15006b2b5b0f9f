"""Relations between runs that hold for every correct LSTM, tested on both twins."""

from __future__ import annotations

from dataclasses import replace
from types import ModuleType

import numpy as np
from hypothesis import assume, example, given
from hypothesis import strategies as st

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import GRADIENTS, INPUTS, WEIGHTS, Array
from lstm_oracle.verify.twins import gradients as named
from manual import Params, bptt
from tests.strategies import drawn, runs
from tests.twins import TWINS, agree, backward, forward, params_of, same_bits, upstream_of

STATES = {"h": "TBH", "C": "TBH", "h_T": "BH", "C_T": "BH"}
seeds = st.integers(0, 999)


def changed(run: Case, **inputs: Array) -> Case:
    return replace(run, inputs=run.inputs | inputs)


def states(twin: ModuleType, run: Case) -> dict[str, Array]:
    tape = forward(twin, run)
    return {name: getattr(tape, name) for name in STATES}


def size(run: Case) -> float:
    """Return the magnitude of the upstream gradients, to which all gradients are proportional."""
    return max(float(np.max(np.abs(arriving), initial=0)) for arriving in upstream_of(run).values())


@TWINS
@given(run=runs(), cut=st.integers(0, 70))
def test_a_split_sequence_equals_the_whole(twin: ModuleType, run: Case, cut: int) -> None:
    x, dh = run.inputs["x"], run.inputs["dh"]
    params, whole = params_of(run), forward(twin, run)
    one = twin.forward(params, x[:cut], run.inputs["h0"], run.inputs["C0"])
    two = twin.forward(params, x[cut:], one.h_T, one.C_T)
    agree({"h": np.concatenate([one.h, two.h]), "C_T": two.C_T}, {"h": whole.h, "C_T": whole.C_T})

    late = twin.backward(two, dh[cut:], dh_T=run.inputs["dh_T"], dC_T=run.inputs["dC_T"])
    early = twin.backward(one, dh[:cut], dh_T=late.h0, dC_T=late.C0)
    joined = {name: block + named(late)[name] for name, block in named(early).items() if name[1:] in WEIGHTS}
    joined |= {"dx": np.concatenate([early.x, late.x]), "dh0": early.h0, "dC0": early.C0}
    agree(joined, backward(twin, run), size(run))


@TWINS
@given(run=runs())
def test_the_rows_of_a_batch_are_independent_and_their_gradients_add_up(twin: ModuleType, run: Case) -> None:
    def row(b: int, blocks: dict[str, Array], dims: dict[str, str]) -> dict[str, Array]:
        return {n: np.take(a, [b], dims[n].index("B")) if "B" in dims[n] else a for n, a in blocks.items()}

    values, gradients = states(twin, run), backward(twin, run)
    total = {name: np.zeros_like(block) for name, block in gradients.items() if name[1:] in WEIGHTS}
    for b in range(run.sizes[1]):
        single = changed(run, **row(b, run.inputs, INPUTS))
        agree(states(twin, single), row(b, values, STATES))
        of_row = backward(twin, single)
        total = {name: block + of_row[name] for name, block in total.items()}
        agree(of_row, row(b, gradients, GRADIENTS) | {name: of_row[name] for name in total}, size(run))
    agree(total, {name: gradients[name] for name in total}, size(run))


@TWINS
@given(run=runs(), seed=seeds)
def test_permuted_units_have_permuted_gradients(twin: ModuleType, run: Case, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(run.sizes[3])

    def permuted(blocks: dict[str, Array], dims: dict[str, str]) -> dict[str, Array]:
        for axis in range(3):
            along = {name for name in blocks if dims[name][axis : axis + 1] == "H"}
            blocks = {n: np.take(a, order, axis) if n in along else a for n, a in blocks.items()}
        return blocks

    other = changed(run, **permuted(run.inputs, INPUTS))
    agree(states(twin, other), permuted(states(twin, run), STATES))
    agree(backward(twin, other), permuted(backward(twin, run), GRADIENTS), size(run))


@TWINS
@given(run=runs(), seed=seeds)
def test_gradients_are_linear_in_the_upstream_gradients(twin: ModuleType, run: Case, seed: int) -> None:
    u = upstream_of(run)
    v = upstream_of(drawn(run.sizes, run.regime, str(run.dtype), seed))
    of_u, of_v = (backward(twin, changed(run, **upstream)) for upstream in (u, v))
    mixed = changed(run, **{name: u[name] - 1000 * v[name] for name in u})
    agree(backward(twin, mixed), {name: of_u[name] - 1000 * of_v[name] for name in of_u}, size(mixed))


@TWINS
@given(run=runs())
def test_if_all_upstream_gradients_are_zero_so_is_every_gradient(twin: ModuleType, run: Case) -> None:
    zeros = {name: np.zeros_like(arriving) for name, arriving in upstream_of(run).items()}
    assert not any(block.any() for block in backward(twin, changed(run, **zeros)).values())


@TWINS
@given(run=runs(), missing=st.sets(st.sampled_from(["h0", "C0", "dh", "dh_T", "dC_T", "b"])))
@example(drawn((3, 2, 3, 4), "ordinary", "float64", 0), {"h0", "C0", "dh_T", "dC_T", "b"})
def test_missing_arguments_count_as_zero(twin: ModuleType, run: Case, missing: set[str]) -> None:
    assume(not missing >= {"dh", "dh_T", "dC_T"})
    inputs = {name: 0 * array if name in missing or name[0] in missing else array for name, array in run.inputs.items()}
    want = changed(run, **inputs)
    params = Params.from_gates(**{n: None if n[0] in missing else run.inputs[n] for n in WEIGHTS})
    given = {name: None if name in missing else run.inputs[name] for name in ("h0", "C0", "dh", "dh_T", "dC_T")}
    tape = twin.forward(params, run.inputs["x"], given.pop("h0"), given.pop("C0"))
    agree({name: getattr(tape, name) for name in STATES}, states(twin, want))
    agree(named(twin.backward(tape, **given)), backward(twin, want), size(run))


@TWINS
@given(run=runs(sizes=st.sampled_from([(0, 2, 3, 4), (0, 0, 0, 1)])))
def test_without_steps_the_states_and_their_gradients_pass_through(twin: ModuleType, run: Case) -> None:
    tape, gradients = forward(twin, run), backward(twin, run)
    assert same_bits({"h": tape.h_T, "C": tape.C_T}, {"h": run.inputs["h0"], "C": run.inputs["C0"]})
    passed = {"dh0": gradients.pop("dh0"), "dC0": gradients.pop("dC0")}
    assert same_bits(passed, {"dh0": run.inputs["dh_T"], "dC0": run.inputs["dC_T"]})
    assert not any(block.any() for block in gradients.values())
    assert bptt.deltas(tape, run.inputs["dh"]) == []


@TWINS
@given(run=runs(sizes=st.sampled_from([(3, 0, 2, 4), (1, 0, 0, 1)])))
def test_without_rows_the_weight_gradients_are_zero(twin: ModuleType, run: Case) -> None:
    gradients = backward(twin, run)
    for name in WEIGHTS:
        np.testing.assert_array_equal(gradients[f"d{name}"], np.zeros_like(run.inputs[name]), strict=True)


@TWINS
@given(run=runs(sizes=st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(0, 2), st.integers(1, 7))))
def test_an_input_that_is_always_zero_changes_nothing(twin: ModuleType, run: Case) -> None:
    def with_one_more(blocks: dict[str, Array], dims: dict[str, str]) -> dict[str, Array]:
        return {n: np.pad(a, [(0, int(dim == "D")) for dim in dims[n]]) for n, a in blocks.items()}

    more = changed(run, **with_one_more(run.inputs, INPUTS))
    agree(states(twin, more), states(twin, run))
    agree(backward(twin, more), with_one_more(backward(twin, run), GRADIENTS), size(run))
