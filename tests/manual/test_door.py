"""The doors with kernels of the test's own: what these are handed, when they run again, what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manual import CheckpointedTape, Gradients, Params, States, Tape, door, forward
from manual.unit import Array, empty_tape
from tests.strategies import without_zeros
from tests.twins import params_of

T, B, D, H = 2, 3, 4, 5
BIG = np.finfo(np.float32).max


def params(dtype: str = "float32") -> Params:
    return params_of(without_zeros((T, B, D, H), dtype))


def x_of(value: float = 1, dtype: str = "float32") -> Array:
    return np.full((T, B, D), value, dtype)


def tape_of(dtype: str = "float32") -> Tape:
    return forward(params(dtype), x_of(dtype=dtype))


class Twice:
    """A kernel whose result is twice its first array: it overflows where that is large."""

    def __init__(self, result: Any = lambda array: array) -> None:
        self.result, self.seen = result, list[Any]()

    def __call__(self, *inputs: Any) -> Any:
        self.seen.append(inputs)
        return self.result(2 * inputs[1])

    @property
    def dtypes(self) -> list[str]:
        """The types that it ran in, of all that it was handed."""
        kinds = []
        for first, *arrays in self.seen:
            W = first.W if isinstance(first, Params) else first.params.W
            (kind,) = {array.dtype.name for array in (W, *arrays)}
            kinds.append(kind)
        return kinds


def test_a_forward_kernel_gets_what_was_given_and_zeros_for_what_was_not() -> None:
    p, state, other = params(), np.ones((B, H), "f4"), np.full((B, H), 2, "f4")
    for given in ((None, None), (state, None), (None, other), (state, other)):
        kernel = Twice(lambda array: States(array, array[0], array[0]))
        door.forward(kernel, p, x_of(), *given)
        ((got, x, h0, C0),) = kernel.seen
        assert got is p
        np.testing.assert_array_equal(x, x_of(), strict=True)
        for state_got, state_given in ((h0, given[0]), (C0, given[1])):
            want = np.zeros((B, H), "f4") if state_given is None else state_given
            np.testing.assert_array_equal(state_got, want, strict=True)


def test_a_backward_kernel_gets_what_was_given_and_zeros_for_what_was_not() -> None:
    t, given = (
        tape_of(),
        {"dh": np.ones((T, B, H), "f4"), "dh_T": np.full((B, H), 2, "f4"), "dC_T": np.full((B, H), 3, "f4")},
    )
    for missing in (set(), {"dh"}, {"dh_T"}, {"dC_T"}, set(given)):
        kernel = Twice()
        door.backward(kernel, t, *(None if name in missing else array for name, array in given.items()))
        ((got, *arrays),) = kernel.seen
        assert got is t
        for (name, want), array in zip(given.items(), arrays, strict=True):
            np.testing.assert_array_equal(array, 0 * want if name in missing else want, strict=True)


@pytest.mark.parametrize(
    ("value", "runs"), [(1, ["float32"]), (BIG, ["float32", "float64"]), (np.inf, ["float32"]), (np.nan, ["float32"])]
)
def test_a_kernel_runs_once_more_in_the_wider_type_where_it_alone_left_the_range(value: float, runs: list[str]) -> None:
    kernel = Twice(lambda array: States(array, array[-1], array[-1]))
    found = door.forward(kernel, params(), x_of(value), None, None)
    assert kernel.dtypes == runs
    assert {array.dtype.name for array in vars(found).values()} == {"float32"}
    kernel = Twice()
    door.backward(kernel, tape_of(), np.full((T, B, H), value, "f4"), None, None)
    assert kernel.dtypes == runs


@pytest.mark.parametrize("which", range(3))
def test_any_input_that_is_not_finite_is_taken_as_meant(which: int) -> None:
    given = [np.full((T, B, H), BIG), np.ones((B, H), "f4"), np.ones((B, H), "f4")]
    given[which].flat[0] = np.inf
    kernel = Twice()
    door.backward(kernel, tape_of(), *given)
    assert kernel.dtypes == ["float32"]


def test_both_last_states_tell_of_a_forward_pass() -> None:
    for at in range(2):

        def states(array: Array, at: int = at) -> States:
            last = [np.ones_like(array[0]), np.ones_like(array[0])]
            last[at] = array[0]
            return States(np.ones_like(array), *last)

        kernel = Twice(states)
        door.forward(kernel, params(), x_of(BIG), None, None)
        assert kernel.dtypes == ["float32", "float64"]


def test_nothing_but_the_last_states_is_looked_at_after_a_forward_pass() -> None:
    kernel = Twice(lambda array: States(array, np.ones((B, H), array.dtype), np.ones((B, H), array.dtype)))
    found = door.forward(kernel, params(), x_of(BIG), None, None)
    assert np.isinf(found.h).all()
    assert kernel.dtypes == ["float32"]


def test_a_checkpointed_tape_serves_as_any_other() -> None:
    kernel, tape = Twice(), forward(params(), x_of(), checkpoint=1)
    door.backward(kernel, tape, np.full((T, B, H), BIG), None, None, tapes=(CheckpointedTape,))
    assert kernel.seen[0][0] is tape
    assert kernel.seen[1][0].every == 1
    assert kernel.dtypes == ["float32", "float64"]


def test_finite_numbers_whose_sum_is_not_are_finite() -> None:
    kernel = Twice()
    result = door.backward(kernel, tape_of(), np.full((T, B, H), BIG / 2, "f4"), None, None)
    assert kernel.dtypes == ["float32"]
    np.testing.assert_array_equal(result, BIG)


@pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16384, reason="long double is no wider than float64")
def test_float64_has_a_wider_type_too() -> None:
    kernel = Twice(lambda array: array / 4)
    result = door.backward(kernel, tape_of("float64"), np.full((T, B, H), np.finfo(float).max), None, None)
    assert kernel.dtypes == ["float64", np.dtype(np.longdouble).name]
    np.testing.assert_array_equal(result, np.full((T, B, H), np.finfo(float).max / 2), strict=True)


def test_a_result_of_any_make_is_rounded_back() -> None:
    made: dict[str, Any] = {
        "an array": lambda a: a / 4,
        "a list of dictionaries": lambda a: [{16: a, 3: a / 4}, {16: a / 2}],
        "a tuple": lambda a: (a, a / 4),
        "an object": lambda a: Gradients(
            params(a.dtype) if a.dtype == "f4" else tape_of("float64").params, a, a[0], a[0]
        ),
        "with a whole number": lambda a: CheckpointedTape(tape_of().params, a, a, a, 7),
    }
    for name, make in made.items():
        kernel = Twice(make)
        with np.errstate(over="ignore"):
            result = door.backward(kernel, tape_of(), np.full((T, B, H), BIG), None, None)
            wide = make(2 * np.full((T, B, H), float(BIG)))
        assert kernel.dtypes == ["float32", "float64"]
        same(result, wide, name)


def same(got: Any, want: Any, name: str) -> None:
    """What is wanted, in float32."""
    assert type(got) is type(want), name
    if isinstance(want, np.ndarray):
        with np.errstate(over="ignore"):
            np.testing.assert_array_equal(got, want.astype("f4"), strict=True)
    elif isinstance(want, dict):
        assert list(got) == list(want)
        for key in want:
            same(got[key], want[key], name)
    elif isinstance(want, list | tuple):
        assert len(got) == len(want)
        for one, other in zip(got, want, strict=True):
            same(one, other, name)
    elif isinstance(want, int):
        assert got == want
    else:
        same(vars(got), vars(want), name)


def test_a_tape_keeps_the_parameters_and_the_input_of_the_call() -> None:
    p, x = params(), x_of(BIG)
    states = np.zeros((B, H), "f4")

    def kernel(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
        made = empty_tape(params, x, h0, C0)
        made.slabs[:] = made.tanh_C[:] = made.hs[:] = 2 * x.max()
        return made

    made = door.forward(kernel, p, x, states, states)
    assert made.params is p
    assert made.x is x
    assert made.hs.dtype == np.float32


def test_a_tape_that_is_the_calls_own_is_handed_on_as_it_is() -> None:
    p, x, made = params(), x_of(), list[Tape]()

    def kernel(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
        made.append(forward(params, x))
        return made[0]

    assert door.forward(kernel, p, x, None, None) is made[0]


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "in one piece": lambda a: a,
    "turned": lambda a: a.T,
    "strided": lambda a: np.repeat(a, 2, axis=1)[:, ::2],
    "one number throughout": lambda a: np.broadcast_to(a[..., -1:], (4, 3, 5)),
    "empty": lambda a: a[:, :0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("numbers", [[1, 2], [BIG, BIG], [1, np.inf], [1, -np.inf], [-np.inf, np.inf], [np.nan, 2]])
def test_arrays_are_finite_if_all_their_numbers_are(numbers: list[float], layout: str) -> None:
    array = LAYOUTS[layout](np.array([numbers] * 3, "f4"))
    are = bool(np.isfinite(array).all())
    with np.errstate(over="ignore", invalid="ignore"):
        assert door.finite(array) is are
        assert door.finite((np.ones(2), [array])) is are
        assert door.finite({1: array, 2: 7}) is are


def test_what_leaves_the_range_warns_of_nothing_and_all_else_as_the_user_asked() -> None:
    tape, dh = tape_of(), np.full((T, B, H), BIG)
    with np.errstate(all="raise"):
        door.backward(lambda tape, dh, *_: (dh * dh, dh - dh * dh, dh / BIG / BIG / BIG), tape, dh, None, None)
        with np.errstate(invalid="raise"):
            door.backward(lambda tape, dh, *_: dh * dh - dh * dh, tape, dh.astype("f4"), None, None)
        with pytest.raises(FloatingPointError, match="divide"):
            door.backward(lambda tape, dh, *_: dh / np.zeros_like(dh), tape, dh, None, None)
