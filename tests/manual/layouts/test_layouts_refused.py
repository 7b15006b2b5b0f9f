"""Arrays that do not fit a layout, and layouts that no LSTM can have, are refused by name."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from manual.layouts import LAYOUTS, Layout, pack, unpack
from tests.strategies import without_zeros
from tests.twins import params_of

TORCH = LAYOUTS["torch"]
PARAMS = params_of(without_zeros((1, 1, 2, 3)))
SIZES = {"1": 1, "D": 2, "H": 3, "D+H": 5, "2H": 6, "4H": 12, "8H": 24}
LIMITS = "with H ≥ 1"
JOINED_LIMITS = "with D ≥ 0 and H ≥ 1"

STACKED = Layout("figo", U="U", W="W", b="b", second_b="c")
TURNED = Layout("iofg", U="U", W="W", transposed="UW", direction=True)
JOINED = Layout("figo", U="WU", W="WU", b="b", second_b="b")
APART = Layout("figo", U=("Uf", "Ui", "Ug", "Uo"), W=("Wf", "Wi", "Wg", "Wo"), b=("bf", "bi", "bg", "bo"))
NAMES = "expected m.W, m.U, m.b, m.c"


class Unreadable:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("requires grad")


@pytest.mark.parametrize(
    ("layout", "change", "error", "message"),
    [
        (STACKED, {"U": None}, ValueError, f"m.U is missing; {NAMES}"),
        (STACKED, dict.fromkeys("WUbc"), ValueError, f"m.W, m.U are missing; {NAMES}"),
        (STACKED, {"c": None}, ValueError, f"m.c is missing; {NAMES}"),
        (STACKED, {"V": 1, "Y": 1}, TypeError, f"m.V does not belong to this layout; {NAMES}"),
        (STACKED, {"s.U": 1, "r.W": 1, "s.W": 1}, TypeError,
         f"m.s.U does not belong to this layout; {NAMES}; did you mean prefix='m.s.' or 'm.r.'?"),
        (STACKED, {"W": np.ones((3, 16))}, ValueError, f"m.W has shape (3, 16); expected (H, 4H) {LIMITS}"),
        (STACKED, {"W": np.ones((0, 0))}, ValueError, f"m.W has shape (0, 0); expected (H, 4H) {LIMITS}"),
        (STACKED, {"b": np.ones(12, "f4")}, TypeError,
         "m.b has dtype float32; expected float64, the dtype of the parameters "
         "(arrays are never converted implicitly)"),
        (STACKED, {"W": np.ma.masked_array(np.ones((3, 12)))}, TypeError,
         "m.W is a masked array; expected an array without a mask, such as m.W.filled(value)"),
        (STACKED, {"W": [[1.0], [1.0, 2.0]]}, ValueError,
         "m.W is not a rectangular array; expected an array of shape (H, 4H)"),
        (STACKED, {"W": Unreadable()}, TypeError, "m.W cannot be read as an array: requires grad"),
        (TURNED, {"W": np.ones((2, 12, 3))}, ValueError,
         "m.W has shape (2, 12, 3); expected (1, 4H, H)"),
        (JOINED, {"WU": np.ones((2, 12))}, ValueError, f"m.WU has shape (2, 12); expected (D+H, 4H) {JOINED_LIMITS}"),
        (JOINED, {"WU": np.ones((5, 14))}, ValueError, f"m.WU has shape (5, 14); expected (D+H, 4H) {JOINED_LIMITS}"),
        (JOINED, {"WU": np.ones((5, 0))}, ValueError, f"m.WU has shape (5, 0); expected (D+H, 4H) {JOINED_LIMITS}"),
        (APART, {"Wf": np.ones((0, 0))}, ValueError, f"m.Wf has shape (0, 0); expected (H, H) {LIMITS}"),
    ],
)  # fmt: skip
def test_an_array_that_does_not_fit_is_refused_by_its_whole_name(
    layout: Layout, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    good = {name: np.ones([SIZES[dim] for dim in dims]) for name, dims in layout.dims.items()}
    unpack({f"m.{name}": array for name, array in good.items()}, layout, prefix="m.")
    with pytest.raises(error) as raised:
        unpack({f"m.{name}": array for name, array in (good | change).items()}, layout, prefix="m.")
    assert str(raised.value) == message
    assert type(raised.value) is error
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize("layout", [*LAYOUTS.values(), STACKED, TURNED, JOINED, APART])
def test_an_array_with_a_wrong_size_along_any_axis_is_refused_by_name(layout: Layout) -> None:
    packed, determines_D = pack(PARAMS, layout, gradients=True), True
    for name in list(layout.dims)[1:]:  # the first array determines H, and the first one with a D determines D
        for axis, dim in enumerate(layout.dims[name]):
            if dim == "D" and determines_D:
                determines_D = False
                continue
            faulty = packed | {name: np.repeat(packed[name], 2, axis)}
            expected = "1" if dim == "1" else f"{dim}={SIZES[dim]}"
            with pytest.raises(ValueError, match=rf"^{name} has shape .*; expected .*\b{re.escape(expected)}\b"):
                unpack(faulty, layout)


def test_only_mappings_are_unpacked_and_only_params_are_packed() -> None:
    with pytest.raises(TypeError, match=rf"^arrays is of type list; expected a mapping with {NAMES[9:]}$"):
        unpack([1, 2], STACKED, prefix="m.")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"^params is of type dict; expected manual\.Params$"):
        pack(pack(PARAMS, "torch"), "torch")  # type: ignore[arg-type]


@pytest.mark.parametrize("layout", ["pytorch", ["torch"], None])
def test_an_unknown_layout_is_refused_with_a_list_of_the_known_ones(layout: Any) -> None:
    message = f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}, or a Layout"
    for call in (lambda: pack(PARAMS, layout), lambda: unpack(pack(PARAMS, "torch"), layout)):
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            call()


@pytest.mark.parametrize("size", [1e-20, 1, 1e20])
@pytest.mark.parametrize("factor", [0, 1 - 1e-7, 1 + 1e-7, np.nan, np.inf])
def test_gradients_of_two_biases_that_differ_are_refused(size: float, factor: float) -> None:
    for faulty in ("bias_ih_l0", "bias_hh_l0"):
        biases = {name: np.linspace(-1, 0.5, 12) * size for name in ("bias_ih_l0", "bias_hh_l0")}
        biases[faulty][0] *= factor
        message = f"the gradients of bias_ih_l0 and bias_hh_l0 differ by up to {size * abs(1 - factor):.3g}; "
        message += "expected equal gradients, because the biases are added"
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            unpack(pack(PARAMS, "torch", gradients=True) | biases, "torch", gradients=True)


def test_gradients_that_differ_are_listed_with_all_their_arrays() -> None:
    eight = replace(TORCH, b=tuple("pqrs"), second_b=tuple("tuvw"))
    packed = pack(PARAMS, eight, gradients=True)
    with pytest.raises(ValueError, match=r"^the gradients of p, q, r, s and t, u, v, w differ by up to "):
        unpack(packed | {"v": -packed["v"]}, eight, gradients=True)


NAME = "expected one name, or four names in the order of gates"
GATES = "expected the letters f, i, g and o in some order"
TWICE = "is the name of two arrays; expected a different name for every array"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"gates": "ifgg"}, f"gates is 'ifgg'; {GATES}"),
        ({"U": ()}, f"U is (); {NAME}"),
        ({"W": ("a", "b")}, f"W is ('a', 'b'); {NAME}"),
        ({"second_b": tuple("abcde")}, f"second_b is ('a', 'b', 'c', 'd', 'e'); {NAME}"),
        ({"U": tuple("abcd"), "W": tuple("efgd")}, f"'d' {TWICE}"),
        ({"U": "w", "W": "w", "b": "w"}, f"'w' {TWICE}"),
        ({"transposed": "V"}, "transposed is 'V'; expected '' or 'U' or 'W' or 'UW'"),
        (
            {"U": "w", "W": "w", "transposed": "U"},
            "transposed is 'U'; expected '' or 'UW', since U and W are one matrix",
        ),
        *(
            (
                {kind: tuple("ifgo"), "interleaved": True},
                f"interleaved is True, but {kind} is one array per gate; expected one for all gates",
            )
            for kind in ("U", "W", "b", "second_b")
        ),
    ],
)
def test_an_impossible_layout_is_refused(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(TORCH, **changed)
