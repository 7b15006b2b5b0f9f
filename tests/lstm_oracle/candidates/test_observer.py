"""One call of a candidate: the arrays that it is given, and the outputs that are accepted, in any layout."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lstm_oracle.run import INPUTS, OUTPUTS, Array
from tests.lstm_oracle.candidates.observing import RUN, observe, problems, problems_of, right
from tests.strategies import drawn

# Inputs and outputs.


def test_an_adapter_is_given_copies_of_all_inputs() -> None:
    given: dict[str, Array] = {}
    assert problems_of(given.update) == []
    assert list(given) == list(INPUTS)
    for name, array in given.items():
        np.testing.assert_array_equal(array, RUN[name], strict=True)
        assert not np.shares_memory(array, RUN[name])


def test_outputs_are_copied() -> None:
    returned = right()
    observed = observe(lambda **run: returned)
    assert (list(observed.outputs), problems(observed)) == (["h", "dx"], [])
    for name, array in returned.items():
        np.testing.assert_array_equal(observed.outputs[name], array, strict=True)
        assert not np.shares_memory(observed.outputs[name], array)


class Tensor:
    """Not an array, but readable as one."""

    def __init__(self, array: Array | None) -> None:
        self.array = array

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        if self.array is None:
            raise RuntimeError("on another device")
        return self.array


DEVICE = f"RuntimeError: on another device (test_observer.py:{Tensor.__array__.__code__.co_firstlineno + 2})"
NAMES = ", ".join(OUTPUTS)


def with_infinities() -> dict[str, Array]:
    outputs = right("h", "dx", "db_f")
    outputs["dx"][0, 0, 2], outputs["dx"][1, 0, :2] = np.inf, np.nan
    outputs["db_f"][3] = np.nan
    return outputs


@pytest.mark.parametrize(
    ("returned", "expected", "accepted"),
    [
        (None, [("return_type", "returned NoneType; expected a mapping from names to arrays", "")], []),
        (([1], [2]), [("return_type", "returned tuple; expected a mapping from names to arrays", "")], []),
        ({}, [("no_output", f"returned an empty mapping; expected any of {NAMES}", "")], []),
        (
            {"dc0": np.ones(3), 3: np.ones(3), "x" * 41: np.ones(3)} | right(),
            [
                ("unknown_name", f"'{name}' is not an output; expected any of {NAMES}", "")
                for name in ("dc0", "3", "x" * 40)
            ],
            ["h", "dx"],
        ),
        ({name: Tensor(array) for name, array in right().items()}, [], ["h", "dx"]),
        (
            {"C": Tensor(None), "C_T": [0.5], "dh0": np.array([None])} | right(),
            [
                ("return_type", f"C cannot be converted to a NumPy array: {DEVICE}", "C"),
                ("return_type", "C_T is of type list; expected an array of numbers", "C_T"),
                ("return_type", "dh0 has dtype object; expected an array of numbers", "dh0"),
            ],
            ["h", "dx"],
        ),
        (
            {"C": np.ones((1, 2, 4)), "dU_o": np.ones((4, 3))} | right(),
            [
                ("shape", "C has shape (1, 2, 4); expected (T=2, B=1, H=4)", "C"),
                ("shape", "dU_o has shape (4, 3); expected (D=3, H=4)", "dU_o"),
            ],
            ["h", "dx"],
        ),
        (
            with_infinities(),
            [
                ("not_finite", "dx is not finite in 3 of 6 entries; the first is inf at [0, 0, 2]", "dx"),
                ("not_finite", "db_f is not finite in 1 of 4 entries; the first is nan at [3]", "db_f"),
            ],
            ["h", "dx", "db_f"],
        ),
    ],
)
def test_an_output_that_does_not_fit_is_refused_by_name_and_the_others_are_accepted(
    returned: Any, expected: list[tuple[str, str, str]], accepted: list[str]
) -> None:
    observed = observe(lambda **run: returned)
    assert [(problem.kind, problem.text, problem.block) for problem in observed.problems] == expected
    assert list(observed.outputs) == accepted
    assert all(np.array_equal(observed.outputs[k], np.asarray(returned[k]), equal_nan=True) for k in accepted)


def test_another_dtype_is_a_problem_but_is_still_judged_if_it_is_float32_or_float64() -> None:
    single, whole, half = right("h", dtype=np.float32), right("C", dtype=np.int64), right("C_T", dtype=np.float16)
    observed = observe(lambda **run: single | whole | half | right("dx"))
    assert problems(observed) == [
        ("dtype", f"{name} has dtype {dtype}; expected float64, the dtype of the inputs")
        for name, dtype in (("h", "float32"), ("C", "int64"), ("C_T", "float16"))
    ]
    assert {name: array.dtype.name for name, array in observed.outputs.items()} == {"h": "float32", "dx": "float64"}
    run = {name: array.astype(np.float32) for name, array in RUN.items()}
    observed = observe(lambda **run: single | right("dx"), run=run)
    assert problems(observed) == [("dtype", "dx has dtype float64; expected float32, the dtype of the inputs")]


def test_an_empty_output_is_accepted() -> None:
    empty = drawn((0, 1, 3, 4), "ordinary", "float64", 0).inputs
    observed = observe(lambda **run: {"h": np.ones((0, 1, 4)), "C_T": np.ones((1, 4))}, run=empty)
    assert (list(observed.outputs), problems(observed)) == (["h", "C_T"], [])


def test_several_problems_of_one_call_are_all_reported() -> None:
    def adapter(**run: Any) -> dict[str, Array]:
        print("step 1")
        return {"h": run["dh"], "C0": run["C0"].copy(), "dx": np.ones(3)}

    assert [kind for kind, _ in problems(observe(adapter))] == ["prints", "views_inputs", "unknown_name", "shape"]


# Weights in the layout of a package.


def gradients_in_torch(run: Any) -> dict[str, Array]:
    """Gradients of the weights in PyTorch's layout, all of them 1."""
    return {f"d{name}": np.ones_like(run[name]) for name in run if name.startswith(("weight", "bias"))}


