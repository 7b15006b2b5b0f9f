"""The unit's parameters, the tape of a forward pass, and the gradients.

The dimension key, used in every file: `T` steps, `B` batch rows, `D` inputs, `H` units.
A comment such as `x: TBD` gives an array's shape by these letters; sequences are time-major.
The symbols are those of D. Fichou, "LSTM units", vignette of the R package rnn, 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from manual.checks import FLOATS, checked, checked_size

Array = npt.NDArray[Any]

GATES = "figo"  # the source's order, and that of the columns of W, U and b
DIMS = {"W": ("H", "4H"), "U": ("D", "4H"), "b": ("4H",)}


class _Gate:
    """One gate's columns of a stacked array, as a view."""

    def __init__(self, stacked: str, position: int) -> None:
        self.stacked, self.position = stacked, position

    def __set_name__(self, owner: type[Params], name: str) -> None:
        self.name = name

    def __get__(self, params: Params, owner: type[Params]) -> Array:
        H = params.hidden_size
        columns: Array = getattr(params, self.stacked)[..., self.position * H : (self.position + 1) * H]
        return columns

    def __set__(self, params: Params, value: Array) -> None:  # what `params.W_f -= …` ends with
        sizes = {"H": params.hidden_size, "D": params.input_size}
        dims = {"W": ("H", "H"), "U": ("D", "H"), "b": ("H",)}[self.stacked]
        self.__get__(params, Params)[...] = checked(self.name, value, dims, sizes, params.dtype)


@dataclass(eq=False)
class Params:
    """The weights of one LSTM unit, the four gates side by side in the order f, i, g, o.

    Args:
        W: recurrent weights, (H, 4H); `h_prev @ W_f` is the first gate's share.
        U: input weights, (D, 4H).
        b: bias, (4H,), our extension of the source: zeros, the default, give the source's unit.

    All three are float32 or all float64; strided and Fortran-ordered arrays will do. They are kept,
    not copied: `params.W -= 0.1 * gradients.params.W` trains, and `W_f` … `b_o` are views of them.

    Raises:
        TypeError: an array is not float32 or float64 throughout; nothing is converted silently.
        ValueError: a shape does not fit; the message gives the argument, its shape and the expected one.
    """

    W: Array
    U: Array
    b: Array = None  # type: ignore[assignment]  # __post_init__ puts zeros there

    W_f, W_i, W_g, W_o = (_Gate("W", k) for k in range(4))
    U_f, U_i, U_g, U_o = (_Gate("U", k) for k in range(4))
    b_f, b_i, b_g, b_o = (_Gate("b", k) for k in range(4))

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        W = checked("W", self.W, DIMS["W"], sizes)
        H = checked_size("the hidden size H of W", sizes["H"], least=1)
        if sizes["4H"] != 4 * H:
            raise ValueError(f"W has shape {W.shape}; expected (H, 4H), that is ({H}, {4 * H})")
        U = checked("U", self.U, DIMS["U"], sizes, W.dtype)
        b = np.zeros(4 * H, W.dtype) if self.b is None else checked("b", self.b, DIMS["b"], sizes, W.dtype)
        self.__dict__.update(W=W, U=U, b=b)

    def __setattr__(self, name: str, value: Array) -> None:
        if name not in DIMS and name not in type(self).__dict__:
            raise AttributeError(f"Params has no {name}; expected W, U, b or one of {', '.join(self.gates())}")
        if name in self.__dict__:  # it is not the constructor
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
        """Stack one array per gate: `W_*` (H, H), `U_*` (D, H), `b_*` (H,); a missing bias is zero."""
        sizes: dict[str, int] = {}
        dtype = checked("W_f", W_f, ("H", "H"), sizes).dtype

        def stacked(dims: tuple[str, ...], missing: Array | None = None, **gates: Array | None) -> Array:
            arrays = {name: missing if gate is None else gate for name, gate in gates.items()}
            return np.hstack([checked(name, array, dims, sizes, dtype) for name, array in arrays.items()])

        return cls(
            stacked(("H", "H"), W_f=W_f, W_i=W_i, W_g=W_g, W_o=W_o),
            stacked(("D", "H"), U_f=U_f, U_i=U_i, U_g=U_g, U_o=U_o),
            stacked(("H",), np.zeros(sizes["H"], dtype), b_f=b_f, b_i=b_i, b_g=b_g, b_o=b_o),
        )

    @classmethod
    def init(
        cls,
        rng: np.random.Generator,
        input_size: int,
        hidden_size: int,
        dtype: npt.DTypeLike = np.float64,
    ) -> Params:
        """Weights to start training from: W and U uniform within ±1/√H, the bias zero."""
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
        """The precision of all arrays of this unit, float32 or float64."""
        return self.W.dtype

    def gates(self) -> dict[str, Array]:
        """The twelve views by name: `{"W_f": …, "W_i": …, …, "b_o": …}`."""
        return {f"{kind}_{gate}": getattr(self, f"{kind}_{gate}") for kind in "WUb" for gate in GATES}

    def __repr__(self) -> str:
        return f"Params(input_size={self.input_size}, hidden_size={self.hidden_size}, dtype={self.dtype})"


