"""The edges of `lstm_oracle.autodiff.probes`, all steps at once: the same numbers to rounding, in less time.

What arrives at every step on edges 2 and 4 is found first, by autodiff over time with a zero added
to both states that a step hands on. Then no step needs another any more: all of them are
differentiated together, as the one cell of `lstm_oracle.autodiff.probes` on more rows, in few large products.
The cell is taken in its two parts: what the first pass has added up is not multiplied out again.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lstm_oracle.autodiff.lstm import Weights
from lstm_oracle.autodiff.probes import EDGES, TO_X, Probes, from_sums, sums
from lstm_oracle.run import GATES


def pull_back(
    p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array, upstream: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], Probes, dict[str, jax.Array]]:
    """Return the values, edges and gradients of a run of at least one step, as `autodiff.probes.pull_back` does."""
    zero = jnp.zeros((len(x), *h0.shape), x.dtype)
    zeros = {n: jnp.zeros_like(x) if n in TO_X else zero for n in EDGES}

    (_, h_next, C_next), vjp, z = jax.vjp(partial(states, p, x, h0, C0), zero, zero, has_aux=True)
    δ2, δ4 = vjp((upstream["dh"], upstream["dh_next"], upstream["dC_next"]))
    h_prev, C_prev = (jnp.concatenate([s0[None], s[:-1]]) for s0, s in ((h0, h_next), (C0, C_next)))

    def every_step(*inputs: Any) -> tuple[Any, Any]:
        values = from_sums(*inputs)
        return {name: values[name] for name in ("h_out", "h_next", "C_next")}, values

    _, vjp, values = jax.vjp(every_step, jnp.split(z, 4, axis=-1), zeros, C_prev, has_aux=True)
    dz, edges, dC_prev = vjp({"h_out": upstream["dh"], "h_next": δ2, "C_next": δ4})
    _, vjp = jax.vjp(sums, p, zeros, h_prev, x)  # whose values nobody asks for, so that XLA computes none of them
    dp, to_sums, dh_prev, dx = vjp(tuple(dz))
    edges = jax.tree.map(jnp.add, edges, to_sums)  # an edge is in one part; in the other its zero changes nothing
    gradients = {f"d{name}": d for name, d in dp.items()} | {"dx": dx, "dh0": dh_prev[0], "dC0": dC_prev[0]}
    return values, edges, gradients


def states(
    p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array, e2: jax.Array, e4: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
    """What leaves every step: h on edge 1, and on edges 2 and 4, with probes there, h and C; and its sums, f i g o."""
    W, U, b = (jnp.concatenate([p[f"{kind}_{gate}"] for gate in GATES], axis=-1) for kind in "WUb")

    def step(state: tuple[jax.Array, jax.Array], at: tuple[jax.Array, ...]) -> tuple[Any, Any]:
        h, C = state
        z, e2, e4 = at
        z = h @ W + z
        f, i, g, o = jnp.split(z, 4, axis=1)
        C = C * jax.nn.sigmoid(f) + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jnp.tanh(C) * jax.nn.sigmoid(o)
        return (h + e2, C + e4), ((h, h + e2, C + e4), z)

    out: tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array] = jax.lax.scan(step, (h0, C0), (x @ U + b, e2, e4))[1]
    return out
