"""How packages lay out the weights of an LSTM, as data: names, gate order, transposes, biases.

    arrays = pack(params, "torch")  # {"weight_ih_l0": …, "weight_hh_l0": …, "bias_ih_l0": …, "bias_hh_l0": …}
    params = unpack(model.state_dict(), "torch", prefix="lstm.")

A name that is nested in the package, as in Flax, Haiku and Chainer, is joined by "/", as by
`flax.traverse_util.flatten_dict(…, sep="/")`. Note that ONNX's `W` is our `U`, and its `R` is our `W`.

Everything is moved and nothing computed, so that weights go anywhere and come back to the bit, but
for two things. Of two biases the sum counts: `unpack` adds them, `pack` gives ours and zeros. And
Haiku adds 1 to the forget gate, so that its bias is ours less 1: exact where that is a number of the
dtype, as it is for every b_f from 0.5 to 2; else off by rounding, eps / 2 of 1 + |b_f| at most, as
Haiku's own sum is. Gradients have no such exception; those of two biases are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from manual.checks import Array
from manual.name_checks import fitting
from manual.unit import GATES, Params

KINDS = ("W", "U", "b", "second_b")  # W first: it tells H
Names = str | tuple[str, ...]  # of one array with all gates side by side, or of one for each, in the order of `gates`


@dataclass(frozen=True)
class Layout:
    """The arrays that hold U (D, 4H), W (H, 4H) and b (4H,), and how the four gates lie in them.

    `W` named as `U` is one matrix with the rows of both, `second_b` named as `b` one array with both.
    """

    gates: str  # f, i, g and o in the package's order
    U: Names
    W: Names
    b: Names = ()
    second_b: Names = ()  # some have two biases, which are added
    transposed: str = ""  # which of U and W are (4H, D) and (4H, H): "UW", "U", "W" or none
    interleaved: bool = False  # the four gates of a unit are neighbours, not the units of a gate
    h_first: bool = False  # in one matrix for both, W lies above U
    direction: bool = False  # every array has a first axis of length 1, for the direction
    forget_offset: float = 0.0  # what the package adds to the forget gate beside its bias

    def __post_init__(self) -> None:
        if sorted(self.gates) != sorted(GATES):
            raise ValueError(f"gates is {self.gates!r}; expected the letters f, i, g and o in some order")
        for kind in KINDS:
            if len(found := self.names(kind)) not in ((1, 4) if kind in "UW" else (0, 1, 4)):
                raise ValueError(f"{kind} is {found!r}; expected the name of one array, or four in the order of gates")
        apart = {self.sharing(kind): self.names(kind) for kind in KINDS}
        named = [name for names in apart.values() for name in names]
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"{twice[0]!r} is named twice; expected another name for every array")
        if not set(self.transposed) <= set("UW") or (self.U == self.W and len(self.transposed) == 1):
            raise ValueError(f"transposed is {self.transposed!r}; expected 'UW', '', or one of them if they are apart")
        if self.interleaved and 4 in (len(self.names(kind)) for kind in KINDS):
            raise ValueError("interleaved is True; expected one array with all gates, where there is one for each")

    def names(self, kind: str) -> tuple[str, ...]:
        """The names of the arrays that hold "U", "W", "b" or "second_b"."""
        named: Names = getattr(self, kind)
        return (named,) if isinstance(named, str) else named

    def sharing(self, kind: str) -> tuple[str, ...]:
        """The kinds that lie in the arrays of this one, one after the other."""
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
            found |= dict.fromkeys(self.names(kind), ("directions",) * self.direction + dims)
        return found


def _each(name: str, gates: str) -> tuple[str, ...]:
    return tuple(name.format(gate) for gate in gates)


LAYOUTS = {
    # Fichou's vignette, and a run of this judge: apart, one array for each gate
    "source": Layout("figo", U=_each("U_{}", "figo"), W=_each("W_{}", "figo"), b=_each("b_{}", "figo")),
    # torch.nn.LSTM of one layer, as in its state_dict; without the _l0, torch.nn.LSTMCell is as tinygrad
    "torch": Layout("ifgo", U="weight_ih_l0", W="weight_hh_l0", b="bias_ih_l0", second_b="bias_hh_l0", transposed="UW"),
    # keras.layers.LSTM, LSTMCell; unit_forget_bias is about initial values and changes nothing here
    "keras": Layout("ifgo", U="kernel", W="recurrent_kernel", b="bias"),
    # flax.linen.LSTMCell, OptimizedLSTMCell
    "flax": Layout("ifgo", U=_each("i{}/kernel", "ifgo"), W=_each("h{}/kernel", "ifgo"), b=_each("h{}/bias", "ifgo")),
    # flax.nnx.LSTMCell, where `if` cannot be the name of an attribute
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
    # ONNX's operator LSTM: W[iofc], R[iofc], B = Wb[iofc] Rb[iofc]
    "onnx": Layout("iofg", U="W", W="R", b="B", second_b="B", transposed="UW", direction=True),
    # tinygrad.nn.LSTMCell
    "tinygrad": Layout("ifgo", U="weight_ih", W="weight_hh", b="bias_ih", second_b="bias_hh", transposed="UW"),
    # chainer.links.LSTM, StatelessLSTM
    "chainer": Layout("gifo", U="upward/W", W="lateral/W", b="upward/b", transposed="UW", interleaved=True),
}


def pack(params: Params, layout: str | Layout, *, gradients: bool = False, prefix: str = "") -> dict[str, Array]:
    """The arrays of a package, new ones, that hold these parameters.

    Args:
        params: weights, or gradients of them, as in `Gradients.params`.
        layout: a name in LAYOUTS, or a Layout.
        gradients: whether these are gradients: each of two biases has the same, the forget offset none.
        prefix: what every name begins with.
    """
    layout = _known(layout)
    if not isinstance(params, Params):
        raise TypeError(f"params is of type {type(params).__name__}; expected manual.Params")
    b = params.b.copy()
    if not gradients:
        b[: params.hidden_size] -= layout.forget_offset
        if b.any() and not layout.names("b"):
            raise ValueError("params.b is not what the layout has without a bias; expected a layout with one")
    held = {"U": params.U, "W": params.W, "b": b, "second_b": b if gradients else np.zeros_like(b)}
    pieces = {kind: _pieces(array, kind, layout) for kind, array in held.items()}
    arrays = {}
    for kind in pieces:
        together = [pieces[other] for other in layout.sharing(kind)]
        for name, parts in zip(layout.names(kind), zip(*together, strict=True), strict=True):
            array = _turned(np.concatenate(parts), kind, layout)
            arrays[prefix + name] = np.array(array[None] if layout.direction else array, order="C")
    return arrays


def unpack(arrays: Mapping[str, Any], layout: str | Layout, *, gradients: bool = False, prefix: str = "") -> Params:
    """The parameters that a package's arrays hold, in new arrays; the reverse of `pack`.

    Args:
        arrays: by name, nested or with names joined by "/"; a bias that is missing or None is zero.
        layout: a name in LAYOUTS, or a Layout.
        gradients: whether these are gradients, of which those of two biases must agree.
        prefix: take the arrays whose names begin so, and no others.

    Raises:
        TypeError: a name that the layout does not have; arrays not all float32 or all float64.
        ValueError: an array that is missing, or whose shape does not fit; gradients that differ.
    """
    layout = _known(layout)
    given, D, H = fitting(arrays, layout.dims, {*layout.names("b"), *layout.names("second_b")}, prefix)
    held: dict[str, Array] = {"b": np.zeros(4 * H, next(iter(given.values())).dtype)}
    for kind in KINDS:
        sharing, names = layout.sharing(kind), layout.names(kind)
        if given.keys() & names:
            first = {"U": D, "W": H}.get(sharing[0], 4 * H // len(names))
            plain = [_turned(given[name][0 if layout.direction else ...], kind, layout) for name in names]
            held[kind] = _ours([np.split(array, [first])[sharing.index(kind)] for array in plain], layout)
    params = Params(held["W"], held["U"], held["b"])
    if "second_b" in held:
        params.b = (_agreed if gradients else _sum)(params.b, held["second_b"], layout)
    if not gradients:
        params.b_f += layout.forget_offset
    return params


def _pieces(array: Array, kind: str, layout: Layout) -> list[Array]:
    """The columns f, i, g, o in the layout's order: one array, one for each gate, or none."""
    H = array.shape[-1] // 4
    gates = array.reshape(*array.shape[:-1], 4, H)[..., [GATES.index(gate) for gate in layout.gates], :]
    columns = (gates.swapaxes(-1, -2) if layout.interleaved else gates).reshape(array.shape)
    count = len(layout.names(kind))
    return np.split(columns, count, axis=-1) if count else []


