"""An examination asks no autodiff, searches for nothing and explains nothing: it is noted what it would ask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from reference.oracle import examination
from reference.oracle.cases import Case
from reference.oracle.diagnosis import Evidence
from reference.oracle.truth import Truth
from tests.reference.oracle.examined.subject import truth
from tests.reference.oracle.known import among_others


class Asked:
    """What other parts of the oracle were asked for."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, bool]] = []
        self.searches: list[dict[str, Any]] = []
        self.diagnosed: list[Sequence[Evidence]] = []
        self.located: list[Sequence[Evidence]] = []
        self.named: list[Any] = []
        self.smallest: Case | None = None

    def truths_ahead(self, chunks: Iterable[Sequence[Case]], many: bool) -> Iterator[list[tuple[Case, Truth]]]:
        for chunk in chunks:
            self.chunks.append((len(chunk), many))
            yield [(one, truth(one)) for one in chunk]

    def search(self, fails: Callable[[Case], bool], start: Case, seed: int, **bounds: Any) -> Case:
        self.searches.append({"fails": fails, "case": start, "seed": seed, **bounds})
        return self.smallest or start

    def diagnose(self, known: Sequence[Evidence]) -> list[Any]:
        self.diagnosed.append(known)
        return self.named

    def locate(self, known: Sequence[Evidence]) -> str:
        self.located.append(known)
        return "the narrowest place"


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(examination, "truths", lambda cases: [among_others(truth(one)) for one in cases])
    monkeypatch.setattr(examination, "truths_ahead", asked.truths_ahead)
    monkeypatch.setattr(examination, "smallest", asked.search)
    monkeypatch.setattr(examination, "diagnose", asked.diagnose)
    monkeypatch.setattr(examination, "locate", asked.locate)
    return asked
