"""ONNX: the operator LSTM, forward only, by the reference evaluator that defines the operator."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from onnx import ModelProto, checker, helper
from onnx.reference import ReferenceEvaluator

from lstm_oracle.run import WEIGHTS, Array, DType
from manual import Params
from manual.layouts import pack


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states of a run; of the cell states, only the last."""
    evaluator = ReferenceEvaluator(model(run["h0"].shape[-1], run["x"].dtype))
    Y, Y_c = map(np.asarray, evaluator.run(["Y", "Y_c"], feed(run)))
    return {"h": Y[:, 0], "C_T": Y_c[0]}


def feed(run: dict[str, Array]) -> dict[str, Array]:
    """Return the inputs of the operator for a run."""
    weights = pack(Params.from_gates(**{name: run[name] for name in WEIGHTS}), "onnx")
    return weights | {"X": run["x"], "initial_h": run["h0"][None], "initial_c": run["C0"][None]}


@cache
def model(H: int, dtype: DType) -> ModelProto:
    """Build a model that consists of one operator LSTM with H units."""
    shapes: dict[str, list[Any]] = {"X": ["T", "B", "D"], "W": [1, 4 * H, "D"], "R": [1, 4 * H, H], "B": [1, 8 * H]}
    shapes |= {name: [1, "B", H] for name in ("initial_h", "initial_c", "Y_h", "Y_c")} | {"Y": ["T", 1, "B", H]}
    kind = helper.np_dtype_to_tensor_dtype(dtype)
    tensors = {name: helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()}
    inputs, outputs = ["X", "W", "R", "B", "initial_h", "initial_c"], ["Y", "Y_h", "Y_c"]
    names = [*inputs[:4], "", *inputs[4:]]  # the empty name omits sequence_lens
    node = helper.make_node("LSTM", names, outputs, hidden_size=H)
    graph = helper.make_graph([node], "lstm", [tensors[name] for name in inputs], [tensors[name] for name in outputs])
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(built)
    return built
