"""The main job ends VERIFIED on the unit as derived, and names the place where a changed one goes wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from manual import bptt, fused
from manual.derivation import Edges, deltas
from reference.oracle import theirs, tolerance
from reference.oracle.cases import SHAPES, Case, draw_case
from reference.oracle.errata import MISPRINTS
from reference.oracle.truth import BLOCKS
from reference.oracle.verify import SUBJECTS, Verdict, verify
from reference.run import GRADIENTS, Array
from tests.strategies import range_of

BOTH = [np.dtype(np.float64), np.dtype(np.float32)]


def small(count: int, seed: int = 0) -> list[int]:
    """The first numbers whose runs fit the smallest shape and have something in them: JAX compiles it once."""
    sizes = ((number, draw_case(seed, number, BOTH[0]).sizes) for number in range(100 * count))
    return [number for number, size in sizes if range_of(size) == SHAPES[0] and 0 not in size][:count]


@pytest.fixture(autouse=True)
def uncertified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the certificates, which are tested on their own."""
    monkeypatch.setattr("reference.oracle.verify.certificates", lambda seed: None)


@pytest.fixture(scope="module")
def honest() -> Verdict:
    return verify(0, small(40), BOTH)


def test_what_is_derived_here_is_verified(honest: Verdict) -> None:
    assert honest.ok
    assert honest.narrowest is None
    assert honest.runs == 40


def test_everything_is_judged_in_both_precisions(honest: Verdict) -> None:
    for dtype in ("float64", "float32"):
        judged = {subject: {b for s, d, b in honest.worst if (s, d) == (subject, dtype)} for subject in SUBJECTS}
        assert judged["bptt"] == {*BLOCKS, "C_T"}
        assert judged["fused"] >= {"δ13", "δ14", "δ15", "δ16", "δ26", "h", "C", *GRADIENTS}
        assert judged["flax"] == {"h", "C", *GRADIENTS}
        assert judged["onnxruntime"] == ({"h", "C_T"} if dtype == "float32" else set())


def test_every_misprint_is_refuted_on_nearly_every_run(honest: Verdict) -> None:
    for misprint in MISPRINTS:
        assert honest.refuted[misprint.edge] > 0.8 * honest.runs


@pytest.mark.parametrize("edge", [3, *range(5, 27)])
def test_a_wrong_edge_is_named_with_its_step(edge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(dict[int, Array]):
        def __setitem__(self, n: int, δ: Array) -> None:
            super().__setitem__(n, δ * 1.01 if n == edge else δ)

    def wrong_deltas(p: object, s: object, δ: Edges) -> Edges:
        return deltas(p, s, Wrong(δ))  # type: ignore[arg-type]

    monkeypatch.setattr(bptt, "step_deltas", wrong_deltas)
    verdict = verify(0, small(6), BOTH)
    assert not verdict.ok
    found = verdict.narrowest
    assert found is not None
    assert (found.subject, found.block) == ("bptt", f"δ{edge}")
    assert found.step == found.case.sizes[0] - 1
    repeated = verify(0, [found.case.number], [found.case.dtype]).narrowest
    assert repeated is not None
    assert (repeated.block, repeated.step) == (found.block, found.step)


@pytest.mark.parametrize("value", ["f", "i", "o", "C", "h"])
def test_a_wrong_forward_value_is_named(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    right = bptt.step

    def wrong_step(*args: Array) -> object:
        s = right(*args)
        object.__setattr__(s, value, getattr(s, value) * 1.01)
        return s

    monkeypatch.setattr(bptt, "step", wrong_step)
    found = verify(0, small(6), BOTH).narrowest
    assert found is not None
    assert (found.subject, found.block, found.step) == ("bptt", value, 0)


def test_a_gradient_that_is_not_a_number_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    right = fused.gradients
    monkeypatch.setattr(fused, "gradients", lambda *args: replace(right(*args), C0=np.full_like(args[-1], np.nan)))
    found = verify(0, small(3), BOTH).narrowest
    assert found is not None
    assert (found.subject, found.block) == ("fused", "dC0")


def test_a_wrong_peer_is_a_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(cases: Sequence[Case]) -> list[dict[str, Array] | None]:
        right = [theirs.onnxruntime_blocks(case) for case in cases]
        return [blocks and blocks | {"h": blocks["h"] * np.float32(1.001)} for blocks in right]

    monkeypatch.setitem(SUBJECTS, "onnxruntime", shifted)
    found = verify(0, small(8), BOTH).narrowest
    assert found is not None
    assert (found.subject, found.block) == ("onnxruntime", "h")


def test_a_judge_that_sees_nothing_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tolerance, "LEAST", 1e300)
    verdict = verify(0, small(20), BOTH)
    assert not verdict.mismatches
    assert not verdict.ok
