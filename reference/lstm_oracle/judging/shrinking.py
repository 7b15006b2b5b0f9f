"""Reduces a failure to the smallest run that still shows it, by Hypothesis."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from functools import partial

from hypothesis import HealthCheck, Phase, find, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from lstm_oracle.inputs.cases import REGIMES, Case, Regime, Sizes, draw_case

SIMPLEST_FIRST: tuple[Regime, ...] = ("plain", "ordinary", *(r for r in REGIMES if r not in ("plain", "ordinary")))


def smallest(fails: Callable[[Case], bool], case: Case, seed: int, *, attempts: int, seconds: float) -> Case:
    """Return the smallest case found that fails as `case` does, with its number, and sizes no larger than its own.

    The search starts from `case` itself, which is what its own sizes and regime draw. No size becomes zero that was
    not. All runs fit the shapes that JAX has compiled already.

    Args:
        fails: whether a case fails.
        case: a case that fails.
        seed: the seed from which it was drawn.
        attempts: how many other cases to try at most.
        seconds: after how many seconds to stop.
    """
    end = time.monotonic() + seconds
    known: dict[tuple[Sizes, Regime], bool] = {(case.sizes, case.regime): True}
    failing = [case]

    def still_fails(drawn: tuple[Sizes, Regime]) -> bool:
        if drawn not in known:
            if time.monotonic() > end or len(known) > attempts:
                return False
            other = draw_case(seed, case.number, case.dtype, *drawn)
            known[drawn] = fails(other)
            failing.extend([other] * known[drawn])
        return known[drawn]

    # One choice for each size, half of them the size of `case`: Hypothesis shrinks towards few choices first.
    sizes = st.tuples(*(st.integers(min(1, size), 2 * size).map(partial(min, size)) for size in case.sizes))
    regimes = st.sampled_from([*SIMPLEST_FIRST, *[case.regime] * len(SIMPLEST_FIRST)])
    bounded = settings(
        database=None,
        deadline=None,
        max_examples=attempts,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    with contextlib.suppress(NoSuchExample):  # a failure that occurs by chance stays with the run that showed it
        find(st.tuples(sizes, regimes), still_fails, settings=bounded, random=random.Random(seed))
    return min(failing, key=lambda found: (found.id.size_key, SIMPLEST_FIRST.index(found.regime)))
