"""Names the known mistakes that explain wrong outputs.

A hypothesis is a set of mistakes of the catalogue. Hypotheses are tried on one small run: first on the forward pass,
because the mistakes that explain h and C narrow down those that can explain the gradients. Each mistake changes some
outputs only. One that makes more outputs match, and changes none that match already, is therefore kept, and further
mistakes are added one at a time, or in pairs. A hypothesis is reported only if it matches all other runs as well.
Programs that were seen to make three mistakes or more are tried before the search.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from lstm_oracle.diagnosis.bugs import (
    CATALOGUE,
    KNOWN_PROGRAMS,
    Bug,
    BugKind,
    HandDerived,
    HandDerivedUnmapped,
    Unit,
)
from lstm_oracle.diagnosis.evidence import Evidence
from lstm_oracle.diagnosis.fit import Fit
from lstm_oracle.diagnosis.hypothesis import Hypothesis
from lstm_oracle.diagnosis.precision import find_float32_parts, is_float32_rounding
from lstm_oracle.run import Array

Explanation = tuple[Bug, ...]

MOST_FORWARD = 3  # mistakes in the forward pass
MOST_BACKWARD = 4  # additional mistakes in the backward pass
STARTS = 3  # runs on which a search starts, if the hypotheses of one do not match the others
BRANCHES = 8  # partial hypotheses that are extended further
SECONDS = 12.0


class OutOfTime(Exception):
    """The search has used up its computing time."""


def diagnose(evidence: Sequence[Evidence], seconds: float = SECONDS) -> list[Explanation]:
    """Return the explanations of an implementation's outputs, each a set of mistakes that together match all of them.

    Only the explanations with the fewest mistakes are returned; there are several if the runs do not distinguish them.
    The list is empty if nothing is wrong, or if no set of known mistakes matches.

    Args:
        evidence: the outputs of the implementation on one or more runs.
        seconds: the computing time after which the search stops without a result.
    """
    if not all(e.has_expected_shapes for e in evidence):
        return []
    overflowing = [Fit(e) for e in evidence if not e.is_finite]
    explanations = diagnose_finite([e for e in evidence if e.is_finite], seconds)
    return [bugs for bugs in explanations if overflow_alike(bugs, overflowing)]


def overflow_alike(bugs: Explanation, fits: Sequence[Fit]) -> bool:
    """Return whether mistakes lead to NaN or infinity in the outputs of every run that have NaN or infinity."""
    hypotheses = [Hypothesis(bugs, base) for base in possible_bases(Hypothesis(bugs))]
    return any(all(fit.overflows_alike(hypothesis) for fit in fits) for hypothesis in hypotheses)


def diagnose_finite(evidence: Sequence[Evidence], seconds: float) -> list[Explanation]:
    """Return the explanations of runs whose outputs are all finite."""
    fits = [Fit(e) for e in evidence]
    wrong = sorted((fit for fit in fits if fit.wrong_places().any()), key=lambda fit: fit.search_cost)
    if not wrong or all(fit.matches(Hypothesis()) for fit in wrong):  # no more error than a correct NumPy unit may have
        return []
    deadline = time.thread_time() + seconds
    if all(map(is_float32_rounding, wrong)):  # probably a loss of precision
        precision = [bug for bug in CATALOGUE.values() if bug.kind == BugKind.PRECISION]
        if named := search_runs(wrong, fits, precision, deadline) or find_float32_parts(evidence):
            return named
    if known := match_known_programs(fits):
        return known
    in_float64 = all(fit.evidence.dtype == np.float64 for fit in fits)
    bugs = [bug for bug in CATALOGUE.values() if in_float64 or "float32" not in bug.id]
    return search_runs(wrong, fits, bugs, deadline)


def match_known_programs(fits: Sequence[Fit]) -> list[Explanation]:
    """Return three or more mistakes of a known program that match the runs, if any do and all of them are needed."""
    for hypothesis in parts_of_known_programs():
        places = fits[0].matching_places(hypothesis)  # a quick test before the full one
        if places is None or not places.all() or not all(fit.matches(hypothesis) for fit in fits):
            continue
        if has_enough_evidence(fits, hypothesis) and without_unneeded(hypothesis, fits) == hypothesis:
            return [hypothesis.bugs]
    return []


def parts_of_known_programs() -> Iterator[Hypothesis]:
    """Yield every three or more of the mistakes of each known program, fewest first."""
    for ids in KNOWN_PROGRAMS.values():
        for count in range(3, len(ids) + 1):
            for some in combinations(ids, count):
                part = Hypothesis().with_(*(CATALOGUE[id] for id in some))
                yield from (Hypothesis(part.bugs, base) for base in possible_bases(part))


def search_runs(wrong: Sequence[Fit], fits: Sequence[Fit], bugs: Sequence[Bug], deadline: float) -> list[Explanation]:
    """Search on one of the first wrong runs and return the explanations that match all runs."""
    for fit in wrong[:STARTS]:
        search = Search(fit, bugs, deadline)
        try:
            matching = search.explain(Hypothesis())
            confirmed = confirm(matching, search, fits, depth=2)
        except OutOfTime:
            return []
        # A hypothesis that matches all runs would have been found on this one.
        if confirmed or not matching:
            return fewest({hypothesis.bugs for hypothesis in confirmed if has_enough_evidence(fits, hypothesis)})
    return []


def has_enough_evidence(fits: Sequence[Fit], hypothesis: Hypothesis) -> bool:
    """Return whether so many numbers are wrong that this many mistakes do not match them by chance."""
    wrong = sum(fit.count_wrong_numbers() for fit in fits)
    count = len(hypothesis.bugs)
    return wrong >= (3 * count if fits[0].evidence.dtype == np.float32 else 2 * count - 1)


def fewest(explanations: set[Explanation]) -> list[Explanation]:
    """Return the explanations with the fewest mistakes, in the order of the catalogue."""
    least = min(map(len, explanations), default=0)
    return sorted((e for e in explanations if len(e) == least), key=lambda e: [bug.number for bug in e])


def confirm(matching: Sequence[Hypothesis], search: Search, fits: Sequence[Fit], depth: int) -> list[Hypothesis]:
    """Return the hypotheses that match all runs.

    Args:
        matching: the hypotheses that match the run of the search.
        search: the search that found them.
        fits: all runs.
        depth: how many more runs may be searched for further mistakes, if none of the hypotheses matches all runs.
    """
    confirmed: list[Hypothesis] = []
    contradicted: list[tuple[Hypothesis, Fit]] = []
    for hypothesis in matching:
        if len(hypothesis.bugs) > min((len(c.bugs) for c in confirmed), default=MOST_FORWARD + MOST_BACKWARD):
            continue
        against = next((fit for fit in fits if not fit.matches(hypothesis)), None)
        if against is None:
            confirmed.append(without_unneeded(hypothesis, fits))
        else:
            contradicted.append((hypothesis, against))
    if confirmed or not depth:
        return confirmed
    for hypothesis, against in contradicted[:BRANCHES]:
        if against is not search.fit:
            other = Search(against, search.bugs, search.deadline)
            confirmed += confirm(other.explain(hypothesis), other, fits, depth - 1)
    return confirmed


def without_unneeded(hypothesis: Hypothesis, fits: Sequence[Fit]) -> Hypothesis:
    """Return the hypothesis without the mistakes that are not needed to match the runs."""
    for bug in hypothesis.bugs:
        simpler = hypothesis.without(bug)
        if all(fit.matches(simpler) for fit in fits):
            return without_unneeded(simpler, fits)
    return hypothesis


def shortest(hypotheses: Sequence[Hypothesis]) -> list[Hypothesis]:
    """Return the hypotheses with the fewest mistakes, each once."""
    least = min((len(hypothesis.bugs) for hypothesis in hypotheses), default=0)
    return [*dict.fromkeys(hypothesis for hypothesis in hypotheses if len(hypothesis.bugs) == least)]


def possible_bases(hypothesis: Hypothesis) -> list[type[Unit]]:
    """Return the possible origins of the gradients: the equations of the wrong forward pass, or the correct ones."""
    if any(bug.forward for bug in hypothesis.bugs):
        return [Unit, HandDerived, HandDerivedUnmapped]
    return [hypothesis.base]


class Extension(NamedTuple):
    """The effect of a hypothesis with more mistakes, by place, (P,)."""

    right: Array  # where the hypothesis matches
    changed: Array  # where its outputs differ from those without the additional mistakes


class Search:
    """Searches for the hypotheses that match one run."""

    def __init__(self, fit: Fit, bugs: Sequence[Bug], deadline: float) -> None:
        self.fit, self.bugs, self.deadline = fit, bugs, deadline

    def explain(self, start: Hypothesis) -> list[Hypothesis]:
        """Return the hypotheses that match the run with the fewest mistakes in addition to those of `start`."""
        forward = [start]
        forward_places = self.fit.partition.forward_places
        if forward_places:
            forward = self.extend_any([start], MOST_FORWARD, forward_only=True)
        if forward_places == len(self.fit.partition.places):
            return forward
        starts = [Hypothesis(h.bugs, base) for h in forward for base in possible_bases(h)]
        return self.extend_any(starts, MOST_BACKWARD, forward_only=False)

    def extend_any(self, starts: Sequence[Hypothesis], most: int, forward_only: bool) -> list[Hypothesis]:
        """Return the shortest extensions of any start that match the run: one by one first, which is faster."""
        one_by_one = [(limit, False) for limit in range(most + 1)]
        for limit, in_pairs in (*one_by_one, *((limit, True) for limit in range(2, most + 1))):
            found = [h for start in starts for h in self.extend(start, limit, forward_only, in_pairs)]
            if found:
                return shortest(found)
        return []

    def extend(self, start: Hypothesis, most: int, forward_only: bool, in_pairs: bool) -> list[Hypothesis]:
        """Return the hypotheses that match the run with the fewest additional mistakes.

        Args:
            start: the hypothesis to extend.
            most: how many mistakes may be added.
            forward_only: whether to match the forward pass only.
            in_pairs: whether to add two mistakes at once as well, where neither alone makes a place match.
        """
        right = self.matching_places(start, forward_only)
        if right is None or right.all() or most == 0:
            return [start] if right is not None and right.all() else []
        partial: dict[Hypothesis, Array] = {}
        for extensions in self.extensions(start, right, forward_only, in_pairs and most > 1):
            if complete := [hypothesis for hypothesis, now in extensions.items() if now.all()]:
                return complete
            partial |= extensions
        found: list[Hypothesis] = []
        branches = BRANCHES if most == MOST_BACKWARD or forward_only else BRANCHES // 2
        for hypothesis in most_promising(partial, right)[:branches]:
            left = most - (len(hypothesis.bugs) - len(start.bugs))
            found += self.extend(hypothesis, left, forward_only, in_pairs)
        return shortest(found)

    def extensions(
        self, start: Hypothesis, right: Array, forward_only: bool, in_pairs: bool
    ) -> Iterator[dict[Hypothesis, Array]]:
        """Yield where the hypotheses with one additional mistake match, and then, if asked for, those with two."""
        singles = dict(self.singles(start, right, forward_only))
        yield {hypothesis: extension.right for hypothesis, extension in singles.items()}
        if in_pairs:
            yield dict(self.pairs(singles, forward_only))

    def singles(self, start: Hypothesis, right: Array, forward_only: bool) -> Iterator[tuple[Hypothesis, Extension]]:
        """Yield the hypotheses with one additional mistake that changes outputs, but none that match already."""
        values = self.fit.simulation.outputs(start, forward_only)
        assert values is not None
        for bug in self.bugs:
            if bug in start.bugs or (forward_only and not bug.forward):
                continue
            hypothesis = start.with_(bug)
            if bug.forward and not forward_only and self.breaks_correct_places(hypothesis, right):
                continue
            now = self.matching_places(hypothesis, forward_only)
            if now is None:
                continue
            outputs = self.fit.simulation.outputs(hypothesis, forward_only)
            assert outputs is not None
            changed = self.fit.differing_places(outputs, values)
            if changed.any() and not (changed & right).any():
                yield hypothesis, Extension(now, changed)

    def breaks_correct_places(self, hypothesis: Hypothesis, right: Array) -> bool:
        """Return whether a hypothesis is wrong where the forward pass matched, without running its backward pass."""
        now = self.matching_places(hypothesis, forward_only=True)
        return now is None or bool((right[: len(now)] & ~now).any())

    def pairs(self, singles: dict[Hypothesis, Extension], forward_only: bool) -> Iterator[tuple[Hypothesis, Array]]:
        """Yield the hypotheses with two additional mistakes, each of which changes all that the other leaves wrong."""
        for (one, first), (other, second) in combinations(singles.items(), 2):
            if (~first.right & ~second.changed).any() or (~second.right & ~first.changed).any():
                continue
            hypothesis = one.with_(*other.bugs)
            now = self.matching_places(hypothesis, forward_only, keep=False)  # there are too many pairs to keep
            if now is not None:
                yield hypothesis, now

    def matching_places(self, hypothesis: Hypothesis, forward_only: bool, keep: bool = True) -> Array | None:
        """Return where a hypothesis matches the run; raise OutOfTime after the deadline."""
        if time.thread_time() > self.deadline:
            raise OutOfTime
        return self.fit.matching_places(hypothesis, forward_only, keep)


def most_promising(partial: dict[Hypothesis, Array], right: Array) -> list[Hypothesis]:
    """Return the hypotheses that match at more places than before, those with the most places first."""
    better = [hypothesis for hypothesis, now in partial.items() if now.sum() > right.sum()]
    return sorted(better, key=lambda h: (int(partial[h].sum()), -len(h.bugs)), reverse=True)
