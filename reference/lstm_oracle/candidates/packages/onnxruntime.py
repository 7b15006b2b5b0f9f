"""ONNX Runtime: the operator LSTM, forward only, on the CPU."""

from __future__ import annotations

from functools import cache

import onnxruntime

from lstm_oracle.candidates.packages import onnx
from lstm_oracle.run import Array, DType


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states of a run; of the cell states, only the last."""
    Y, Y_c = session(run["h0"].shape[-1], run["x"].dtype).run(["Y", "Y_c"], onnx.feed(run))
    return {"h": Y[:, 0], "C_T": Y_c[0]}


@cache
def session(H: int, dtype: DType) -> onnxruntime.InferenceSession:
    """Return a session for a model that consists of one operator LSTM with H units."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4  # fatal errors only: every other error is raised as well
    model = onnx.model(H, dtype).SerializeToString()
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
