"""LSTMs of other packages as subjects of `verify`: Flax's for many runs at once, ONNX Runtime's for one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import numpy as np

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import GATES, Array
from lstm_oracle.truth.batch import BlockFunction, evaluate


def flax_blocks(cases: Sequence[Case]) -> Sequence[dict[str, Array]]:
    """Return the states and gradients of runs of one dtype by Flax's `LSTMCell`."""
    return evaluate(by_autodiff(flax_unroll), cases, cases[0].dtype)


def flax_unroll(p: dict[str, Any], *inputs: Any) -> tuple[Any, ...]:
    """Unroll Flax's cell over time, with the weights `p` named as in a run."""
    from lstm_oracle.candidates.packages import flax  # loaded when it is first needed: Flax is optional

    weights = {f"h{k}/{name}": p[f"{kind}_{k}"] for kind, name in (("W", "kernel"), ("b", "bias")) for k in GATES}
    return flax.unroll(weights | {f"i{k}/kernel": p[f"U_{k}"] for k in GATES}, *inputs)


@cache
def by_autodiff(unroll: Callable[..., tuple[Any, ...]]) -> BlockFunction:
    """Return the function that computes states and gradients of an LSTM in JAX.

    Args:
        unroll: from (weights, x, h0, C0) to h and C of every step, the last h and the last C.
    """

    def blocks(p: dict[str, Any], x: Any, h0: Any, C0: Any, upstream: dict[str, Any]) -> dict[str, Any]:
        (h, C), pull_back = jax.vjp(lambda *inputs: unroll(*inputs)[:2], p, x, h0, C0)
        dp, dx, dh0, dC0 = pull_back((upstream["dh"] + upstream["dh_next"], upstream["dC_next"]))
        return {"h": h, "C": C, **{f"d{name}": d for name, d in dp.items()}, "dx": dx, "dh0": dh0, "dC0": dC0}

    return blocks


def onnxruntime_blocks(case: Case) -> dict[str, Array] | None:
    """Return the states of a run by ONNX Runtime's operator LSTM, or None if the operator does not support the run.

    The operator computes in float32, and supports neither an empty sequence nor an empty batch.
    """
    from lstm_oracle.candidates.packages import onnxruntime  # loaded when it is first needed: the package is optional

    return onnxruntime.lstm(**case.inputs) if case.dtype == np.float32 and 0 not in case.sizes else None
