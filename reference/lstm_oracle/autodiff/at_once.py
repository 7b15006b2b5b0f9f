"""The edge gradients of `lstm_oracle.autodiff.probes` for all steps at once: equal up to rounding, and faster.

The first pass, over time and with probes on edges 2 and 4 only, computes the gradients δ2 and δ4 that arrive at every
step. Once they are known, no step depends on another: the second pass differentiates the cell of
`lstm_oracle.autodiff.probes` for all steps together, in a few large products. The cell is differentiated in two parts,
before and after its pre-activations, because the first pass has already computed these.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from lstm_oracle.autodiff.lstm import Weights
from lstm_oracle.autodiff.probes import EDGES, TO_X, Probes, gates_and_states, pre_activations
from lstm_oracle.run import GATES


def pull_back(
    p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array, upstream: Mapping[str, jax.Array]
) -> tuple[dict[str, jax.Array], Probes, dict[str, jax.Array]]:
    """Return the results of `autodiff.probes.pull_back`, for a run of at least one step."""
    zero = jnp.zeros((len(x), *h0.shape), x.dtype)
    zeros = {n: jnp.zeros_like(x) if n in TO_X else zero for n in EDGES}

    (_, h_next, C_next), vjp, z = jax.vjp(partial(unroll_with_probes, p, x, h0, C0), zero, zero, has_aux=True)
    δ2, δ4 = vjp((upstream["dh"], upstream["dh_next"], upstream["dC_next"]))
    h_prev, C_prev = (jnp.concatenate([s0[None], s[:-1]]) for s0, s in ((h0, h_next), (C0, C_next)))

    def every_step(*inputs: Any) -> tuple[Any, Any]:
        values = gates_and_states(*inputs)
        return {name: values[name] for name in ("h_out", "h_next", "C_next")}, values

    _, vjp, values = jax.vjp(every_step, jnp.split(z, 4, axis=-1), zeros, C_prev, has_aux=True)
    dz, edges, dC_prev = vjp({"h_out": upstream["dh"], "h_next": δ2, "C_next": δ4})
    _, vjp = jax.vjp(pre_activations, p, zeros, h_prev, x)  # the values are not used, so XLA does not compute them
    dp, edges_before, dh_prev, dx = vjp(tuple(dz))
    edges = jax.tree.map(jnp.add, edges, edges_before)  # each edge is in one part, and zero in the other
    gradients = {f"d{name}": d for name, d in dp.items()} | {"dx": dx, "dh0": dh_prev[0], "dC0": dC_prev[0]}
    return values, edges, gradients


def unroll_with_probes(
    p: Weights, x: jax.Array, h0: jax.Array, C0: jax.Array, e2: jax.Array, e4: jax.Array
) -> tuple[tuple[jax.Array, jax.Array, jax.Array], jax.Array]:
    """Run the unit over time with the probes e2 and e4, both (T, B, H), on edges 2 and 4.

    Returns h, h + e2 and C + e4 of every step, each (T, B, H), and the pre-activations of f, i, g and o, (T, B, 4H).
    """
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
