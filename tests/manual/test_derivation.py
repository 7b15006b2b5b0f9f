"""Every line of the derivation against autodiff. The first test that fails here names the line at fault."""

from __future__ import annotations

from functools import cache

import pytest

from manual import derivation
from reference.oracle.cases import REGIMES, Regime
from tests.manual.mutants import Mutant, mutants
from tests.manual.one_step import EDGES, FUNCTIONS, KEPT, UPDATES, VALUES, faults, first_fault
from tests.strategies import drawn

LINES = FUNCTIONS + VALUES + EDGES + UPDATES


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name: str) -> None:
    assert faults(derivation)[name] == ""


@pytest.mark.parametrize("value", VALUES + KEPT)
def test_forward_value(value: str) -> None:
    assert faults(derivation)[value] == ""


@pytest.mark.parametrize("δ", EDGES)
def test_edge(δ: str) -> None:
    assert faults(derivation)[δ] == ""


@pytest.mark.parametrize("weight", UPDATES)
def test_update(weight: str) -> None:
    assert faults(derivation)[weight] == ""


@pytest.mark.parametrize("regime", REGIMES)
def test_every_line_is_right_at_other_sizes_and_in_every_regime(regime: Regime) -> None:
    found = faults(derivation, drawn((1, 3, 2, 5), regime, "float64", seed=0))
    assert not [fault for fault in found.values() if fault]


@pytest.mark.parametrize("line", LINES)
def test_a_change_to_this_line_is_refused_here(line: str) -> None:
    assert len(all_mutants()[line]) >= 2
    for mutant in all_mutants()[line]:
        assert first_fault(mutant.module()) == line, mutant.change


def test_a_change_to_what_is_returned_is_refused() -> None:
    assert len(all_mutants()[""]) >= 2
    for mutant in all_mutants()[""]:
        assert first_fault(mutant.module()), mutant.change


@cache
def all_mutants() -> dict[str, list[Mutant]]:
    by_place: dict[str, list[Mutant]] = {place: [] for place in ("", *LINES)}
    for mutant in mutants():
        by_place[mutant.place].append(mutant)
    return by_place
