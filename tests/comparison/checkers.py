"""The gradient checks that are compared, each used as its documentation shows and with its own defaults.

The documentation of `torch.autograd.gradcheck` shows a `torch.autograd.Function` with inputs in double precision, and
that of the JAX checks a function with a gradient rule; here the rule is a `jax.custom_vjp` around callbacks to NumPy,
which allows reverse mode only. Each check is given the whole layer: h, h_T and C_T as functions of all weights, x, h0
and C0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from lstm_oracle.run import Array, Run
from tests.comparison.variants import ARGUMENTS, RUN, UPSTREAM, Variant, arguments_of

Checker = Callable[[Variant, Run], bool]  # whether the check passes a variant on a run


def gradcheck(variant: Variant, run: Run, *, fast_mode: bool) -> bool:
    """Run `torch.autograd.gradcheck` with eps=1e-6, atol=1e-5, rtol=1e-3: all Jacobian entries, or one projection."""
    import torch
    from torch.autograd.gradcheck import GradcheckError

    def numpy(tensors: Sequence[Any]) -> list[Array]:
        return [tensor.detach().numpy() for tensor in tensors]

    class LSTM(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple[Any, ...]:
            ctx.save_for_backward(*inputs)
            return tuple(torch.from_numpy(array) for array in variant.outputs(numpy(inputs)))

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *upstream: Any) -> tuple[Any, ...]:
            found = variant.gradients(numpy(ctx.saved_tensors), numpy(upstream))
            return tuple(torch.from_numpy(array) for array in found)

    inputs = tuple(torch.tensor(array, dtype=torch.double, requires_grad=True) for array in arguments_of(run))
    try:
        return torch.autograd.gradcheck(LSTM.apply, inputs, fast_mode=fast_mode)
    except GradcheckError:
        return False


class Layer:
    """An LSTM layer in JAX that calls a variant; it is compiled once for all variants, because compiling is slow."""

    variant: Variant

    def __init__(self, dtype: type[np.floating[Any]]) -> None:
        import jax

        self.dtype = dtype
        self.inputs, self.outputs = (
            tuple(jax.ShapeDtypeStruct(RUN[name].shape, dtype) for name in names) for names in (ARGUMENTS, UPSTREAM)
        )
        self.lstm = jax.custom_vjp(self.call)
        self.lstm.defvjp(self.forward, self.backward)

    def call(self, *arguments: Any) -> Any:
        import jax

        return jax.pure_callback(self.host_outputs, self.outputs, *arguments)

    def forward(self, *arguments: Any) -> Any:
        return self.call(*arguments), arguments

    def backward(self, arguments: Any, upstream: Any) -> Any:
        import jax

        return jax.pure_callback(self.host_gradients, self.inputs, arguments, upstream)

    def host_outputs(self, *arguments: Any) -> tuple[Array, ...]:
        return self.cast(self.variant.outputs(self.cast(arguments)))

    def host_gradients(self, arguments: Any, upstream: Any) -> tuple[Array, ...]:
        return self.cast(self.variant.gradients(self.cast(arguments), self.cast(upstream)))

    def cast(self, arrays: Sequence[Any]) -> tuple[Array, ...]:
        return tuple(np.asarray(array, self.dtype) for array in arrays)


layer = cache(Layer)


def passes_in_jax(check: Callable[..., None], variant: Variant, run: Run, dtype: type[np.floating[Any]]) -> bool:
    """Return whether a check with the interface of `check_grads` passes a variant."""
    import jax

    with jax.enable_x64(dtype == np.float64):
        layer(dtype).variant = variant
        try:
            check(layer(dtype).lstm, layer(dtype).cast(arguments_of(run)), order=1, modes=["rev"])
        except AssertionError:
            return False
    return True


def check_grads(variant: Variant, run: Run, dtype: type[np.floating[Any]]) -> bool:
    """Run `jax.test_util.check_grads`: one number, for one random direction and cotangent; tolerance by dtype."""
    from jax.test_util import check_grads

    return passes_in_jax(check_grads, variant, run, dtype)


def numerical_grads(variant: Variant, run: Run) -> bool:
    """Run `chex.assert_numerical_grads`: `check_grads` in float64 with atol=0.01 times the size of W_f."""
    import chex

    return passes_in_jax(chex.assert_numerical_grads, variant, run, np.float64)


GRADIENT_CHECKS: dict[str, Checker] = {
    "gradcheck": lambda variant, run: gradcheck(variant, run, fast_mode=False),
    "gradcheck, fast": lambda variant, run: gradcheck(variant, run, fast_mode=True),
    "check_grads, float64": lambda variant, run: check_grads(variant, run, np.float64),
    "check_grads, float32": lambda variant, run: check_grads(variant, run, np.float32),
    "assert_numerical_grads": numerical_grads,
}
