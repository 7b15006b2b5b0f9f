"""Computes the smallest set of test vectors that exposes every mistake: python -m tests.vectors [--numbers N].

The vectors are chosen from a pool: runs of all regimes, of small sizes, so many numbers of each. A
mistake in a dtype counts as exposed as `lstm_oracle.vectors` says. First in number, then in the
numbers that they hold, then in their order in the pool, the chosen are the least that there are.

To know all that every vector of the pool exposes would take hours. The minimum is found, and proven,
with less: the integer program knows some mistakes only, the chosen vectors are tried on all, and one
that they do not expose is added, until there is none. A set that is the smallest for some of the
mistakes, and exposes all, is the smallest for all. What no vector of the pool exposes is listed.

Exit status: 0 if the vectors found are those in `DRAWS`, 1 if not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import product

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug
from lstm_oracle.inputs.cases import REGIMES, Case, Sizes
from lstm_oracle.run import INPUTS, OUTPUTS, Array, DType, sizes_of
from lstm_oracle.truth.truth import Truth
from lstm_oracle.vectors import DRAWS, DTYPES, Draw, drawn
from lstm_oracle.vectors.exposure import effect_of, shows

FREE = (1, 1, 1, 1), (2, 1, 1, 2), (3, 2, 1, 2), (5, 1, 2, 2), (5, 2, 2, 2), (5, 2, 3, 4)
FITTING = (3, 3, 2, 2), (5, 5, 1, 1), (5, 5, 2, 2), (5, 5, 3, 3), (6, 6, 2, 2)  # for what takes T = B and D = H
SIZES: tuple[Sizes, ...] = FREE + FITTING
Mistake = tuple[Bug, DType]
MISTAKES: list[Mistake] = [(bug, dtype) for dtype in DTYPES for bug in CATALOGUE.values()]


class Pool:
    """The vectors to choose from."""

    def __init__(self, draws: Sequence[Draw]) -> None:
        self.draws = draws
        self.known = {dtype: drawn(draws, dtype) for dtype in DTYPES}
        self.costs = np.array([numbers_in(case) for case, _ in self.known[DTYPES[0]]])

    def exposed(self, mistake: Mistake, vectors: Sequence[int]) -> Array:
        """Which of these vectors expose a mistake."""
        bug, dtype = mistake
        some: list[tuple[Case, Truth]] = [self.known[dtype][k] for k in vectors]
        return np.array([shows(bug, effect_of(bug, *run)) for run in some], bool)

    def fewest(self, mistakes: Sequence[Mistake] = MISTAKES) -> tuple[list[int], list[Mistake]]:
        """The smallest set of vectors that exposes all of these mistakes, and those that no vector exposes."""
        chosen: list[int] = []
        rows: list[Array] = []
        hidden: list[Mistake] = []
        while mistake := next((m for m in mistakes if m not in hidden and not self.exposed(m, chosen).any()), None):
            row = self.exposed(mistake, range(len(self.draws)))
            print(f"  {mistake[0].id}, {mistake[1]}: exposed by {row.sum()} of {len(row)}", file=sys.stderr)
            if row.any():
                rows.append(row)
                chosen = cover(np.array(rows), self.costs)
            else:
                hidden.append(mistake)
        return chosen, hidden


def cover(rows: Array, costs: Array) -> list[int]:
    """The fewest columns with a true entry in every row; of those the cheapest; of those the first.

    Raises:
        ArithmeticError: there is no such set, or it was not found.
    """
    count = rows.shape[1]
    at_least_one = LinearConstraint(rows.astype(float), 1, np.inf)
    total = round(_minimum(np.ones(count), at_least_one).sum())
    of_these = [at_least_one, LinearConstraint(np.ones((1, count)), total, total)]
    cheapest = round(costs @ _minimum(costs, *of_these))
    of_these.append(LinearConstraint(costs[None], cheapest, cheapest))
    return [int(k) for k in np.flatnonzero(_minimum(np.arange(count), *of_these))]


def _minimum(objective: Array, *constraints: LinearConstraint) -> Array:
    """The 0s and 1s for which a linear function is least, to the last unit."""
    options = {"mip_rel_gap": 0}
    found = milp(
        objective, constraints=constraints, integrality=np.ones(len(objective)), bounds=Bounds(0, 1), options=options
    )
    if not found.success:
        raise ArithmeticError(found.message)
    return np.round(found.x)


def numbers_in(case: Case) -> int:
    """How many numbers a vector holds, inputs and outputs."""
    sizes = sizes_of(case.inputs)
    return sum(int(np.prod([sizes[dim] for dim in dims])) for dims in (*INPUTS.values(), *OUTPUTS.values()))


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--numbers", type=int, default=60, metavar="N", help="runs of each sizes and regime")
    numbers = options.parse_args().numbers
    pool = Pool([(number, sizes, regime) for sizes, regime, number in product(SIZES, REGIMES, range(numbers))])
    print(f"{len(pool.draws)} vectors to choose from, {len(MISTAKES)} mistakes", file=sys.stderr)
    chosen, hidden = pool.fewest()
    print("The fewest vectors that expose every mistake:")
    for k in chosen:
        print(f"    {pool.draws[k]},")
    for dtype in DTYPES:
        print(f"Exposed by no vector in {dtype}: {', '.join(bug.id for bug, d in hidden if d == dtype) or 'none'}")
    return int(tuple(pool.draws[k] for k in chosen) != DRAWS["minimal"])


if __name__ == "__main__":
    sys.exit(main())
