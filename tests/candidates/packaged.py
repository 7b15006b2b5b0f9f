"""Wrong adapters of the known packages."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

Arrays = dict[str, Any]
OTHER = {"f": "i", "i": "f"}


def swapped(package: str, **run: Any) -> Arrays:
    """Call the adapter of a package with the weights of the input gate and the forget gate exchanged."""
    given = {
        name: f"{name[:-1]}{OTHER.get(name[-1], name[-1])}" if name[:2] in ("W_", "U_", "b_") else name for name in run
    }
    outputs: Arrays = import_module(f"lstm_oracle.candidates.packages.{package}").lstm(
        **{n: run[given[n]] for n in run}
    )
    return outputs


torch, flax, equinox, haiku, keras, onnxruntime, onnx, jax = (
    partial(swapped, name) for name in ("torch", "flax", "equinox", "haiku", "keras", "onnxruntime", "onnx", "jax")
)


def a_little_wrong(**run: Any) -> Arrays:
    """Return the h of the ONNX evaluator, with an error of thousands of rounding units in one entry."""
    outputs: Arrays = import_module("lstm_oracle.candidates.packages.onnx").lstm(**run)
    if outputs["h"].size:
        outputs["h"][-1, -1, -1] += np.float32(1e-3)
    return outputs


def crashing(**run: Any) -> Arrays:
    os.abort()


def of_another_version(**run: Any) -> Arrays:
    """Fail as an adapter for an older version of the package does."""
    raise TypeError("LSTMCell() got an unexpected keyword argument 'dtype'")
