"""The LSTM unit by autodiff, in JAX: the truth that hand-derived gradients are judged by.

    h, C = reference.forward(params, x, h0, C0)
    gradients = reference.backward(params, x, h0, C0, dh, dh_T=…, dC_T=…)   # {"dW_f": …, …, "dC0": …}
    deltas = reference.deltas(params, x, h0, C0, dh, dh_T=…, dC_T=…)        # deltas[t][16] is δ16

`params` is a mapping with one array per gate, "W_f" … "b_o". `reference.oracle` is the judge.
JAX is imported when one of these is first used: the command line answers without it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference.lstm import backward, forward
    from reference.probes import deltas

__all__ = ["backward", "deltas", "forward"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from reference import lstm, probes

    return getattr(probes if name == "deltas" else lstm, name)
