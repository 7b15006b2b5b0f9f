"""The cache returns the result for equal inputs and for no others."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.mutation import cache


def test_a_result_is_computed_once_for_equal_inputs_of_a_cached_function() -> None:
    calls = []

    def cached(inputs: Any, sizes: Any) -> Any:
        calls.append("cached")
        return {"h": inputs["W"] * sizes}

    def other(inputs: Any, sizes: Any) -> Any:
        calls.append("other")
        return {"h": inputs["W"]}

    with_cache = cache.with_cache(lambda function, multi_threaded: function, (cached,))
    inputs = {"W": np.arange(3.0)}
    nearly_equal = {"W": np.nextafter(inputs["W"], 9)}
    for _ in range(2):
        np.testing.assert_array_equal(with_cache(cached)(inputs, np.array([2]))["h"], [0, 2, 4])
        np.testing.assert_array_equal(with_cache(cached)(inputs, np.array([3]))["h"], [0, 3, 6])
        np.testing.assert_array_equal(with_cache(cached)(nearly_equal, np.array([2]))["h"], 2 * nearly_equal["W"])
        np.testing.assert_array_equal(with_cache(other)(inputs, np.array([2]))["h"], [0, 1, 2])
    assert sorted(calls) == ["cached"] * 3 + ["other"] * 2
