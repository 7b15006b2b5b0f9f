"""A NumPy LSTM with weights in the layout of PyTorch, correct and wrong; and two forward passes in other layouts."""

from __future__ import annotations

from typing import Any

import numpy as np

Arrays = dict[str, Any]


def sigmoid(z: Any) -> Any:
    return (1 + np.tanh(z / 2)) / 2


def right(
    weight_ih_l0: Any,
    weight_hh_l0: Any,
    bias_ih_l0: Any,
    bias_hh_l0: Any,
    x: Any,
    h0: Any,
    C0: Any,
    dh: Any,
    dh_T: Any,
    dC_T: Any,
) -> Arrays:
    T, B, _ = x.shape
    hs, cs, gates = [h0], [C0], []
    for x_t in x:
        z = x_t @ weight_ih_l0.T + bias_ih_l0 + hs[-1] @ weight_hh_l0.T + bias_hh_l0
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        cs.append(f * cs[-1] + i * g)
        hs.append(o * np.tanh(cs[-1]))
        gates.append((i, f, g, o))
    dz = np.zeros((T, B, 4 * h0.shape[1]), x.dtype)
    dh_next, dc = dh_T.copy(), dC_T.copy()
    for t in reversed(range(T)):
        i, f, g, o = gates[t]
        tanh_c = np.tanh(cs[t + 1])
        dh_t = dh[t] + dh_next
        dc = dc + dh_t * o * (1 - tanh_c**2)
        di, df, dg, do = (
            dc * g * i * (1 - i),
            dc * cs[t] * f * (1 - f),
            dc * i * (1 - g**2),
            dh_t * tanh_c * o * (1 - o),
        )
        dz[t] = np.concatenate([di, df, dg, do], axis=1)
        dh_next, dc = dz[t] @ weight_hh_l0, dc * f
    h_prev = np.stack(hs)[:-1]
    bias = dz.sum(axis=(0, 1))
    return {
        "h": np.stack(hs)[1:],
        "C_T": cs[-1].copy(),
        "dweight_ih_l0": np.einsum("tbz,tbd->zd", dz, x),
        "dweight_hh_l0": np.einsum("tbz,tbh->zh", dz, h_prev),
        "dbias_ih_l0": bias,
        "dbias_hh_l0": bias.copy(),
        "dx": dz @ weight_ih_l0,
        "dh0": dh_next,
        "dC0": dc,
    }


def gates_exchanged(**run: Any) -> Arrays:
    """Return a weight gradient whose rows are in the order f, i, g, o."""
    outputs = right(**run)
    i, f, g, o = np.split(outputs["dweight_hh_l0"], 4)
    return outputs | {"dweight_hh_l0": np.concatenate([f, i, g, o])}


def one_bias_forgotten(**run: Any) -> Arrays:
    outputs = right(**run)
    return outputs | {"dbias_hh_l0": np.zeros_like(outputs["dbias_hh_l0"])}


def without_biases(**run: Any) -> Arrays:
    return {name: array for name, array in right(**run).items() if not name.startswith("dbias")}


def without_a_weight(**run: Any) -> Arrays:
    return {name: array for name, array in right(**run).items() if name != "dweight_hh_l0"}


def transposed(**run: Any) -> Arrays:
    outputs = right(**run)
    return outputs | {"dweight_ih_l0": outputs["dweight_ih_l0"].T}


def gradients_by_the_runs_names(**run: Any) -> Arrays:
    return right(**run) | {"dW_f": np.zeros((2, 2))}


def writes_weights(**run: Any) -> Arrays:
    outputs = right(**run)
    run["weight_hh_l0"] *= 2
    return outputs


def keras(kernel: Any, recurrent_kernel: Any, bias: Any, **run: Any) -> Arrays:
    """Return the forward pass with weights in the layout of Keras."""
    arrays = {"weight_ih_l0": kernel.T, "weight_hh_l0": recurrent_kernel.T, "bias_ih_l0": bias, "bias_hh_l0": 0 * bias}
    return {name: array for name, array in right(**arrays, **run).items() if name in ("h", "C_T")}


def haiku(**run: Any) -> Arrays:
    """Return the forward pass with weights in the layout of Haiku, computed as [x; h] @ w."""
    w, b, h, c, hs = run["linear/w"], run["linear/b"], run["h0"], run["C0"], [run["h0"][:0]]
    for x_t in run["x"]:
        i, g, f, o = np.split(np.hstack([x_t, h]) @ w + b, 4, axis=1)
        c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        hs.append(h)
    T = len(run["x"])
    return {"h": np.concatenate(hs).reshape(T, *run["h0"].shape), "C_T": c.copy()}
