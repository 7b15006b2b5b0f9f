"""Measures how well mistakes are named: python -m tests.naming [--pairs N] [--triples N] [--seed S].

Programs with one, two and three mistakes of the catalogue are run on drawn runs, and what they give is
judged and diagnosed. Two and three are drawn at random, without two gate orders, which together are a
third. A row of the table says of how many programs

    caught    the judge finds a wrong block
    exactly   the mistakes are named, and nothing else
    among     they are one of several explanations that the runs do not tell apart
    same      other mistakes are named that give the same outputs on fresh runs, where they cannot be told apart
    unnamed   nothing is named
    wrongly   a mistake is named that was not made: this must be 0, and the exit status is 1 if it is not
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, HandDerived, HandDerivedUnmapped, ShapeMismatch, Unit, compose
from lstm_oracle.diagnosis.fit import Evidence
from lstm_oracle.diagnosis.search import diagnose
from lstm_oracle.inputs.cases import LARGEST_SIZES, Case, draw_case, draw_inputs
from lstm_oracle.run import OUTPUTS, Array, DType
from lstm_oracle.truth.truth import Finding, Truth, truths
from lstm_oracle.verify.verify import SUBJECTS

COLUMNS = ("caught", "exactly", "among", "same", "unnamed", "wrongly")
SIZES = ((5, 3, 4, 6), (3, 2, 5, 4), (4, 4, 5, 5))  # the last one for what needs D = H, or T = B
Known = list[tuple[Case, Truth]]


def generic(seed: int, dtype: DType) -> Known:
    """Small ordinary runs in which nothing vanishes."""
    cases = []
    for number, sizes in enumerate(SIZES):
        inputs = draw_inputs(np.random.default_rng([seed, number]), sizes, "ordinary", np.dtype(np.float64))
        rng = np.random.default_rng([seed, number, 1])
        for name in ("b_f", "b_i", "b_g", "b_o", "h0", "C0", "dh", "dh_T", "dC_T"):
            inputs[name] = 2 * rng.normal(size=inputs[name].shape)  # of a size that shows clipping
        cases.append(Case(number, "ordinary", {name: array.astype(dtype) for name, array in inputs.items()}))
    return [*zip(cases, truths(cases), strict=True)]


def drawn(seed: int, count: int, dtype: DType) -> Known:
    """The first runs of all regimes that fit the smallest shape and have something in them."""
    every = (draw_case(seed, number, dtype) for number in range(100 * count))
    cases = [case for case in every if 0 not in case.sizes and np.all(np.array(case.sizes) <= LARGEST_SIZES[0])][:count]
    return [*zip(cases, truths(cases), strict=True)]


def run(unit: type[Unit], case: Case) -> dict[str, Array] | None:
    """What a program gives; None where it stops with an error."""
    with np.errstate(all="ignore"):
        try:
            program = unit(case.inputs)
            found = program.states() | program.gradients()
        except ShapeMismatch:
            return None
    return {name: np.array(found[name]) for name in OUTPUTS}


def evidence_of(unit: type[Unit], known: Known) -> list[Evidence]:
    """What a program gives on every run that it takes."""
    ran = [(case, truth, run(unit, case)) for case, truth in known]
    return [Evidence(case.inputs, truth, out, case.dtype) for case, truth, out in ran if out is not None]


def compared(e: Evidence) -> Iterator[Finding]:
    """Compare the outputs of a run with its truth."""
    return (e.truth.compare(name, array, e.dtype) for name, array in e.outputs.items())


def is_caught(evidence: Sequence[Evidence]) -> bool:
    """Whether the judge finds a wrong block."""
    return any(not finding.ok for e in evidence for finding in compared(e))


def same(one: type[Unit], other: type[Unit], fresh: Known) -> bool:
    """Whether two programs give the same outputs on fresh runs."""
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
    """The column that a program belongs to."""
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
    program = compose(bugs, base)
    if all(any(same(program, compose(other, b), fresh) for b in bases) for other in named):
        print(f"    {ids(bugs)} was named {' or '.join(map(ids, named))}, which is the same", file=sys.stderr)
        return "same"
    print(f"    {ids(bugs)} was named {' or '.join(map(ids, named))}", file=sys.stderr)
    return "wrongly"


def ids(bugs: Sequence[Bug]) -> str:
    """Several mistakes in a few words."""
    return " + ".join(bug.id for bug in bugs)


def combinations(rng: np.random.Generator, bugs: Sequence[Bug], size: int, count: int) -> Iterator[tuple[Bug, ...]]:
    """Random sets of mistakes, in the order of the catalogue."""
    for _ in range(count):
        while True:
            numbers = sorted(rng.choice(len(bugs), size, replace=False))
            drawn = tuple(bugs[n] for n in numbers)
            if sum(bug.id.startswith("gate_order") for bug in drawn) < 2:
                break
        yield drawn


def measure(title: str, programs: Sequence[tuple[tuple[Bug, ...], type[Unit]]], known: Known, fresh: Known) -> int:
    """Print a row; the number of wrong names."""
    start, count = time.perf_counter(), Counter[str]()
    for bugs, base in programs:
        if not is_caught(evidence_of(compose(bugs, base), known)):
            print(f"    {ids(bugs)} was not caught", file=sys.stderr)
        else:
            count.update(["caught", verdict(bugs, base, known, fresh)])
    cells = "".join(f"{count[column]:>9}" for column in COLUMNS)
    seconds = (time.perf_counter() - start) / max(len(programs), 1)
    print(f"{title:<28}{len(programs):>9}{cells}{seconds:>9.1f}", flush=True)
    return count["wrongly"]


def right_programs(count: int, dtype: DType) -> int:
    """Print how many right programs were given a name; that number."""
    known = drawn(2, count, dtype)
    named = judged = 0
    for subject in ("bptt", "fused", "flax"):
        for (case, truth), out in zip(known, SUBJECTS[subject]([case for case, _ in known]), strict=True):
            if out is not None:
                outputs = {name: array for name, array in out.items() if name in OUTPUTS}
                named += bool(diagnose([Evidence(case.inputs, truth, outputs, case.dtype)]))
                judged += 1
    print(f"{f'right programs, {dtype}':<28}{judged:>9} runs, {named} named", flush=True)
    return named


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=100, metavar="N")
    options.add_argument("--triples", type=int, default=40, metavar="N")
    options.add_argument("--seed", type=int, default=0, metavar="S")
    chosen = options.parse_args()
    print(f"{len(CATALOGUE)} mistakes\n\n{'':<28}{'programs':>9}{''.join(f'{c:>9}' for c in COLUMNS)}{'s each':>9}")
    wrong = 0
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        known = generic(chosen.seed, dtype) + drawn(chosen.seed, 3, dtype)
        fresh = generic(chosen.seed + 1, np.dtype(np.float64))
        bugs = [bug for bug in CATALOGUE.values() if bug.kind != "precision" or dtype == np.float64]
        rng = np.random.default_rng(chosen.seed)
        singles = [((bug,), Unit) for bug in bugs]
        by_hand = [((bug,), HandDerived) for bug in bugs if bug.forward and bug.kind != "precision"]
        pairs = [(some, Unit) for some in combinations(rng, bugs, 2, chosen.pairs)]
        triples = [(some, Unit) for some in combinations(rng, bugs, 3, chosen.triples)]
        wrong += right_programs(40, dtype)
        wrong += measure(f"one, {dtype}", singles, known, fresh)
        wrong += measure(f"one, gradients by hand, {dtype}", by_hand, known, fresh)
        wrong += measure(f"two, {dtype}", pairs, known, fresh)
        wrong += measure(f"three, {dtype}", triples, known, fresh)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
