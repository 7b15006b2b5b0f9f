"""Names the mistakes that explain what a program gave.

Catalogued mistakes are tried on one small run, alone and combined, forward first: what explains h
and C narrows what can explain the gradients. A block depends on few of the mistakes of a program, so
a mistake that alone explains some cells stays, and only what touches the others is tried beside it.
What explains that run must explain all the others. Only then is it named. Programs that were seen to
hold three mistakes or more are tried as they were seen, before.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, PROGRAMS, Bug, HandDerived, HandDerivedUnmapped, Unit
from lstm_oracle.diagnosis.fit import Evidence, Fit, Program, fits_shapes, is_finite
from lstm_oracle.diagnosis.precision import rounded_parts, slight
from lstm_oracle.run import Array

MOST_FORWARD = 3  # mistakes in the forward pass
MOST = 4  # mistakes in the backward pass beside them
STARTS = 3  # runs to start from, where what explains one does not explain the others
BRANCHES = 8  # partial explanations that are followed further
SECONDS = 12.0


class OutOfTime(Exception):
    """The search is given up."""


def diagnose(evidence: Sequence[Evidence], seconds: float = SECONDS) -> list[tuple[Bug, ...]]:
    """The explanations of what a program gave: each the mistakes that together explain all of it.

    Empty if nothing is wrong, no combination explains it, or none is needed to. Those with the fewest mistakes only;
    several, where all of them explain it and the evidence does not tell them apart.

    Args:
        evidence: the program's outputs on one or more runs.
        seconds: of computing, when to give up.
    """
    if not all(map(fits_shapes, evidence)):
        return []
    infinite = [Fit(e) for e in evidence if not is_finite(e)]
    return [
        bugs for bugs in diagnose_numbers([e for e in evidence if is_finite(e)], seconds) if overflows(bugs, infinite)
    ]


def overflows(bugs: tuple[Bug, ...], infinite: Sequence[Fit]) -> bool:
    """Whether mistakes give what is no number, in these runs' precision, in the blocks where the program does."""
    programs = [Program(bugs, base) for base in bases(Program(bugs))]
    return any(all(fit.overflows_as(program) for fit in infinite) for program in programs)


def diagnose_numbers(evidence: Sequence[Evidence], seconds: float) -> list[tuple[Bug, ...]]:
    """The explanations of runs whose outputs are numbers throughout."""
    fits = [Fit(e) for e in evidence]
    wrong = sorted((fit for fit in fits if fit.wrong().any()), key=lambda fit: fit.search_cost)
    if not wrong or all(fit.explained(Program()) for fit in wrong):  # off by what a right unit may lose, in NumPy
        return []
    deadline = time.thread_time() + seconds
    if all(map(slight, wrong)):  # a loss of digits, most likely
        precision = [bug for bug in CATALOGUE.values() if bug.kind == "precision"]
        if named := searched(wrong, fits, precision, deadline) or rounded_parts(evidence):
            return named
    if known := match_known_programs(fits):
        return known
    in_64 = all(fit.evidence.dtype == np.float64 for fit in fits)
    return searched(wrong, fits, [b for b in CATALOGUE.values() if in_64 or "float32" not in b.id], deadline)


def match_known_programs(fits: Sequence[Fit]) -> list[tuple[Bug, ...]]:
    """Three or more of the mistakes of a program that was seen before, if they explain the runs, and all are needed."""
    for program in parts_of_programs():
        near = fits[0].right(program)  # which is soon told
        if near is None or not near.all() or not all(fit.explained(program) for fit in fits):
            continue
        if has_enough_evidence(fits, program) and without_idle(program, fits) == program:
            return [program.bugs]
    return []


def parts_of_programs() -> Iterator[Program]:
    """The programs that were seen, and what is left of each without some of its mistakes, smallest first."""
    for ids in PROGRAMS.values():
        for count in range(3, len(ids) + 1):
            for some in combinations(ids, count):
                part = Program().with_(*(CATALOGUE[id] for id in some))
                yield from (Program(part.bugs, base) for base in bases(part))


def searched(wrong: Sequence[Fit], fits: Sequence[Fit], bugs: Sequence[Bug], deadline: float) -> list[tuple[Bug, ...]]:
    """The explanations that a search from one of the first wrong runs finds."""
    for first in wrong[:STARTS]:
        search = Search(first, bugs, deadline)
        try:
            found = confirmed(search, Program(), fits, depth=2)
        except OutOfTime:
            return []
        if found or not search.found:  # what explains all runs would have explained this one
            return fewest({program.bugs for program in found if has_enough_evidence(fits, program)})
    return []


def has_enough_evidence(fits: Sequence[Fit], program: Program) -> bool:
    """Whether so many numbers are wrong that this many mistakes do not explain them by chance."""
    wrong = sum(fit.wrong_numbers() for fit in fits)
    count = len(program.bugs)
    return wrong >= (3 * count if fits[0].evidence.dtype == np.float32 else 2 * count - 1)


def fewest(explanations: set[tuple[Bug, ...]]) -> list[tuple[Bug, ...]]:
    """The shortest, in the order of the catalogue."""
    least = min(map(len, explanations), default=0)
    return sorted((e for e in explanations if len(e) == least), key=lambda e: [bug.number for bug in e])


