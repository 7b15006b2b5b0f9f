"""JAX: `jax.experimental.rnn`, by its reference in JAX; `rnn.lstm` itself needs cuDNN."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.experimental import rnn

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array

ARRAYS = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"  # one after the other, in one vector


def lstm(**run: Array) -> dict[str, Array]:
    """A run's states and gradients; of the cell states the last alone."""
    return by_jax.outputs(unroll, "torch", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """The layer over time: h of every step, then the last h and the last C."""
    (T, B, D), H = x.shape, h0.shape[-1]
    flat = jnp.concatenate([weights[name].ravel() for name in ARRAYS])
    apart = rnn.unpack_lstm_weights(flat, D, H, num_layers=1, bidirectional=False)
    lengths = jnp.full(B, T, jnp.int32)
    h, h_T, C_T = rnn.lstm_ref(x.swapaxes(0, 1), h0[None], C0[None], *apart, lengths, D, H, 1, 0.0, False)
    return h.swapaxes(0, 1), None, h_T[0], C_T[0]
