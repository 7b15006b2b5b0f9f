"""What is compared: each says whether it passes a program, used as its documentation shows, with its own defaults.

`torch.autograd.gradcheck` is documented on a `torch.autograd.Function` with inputs in double precision; the JAX
checks on a function with a rule for its gradients, here `jax.custom_vjp` around callbacks to NumPy, and so in
reverse mode. What is checked is the whole layer: h, h_T and C_T as functions of all weights, x, h0 and C0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from lstm_oracle.run import Array, Run
from tests.comparison.programs import ARGUMENTS, RUN, UPSTREAM, Program, arguments_of

Checker = Callable[[Program, Run], bool]


def gradcheck(program: Program, run: Run, *, fast_mode: bool) -> bool:
    """`torch.autograd.gradcheck`, eps=1e-6, atol=1e-5, rtol=1e-3: each entry of the Jacobian, or if fast one number."""
    import torch
    from torch.autograd.gradcheck import GradcheckError

    def numpy(tensors: Sequence[Any]) -> list[Array]:
        return [tensor.detach().numpy() for tensor in tensors]

    class LSTM(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> tuple[Any, ...]:
            ctx.save_for_backward(*inputs)
            return tuple(torch.from_numpy(array) for array in program.outputs(numpy(inputs)))

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx: Any, *upstream: Any) -> tuple[Any, ...]:
            found = program.gradients(numpy(ctx.saved_tensors), numpy(upstream))
            return tuple(torch.from_numpy(array) for array in found)

    inputs = tuple(torch.tensor(array, dtype=torch.double, requires_grad=True) for array in arguments_of(run))
    try:
        return torch.autograd.gradcheck(LSTM.apply, inputs, fast_mode=fast_mode)
    except GradcheckError:
        return False


class Layer:
    """An LSTM layer in JAX that hands its work to a program; one for all of them, for it takes long to compile."""

    program: Program

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
        return self.cast(self.program.outputs(self.cast(arguments)))

    def host_gradients(self, arguments: Any, upstream: Any) -> tuple[Array, ...]:
        return self.cast(self.program.gradients(self.cast(arguments), self.cast(upstream)))

    def cast(self, arrays: Sequence[Any]) -> tuple[Array, ...]:
        return tuple(np.asarray(array, self.dtype) for array in arrays)


layer = cache(Layer)


def in_jax(check: Callable[..., None], program: Program, run: Run, dtype: type[np.floating[Any]]) -> bool:
    """Whether a check of JAX's kind passes a program."""
    import jax

    with jax.enable_x64(dtype == np.float64):
        layer(dtype).program = program
        try:
            check(layer(dtype).lstm, layer(dtype).cast(arguments_of(run)), order=1, modes=["rev"])
        except AssertionError:
            return False
    return True


def check_grads(program: Program, run: Run, dtype: type[np.floating[Any]]) -> bool:
    """`jax.test_util.check_grads`: one random direction, one random cotangent, one number; tolerance by dtype."""
    from jax.test_util import check_grads

    return in_jax(check_grads, program, run, dtype)


def numerical_grads(program: Program, run: Run) -> bool:
    """`chex.assert_numerical_grads`: the same in float64 with atol=0.01 times the size of the first argument, W_f."""
    import chex

    return in_jax(chex.assert_numerical_grads, program, run, np.float64)


GRADIENT_CHECKS: dict[str, Checker] = {
    "gradcheck": lambda program, run: gradcheck(program, run, fast_mode=False),
    "gradcheck, fast": lambda program, run: gradcheck(program, run, fast_mode=True),
    "check_grads, float64": lambda program, run: check_grads(program, run, np.float64),
    "check_grads, float32": lambda program, run: check_grads(program, run, np.float32),
    "assert_numerical_grads": numerical_grads,
}
