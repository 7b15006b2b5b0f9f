"""The results of the forward and backward passes: the tape, the states, the gradients.

The comments give shapes by the dimension key of `manual.params`: `TBH` is an array with the dimensions T, B and H.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from manual.checks import Array
from manual.params import Params


@dataclass(frozen=True, eq=False)
class Tape:
    """The values of a forward pass that the backward pass needs.

    `params` and `x` are the arguments of `forward`, not copies: change neither before the backward pass.
    """

    params: Params
    x: Array  # TBD
    stacked: Array  # (T+1)5BH: C_prev, g, f, i and o of every step; after the last step C_T, and zeros
    tanh_C: Array  # TBH
    hs: Array  # (T+1)BH: h0, then h after every step

    @property
    def Cs(self) -> Array:
        """C0, then the cell state after every step, (T+1, B, H)."""
        return self.stacked[:, 0]

    @property
    def g(self) -> Array:
        """The candidate at every step, (T, B, H)."""
        return self.stacked[:-1, 1]

    @property
    def f(self) -> Array:
        """The forget gate at every step, (T, B, H)."""
        return self.stacked[:-1, 2]

    @property
    def i(self) -> Array:
        """The input gate at every step, (T, B, H)."""
        return self.stacked[:-1, 3]

    @property
    def o(self) -> Array:
        """The output gate at every step, (T, B, H)."""
        return self.stacked[:-1, 4]

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
        """The hidden state after the last step, (B, H); h0 if there are no steps."""
        return self.hs[-1]

    @property
    def C_T(self) -> Array:
        """The cell state after the last step, (B, H); C0 if there are no steps."""
        return self.Cs[-1]

    def __repr__(self) -> str:
        return _repr(self, self.x.shape, self.h_T)


@dataclass(frozen=True, eq=False)
class CheckpointedTape:
    """The values of a forward pass that keeps the cell state only at checkpoints.

    `manual.backward` computes all other values once more. `params` and `x` are the arguments of `forward`, not
    copies: change neither before the backward pass.
    """

    params: Params
    x: Array  # TBD
    hs: Array  # (T+1)BH: h0, then h after every step
    checkpoints: Array  # the cell state before steps 0, every, 2·every, …, and after the last step; each BH
    every: int

    @property
    def h(self) -> Array:
        """The hidden state after every step, (T, B, H)."""
        return self.hs[1:]

    @property
    def h_T(self) -> Array:
        """The hidden state after the last step, (B, H); h0 if there are no steps."""
        return self.hs[-1]

    @property
    def C_T(self) -> Array:
        """The cell state after the last step, (B, H); C0 if there are no steps."""
        return self.checkpoints[-1]

    def __getattr__(self, name: str) -> Array:
        if name in ("C", "Cs", "f", "i", "g", "o", "tanh_C"):
            raise AttributeError(f"a CheckpointedTape does not keep {name}; call forward without checkpoint to get it")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return _repr(self, self.x.shape, self.h_T, every=self.every)


@dataclass(frozen=True, eq=False)
class States:
    """The result of `manual.infer`: the hidden state of every step, and the states after the last step."""

    h: Array  # TBH
    h_T: Array  # BH
    C_T: Array  # BH

    def __repr__(self) -> str:
        return _repr(self, self.h.shape[:2], self.h_T)


@dataclass(frozen=True, eq=False)
class Gradients:
    """The loss gradient with respect to the parameters, the input and the initial states of a forward pass."""

    params: Params  # a ParamGradients: dW, dU and db, in the shapes of W, U and b
    x: Array  # TBD
    h0: Array  # BH
    C0: Array  # BH

    def __repr__(self) -> str:
        return _repr(self, self.x.shape, self.h0)


def _repr(result: object, sequence: tuple[int, ...], state: Array, **others: int) -> str:
    """Return one line with the sizes of a result, from the shape of a sequence, TB or TBD, and a state, BH."""
    sizes = dict(zip("TBD", sequence, strict=False)) | {"H": state.shape[-1]} | others
    return f"{type(result).__name__}({', '.join(f'{k}={size}' for k, size in sizes.items())}, dtype={state.dtype})"


def empty_tape(params: Params, x: Array, h0: Array, C0: Array) -> Tape:
    """Return a tape that holds h0 and C0; all other values, except the zeros after C_T, are uninitialised."""
    T, (B, H) = len(x), h0.shape
    stacked, tanh_C = np.empty((T + 1, 5, B, H), x.dtype), np.empty((T, B, H), x.dtype)
    hs = np.empty((T + 1, B, H), x.dtype)
    stacked[0, 0], hs[0], stacked[-1, 1:] = C0, h0, 0
    return Tape(params, x, stacked, tanh_C, hs)
