"""What a run is: its names, their order and sizes, and all that is said of one that is none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.run import GRADIENTS, INPUTS, OUTPUTS, REQUIRED, WEIGHTS, Array, complete, sizes_of, with_weights

NAMES = "W_f W_i W_g W_o U_f U_i U_g U_o b_f b_i b_g b_o x h0 C0 dh dh_T dC_T"
SIZE = {"T": 2, "B": 3, "D": 4, "H": 5}
RUN = {
    name: 1 + np.arange(float(np.prod(shape))).reshape(shape)
    for name, shape in ((name, [SIZE[dim] for dim in dims]) for name, dims in INPUTS.items())
}
EXPECTED = f"expected {NAMES.replace(' ', ', ')}"


def test_the_names_are_those_of_the_contract() -> None:
    assert " ".join(INPUTS) == NAMES
    assert " ".join(WEIGHTS) == NAMES[: NAMES.index(" x")]
    gradients = [f"d{name}" for name in WEIGHTS] + ["dx", "dh0", "dC0"]
    assert list(GRADIENTS) == gradients
    assert list(OUTPUTS) == ["h", "C", "C_T", *gradients]
    assert " ".join(REQUIRED) == f"{NAMES[: NAMES.index(' b_f')]} x"


def test_the_dimensions_are_those_of_the_contract() -> None:
    for name in WEIGHTS:
        assert WEIGHTS[name] == INPUTS[name] == GRADIENTS[f"d{name}"] == {"W": "HH", "U": "DH", "b": "H"}[name[0]]
    states = dict.fromkeys(("h0", "C0", "dh_T", "dC_T"), "BH")
    assert {name: INPUTS[name] for name in [*INPUTS][12:]} == {"x": "TBD", "dh": "TBH"} | states
    assert [OUTPUTS[name] for name in ("h", "C", "C_T")] == ["TBH", "TBH", "BH"]
    assert [GRADIENTS[name] for name in ("dx", "dh0", "dC0")] == ["TBD", "BH", "BH"]


def test_the_sizes_of_a_run() -> None:
    assert sizes_of(RUN) == SIZE


def test_a_complete_run_stays_as_it_is() -> None:
    found = complete(dict(reversed(RUN.items())))
    assert list(found) == list(INPUTS)
    assert all(found[name] is RUN[name] for name in RUN)


@pytest.mark.parametrize("missing", [name for name in INPUTS if name not in REQUIRED])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_may_be_missing_is_zero_in_its_size_and_precision(missing: str, dtype: str) -> None:
    given = {name: array.astype(dtype) for name, array in RUN.items() if name != missing}
    for run in (given, given | {missing: None}):
        found = complete(run)
        np.testing.assert_array_equal(found[missing], np.zeros(RUN[missing].shape, dtype), strict=True)
        assert all(found[name] is given[name] for name in given)


def test_lists_are_arrays() -> None:
    found = complete(RUN | {"h0": RUN["h0"].tolist()})
    np.testing.assert_array_equal(found["h0"], RUN["h0"], strict=True)


def test_weights_and_the_rest_make_a_run() -> None:
    weights = {name: RUN[name] for name in WEIGHTS}
    found = with_weights(weights, **{name: RUN[name] for name in INPUTS if name not in WEIGHTS})
    assert all(found[name] is RUN[name] for name in INPUTS)
    assert not with_weights(weights, x=RUN["x"], h0=None)["h0"].any()


def less(name: str, axis: int) -> Array:
    return np.take(RUN[name], [0], axis)


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"y": RUN["x"], "z": RUN["x"]}, TypeError, f"y is not an input of a run; {EXPECTED}"),
    ({"U_g": None, "x": None}, ValueError, f"U_g, x missing; a run needs {', '.join(REQUIRED)}"),
    ({"x": RUN["x"].astype(int)}, TypeError, "x has dtype int64; expected float32 or float64"),
    ({"b_i": RUN["b_i"].astype("f4")}, TypeError, "b_i has dtype float32; expected float64, that of x"),
    ({"W_i": less("W_i", 1)}, ValueError, "W_i has shape (5, 1); expected (H=5, H=5)"),
    ({"W_f": less("W_f", 0)}, ValueError, "W_f has shape (1, 5); expected (H, H)"),
    ({"U_f": RUN["U_f"][0]}, ValueError, "U_f has shape (5,); expected (D, H=5)"),
    ({"b_o": RUN["b_o"][:, None]}, ValueError, "b_o has shape (5, 1); expected (H=5)"),
    ({"x": less("x", 2)}, ValueError, "x has shape (2, 3, 1); expected (T, B, D=4)"),
    ({"h0": less("h0", 0)}, ValueError, "h0 has shape (1, 5); expected (B=3, H=5)"),
    ({"dh": less("dh", 0)}, ValueError, "dh has shape (1, 3, 5); expected (T=2, B=3, H=5)"),
    ({"dC_T": RUN["dC_T"][None]}, ValueError, "dC_T has shape (1, 3, 5); expected (B=3, H=5)"),
]


@pytest.mark.parametrize(("change", "error", "said"), BAD)
def test_what_is_no_run_is_refused(change: dict[str, Any], error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        complete(RUN | change)
    assert str(raised.value) == said


def test_a_wider_precision_than_that_of_x_is_refused() -> None:
    single = {name: array.astype("f4") for name, array in RUN.items()}
    with pytest.raises(TypeError, match=r"^b_i has dtype float64; expected float32, that of x$"):
        complete(single | {"b_i": RUN["b_i"]})


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (None, "params is of type NoneType; expected a mapping with the arrays W_f … b_o"),
        ([1.0], "params is of type list; expected a mapping with the arrays W_f … b_o"),
        ({"W_z": 0, "W_c": 0, **RUN}, f"params has C0; expected {', '.join(WEIGHTS)} alone"),
        ({"W_z": 0, "W_c": 0}, f"params has W_c; expected {', '.join(WEIGHTS)} alone"),
    ],
)
def test_what_are_no_weights_are_refused(params: Any, said: str) -> None:
    with pytest.raises(TypeError) as raised:
        with_weights(params, x=RUN["x"])
    assert str(raised.value) == said
