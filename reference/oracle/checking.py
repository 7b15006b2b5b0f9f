"""`check`: judges an LSTM on runs that it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from reference.oracle.behaviour import Adapter
from reference.oracle.candidate import candidate
from reference.oracle.cases import REGIMES, Regime, Sizes, draw_case
from reference.oracle.examination import Examination
from reference.oracle.judging import require_within_reason
from reference.oracle.laid_out import NAMES, OWN
from reference.oracle.report import Report

DTYPES = ("float64", "float32")
EMPTY: tuple[Sizes, ...] = ((0, 2, 3, 4), (3, 0, 2, 4), (2, 3, 0, 4))  # judged beside what is drawn


def check(
    adapter: Adapter | str,
    *,
    dtype: str = "float64",
    max_examples: int = 100,
    seed: int = 0,
    run: int | None = None,
    sizes: Sizes | None = None,
    regime: Regime | None = None,
    timeout: float = 60.0,
    isolate: bool = False,
    layout: str = OWN,
    progress: Callable[[int], None] = lambda runs: None,
) -> Report:
    """Judge an LSTM on drawn runs.

    Args:
        adapter: a callable that takes a run's inputs by keyword and returns a mapping with any of
            its outputs; or the name of one, "pkg.module:adapter", or "exec:./program arguments",
            which run in a process of their own.
        dtype: the precision of the runs, "float64" or "float32".
        max_examples: how many runs to draw.
        seed: draws other runs.
        run: judge the run of this number alone, with other `sizes` (T, B, D, H) or in another
            `regime` if these are given.
        timeout: seconds after which a call in another process counts as hanging.
        isolate: whether a callable is imported and called in a process of its own, too.
        layout: how its weights lie, "torch" or another name in `manual.layouts.LAYOUTS`: it then takes
            the arrays of that name instead of W_f … b_o, and returns their gradients as d and the name.
        progress: told how many more runs are judged.

    Raises:
        TypeError, ValueError: an argument that does not fit; `candidate.TargetError` where there
            is nothing to call.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; expected {' or '.join(DTYPES)}")
    require_whole("max_examples", max_examples, 1)
    require_whole("seed", seed, 0)
    if run is not None:
        require_whole("run", run, 0)
    if regime is not None and regime not in REGIMES:
        raise ValueError(f"regime is {regime!r}; expected one of {', '.join(REGIMES)}")
    if run is None and (sizes is not None or regime is not None):
        raise ValueError("sizes and regime change one run; name it with run")
    if sizes is not None:
        require_sizes(sizes)
    if layout not in NAMES:
        raise ValueError(f"layout is {layout!r}; expected one of {', '.join(NAMES)}")
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout is {timeout!r}; expected seconds, more than 0")
    kind = np.dtype(dtype)
    if run is not None:
        cases = [draw_case(seed, run, kind, sizes, regime)]
    else:
        cases = [draw_case(seed, number, kind) for number in range(max_examples)]
        cases += [draw_case(seed, max_examples + k, kind, empty) for k, empty in enumerate(EMPTY)]
    with candidate(adapter, timeout=timeout, isolate=isolate, layout=layout) as subject:
        return Examination(subject, seed, kind, progress).report(cases, shrink=run is None)


def require_whole(name: str, number: int, least: int) -> None:
    """Refuse what is no whole number, or less than this."""
    if not isinstance(number, int) or number < least:
        raise ValueError(f"{name} is {number!r}; expected a whole number from {least} on")


def require_sizes(sizes: Sizes) -> None:
    """Refuse what are no sizes of a run, or of one too large to be judged here."""
    whole = isinstance(sizes, Sequence) and all(isinstance(size, int) for size in sizes)
    if not whole or len(sizes) != 4 or min(sizes) < 0 or sizes[3] < 1:
        raise ValueError(f"sizes is {sizes!r}; expected (T, B, D, H), whole numbers, none negative and H at least 1")
    require_within_reason(sizes)
