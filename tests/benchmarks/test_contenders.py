"""The floor that `manual` is measured beside does all the products, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from manual import batch, single
from tests.benchmarks.contenders import Call, Work, blocks, plain_gemms, regrouped_gemms

T, D, H = 70, 3, 20  # of no whole number of blocks where there are 8 rows


def test_the_blocks_are_all_steps_in_order() -> None:
    for steps in (1, 7, 32, 35, 70, 71):
        assert [t for at in blocks(T, steps) for t in range(T)[at]] == list(range(T))
        assert all(at.stop - at.start <= steps for at in blocks(T, steps))


@pytest.mark.parametrize(("way", "bias"), [(plain_gemms, 0), (regrouped_gemms, 1)])
@pytest.mark.parametrize("task", ["forward", "both"])
@pytest.mark.parametrize("B", [1, 8])
def test_every_step_is_multiplied(
    way: Callable[[Work], Call], bias: int, task: str, B: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = [0]

    def counted(product: Callable[..., Any]) -> Callable[..., None]:
        def call(left: Any, right: Any, out: Any) -> None:
            done[0] += out.size * left.shape[-1]
            product(left, right, out=out)

        return call

    for owner, name in ((np, "dot"), (np, "matmul"), (batch, "dot"), (batch, "matmul"), (single, "dot")):
        monkeypatch.setattr(owner, name, counted(getattr(owner, name)))
    way(Work(T, B, D, H, "float64", task))()
    gates = T * B * 4 * H
    back = gates * (H + (H + D + 1) + D) if task == "both" else 0
    assert done[0] == gates * (H + D + bias) + back
