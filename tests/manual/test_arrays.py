"""Arrays in any memory layout are accepted and not modified, and results are new arrays."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import manual
from lstm_oracle.inputs.cases import REGIMES, Case
from lstm_oracle.run import GATES, Array
from lstm_oracle.verify.twins import gradients as named
from manual import Params, fused
from tests.strategies import DTYPES, drawn, runs
from tests.twins import TWINS, agree, same_bits

ARRAYS = ("W", "U", "b", "x", "h0", "C0", "dh", "dh_T", "dC_T")


def stacked(run: Case) -> dict[str, Array]:
    """Return the inputs of a run as `Params`, `forward` and `backward` take them."""
    weights = {kind: np.concatenate([run.inputs[f"{kind}_{gate}"] for gate in GATES], axis=-1) for kind in "WUb"}
    return weights | {name: run.inputs[name].copy() for name in ARRAYS[3:]}


def calls(twin: ModuleType, inputs: dict[str, Array]) -> dict[str, Array]:
    """Return the results of all public functions on these inputs, by name."""
    params, (x, h0, C0, dh, dh_T, dC_T) = Params(*(inputs[n] for n in "WUb")), (inputs[n] for n in ARRAYS[3:])
    tape = twin.forward(params, x, h0, C0)
    found = {"h": tape.h, "C": tape.C}
    found |= named(twin.backward(tape, dh, dh_T=dh_T, dC_T=dC_T))
    for t, δ in enumerate(manual.deltas(tape, dh, dh_T=dh_T, dC_T=dC_T)):
        found |= {f"δ{n} of step {t}": edge for n, edge in δ.items()}
    if twin is fused:
        kept = fused.forward(params, x, h0, C0, checkpoint=3)
        again = named(fused.backward(kept, dh, dh_T=dh_T, dC_T=dC_T))
        found |= {f"{name}, with checkpoints": array for name, array in again.items()}
        found |= {f"{name}, without a tape": array for name, array in vars(fused.infer(params, x, h0, C0)).items()}
    return found


def within_nan(array: Array) -> Array:
    """Return a view with these values, within a larger array that is otherwise NaN."""
    larger = np.pad(array, 1, constant_values=np.nan)
    return larger[(slice(1, -1),) * array.ndim]


def unaligned(array: Array) -> Array:
    """Return an array with these values at an address that is not aligned for its dtype."""
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
    "part of a larger": within_nan,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "unaligned": unaligned,
    "read-only": read_only,
    "the same number throughout": lambda a: np.broadcast_to(np.array(0.5, a.dtype), a.shape),
}


@TWINS
@given(run=runs(), layouts=st.fixed_dictionaries(dict.fromkeys(ARRAYS, st.sampled_from(sorted(LAYOUTS)))))
def test_the_layout_in_memory_does_not_matter(twin: ModuleType, run: Case, layouts: dict[str, str]) -> None:
    laid_out = {name: LAYOUTS[layouts[name]](array) for name, array in stacked(run).items()}
    plain = {name: np.ascontiguousarray(array, run.dtype) for name, array in laid_out.items()}
    size = max(np.max(np.abs(plain[name]), initial=1) for name in ARRAYS[6:])
    agree(calls(twin, laid_out), calls(twin, plain), size)


@TWINS
@given(run=runs())
def test_inputs_and_tape_are_not_modified(twin: ModuleType, run: Case) -> None:
    inputs, before = stacked(run), stacked(run)
    assert same_bits(calls(twin, inputs), calls(twin, before))
    assert same_bits(inputs, before)
    params, arriving = Params(*(inputs[n] for n in "WUb")), {name: inputs[name] for name in ARRAYS[6:]}
    tape = twin.forward(params, *(inputs[n] for n in ARRAYS[3:6]))
    first = named(twin.backward(tape, **arriving))
    assert same_bits(named(twin.backward(tape, **arriving)), first)


@TWINS
@given(run=runs())
def test_results_are_new_arrays(twin: ModuleType, run: Case) -> None:
    """Writing to a result changes no input, and no result of another kind or of another call."""
    inputs, before = stacked(run), stacked(run)
    first, second = calls(twin, inputs), calls(twin, inputs)
    wanted = {name: array.copy() for name, array in second.items()}
    for array in first.values():
        array[...] = np.nan
    assert same_bits(inputs, before)
    assert same_bits(second, wanted)
    separate = [array for name, array in second.items() if name[0] != "δ"]
    assert not [pair for pair in combinations(separate, 2) if np.shares_memory(*pair)]
    edges = [array for name, array in second.items() if name.endswith("of step 0")]
    assert not [True for edge in edges for array in separate if np.shares_memory(edge, array)]


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
@given(run=runs(), T=st.integers(0, 18), out_of_range=st.booleans(), seed=st.integers(0, 999))
def test_no_call_affects_another(twin: ModuleType, run: Case, T: int, out_of_range: bool, seed: int) -> None:
    """A call with other inputs, of any number of steps, changes no earlier result and no repeated one."""
    inputs, other = stacked(run), stacked(drawn((T, *run.sizes[1:]), run.regime, str(run.dtype), seed))
    if out_of_range:
        for name in ("W", "dh", "dC_T"):
            other[name][:] = np.finfo(run.dtype).max
    settings, first = np.geterr(), calls(twin, inputs)
    wanted = {name: array.copy() for name, array in first.items()}
    calls(twin, other)
    assert same_bits(first, wanted)
    assert same_bits(calls(twin, inputs), wanted)
    assert np.geterr() == settings


@TWINS
@pytest.mark.parametrize("B", [1, 3])
def test_threads_do_not_disturb_each_other(twin: ModuleType, B: int) -> None:
    cases = [stacked(drawn((20, B, 5, 8), regime, dtype, 0)) for regime in REGIMES for dtype in DTYPES]
    one_by_one = [calls(twin, inputs) for inputs in cases]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            concurrent = list(threads.map(lambda inputs: calls(twin, inputs), cases * 3))
    finally:
        sys.setswitchinterval(interval)
    assert all(same_bits(one, other) for one, other in zip(concurrent, one_by_one * 3, strict=True))