def test_in_another_layout_weights_and_gradients_have_the_names_of_that_layout() -> None:
    observed = observe(lambda **run: right("h") | gradients_in_torch(run), "torch")
    assert problems(observed) == []
    assert list(observed.outputs) == [name for name in OUTPUTS if name[:2] in ("dW", "dU", "db")] + ["h"]

    def act(run: Any) -> None:
        run["weight_hh_l0"] += 1

    assert problems_of(act, "torch") == [("writes_inputs", "weight_hh_l0 changed during the call")]
    names = "h, C, C_T, dx, dh0, dC0, dweight_hh_l0, dweight_ih_l0, dbias_ih_l0, dbias_hh_l0"
    observed = observe(lambda **run: right("dW_f"), "torch")
    assert problems(observed) == [("unknown_name", f"'dW_f' is not an output; expected any of {names}")]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"dweight_hh_l0": np.ones((16, 4), np.float32)}, "float32"),
        ({"dweight_hh_l0": np.ones((4, 16))}, "dweight_hh_l0 has shape"),
        ({"dbias_hh_l0": np.full(16, 2.0)}, "the gradients of bias_ih_l0 and bias_hh_l0 differ"),
    ],
)
def test_gradients_that_do_not_fit_the_layout_are_reported_and_the_other_outputs_accepted(
    change: dict[str, Array], text: str
) -> None:
    observed = observe(lambda **run: gradients_in_torch(run) | change | right("h", "dh0") | {"dx": np.ones(2)}, "torch")
    assert [kind for kind, _ in problems(observed)] == ["layout", "shape"]
    assert text in observed.problems[0].text
    assert list(observed.outputs) == ["h", "dh0"]
