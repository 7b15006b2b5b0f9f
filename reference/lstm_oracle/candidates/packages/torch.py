"""PyTorch: `nn.LSTM` with one layer."""

from __future__ import annotations

import torch

from lstm_oracle.run import WEIGHTS, Array
from manual import Params
from manual.layouts import pack, unpack


def lstm(**run: Array) -> dict[str, Array]:
    """Return the states and gradients of a run; of the cell states, only the last."""
    given = {name: torch.from_numpy(array) for name, array in run.items()}
    x, h0, C0 = (given[name].requires_grad_() for name in ("x", "h0", "C0"))
    layer = torch.nn.LSTM(x.shape[-1], h0.shape[-1], dtype=x.dtype)
    weights = pack(Params.from_gates(**{name: run[name] for name in WEIGHTS}), "torch")
    layer.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})

    h, (h_T, C_T) = layer(x, (h0[None], C0[None]))
    torch.autograd.backward([h, h_T[0], C_T[0]], [given["dh"], given["dh_T"], given["dC_T"]])

    gradients = unpack(
        {name: weight.grad.numpy() for name, weight in layer.named_parameters()}, "torch", gradients=True
    )
    found = {f"d{name}": d for name, d in gradients.gates().items()}
    states = {"h": h, "C_T": C_T[0], "dx": x.grad, "dh0": h0.grad, "dC0": C0.grad}
    return found | {name: value.detach().numpy().copy() for name, value in states.items()}
