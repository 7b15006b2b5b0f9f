"""The contenders: each prepares the work on one shape and returns the call to time.

`T` steps, `B` batch rows, `D` inputs, `H` units. "forward" is the pass for deployment, without a tape if that exists;
"both" is the forward pass and the whole backward pass, with every gradient.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

Call = Callable[[], object]


@dataclass(frozen=True)
class Work:
    """A shape, a dtype and a task to compute."""

    T: int
    B: int
    D: int
    H: int
    dtype: str
    task: str  # "forward" or "both"

    def arrays(self) -> dict[str, Any]:
        """Return the weights in `manual`'s layout, the input, and the upstream gradient at every output."""
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


def without_workspaces(work: Work) -> Call:
    """`manual`, with new workspaces in every pass."""
    from manual.workspace import Workspace

    Workspace.release = lambda workspace: None  # type: ignore[method-assign]
    return fused(work)


def without_jacobians(work: Work) -> Call:
    """`manual`, with a backward pass without Jacobians for one sequence as well."""
    from manual import single

    single.MOST_UNITS = 0
    return fused(work)


def without_single(work: Work) -> Call:
    """`manual`, with the kernels for many sequences for one sequence as well."""
    from manual import batch, single
    from manual import fused as passes

    single.MOST_UNITS = 0
    passes.select_kernel = lambda params, x: batch.ForwardKernel.for_params(  # type: ignore[assignment]
        params, passes.steps_per_block(x, params.hidden_size), x.shape[1]
    )
    return fused(work)


def literal(work: Work) -> Call:
    """The literal implementation, `manual.bptt`."""
    from manual import Params, bptt

    a = work.arrays()
    params, x, dh = Params(a["W"], a["U"], a["b"]), a["x"], a["dh"]
    if work.task == "forward":
        return lambda: bptt.forward(params, x)
    return lambda: bptt.backward(bptt.forward(params, x), dh)


def gemms(work: Work) -> Call:
    """The matrix products that the algorithm cannot avoid, in NumPy, in the faster of two variants.

    In the first variant, each step has one product forward and one backward, and the others are computed for as many
    steps at once as stay in the cache. The second regroups the products as `manual` does, and also copies x beside h.
    Both have the loop over the steps, but no gates, no tape, and no sum of dW over the blocks.
    """
    variants, seconds = [plain_gemms(work), regrouped_gemms(work)], clock()
    for variant in variants:
        variant()  # a slow first call must not decide
    best = [float("inf")] * 2
    for _ in range(9):  # in turns, so that other load slows both
        for k, variant in enumerate(variants):
            start = seconds()
            variant()
            best[k] = min(best[k], seconds() - start)
    return variants[best.index(min(best))]


def plain_gemms(work: Work) -> Call:
    """The products with h @ W at each step, and x @ U for many steps at once."""
    a, steps = work.arrays(), min(work.T, max(1, 512 // work.B))
    x, states, W, U = a["x"], a["dh"], a["W"], a["U"]
    from_x, z = np.empty((steps * work.B, 4 * work.H), W.dtype), np.empty((work.B, 4 * work.H), W.dtype)
    W_T, δ25, back = np.ascontiguousarray(W.T), np.empty_like(states[0]), block_gemms(work)
    Δ = np.repeat(states[:steps], 4, axis=2)

    def call() -> None:
        for at in blocks(work.T, steps):
            rows = x[at].reshape(-1, work.D)
            np.dot(rows, U, out=from_x[: len(rows)])
            for h in states[at]:
                np.dot(h, W, out=z)
        if work.task == "both":
            for at in reversed(blocks(work.T, steps)):
                some = Δ[: at.stop - at.start]
                for Δ_t in some:
                    np.dot(Δ_t, W_T, out=δ25)
                back(at, some)

    return call


def regrouped_gemms(work: Work) -> Call:
    """The products as `manual.fused` computes them, with h in the array to which the kernel's steps write."""
    from manual import Params, batch, fused, single

    a = work.arrays()
    x, params, steps = a["x"], Params(a["W"], a["U"], a["b"]), fused.steps_per_block(a["x"], work.H)
    forward = fused.select_kernel(params, x)
    backward, of_block = batch.BackwardKernel.for_params(params, steps, work.B), block_gemms(work)
    Δ = np.repeat(a["dh"][:steps], 4, axis=2)
    product, W_T, δ25_tiles = backward._product(np.empty_like(a["dh"][0]))

    def call() -> None:
        for at in blocks(work.T, forward.block):
            h_x_1 = forward.h_x_1[: at.stop - at.start]
            if isinstance(forward, single.ForwardKernel):
                forward.xs[: len(h_x_1)] = x[at, 0]
                for h_x_1_t in h_x_1:
                    single.dot(h_x_1_t, forward.weights, forward.z)
            else:
                forward._z_from_x(x[at])
                for h_x_1_t in h_x_1:
                    batch.matmul(h_x_1_t, forward.W, forward.z_tiles)
        if work.task == "both":
            for at in reversed(blocks(work.T, steps)):
                some = Δ[: at.stop - at.start]
                for Δ_t in some:
                    product(Δ_t, W_T, δ25_tiles)
                of_block(at, some)

    return call


def block_gemms(work: Work) -> Callable[[slice, Any], None]:
    """Return a function that computes dW, dU, db and dx of the steps of a block from their Δ."""
    a = work.arrays()
    h_x_1 = np.concatenate([a["dh"], a["x"], np.ones_like(a["x"][..., :1])], axis=2)
    U_T, dx = np.ascontiguousarray(a["U"].T), np.empty_like(a["x"])
    dWUb = np.empty((h_x_1.shape[2], 4 * work.H), dx.dtype)

    def call(at: slice, Δ: Any) -> None:
        rows = Δ.reshape(-1, 4 * work.H)
        np.dot(h_x_1[at].reshape(len(rows), -1).T, rows, out=dWUb)
        np.dot(rows, U_T, out=dx[at].reshape(-1, work.D))

    return call


def blocks(T: int, steps: int) -> list[slice]:
    """Return slices of `steps` steps that cover all T; the last one may be shorter."""
    return [slice(s, min(s + steps, T)) for s in range(0, T, steps)]


def calls(work: Work) -> Call:
    """The NumPy calls that `manual` makes, on so few numbers that only the calls take time: one unit, one input.

    The calls are approximately the same: they differ where x has a product of its own or a product is cut into tiles.
    """
    return fused(replace(work, B=min(work.B, 2), D=1, H=1))  # one sequence and many need different calls


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
    """JAX: `jit` of a scan over stacked gates and of its autodiff. The scan's `unroll` is left at its default."""
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
    """ONNX Runtime's LSTM operator, which has no backward pass and does not support float64."""
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
    """Return how many threads this process may use."""
    import os

    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def pin() -> None:
    """Restrict this process to one CPU, the last one."""
    import os

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def clock() -> Callable[[], float]:
    """Return the clock: CPU time on one CPU, so that other processes do not count, and otherwise wall time."""
    return time.process_time if threads() == 1 else time.perf_counter


CONTENDERS: dict[str, Callable[[Work], Call | None]] = {
    "fused": fused,
    "gemms": gemms,
    "calls": calls,
    "literal": literal,
    "torch": torch,
    "jax": jax,
    "onnxruntime": onnxruntime,
}
# `manual` without one of its optimisations.
ABLATIONS = {
    "without_workspaces": without_workspaces,
    "without_jacobians": without_jacobians,
    "without_single": without_single,
}
