"""Who is measured: each makes the work on one shape ready, and hands back the call to time.

`T` steps, `B` batch rows, `D` inputs, `H` units. "forward" is what serves to deploy, without a tape
where that exists; "both" is forward and the whole backward pass, every gradient included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Call = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """What there is to compute."""

    T: int
    B: int
    D: int
    H: int
    dtype: str
    task: str  # "forward" or "both"

    def arrays(self) -> dict[str, Any]:
        """The weights in `manual`'s layout, the input, and the gradient arriving at every output."""
        rng, k = np.random.default_rng(0), 1 / np.sqrt(self.H)
        found = {
            "W": rng.uniform(-k, k, (self.H, 4 * self.H)),
            "U": rng.uniform(-k, k, (self.D, 4 * self.H)),
            "b": rng.uniform(-k, k, 4 * self.H),
            "x": rng.normal(size=(self.T, self.B, self.D)),
            "dh": rng.normal(size=(self.T, self.B, self.H)),
        }
        return {name: array.astype(self.dtype) for name, array in found.items()}


def fused(work: Work) -> Call:
    """`manual`, as imported."""
    import manual

    a = work.arrays()
    params, x, dh = manual.Params(a["W"], a["U"], a["b"]), a["x"], a["dh"]
    if work.task == "forward":
        return lambda: manual.infer(params, x)
    return lambda: manual.backward(manual.forward(params, x), dh)


def literal(work: Work) -> Call:
    """The twin that is written to be read."""
    from manual import Params, bptt

    a = work.arrays()
    params, x, dh = Params(a["W"], a["U"], a["b"]), a["x"], a["dh"]
    if work.task == "forward":
        return lambda: bptt.forward(params, x)
    return lambda: bptt.backward(bptt.forward(params, x), dh)


def gemms(work: Work) -> Call:
    """The matrix products that the algorithm cannot do without, in NumPy, and nothing else.

    One product a step each way, all others in one for as many steps as stay in the cache.
    """
    a, H = work.arrays(), work.H
    W, W_T, U, U_T = a["W"], np.ascontiguousarray(a["W"].T), a["U"], np.ascontiguousarray(a["U"].T)
    steps = min(work.T, max(1, 512 // work.B))
    h, Δ = a["dh"][:steps], np.repeat(a["dh"][:steps], 4, axis=2)
    h_rows, x_rows, Δ_rows = (array.reshape(steps * work.B, -1) for array in (h, a["x"][:steps], Δ))
    gates, from_x, δ25 = np.empty_like(Δ[0]), np.empty_like(Δ_rows), np.empty_like(h[0])
    dW, dU, dx = np.empty_like(W), np.empty_like(U), np.empty_like(x_rows)

    def call() -> None:
        for _ in range(work.T // steps):
            np.dot(x_rows, U, out=from_x)
            for h_t in h:
                np.dot(h_t, W, out=gates)
        if work.task == "forward":
            return
        for _ in range(work.T // steps):
            for Δ_t in Δ:
                np.dot(Δ_t, W_T, out=δ25)
            np.dot(h_rows.T, Δ_rows, out=dW)
            np.dot(x_rows.T, Δ_rows, out=dU)
            np.dot(Δ_rows, U_T, out=dx)

    assert gates.shape == (work.B, 4 * H)
    return call


def calls(work: Work) -> Call:
    """The calls of NumPy that `manual` makes, on numbers so few that nothing else takes time: one unit, one input."""
    return fused(replace(work, B=1, D=1, H=1))


def torch(work: Work) -> Call:
    """PyTorch's `nn.LSTM`."""
    import torch

    torch.set_num_threads(threads())
    a = {name: torch.from_numpy(array) for name, array in work.arrays().items()}
    lstm = torch.nn.LSTM(work.D, work.H, dtype=a["x"].dtype)
    with torch.no_grad():  # the order of the gates does not matter for the time
        lstm.weight_ih_l0.copy_(a["U"].T)
        lstm.weight_hh_l0.copy_(a["W"].T)
        lstm.bias_ih_l0.copy_(a["b"])
        lstm.bias_hh_l0.zero_()
    x, dh = a["x"], a["dh"]
    state = torch.zeros(1, work.B, work.H, dtype=x.dtype), torch.zeros(1, work.B, work.H, dtype=x.dtype)
    if work.task == "forward":
        lstm.eval()

        def forward() -> object:
            with torch.inference_mode():
                return lstm(x, state)

        return forward
    inputs = [x.requires_grad_(), *(part.requires_grad_() for part in state), *lstm.parameters()]
    return lambda: torch.autograd.grad(lstm(x, state)[0], inputs, dh)


def jax(work: Work) -> Call:
    """JAX: `jit` of a scan over stacked gates and of its autodiff."""
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
    a = {name: jnp.asarray(array) for name, array in work.arrays().items()}
    zero = jnp.zeros((work.B, work.H), work.dtype)

    def unroll(W: Any, U: Any, b: Any, x: Any, h0: Any, C0: Any) -> Any:
        def step(state: Any, x: Any) -> Any:
            h, C = state
            f, i, g, o = jnp.split(h @ W + x @ U + b, 4, axis=1)
            C = C * jax.nn.sigmoid(f) + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jnp.tanh(C) * jax.nn.sigmoid(o)
            return (h, C), h

        return jax.lax.scan(step, (h0, C0), x)[1]

    @jax.jit
    def both(dh: Any, *inputs: Any) -> Any:
        h, pull_back = jax.vjp(unroll, *inputs)
        return h, pull_back(dh)

    inputs = a["W"], a["U"], a["b"], a["x"], zero, zero
    forward = jax.jit(unroll)
    if work.task == "forward":
        return lambda: jax.block_until_ready(forward(*inputs))
    return lambda: jax.block_until_ready(both(a["dh"], *inputs))


def onnxruntime(work: Work) -> Call | None:
    """ONNX Runtime's LSTM operator; it knows no backward pass and no float64."""
    if work.task == "both" or work.dtype != "float32":
        return None
    import onnxruntime
    from onnx import TensorProto, helper

    a, H = work.arrays(), work.H
    weights = {"W": a["U"].T[None], "R": a["W"].T[None], "B": np.concatenate([a["b"], 0 * a["b"]])[None]}
    feed = {"X": a["x"]} | {name: np.ascontiguousarray(array) for name, array in weights.items()}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, array.shape) for name, array in feed.items()]
    outputs = [helper.make_tensor_value_info("Y", TensorProto.FLOAT, (work.T, 1, work.B, H))]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, feed[name].shape, feed[name]) for name in weights]
    node = helper.make_node("LSTM", list(feed), ["Y"], hidden_size=H)
    graph = helper.make_graph([node], "lstm", inputs[:1], outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads()
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return lambda: session.run(["Y"], {"X": feed["X"]})


def threads() -> int:
    """How many threads this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


CONTENDERS: dict[str, Callable[[Work], Call | None]] = {
    "fused": fused,
    "gemms": gemms,
    "calls": calls,
    "literal": literal,
    "torch": torch,
    "jax": jax,
    "onnxruntime": onnxruntime,
}
