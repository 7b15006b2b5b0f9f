"""Bad input at every public door is refused with the argument's name, what it was, and what was expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import manual
from manual import Params, bptt, fused
from reference.run import WEIGHTS, Array
from tests.strategies import without_zeros
from tests.twins import forward, params_of, same_bits

RUN = without_zeros((5, 2, 3, 4))
PARAMS = params_of(RUN)
X, STATE, DH = RUN.inputs["x"], RUN.inputs["h0"], RUN.inputs["dh"]
TAPE = forward(fused, RUN)

# Each door: what it takes by name, and arguments that it accepts.
DOORS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "Params": (Params, {"W": PARAMS.W, "U": PARAMS.U, "b": PARAMS.b}),
    "from_gates": (Params.from_gates, {name: RUN.inputs[name] for name in WEIGHTS}),
    "fused.forward": (fused.forward, {"params": PARAMS, "x": X, "h0": STATE, "C0": STATE}),
    "bptt.forward": (bptt.forward, {"params": PARAMS, "x": X, "h0": STATE, "C0": STATE}),
    "fused.backward": (fused.backward, {"tape": TAPE, "dh": DH, "dh_T": STATE, "dC_T": STATE}),
    "bptt.backward": (bptt.backward, {"tape": TAPE, "dh": DH, "dh_T": STATE, "dC_T": STATE}),
    "deltas": (manual.deltas, {"tape": TAPE, "dh": DH, "dh_T": STATE, "dC_T": STATE}),
}
ARRAYS = [(door, name) for door, (_, given) in DOORS.items() for name in given if name not in ("params", "tape")]

# Bad in place of any array: how it is made of a good one, the error, and what the message says it was.
BAD: dict[str, tuple[Callable[[Array], object], type[Exception], str]] = {
    "no array": (lambda a: {"an": "object"}, TypeError, "has dtype object"),
    "text": (lambda a: "text", TypeError, "has dtype <U4"),
    "an array of text": (lambda a: a.astype("U8"), TypeError, "has dtype <U8"),
    "objects": (lambda a: a.astype(object), TypeError, "has dtype object"),
    "complex": (lambda a: a + 0j, TypeError, "has dtype complex128"),
    "integers": (lambda a: a.astype(np.int64), TypeError, "has dtype int64"),
    "booleans": (lambda a: a > 0, TypeError, "has dtype bool"),
    "dates": (lambda a: a.astype("M8[s]"), TypeError, "has dtype datetime64[s]"),
    "half precision": (lambda a: a.astype(np.float16), TypeError, "has dtype float16"),
    "masked": (lambda a: np.ma.masked_array(a), TypeError, "is a masked array"),
    "a ragged list": (lambda a: [[1.0], [1.0, 2.0]], ValueError, "is not rectangular"),
    "a number": (lambda a: 0.5, ValueError, "has shape ()"),
    "a dimension less": (lambda a: a[0], ValueError, "has shape "),
    "a dimension more": (lambda a: a[None], ValueError, "has shape (1, "),
}
if np.dtype(np.longdouble).itemsize > 8:
    BAD["long double"] = (lambda a: a.astype(np.longdouble), TypeError, f"has dtype {np.dtype(np.longdouble)}")

# The axes of each argument whose sizes others fix: W_f fixes H, U_f fixes D, x fixes T and B.
FIXED = {"W": (0, 1), "U": (1,), "b": (0,), "U_f": (1,), "x": (2,), "dh": (0, 1, 2)}
FIXED |= dict.fromkeys([*(n for n in WEIGHTS if n[0] != "b" and n != "U_f"), "h0", "C0", "dh_T", "dC_T"], (0, 1))
FIXED |= dict.fromkeys([name for name in WEIGHTS if name[0] == "b"], (0,))
SIZES = [(door, name, axis) for door, name in ARRAYS for axis in FIXED[name]]


def refusal(error: type[Exception], door: str, **bad: object) -> str:
    """What a door says to a bad argument."""
    call, good = DOORS[door]
    with pytest.raises(error) as raised:
        call(**good | bad)
    assert type(raised.value) is error
    return str(raised.value)


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize(("door", "name"), ARRAYS)
def test_what_is_no_such_array_is_refused_by_name(door: str, name: str, kind: str) -> None:
    make, error, what = BAD[kind]
    said = refusal(error, door, **{name: make(DOORS[door][1][name])})
    assert said.startswith(f"{name} {what}")
    assert "; expected " in said


@pytest.mark.parametrize("change", ["longer", "shorter", "one"])
@pytest.mark.parametrize(("door", "name", "axis"), SIZES)
def test_a_wrong_size_is_refused_by_name(door: str, name: str, axis: int, change: str) -> None:
    good = DOORS[door][1][name]
    size = good.shape[axis]
    bad = np.take(good, range({"longer": size + 1, "shorter": size - 1, "one": 1}[change]), axis, mode="clip")
    said = refusal(ValueError, door, **{name: bad})
    assert said.startswith(f"{name} has shape {bad.shape}; expected (")


@pytest.mark.parametrize(("door", "name"), ARRAYS)
def test_another_precision_is_refused_by_name(door: str, name: str) -> None:
    said = refusal(TypeError, door, **{name: DOORS[door][1][name].astype(np.float32)})
    if name in ("W", "W_f"):  # the first is taken at its word, and it is the second that does not fit
        second = {"W": "U", "W_f": "W_i"}[name]
        assert said.startswith(f"{second} has dtype float64; expected float32")
    else:
        assert said.startswith(f"{name} has dtype float32; expected float64")


@pytest.mark.parametrize(("door", "name"), [(d, n) for d, n in ARRAYS if n[0] in "WU" or n == "x"])
def test_what_is_required_is_asked_for_by_name(door: str, name: str) -> None:
    assert refusal(TypeError, door, **{name: None}).startswith(f"{name} is None; expected an array of shape (")


@pytest.mark.parametrize("bad", [None, "tape", {}, PARAMS, X, RUN])
@pytest.mark.parametrize("door", [door for door in DOORS if door not in ("Params", "from_gates")])
def test_another_object_is_refused(door: str, bad: object) -> None:
    name = next(iter(DOORS[door][1]))
    if name == "params":
        bad = TAPE if bad is PARAMS else bad
    said = refusal(TypeError, door, **{name: bad})
    tapes = "manual.Tape or manual.CheckpointedTape" if door == "fused.backward" else "manual.Tape"
    expected = "manual.Params" if name == "params" else f"{tapes}, as forward returns it"
    assert said == f"{name} is of type {type(bad).__name__}; expected {expected}"


@pytest.mark.parametrize("twin", [bptt, fused])
def test_a_batch_of_another_size_is_refused(twin: Any) -> None:
    with pytest.raises(ValueError, match=r"^h0 has shape \(2, 4\); expected \(B=1, H=4\)$"):
        twin.forward(PARAMS, X[:, :1], STATE)
    with pytest.raises(ValueError, match=r"^dh has shape \(5, 2, 4\); expected \(T=4, B=2, H=4\)$"):
        twin.backward(twin.forward(PARAMS, X[:4]), DH)


def test_a_unit_needs_a_hidden_size() -> None:
    with pytest.raises(ValueError, match=r"^the hidden size H of W is 0; expected at least 1$"):
        Params(np.zeros((0, 0)), np.zeros((3, 0)))


@pytest.mark.parametrize(
    ("name", "bad", "error", "said"),
    [
        ("rng", None, TypeError, "rng is None; expected a NumPy generator"),
        ("rng", 7, TypeError, "rng is 7; expected a NumPy generator"),
        ("rng", np.random.RandomState(0), TypeError, "rng is RandomState.*; expected a NumPy generator"),
        ("input_size", -1, ValueError, "input_size is -1; expected at least 0"),
        ("input_size", 2.0, TypeError, "input_size is 2.0; expected a whole number"),
        ("input_size", None, TypeError, "input_size is None; expected a whole number"),
        ("hidden_size", 0, ValueError, "hidden_size is 0; expected at least 1"),
        ("hidden_size", "4", TypeError, "hidden_size is '4'; expected a whole number"),
        ("hidden_size", True, TypeError, "hidden_size is True; expected a whole number"),
        ("dtype", np.float16, TypeError, "dtype is float16; expected float32 or float64"),
        ("dtype", np.int64, TypeError, "dtype is int64; expected float32 or float64"),
        ("dtype", complex, TypeError, "dtype is complex128; expected float32 or float64"),
    ],
)
def test_init_refuses_by_name(name: str, bad: object, error: type[Exception], said: str) -> None:
    good = {"rng": np.random.default_rng(0), "input_size": 3, "hidden_size": 4, "dtype": np.float64}
    with pytest.raises(error, match=f"^{said}"):
        Params.init(**good | {name: bad})


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "f4", float])
def test_init_draws_within_its_bounds(dtype: Any) -> None:
    params = Params.init(np.random.default_rng(0), 30, 40, dtype)
    assert (params.input_size, params.hidden_size, params.dtype) == (30, 40, np.dtype(dtype))
    assert {array.dtype for array in params.gates().values()} == {np.dtype(dtype)}
    for array in (params.W, params.U):
        assert 0.99 < np.max(np.abs(array)) * np.sqrt(40) <= 1
        assert len(np.unique(array)) == array.size
        assert abs(np.mean(array)) * np.sqrt(40) < 0.05
    assert not params.b.any()


def test_gates_are_views_in_the_order_f_i_g_o() -> None:
    for name, view in PARAMS.gates().items():
        stacked, at = getattr(PARAMS, name[0]), "figo".index(name[2])
        np.testing.assert_array_equal(view, RUN.inputs[name], strict=True)
        np.testing.assert_array_equal(view, stacked[..., 4 * at : 4 * at + 4])
        assert np.shares_memory(view, stacked)
        assert list(PARAMS.gates()) == list(WEIGHTS)


def test_lists_of_floats_are_arrays() -> None:
    call, good = DOORS["fused.forward"]
    from_lists = call(PARAMS, X.tolist(), STATE.tolist(), STATE.tolist())
    assert same_bits({"h": from_lists.h}, {"h": call(**good).h})
