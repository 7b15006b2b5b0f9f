"""The documented use of memory, measured: no other file tests how much is kept."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import manual
from lstm_oracle.inputs.cases import Sizes
from tests.strategies import drawn
from tests.twins import params_of

H = 16


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def arguments(T: int, B: int = 1) -> tuple[Any, ...]:
    run = drawn((T, B, 1, H), "ordinary", "float64", 0)
    return params_of(run), *(run.inputs[name] for name in ("x", "h0", "C0"))


def measured(call: Callable[[], object]) -> tuple[float, float]:
    """Return how many numbers are kept after a call, while its result exists, and how many at the peak of the call."""
    tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0]
    result = call()
    kept, peak = tracemalloc.get_traced_memory()
    del result
    return (kept - before) / 8, (peak - before) / 8


def test_a_tape_with_checkpoints_keeps_h_and_a_cell_state_every_so_many_steps() -> None:
    given = arguments(1000, 8)
    for checkpoint, per_step in ((None, 7), (1, 2), (4, 1.25), (True, 1 + 1 / 32)):
        manual.forward(*given, checkpoint=checkpoint)  # memory that only a first call allocates is not counted
        kept, _ = measured(lambda checkpoint=checkpoint: manual.forward(*given, checkpoint=checkpoint))
        assert kept == pytest.approx(1000 * 8 * H * per_step, rel=0.02)


def test_backward_with_checkpoints_needs_no_more_at_its_peak_than_its_results() -> None:
    """Apart from a few blocks, only h and the gradient of x grow with the number of steps."""

    def peak(T: int, checkpoint: bool | None) -> float:
        given = arguments(T)
        return measured(lambda: manual.backward(manual.forward(*given, checkpoint=checkpoint), dC_T=given[-1]))[1]

    T = 4000
    whole, checkpointed = ((peak(2 * T, every) - peak(T, every)) / T for every in (None, True))  # per step
    assert whole >= 7 * H
    assert checkpointed <= 1.5 * H + 2


def test_one_segment_between_checkpoints_is_computed_at_a_time() -> None:
    T, every = 20_000, 5000
    given, segment = arguments(T), 7 * H * every
    assert measured(lambda: manual.forward(*given, checkpoint=every))[1] <= T * H + 1.5 * segment
    tape = manual.forward(*given, checkpoint=every)
    assert measured(lambda: manual.backward(tape, tape.h))[1] <= T + 1.5 * segment


@pytest.mark.parametrize("sizes", [(120, 512, 1, H), (1920, 32, 1, H)], ids=str)
def test_infer_keeps_only_h(sizes: Sizes) -> None:
    T, B, _, _ = sizes
    given = arguments(T, B)
    manual.infer(*given)  # memory that only a first call allocates is not counted
    kept, peak = measured(lambda: manual.infer(*given))
    assert kept <= T * B * H + 3 * B * H + 1250  # the row before h, and the last states
    assert peak <= T * B * H + 40 * max(256, B) * H


def test_the_last_states_of_infer_do_not_keep_the_others_alive() -> None:
    given = arguments(20_000)

    def last_states() -> tuple[np.ndarray, np.ndarray]:
        states = manual.infer(*given)
        return states.h_T, states.C_T

    last_states()
    assert measured(last_states)[0] <= 2000
