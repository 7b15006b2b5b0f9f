"""What a run leaves behind stands: nobody changes it by mistake, and the compiler of a report cannot."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import manual
from manual.derivation import Step
from reference.oracle.behaviour import Observation, Problem
from reference.oracle.errata import MISPRINTS
from reference.oracle.findings import Finding
from reference.oracle.judging import Recorded
from reference.oracle.trial import Trial, Which
from reference.oracle.truth import Truth
from reference.oracle.verify import Mismatch
from tests.strategies import without_zeros
from tests.twins import params_of

RUN = without_zeros((2, 1, 3, 4))
TAPE = manual.forward(params_of(RUN), RUN.inputs["x"])
WHICH = Which.of(RUN)
RECORDS: dict[str, Any] = {
    "x": Step(*RUN.inputs["x"], *[np.zeros((1, 4))] * 8),
    "hs": TAPE,
    "every": manual.forward(params_of(RUN), RUN.inputs["x"], checkpoint=True),
    "C_T": manual.infer(params_of(RUN), RUN.inputs["x"]),
    "h0": manual.backward(TAPE),
    "regime": RUN,
    "units": Finding("h", 3, 64, 1),
    "number": WHICH,
    "refused": Trial(WHICH),
    "text": Problem("prints", "wrote 'a'"),
    "outputs": Observation(),
    "file": Recorded(None, RUN, {}, 0),
    "edge": MISPRINTS[0],
    "scales": Truth(RUN, RUN.sizes, {}, {}),
    "step": Mismatch("bptt", RUN, "h", 1),
}


@pytest.mark.parametrize("name", RECORDS)
def test_it_cannot_be_changed(name: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(RECORDS[name], name, None)


@pytest.mark.parametrize(
    "record", [params_of(RUN), *(RECORDS[name] for name in ("hs", "every", "C_T", "h0"))], ids=type
)
def test_it_equals_itself_alone_for_arrays_have_no_one_truth_value(record: Any) -> None:
    assert record == record
    assert record != type(record)(**vars(record))
    assert {record}
