"""The LSTM unit with its gradients derived by hand, in NumPy.

    tape = manual.forward(params, x, h0, C0)             # tape.h, tape.C, tape.h_T, tape.C_T
    gradients = manual.backward(tape, dh, dh_T=…, dC_T=…)  # .params, .x, .h0, .C0
    deltas = manual.deltas(tape, dh)                     # deltas[t][16] is δ16 at step t

    arrays = manual.layouts.pack(params, "torch")        # as PyTorch, Keras, Flax, … lay them out; unpack reverses it

`manual.bptt` is the same written to be read, on top of `manual.derivation`; DERIVATION.md explains.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from manual.bptt import deltas
from manual.fused import backward, forward, infer
from manual.unit import CheckpointedTape, Gradients, Params, States, Tape

if TYPE_CHECKING:
    from manual import layouts

__all__ = [
    "CheckpointedTape",
    "Gradients",
    "Params",
    "States",
    "Tape",
    "backward",
    "deltas",
    "forward",
    "infer",
    "layouts",
]


def __getattr__(name: str) -> Any:
    if name != "layouts":  # imported when it is first used
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module("manual.layouts")
