"""LSTMs that others wrote, as subjects of `verify`: Flax's for many runs at once, ONNX Runtime's for one."""

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
    """States and gradients by Flax's `LSTMCell`, of many runs of one dtype."""
    return evaluate(by_autodiff(flax_unroll), cases, cases[0].dtype)


def flax_unroll(p: dict[str, Any], *inputs: Any) -> tuple[Any, ...]:
    """The cell over time, with its weights named as in a run."""
    from lstm_oracle.candidates.packages import flax

    weights = {f"h{k}/{name}": p[f"{kind}_{k}"] for kind, name in (("W", "kernel"), ("b", "bias")) for k in GATES}
    return flax.unroll(weights | {f"i{k}/kernel": p[f"U_{k}"] for k in GATES}, *inputs)


@cache
def by_autodiff(unroll: Callable[..., tuple[Any, ...]]) -> BlockFunction:
    """States and gradients of an LSTM in JAX: from (weights, x, h0, C0) to h, C, the last h and the last C."""

    def blocks(p: dict[str, Any], x: Any, h0: Any, C0: Any, upstream: dict[str, Any]) -> dict[str, Any]:
        (h, C), pull_back = jax.vjp(lambda *inputs: unroll(*inputs)[:2], p, x, h0, C0)
        dp, dx, dh0, dC0 = pull_back((upstream["dh"] + upstream["dh_next"], upstream["dC_next"]))
        return {"h": h, "C": C, **{f"d{name}": d for name, d in dp.items()}, "dx": dx, "dh0": dh0, "dC0": dC0}

    return blocks


def onnxruntime_blocks(case: Case) -> dict[str, Array] | None:
    """States by ONNX Runtime's LSTM operator; None for a run that it does not take.

    The operator computes in float32 and knows no empty sequence or batch.
    """
    from lstm_oracle.candidates.packages import onnxruntime

    return onnxruntime.lstm(**case.inputs) if case.dtype == np.float32 and 0 not in case.sizes else None
