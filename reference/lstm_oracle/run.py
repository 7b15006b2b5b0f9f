"""The arrays of a run: their names and dimensions, and the checks of its inputs.

A run of an LSTM is a flat mapping from name to array, in memory or in files. Dimensions: `T` steps, `B` batch rows,
`D` inputs, `H` units. `dh` is the loss gradient that arrives at every h; `dh_T` and `dC_T` are the loss gradients that
arrive at the last h and C from beyond the last step. This module imports only NumPy and shares no code with `manual`.
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
    """Return T, B, D and H by their letters, from the inputs of a run."""
    return dict(zip("TBD", run["x"].shape, strict=True)) | {"H": len(run["W_f"])}


def with_weights(params: Mapping[str, Any], **others: Any) -> dict[str, Array]:
    """Return the complete run that has these weights and biases, and the other inputs.

    Raises:
        TypeError: `params` is not a mapping, or has an array that is not a weight or bias.
        TypeError, ValueError: as for `complete`.
    """
    if not isinstance(params, Mapping):
        raise TypeError(f"params is of type {type(params).__name__}; expected a mapping with the arrays W_f … b_o")
    if extra := sorted(set(params) - set(WEIGHTS)):
        raise TypeError(f"params has {extra[0]}; expected only {', '.join(WEIGHTS)}")
    return complete({**params, **others})


def complete(run: Mapping[str, Any]) -> dict[str, Array]:
    """Return all inputs of a run, validated, with zeros for a missing bias, state or upstream gradient.

    Arrays in native byte order are returned without a copy.

    Raises:
        TypeError: a name that is not an input of a run; an array that is masked, is neither float32 nor float64, or
            has another dtype than `x`.
        ValueError: a weight or `x` is missing, or a shape does not fit the arrays before it.
    """
    if unknown := sorted(set(run) - set(INPUTS)):
        raise TypeError(f"{unknown[0]} is not an input of a run; expected any of {', '.join(INPUTS)}")
    given = {name: plain(name, run[name]) for name in INPUTS if run.get(name) is not None}
    if missing := [name for name in REQUIRED if name not in given]:
        raise ValueError(f"the run lacks {', '.join(missing)}; expected at least {', '.join(REQUIRED)}")
    dtype = given["x"].dtype
    if dtype not in (np.float32, np.float64):
        raise TypeError(f"x has dtype {dtype}; expected float32 or float64")
    sizes: dict[str, int] = {}
    for name, array in given.items():
        require_fit(name, array, INPUTS[name], sizes, dtype)
    return {
        name: given[name] if name in given else np.zeros([sizes[dim] for dim in dims], dtype)
        for name, dims in INPUTS.items()
    }


def plain(name: str, value: Any) -> Array:
    """Return a value as an array in native byte order, without a copy if possible.

    Raises:
        TypeError: the value is a masked array.
    """
    if isinstance(value, np.ma.MaskedArray):
        raise TypeError(f"{name} is a masked array; expected one without a mask: {name}.filled(value)")
    array = np.asarray(value)
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def require_fit(name: str, array: Array, dims: str, sizes: dict[str, int], dtype: np.dtype[Any]) -> None:
    """Raise TypeError or ValueError unless an array has the dtype of x and the known sizes of its dimensions.

    Sizes that are not known yet are added to `sizes`.
    """
    if array.dtype != dtype:
        raise TypeError(f"{name} has dtype {array.dtype}; expected {dtype}, the dtype of x")
    expected = f"({', '.join(f'{dim}={sizes[dim]}' if dim in sizes else dim for dim in dims)})"
    if array.ndim != len(dims) or any(
        sizes.setdefault(dim, size) != size for dim, size in zip(dims, array.shape, strict=True)
    ):
        raise ValueError(f"{name} has shape {array.shape}; expected {expected}")