@dataclass(frozen=True, eq=False)
class Tape:
    """What a forward pass leaves for the backward pass.

    `params` and `x` are those of the call, not copies: change neither between forward and backward.
    """

    params: Params
    x: Array  # TBD
    slabs: Array  # (T+1)5BH: what meets in a step, C_prev, g, f, i and o; of the last slab C_prev alone, which is C_T
    tanh_C: Array  # TBH
    hs: Array  # (T+1)BH: h0, then h after every step

    @property
    def Cs(self) -> Array:
        """C0, then the cell state after every step, (T+1, B, H)."""
        return self.slabs[:, 0]

    @property
    def g(self) -> Array:
        """The candidate at every step, (T, B, H)."""
        return self.slabs[:-1, 1]

    @property
    def f(self) -> Array:
        """The forget gate at every step, (T, B, H)."""
        return self.slabs[:-1, 2]

    @property
    def i(self) -> Array:
        """The input gate at every step, (T, B, H)."""
        return self.slabs[:-1, 3]

    @property
    def o(self) -> Array:
        """The output gate at every step, (T, B, H)."""
        return self.slabs[:-1, 4]

    @property
    def h(self) -> Array:
        """The hidden state after every step, (T, B, H)."""
        return self.hs[1:]

    @property
    def C(self) -> Array:
        """The cell state after every step, (T, B, H)."""
        return self.Cs[1:]

    @property
    def h_T(self) -> Array:
        """The hidden state after the last step, (B, H); h0 if there was none."""
        return self.hs[-1]

    @property
    def C_T(self) -> Array:
        """The cell state after the last step, (B, H); C0 if there was none."""
        return self.Cs[-1]

    def __repr__(self) -> str:
        T, B, _ = self.x.shape
        return f"Tape(T={T}, B={B}, {self.params!r})"


@dataclass(frozen=True, eq=False)
class CheckpointedTape:
    """What a forward pass leaves that keeps the cell state of every so many steps only.

    It has h, h_T and C_T, and serves `manual.backward`, which computes the rest once more.
    """

    params: Params
    x: Array  # TBD
    hs: Array  # (T+1)BH: h0, then h after every step
    checkpoints: Array  # the cell state before steps 0, every, 2·every …; then C_T
    every: int

    @property
    def h(self) -> Array:
        """The hidden state after every step, (T, B, H)."""
        return self.hs[1:]

    @property
    def h_T(self) -> Array:
        """The hidden state after the last step, (B, H); h0 if there was none."""
        return self.hs[-1]

    @property
    def C_T(self) -> Array:
        """The cell state after the last step, (B, H); C0 if there was none."""
        return self.checkpoints[-1]

    def __getattr__(self, name: str) -> Array:
        if name in ("C", "Cs", "f", "i", "g", "o", "tanh_C"):
            raise AttributeError(f"a checkpointed tape does not keep {name}; run forward without checkpoint to have it")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        T, B, _ = self.x.shape
        return f"CheckpointedTape(T={T}, B={B}, every={self.every}, {self.params!r})"


@dataclass(frozen=True, eq=False)
class States:
    """What `manual.infer` gives: the hidden state of every step, and the last ones to go on from."""

    h: Array  # TBH
    h_T: Array  # BH
    C_T: Array  # BH


@dataclass(frozen=True, eq=False)
class Gradients:
    """The loss gradient with respect to everything that went into a forward pass."""

    params: Params  # dW, dU, db, in the shapes of W, U, b
    x: Array  # TBD
    h0: Array  # BH
    C0: Array  # BH

    def __repr__(self) -> str:
        T, B, _ = self.x.shape
        return f"Gradients(T={T}, B={B}, {self.params!r})"


def unchecked(W: Array, U: Array, b: Array) -> Params:
    """Params of arrays that fit and may be of any dtype: for the kernels behind the doors."""
    params = object.__new__(Params)
    params.__dict__.update(W=W, U=U, b=b)
    return params


def empty_tape(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """A tape that holds h0 and C0 and has room for the rest."""
    T, (B, H) = len(x), h0.shape
    slabs, tanh_C = np.empty((T + 1, 5, B, H), x.dtype), np.empty((T, B, H), x.dtype)
    hs = np.empty((T + 1, B, H), x.dtype)
    slabs[0, 0], hs[0], slabs[-1, 1:] = C0, h0, 0
    return Tape(params, x, slabs, tanh_C, hs)
