"""The literal implementation: optional arguments, the order of the edges, and results that share no memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lstm_oracle.verify.twins import gradients as named
from manual import Gradients, bptt
from tests.strategies import without_zeros
from tests.twins import forward, params_of, same_bits, upstream_of

T, B, D, H = SIZES = 3, 2, 5, 4
RUN = without_zeros(SIZES)
BACKWARD = pytest.mark.parametrize("backward", [bptt.backward, bptt.deltas])


def blocks(found: Any) -> dict[Any, Any]:
    """Return the arrays in the result of `bptt.backward` or `bptt.deltas`, by name."""
    if isinstance(found, Gradients):
        return named(found)
    return {(t, n): δ for t, edges in enumerate(found) for n, δ in edges.items()}


@pytest.mark.parametrize("missing", [{"h0"}, {"C0"}, {"h0", "C0"}])
def test_a_missing_state_is_zero(missing: set[str]) -> None:
    given = {name: RUN.inputs[name] for name in ("h0", "C0")}
    zeros = {name: np.zeros_like(given[name]) for name in missing}
    found = bptt.forward(params_of(RUN), RUN.inputs["x"], **{n: a for n, a in given.items() if n not in missing})
    expected = bptt.forward(params_of(RUN), RUN.inputs["x"], **given | zeros)
    for name in ("hs", "Cs", "tanh_C"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), strict=True)


@pytest.mark.parametrize("missing", [{"dh"}, {"dh_T"}, {"dC_T"}, {"dh_T", "dC_T"}, {"dh", "dC_T"}, {"dh", "dh_T"}])
@BACKWARD
def test_a_missing_upstream_gradient_is_zero(backward: Callable[..., Any], missing: set[str]) -> None:
    tape, given = forward(bptt, RUN), upstream_of(RUN)
    found = backward(tape, **{name: array for name, array in given.items() if name not in missing})
    expected = backward(tape, **given | {name: np.zeros_like(given[name]) for name in missing})
    assert same_bits(blocks(found), blocks(expected))


@BACKWARD
def test_without_any_upstream_gradient_there_is_nothing_to_propagate(backward: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="dh, dh_T and dC_T are all missing; expected at least one gradient"):
        backward(forward(bptt, RUN))


@pytest.mark.parametrize("sizes", [SIZES, (0, B, D, H)])
@BACKWARD
def test_writing_into_the_results_changes_no_upstream_gradient(
    backward: Callable[..., Any], sizes: tuple[int, int, int, int]
) -> None:
    run = without_zeros(sizes)
    given = {name: array.copy() for name, array in upstream_of(run).items()}
    for block in blocks(backward(forward(bptt, run), **given)).values():
        block += 1
    assert same_bits(given, upstream_of(run))


def test_each_step_receives_its_upstream_gradients_from_the_next_step() -> None:
    given, δs = upstream_of(RUN), bptt.deltas(forward(bptt, RUN), **upstream_of(RUN))
    for t, δ in enumerate(δs):
        np.testing.assert_array_equal(δ[1], given["dh"][t])
        np.testing.assert_array_equal(δ[2], δs[t + 1][25] if t + 1 < T else given["dh_T"])
        np.testing.assert_array_equal(δ[4], δs[t + 1][11] if t + 1 < T else given["dC_T"])
