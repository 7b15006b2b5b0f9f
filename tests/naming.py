"""Measures how well mistakes are named: python -m tests.naming [--pairs N] [--triples N] [--seed S].

Units with one, two and three mistakes of the catalogue are run on drawn runs, and their outputs are judged and
diagnosed. Pairs and triples are drawn at random, but without two gate orders, because two of them are equivalent to a
third. A row of the table counts the units for which

    caught    the judge finds a wrong block
    exactly   the mistakes are named, and nothing else
    among     they are one of several explanations that the runs do not distinguish
    same      other mistakes are named whose outputs are the same on fresh runs
    unnamed   nothing is named
    wrongly   a mistake is named that was not made; this must be 0, otherwise the exit status is 1
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from lstm_oracle.diagnosis.bugs import (
    CATALOGUE,
    Bug,
    BugKind,
    HandDerived,
    HandDerivedUnmapped,
    ShapeMismatch,
    Unit,
    compose,
)
from lstm_oracle.diagnosis.evidence import Evidence
from lstm_oracle.diagnosis.search import diagnose
from lstm_oracle.inputs.cases import LARGEST_SIZES, Case, draw_case, draw_inputs
from lstm_oracle.run import OUTPUTS, Array, DType
from lstm_oracle.truth.truth import Truth, truths
from lstm_oracle.verify.verify import SUBJECTS

COLUMNS = ("caught", "exactly", "among", "same", "unnamed", "wrongly")
SIZES = ((5, 3, 4, 6), (3, 2, 5, 4), (4, 4, 5, 5))  # the last for mistakes that need D = H or T = B
Known = list[tuple[Case, Truth]]


def generic(seed: int, dtype: DType) -> Known:
    """Return small ordinary runs, none of whose inputs is zero, with their truth."""
    cases = []
    for number, sizes in enumerate(SIZES):
        inputs = draw_inputs(np.random.default_rng([seed, number]), sizes, "ordinary", np.dtype(np.float64))
        rng = np.random.default_rng([seed, number, 1])
        for name in ("b_f", "b_i", "b_g", "b_o", "h0", "C0", "dh", "dh_T", "dC_T"):
            inputs[name] = 2 * rng.normal(size=inputs[name].shape)  # large enough to be clipped
        cases.append(Case(number, "ordinary", {name: array.astype(dtype) for name, array in inputs.items()}))
    return [*zip(cases, truths(cases), strict=True)]


def drawn(seed: int, count: int, dtype: DType) -> Known:
    """Return the first runs of any regime that fit the smallest shape and are not empty, with their truth."""
    every = (draw_case(seed, number, dtype) for number in range(100 * count))
    cases = [case for case in every if 0 not in case.sizes and np.all(np.array(case.sizes) <= LARGEST_SIZES[0])][:count]
    return [*zip(cases, truths(cases), strict=True)]


def run(unit: type[Unit], case: Case) -> dict[str, Array] | None:
    """Return the outputs of a unit, or None if the sizes do not allow its mistakes."""
    with np.errstate(all="ignore"):
        try:
            instance = unit(case.inputs)
            found = instance.states() | instance.gradients()
        except ShapeMismatch:
            return None
    return {name: np.array(found[name]) for name in OUTPUTS}


def evidence_of(unit: type[Unit], known: Known) -> list[Evidence]:
    """Return the outputs of a unit on every run whose sizes allow its mistakes."""
    ran = [(case, truth, run(unit, case)) for case, truth in known]
    return [Evidence(case.inputs, truth, out, case.dtype) for case, truth, out in ran if out is not None]


def is_caught(evidence: Sequence[Evidence]) -> bool:
    """Return whether the judge finds a wrong block."""
    return any(not e.truth.compare(name, array, e.dtype).ok for e in evidence for name, array in e.outputs.items())


def same(one: type[Unit], other: type[Unit], fresh: Known) -> bool:
    """Return whether two units have the same outputs on fresh runs."""
    for case, _ in fresh:
        a, b = run(one, case), run(other, case)
        if a is None or b is None:
            if a is not b:
                return False
            continue
        if not all(np.allclose(a[name], b[name], rtol=1e-9, atol=1e-11 * np.max(np.abs(b[name]))) for name in a):
            return False
    return True


def verdict(bugs: tuple[Bug, ...], base: type[Unit], known: Known, fresh: Known) -> str:
    """Return the column of the table in which a unit with these mistakes is counted."""
    evidence = evidence_of(compose(bugs, base), known)
    named = diagnose(evidence)
    if named == [bugs]:
        return "exactly"
    if bugs in named:
        return "among"
    if not named:
        print(f"    {ids(bugs)} was not named", file=sys.stderr)
        return "unnamed"
    bases = Unit, HandDerived, HandDerivedUnmapped
    unit = compose(bugs, base)
    if all(any(same(unit, compose(other, b), fresh) for b in bases) for other in named):
        print(f"    {ids(bugs)} was named {' or '.join(map(ids, named))}, which is equivalent", file=sys.stderr)
        return "same"
    print(f"    {ids(bugs)} was named {' or '.join(map(ids, named))}", file=sys.stderr)
    return "wrongly"


def ids(bugs: Sequence[Bug]) -> str:
    """Return the ids of several mistakes in one line."""
    return " + ".join(bug.id for bug in bugs)


def combinations(rng: np.random.Generator, bugs: Sequence[Bug], size: int, count: int) -> Iterator[tuple[Bug, ...]]:
    """Yield random sets of mistakes, each in the order of the catalogue."""
    for _ in range(count):
        while True:
            numbers = sorted(rng.choice(len(bugs), size, replace=False))
            drawn = tuple(bugs[n] for n in numbers)
            if sum(bug.id.startswith("gate_order") for bug in drawn) < 2:
                break
        yield drawn


def measure(title: str, variants: Sequence[tuple[tuple[Bug, ...], type[Unit]]], known: Known, fresh: Known) -> int:
    """Print a row of the table and return how many units were named wrongly."""
    start, count = time.perf_counter(), Counter[str]()
    for bugs, base in variants:
        if not is_caught(evidence_of(compose(bugs, base), known)):
            print(f"    {ids(bugs)} was not caught", file=sys.stderr)
        else:
            count.update(["caught", verdict(bugs, base, known, fresh)])
    cells = "".join(f"{count[column]:>9}" for column in COLUMNS)
    seconds = (time.perf_counter() - start) / max(len(variants), 1)
    print(f"{title:<28}{len(variants):>9}{cells}{seconds:>9.1f}", flush=True)
    return count["wrongly"]


def correct_implementations(count: int, dtype: DType) -> int:
    """Print and return for how many runs of correct implementations a mistake was named."""
    known = drawn(2, count, dtype)
    named = judged = 0
    for subject in ("bptt", "fused", "flax"):
        for (case, truth), out in zip(known, SUBJECTS[subject]([case for case, _ in known]), strict=True):
            if out is not None:
                outputs = {name: array for name, array in out.items() if name in OUTPUTS}
                named += bool(diagnose([Evidence(case.inputs, truth, outputs, case.dtype)]))
                judged += 1
    print(f"{f'correct, {dtype}':<28}{judged:>9} runs, {named} named", flush=True)
    return named


def main() -> int:
    """Run the command."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=100, metavar="N")
    options.add_argument("--triples", type=int, default=40, metavar="N")
    options.add_argument("--seed", type=int, default=0, metavar="S")
    chosen = options.parse_args()
    print(f"{len(CATALOGUE)} mistakes\n\n{'':<28}{'units':>9}{''.join(f'{c:>9}' for c in COLUMNS)}{'s each':>9}")
    wrong = 0
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        known = generic(chosen.seed, dtype) + drawn(chosen.seed, 3, dtype)
        fresh = generic(chosen.seed + 1, np.dtype(np.float64))
        bugs = [bug for bug in CATALOGUE.values() if bug.kind != BugKind.PRECISION or dtype == np.float64]
        rng = np.random.default_rng(chosen.seed)
        singles = [((bug,), Unit) for bug in bugs]
        by_hand = [((bug,), HandDerived) for bug in bugs if bug.forward and bug.kind != BugKind.PRECISION]
        pairs = [(some, Unit) for some in combinations(rng, bugs, 2, chosen.pairs)]
        triples = [(some, Unit) for some in combinations(rng, bugs, 3, chosen.triples)]
        wrong += correct_implementations(40, dtype)
        wrong += measure(f"one, {dtype}", singles, known, fresh)
        wrong += measure(f"one, derived by hand, {dtype}", by_hand, known, fresh)
        wrong += measure(f"two, {dtype}", pairs, known, fresh)
        wrong += measure(f"three, {dtype}", triples, known, fresh)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