def confirmed(search: Search, start: Program, fits: Sequence[Fit], depth: int) -> list[Program]:
    """The explanations of one run that hold on all, with what else the other runs need."""
    explaining: list[Program] = []
    failing: list[tuple[Program, Fit]] = []
    for program in search.explain(start):
        search.found = True
        if len(program.bugs) > min((len(p.bugs) for p in explaining), default=MOST + MOST_FORWARD):
            continue
        against = next((fit for fit in fits if not fit.explained(program)), None)
        if against is None:
            explaining.append(without_idle(program, fits))
        else:
            failing.append((program, against))
    if not explaining and depth:
        for program, against in failing[:BRANCHES]:
            if against is not search.fit:
                explaining += confirmed(Search(against, search.bugs, search.deadline), program, fits, depth - 1)
    return explaining


def without_idle(program: Program, fits: Sequence[Fit]) -> Program:
    """The program without mistakes that are not needed to explain the runs."""
    for bug in program.bugs:
        fewer = Program(tuple(b for b in program.bugs if b != bug), program.base)
        if all(fit.explained(fewer) for fit in fits):
            return without_idle(fewer, fits)
    return program


def shortest(programs: Sequence[Program]) -> list[Program]:
    """Those with the fewest mistakes, each once."""
    least = min((len(program.bugs) for program in programs), default=0)
    return [*dict.fromkeys(program for program in programs if len(program.bugs) == least)]


def bases(program: Program) -> list[type[Unit]]:
    """How the gradients may have been made: from the forward pass as it is, or by hand, from the right equations."""
    return [Unit, HandDerived, HandDerivedUnmapped] if any(bug.forward for bug in program.bugs) else [program.base]


class Search:
    """Looks for the programs that explain one run."""

    def __init__(self, fit: Fit, bugs: Sequence[Bug], deadline: float) -> None:
        self.fit, self.bugs, self.deadline = fit, bugs, deadline
        self.found = False  # anything that explains this run

    def explain(self, start: Program) -> list[Program]:
        """The programs with the fewest mistakes, beside those of `start`, that explain the run."""
        forward = [start]
        if self.fit.forward_cells:
            forward = self.first_found([start], MOST_FORWARD, forward_only=True)
        if self.fit.forward_cells == len(self.fit.cells):
            return forward
        return self.first_found([Program(p.bugs, base) for p in forward for base in bases(p)], MOST, forward_only=False)

    def first_found(self, starts: Sequence[Program], most: int, forward_only: bool) -> list[Program]:
        """What explains the run beside one of several starts: mistakes one by one first, for that is quick."""
        one_by_one = [(limit, False) for limit in range(most + 1)]
        for limit, in_pairs in (*one_by_one, *((limit, True) for limit in range(2, most + 1))):
            found = [program for start in starts for program in self.extended(start, limit, forward_only, in_pairs)]
            if found:
                return shortest(found)
        return []

    def extended(self, start: Program, most: int, forward_only: bool, in_pairs: bool) -> list[Program]:
        """The programs with the fewest mistakes more than `start`, at most so many, that explain the run.

        A mistake is added where it makes cells right, or two are where only both together do.
        """
        right = self.right(start, forward_only)
        if right is None or most == 0 or right.all():
            return [start] if right is not None and right.all() else []
        singles = dict(self.singles(start, right, forward_only))
        if found := [program for program, (now, _) in singles.items() if now.all()]:
            return found
        partial = {program: now for program, (now, _) in singles.items()}
        if in_pairs and most > 1:
            pairs = dict(self.pairs(start, singles, forward_only))
            if found := [program for program, now in pairs.items() if now.all()]:
                return found
            partial |= pairs
        progress = [(int(now.sum()), -len(program.bugs), program) for program, now in partial.items()]
        progress = [entry for entry in progress if entry[0] > right.sum()]
        progress.sort(key=lambda entry: entry[:2], reverse=True)
        for *_, program in progress[: BRANCHES if most == MOST or forward_only else BRANCHES // 2]:
            left = most - (len(program.bugs) - len(start.bugs))
            found += self.extended(program, left, forward_only, in_pairs)
        return shortest(found)

    def singles(
        self, start: Program, right: Array, forward_only: bool
    ) -> Iterator[tuple[Program, tuple[Array, Array]]]:
        """With one mistake more: the cells that are right then, and those that it touches.

        A mistake that touches what `start` explains is none of this program's.
        """
        values = self.fit.values(start, forward_only)
        assert values is not None
        self.fit.keep = len(start.bugs) + 1
        for bug in self.bugs:
            if bug in start.bugs or (forward_only and not bug.forward):
                continue
            program = start.with_(bug)
            if bug.forward and not forward_only and self.breaks_correct_cells(program, right[: self.fit.forward_cells]):
                continue
            now = self.right(program, forward_only)
            if now is None:
                continue
            changed = self.fit.values(program, forward_only)
            assert changed is not None
            touched = self.fit.differs(changed, values)
            if touched.any() and not (touched & right).any():
                yield program, (now, touched)

    def breaks_correct_cells(self, program: Program, right: Array) -> bool:
        """Whether a program is wrong in cells of the forward pass that were right, which is soon told."""
        now = self.right(program, forward_only=True)
        return now is None or bool((right & ~now).any())

    def pairs(
        self, start: Program, singles: dict[Program, tuple[Array, Array]], forward_only: bool
    ) -> Iterator[tuple[Program, Array]]:
        """With two mistakes more, where each touches what the other leaves wrong: the cells that are right then."""
        for (one, (right_1, touched_1)), (other, (right_2, touched_2)) in combinations(singles.items(), 2):
            if (~right_1 & ~touched_2).any() or (~right_2 & ~touched_1).any():
                continue
            program = one.with_(*other.bugs)
            now = self.right(program, forward_only)
            if now is not None:
                yield program, now

    def right(self, program: Program, forward_only: bool) -> Array | None:
        """The cells that a program explains."""
        if time.thread_time() > self.deadline:
            raise OutOfTime
        return self.fit.right(program, forward_only)
