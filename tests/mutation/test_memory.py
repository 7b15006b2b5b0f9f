"""What autodiff said of a run is remembered for the same run and for no other."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.mutation import memory


def test_the_same_runs_are_not_asked_for_again_and_others_are() -> None:
    asked = []

    def told(inputs: Any, sizes: Any) -> Any:
        asked.append("told")
        return {"h": inputs["W"] * sizes}

    def not_told(inputs: Any, sizes: Any) -> Any:
        asked.append("not told")
        return {"h": inputs["W"]}

    remembered = memory.remembering(lambda function, spread: function, (told,))
    inputs = {"W": np.arange(3.0)}
    nearly = {"W": np.nextafter(inputs["W"], 9)}
    for _ in range(2):
        np.testing.assert_array_equal(remembered(told)(inputs, np.array([2]))["h"], [0, 2, 4])
        np.testing.assert_array_equal(remembered(told)(inputs, np.array([3]))["h"], [0, 3, 6])
        np.testing.assert_array_equal(remembered(told)(nearly, np.array([2]))["h"], 2 * nearly["W"])
        np.testing.assert_array_equal(remembered(not_told)(inputs, np.array([2]))["h"], [0, 1, 2])
    assert sorted(asked) == ["not told"] * 2 + ["told"] * 3
