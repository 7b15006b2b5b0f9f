"""Parameters and results compare by identity, and the attributes of a result cannot be reassigned."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import manual
from tests.strategies import without_zeros
from tests.twins import params_of

RUN = without_zeros((2, 1, 3, 4))
PARAMS, X = params_of(RUN), RUN.inputs["x"]
TAPE = manual.forward(PARAMS, X)
RESULTS = [TAPE, manual.forward(PARAMS, X, checkpoint=True), manual.infer(PARAMS, X), manual.backward(TAPE, TAPE.h)]


@pytest.mark.parametrize("result", RESULTS, ids=type)
def test_the_attributes_of_a_result_cannot_be_reassigned(result: Any) -> None:
    for name in vars(result):
        with pytest.raises(FrozenInstanceError):
            setattr(result, name, None)


@pytest.mark.parametrize("record", [PARAMS, *RESULTS], ids=type)
def test_records_compare_by_identity_because_arrays_have_no_single_truth_value(record: Any) -> None:
    assert record == record
    assert record != type(record)(**vars(record))
    assert {record}
