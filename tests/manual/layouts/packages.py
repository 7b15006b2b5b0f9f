"""The LSTM layers of other packages, called with arrays in their own layout.

Each has `own`, which returns the arrays of a new layer under the names of the package, and `computes`, which runs the
layer with such arrays and returns h, C_T, and the gradients under the same names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lstm_oracle.autodiff.lstm import full_precision
from lstm_oracle.inputs.cases import Case

Arrays = dict[str, Any]
Computed = tuple[Any, Any, Arrays | None]


@dataclass(frozen=True)
class Package:
    """The layer of one package; `prefix` is what the names of its arrays begin with."""

    layout: str
    own: Callable[[int, int], Mapping[str, Any]]
    computes: Callable[[Arrays, Case], Computed]
    prefix: str = ""
    dtype: str = "float64"


def upstream(run: Case) -> tuple[Any, Any]:
    """Return the loss gradient at every h, and at the last C."""
    dh = run.inputs["dh"].copy()
    dh[-1] += run.inputs["dh_T"]
    return dh, run.inputs["dC_T"]


def by_jax(step: Callable[..., Any]) -> Callable[[Arrays, Case], Computed]:
    """Return `computes` for a layer whose step is a JAX function from (arrays, x, h, C) to (h, C)."""
    import jax

    def unroll(arrays: Arrays, x: Any, h0: Any, C0: Any) -> Any:
        def one(state: Any, x: Any) -> Any:
            h, C = step(arrays, x, *state)
            return (h, C), h

        (_, C_T), h = jax.lax.scan(one, (h0, C0), x)
        return h, C_T

    return differentiated(unroll)


def differentiated(forward: Callable[..., Any]) -> Callable[[Arrays, Case], Computed]:
    """Return `computes` for a layer that is a JAX function from (arrays, x, h0, C0) to (h, C_T)."""
    import jax

    @jax.jit
    def both(arrays: Arrays, x: Any, h0: Any, C0: Any, δ: Any) -> Any:
        states, pull = jax.vjp(lambda arrays: forward(arrays, x, h0, C0), arrays)
        return states, pull(δ)[0]

    def computes(arrays: Arrays, run: Case) -> Computed:
        with full_precision():
            (h, C_T), gradients = both(arrays, *(run.inputs[name] for name in ("x", "h0", "C0")), upstream(run))
        return h, C_T, gradients

    return computes


def nested(arrays: Arrays) -> Any:
    """Return the arrays nested as Flax nests them."""
    from flax import traverse_util

    return traverse_util.unflatten_dict(arrays, sep="/")


def linen(cell_class: str) -> Package:
    from flax import linen

    def cell(H: int, dtype: Any) -> Any:
        return getattr(linen, cell_class)(H, dtype=dtype, param_dtype=dtype)

    def own(D: int, H: int) -> Any:
        import jax

        zeros = np.zeros((2, H), np.float32)
        return cell(H, np.float32).init(jax.random.key(0), (zeros, zeros), np.zeros((2, D), np.float32))["params"]

    def step(arrays: Arrays, x: Any, h: Any, C: Any) -> Any:
        (C, h), _ = cell(h.shape[-1], x.dtype).apply({"params": nested(arrays)}, (C, h), x)
        return h, C

    return Package("flax", own, by_jax(step))


def nnx(layout: str, cell_class: str) -> Package:
    from flax import nnx

    def cell(D: int, H: int, dtype: Any) -> Any:
        return getattr(nnx, cell_class)(D, H, dtype=dtype, param_dtype=dtype, rngs=nnx.Rngs(0))

    def own(D: int, H: int) -> Any:
        return nnx.to_pure_dict(nnx.state(cell(D, H, np.float32), nnx.Param))

    def step(arrays: Arrays, x: Any, h: Any, C: Any) -> Any:
        layer = cell(x.shape[-1], h.shape[-1], x.dtype)
        state = nnx.state(layer, nnx.Param)
        nnx.replace_by_pure_dict(state, nested(arrays))
        nnx.update(layer, state)
        (C, h), _ = layer((C, h), x)
        return h, C

    return Package(layout, own, by_jax(step))


def haiku() -> Package:
    import haiku as hk
    import jax

    def layer(x: Any, h: Any, C: Any) -> Any:
        return hk.LSTM(h.shape[-1])(x, hk.LSTMState(h, C))[1]

    def own(D: int, H: int) -> Any:
        zeros = np.zeros((2, H), np.float32)
        return hk.transform(layer).init(jax.random.key(0), np.zeros((2, D), np.float32), zeros, zeros)

    def step(arrays: Arrays, x: Any, h: Any, C: Any) -> Any:
        params = {"lstm/linear": {name[-1]: array for name, array in arrays.items()}}
        state = hk.transform(layer).apply(params, None, x, h, C)
        return state.hidden, state.cell

    return Package("haiku", own, by_jax(step), prefix="lstm/")


def equinox() -> Package:
    import equinox as eqx
    import jax

    def cell(D: int, H: int, dtype: Any = np.float32) -> Any:
        return eqx.nn.LSTMCell(D, H, dtype=dtype, key=jax.random.key(0))

    def own(D: int, H: int) -> Any:
        return {name: array for name, array in vars(cell(D, H)).items() if eqx.is_array(array)}

    def step(arrays: Arrays, x: Any, h: Any, C: Any) -> Any:
        names = list(arrays)
        new = [arrays[name] for name in names]
        layer = eqx.tree_at(
            lambda cell: [getattr(cell, name) for name in names], cell(x.shape[-1], h.shape[-1], x.dtype), new
        )
        return jax.vmap(layer)(x, (h, C))

    return Package("equinox", own, by_jax(step))


def keras() -> Package:
    os.environ.setdefault("KERAS_BACKEND", "jax")
    from keras import config, layers

    if config.backend() != "jax":
        raise ImportError("Keras runs on another backend than JAX")

    def layer(D: int, H: int, dtype: str) -> Any:
        made = layers.LSTM(H, return_sequences=True, return_state=True, dtype=dtype)
        made.build((None, None, D))
        return made

    def own(D: int, H: int) -> Any:
        return {variable.name: np.asarray(variable.value) for variable in layer(D, H, "float32").weights}

    def forward(arrays: Arrays, x: Any, h0: Any, C0: Any) -> Any:
        lstm = layer(x.shape[-1], h0.shape[-1], x.dtype.name)
        given = [arrays[variable.name] for variable in lstm.trainable_variables]
        others = [variable.value for variable in lstm.non_trainable_variables]
        (h, _, C_T), _ = lstm.stateless_call(given, others, x.swapaxes(0, 1), initial_state=[h0, C0])
        return h.swapaxes(0, 1), C_T

    # float32, because on JAX its tanh has float32 precision even in float64 (keras 3.15.1).
    return Package("keras", own, differentiated(forward), dtype="float32")


def torch() -> Package:
    import torch

    def own(D: int, H: int) -> Any:
        return torch.nn.LSTM(D, H).state_dict()

    def computes(arrays: Arrays, run: Case) -> Computed:
        x, h0, C0 = (torch.from_numpy(run.inputs[name]) for name in ("x", "h0", "C0"))
        lstm = torch.nn.LSTM(x.shape[-1], h0.shape[-1], dtype=x.dtype)
        lstm.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        h, (_, C_T) = lstm(x, (h0[None], C0[None]))
        torch.autograd.backward([h, C_T[0]], [torch.from_numpy(δ) for δ in upstream(run)])
        return h.detach(), C_T[0].detach(), {name: array.grad for name, array in lstm.named_parameters()}

    return Package("torch", own, computes)


def tinygrad() -> Package:
    from tinygrad import Context, Tensor
    from tinygrad.nn import LSTMCell
    from tinygrad.nn.state import get_state_dict

    interpreted = Context(DEV="PYTHON")  # which needs no compiler

    @interpreted
    def own(D: int, H: int) -> Any:
        return {name: array.numpy() for name, array in get_state_dict(LSTMCell(D, H)).items()}

    @interpreted
    def computes(arrays: Arrays, run: Case) -> Computed:
        x, h0, C0 = (run.inputs[name] for name in ("x", "h0", "C0"))
        cell = LSTMCell(x.shape[-1], h0.shape[-1])
        tensors = {name: Tensor(array) for name, array in arrays.items()}
        for name, tensor in tensors.items():
            setattr(cell, name, tensor)
        h, C, hs = Tensor(h0), Tensor(C0), []
        for x_t in x:
            h, C = cell(Tensor(x_t), (h, C))
            hs.append(h)
        dh, dC_T = upstream(run)
        loss = (C * Tensor(dC_T)).sum()
        for h, dh_t in zip(hs, dh, strict=True):
            loss = loss + (h * Tensor(dh_t)).sum()
        gradients = dict(zip(tensors, (δ.numpy() for δ in loss.gradient(*tensors.values())), strict=True))
        return np.stack([h.numpy() for h in hs]), C.numpy(), gradients

    return Package("tinygrad", own, computes)


def chainer() -> Package:
    import chainer

    def layer(D: int, H: int, dtype: Any = np.float32) -> Any:
        with chainer.using_config("dtype", dtype):
            return chainer.links.StatelessLSTM(D, H)

    def own(D: int, H: int) -> Any:
        return {path[1:]: variable.array for path, variable in layer(D, H).namedparams()}

    def computes(arrays: Arrays, run: Case) -> Computed:
        x, h, C = (run.inputs[name] for name in ("x", "h0", "C0"))
        link = layer(x.shape[-1], h.shape[-1], x.dtype)
        variables = {path[1:]: variable for path, variable in link.namedparams()}
        for name, variable in variables.items():
            variable.array = arrays[name]
        link.cleargrads()
        dh, dC_T = upstream(run)
        loss, hs = 0, []
        h, C = chainer.Variable(h), chainer.Variable(C)
        for x_t, dh_t in zip(x, dh, strict=True):
            C, h = link(C, h, x_t)
            hs.append(h.array)
            loss += chainer.functions.sum(h * dh_t)
        (loss + chainer.functions.sum(C * dC_T)).backward()
        return np.stack(hs), C.array, {name: variable.grad for name, variable in variables.items()}

    return Package("chainer", own, computes)


def onnx() -> Package:
    """The operator has no initial arrays and no gradients, and computes in float32."""

    def own(D: int, H: int) -> Any:
        documented = {"W": (1, 4 * H, D), "R": (1, 4 * H, H), "B": (1, 8 * H)}
        return {name: np.full(shape, 0.1, np.float32) for name, shape in documented.items()}

    def computes(arrays: Arrays, run: Case) -> Computed:
        from lstm_oracle.candidates.packages.onnxruntime import session

        feed = arrays | {"X": run.inputs["x"], "initial_h": run.inputs["h0"][None], "initial_c": run.inputs["C0"][None]}
        h, C_T = session(run.sizes[3], run.dtype).run(["Y", "Y_c"], feed)
        return h[:, 0], C_T[0], None

    return Package("onnx", own, computes, dtype="float32")


PACKAGES: dict[str, Callable[[], Package]] = {
    "torch.nn.LSTM": torch,
    "keras.layers.LSTM": keras,
    "flax.linen.LSTMCell": lambda: linen("LSTMCell"),
    "flax.linen.OptimizedLSTMCell": lambda: linen("OptimizedLSTMCell"),
    "flax.nnx.LSTMCell": lambda: nnx("flax-nnx", "LSTMCell"),
    "flax.nnx.OptimizedLSTMCell": lambda: nnx("flax-nnx-optimized", "OptimizedLSTMCell"),
    "haiku.LSTM": haiku,
    "equinox.nn.LSTMCell": equinox,
    "onnxruntime": onnx,
    "tinygrad.nn.LSTMCell": tinygrad,
    "chainer.links.StatelessLSTM": chainer,
}
