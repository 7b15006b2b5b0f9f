"""Keras: `layers.LSTM`, with the JAX backend."""

from __future__ import annotations

import os
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported; this module runs in a process of its own

import keras

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states and gradients of a run; of the cell states, only the last."""
    return by_jax.outputs(unroll, "keras", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """Run the layer over all steps and return h of every step, None, the last h and the last C."""
    options: dict[str, Any] = {f"{name}_initializer": "zeros" for name in ("kernel", "recurrent", "bias")}
    options |= {"return_sequences": True, "return_state": True, "dtype": x.dtype.name}
    options["seed"] = 0  # otherwise Keras draws a seed
    layer = keras.layers.LSTM(h0.shape[-1], **options)
    x = x.swapaxes(0, 1)
    layer.build(x.shape)
    trainable = [weights[variable.name] for variable in layer.trainable_variables]
    fixed = [variable.value for variable in layer.non_trainable_variables]
    (h, h_T, C_T), _ = layer.stateless_call(trainable, fixed, x, initial_state=[h0, C0])
    return h.swapaxes(0, 1), None, h_T, C_T
