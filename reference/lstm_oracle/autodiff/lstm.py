"""The LSTM unit in JAX: the forward pass from its equations, every gradient by autodiff.

The forward equations are those of D. Fichou, "LSTM units", with a bias; nothing here knows how the
gradients are derived by hand, and nothing is shared with `manual`.
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
    """The states (h, C) of every step, both (T, B, H).

    Args:
        params: the gate arrays by name: W_f W_i W_g W_o (H, H), U_* (D, H), b_* (H,); without a bias, zeros.
        x: (T, B, D).
        h0, C0: (B, H); zeros if missing.

    All are float32 or all float64; a result has that dtype. Raises TypeError and ValueError with
    the name of the array that does not fit. The settings of JAX are those of the caller afterwards.
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
    """The gradients {"dW_f": …, …, "db_o": …, "dx": …, "dh0": …, "dC0": …} by `jax.vjp`.

    Args are those of `forward` and the loss gradients arriving at every h, `dh` (T, B, H), and at
    the last h and C from beyond the last step, `dh_T` and `dC_T` (B, H); zeros if missing.
    """
    run = with_weights(params, x=x, h0=h0, C0=C0, dh=dh, dh_T=dh_T, dC_T=dC_T)
    with full_precision():
        dp, dx, dh0, dC0 = pull_back(weights(run), run["x"], run["h0"], run["C0"], run["dh"], run["dh_T"], run["dC_T"])
        gradients = {f"d{name}": d for name, d in dp.items()} | {"dx": dx, "dh0": dh0, "dC0": dC0}
        return {name: np.array(gradients[name]) for name in GRADIENTS}


def unroll(p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array) -> tuple[jax.Array, ...]:
    """The unit over time: h and C of every step, then the last h and the last C."""

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
    """The gradients with respect to p, x, h0 and C0."""

    def outputs(*inputs: Any) -> tuple[jax.Array, ...]:
        h, _, h_T, C_T = unroll(*inputs)
        return h, h_T, C_T

    _, vjp = jax.vjp(outputs, p, x, h0, C0)
    return vjp((dh, dh_T, dC_T))


def weights(run: Mapping[str, Array]) -> dict[str, Array]:
    """The weights and biases of a run."""
    return {name: array for name, array in run.items() if name[:2] in ("W_", "U_", "b_")}


@contextmanager
def full_precision() -> Iterator[None]:
    """float64 where the input is float64, products at full precision, on the CPU; in this scope alone."""
    with jax.enable_x64(True), jax.default_matmul_precision("highest"), jax.default_device("cpu"):
        yield
