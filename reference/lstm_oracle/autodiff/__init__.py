"""The LSTM unit in JAX, with every gradient by autodiff: the truth by which hand-derived gradients are judged.

    h, C = autodiff.forward(params, x, h0, C0)
    gradients = autodiff.backward(params, x, h0, C0, dh, dh_T=…, dC_T=…)  # {"dW_f": …, …, "dC0": …}
    deltas = autodiff.deltas(params, x, h0, C0, dh, dh_T=…, dC_T=…)  # deltas[t][16] is δ16 at step t

`params` is a mapping with one array per gate, "W_f" … "b_o". The caller's JAX configuration is not changed.
"""

from lstm_oracle.autodiff.lstm import backward, forward
from lstm_oracle.autodiff.probes import deltas

__all__ = ["backward", "deltas", "forward"]
