"""Params, read by gate and updated in place, and the results of the passes."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest

import manual
from lstm_oracle.run import WEIGHTS
from manual import Params
from tests.strategies import without_zeros
from tests.twins import TWINS, forward, params_of

D, H = 4, 5
RUN = without_zeros((3, 2, D, H))
STATES = RUN.inputs["x"], RUN.inputs["h0"], RUN.inputs["C0"]
BLOCKS = {"W": "H=5, 4H=20", "U": "D=4, 4H=20", "b": "4H=20,"}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, "f4", float])
def test_init_draws_uniform_weights_within_their_bounds(dtype: Any) -> None:
    params = Params.init(np.random.default_rng(0), 30, 40, dtype)
    assert (params.input_size, params.hidden_size, params.dtype) == (30, 40, np.dtype(dtype))
    assert {array.dtype for array in params.gates().values()} == {np.dtype(dtype)}
    for array in (params.W, params.U):
        assert 0.99 < np.max(np.abs(array)) * np.sqrt(40) <= 1
        assert len(np.unique(array)) == array.size
        assert abs(np.mean(array)) * np.sqrt(40) < 0.05
    assert not params.b.any()


def test_init_accepts_no_inputs_a_single_unit_and_numpy_integers() -> None:
    params = Params.init(np.random.default_rng(0), 0, 1)
    assert (params.W.shape, params.U.shape, params.b.tolist()) == ((1, 4), (0, 4), [0, 0, 0, 0])
    assert params.dtype == np.float64
    assert Params.init(np.random.default_rng(0), np.int32(3), np.uint8(100)).W.shape == (100, 400)
    assert Params(np.ones((1, 4)), np.ones((0, 4))).gates()["U_f"].shape == (0, 1)


def test_the_gates_are_side_by_side_in_the_order_f_i_g_o() -> None:
    params = params_of(RUN)
    assert list(params.gates()) == list(WEIGHTS)
    for name, gate in params.gates().items():
        at = H * "figo".index(name[2])
        np.testing.assert_array_equal(gate, RUN.inputs[name], strict=True)
        np.testing.assert_array_equal(gate, getattr(params, name[0])[..., at : at + H])
        np.testing.assert_array_equal(gate, getattr(params, name))


def test_gates_are_passed_by_name() -> None:
    with pytest.raises(TypeError, match="positional"):
        Params.from_gates(*(RUN.inputs[name] for name in WEIGHTS))  # type: ignore[misc]


@pytest.mark.parametrize("missing", ["b_f", "b_i", "b_g", "b_o"])
def test_a_missing_bias_is_zero_in_the_dtype_of_the_weights(missing: str) -> None:
    given = {name: RUN.inputs[name].astype(np.float32) for name in WEIGHTS if name != missing}
    for name, gate in Params.from_gates(**given).gates().items():
        np.testing.assert_array_equal(gate, given.get(name, np.zeros(H, np.float32)), strict=True)
    params = Params(np.ones((H, 4 * H), np.float32), np.ones((D, 4 * H), np.float32))
    np.testing.assert_array_equal(params.b, np.zeros(4 * H, np.float32), strict=True)


@pytest.mark.parametrize("name", ["W", "U", "b"])
def test_lists_and_other_byte_orders_become_native_arrays(name: str) -> None:
    arrays = {kind: getattr(params_of(RUN), kind) for kind in "WUb"}
    assigned = params_of(RUN)
    for given in (arrays[name].tolist(), arrays[name].astype(">f8"), arrays[name].astype("<f8")):
        setattr(assigned, name, given)
        for params in (assigned, Params(**arrays | {name: given})):
            np.testing.assert_array_equal(getattr(params, name), arrays[name], strict=True)
            assert getattr(params, name).dtype.isnative


def test_arrays_are_stored_without_a_copy_so_that_updates_in_place_change_them() -> None:
    arrays = {name: getattr(params_of(RUN), name) for name in "WUb"}
    before = {name: array.copy() for name, array in arrays.items()}
    params, assigned = Params(**arrays), params_of(RUN)
    assigned.W, assigned.U, assigned.b = arrays.values()
    for updated in (params, assigned):
        updated.W *= 2
        updated.U *= 2
        updated.b *= 2
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, 4 * before[name])


@pytest.mark.parametrize("name", WEIGHTS)
def test_updating_a_gate_changes_only_its_columns(name: str) -> None:
    params = params_of(RUN)
    before = {gate: array.copy() for gate, array in params.gates().items()}
    setattr(params, name, getattr(params, name) + 1)
    for gate, array in params.gates().items():
        np.testing.assert_array_equal(array, before[gate] + (gate == name))


@pytest.mark.parametrize("name", [*BLOCKS, *WEIGHTS])
def test_an_array_of_the_wrong_shape_or_dtype_is_refused_and_changes_nothing(name: str) -> None:
    params = params_of(RUN)
    dims = BLOCKS[name] if name in BLOCKS else {"W": "H=5, H=5", "U": "D=4, H=5", "b": "H=5,"}[name[0]]
    before = getattr(params, name).copy()
    for faulty in (before[None], *(np.repeat(before, 2, axis) for axis in range(before.ndim)), before[:1]):
        with pytest.raises(ValueError, match=rf"^{name} has shape .*; expected .*\({dims}\)$"):
            setattr(params, name, faulty)
    with pytest.raises(TypeError, match=f"^{name} has dtype float32; expected float64"):
        setattr(params, name, before.astype(np.float32))
    np.testing.assert_array_equal(getattr(params, name), before)


@pytest.mark.parametrize("name", ["w", "hidden_size"])
def test_no_other_attribute_can_be_assigned(name: str) -> None:
    with pytest.raises(
        AttributeError, match=f"^{name} cannot be set; expected W, U, b or one of {', '.join(WEIGHTS)}$"
    ):
        setattr(params_of(RUN), name, 7)


def test_gradient_descent_lowers_a_loss() -> None:
    params, target = params_of(RUN), np.full((2, 5), 0.3)
    losses = []
    for _ in range(50):
        tape = manual.forward(params, RUN.inputs["x"])
        losses.append(np.sum((tape.h_T - target) ** 2) / 2)
        gradients = manual.backward(tape, dh_T=tape.h_T - target)
        for name, gradient in gradients.params.gates().items():
            setattr(params, name, getattr(params, name) - 0.5 * gradient)
    assert losses[-1] < losses[0] / 2


@TWINS
def test_the_states_of_a_tape_begin_with_the_initial_and_end_with_the_last_ones(twin: ModuleType) -> None:
    tape, (_, h0, C0) = forward(twin, RUN), STATES
    np.testing.assert_array_equal(tape.hs, [h0, *tape.h])
    np.testing.assert_array_equal(tape.Cs, [C0, *tape.C])
    np.testing.assert_array_equal(tape.h_T, tape.h[-1], strict=True)
    np.testing.assert_array_equal(tape.C_T, tape.C[-1], strict=True)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_last_states_of_an_empty_sequence_are_the_initial_ones(dtype: str) -> None:
    params, (x, h0, C0) = params_of(without_zeros((3, 2, D, H), dtype)), (array.astype(dtype) for array in STATES)
    for result in (
        manual.bptt.forward(params, x[:0], h0, C0),
        manual.forward(params, x[:0], h0, C0),
        manual.forward(params, x[:0], h0, C0, checkpoint=2),
        manual.infer(params, x[:0], h0, C0),
    ):
        assert result.h.shape == (0, 2, H)
        np.testing.assert_array_equal(result.h_T, h0, strict=True)
        np.testing.assert_array_equal(result.C_T, C0, strict=True)


def test_a_checkpointed_tape_has_the_states_of_a_full_one() -> None:
    full, tape = forward(manual.fused, RUN), manual.forward(params_of(RUN), *STATES, checkpoint=2)
    for name in ("h", "h_T", "C_T"):
        np.testing.assert_allclose(getattr(tape, name), getattr(full, name), rtol=0, atol=1e-14, strict=True)
    for name in ("C", "Cs", "f", "i", "g", "o", "tanh_C"):
        with pytest.raises(AttributeError) as raised:
            getattr(tape, name)
        how = "call forward without checkpoint to get it"
        assert str(raised.value) == f"a CheckpointedTape does not keep {name}; {how}"
    with pytest.raises(AttributeError, match=r"^'CheckpointedTape' object has no attribute 'c'$"):
        _ = tape.c


@TWINS
@pytest.mark.parametrize("upstream", [1.0, 3e38])  # the second one overflows, and the pass is repeated in float64
def test_the_gradients_of_the_parameters_can_be_scaled_in_place(twin: ModuleType, upstream: float) -> None:
    tape = forward(twin, without_zeros((3, 2, D, H), "float32"))
    gradients = twin.backward(tape, np.full((3, 2, H), upstream, np.float32)).params
    before = {name: array.copy() for name, array in gradients.gates().items()}
    gradients.W *= 0.5
    gradients.U_f *= 0.5
    for name, array in gradients.gates().items():
        halved = name[0] == "W" or name == "U_f"
        np.testing.assert_array_equal(array, before[name] * np.float32(0.5 if halved else 1), strict=True)


def test_every_result_is_shown_in_one_line_with_its_sizes() -> None:
    params = params_of(RUN)
    tape, checkpointed = manual.forward(params, *STATES), manual.forward(params, *STATES, checkpoint=2)
    gradients = manual.backward(tape, dh_T=tape.h_T)
    sizes = "T=3, B=2, D=4, H=5"
    assert repr(params) == "Params(input_size=4, hidden_size=5, dtype=float64)"
    assert repr(tape) == f"Tape({sizes}, dtype=float64)"
    assert repr(checkpointed) == f"CheckpointedTape({sizes}, every=2, dtype=float64)"
    assert repr(gradients) == f"Gradients({sizes}, dtype=float64)"
    assert repr(gradients.params) == "ParamGradients(input_size=4, hidden_size=5, dtype=float64)"
    assert repr(manual.infer(params, *STATES)) == "States(T=3, B=2, H=5, dtype=float64)"
