"""The arrays of a run: names and dimensions, missing arrays, and the errors for arrays that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lstm_oracle.run import GRADIENTS, INPUTS, OUTPUTS, REQUIRED, WEIGHTS, Array, complete, sizes_of, with_weights

GATES = {f"{kind}_{gate}": dims for kind, dims in {"W": "HH", "U": "DH", "b": "H"}.items() for gate in "figo"}
NAMES = [*GATES, "x", "h0", "C0", "dh", "dh_T", "dC_T"]
SIZE = {"T": 2, "B": 3, "D": 4, "H": 5}
RUN = {
    name: 1 + np.arange(float(np.prod(shape))).reshape(shape)
    for name, shape in ((name, [SIZE[dim] for dim in dims]) for name, dims in INPUTS.items())
}


def first_of(name: str, axis: int) -> Array:
    """Return the first part of an array along an axis, which then has the size 1."""
    return np.take(RUN[name], [0], axis)


def test_a_run_has_these_names_and_dimensions_in_this_order() -> None:
    states = {"x": "TBD", "h0": "BH", "C0": "BH", "dh": "TBH", "dh_T": "BH", "dC_T": "BH"}
    gradients = {f"d{name}": dims for name, dims in GATES.items()} | {"dx": "TBD", "dh0": "BH", "dC0": "BH"}
    assert [*WEIGHTS.items()] == [*GATES.items()]
    assert [*INPUTS.items()] == [*(GATES | states).items()]
    assert [*GRADIENTS.items()] == [*gradients.items()]
    assert [*OUTPUTS.items()] == [*({"h": "TBH", "C": "TBH", "C_T": "BH"} | gradients).items()]
    assert [*REQUIRED] == [*NAMES[:8], "x"]
    assert sizes_of(RUN) == SIZE


def test_a_complete_run_has_native_arrays_in_the_order_of_the_names() -> None:
    weights = {name: RUN[name].tolist() for name in WEIGHTS}
    others = {name: RUN[name] for name in INPUTS if name not in WEIGHTS}
    swapped = [{name: array.astype(f"{order}f8") for name, array in RUN.items()} for order in "<>"]
    runs = [dict(reversed(RUN.items())), weights | others, *swapped]
    for found in (*map(complete, runs), with_weights(weights, **others)):
        assert list(found) == NAMES
        for name in NAMES:
            np.testing.assert_array_equal(found[name], RUN[name], strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_missing_array_is_zero_in_its_size_and_precision(dtype: str) -> None:
    run = {name: array.astype(dtype) for name, array in RUN.items()}
    for missing in set(INPUTS) - set(REQUIRED):
        given = {name: array for name, array in run.items() if name != missing}
        for found in (complete(given), complete(given | {missing: None})):
            for name, array in run.items():
                np.testing.assert_array_equal(found[name], 0 * array if name == missing else array, strict=True)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"y": 1, "z": 1}, TypeError, f"y is not an input of a run; expected any of {', '.join(NAMES)}"),
        ({"U_g": None, "x": None}, ValueError, f"the run lacks U_g, x; expected at least {', '.join(NAMES[:8])}, x"),
        ({"x": RUN["x"].astype(int)}, TypeError, "x has dtype int64; expected float32 or float64"),
        ({"x": np.ma.masked_array(RUN["x"])}, TypeError,
         "x is a masked array; expected one without a mask: x.filled(value)"),
        ({"b_i": RUN["b_i"].astype("f4")}, TypeError, "b_i has dtype float32; expected float64, the dtype of x"),
        ({"x": RUN["x"].astype("f4")}, TypeError, "W_f has dtype float64; expected float32, the dtype of x"),
        ({"W_i": first_of("W_i", 1)}, ValueError, "W_i has shape (5, 1); expected (H=5, H=5)"),
        ({"W_f": first_of("W_f", 0)}, ValueError, "W_f has shape (1, 5); expected (H, H)"),
        ({"U_f": RUN["U_f"][0]}, ValueError, "U_f has shape (5,); expected (D, H=5)"),
        ({"x": first_of("x", 2)}, ValueError, "x has shape (2, 3, 1); expected (T, B, D=4)"),
        ({"h0": first_of("h0", 0)}, ValueError, "h0 has shape (1, 5); expected (B=3, H=5)"),
        ({"dC_T": RUN["dC_T"][None]}, ValueError, "dC_T has shape (1, 3, 5); expected (B=3, H=5)"),
    ],
)  # fmt: skip
def test_a_faulty_array_is_rejected_by_name(change: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error) as raised:
        complete(RUN | change)
    assert str(raised.value) == message
    assert type(raised.value) is error


def test_params_that_are_not_weights_are_rejected() -> None:
    with pytest.raises(TypeError, match=r"^params is of type list; expected a mapping with the arrays W_f … b_o$"):
        with_weights([1.0], x=RUN["x"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=f"^params has C0; expected only {', '.join(WEIGHTS)}$"):
        with_weights({"W_z": 0, "W_c": 0, **RUN}, x=RUN["x"])
