"""Parameters train in place: through the stacked arrays, through the gates' views, by assignment."""

from __future__ import annotations

import numpy as np
import pytest

from manual import Params, backward, forward
from tests.strategies import without_zeros
from tests.twins import params_of

RUN = without_zeros((3, 2, 4, 5))


def test_an_update_in_place_changes_the_array_that_was_given() -> None:
    given = params_of(RUN)
    W, before = given.W, given.W.copy()
    params = Params(W, given.U, given.b)
    params.W -= 0.5
    assert params.W is W
    np.testing.assert_array_equal(W, before - 0.5)


@pytest.mark.parametrize("name", ["W_f", "U_g", "b_o"])
def test_an_update_of_a_gate_changes_its_columns_alone(name: str) -> None:
    params = params_of(RUN)
    before = {gate: view.copy() for gate, view in params.gates().items()}
    setattr(params, name, getattr(params, name) + 1)
    for gate, view in params.gates().items():
        np.testing.assert_array_equal(view, before[gate] + (gate == name))


def test_an_assigned_array_is_the_new_one() -> None:
    params, other = params_of(RUN), params_of(RUN).U * 2
    params.U = other
    assert params.U is other
    np.testing.assert_array_equal(params.U_g, other[:, 10:15])


@pytest.mark.parametrize(("name", "dims"), [("W", "(H=5, 4H=20)"), ("U", "(D=4, 4H=20)"), ("b", "(4H=20,)")])
def test_an_assigned_array_has_to_fit(name: str, dims: str) -> None:
    params = params_of(RUN)
    kept = getattr(params, name)
    with pytest.raises(ValueError, match=rf"{name} has shape .*; expected .*{dims[1:-1]}"):
        setattr(params, name, np.zeros((3,) * kept.ndim))
    with pytest.raises(TypeError, match=f"{name} has dtype float32; expected float64"):
        setattr(params, name, kept.astype(np.float32))
    assert getattr(params, name) is kept


def test_gradient_descent_lowers_a_loss() -> None:
    params, target = params_of(RUN), np.full((2, 5), 0.3)
    losses = []
    for _ in range(50):
        tape = forward(params, RUN.inputs["x"])
        losses.append(np.sum((tape.h_T - target) ** 2) / 2)
        gradients = backward(tape, dh_T=tape.h_T - target)
        for name, gradient in gradients.params.gates().items():
            setattr(params, name, getattr(params, name) - 0.5 * gradient)
    assert losses[-1] < losses[0] / 2
