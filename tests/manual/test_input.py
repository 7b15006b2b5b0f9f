"""Every public function refuses a faulty argument by its name, and says what it was and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import manual
from lstm_oracle.run import WEIGHTS, Array
from manual import Params, bptt, fused
from tests.strategies import without_zeros
from tests.twins import forward, params_of

RUN = without_zeros((5, 2, 3, 4))
PARAMS = params_of(RUN)
X, STATE, DH = RUN.inputs["x"], RUN.inputs["h0"], RUN.inputs["dh"]
TAPE = forward(fused, RUN)

# Each function, with arguments that it accepts.
FORWARD = {"params": PARAMS, "x": X, "h0": STATE, "C0": STATE}
BACKWARD = {"tape": TAPE, "dh": DH, "dh_T": STATE, "dC_T": STATE}
FUNCTIONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Params": (Params, {"W": PARAMS.W, "U": PARAMS.U, "b": PARAMS.b}),
    "from_gates": (Params.from_gates, {name: RUN.inputs[name] for name in WEIGHTS}),
    "forward": (fused.forward, FORWARD),
    "infer": (fused.infer, FORWARD),
    "bptt.forward": (bptt.forward, FORWARD),
    "backward": (fused.backward, BACKWARD),
    "bptt.backward": (bptt.backward, BACKWARD),
    "deltas": (manual.deltas, BACKWARD),
}
# The expected shape of each argument, and the axes that may have any size.
EXPECTED = dict.fromkeys(("h0", "C0", "dh_T", "dC_T"), "(B=2, H=4)") | {"x": "(T=5, B=2, D=3)", "dh": "(T=5, B=2, H=4)"}
EXPECTED |= {"U": "(D=3, 4H=16)", "b": "(4H=16,)"}
EXPECTED |= {name: {"W": "(H=", "U": "(D=3, H=4)", "b": "(H=4,)"}[name[0]] for name in WEIGHTS}
FREE = {("U", 0), ("U_f", 0), ("x", 0), ("x", 1)}


def arrays_of(function: str) -> dict[str, Array]:
    return {name: value for name, value in FUNCTIONS[function][1].items() if isinstance(value, np.ndarray)}


def refusal(error: type[Exception], function: str, **faulty: object) -> str:
    """Return the message of the error that a function raises for a faulty argument."""
    call, accepted = FUNCTIONS[function]
    with pytest.raises(error) as raised:
        call(**accepted | faulty)
    assert type(raised.value) is error
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return str(raised.value)


FAULTS: dict[str, tuple[Callable[[Array], object], type[Exception], str]] = {
    "of another dtype": (lambda a: a.astype(np.int64), TypeError, "has dtype int64"),
    "masked": (lambda a: np.ma.masked_array(a), TypeError, "is a masked array"),
    "ragged": (lambda a: [[1.0], [1.0, 2.0]], ValueError, "is not a rectangular array"),
    "missing": (lambda a: None, TypeError, "is None"),
    "with an axis too many": (lambda a: a[None], ValueError, "has shape (1, "),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_faulty_array_is_refused_by_name(function: str, fault: str) -> None:
    make, error, what = FAULTS[fault]
    for name, array in arrays_of(function).items():
        if fault != "missing" or name[0] in "WUx":  # the other arguments are optional
            message = refusal(error, function, **{name: make(array)})
            assert message.startswith(f"{name} {what}")
            assert "; expected " in message


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_wrong_size_is_refused_by_name(function: str) -> None:
    """Sizes of 1 included, which NumPy would broadcast."""
    for name, array in arrays_of(function).items():
        for axis in (axis for axis in range(array.ndim) if (name, axis) not in FREE):
            for faulty in (np.repeat(array, 2, axis), np.take(array, [0], axis)):
                message = refusal(ValueError, function, **{name: faulty})
                assert message.startswith(f"{name} has shape {faulty.shape}; expected {EXPECTED.get(name, '(H=')}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_arrays_of_different_precision_are_refused_by_name(function: str) -> None:
    for name, array in arrays_of(function).items():
        message = refusal(TypeError, function, **{name: array.astype(np.float32)})
        if name in ("W", "W_f"):  # the first array determines the dtype
            assert message.startswith(f"{ {'W': 'U', 'W_f': 'W_i'}[name] } has dtype float64; expected float32")
        else:
            assert message.startswith(f"{name} has dtype float32; expected float64")


@pytest.mark.parametrize("function", list(FUNCTIONS)[2:])
def test_an_argument_of_another_type_is_refused_by_name(function: str) -> None:
    name = next(iter(FUNCTIONS[function][1]))
    tapes = "manual.Tape or manual.CheckpointedTape" if function == "backward" else "manual.Tape"
    expected = "manual.Params" if name == "params" else f"{tapes}, as forward returns it"
    for other in (None, "tape", {}, X, TAPE if name == "params" else PARAMS):
        message = refusal(TypeError, function, **{name: other})
        assert message == f"{name} is of type {type(other).__name__}; expected {expected}"


@pytest.mark.parametrize("dtype", ["U8", object, complex, bool, "M8[s]", np.float16, np.longdouble])
def test_nothing_but_float32_and_float64_is_accepted(dtype: Any) -> None:
    array = np.ones((4, 16)).astype(dtype)
    if array.dtype != np.float64:  # as long double is on some platforms
        assert refusal(TypeError, "Params", W=array).startswith(f"W has dtype {array.dtype}; expected float32 or float")


@pytest.mark.parametrize(
    ("function", "faulty", "error", "message"),
    [
        ("forward", {"x": None}, TypeError, "x is None; expected an array of shape (T, B, D=3)"),
        ("forward", {"h0": np.ma.masked_array(STATE)}, TypeError,
         "h0 is a masked array; expected an array without a mask, such as h0.filled(value)"),
        ("forward", {"h0": [[1.0], [1.0, 2.0]]}, ValueError,
         "h0 is not a rectangular array; expected an array of shape (B=2, H=4)"),
        ("Params", {"W": PARAMS.W > 0}, TypeError,
         "W has dtype bool; expected float32 or float64 (arrays are never converted implicitly)"),
        ("forward", {"x": X.astype("f4")}, TypeError,
         "x has dtype float32; expected float64, the dtype of the parameters (arrays are never converted implicitly)"),
        ("forward", {"x": X[0]}, ValueError, "x has shape (2, 3); expected (T, B, D=3)"),
        ("Params", {"b": PARAMS.b[None]}, ValueError, "b has shape (1, 16); expected (4H=16,)"),
        ("Params", {"W": np.ones((5, 21))}, ValueError, "W has shape (5, 21); expected (H=5, 4H=20)"),
        ("Params", {"W": np.ones((0, 0))}, ValueError, "W has shape (0, 0); expected (H, 4H) with H ≥ 1"),
    ],
)  # fmt: skip
def test_the_message_gives_the_argument_and_what_was_expected(
    function: str, faulty: dict[str, Any], error: type[Exception], message: str
) -> None:
    assert refusal(error, function, **faulty) == message


@pytest.mark.parametrize(
    ("name", "faulty", "error", "message"),
    [
        ("rng", np.random.RandomState(0), TypeError, "rng is RandomState.*; expected a NumPy generator"),
        ("input_size", np.int64(-1), ValueError, "input_size is -1; expected an integer ≥ 0$"),
        ("input_size", 2.0, TypeError, "input_size is 2.0; expected an integer ≥ 0$"),
        ("hidden_size", 0, ValueError, "hidden_size is 0; expected an integer ≥ 1$"),
        ("hidden_size", True, TypeError, "hidden_size is True; expected an integer ≥ 1$"),
        ("dtype", np.float16, TypeError, "dtype is float16; expected float32 or float64$"),
    ],
)
def test_init_refuses_a_faulty_argument_by_name(
    name: str, faulty: object, error: type[Exception], message: str
) -> None:
    accepted = {"rng": np.random.default_rng(0), "input_size": 3, "hidden_size": 4, "dtype": np.float64}
    with pytest.raises(error, match=f"^{message}"):
        Params.init(**accepted | {name: faulty})


@pytest.mark.parametrize("dtype", [">f4", "<f4", ">f8", "<f8"])
def test_arrays_may_have_either_precision_and_any_byte_order(dtype: str) -> None:
    def tape(dtype: str) -> manual.Tape:
        params = Params.from_gates(**{name: array.astype(dtype) for name, array in PARAMS.gates().items()})
        return fused.forward(params, *(array.astype(dtype) for array in (X, STATE, STATE)))

    found, expected = tape(dtype), tape(dtype[1:])
    for name in ("x", "h", "C"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)
        assert getattr(found, name).dtype.isnative
