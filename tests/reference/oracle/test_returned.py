"""What a call of a candidate returns: what is taken of it, what is refused, in which layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from reference.oracle.behaviour import (
    Observer,
)
from reference.run import OUTPUTS, Array
from tests.reference.oracle.test_behaviour import RUN, about, calling, returning, right, told
from tests.strategies import drawn

# What a call returns.


@pytest.mark.parametrize(("result", "name"), [(None, "NoneType"), (([1], [2]), "tuple")])
def test_what_is_no_mapping_is_refused(result: Any, name: str) -> None:
    seen = returning(result)
    assert told(seen) == [("return_type", f"returned {name}; expected a mapping from name to array")]
    assert seen.outputs == {}


def test_an_empty_mapping_is_refused() -> None:
    said = f"returned an empty mapping; expected any of {', '.join(OUTPUTS)}"
    assert told(returning({})) == [("no_output", said)]


def test_names_that_no_run_has_are_refused_and_the_others_taken() -> None:
    seen = returning({"dc0": np.ones(3), 3: np.ones(3), "x" * 41: np.ones(3)} | right())
    assert list(seen.outputs) == ["h", "dx"]
    known = ", ".join(OUTPUTS)
    named = ("dc0", "3", "x" * 40)
    assert told(seen) == [("unknown_name", f"'{name}' is no output; expected {known}") for name in named]


class Tensor:
    """What is no array, but can be read as one."""

    def __init__(self, array: Array | None) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        if self.array is None:
            raise RuntimeError("on another device")
        return self.array


def test_what_can_be_read_as_an_array_is_one() -> None:
    seen = returning({name: Tensor(array) for name, array in right().items()})
    assert told(seen) == []
    assert all(np.array_equal(seen.outputs[name], array) for name, array in right().items())


def test_what_cannot_be_read_as_an_array_is_refused_and_the_others_taken() -> None:
    line = Tensor.__array__.__code__.co_firstlineno + 2
    seen = returning({"C": Tensor(None), "C_T": [0.5], "dh0": np.array([None])} | right())
    assert told(seen) == [
        ("return_type", f"C cannot be read as an array: RuntimeError: on another device (test_returned.py:{line})"),
        ("return_type", "C_T is a list; expected an array of numbers"),
        ("return_type", "dh0 has dtype object; expected an array of numbers"),
    ]
    assert about(seen) == ["C", "C_T", "dh0"]
    assert list(seen.outputs) == ["h", "dx"]


def test_arrays_of_another_shape_are_refused_and_the_others_taken() -> None:
    seen = returning({"C": np.ones((1, 2, 4)), "dU_o": np.ones((4, 3))} | right())
    assert told(seen) == [
        ("shape", "C has shape (1, 2, 4); expected (T=2, B=1, H=4)"),
        ("shape", "dU_o has shape (4, 3); expected (D=3, H=4)"),
    ]
    assert about(seen) == ["C", "dU_o"]
    assert list(seen.outputs) == ["h", "dx"]


def test_another_dtype_is_told_and_judged_nevertheless_if_it_is_a_float() -> None:
    narrow, whole, half = right("h", dtype=np.float32), right("C", dtype=np.int64), right("C_T", dtype=np.float16)
    seen = returning(narrow | whole | half | right("dx"))
    assert told(seen) == [
        ("dtype", f"{name} has dtype {dtype}; expected float64, that of the inputs")
        for name, dtype in (("h", "float32"), ("C", "int64"), ("C_T", "float16"))
    ]
    assert about(seen) == ["h", "C", "C_T"]
    assert {name: array.dtype.name for name, array in seen.outputs.items()} == {"h": "float32", "dx": "float64"}


def test_no_other_precision_than_that_of_the_inputs_is_right_be_it_finer() -> None:
    run = {name: array.astype(np.float32) for name, array in RUN.items()}
    seen = Observer(lambda **run: right("h", dtype=np.float32) | right("dx"))(run)
    assert told(seen) == [("dtype", "dx has dtype float64; expected float32, that of the inputs")]
    assert list(seen.outputs) == ["h", "dx"]


def test_nan_and_infinity_are_counted_and_the_first_is_shown() -> None:
    outputs = right("h", "dx", "db_f")
    outputs["dx"][0, 0, 2], outputs["dx"][1, 0, :2] = np.inf, np.nan
    outputs["db_f"][3] = np.nan
    seen = returning(outputs)
    assert told(seen) == [
        ("not_finite", "dx is not finite in 3 of 6 values, the first inf at [0, 0, 2]"),
        ("not_finite", "db_f is not finite in 1 of 4 values, the first nan at [3]"),
    ]
    assert about(seen) == ["dx", "db_f"]
    assert list(seen.outputs) == ["h", "dx", "db_f"]


def test_an_empty_output_is_as_good_as_any() -> None:
    empty = drawn((0, 1, 3, 4), "ordinary", "float64", 0).inputs
    seen = Observer(lambda **run: {"h": np.ones((0, 1, 4)), "C_T": np.ones((1, 4))})(empty)
    assert (list(seen.outputs), told(seen)) == (["h", "C_T"], [])


def test_all_that_is_wrong_with_a_call_is_told() -> None:
    def adapter(**run: Any) -> dict[str, Array]:
        print("step 1")
        return {"h": run["dh"], "C0": run["C0"].copy(), "dx": np.ones(3)}

    assert [kind for kind, _ in told(Observer(adapter)(RUN))] == ["prints", "views_inputs", "unknown_name", "shape"]


# Weights that lie as a package's do.


def as_in_torch(run: Any) -> dict[str, Array]:
    """Gradients of the weights in PyTorch's layout, all of them 1."""
    return {f"d{name}": np.ones_like(run[name]) for name in run if name.startswith(("weight", "bias"))}


def test_another_layout_hands_out_and_takes_other_arrays() -> None:
    seen = Observer(lambda **run: right("h") | as_in_torch(run), "torch")(RUN)
    assert told(seen) == []
    assert list(seen.outputs) == [name for name in OUTPUTS if name[:2] in ("dW", "dU", "db")] + ["h"]


def test_what_is_done_to_the_arrays_of_a_layout_is_told_by_their_names() -> None:
    def act(run: Any) -> None:
        run["weight_hh_l0"] += 1

    assert told(calling(act, layout="torch")) == [("writes_inputs", "weight_hh_l0 changed during the call")]
    names = "h, C, C_T, dx, dh0, dC0, dweight_hh_l0, dweight_ih_l0, dbias_ih_l0, dbias_hh_l0"
    assert told(returning(right("dW_f"), "torch")) == [("unknown_name", f"'dW_f' is no output; expected {names}")]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"dweight_hh_l0": np.ones((16, 4), np.float32)}, "float32"),
        ({"dweight_hh_l0": np.ones((4, 16))}, "dweight_hh_l0 has shape"),
        ({"dbias_hh_l0": np.full(16, 2.0)}, "the gradients of bias_ih_l0 and bias_hh_l0 differ"),
    ],
)
def test_gradients_that_do_not_lie_as_the_weights_do_are_told_and_the_others_taken(
    change: dict[str, Array], said: str
) -> None:
    seen = Observer(lambda **run: as_in_torch(run) | change | right("h", "dh0") | {"dx": np.ones(2)}, "torch")(RUN)
    assert [kind for kind, _ in told(seen)] == ["layout", "shape"]
    assert said in seen.problems[0].text
    assert list(seen.outputs) == ["h", "dh0"]


# What makes two arrays the same.
