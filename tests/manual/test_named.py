"""Arrays by name: taken as users have them, and refused by the name of what is missing, unknown, or does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from manual.named import array_of, fitting, flat

STACKED = {"W": ("H", "4H"), "U": ("D", "4H"), "b": ("4H",), "c": ("4H",)}
TURNED = {"W": ("directions", "4H", "H"), "U": ("directions", "4H", "D")}
JOINED = {"WU": ("D+H", "4H"), "b": ("8H",)}
APART = {"W_f": ("H", "H"), "W_i": ("H", "H"), "U_f": ("D", "H"), "U_i": ("D", "H"), "b": ("2H",)}
JOINED_APART = {"WU": ("D+H", "4H"), "b": ("H",), "c": ("2H",)}
APART_STACKED = {"W_f": ("H", "H"), "U": ("D", "4H")}
LAYOUTS = [STACKED, TURNED, JOINED, APART, JOINED_APART, APART_STACKED]
D, H = 2, 3
SIZES = {"directions": 1, "D": D, "H": H, "D+H": D + H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H}
BIASES = {"b", "c"}


def arrays_of(dims: Mapping[str, tuple[str, ...]], dtype: str = "f8") -> dict[str, Any]:
    return {name: np.ones([SIZES[dim] for dim in each], dtype) for name, each in dims.items()}


@pytest.mark.parametrize("dims", LAYOUTS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_arrays_that_fit_come_back_in_the_order_expected_with_their_sizes(dims: Any, dtype: str) -> None:
    given = arrays_of(dims, dtype)
    found = fitting(dict(reversed(given.items())), dims, BIASES, "")
    assert found[1:] == (D, H)
    assert list(found[0]) == list(dims)
    assert all(found[0][name] is given[name] for name in dims)


@pytest.mark.parametrize("dims", LAYOUTS)
def test_an_array_that_is_longer_in_any_dimension_is_refused_by_name(dims: Any) -> None:
    for name in [*dims][1:]:  # the first one tells H, and the first with a D tells D
        for axis, dim in enumerate(dims[name]):
            if dim != "D" or name == "U_i":
                given = arrays_of(dims)
                given[name] = np.concatenate([given[name], given[name]], axis)
                with pytest.raises(ValueError, match=rf"^{name} has shape .*; expected .*{dim}={SIZES[dim]}"):
                    fitting(given, dims, BIASES, "")


def test_an_input_may_have_no_entries_but_a_unit_is_needed() -> None:
    given = {"WU": np.ones((3, 12)), "b": np.ones(24)}
    assert fitting(given, JOINED, (), "")[1:] == (0, 3)
    given = {"W": np.ones((1, 4)), "U": np.ones((0, 4))}
    assert fitting(given, STACKED, BIASES, "")[1:] == (0, 1)


@pytest.mark.parametrize("given", [{}, {"b": None, "c": None}, {"b": None}])
def test_what_is_optional_may_be_missing_or_none(given: dict[str, Any]) -> None:
    weights = {name: array for name, array in arrays_of(STACKED).items() if name not in BIASES}
    assert fitting(weights | given, STACKED, BIASES, "") == (weights, D, H)


def test_lists_are_arrays() -> None:
    given = {name: array.tolist() for name, array in arrays_of(STACKED).items()}
    found = fitting(given, STACKED, BIASES, "")[0]
    assert {name: array.tolist() for name, array in found.items()} == given


def test_arrays_are_found_in_mappings_of_mappings() -> None:
    deep = {"a": {"b": {"c": 1, "d": 2}, "e": 3}, "f": 4}
    assert list(flat(deep)) == [("a/b/c", 1), ("a/b/d", 2), ("a/e", 3), ("f", 4)]
    given = arrays_of(STACKED)
    found = fitting({"lstm": {"cell": given}}, STACKED, BIASES, "lstm/cell/")
    assert found == (given, D, H)


def test_what_does_not_begin_with_the_prefix_is_left_alone() -> None:
    given = arrays_of(STACKED)
    model = {"out.W": np.ones(7), "W": None} | {f"lstm.{name}": array for name, array in given.items()}
    assert fitting(model, STACKED, BIASES, "lstm.") == (given, D, H)


class Unreadable:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("requires grad")


GOOD = arrays_of(STACKED)
NAMES = "expected m.W, m.U, m.b, m.c"
SOME = "of some D and H > 0"


@pytest.mark.parametrize(
    ("dims", "change", "error", "said"),
    [
        (STACKED, {"U": None}, ValueError, f"m.U missing; {NAMES}"),
        (STACKED, {"W": None, "U": None, "b": None, "c": None}, ValueError, f"m.W, m.U missing; {NAMES}"),
        (STACKED, {"c": None}, ValueError, f"m.c missing; {NAMES}"),
        (STACKED, {"V": 1, "Y": 1}, TypeError, f"m.V is no array of this layout; {NAMES}"),
        (STACKED, {"r.W": 1}, TypeError, f"m.r.W is no array of this layout; {NAMES}; or say prefix='m.r.'"),
        (STACKED, {"s.U": 1, "r.W": 1, "s.W": 1}, TypeError,
         f"m.s.U is no array of this layout; {NAMES}; or say prefix='m.s.'; or say prefix='m.r.'"),
        (STACKED, {"W": np.ones((3, 16))}, ValueError, f"m.W has shape (3, 16); expected (H, 4H) {SOME}"),
        (STACKED, {"W": np.ones((0, 0))}, ValueError, f"m.W has shape (0, 0); expected (H, 4H) {SOME}"),
        (STACKED, {"U": np.ones((2, 16))}, ValueError, "m.U has shape (2, 16); expected (D=2, 4H=12)"),
        (STACKED, {"b": np.ones(12, "f4")}, TypeError,
         "m.b has dtype float32; expected float64, the dtype of the parameters: nothing is converted silently"),
        (STACKED, {"W": np.ones((3, 12), "f2")}, TypeError,
         "m.W has dtype float16; expected float32 or float64: nothing is converted silently"),
        (STACKED, {"W": [[1.0], [1.0, 2.0]]}, ValueError,
         "m.W is not rectangular; expected an array of shape (H, 4H)"),
        (STACKED, {"W": Unreadable()}, TypeError, "m.W cannot be read as an array: requires grad"),
        (TURNED, {"W": np.ones((2, 12, 3))}, ValueError,
         "m.W has shape (2, 12, 3); expected (directions=1, 4H, H)"),
        (JOINED, {"WU": np.ones((2, 12))}, ValueError, f"m.WU has shape (2, 12); expected (D+H, 4H) {SOME}"),
        (JOINED, {"WU": np.ones((5, 14))}, ValueError, f"m.WU has shape (5, 14); expected (D+H, 4H) {SOME}"),
        (JOINED, {"WU": np.ones((5, 0))}, ValueError, f"m.WU has shape (5, 0); expected (D+H, 4H) {SOME}"),
        (APART, {"W_f": np.ones((0, 0))}, ValueError, f"m.W_f has shape (0, 0); expected (H, H) {SOME}"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_by_its_whole_name(
    dims: Any, change: dict[str, Any], error: type[Exception], said: str
) -> None:
    given = {f"m.{name}": array for name, array in (arrays_of(dims) | change).items()}
    with pytest.raises(error) as raised:
        fitting(given, dims, BIASES, "m.")
    assert str(raised.value) == said
    assert type(raised.value) is error


@pytest.mark.parametrize("arrays", [None, [1, 2]])
def test_what_is_no_mapping_is_refused(arrays: Any) -> None:
    with pytest.raises(TypeError) as raised:
        fitting(arrays, STACKED, BIASES, "m.")
    assert str(raised.value) == f"arrays is of type {type(arrays).__name__}; expected a mapping with m.W, m.U, m.b, m.c"


def test_an_array_is_looked_at_as_it_is() -> None:
    array, ragged = np.ma.masked_array([1.0], [True]), [[1], [1, 2]]
    assert array_of("a", array) is array
    assert array_of("a", ragged) is ragged
    np.testing.assert_array_equal(array_of("a", [1.5]), np.array([1.5]), strict=True)
    with pytest.raises(TypeError) as raised:
        array_of("a", Unreadable())
    assert raised.value.__suppress_context__  # the user's own code is not at fault
