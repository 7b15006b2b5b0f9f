"""The gradient on every numbered edge of the unit, by autodiff with respect to a zero that is added there.

This is the cell of `lstm_oracle.autodiff.lstm` with a probe `e[n]`, an array of zeros, added to the value on edge n of
the source's picture (manual/unit.svg). The derivative of the loss with respect to that probe is δn by definition, so
that no chain rule is applied by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lstm_oracle.autodiff.lstm import Weights, full_precision, weights
from lstm_oracle.run import Array, with_weights

EDGES = range(1, 27)
TO_X = (17, 19, 21, 23, 26)  # these edges carry D values, the others H
Probes = dict[int, jax.Array]


def deltas(
    params: Weights,
    x: Array,
    h0: Array | None = None,
    C0: Array | None = None,
    dh: Array | None = None,
    *,
    dh_T: Array | None = None,
    dC_T: Array | None = None,
) -> list[dict[int, Array]]:
    """Return the loss gradient on every edge of every step: `[{1: δ1, …, 26: δ26}, …]`, one dictionary per step.

    The arrays are (B, H), or (B, D) on the edges to x.

    Args:
        params, x, h0, C0, dh, dh_T, dC_T: as for `autodiff.backward`.

    Raises:
        TypeError, ValueError: an array has the wrong dtype or shape; the message has the array's name.
    """
    run = with_weights(params, x=x, h0=h0, C0=C0, dh=dh, dh_T=dh_T, dC_T=dC_T)
    T = len(run["x"])
    upstream = {"dh": run["dh"], "dh_next": at_last_step(run["dh_T"], T), "dC_next": at_last_step(run["dC_T"], T)}
    with full_precision():
        _, edges, _ = pull_back(weights(run), run["x"], run["h0"], run["C0"], upstream)
        by_edge = {n: np.array(δ) for n, δ in edges.items()}
    return [{n: by_edge[n][t] for n in EDGES} for t in range(T)]


def cell(p: Weights, e: Probes, h_prev: jax.Array, C_prev: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
    """Compute one step with a probe on every edge.

    Returns all values of the step by name, including "h_out", "h_next" and "C_next" on edges 1, 2 and 4.
    """
    return gates_and_states(pre_activations(p, e, h_prev, x), e, C_prev)


def pre_activations(p: Weights, e: Probes, h_prev: jax.Array, x: jax.Array) -> tuple[jax.Array, ...]:
    """Return the pre-activations of the gates f, i, g and o, each (B, H), on edges 16, 15, 14 and 13."""
    h_prev, x = h_prev + e[25], x + e[26]
    z_f = (h_prev + e[24]) @ p["W_f"] + (x + e[23]) @ p["U_f"] + p["b_f"] + e[16]
    z_i = (h_prev + e[22]) @ p["W_i"] + (x + e[21]) @ p["U_i"] + p["b_i"] + e[15]
    z_g = (h_prev + e[20]) @ p["W_g"] + (x + e[19]) @ p["U_g"] + p["b_g"] + e[14]
    z_o = (h_prev + e[18]) @ p["W_o"] + (x + e[17]) @ p["U_o"] + p["b_o"] + e[13]
    return z_f, z_i, z_g, z_o


def gates_and_states(z: Sequence[jax.Array], e: Probes, C_prev: jax.Array) -> dict[str, jax.Array]:
    """Return the values of a step by name, from its pre-activations and the previous cell state."""
    z_f, z_i, z_g, z_o = z
    f, i = jax.nn.sigmoid(z_f) + e[12], jax.nn.sigmoid(z_i) + e[10]
    g, o = jnp.tanh(z_g) + e[9], jax.nn.sigmoid(z_o) + e[6]
    C = (C_prev + e[11]) * f + i * g + e[8]
    tanh_C = jnp.tanh(C + e[7]) + e[5]
    h = tanh_C * o + e[3]
    values = {"f": f, "i": i, "g": g, "o": o, "C": C, "tanh_C": tanh_C, "h": h}
    return values | {"h_out": h + e[1], "h_next": h + e[2], "C_next": C + e[4]}


@jax.jit
def pull_back(
    p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array, upstream: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], Probes, dict[str, jax.Array]]:
    """Return the values and the edge gradients of all steps, (T, B, H) or (T, B, D), and the gradients of the inputs.

    Args:
        p, x, h0, C0: the weights and biases, the input sequence, and the initial states.
        upstream: a loss gradient (T, B, H) for each edge that leaves a step: "dh" on edge 1, "dh_next" on edge 2 and
            "dC_next" on edge 4. In arrays padded to more steps, a gradient that arrives beyond the last step of the
            run belongs on edges 2 and 4 of that step, with zeros afterwards.
    """
    zero = jnp.zeros((len(x), *h0.shape), x.dtype)
    zeros = {n: jnp.zeros_like(x) if n in TO_X else zero for n in EDGES}

    def outputs(p: Weights, e: Probes, x: jax.Array, h0: jax.Array, C0: jax.Array) -> tuple[Any, Any]:
        def step(state: tuple[jax.Array, jax.Array], at: tuple[Probes, jax.Array]) -> tuple[Any, Any]:
            values = cell(p, at[0], *state, at[1])
            return (values["h_next"], values["C_next"]), values

        _, values = jax.lax.scan(step, (h0, C0), (e, x))
        return {"dh": values["h_out"], "dh_next": values["h_next"], "dC_next": values["C_next"]}, values

    _, vjp, values = jax.vjp(outputs, p, zeros, x, h0, C0, has_aux=True)
    dp, edges, dx, dh0, dC0 = vjp(upstream)
    return values, edges, {f"d{name}": d for name, d in dp.items()} | {"dx": dx, "dh0": dh0, "dC0": dC0}


def at_last_step(arriving: Array, T: int) -> Array:
    """Return a loss gradient that arrives beyond the last step, (B, H), as an array (T, B, H) of zeros before it."""
    over_time = np.zeros((T, *arriving.shape), arriving.dtype)
    over_time[-1:] = arriving
    return over_time
