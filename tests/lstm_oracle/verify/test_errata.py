"""The misprints that `verify` refutes are those that DERIVATION.md lists."""

from __future__ import annotations

import re

import numpy as np
import pytest

from lstm_oracle.verify.errata import MISPRINTS, Misprint
from manual import bptt
from tests.manual.derivation.document import rows
from tests.manual.derivation.test_errata import ERRATA, deltas, run
from tests.twins import forward, upstream_of

BY_EDGE = pytest.mark.parametrize("misprint", MISPRINTS, ids=lambda misprint: f"δ{misprint.edge}")


def test_there_are_three_misprints() -> None:
    assert tuple(misprint.edge for misprint in MISPRINTS) == ERRATA


@BY_EDGE
def test_a_misprint_reads_as_in_the_derivation(misprint: Misprint) -> None:
    row = rows()[misprint.edge]
    assert f"`{misprint.printed}`" == row.printed
    derived = re.sub(r"([WU]_.)ᵀ", r"p.\1.T", re.sub(r"δ(\d+)", r"δ[\1]", misprint.derived))
    assert f"`{derived.replace(' * ', ' @ ')}`" == row.derived


@BY_EDGE
def test_the_steps_of_a_misprint_are_those_of_the_equation_as_printed(misprint: Misprint) -> None:
    case = run(3)
    steps = [*misprint.steps(forward(bptt, case), **upstream_of(case))]
    assert [t for t, _ in steps] == [2, 1, 0]
    for (_, found), want in zip(steps[::-1], deltas(case, misprint.edge), strict=True):
        assert list(found) == list(want)
        for n in want:
            np.testing.assert_array_equal(found[n], want[n], strict=True)
