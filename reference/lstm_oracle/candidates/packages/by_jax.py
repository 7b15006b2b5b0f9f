"""All outputs of a run by JAX's autodiff, for the adapters of packages that build on JAX."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np

from lstm_oracle.autodiff.lstm import full_precision, weights
from lstm_oracle.run import Array
from manual import Params
from manual.layouts import pack, unpack

# From (weights, x, h0, C0) to h and C of every step, (T, B, H), and the last h and C, (B, H). A package that does not
# return C of every step has None there.
Unroll = Callable[..., tuple[Any, Any, Any, Any]]


def outputs(unroll: Unroll, layout: str, run: dict[str, Array]) -> dict[str, Array]:
    """Return the states and gradients of a run, computed in the precision of its inputs.

    Args:
        unroll: the LSTM that is judged; its weights are the arrays of the layout, by name.
        layout: a name in `manual.layouts.LAYOUTS`.
        run: the inputs of a run.
    """
    packed = pack(Params.from_gates(**weights(run)), layout)
    with full_precision(), jax.enable_x64(run["x"].dtype == np.float64):
        inputs, upstream = (packed, run["x"], run["h0"], run["C0"]), (run["dh"], run["dh_T"], run["dC_T"])
        found = jax.tree.map(np.array, compiled(unroll)(inputs, upstream))
    gradients = unpack(found.pop("weights"), layout, gradients=True).gates()
    return {**{f"d{name}": d for name, d in gradients.items()}, **{n: a for n, a in found.items() if a is not None}}


@cache
def compiled(unroll: Unroll) -> Any:
    """Compile the states and gradients as one function of the inputs and the upstream gradients."""

    def states(*inputs: Any) -> tuple[Any, Any]:
        h, C, h_T, C_T = unroll(*inputs)
        return (h, h_T, C_T), C

    def found(inputs: Any, upstream: Any) -> dict[str, Any]:
        (h, _, C_T), pull_back, C = jax.vjp(states, *inputs, has_aux=True)
        dweights, dx, dh0, dC0 = pull_back(upstream)
        return {"h": h, "C": C, "C_T": C_T, "weights": dweights, "dx": dx, "dh0": dh0, "dC0": dC0}

    return jax.jit(found)
