"""Haiku: `LSTM`, by `dynamic_unroll`. It adds 1 to the forget gate, which the layout subtracts from the bias."""

from __future__ import annotations

from typing import Any

import haiku
import jax.numpy as jnp

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states and gradients of a run."""
    return by_jax.outputs(unroll, "haiku", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """Run the core over all steps and return h and C of every step, the last h and the last C."""

    def core(x: Any, h0: Any, C0: Any) -> Any:
        return haiku.dynamic_unroll(haiku.LSTM(h0.shape[-1]), x, haiku.LSTMState(h0, C0), return_all_states=True)

    variables = {"lstm/linear": {"w": weights["linear/w"], "b": weights["linear/b"]}}
    _, (h, C) = haiku.without_apply_rng(haiku.transform(core)).apply(variables, x, h0, C0)
    return h, C, *(jnp.concatenate([first[None], states])[-1] for first, states in ((h0, h), (C0, C)))
