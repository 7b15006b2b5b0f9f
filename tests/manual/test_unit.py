"""The containers: which numbers each name gives, how they are shown, and what cannot be had or set."""

from __future__ import annotations

import numpy as np
import pytest

import manual
from manual import CheckpointedTape, Gradients, Params, Tape
from manual.unit import empty_tape, unchecked
from reference.run import WEIGHTS, Array
from tests.strategies import without_zeros
from tests.twins import params_of

T, B, D, H = 2, 3, 4, 5
RUN = without_zeros((T, B, D, H))
X, STATE = RUN.inputs["x"], RUN.inputs["h0"]


def numbered(*shape: int) -> Array:
    """An array in which no number comes twice."""
    return np.arange(float(np.prod(shape))).reshape(shape)


def tape() -> Tape:
    return Tape(params_of(RUN), X, numbered(T + 1, 5, B, H), numbered(T, B, H), numbered(T + 1, B, H))


def test_every_name_of_a_tape_gives_its_part() -> None:
    t, slabs, hs = tape(), numbered(T + 1, 5, B, H), numbered(T + 1, B, H)
    names = {"g": slabs[:T, 1], "f": slabs[:T, 2], "i": slabs[:T, 3], "o": slabs[:T, 4], "Cs": slabs[:, 0]}
    names |= {"C": slabs[1:, 0], "C_T": slabs[T, 0], "h": hs[1:], "h_T": hs[T]}
    for name, want in names.items():
        np.testing.assert_array_equal(getattr(t, name), want, strict=True)
        assert np.shares_memory(getattr(t, name), t.hs if name[0] == "h" else t.slabs)


def test_every_name_of_a_checkpointed_tape_gives_its_part() -> None:
    t = CheckpointedTape(params_of(RUN), X, numbered(T + 1, B, H), numbered(3, B, H), 1)
    for name, want in {"h": t.hs[1:], "h_T": t.hs[T], "C_T": t.checkpoints[2]}.items():
        np.testing.assert_array_equal(getattr(t, name), want, strict=True)
    for name in ("C", "Cs", "f", "i", "g", "o", "tanh_C"):
        with pytest.raises(
            AttributeError, match=f"^a checkpointed tape does not keep {name}; run forward without check"
        ):
            getattr(t, name)
    with pytest.raises(AttributeError, match=r"^'CheckpointedTape' object has no attribute 'c'$"):
        _ = t.c


def test_an_empty_tape_starts_where_it_is_told_and_ends_in_zeros() -> None:
    for dtype in ("float32", "float64"):
        x, h0, C0 = X.astype(dtype), numbered(B, H).astype(dtype), -1 - numbered(B, H).astype(dtype)
        t = empty_tape(params_of(RUN), x, h0, C0)
        assert t.x is x
        np.testing.assert_array_equal(t.hs[0], h0)
        np.testing.assert_array_equal(t.Cs[0], C0)
        assert not t.slabs[T, 1:].any()
        assert [a.shape for a in (t.slabs, t.tanh_C, t.hs)] == [(T + 1, 5, B, H), (T, B, H), (T + 1, B, H)]
        assert {a.dtype for a in (t.slabs, t.tanh_C, t.hs)} == {np.dtype(dtype)}


def test_each_shows_its_sizes_and_not_its_numbers() -> None:
    params = params_of(RUN)
    of = "Params(input_size=4, hidden_size=5, dtype=float64)"
    shown = {
        of: params,
        f"Tape(T=2, B=3, {of})": tape(),
        f"CheckpointedTape(T=2, B=3, every=2, {of})": manual.forward(params, X, checkpoint=2),
        f"Gradients(T=2, B=3, {of})": Gradients(params, X, STATE, STATE),
    }
    assert {text: repr(it) for text, it in shown.items()} == {text: text for text in shown}


@pytest.mark.parametrize("name", WEIGHTS)
def test_a_gate_is_set_by_what_fits_and_by_nothing_else(name: str) -> None:
    params, dims = params_of(RUN), {"W": "H=5, H=5", "U": "D=4, H=5", "b": "H=5,"}[name[0]]
    before = params.gates()[name].copy()
    for wrong in (before[:-1], before[None]):
        with pytest.raises(ValueError, match=rf"^{name} has shape .*; expected .*\({dims}\)$"):
            setattr(params, name, wrong)
    with pytest.raises(TypeError, match=f"^{name} has dtype float32; expected float64"):
        setattr(params, name, before.astype(np.float32))
    np.testing.assert_array_equal(getattr(params, name), before)
    setattr(params, name, 2 * before)
    np.testing.assert_array_equal(getattr(params, name), 2 * before)


def test_what_a_unit_does_not_have_cannot_be_set() -> None:
    said = f"^Params has no w; expected W, U, b or one of {', '.join(WEIGHTS)}$"
    with pytest.raises(AttributeError, match=said):
        params_of(RUN).w = STATE
    with pytest.raises(AttributeError):
        params_of(RUN).hidden_size = 7  # type: ignore[misc]


def test_an_array_once_set_is_kept_and_checked() -> None:
    params = params_of(RUN)
    swapped = params.W.astype(">f8")
    params.W = swapped
    np.testing.assert_array_equal(params.W, swapped)
    assert params.W.dtype.isnative
    for name, dims in {"W": "H=5, 4H=20", "U": "D=4, 4H=20", "b": "4H=20,"}.items():
        array = getattr(params, name)
        for axis in range(array.ndim):
            with pytest.raises(ValueError, match=rf"^{name} has shape .*; expected \({dims}\)$"):
                setattr(params, name, np.repeat(array, 2, axis))


def test_a_unit_of_one_and_one_without_inputs() -> None:
    assert Params(np.ones((1, 4)), np.ones((0, 4))).gates()["U_f"].shape == (0, 1)
    params = Params.init(np.random.default_rng(0), 0, 1)
    assert (params.input_size, params.hidden_size, params.dtype) == (0, 1, np.float64)
    assert (params.U.shape, params.b.tolist()) == ((0, 4), [0, 0, 0, 0])


@pytest.mark.parametrize("shape", [(5, 21), (5, 5), (4, 20)])
def test_the_recurrent_weights_are_four_squares(shape: tuple[int, int]) -> None:
    H = shape[0]
    with pytest.raises(
        ValueError, match=rf"^W has shape \({H}, {shape[1]}\); expected \(H, 4H\), that is \({H}, {4 * H}\)$"
    ):
        Params(np.ones(shape), np.ones((3, shape[1])))


@pytest.mark.parametrize("missing", ["b_f", "b_i", "b_g", "b_o"])
def test_any_one_bias_may_be_missing(missing: str) -> None:
    given = {name: RUN.inputs[name] for name in WEIGHTS if name != missing}
    params = Params.from_gates(**given)
    for name, view in params.gates().items():
        np.testing.assert_array_equal(view, given.get(name, np.zeros(H)), strict=True)
    single = Params.from_gates(**{name: array.astype(np.float32) for name, array in given.items()})
    assert single.dtype == np.float32


def test_behind_the_doors_any_dtype_will_do() -> None:
    arrays = [np.ones(shape, np.longdouble) for shape in ((H, 4 * H), (D, 4 * H), (4 * H,))]
    params = unchecked(*arrays)
    assert all(a is b for a, b in zip((params.W, params.U, params.b), arrays, strict=True))
    assert (params.input_size, params.hidden_size, params.dtype) == (D, H, np.longdouble)
