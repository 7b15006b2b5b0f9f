"""A run on which rounding may change everything is refused: there every output would be within the tolerance."""

from __future__ import annotations

import numpy as np
import pytest

from reference.oracle import judge
from reference.run import Array
from tests.strategies import drawn, without_zeros
from tests.twins import truth_of


def recorded(inputs: dict[str, Array]) -> dict[str, Array]:
    """A run whose h is nonsense."""
    return inputs | {"h": np.full(inputs["dh"].shape, 17.0, inputs["x"].dtype)}


@pytest.mark.parametrize(("name", "factor"), [("dh", 1e40), ("x", 1e39), ("x", 1e200), ("dh", 1e300)])
def test_what_leaves_the_range_of_float32_is_refused(name: str, factor: float) -> None:
    inputs = without_zeros((3, 2, 4, 5)).inputs
    with pytest.raises(ValueError, match="h is of a run on which rounding in float64 may change everything"):
        judge(recorded(inputs | {name: inputs[name] * factor}))


def test_a_chaotic_run_is_refused() -> None:
    run = drawn((70, 3, 5, 6), "ordinary", "float32", 0)
    wild = {name: array * np.float32(20) if name[0] == "W" else array for name, array in run.inputs.items()}
    with pytest.raises(ValueError, match="rounding in float32"):
        judge(recorded(wild))


def test_an_ordinary_run_tells() -> None:
    assert truth_of(without_zeros((3, 2, 4, 5))).tells(np.dtype(np.float32))
    assert not judge(recorded(without_zeros((3, 2, 4, 5)).inputs)).ok
