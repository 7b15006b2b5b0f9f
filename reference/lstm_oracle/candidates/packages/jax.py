"""JAX: `jax.experimental.rnn.lstm_ref`, the reference implementation of `rnn.lstm`, which itself needs cuDNN."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.experimental import rnn

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array

ARRAYS = "weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"  # in this order in one vector


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states and gradients of a run; of the cell states, only the last."""
    return by_jax.outputs(unroll, "torch", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """Run the layer over all steps and return h of every step, None, the last h and the last C."""
    (T, B, D), H = x.shape, h0.shape[-1]
    flat = jnp.concatenate([weights[name].ravel() for name in ARRAYS])
    unpacked = rnn.unpack_lstm_weights(flat, D, H, num_layers=1, bidirectional=False)
    lengths = jnp.full(B, T, jnp.int32)
    h, h_T, C_T = rnn.lstm_ref(x.swapaxes(0, 1), h0[None], C0[None], *unpacked, lengths, D, H, 1, 0.0, False)
    return h.swapaxes(0, 1), None, h_T[0], C_T[0]
