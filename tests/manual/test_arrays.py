"""What the twins do with the arrays they are handed, and with those they hand back."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from types import ModuleType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import manual
from manual import Gradients, Params, Tape
from manual.derivation import Edges
from reference.oracle.cases import REGIMES, Case
from reference.run import GATES, Array
from tests.strategies import DTYPES, drawn, runs
from tests.twins import TWINS, agree, named, same_bits

ARRAYS = ("W", "U", "b", "x", "h0", "C0", "dh", "dh_T", "dC_T")


def stacked(run: Case) -> dict[str, Array]:
    """A run's inputs as `Params`, `forward` and `backward` take them."""
    weights = {kind: np.concatenate([run.inputs[f"{kind}_{gate}"] for gate in GATES], axis=-1) for kind in "WUb"}
    return weights | {name: run.inputs[name].copy() for name in ARRAYS[3:]}


def passes(twin: ModuleType, inputs: dict[str, Array]) -> tuple[Tape, Gradients, list[Edges]]:
    """The way there and back, and all edges."""
    W, U, b, x, h0, C0, *upstream = (inputs[name] for name in ARRAYS)
    arriving = dict(zip(ARRAYS[6:], upstream, strict=True))
    tape = twin.forward(Params(W, U, b), x, h0, C0)
    return tape, twin.backward(tape, **arriving), manual.deltas(tape, **arriving)


def values_of(tape: Tape) -> dict[str, Array]:
    """The arrays that a tape has made: all but `x` and those of `params`, which are the call's."""
    return {name: array for name, array in vars(tape).items() if name not in ("params", "x")}


def results(twin: ModuleType, inputs: dict[str, Array]) -> dict[str, Array]:
    """Everything that is made."""
    tape, gradients, deltas = passes(twin, inputs)
    edges = {f"δ{n}[{t}]": edge for t, δ in enumerate(deltas) for n, edge in δ.items()}
    return values_of(tape) | named(gradients) | edges


def in_the_middle(array: Array) -> Array:
    """A part of a larger array whose other numbers are not numbers."""
    larger = np.pad(array, 1, constant_values=np.nan)
    return larger[(slice(1, -1),) * array.ndim]


def off_its_place(array: Array) -> Array:
    """In memory at an address that does not suit its dtype."""
    view = np.ndarray(array.shape, array.dtype, bytearray(array.nbytes + 1), offset=1)
    view[...] = array
    return view


def read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran-ordered": lambda a: a.copy("F"),
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[::-1].copy()[::-1],
    "part of a larger": in_the_middle,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": off_its_place,
    "read-only": read_only,
    "the same number throughout": lambda a: np.broadcast_to(np.array(0.5, a.dtype), a.shape),
}


@TWINS
@given(run=runs(), layouts=st.fixed_dictionaries(dict.fromkeys(ARRAYS, st.sampled_from(sorted(LAYOUTS)))))
def test_the_layout_in_memory_does_not_matter(twin: ModuleType, run: Case, layouts: dict[str, str]) -> None:
    laid_out = {name: LAYOUTS[layouts[name]](array) for name, array in stacked(run).items()}
    plain = {name: np.ascontiguousarray(array, run.dtype) for name, array in laid_out.items()}
    size = max(np.max(np.abs(plain[name]), initial=1) for name in ARRAYS[6:])
    agree(results(twin, laid_out), results(twin, plain), size)


@TWINS
@given(run=runs())
def test_inputs_and_tape_are_left_as_they_are(twin: ModuleType, run: Case) -> None:
    inputs, before = stacked(run), stacked(run)
    tape, _, _ = passes(twin, inputs)
    assert same_bits(inputs, before)
    assert same_bits(values_of(tape), values_of(twin.forward(tape.params, tape.x, inputs["h0"], inputs["C0"])))


@TWINS
@given(run=runs())
def test_no_result_shares_memory_with_an_input_or_another_result(twin: ModuleType, run: Case) -> None:
    inputs = stacked(run)
    tape, gradients, deltas = passes(twin, inputs)
    _, again, _ = passes(twin, inputs)
    single = [*inputs.values(), *values_of(tape).values()]
    for result in (gradients, again):
        single += [*vars(result.params).values(), result.x, result.h0, result.C0]
    assert not [pair for pair in combinations(single, 2) if np.may_share_memory(*pair)]
    edges = [edge for δ in (deltas[:1] + deltas[-1:]) for edge in δ.values()]
    assert not [True for edge in edges for array in single if np.may_share_memory(edge, array)]


@TWINS
@given(run=runs())
def test_the_tape_refers_to_the_parameters_and_the_input_of_its_call(twin: ModuleType, run: Case) -> None:
    inputs = stacked(run)
    params = Params(inputs["W"], inputs["U"], inputs["b"])
    tape = twin.forward(params, inputs["x"])
    assert tape.params is params
    assert tape.x is inputs["x"]
    assert all(getattr(params, name) is inputs[name] for name in "WUb")


@TWINS
@given(run=runs())
def test_a_second_call_gives_the_same_bits(twin: ModuleType, run: Case) -> None:
    inputs = stacked(run)
    settings = np.geterr()
    assert same_bits(results(twin, inputs), results(twin, inputs))
    assert np.geterr() == settings


@TWINS
def test_threads_do_not_disturb_each_other(twin: ModuleType) -> None:
    cases = [stacked(drawn((20, 3, 5, 8), regime, dtype, 0)) for regime in REGIMES for dtype in DTYPES]
    alone = [results(twin, inputs) for inputs in cases]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda inputs: results(twin, inputs), cases * 5))
    assert all(same_bits(one, other) for one, other in zip(together, alone * 5, strict=True))
