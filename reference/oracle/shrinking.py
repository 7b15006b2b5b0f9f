"""The smallest run that still fails, found by Hypothesis."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from functools import partial

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from reference.oracle.cases import REGIMES, Case, Regime, Sizes, draw_case
from reference.oracle.trial import Which

SIMPLEST: tuple[Regime, ...] = ("plain", "ordinary", *(r for r in REGIMES if r not in ("plain", "ordinary")))


def smallest(fails: Callable[[Case], bool], case: Case, seed: int, *, attempts: int, seconds: float) -> Case:
    """The smallest run found that fails as `case` does: its number, no more of T, B, D and H, any regime.

    A run drawn with the sizes and the regime that `case` has is `case` itself, so that the search
    finds a failure at once. No size goes to zero that was not. All runs fit the shapes that JAX has
    compiled.
    """
    end = time.monotonic() + seconds
    known: dict[tuple[Sizes, Regime], bool] = {(case.sizes, case.regime): True}
    drawn = [case]

    def still_fails(found: tuple[Sizes, Regime]) -> bool:
        if found not in known:
            if time.monotonic() > end or len(known) > attempts:
                return False
            smaller = draw_case(seed, case.number, case.dtype, *found)
            known[found] = fails(smaller)
            drawn.extend([smaller] * known[found])
        return known[found]

    # One choice for each, half of them that of `case`: Hypothesis shrinks to few choices first.
    sizes = st.tuples(*(st.integers(min(1, size), 2 * size).map(partial(min, size)) for size in case.sizes))
    regimes = st.sampled_from([*SIMPLEST, *[case.regime] * len(SIMPLEST)])
    bounded = settings(
        database=None,
        deadline=None,
        max_examples=attempts,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with contextlib.suppress(NoSuchExample):  # a rare failure stays with the run that showed it
        find(st.tuples(sizes, regimes), still_fails, settings=bounded, random=random.Random(seed))
    return min(drawn, key=lambda found: (Which.of(found).size, SIMPLEST.index(found.regime)))
