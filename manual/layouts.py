"""Convert weights and gradients to and from the layouts of packages: names, gate order, transposes, biases.

    arrays = pack(params, "torch")  # {"weight_ih_l0": …, "weight_hh_l0": …, "bias_ih_l0": …, "bias_hh_l0": …}
    params = unpack(model.state_dict(), "torch", prefix="lstm.")

The names of nested arrays, as in Flax, Haiku and Chainer, are joined by "/", as
`flax.traverse_util.flatten_dict(…, sep="/")` does. Note that `W` of ONNX is our `U`, and its `R` is our `W`.

Entries are moved, not computed, so that weights converted to any layout and back are identical to the bit, with two
exceptions. Where a package adds two biases, `unpack` returns their sum, and `pack` stores our bias in the first one and
zeros in the second. And Haiku adds 1 to the forget gate, so that its bias is b_f - 1. Converting there and back is
exact for every b_f from 0.5 to 2, and wherever else b_f - 1 has no rounding error (except that -0.0 becomes 0.0).
Otherwise the error is at most eps / 2 times 1 + |b_f|, as in the sum that Haiku computes. Neither exception applies to
gradients: two biases that are added have equal gradients, and a constant has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from manual.checks import Array
from manual.name_checks import checked_arrays
from manual.params import GATES, ParamGradients, Params

KINDS = ("W", "U", "b", "second_b")  # W first, because its shape determines H
Names = str | tuple[str, ...]  # of one array for all gates, or of one array per gate in the order of `gates`


@dataclass(frozen=True)
class Layout:
    """The arrays in which a package stores U (D, 4H), W (H, 4H) and b (4H,), and how they hold the four gates.

    If `W` and `U` have the same name, they are the rows of one matrix; if `b` and `second_b` have the same name, they
    are the halves of one array.

    Raises:
        ValueError: no LSTM can have this layout.
    """

    gates: str  # f, i, g and o in the order of the package
    U: Names
    W: Names
    b: Names = ()
    second_b: Names = ()  # some packages add two biases
    transposed: str = ""  # which of U and W are stored as (4H, D) and (4H, H): "", "U", "W" or "UW"
    interleaved: bool = False  # whether columns are ordered by unit and then by gate, not by gate and then by unit
    h_first: bool = False  # whether the rows of W come before those of U in one matrix
    direction: bool = False  # whether every array has a leading axis of length 1, the direction
    forget_offset: float = 0.0  # a constant that the package adds to the forget gate besides its bias

    def __post_init__(self) -> None:
        if sorted(self.gates) != sorted(GATES):
            raise ValueError(f"gates is {self.gates!r}; expected the letters f, i, g and o in some order")
        for kind in KINDS:
            if len(names := self.names(kind)) not in ((1, 4) if kind in "UW" else (0, 1, 4)):
                raise ValueError(f"{kind} is {names!r}; expected one name, or four names in the order of gates")
        by_array = {self.sharing(kind): self.names(kind) for kind in KINDS}
        named = [name for names in by_array.values() for name in names]
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"{twice[0]!r} is the name of two arrays; expected a different name for every array")
        allowed = ("", "UW") if self.U == self.W else ("", "U", "W", "UW")
        if "".join(sorted(self.transposed)) not in allowed:
            why = ", since U and W are one matrix" if self.U == self.W else ""
            raise ValueError(f"transposed is {self.transposed!r}; expected {' or '.join(map(repr, allowed))}{why}")
        for kind in KINDS:
            if self.interleaved and len(self.names(kind)) == 4:
                raise ValueError(f"interleaved is True, but {kind} is one array per gate; expected one for all gates")

    def names(self, kind: str) -> tuple[str, ...]:
        """Return the names of the arrays that hold "U", "W", "b" or "second_b"."""
        named: Names = getattr(self, kind)
        return (named,) if isinstance(named, str) else named

    def sharing(self, kind: str) -> tuple[str, ...]:
        """Return the kinds that are stored in the arrays of this kind, in order along the first axis."""
        if kind in "UW":
            return (("W", "U") if self.h_first else ("U", "W")) if self.U == self.W else (kind,)
        return ("b", "second_b") if self.b == self.second_b else (kind,)

    @property
    def dims(self) -> dict[str, tuple[str, ...]]:
        """The dimensions of every array, by its name."""
        found: dict[str, tuple[str, ...]] = {}
        for kind in KINDS:
            columns = "H" if len(self.names(kind)) == 4 else "4H"
            if kind in "UW":
                rows = "D+H" if self.U == self.W else {"W": "H", "U": "D"}[kind]
                dims = (rows, columns)[:: -1 if kind in self.transposed else 1]
            else:
                dims = ({"H": "2H", "4H": "8H"}[columns] if self.b == self.second_b else columns,)
            found |= dict.fromkeys(self.names(kind), ("1",) * self.direction + dims)
        return found


def _each(name: str, gates: str) -> tuple[str, ...]:
    return tuple(name.format(gate) for gate in gates)


LAYOUTS = {
    # the source, and a run of the oracle: one array per gate
    "source": Layout("figo", U=_each("U_{}", "figo"), W=_each("W_{}", "figo"), b=_each("b_{}", "figo")),
    # torch.nn.LSTM of one layer, as in its state_dict; torch.nn.LSTMCell, without _l0, has the layout of tinygrad
    "torch": Layout("ifgo", U="weight_ih_l0", W="weight_hh_l0", b="bias_ih_l0", second_b="bias_hh_l0", transposed="UW"),
    # keras.layers.LSTM and LSTMCell; unit_forget_bias affects only initial values
    "keras": Layout("ifgo", U="kernel", W="recurrent_kernel", b="bias"),
    # flax.linen.LSTMCell and OptimizedLSTMCell
    "flax": Layout("ifgo", U=_each("i{}/kernel", "ifgo"), W=_each("h{}/kernel", "ifgo"), b=_each("h{}/bias", "ifgo")),
    # flax.nnx.LSTMCell, where `if` cannot be an attribute name
    "flax-nnx": Layout(
        "ifgo",
        U=("ii/kernel", "if_/kernel", "ig/kernel", "io/kernel"),
        W=_each("h{}/kernel", "ifgo"),
        b=_each("h{}/bias", "ifgo"),
    ),
    # flax.nnx.OptimizedLSTMCell
    "flax-nnx-optimized": Layout("ifgo", U="dense_i/kernel", W="dense_h/kernel", b="dense_h/bias"),
    # haiku.LSTM
    "haiku": Layout("igfo", U="linear/w", W="linear/w", b="linear/b", forget_offset=1.0),
    # equinox.nn.LSTMCell
    "equinox": Layout("ifgo", U="weight_ih", W="weight_hh", b="bias", transposed="UW"),
    # the ONNX operator LSTM: W[iofc], R[iofc], B = [Wb[iofc], Rb[iofc]]
    "onnx": Layout("iofg", U="W", W="R", b="B", second_b="B", transposed="UW", direction=True),
    # tinygrad.nn.LSTMCell
    "tinygrad": Layout("ifgo", U="weight_ih", W="weight_hh", b="bias_ih", second_b="bias_hh", transposed="UW"),
    # chainer.links.LSTM and StatelessLSTM
    "chainer": Layout("gifo", U="upward/W", W="lateral/W", b="upward/b", transposed="UW", interleaved=True),
}


def pack(params: Params, layout: str | Layout, *, gradients: bool | None = None, prefix: str = "") -> dict[str, Array]:
    """Return parameters, or gradients of parameters, in the arrays of a package, by name.

    Args:
        params: the parameters, or their gradients as in `Gradients.params`.
        layout: a name in LAYOUTS, or a Layout.
        gradients: whether `params` holds gradients: both of two biases then get the same gradient, and a forget offset
            does not apply. Only needed for gradients in a plain Params; `Gradients.params` is recognised.
        prefix: a prefix for all names.

    Returns:
        New, contiguous arrays.

    Raises:
        TypeError: params is not a Params.
        ValueError: an unknown layout; a bias where the layout has none; `gradients=False` for gradients.
    """
    layout = _known(layout)
    if not isinstance(params, Params):
        raise TypeError(f"params is of type {type(params).__name__}; expected manual.Params")
    if gradients is False and isinstance(params, ParamGradients):
        raise ValueError("gradients is False, but params holds gradients; expected True, or params that are weights")
    biases = _biases(params, layout, bool(gradients) or isinstance(params, ParamGradients))
    by_kind = {kind: _pieces(array, kind, layout) for kind, array in {"U": params.U, "W": params.W, **biases}.items()}
    arrays = {}
    for kind in by_kind:
        sharing = [by_kind[other] for other in layout.sharing(kind)]
        for name, parts in zip(layout.names(kind), zip(*sharing, strict=True), strict=True):
            array = _transposed(np.concatenate(parts), kind, layout)
            arrays[prefix + name] = np.array(array[None] if layout.direction else array, order="C")
    return arrays


def unpack(arrays: Mapping[str, Any], layout: str | Layout, *, gradients: bool = False, prefix: str = "") -> Params:
    """Return the parameters, or gradients of parameters, that the arrays of a package hold; the inverse of `pack`.

    Args:
        arrays: the arrays, nested or with names joined by "/"; biases that are missing or None are zero.
        layout: a name in LAYOUTS, or a Layout.
        gradients: whether the arrays are gradients: those of two biases must then agree, and are not added.
        prefix: the prefix of the names; arrays whose names do not begin with it are ignored.

    Returns:
        New arrays, as a Params; for gradients, as one that `pack` recognises.

    Raises:
        TypeError: a name that the layout does not have; arrays that are not all float32 or all float64.
        ValueError: an unknown layout; an array that is missing or of the wrong shape; gradients of two biases that
            differ.
    """
    layout = _known(layout)
    optional = {*layout.names("b"), *layout.names("second_b")}
    given, D, H = checked_arrays(arrays, layout.dims, optional, prefix)
    held: dict[str, Array] = {"b": np.zeros(4 * H, next(iter(given.values())).dtype)}
    for kind in KINDS:
        sharing, names = layout.sharing(kind), layout.names(kind)
        if given.keys() & names:
            first = {"U": D, "W": H}.get(sharing[0], 4 * H // len(names))
            plain = [_transposed(given[name][0 if layout.direction else ...], kind, layout) for name in names]
            held[kind] = _joined([np.split(array, [first])[sharing.index(kind)] for array in plain], layout)
    b = held["b"]
    if gradients:
        if "second_b" in held:
            b = _agreed(b, held["second_b"], layout)
        return ParamGradients(held["W"], held["U"], b)
    if "second_b" in held:
        b = _sum(b, held["second_b"])
    if layout.forget_offset:
        b[:H] += layout.forget_offset
    return Params(held["W"], held["U"], b)


def _biases(params: Params, layout: Layout, gradients: bool) -> dict[str, Array]:
    """Return what a package stores for b, (4H,), as its two biases; layouts with one bias ignore the second."""
    if gradients:
        return {"b": params.b, "second_b": params.b}
    b = params.b.copy()
    b[: params.hidden_size] -= layout.forget_offset
    if b.any() and not layout.names("b"):
        raise ValueError("the layout has no bias and cannot hold params.b; expected a layout with a bias")
    return {"b": b, "second_b": np.zeros_like(b)}


def _pieces(array: Array, kind: str, layout: Layout) -> list[Array]:
    """Return the columns of f, i, g and o, (…, 4H), in the layout's order: as one array, one per gate, or none."""
    H = array.shape[-1] // 4
    gates = array.reshape(*array.shape[:-1], 4, H)[..., [GATES.index(gate) for gate in layout.gates], :]
    columns = (gates.swapaxes(-1, -2) if layout.interleaved else gates).reshape(array.shape)
    count = len(layout.names(kind))
    return np.split(columns, count, axis=-1) if count else []


