"""In which type a kernel runs: in its own, or in the wider one where it might leave the range."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from manual import CheckpointedTape, Params, States, bptt, door, forward, fused
from manual.unit import Array, unchecked
from tests.manual.test_door import BIG, B, D, H, T, Twice, params, tape_of, x_of


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
