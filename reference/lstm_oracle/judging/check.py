"""`check`: judges an LSTM on runs that the oracle draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from lstm_oracle.candidates.observer import Adapter
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.inputs.cases import REGIMES, Case, Regime, Sizes, draw_case
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT, layout_names
from lstm_oracle.judging.examination import examine
from lstm_oracle.reports.report import Report
from lstm_oracle.run import DType
from lstm_oracle.truth.padding import require_memory

DTYPES = ("float64", "float32")
EMPTY_SIZES: tuple[Sizes, ...] = ((0, 2, 3, 4), (3, 0, 2, 4), (2, 3, 0, 4))  # judged in addition to the drawn sizes


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
    layout: str = OWN_LAYOUT,
    progress: Callable[[int], None] = lambda runs: None,
) -> Report:
    """Judge an LSTM on drawn runs.

    Args:
        adapter: a callable that takes the inputs of a run by keyword and returns a mapping with any of the outputs;
            or a target name, "pkg.module:adapter" or "exec:./program arguments", which runs in its own process.
        dtype: the precision of the runs, "float64" or "float32".
        max_examples: the number of runs to draw.
        seed: determines which runs are drawn.
        run: judge only the run of this number.
        sizes: with `run`, the sizes (T, B, D, H) to use instead of the drawn ones.
        regime: with `run`, the regime to use instead of the drawn one.
        timeout: time limit in seconds for a call in another process, after which the call counts as hanging.
        isolate: whether to import and call a callable in its own process as well.
        layout: how the weights are arranged, "manual" or a name in `manual.layouts.LAYOUTS`, such as "torch". With any
            layout except "manual", the adapter takes the arrays of that layout in place of W_f … b_o, and returns
            the gradient of each under the name of the array with a `d` before it.
        progress: called with the number of runs that have been judged since the last call.

    Returns:
        The report; `report.ok` is the verdict.

    Raises:
        TypeError, ValueError: an argument is of the wrong type or out of range.
        TargetError: the target cannot be imported or started. This is a ValueError.
        ImportError: the layout needs our module `manual`, and another module of that name shadows it.
    """
    if dtype not in DTYPES:
        raise ValueError(f"dtype is {dtype!r}; expected {' or '.join(DTYPES)}")
    require_integer("max_examples", max_examples, least=1)
    require_integer("seed", seed, least=0)
    if run is not None:
        require_integer("run", run, least=0)
    if regime is not None and regime not in REGIMES:
        raise ValueError(f"regime is {regime!r}; expected one of {', '.join(REGIMES)}")
    if run is None and (sizes is not None or regime is not None):
        raise ValueError("sizes and regime apply to a single run; expected the argument run as well")
    if sizes is not None:
        require_sizes(sizes)
    if layout != OWN_LAYOUT and layout not in layout_names():
        raise ValueError(f"layout is {layout!r}; expected one of {', '.join(layout_names())}")
    if not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout is {timeout!r}; expected a positive number of seconds")
    precision = np.dtype(dtype)
    cases = (
        draw_cases(max_examples, seed, precision) if run is None else [draw_case(seed, run, precision, sizes, regime)]
    )
    with open_candidate(adapter, timeout=timeout, isolate=isolate, layout=layout) as candidate:
        return examine(candidate, cases, seed=seed, dtype=precision, shrink=run is None, progress=progress)


def draw_cases(count: int, seed: int, dtype: DType) -> list[Case]:
    """Draw `count` cases, followed by one case for each of EMPTY_SIZES."""
    cases = [draw_case(seed, number, dtype) for number in range(count)]
    return cases + [draw_case(seed, count + k, dtype, empty) for k, empty in enumerate(EMPTY_SIZES)]


def require_integer(name: str, number: object, least: int) -> None:
    """Raise ValueError unless an argument is an integer of at least `least`."""
    if not isinstance(number, int) or number < least:
        raise ValueError(f"{name} is {number!r}; expected an integer ≥ {least}")


def require_sizes(sizes: Sizes) -> None:
    """Raise ValueError unless `sizes` are the sizes of a run whose truth fits into memory."""
    integers = isinstance(sizes, Sequence) and all(isinstance(size, int) for size in sizes)
    if not integers or len(sizes) != 4 or min(sizes) < 0 or sizes[3] < 1:
        raise ValueError(f"sizes is {sizes!r}; expected four integers (T, B, D, H), with T, B, D ≥ 0 and H ≥ 1")
    require_memory(sizes)
