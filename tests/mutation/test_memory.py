"""What autodiff said is remembered for the same runs, and for no others; what else is compiled is not remembered."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.mutation import memory


def told(inputs: Any, sizes: Any) -> Any:
    return {"h": inputs[0]["W"] * sizes}, {"h": inputs[1]}


def lost(*inputs: Any) -> Any:
    return {"h": "lost"}


def other(*inputs: Any) -> Any:
    return told(*inputs)


def test_the_same_runs_are_not_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "known", {})
    monkeypatch.setattr(memory, "news", {})
    calls = []

    def compiled(function: Any, spread: bool = False) -> Any:
        return lambda *inputs: (calls.append(function), function(*inputs))[1]

    remembered = memory.remembering(compiled, (told, lost))
    inputs, sizes = ({"W": np.arange(3.0)}, np.ones(2)), np.array([2])
    for _ in range(2):
        of_sizes, as_given = remembered(told)(inputs, sizes)
        np.testing.assert_array_equal(of_sizes["h"], [0, 2, 4])
        np.testing.assert_array_equal(as_given["h"], [1, 1])
        assert remembered(lost)(inputs, sizes)["h"] == "lost"
    assert calls == [told, lost]
    nearly = ({"W": np.nextafter(np.arange(3.0), 9)}, np.ones(2))
    assert remembered(told)(nearly, sizes)[0]["h"][1] == 2 * np.nextafter(1, 9)
    remembered(told)(inputs, np.array([3]))
    remembered(lost)(inputs, sizes, {"h": np.ones(2)})
    assert calls == [told, lost, told, told, lost]
    for _ in range(2):
        remembered(other)(inputs, sizes)
    assert calls[5:] == [other] * 2
