"""A fixture for the tests of numbers that are not finite or out of range."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest


@pytest.fixture
def floating_point_errors_raise() -> Iterator[None]:
    """Let NumPy raise every floating-point error, as users may; the twins must ignore those that they expect."""
    with np.errstate(all="raise"):
        yield
