"""The parameters of an LSTM unit, and the dimension key.

The dimension key, used in every file: `T` steps, `B` batch rows, `D` inputs, `H` units.
A comment such as `x: TBD` gives the shape of an array by these letters; sequences are time-major.
The symbols are those of D. Fichou, "LSTM units", vignette of the R package rnn, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from manual.checks import FLOATS, Array, checked, checked_size

GATES = "figo"  # the order of the source, and of the columns of W, U and b
DIMS = {"W": ("H", "4H"), "U": ("D", "4H"), "b": ("4H",)}
GATE_DIMS = {f"{kind}_{gate}": (*dims[:-1], "H") for kind, dims in DIMS.items() for gate in GATES}


class _Gate:
    """The columns of one gate in W, U or b, as a view."""

    def __init__(self, stacked: str, position: int) -> None:
        self.stacked, self.position = stacked, position

    def __set_name__(self, owner: type[Params], name: str) -> None:
        self.name = name

    def __get__(self, params: Params, owner: type[Params]) -> Array:
        H = params.hidden_size
        columns: Array = getattr(params, self.stacked)[..., self.position * H : (self.position + 1) * H]
        return columns

    def __set__(self, params: Params, value: Array) -> None:  # `params.W_f -= …` calls this with the updated view
        sizes = {"H": params.hidden_size, "D": params.input_size}
        self.__get__(params, Params)[...] = checked(self.name, value, GATE_DIMS[self.name], sizes, params.dtype)


@dataclass(eq=False)
class Params:
    """The parameters of one LSTM unit, with the four gates side by side in the order f, i, g, o.

    The arrays are stored, not copied: `params.W -= 0.1 * gradients.params.W` updates them in place, and
    `W_f` … `b_o` are views of them.

    Args:
        W: recurrent weights, (H, 4H); `h_prev @ W_f` enters the forget gate.
        U: input weights, (D, 4H); `x @ U_f` enters the forget gate.
        b: bias, (4H,), an extension of the source; the default, zeros, gives the unit of the source.
            All three arrays are float32, or all are float64, in any memory layout.

    Raises:
        TypeError: the arrays are not all float32 or all float64; arrays are never converted implicitly.
        ValueError: a shape does not fit; the message gives the argument, its shape and the expected shape.
    """

    W: Array
    U: Array
    b: Array = None  # type: ignore[assignment]  # __post_init__ replaces None by zeros

    W_f, W_i, W_g, W_o = (_Gate("W", k) for k in range(4))
    U_f, U_i, U_g, U_o = (_Gate("U", k) for k in range(4))
    b_f, b_i, b_g, b_o = (_Gate("b", k) for k in range(4))

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        W = checked("W", self.W, DIMS["W"], sizes)
        H = sizes["H"]
        if H < 1 or sizes["4H"] != 4 * H:
            expected = f"(H={H}, 4H={4 * H})" if H else "(H, 4H) with H ≥ 1"
            raise ValueError(f"W has shape {W.shape}; expected {expected}")
        U = checked("U", self.U, DIMS["U"], sizes, W.dtype)
        b = np.zeros(4 * H, W.dtype) if self.b is None else checked("b", self.b, DIMS["b"], sizes, W.dtype)
        for name, array in {"W": W, "U": U, "b": b}.items():
            super().__setattr__(name, array)

    def __setattr__(self, name: str, value: Array) -> None:
        if name not in DIMS and name not in GATE_DIMS:
            raise AttributeError(f"{name} cannot be set; expected W, U, b or one of {', '.join(GATE_DIMS)}")
        if name in self.__dict__:  # otherwise the constructor is setting it, and __post_init__ will validate it
            sizes = {"D": self.input_size, "H": self.hidden_size, "4H": 4 * self.hidden_size}
            value = checked(name, value, DIMS[name], sizes, self.dtype)
        super().__setattr__(name, value)

    @classmethod
    def from_gates(
        cls,
        *,
        W_f: Array,
        W_i: Array,
        W_g: Array,
        W_o: Array,
        U_f: Array,
        U_i: Array,
        U_g: Array,
        U_o: Array,
        b_f: Array | None = None,
        b_i: Array | None = None,
        b_g: Array | None = None,
        b_o: Array | None = None,
    ) -> Params:
        """Stack copies of one array per gate: `W_*` (H, H), `U_*` (D, H), `b_*` (H,); a missing bias is zero."""
        sizes: dict[str, int] = {}
        dtype = checked("W_f", W_f, GATE_DIMS["W_f"], sizes).dtype
        no_bias = np.zeros(sizes["H"], dtype)
        biases = {"b_f": b_f, "b_i": b_i, "b_g": b_g, "b_o": b_o}

        def stack(**gates: Array) -> Array:
            return np.hstack([checked(name, gate, GATE_DIMS[name], sizes, dtype) for name, gate in gates.items()])

        return cls(
            stack(W_f=W_f, W_i=W_i, W_g=W_g, W_o=W_o),
            stack(U_f=U_f, U_i=U_i, U_g=U_g, U_o=U_o),
            stack(**{name: no_bias if bias is None else bias for name, bias in biases.items()}),
        )

    @classmethod
    def init(
        cls,
        rng: np.random.Generator,
        input_size: int,
        hidden_size: int,
        dtype: npt.DTypeLike = np.float64,
    ) -> Params:
        """Draw initial parameters for training: W and U uniform within ±1/√H, the bias zero."""
        if not isinstance(rng, np.random.Generator):
            raise TypeError(f"rng is {rng!r}; expected a NumPy generator: numpy.random.default_rng(seed)")
        D = checked_size("input_size", input_size, least=0)
        H = checked_size("hidden_size", hidden_size, least=1)
        if np.dtype(dtype) not in FLOATS:
            raise TypeError(f"dtype is {np.dtype(dtype)}; expected float32 or float64")
        W = rng.uniform(-1, 1, (H, 4 * H)) / np.sqrt(H)
        U = rng.uniform(-1, 1, (D, 4 * H)) / np.sqrt(H)
        return cls(W.astype(dtype), U.astype(dtype))

    @property
    def input_size(self) -> int:
        """D, the number of inputs."""
        return self.U.shape[0]

    @property
    def hidden_size(self) -> int:
        """H, the number of units."""
        return self.W.shape[0]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The precision of all arrays, float32 or float64."""
        return self.W.dtype

    def gates(self) -> dict[str, Array]:
        """Return the arrays of all gates as views, by name: `{"W_f": …, "W_i": …, …, "b_o": …}`."""
        return {name: getattr(self, name) for name in GATE_DIMS}

    def in_dtype(self, dtype: npt.DTypeLike) -> KernelParams:
        """Return a copy in any dtype, for kernels; gradients stay gradients."""
        kind = type(self) if isinstance(self, KernelParams) else KernelParams
        return kind(self.W.astype(dtype), self.U.astype(dtype), self.b.astype(dtype))

    def __repr__(self) -> str:
        sizes = f"input_size={self.input_size}, hidden_size={self.hidden_size}"
        return f"{type(self).__name__}({sizes}, dtype={self.dtype})"


class KernelParams(Params):
    """Parameters that kernels compute with: not validated, and of any dtype, such as long double or objects."""

    def __post_init__(self) -> None:
        """Accept the arrays as they are."""


class ParamGradients(KernelParams):
    """The loss gradient with respect to the parameters, in arrays of the same names and shapes.

    `manual.layouts.pack` recognises these as gradients by their class.
    """
