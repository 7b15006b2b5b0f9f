"""What no layout takes is refused by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from typing import Any

import numpy as np
import pytest

from manual.layouts import LAYOUTS, pack, unpack
from tests.manual.test_layouts import BIASES, TORCH, arrays_of
from tests.strategies import without_zeros
from tests.twins import params_of, same_bits


class Unreadable:
    def __array__(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("requires grad")


GOOD = {"weight_ih_l0": np.ones((12, 2)), "weight_hh_l0": np.ones((12, 3))}


@pytest.mark.parametrize(
    ("arrays", "layout", "error", "said"),
    [
        (GOOD, "pytorch", ValueError, "layout is 'pytorch'; expected one of source, torch, keras, .*, or a Layout"),
        ([1, 2], "keras", TypeError, "arrays is of type list; expected a mapping with recurrent_kernel, kernel, bias"),
        ({}, "torch", ValueError, "weight_hh_l0, weight_ih_l0 missing; expected weight_hh_l0, "),
        (GOOD | {"bias_ih_l0": np.ones(12)}, "torch", ValueError, "bias_hh_l0 missing; expected "),
        (GOOD | {"weight_ih_l1": 1}, "torch", TypeError, "weight_ih_l1 is no array of this layout; expected weight_hh"),
        (GOOD | {"weight_ih_l0": np.ones((2, 12))}, "torch", ValueError,
         r"weight_ih_l0 has shape \(2, 12\); expected \(4H=12, D\)"),
        (GOOD | {"weight_hh_l0": np.ones((3, 12))}, "torch", ValueError,
         r"weight_hh_l0 has shape \(3, 12\); expected \(4H, H\) of some D and H"),
        (GOOD | {"weight_hh_l0": np.ones(12)}, "torch", ValueError,
         r"weight_hh_l0 has shape \(12,\); expected 2 dimensions, \(4H, H\)"),
        (GOOD | BIASES | {"bias_hh_l0": np.ones(3)}, "torch", ValueError,
         r"bias_hh_l0 has shape \(3,\); expected \(4H=12,\)"),
        (GOOD | {"weight_ih_l0": np.ones((12, 2), np.float32)}, "torch", TypeError,
         "weight_ih_l0 has dtype float32; expected float64"),
        (GOOD | {"weight_hh_l0": np.ones((12, 3), np.float16)}, "torch", TypeError, "has dtype float16; expected f"),
        (GOOD | {"weight_hh_l0": [[1.0], [1.0, 2.0]]}, "torch", ValueError, "weight_hh_l0 is not rectangular"),
        (GOOD | {"weight_hh_l0": Unreadable()}, "torch", TypeError, "weight_hh_l0 cannot be read as an array: req"),
        ({"linear/w": np.ones((2, 12))}, "haiku", ValueError, r"linear/w has shape \(2, 12\); expected \(D\+H, 4H\)"),
        ({"linear/w": np.ones((5, 10))}, "haiku", ValueError, r"linear/w has shape \(5, 10\); expected \(D\+H, 4H\)"),
        ({"W": np.ones((2, 12, 2)), "R": np.ones((2, 12, 3))}, "onnx", ValueError,
         r"R has shape \(2, 12, 3\); expected \(directions=1, 4H, H\)"),
        ({"W": np.ones((1, 12, 2)), "R": np.ones((1, 12, 3)), "B": np.ones((1, 12))}, "onnx", ValueError,
         r"B has shape \(1, 12\); expected \(directions=1, 8H=24\)"),
        ({"upward/W": np.ones((12, 2)), "lateral/W": np.ones((0, 0))}, "chainer", ValueError, r"some D and H > 0"),
    ],
)  # fmt: skip
def test_wrong_arrays_are_refused_by_name(arrays: Any, layout: str, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        unpack(arrays, layout)


def test_what_is_behind_a_prefix_is_refused_by_its_whole_name() -> None:
    with pytest.raises(
        ValueError, match=r"^lstm\.weight_hh_l0 missing; expected lstm\.weight_hh_l0, lstm\.weight_ih_l0"
    ):
        unpack({"lstm.weight_ih_l0": np.ones((12, 2))}, "torch", prefix="lstm.")


def test_a_model_around_the_layer_is_told_the_prefixes_that_would_do() -> None:
    model = {"embed.weight": np.ones((7, 2))} | {
        f"lstm{k}.{name}": array for k in (1, 2) for name, array in GOOD.items()
    }
    with pytest.raises(TypeError, match=r"^embed\.weight is no .*; or say prefix='lstm1\.'; or say prefix='lstm2\.'$"):
        unpack(model, "torch")


def test_biases_of_a_layout_without_any_are_not_dropped() -> None:
    params = params_of(without_zeros((1, 1, 2, 3)))
    bare = replace(TORCH, b=(), second_b=())
    with pytest.raises(
        ValueError, match=r"^params\.b is not what the layout has without a bias; expected a layout with one$"
    ):
        pack(params, bare)
    assert set(pack(params, bare, gradients=True)) == set(GOOD)
    params.b[...] = 0
    assert same_bits(arrays_of(unpack(pack(params, bare), bare)), arrays_of(params))


def test_what_is_not_params_is_not_packed() -> None:
    with pytest.raises(TypeError, match=r"^params is of type dict; expected manual\.Params$"):
        pack(GOOD, "torch")  # type: ignore[arg-type]


@pytest.mark.parametrize("call", [pack, unpack])
def test_what_is_not_a_matter_of_course_is_said_by_name(call: Callable[..., Any]) -> None:
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        call(GOOD, "torch", True)


@pytest.mark.parametrize("layout", ["pytorch", ["torch"], None])
def test_a_layout_that_nobody_knows_is_refused_with_those_that_are_known(layout: Any) -> None:
    said = f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}, or a Layout"
    for call in (lambda: pack(params_of(without_zeros((1, 1, 2, 3))), layout), lambda: unpack(GOOD, layout)):
        with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
            call()


NAME = "expected the name of one array, or four in the order of gates"
GATES = "expected the letters f, i, g and o in some order"
TURNED = "expected 'UW', '', or one of them if they are apart"
NOT_BESIDE = "interleaved is True; expected one array with all gates, where there is one for each"
TWICE = "is named twice; expected another name for every array"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"gates": "ifgg"}, f"gates is 'ifgg'; {GATES}"),
        ({"gates": "ifgz"}, f"gates is 'ifgz'; {GATES}"),
        ({"U": ()}, f"U is (); {NAME}"),
        ({"W": ("a", "b")}, f"W is ('a', 'b'); {NAME}"),
        ({"U": tuple("abc")}, f"U is ('a', 'b', 'c'); {NAME}"),
        ({"U": tuple("abcde")}, f"U is ('a', 'b', 'c', 'd', 'e'); {NAME}"),
        ({"b": ("a", "b")}, f"b is ('a', 'b'); {NAME}"),
        ({"second_b": tuple("abc")}, f"second_b is ('a', 'b', 'c'); {NAME}"),
        ({"b": tuple("abcde")}, f"b is ('a', 'b', 'c', 'd', 'e'); {NAME}"),
        ({"b": "weight_ih_l0"}, f"'weight_ih_l0' {TWICE}"),
        ({"second_b": "weight_hh_l0"}, f"'weight_hh_l0' {TWICE}"),
        ({"U": tuple("fifi")}, f"'f' {TWICE}"),
        ({"U": tuple("abcd"), "W": tuple("efgd")}, f"'d' {TWICE}"),
        ({"U": "w", "W": "w", "b": "w"}, f"'w' {TWICE}"),
        ({"transposed": "V"}, f"transposed is 'V'; {TURNED}"),
        ({"U": "w", "W": "w", "transposed": "U"}, f"transposed is 'U'; {TURNED}"),
        ({"U": "w", "W": "w", "transposed": "W"}, f"transposed is 'W'; {TURNED}"),
        ({"U": tuple("ifgo"), "interleaved": True}, NOT_BESIDE),
        ({"W": tuple("ifgo"), "interleaved": True}, NOT_BESIDE),
        ({"b": tuple("ifgo"), "interleaved": True}, NOT_BESIDE),
        ({"second_b": tuple("ifgo"), "interleaved": True}, NOT_BESIDE),
    ],
)
def test_a_layout_that_cannot_be_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        replace(TORCH, **changed)


def test_a_layout_is_a_value() -> None:
    assert {replace(TORCH), TORCH} == {TORCH}
    with pytest.raises(FrozenInstanceError):
        TORCH.gates = "figo"  # type: ignore[misc]
