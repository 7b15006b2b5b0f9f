"""A run for an adapter whose weights lie as a package's do: by that layout's names, and so their gradients.

`manual` is the run's own names, W_f … b_o, and their gradients dW_f … db_o. In another layout the
gradient of an array is named as the array with a `d` before it: dweight_ih_l0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from manual import Params
from manual.layouts import LAYOUTS, pack, unpack
from reference.run import OUTPUTS, WEIGHTS, Array, Run

OWN = "manual"
NAMES = (OWN, *LAYOUTS)
OF_NO_WEIGHT = [name for name in OUTPUTS if name.removeprefix("d") not in WEIGHTS]


def inputs_in(layout: str, inputs: Run) -> Mapping[str, Array]:
    """The inputs of a run with its weights in this layout."""
    if layout == OWN:
        return inputs
    weights = pack(Params.from_gates(**{name: inputs[name] for name in WEIGHTS}), layout)
    return weights | {name: array for name, array in inputs.items() if name not in WEIGHTS}


def outputs_in(layout: str) -> list[str]:
    """The names of all outputs in this layout."""
    return list(OUTPUTS) if layout == OWN else [*OF_NO_WEIGHT, *(f"d{name}" for name in LAYOUTS[layout].dims)]


def outputs_from(layout: str, outputs: Run) -> dict[str, Array]:
    """Outputs by the run's own names; those of the biases are left out where none came.

    Raises:
        TypeError, ValueError: gradients that do not make one set: one is missing, or does not fit.
    """
    if layout == OWN or not (weights := {name: a for name, a in outputs.items() if name not in OF_NO_WEIGHT}):
        return dict(outputs)
    known = LAYOUTS[layout]
    gates = unpack(weights, known, gradients=True, prefix="d").gates()
    bias = any(f"d{name}" in weights for name in known.names("b"))
    found = {f"d{name}": gradient for name, gradient in gates.items() if bias or name[0] != "b"}
    return found | {name: outputs[name] for name in OF_NO_WEIGHT if name in outputs}


def in_manual(adapter: Callable[..., Any], layout: str) -> Callable[..., dict[str, Array]]:
    """An adapter of the run's own names, made of one whose weights lie in this layout."""

    def translated(**run: Array) -> dict[str, Array]:
        return outputs_from(layout, {k: np.asarray(a) for k, a in adapter(**inputs_in(layout, run)).items()})

    return translated
