"""Computes the smallest set of test vectors that exposes every mistake: python -m tests.vectors [--numbers N].

The vectors are chosen from a pool of runs of several small sizes in all regimes, with N runs of each. Whether a vector
exposes a mistake in a dtype is defined in `lstm_oracle.vectors`. The chosen set has the fewest vectors; of such sets,
it has the fewest numbers in its arrays; of these, it comes first in the order of the pool.

To compute every mistake on every vector of the pool would take hours. The minimum is found, and proven, with less: the
integer program covers some mistakes, the vectors that it chooses are tried on all mistakes, and a mistake that they do
not expose is added, until there is none. A set that is the smallest for some of the mistakes, and exposes all of them,
is the smallest for all. Mistakes that no vector of the pool exposes are listed.

Exit status: 0 if the vectors that are found are those in `DRAWS`, 1 if not.
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
from lstm_oracle.vectors.exposure import effect_of, is_exposed

GENERAL_SIZES = (1, 1, 1, 1), (2, 1, 1, 2), (3, 2, 1, 2), (5, 1, 2, 2), (5, 2, 2, 2), (5, 2, 3, 4)
EQUAL_SIZES = (3, 3, 2, 2), (5, 5, 1, 1), (5, 5, 2, 2), (5, 5, 3, 3), (6, 6, 2, 2)  # some mistakes need T = B, D = H
SIZES: tuple[Sizes, ...] = GENERAL_SIZES + EQUAL_SIZES
Mistake = tuple[Bug, DType]
MISTAKES: list[Mistake] = [(bug, dtype) for dtype in DTYPES for bug in CATALOGUE.values()]


class Pool:
    """The vectors to choose from.

    Args:
        draws: the number, sizes and regime of each.
    """

    def __init__(self, draws: Sequence[Draw]) -> None:
        self.draws = draws
        self.known = {dtype: drawn(draws, dtype) for dtype in DTYPES}
        self.costs = np.array([numbers_in(case) for case, _ in self.known[DTYPES[0]]])

    def exposed(self, mistake: Mistake, vectors: Sequence[int]) -> Array:
        """Return for each of these vectors whether it exposes a mistake."""
        bug, dtype = mistake
        some: list[tuple[Case, Truth]] = [self.known[dtype][k] for k in vectors]
        return np.array([is_exposed(bug, effect_of(bug, *run)) for run in some], bool)

    def fewest(self, mistakes: Sequence[Mistake] = MISTAKES) -> tuple[list[int], list[Mistake]]:
        """Return the smallest set of vectors that exposes these mistakes, and the mistakes that no vector exposes."""
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
    """Return the fewest columns that have a true entry in every row; of such sets the cheapest; of these the first.

    Args:
        rows: booleans, (rows, columns).
        costs: the cost of each column, an integer.

    Raises:
        ArithmeticError: there is no such set, or it was not found.
    """
    count = rows.shape[1]
    at_least_one = LinearConstraint(rows.astype(float), 1, np.inf)
    total = round(minimum(np.ones(count), at_least_one).sum())
    fewest = [at_least_one, LinearConstraint(np.ones((1, count)), total, total)]
    cheapest = round(costs @ minimum(costs, *fewest))
    fewest.append(LinearConstraint(costs[None], cheapest, cheapest))
    return [int(k) for k in np.flatnonzero(minimum(np.arange(count), *fewest))]


def minimum(objective: Array, *constraints: LinearConstraint) -> Array:
    """Return the zeros and ones that minimize a linear function exactly."""
    options = {"mip_rel_gap": 0}
    found = milp(
        objective, constraints=constraints, integrality=np.ones(len(objective)), bounds=Bounds(0, 1), options=options
    )
    if not found.success:
        raise ArithmeticError(found.message)
    return np.round(found.x)


def numbers_in(case: Case) -> int:
    """Return how many numbers the inputs and outputs of a vector have."""
    sizes = sizes_of(case.inputs)
    return sum(int(np.prod([sizes[dim] for dim in dims])) for dims in (*INPUTS.values(), *OUTPUTS.values()))


def main() -> int:
    """Search for the vectors, print them, and return the exit status."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    text = "number of runs of every size and regime (default: 60)"
    options.add_argument("--numbers", type=int, default=60, metavar="N", help=text)
    numbers = options.parse_args().numbers
    pool = Pool([(number, sizes, regime) for sizes, regime, number in product(SIZES, REGIMES, range(numbers))])
    print(f"{len(pool.draws)} vectors to choose from, {len(MISTAKES)} mistakes", file=sys.stderr)
    chosen, hidden = pool.fewest()
    print("The smallest set of vectors that exposes every mistake:")
    for k in chosen:
        print(f"    {pool.draws[k]},")
    for dtype in DTYPES:
        print(f"Exposed by no vector in {dtype}: {', '.join(bug.id for bug, d in hidden if d == dtype) or 'none'}")
    return int(tuple(pool.draws[k] for k in chosen) != DRAWS["minimal"])


if __name__ == "__main__":
    sys.exit(main())
