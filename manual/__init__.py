"""The LSTM unit with its gradients derived by hand, in NumPy.

    tape = manual.forward(params, x, h0, C0)               # tape.h, tape.C, tape.h_T, tape.C_T
    gradients = manual.backward(tape, dh, dh_T=…, dC_T=…)  # .params, .x, .h0, .C0
    deltas = manual.deltas(tape, dh)                       # deltas[t][16] is δ16 at step t
    states = manual.infer(params, x, h0, C0)               # .h, .h_T, .C_T, without a tape

    arrays = manual.layouts.pack(params, "torch")          # in the layout of PyTorch, Keras, Flax, …; unpack inverts it

`manual.bptt` is a literal implementation of the same unit, based on `manual.derivation`; DERIVATION.md explains the
equations.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from manual.bptt import deltas
from manual.fused import backward, forward, infer
from manual.params import Params
from manual.tape import CheckpointedTape, Gradients, States, Tape

if TYPE_CHECKING:
    from manual import layouts

    __version__: str

__all__ = [
    "CheckpointedTape",
    "Gradients",
    "Params",
    "States",
    "Tape",
    "__version__",
    "backward",
    "deltas",
    "forward",
    "infer",
    "layouts",
]


def __getattr__(name: str) -> Any:
    """Load the layouts and the version on demand, because most programs use neither."""
    if name == "layouts":
        return import_module("manual.layouts")
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("lstm-oracle")
        except PackageNotFoundError:  # used from a folder, not installed
            return "unknown"
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
