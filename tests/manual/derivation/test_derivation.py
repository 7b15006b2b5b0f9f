"""Every line of the derivation against autodiff; the first test that fails here names the faulty line."""

from __future__ import annotations

from functools import cache

import pytest

from lstm_oracle.inputs.cases import REGIMES, Regime
from manual import derivation
from tests.manual.derivation.mutants import Mutant, mutants
from tests.manual.derivation.one_step import EDGES, FUNCTIONS, PLACES, UPDATES, VALUES, faults, first_fault
from tests.strategies import drawn

LINES = FUNCTIONS + VALUES + EDGES + UPDATES


@pytest.mark.parametrize("place", PLACES)
def test_this_line_is_correct(place: str) -> None:
    assert faults(derivation)[place] == ""


@pytest.mark.parametrize("regime", REGIMES)
def test_every_line_is_correct_at_other_sizes_and_in_every_regime(regime: Regime) -> None:
    found = faults(derivation, drawn((1, 3, 2, 5), regime, "float64", seed=0))
    assert not [fault for fault in found.values() if fault]


@pytest.mark.parametrize("line", ["", *LINES])
def test_every_mistake_in_this_line_is_found_and_located(line: str) -> None:
    """The empty place stands for mistakes in `return` statements."""
    assert len(all_mutants()[line]) >= 2
    for mutant in all_mutants()[line]:
        found = first_fault(mutant.module())
        assert found == line if line else found, mutant.change


@cache
def all_mutants() -> dict[str, list[Mutant]]:
    by_place: dict[str, list[Mutant]] = {place: [] for place in ("", *LINES)}
    for mutant in mutants():
        by_place[mutant.place].append(mutant)
    return by_place
