"""The LSTM unit in JAX: the forward pass from its equations, every gradient by autodiff.

The forward equations are those of D. Fichou, "LSTM units", with a bias. This module contains no gradient that was
derived by hand and shares no code with `manual`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_oracle.run import GRADIENTS, Array, with_weights

Weights = Mapping[str, Any]


def forward(params: Weights, x: Array, h0: Array | None = None, C0: Array | None = None) -> tuple[Array, Array]:
    """Return the states h and C of every step, both (T, B, H).

    Args:
        params: the gate arrays by name: W_f W_i W_g W_o (H, H), U_* (D, H), b_* (H,); zeros for a missing bias.
        x: the input sequence, (T, B, D).
        h0, C0: the initial states, (B, H); zeros if missing.

    All arrays are float32 or all are float64, and the results have the same dtype. The caller's JAX configuration is
    not changed.

    Raises:
        TypeError, ValueError: an array has the wrong dtype or shape; the message has the array's name.
    """
    run = with_weights(params, x=x, h0=h0, C0=C0)
    with full_precision():
        h, C, _, _ = jax.jit(unroll)(weights(run), run["x"], run["h0"], run["C0"])
        return np.array(h), np.array(C)


def backward(
    params: Weights,
    x: Array,
    h0: Array | None = None,
    C0: Array | None = None,
    dh: Array | None = None,
    *,
    dh_T: Array | None = None,
    dC_T: Array | None = None,
) -> dict[str, Array]:
    """Return the gradients {"dW_f": …, …, "db_o": …, "dx": …, "dh0": …, "dC0": …} by `jax.vjp`.

    Each has the shape and dtype of its input.

    Args:
        params, x, h0, C0: as for `forward`.
        dh: the loss gradient that arrives at every h, (T, B, H); zeros if missing.
        dh_T, dC_T: the loss gradients that arrive at the last h and C from beyond the last step, (B, H); zeros if
            missing.

    Raises:
        TypeError, ValueError: an array has the wrong dtype or shape; the message has the array's name.
    """
    run = with_weights(params, x=x, h0=h0, C0=C0, dh=dh, dh_T=dh_T, dC_T=dC_T)
    with full_precision():
        dp, dx, dh0, dC0 = pull_back(weights(run), run["x"], run["h0"], run["C0"], run["dh"], run["dh_T"], run["dC_T"])
        gradients = {f"d{name}": d for name, d in dp.items()} | {"dx": dx, "dh0": dh0, "dC0": dC0}
        return {name: np.array(gradients[name]) for name in GRADIENTS}


def unroll(p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array) -> tuple[jax.Array, ...]:
    """Run the unit over time: return h and C of every step, (T, B, H), then the last h and the last C, (B, H)."""

    def step(state: tuple[jax.Array, jax.Array], x: jax.Array) -> tuple[Any, Any]:
        h, C = state
        f = jax.nn.sigmoid(h @ p["W_f"] + x @ p["U_f"] + p["b_f"])
        i = jax.nn.sigmoid(h @ p["W_i"] + x @ p["U_i"] + p["b_i"])
        g = jnp.tanh(h @ p["W_g"] + x @ p["U_g"] + p["b_g"])
        o = jax.nn.sigmoid(h @ p["W_o"] + x @ p["U_o"] + p["b_o"])
        C = C * f + i * g
        h = jnp.tanh(C) * o
        return (h, C), (h, C)

    (h_T, C_T), (h, C) = jax.lax.scan(step, (h0, C0), x)
    return h, C, h_T, C_T


@jax.jit
def pull_back(
    p: Weights,
    x: jax.Array,
    h0: jax.Array,
    C0: jax.Array,
    dh: jax.Array,
    dh_T: jax.Array,
    dC_T: jax.Array,
) -> tuple[Any, ...]:
    """Return the gradients with respect to p, x, h0 and C0."""

    def outputs(*inputs: Any) -> tuple[jax.Array, ...]:
        h, _, h_T, C_T = unroll(*inputs)
        return h, h_T, C_T

    _, vjp = jax.vjp(outputs, p, x, h0, C0)
    return vjp((dh, dh_T, dC_T))


def weights(run: Mapping[str, Array]) -> dict[str, Array]:
    """Return the weights and biases among the arrays of a run."""
    return {name: array for name, array in run.items() if name[:2] in ("W_", "U_", "b_")}


@contextmanager
def full_precision() -> Iterator[None]:
    """Configure JAX, within this context, for float64, products at full precision, and the CPU."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), jax.default_device("cpu"):
        yield