def _joined(pieces: list[Array], layout: Layout) -> Array:
    """Return the columns of f, i, g and o, (…, 4H), from those in the layout's order; the inverse of `_pieces`."""
    columns = np.concatenate(pieces, axis=-1)
    H = columns.shape[-1] // 4
    if layout.interleaved:
        gates = columns.reshape(*columns.shape[:-1], H, 4).swapaxes(-1, -2)
    else:
        gates = columns.reshape(*columns.shape[:-1], 4, H)
    return gates[..., [layout.gates.index(gate) for gate in GATES], :].reshape(columns.shape)


def _transposed(array: Array, kind: str, layout: Layout) -> Array:
    return array.T if kind in layout.transposed else array


def _sum(first: Array, second: Array) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(second == 0, first, first + second)  # -0.0 + 0.0 would be 0.0


def _agreed(first: Array, second: Array, layout: Layout) -> Array:
    """Return the gradient of two biases, which is one and the same, as the mean of arrays that agree up to rounding."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    error = np.subtract(second, first, out=np.zeros_like(first), where=~same)
    size = np.max(np.abs([first, second]), initial=0, where=np.isfinite([first, second]))
    if not np.max(np.abs(error)) <= np.sqrt(np.finfo(first.dtype).eps) * size:
        both = " and ".join(", ".join(layout.names(kind)) for kind in ("b", "second_b"))
        raise ValueError(
            f"the gradients of {both} differ by up to {np.max(np.abs(error)):.3g}; expected equal gradients, because "
            "the biases are added"
        )
    return np.where(same, first, first + error / 2)


def _known(layout: str | Layout) -> Layout:
    if isinstance(layout, Layout):
        return layout
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}, or a Layout")
    return LAYOUTS[layout]
