"""Known packages by wrong adapters."""

from __future__ import annotations

import os
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np

Arrays = dict[str, Any]
OTHER = {"f": "i", "i": "f"}


def swapped(package: str, **run: Any) -> Arrays:
    """With the input gate's weights for the forget gate, and the other way round."""
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
    """The evaluator's h, with one number off by some thousand units of rounding."""
    outputs: Arrays = import_module("lstm_oracle.candidates.packages.onnx").lstm(**run)
    if outputs["h"].size:
        outputs["h"][-1, -1, -1] += np.float32(1e-3)
    return outputs


def crashing(**run: Any) -> Arrays:
    os.abort()


def of_another_version(**run: Any) -> Arrays:
    """Calls what its package no longer has."""
    raise TypeError("LSTMCell() got an unexpected keyword argument 'dtype'")
