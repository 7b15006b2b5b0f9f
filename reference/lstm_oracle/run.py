"""A run of an LSTM: a flat mapping from name to array, in memory or as `.npy` files.

`T` steps, `B` batch rows, `D` inputs, `H` units; `dh` is the loss gradient arriving at every h,
`dh_T` and `dC_T` the one arriving at the last h and C from beyond the last step. This file knows
NumPy alone and shares no code with `manual`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
DType = np.dtype[np.floating[Any]]
Run = Mapping[str, Array]

GATES = "figo"
WEIGHTS = {f"{kind}_{gate}": dims for kind, dims in {"W": "HH", "U": "DH", "b": "H"}.items() for gate in GATES}
INPUTS = WEIGHTS | {"x": "TBD", "h0": "BH", "C0": "BH", "dh": "TBH", "dh_T": "BH", "dC_T": "BH"}
GRADIENTS = {f"d{name}": dims for name, dims in WEIGHTS.items()} | {"dx": "TBD", "dh0": "BH", "dC0": "BH"}
OUTPUTS = {"h": "TBH", "C": "TBH", "C_T": "BH"} | GRADIENTS
REQUIRED = [name for name in INPUTS if name[0] in "WUx"]


def sizes_of(run: Run) -> dict[str, int]:
    """T, B, D and H of a run's inputs."""
    return dict(zip("TBD", run["x"].shape, strict=True)) | {"H": len(run["W_f"])}


def with_weights(params: Mapping[str, Any], **others: Any) -> dict[str, Array]:
    """The complete run of these weights and biases and the other inputs."""
    if not isinstance(params, Mapping):
        raise TypeError(f"params is of type {type(params).__name__}; expected a mapping with the arrays W_f … b_o")
    if extra := sorted(set(params) - set(WEIGHTS)):
        raise TypeError(f"params has {extra[0]}; expected {', '.join(WEIGHTS)} alone")
    return complete({**params, **others})


def complete(run: Mapping[str, Any]) -> dict[str, Array]:
    """All inputs of a run, checked; a missing bias, state or upstream gradient is zero.

    Raises:
        TypeError: a name that no run has; an array that is masked, or not float32 or float64, or not
            of the same dtype as `x`.
        ValueError: a missing weight or input, or a shape that does not fit.
    """
    if unknown := sorted(set(run) - set(INPUTS)):
        raise TypeError(f"{unknown[0]} is not an input of a run; expected {', '.join(INPUTS)}")
    given = {name: plain(name, run[name]) for name in INPUTS if run.get(name) is not None}
    if missing := [name for name in REQUIRED if name not in given]:
        raise ValueError(f"{', '.join(missing)} missing; a run needs {', '.join(REQUIRED)}")
    dtype = given["x"].dtype
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"x has dtype {dtype}; expected float32 or float64")
    sizes: dict[str, int] = {}
    for name, array in given.items():
        _check(name, array, INPUTS[name], sizes, dtype)
    return {
        name: given[name] if name in given else np.zeros([sizes[dim] for dim in dims], dtype)
        for name, dims in INPUTS.items()
    }


def plain(name: str, value: Any) -> Array:
    """An array without a mask, in this machine's byte order; TypeError where values are masked out."""
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected one without a mask: {name}.filled(value)")
    array = np.asarray(value)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _check(name: str, array: Array, dims: str, sizes: dict[str, int], dtype: np.dtype[Any]) -> None:
    if array.dtype != dtype:
        raise TypeError(f"{name} has dtype {array.dtype}; expected {dtype}, that of x")
    expected = f"({', '.join(f'{dim}={sizes[dim]}' if dim in sizes else dim for dim in dims)})"
    if array.ndim != len(dims):
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
    for dim, size in zip(dims, array.shape, strict=True):
        if sizes.setdefault(dim, size) != size:
            raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
