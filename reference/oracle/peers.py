"""LSTMs that others wrote, judged on the runs that judge ours."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from reference.oracle.cases import Case
from reference.run import GATES, Array


def flax_blocks(p: dict[str, Any], x: Any, h0: Any, C0: Any, upstream: dict[str, Any]) -> dict[str, Any]:
    """States and gradients by Flax's `LSTMCell`, as a function that `reference.oracle.truth` evaluates."""
    import jax
    from flax import linen

    cell = linen.LSTMCell(h0.shape[-1], dtype=x.dtype, param_dtype=x.dtype)

    def unroll(p: dict[str, Any], x: Any, h0: Any, C0: Any) -> tuple[Any, Any]:
        weights = {f"h{k}": {"kernel": p[f"W_{k}"], "bias": p[f"b_{k}"]} for k in GATES}
        weights |= {f"i{k}": {"kernel": p[f"U_{k}"]} for k in GATES}

        def step(state: Any, x: Any) -> tuple[Any, Any]:
            (C, h), _ = cell.apply({"params": weights}, state, x)
            return (C, h), (h, C)

        h, C = jax.lax.scan(step, (C0, h0), x)[1]
        return h, C

    (h, C), vjp = jax.vjp(unroll, p, x, h0, C0)
    dp, dx, dh0, dC0 = vjp((upstream["dh"] + upstream["dh_next"], upstream["dC_next"]))
    return {"h": h, "C": C, **{f"d{name}": d for name, d in dp.items()}, "dx": dx, "dh0": dh0, "dC0": dC0}


def onnxruntime_blocks(case: Case) -> dict[str, Array] | None:
    """States by ONNX Runtime's LSTM operator; None for a run that it does not take.

    The operator computes in float32 and knows no empty sequence, batch or input.
    """
    if case.dtype != np.float32 or 0 in case.sizes:
        return None
    run, H = case.inputs, case.sizes[3]

    def stacked(kind: str) -> Array:  # ONNX's order is i, o, f, c
        return np.concatenate([run[f"{kind}_{k}"].T for k in "iofg"])

    bias = np.concatenate([stacked("b"), np.zeros(4 * H, np.float32)])
    feed = {"X": run["x"], "W": stacked("U")[None], "R": stacked("W")[None], "B": bias[None]}
    feed |= {"initial_h": run["h0"][None], "initial_c": run["C0"][None]}
    Y, Y_c = onnxruntime_session(H).run(["Y", "Y_c"], feed)
    return {"h": Y[:, 0], "C_T": Y_c[0]}


@cache
def onnxruntime_session(H: int) -> Any:
    """A model of one LSTM operator with H units."""
    import onnxruntime
    from onnx import TensorProto, checker, helper

    def tensors(shapes: dict[str, list[str | int]]) -> list[Any]:
        return [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]

    weights: dict[str, list[str | int]] = {"W": [1, 4 * H, "D"], "R": [1, 4 * H, H], "B": [1, 8 * H]}
    inputs: dict[str, list[str | int]] = {"X": ["T", "B", "D"], **weights}
    state: list[str | int] = [1, "B", H]
    names = [*inputs, "", "initial_h", "initial_c"]  # the empty name leaves sequence_lens out
    node = helper.make_node("LSTM", names, ["Y", "Y_h", "Y_c"], hidden_size=H)
    outputs: dict[str, list[str | int]] = {"Y": ["T", 1, "B", H], "Y_h": state, "Y_c": state}
    graph = helper.make_graph(
        [node], "lstm", tensors(inputs | {"initial_h": state, "initial_c": state}), tensors(outputs)
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(model)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
