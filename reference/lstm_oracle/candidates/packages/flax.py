"""Flax: `linen.LSTMCell`, in a scan over the steps."""

from __future__ import annotations

from typing import Any

import jax
from flax import linen, traverse_util

from lstm_oracle.candidates.packages import by_jax
from lstm_oracle.run import Array


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states and gradients of a run."""
    return by_jax.outputs(unroll, "flax", run)


def unroll(weights: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, ...]:
    """Run the cell over all steps and return h and C of every step, the last h and the last C."""
    cell = linen.LSTMCell(h0.shape[-1], dtype=x.dtype, param_dtype=x.dtype)
    variables = {"params": traverse_util.unflatten_dict(weights, sep="/")}  # type: ignore[no-untyped-call]

    def step(state: Any, x: Any) -> tuple[Any, Any]:
        (C, h), _ = cell.apply(variables, state, x)
        return (C, h), (h, C)

    (C_T, h_T), (h, C) = jax.lax.scan(step, (C0, h0), x)
    return h, C, h_T, C_T
