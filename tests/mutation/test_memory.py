"""What autodiff said is remembered for the same runs, and for no others; what else is compiled is not remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mutation import memory


def told(inputs: Any, sizes: Any) -> Any:
    return {"h": inputs[0]["W"] * sizes}, {"h": inputs[1]}


def other(inputs: Any, sizes: Any) -> Any:
    return told(inputs, sizes)


def test_the_same_runs_are_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "known", {})
    monkeypatch.setattr(memory, "news", {})
    calls = []

    def compiled(function: Any, spread: bool = False) -> Any:
        return lambda *inputs: (calls.append(function), function(*inputs))[1]

    remembered = memory.remembering(compiled, told)
    inputs, sizes = ({"W": np.arange(3.0)}, np.ones(2)), np.array([2])
    for _ in range(2):
        exact, lost = remembered(told)(inputs, sizes)
        np.testing.assert_array_equal(exact["h"], [0, 2, 4])
        np.testing.assert_array_equal(lost["h"], [1, 1])
    assert calls == [told]
    nearly = ({"W": np.nextafter(np.arange(3.0), 9)}, np.ones(2))
    assert remembered(told)(nearly, sizes)[0]["h"][1] == 2 * np.nextafter(1, 9)
    remembered(told)(inputs, np.array([3]))
    assert calls == [told] * 3
    for _ in range(2):
        remembered(other)(inputs, sizes)
    assert calls == [told] * 3 + [other] * 2
