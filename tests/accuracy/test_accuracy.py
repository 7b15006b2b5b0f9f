"""The measurement of rounding errors is exact."""

from __future__ import annotations

import numpy as np
import pytest
from flint import arb
from measure import DTYPES, FORMS, Exact, sigmoid_errors

from lstm_oracle.certified.series import precision


def test_errors_far_below_the_precision_of_the_numbers_are_measured():
    with precision(300):
        third = np.array([arb(1) / 3, arb(-2) / 3], object)
    error = Exact.of(third).error(np.array([1 / 3, -2 / 3]))
    np.testing.assert_allclose(error, [2**-54 / 3, 2**-53 / 3], rtol=1e-9)
    assert (Exact.of(np.array([arb(0.1), 0], object)).error(np.array([0.1, 0.0])) == 0).all()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_the_sigmoid_by_tanh_loses_all_digits_far_below_zero(dtype):
    found = sigmoid_errors(-60, dtype)
    assert set(found) == set(FORMS)
    assert max(found["1 / (1 + exp(-z))"]) < 2
    assert found["(1 + tanh(z / 2)) / 2"][0] * np.finfo(dtype).eps == pytest.approx(1)
