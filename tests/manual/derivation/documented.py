"""One step of an LSTM by the documented formula of each package, in NumPy, with the arrays that the package has.

This tests the layout of a package even where the package is not installed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Arrays = dict[str, Any]
State = tuple[Any, Any]  # h, c


def sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


def torch(a: Arrays, x: Any, h: Any, c: Any) -> State:
    z = x @ a["weight_ih_l0"].T + a["bias_ih_l0"] + h @ a["weight_hh_l0"].T + a["bias_hh_l0"]
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def tinygrad(a: Arrays, x: Any, h: Any, c: Any) -> State:
    return torch({f"{name}_l0": array for name, array in a.items()}, x, h, c)


def equinox(a: Arrays, x: Any, h: Any, c: Any) -> State:
    z = a["weight_ih"] @ x.T + a["weight_hh"] @ h.T + a["bias"][:, None]
    i, f, g, o = np.split(z, 4)
    c = sigmoid(f) * c.T + sigmoid(i) * np.tanh(g)
    return (sigmoid(o) * np.tanh(c)).T, c.T


def keras(a: Arrays, x: Any, h: Any, c: Any) -> State:
    z0, z1, z2, z3 = np.split(x @ a["kernel"] + h @ a["recurrent_kernel"] + a["bias"], 4, axis=1)
    c = sigmoid(z1) * c + sigmoid(z0) * np.tanh(z2)
    return sigmoid(z3) * np.tanh(c), c


def flax(a: Arrays, x: Any, h: Any, c: Any) -> State:
    def z(gate: str) -> Any:
        to_x = "i" + gate if f"i{gate}/kernel" in a else "i" + gate + "_"
        return x @ a[f"{to_x}/kernel"] + h @ a[f"h{gate}/kernel"] + a[f"h{gate}/bias"]

    c = sigmoid(z("f")) * c + sigmoid(z("i")) * np.tanh(z("g"))
    return sigmoid(z("o")) * np.tanh(c), c


def flax_optimized(a: Arrays, x: Any, h: Any, c: Any) -> State:
    i, f, g, o = np.split(x @ a["dense_i/kernel"] + h @ a["dense_h/kernel"] + a["dense_h/bias"], 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def haiku(a: Arrays, x: Any, h: Any, c: Any) -> State:
    i, g, f, o = np.split(np.hstack([x, h]) @ a["linear/w"] + a["linear/b"], 4, axis=1)
    c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def onnx(a: Arrays, x: Any, h: Any, c: Any) -> State:
    H = h.shape[1]
    (Wi, Wo, Wf, Wc), (Ri, Ro, Rf, Rc) = (a[name].reshape(4, H, -1) for name in "WR")
    (Wbi, Wbo, Wbf, Wbc), (Rbi, Rbo, Rbf, Rbc) = a["B"].reshape(2, 4, H)
    i = sigmoid(x @ Wi.T + h @ Ri.T + Wbi + Rbi)
    f = sigmoid(x @ Wf.T + h @ Rf.T + Wbf + Rbf)
    c = f * c + i * np.tanh(x @ Wc.T + h @ Rc.T + Wbc + Rbc)
    return sigmoid(x @ Wo.T + h @ Ro.T + Wbo + Rbo) * np.tanh(c), c


def chainer(arrays: Arrays, x: Any, h: Any, c: Any) -> State:
    z = x @ arrays["upward/W"].T + arrays["upward/b"] + h @ arrays["lateral/W"].T
    a, i, f, o = np.moveaxis(z.reshape(len(z), -1, 4), 2, 0)
    c = np.tanh(a) * sigmoid(i) + sigmoid(f) * c
    return sigmoid(o) * np.tanh(c), c


def source(a: Arrays, x: Any, h: Any, c: Any) -> State:
    f, i, g, o = (h @ a[f"W_{k}"] + x @ a[f"U_{k}"] + a[f"b_{k}"] for k in "figo")
    c = c * sigmoid(f) + sigmoid(i) * np.tanh(g)
    return np.tanh(c) * sigmoid(o), c


STEPS: dict[str, Callable[..., State]] = {
    "source": source,
    "torch": torch,
    "keras": keras,
    "flax": flax,
    "flax-nnx": flax,
    "flax-nnx-optimized": flax_optimized,
    "haiku": haiku,
    "equinox": equinox,
    "onnx": onnx,
    "tinygrad": tinygrad,
    "chainer": chainer,
}


def states(layout: str, arrays: Arrays, x: Any, h0: Any, C0: Any) -> tuple[Any, Any]:
    """Return h and C of every step, (T, B, H), for weights in a layout."""
    h, C, found = h0, C0, []
    for x_t in x:
        h, C = STEPS[layout](arrays, x_t, h, C)
        found.append((h, C))
    return np.stack([h for h, _ in found]), np.stack([C for _, C in found])
