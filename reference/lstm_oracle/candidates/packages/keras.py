"""Keras: `layers.LSTM` on the backend JAX."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read where Keras is imported: this module runs in a process of its own

import keras

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array


def lstm(**run: Array) -> dict[str, Array]:
    """A run's states and gradients; of the cell states the last alone."""
    return by_jax.outputs(unroll, "keras", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """The layer over time: h of every step, then the last h and the last C."""
    options: dict[str, Any] = {f"{name}_initializer": "zeros" for name in ("kernel", "recurrent", "bias")}
    options |= {"return_sequences": True, "return_state": True, "dtype": x.dtype.name, "seed": 0}  # else it draws one
    layer = keras.layers.LSTM(h0.shape[-1], **options)
    x = x.swapaxes(0, 1)
    layer.build(x.shape)
    ours = [weights[variable.name] for variable in layer.trainable_variables]
    others = [variable.value for variable in layer.non_trainable_variables]
    (h, h_T, C_T), _ = layer.stateless_call(ours, others, x, initial_state=[h0, C0])
    return h.swapaxes(0, 1), None, h_T, C_T
