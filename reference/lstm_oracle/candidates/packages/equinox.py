"""Equinox: `nn.LSTMCell`, in a scan over the steps and a `vmap` over the rows."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

import equinox
import jax

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array

ARRAYS = "weight_ih", "weight_hh", "bias"


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states and gradients of a run."""
    return by_jax.outputs(unroll, "equinox", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """Run the cell over all steps and return h and C of every step, the last h and the last C."""
    cell = equinox.nn.LSTMCell(x.shape[-1], h0.shape[-1], dtype=x.dtype, key=jax.random.key(0))
    cell = equinox.tree_at(attrgetter(*ARRAYS), cell, [weights[name] for name in ARRAYS])

    def step(state: Any, x: Any) -> tuple[Any, Any]:
        state = jax.vmap(cell)(x, state)
        return state, state

    (h_T, C_T), (h, C) = jax.lax.scan(step, (h0, C0), x)
    return h, C, h_T, C_T
