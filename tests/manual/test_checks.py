"""What the checks let through, and all that they say of what they do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from manual.checks import checked, checked_size

F64 = np.dtype(np.float64)
ARRAY = np.ones((2, 3))


@pytest.mark.parametrize(
    ("value", "dtype", "error", "said"),
    [
        (None, None, TypeError, "a is None; expected an array of shape (B, H=3)"),
        (
            np.ma.masked_array(ARRAY),
            None,
            TypeError,
            "a is a masked array; expected one without a mask: a.filled(value)",
        ),
        ([[1.0], [1.0, 2.0]], None, ValueError, "a is not rectangular; expected an array of shape (B, H=3)"),
        (ARRAY > 0, None, TypeError, "a has dtype bool; expected float32 or float64: nothing is converted silently"),
        (
            ARRAY.astype("f4"),
            F64,
            TypeError,
            "a has dtype float32; expected float64, the dtype of the parameters: nothing is converted silently",
        ),
        (ARRAY[0], F64, ValueError, "a has shape (3,); expected 2 dimensions, (B, H=3)"),
        (ARRAY[:, :2], F64, ValueError, "a has shape (2, 2); expected (B=2, H=3)"),
    ],
)
def test_it_says_what_was_given_and_what_was_expected(
    value: Any, dtype: np.dtype | None, error: type[Exception], said: str
) -> None:
    with pytest.raises(error) as raised:
        checked("a", value, ("B", "H"), {"H": 3}, dtype)
    assert str(raised.value) == said
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


def test_one_dimension_is_written_as_python_does() -> None:
    with pytest.raises(ValueError, match=r"^b has shape \(2, 3\); expected 1 dimensions, \(4H=8,\)$"):
        checked("b", ARRAY, ("4H",), {"4H": 8})
    with pytest.raises(ValueError, match=r"expected 0 dimensions, \(\)$"):
        checked("c", ARRAY, (), {})


def test_sizes_are_learnt_from_one_argument_for_the_next() -> None:
    sizes = {"H": 3}
    assert checked("a", ARRAY, ("B", "H"), sizes) is ARRAY
    assert sizes == {"H": 3, "B": 2}
    with pytest.raises(ValueError, match=r"^c has shape \(3, 3\); expected \(B=2, B=2\)$"):
        checked("c", np.ones((3, 3)), ("B", "B"), sizes)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_either_precision_and_any_byte_order_will_do(kind: str, order: str) -> None:
    for dtype in (None, np.dtype(kind)):
        found = checked("a", ARRAY.astype(order + kind), ("B", "H"), {}, dtype)
        np.testing.assert_array_equal(found, ARRAY)
        assert found.dtype == np.dtype(kind)
        assert found.dtype.isnative


@pytest.mark.parametrize("value", [4, 5, np.int32(4), np.uint8(200)])
def test_a_whole_number_is_an_int(value: Any) -> None:
    assert checked_size("n", value, least=4) == value
    assert type(checked_size("n", value, least=4)) is int


@pytest.mark.parametrize(
    ("value", "error", "said"),
    [
        (3, ValueError, "n is 3; expected at least 4"),
        (np.int64(-1), ValueError, "n is -1; expected at least 4"),
        (5.0, TypeError, "n is 5.0; expected a whole number"),
        ("5", TypeError, "n is '5'; expected a whole number"),
        (True, TypeError, "n is True; expected a whole number"),
        (None, TypeError, "n is None; expected a whole number"),
    ],
)
def test_what_is_no_size_is_told(value: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error) as raised:
        checked_size("n", value, least=4)
    assert str(raised.value) == said
