"""Converts the weights of a run to the layout of a package, and weight gradients back from there.

The layout "manual" is that of a run: W_f … b_o, and gradients dW_f … db_o. In another layout, such as that of PyTorch,
the gradient of an array has the name of the array with the prefix `d`, as in dweight_ih_l0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lstm_oracle.run import OUTPUTS, WEIGHTS, Array, Run

if TYPE_CHECKING:
    from types import ModuleType

OWN_LAYOUT = "manual"
NOT_OF_WEIGHTS = [name for name in OUTPUTS if name.removeprefix("d") not in WEIGHTS]


def shadowing_manual() -> str | None:
    """Return the path of another module named `manual` that would be imported instead of ours, or None."""
    try:
        spec = find_spec("manual")
    except ValueError:  # a module without a spec, made by a program
        return "manual"
    folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
    if spec is None or any((folder / "derivation.py").exists() for folder in folders):
        return None
    return str(spec.origin or next(iter(folders), "manual"))


def require_own_manual() -> None:
    """Raise ImportError if another module named `manual` would be imported instead of ours."""
    if other := shadowing_manual():
        raise ImportError(f"{other} shadows lstm-oracle's module manual; rename it or run from another folder")


def manual_layouts() -> ModuleType:
    """Import `manual.layouts` when a layout is first used.

    Without a layout, `manual` is not needed, so that a candidate may import another module of this name.

    Raises:
        ImportError: another module named `manual` would be imported.
    """
    require_own_manual()
    from manual import layouts

    return layouts


def layout_names() -> tuple[str, ...]:
    """Return the names of all layouts, "manual" first."""
    return OWN_LAYOUT, *manual_layouts().LAYOUTS


def inputs_in(layout: str, inputs: Run) -> Mapping[str, Array]:
    """Return the inputs of a run, with the weights and biases in this layout."""
    if layout == OWN_LAYOUT:
        return inputs
    layouts = manual_layouts()
    params = layouts.Params.from_gates(**{name: inputs[name] for name in WEIGHTS})
    return layouts.pack(params, layout) | {name: array for name, array in inputs.items() if name not in WEIGHTS}


def output_names(layout: str) -> list[str]:
    """Return the names of all outputs in this layout."""
    if layout == OWN_LAYOUT:
        return list(OUTPUTS)
    return [*NOT_OF_WEIGHTS, *(f"d{name}" for name in manual_layouts().LAYOUTS[layout].dims)]


def outputs_from(layout: str, outputs: Run) -> dict[str, Array]:
    """Convert outputs from this layout to the names of a run, without bias gradients if there are none.

    Raises:
        TypeError, ValueError: a weight gradient is missing, or the weight gradients do not fit together.
    """
    weights = {name: array for name, array in outputs.items() if name not in NOT_OF_WEIGHTS}
    if layout == OWN_LAYOUT or not weights:
        return dict(outputs)
    layouts = manual_layouts()
    known = layouts.LAYOUTS[layout]
    gates = layouts.unpack(weights, known, gradients=True, prefix="d").gates()
    has_bias = any(f"d{name}" in weights for name in known.names("b"))
    found = {f"d{name}": gradient for name, gradient in gates.items() if has_bias or name[0] != "b"}
    return found | {name: outputs[name] for name in NOT_OF_WEIGHTS if name in outputs}


def in_own_layout(adapter: Callable[..., Any], layout: str) -> Callable[..., dict[str, Array]]:
    """Return an adapter that uses the names of a run, from one whose weights are in this layout."""

    def translated(**run: Array) -> dict[str, Array]:
        outputs = adapter(**inputs_in(layout, run))
        return outputs_from(layout, {name: np.asarray(array) for name, array in outputs.items()})

    return translated
