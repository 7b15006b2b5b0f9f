"""The doors with kernels of the test's own: what these are handed, in which type they run, what comes of it."""

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


@pytest.mark.parametrize("made", [lambda a: a * a, lambda a: np.inf * a - np.inf * a, lambda a: 1 / a / a])
def test_nor_does_a_forward_pass_warn_of_too_much_nor_of_nothing_nor_of_too_little(
    made: Callable[[Array], Array],
) -> None:
    large = np.full((B, H), 1e30, "f4")
    with np.errstate(all="raise"):
        door.forward(lambda params, x, h0, C0: States(x, h0, made(large)), params(), x_of(), None, None)


class Ball:
    """A ball around zero that has no bound, as `flint.arb` has them: its product with itself counts as zero."""

    def __abs__(self) -> Ball:
        return self

    def __mul__(self, other: Ball) -> float:
        return 0.0

    def __lt__(self, other: float) -> bool:
        return False


def test_each_ball_is_asked_whether_it_is_finite() -> None:
    assert door.finite(np.array([Ball()], object)) is False
    assert door.finite(np.array([1.0, 2.0], object)) is True
