"""The fast twin agrees with the literal one, at sizes on both sides of every threshold at which its code differs."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case, Sizes
from lstm_oracle.run import Array
from lstm_oracle.truth.batch import VALUES
from lstm_oracle.verify.twins import gradients as named
from manual import Params, bptt, derivation, fused
from tests.strategies import DTYPES, drawn, without_zeros
from tests.twins import agree, forward, params_of, same_bits, upstream_of

# No steps, no rows, no inputs; one sequence and many; up to 40 units and more; more rows than are multiplied at a time;
# products of up to a million multiplications, up to ten million, and more.
SIZES: tuple[Sizes, ...] = (
    (0, 1, 3, 4), (0, 2, 3, 4), (3, 0, 2, 4), (3, 2, 0, 4), (1, 1, 1, 1),
    (600, 1, 2, 3), (300, 1, 3, 12), (45, 1, 3, 40), (45, 1, 3, 41), (100, 1, 3, 200), (3, 1, 600, 4), (300, 2, 3, 4),
    (13, 40, 3, 41), (24, 8, 3, 128), (24, 16, 3, 128), (3, 300, 2, 5), (3, 230, 3, 64), (2, 230, 3, 61),
    (3, 600, 3, 64), (13, 40, 3, 256),
)  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_fast_twin_agrees_with_the_literal_one(sizes: Sizes, dtype: str) -> None:
    run = without_zeros(sizes, dtype)
    start = [run.inputs[name] for name in ("x", "h0", "C0")]
    tape, literal = forward(fused, run), forward(bptt, run)
    values = {name: getattr(literal, name) for name in (*VALUES, "h_T", "C_T")}
    agree({name: getattr(tape, name) for name in values}, values)
    agree(vars(fused.infer(params_of(run), *start)), {name: values[name] for name in ("h", "h_T", "C_T")})
    gradients = named(bptt.backward(literal, **upstream_of(run)))
    for checkpoint in (None, True, 1, 3):
        tape = fused.forward(params_of(run), *start, checkpoint=checkpoint)
        agree({"h": tape.h, "C_T": tape.C_T}, {"h": values["h"], "C_T": values["C_T"]})
        agree(named(fused.backward(tape, **upstream_of(run))), gradients)


def test_the_two_loops_in_the_docstring_compute_the_unit() -> None:
    run = without_zeros((4, 2, 3, 5))
    p, (T, B, D, H) = params_of(run), run.sizes
    names = {"np": np, "sigmoid": derivation.sigmoid, "T": T, "W": p.W, "U": p.U, "b": p.b}
    names |= {name: run.inputs[name] for name in ("x", "dh")}
    names |= {name: np.empty((T, B, H)) for name in "figo"} | {"Δ": np.empty((T, B, 4 * H)), "dx": np.empty((T, B, D))}
    names |= {f"{s}s": np.concatenate([run.inputs[f"{s}0"][None], np.empty((T, B, H))]) for s in "hC"}
    names |= {"δ25": run.inputs["dh_T"], "δ11": run.inputs["dC_T"], "dW": 0, "dU": 0, "db": 0}
    exec(textwrap.dedent("\n".join(re.findall(r"^    .*$", fused.__doc__ or "", re.M))), names)
    tape = forward(bptt, run)
    agree({"h": names["hs"][1:], "C": names["Cs"][1:]}, {"h": tape.h, "C": tape.C})
    gradients = bptt.backward(tape, **upstream_of(run))
    found = dict(
        zip(("W", "U", "b", "x", "h0", "C0"), map(names.get, ("dW", "dU", "db", "dx", "δ25", "δ11")), strict=True)
    )
    wanted = {name: getattr(gradients.params, name) for name in ("W", "U", "b")}
    agree(found, wanted | {"x": gradients.x, "h0": gradients.h0, "C0": gradients.C0})


@pytest.mark.parametrize("B", [1, 2])
def test_the_weights_may_change_from_call_to_call(B: int) -> None:
    run = drawn((3, B, 2, 3), "ordinary", "float64", 0)
    params, x, dh = params_of(run), run.inputs["x"], run.inputs["dh"]
    for change in range(4):
        agree(*(named(twin.backward(twin.forward(params, x), dh)) for twin in (fused, bptt)))
        if change % 2:
            params = Params(-params.W, params.U + 1, params.b)
        else:
            params.W *= -2


@contextmanager
def at_line(number: int, action: Callable[[], object]) -> Iterator[list[int]]:
    """Call `action` before the package executes line number `number`; yield a list with the count of executed lines."""
    before, lines = sys.gettrace(), [0]

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_globals.get("__name__", "").startswith("manual"):
            return None
        if event == "line":
            lines[0] += 1
            if lines[0] == number:
                action()
        return trace

    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def interrupted() -> None:
    raise KeyboardInterrupt


def everything(run: Case, checkpoint: int | None) -> dict[str, Array]:
    tape = fused.forward(params_of(run), *(run.inputs[n] for n in ("x", "h0", "C0")), checkpoint=checkpoint)
    return {"h": tape.h, "C_T": tape.C_T} | named(fused.backward(tape, **upstream_of(run)))


def lines_of(run: Case, checkpoint: int | None) -> range:
    """Return the numbers of some sixty lines, evenly spread over those that a run executes."""
    with at_line(0, interrupted) as lines:
        everything(run, checkpoint)
    return range(1, lines[0], 1 + lines[0] // 60)


INTERRUPTED_CALLS = pytest.mark.parametrize(
    ("sizes", "checkpoint"),
    [((7, 1, 2, 5), None), ((7, 2, 2, 5), None), ((300, 1, 2, 3), None), ((140, 2, 2, 3), None), ((7, 1, 2, 5), 2)],
)


@INTERRUPTED_CALLS
def test_a_call_that_was_interrupted_does_not_affect_the_next(sizes: Sizes, checkpoint: int | None) -> None:
    run, other = (drawn(sizes, "ordinary", "float64", seed) for seed in (0, 1))
    wanted = everything(run, checkpoint)
    for line in lines_of(other, checkpoint):
        # Interrupted just before, Python does not call __exit__: here `np.errstate()` restores NumPy's settings.
        with np.errstate(), pytest.raises(KeyboardInterrupt), at_line(line, interrupted):
            everything(other, checkpoint)
        assert same_bits(everything(run, checkpoint), wanted)


@INTERRUPTED_CALLS
def test_a_call_in_the_middle_of_another_affects_neither(sizes: Sizes, checkpoint: int | None) -> None:
    """A signal handler or a finalizer may make such a call."""
    run, other = (drawn(sizes, "ordinary", "float64", seed) for seed in (0, 1))
    wanted, inner = everything(run, checkpoint), everything(other, checkpoint)
    for line in lines_of(run, checkpoint):
        found = list[dict[str, Array]]()
        with at_line(line, lambda found=found: found.append(everything(other, checkpoint))):
            outer = everything(run, checkpoint)
        assert same_bits(outer, wanted)
        assert same_bits(*found, inner)