def _ours(pieces: list[Array], layout: Layout) -> Array:
    """The reverse of `_pieces`."""
    columns = np.concatenate(pieces, axis=-1)
    H = columns.shape[-1] // 4
    if layout.interleaved:
        gates = columns.reshape(*columns.shape[:-1], H, 4).swapaxes(-1, -2)
    else:
        gates = columns.reshape(*columns.shape[:-1], 4, H)
    return gates[..., [layout.gates.index(gate) for gate in GATES], :].reshape(columns.shape)


def _turned(array: Array, kind: str, layout: Layout) -> Array:
    return array.T if kind in layout.transposed else array


def _sum(first: Array, second: Array, layout: Layout) -> Array:
    with np.errstate(over="ignore", invalid="ignore"):
        return np.where(second == 0, first, first + second)  # -0.0 + 0.0 would be another number to the bit


def _agreed(first: Array, second: Array, layout: Layout) -> Array:
    """The gradient of two biases, which is one; two sums of the same may differ by rounding."""
    same = (first == second) | (np.isnan(first) & np.isnan(second))
    error = np.subtract(second, first, out=np.zeros_like(first), where=~same)
    size = np.max(np.abs([first, second]), initial=0, where=np.isfinite([first, second]))
    if not np.max(np.abs(error)) <= np.sqrt(np.finfo(first.dtype).eps) * size:
        both = " and ".join(", ".join(layout.names(kind)) for kind in ("b", "second_b"))
        raise ValueError(
            f"the gradients of {both} differ by up to {np.max(np.abs(error)):.3g}; expected the same in both: "
            "the gates take their sum"
        )
    return np.where(same, first, first + error / 2)


def _known(layout: str | Layout) -> Layout:
    if isinstance(layout, Layout):
        return layout
    if not isinstance(layout, str) or layout not in LAYOUTS:
        raise ValueError(f"layout is {layout!r}; expected one of {', '.join(LAYOUTS)}, or a Layout")
    return LAYOUTS[layout]
