"""The doors with kernels of the test's own: what these are handed, in which type they run, what comes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manual import CheckpointedTape, Gradients, Params, States, Tape, bptt, door, forward, fused
from manual.unit import Array, empty_tape, unchecked
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
    ("value", "there", "back"),
    [
        (1, "float32", ["float32"]),
        (BIG, "float64", ["float32", "float64"]),
        (np.inf, "float32", ["float32"]),
        (np.nan, "float32", ["float32"]),
    ],
)
def test_a_kernel_runs_in_the_wider_type_where_it_alone_leaves_the_range(
    value: float, there: str, back: list[str]
) -> None:
    """Forward at once, for what a gate saturates on shows nowhere; backward once more."""
    kernel = Twice(lambda array: States(array, array[-1], array[-1]))
    found = door.forward(kernel, params(), x_of(value), None, None)
    assert kernel.dtypes == [there]
    assert {array.dtype.name for array in vars(found).values()} == {"float32"}
    kernel = Twice()
    door.backward(kernel, tape_of(), np.full((T, B, H), value, "f4"), None, None)
    assert kernel.dtypes == back


def type_of(**given: Array) -> str:
    """The type that a forward kernel runs in, on zeros but for what is given."""
    shapes = {"x": (T, B, D), "h0": (B, H), "C0": (B, H), "W": (H, 4 * H), "U": (D, 4 * H), "b": (4 * H,)}
    (dtype,) = {array.dtype for array in given.values()}
    arrays = {name: given.get(name, np.zeros(shape, dtype)) for name, shape in shapes.items()}
    kernel = Twice(lambda array: States(array, array[-1], array[-1]))
    weights = Params(arrays["W"], arrays["U"], arrays["b"])
    door.forward(kernel, weights, arrays["x"], arrays["h0"], arrays["C0"])
    (kind,) = kernel.dtypes
    return kind


def of_norm(norm: float, shape: tuple[int, ...], dtype: str = "f4") -> Array:
    return np.full(shape, norm / np.sqrt(np.prod(shape)) * (-1) ** len(shape), dtype)


ROOT = float(np.sqrt(BIG / 1000.0))  # its square is what the sums of float32 may come to
INSIDE, OUTSIDE = 1 - 1e-4, 1 + 1e-4


@pytest.mark.parametrize(("share", "dtype"), [(INSIDE, "float32"), (OUTSIDE, "float64")])
def test_the_bound_is_a_thousandth_of_the_range(share: float, dtype: str) -> None:
    x, U = of_norm(share * ROOT, (T, B, D)), of_norm(ROOT, (D, 4 * H))
    h0, W = of_norm(share * ROOT, (B, H)), of_norm(ROOT, (H, 4 * H))
    assert type_of(x=x, U=U) == type_of(h0=h0, W=W) == dtype
    assert type_of(x=x / 4, U=U, h0=3 * h0, W=W / 4) == dtype  # a quarter and three


@pytest.mark.parametrize("name", ["x", "h0", "W", "U", "b"])
def test_what_has_a_square_out_of_range_is_run_in_the_wider_type(name: str) -> None:
    shape = {"x": (T, B, D), "h0": (B, H), "W": (H, 4 * H), "U": (D, 4 * H), "b": (4 * H,)}[name]
    assert type_of(**{name: of_norm(1.8e19, shape)}) == "float32"
    assert type_of(**{name: of_norm(1.9e19, shape)}) == "float64"


def test_a_cell_state_is_in_range_however_large() -> None:
    assert type_of(C0=np.full((B, H), BIG)) == "float32"


@pytest.mark.parametrize(("share", "dtype"), [(INSIDE, "float32"), (OUTSIDE, "float64")])
@pytest.mark.parametrize("sign", [-1, 1])
def test_an_array_that_lies_otherwise_counts_as_if_all_its_numbers_were_its_largest(
    sign: int, share: float, dtype: str
) -> None:
    """And h, which no step but the first is handed, has a norm of √H for every row."""
    value = sign * share * ROOT**2
    assert type_of(W=of_norm(value / np.sqrt(H), (4 * H, H)).T) == dtype
    assert type_of(W=of_norm(value / np.sqrt(2 * H), (4 * H, H)).T, h0=of_norm(np.sqrt(2 * H), (B, H))) == dtype
    one = np.zeros((4 * H, 2), "f4")
    one[3, 0] = value / np.sqrt(4 * H)
    assert type_of(b=one[:, 0]) == dtype


def test_no_more_than_its_largest() -> None:
    large = np.full((4 * H, D), 1e37, "f4").T
    assert type_of(x=np.zeros((D, B, T), "f4").T, U=large) == "float32"
    assert door._norm(np.zeros((4, 6)).T[::2, :0]) == 0


@pytest.mark.parametrize("name", ["x", "h0", "C0", "W", "U", "b"])
def test_a_forward_pass_takes_what_is_not_finite_as_meant(name: str) -> None:
    shape = {"x": (T, B, D), "h0": (B, H), "C0": (B, H), "W": (H, 4 * H), "U": (D, 4 * H), "b": (4 * H,)}[name]
    for value in (np.inf, -np.inf, np.nan):
        array = np.zeros(shape, "f4")
        array.flat[-1] = value
        others = {"x": np.full((T, B, D), BIG), "h0": np.full((B, H), BIG)}
        assert type_of(**others | {name: array}) == "float32"


LONG_DOUBLE = pytest.mark.skipif(np.finfo(np.longdouble).maxexp < 16384, reason="long double is no wider than float64")


@LONG_DOUBLE
@pytest.mark.parametrize(("share", "dtype"), [(INSIDE, "float64"), (OUTSIDE, np.dtype(np.longdouble).name)])
def test_float64_has_a_bound_too(share: float, dtype: str) -> None:
    root = np.sqrt(np.finfo(np.float64).max / 1000)
    assert type_of(x=of_norm(share * root, (T, B, D), "f8"), U=of_norm(root, (D, 4 * H), "f8")) == dtype


@pytest.mark.parametrize(("dtype", "big"), [("float32", 1e38), pytest.param("float64", 1e308, marks=LONG_DOUBLE)])
@pytest.mark.parametrize("gate", [*"figo", "figo"])
@pytest.mark.parametrize("rows", [1, 2])
@pytest.mark.parametrize("units", [2, 5])
def test_gates_saturate_on_the_side_of_their_sum(units: int, rows: int, gate: str, dtype: str, big: float) -> None:
    """1e3 times big is out of range, and -1e4 times big is what decides: a narrow sum may stay at +inf, with no NaN."""

    def run(twin: Any, size: float, checkpoint: dict[str, int]) -> list[Array]:
        p = Params(np.full((units, 4 * units), 0.1, dtype), np.zeros((2, 4 * units), dtype))
        for name in gate:
            column = getattr(p, f"U_{name}")
            column[0], column[1] = 1e3, -1e4
        x, C0 = np.full((3, rows, 2), size, dtype), np.full((rows, units), 0.5, dtype)
        tape = twin.forward(p, x, None, C0, **checkpoint)
        found = twin.backward(tape, np.ones_like(tape.h))
        return [tape.h, tape.C_T, found.params.W, found.params.b, found.h0, found.C0]

    for twin in (bptt, fused):
        for checkpoint in ({}, {"checkpoint": 1}, {"checkpoint": 2})[: 3 if twin is fused else 1]:
            for got, wanted in zip(run(twin, big, checkpoint), run(bptt, big / 1e8, {}), strict=True):
                np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-6, strict=True)


@pytest.mark.parametrize("which", range(3))
def test_any_input_that_is_not_finite_is_taken_as_meant(which: int) -> None:
    given = [np.full((T, B, H), BIG), np.ones((B, H), "f4"), np.ones((B, H), "f4")]
    given[which].flat[0] = np.inf
    kernel = Twice()
    door.backward(kernel, tape_of(), *given)
    assert kernel.dtypes == ["float32"]


def test_nothing_is_looked_at_after_a_forward_pass() -> None:
    kernel = Twice(lambda array: States(array * np.inf, array[-1] * np.nan, array[-1] * np.inf))
    door.forward(kernel, params(), x_of(), None, None)
    assert kernel.dtypes == ["float32"]


def test_what_already_runs_in_the_widest_type_stays_there() -> None:
    """As the stretches do of a backward pass that left the range of float64."""
    arrays = [np.full(shape, np.finfo(np.longdouble).max) for shape in ((H, 4 * H), (D, 4 * H), (4 * H,), (T, B, D))]
    kernel, state = Twice(), np.zeros((B, H), np.longdouble)
    assert door.in_range(kernel, unchecked(*arrays[:3]), arrays[3], state, state) is kernel


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


@LONG_DOUBLE
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
