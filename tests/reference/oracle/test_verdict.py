"""The parts of `verify`: what a verdict says, who may be judged, and on which runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from reference.oracle import ours, theirs, verify
from reference.oracle.cases import Sizes
from reference.oracle.errata import MISPRINTS
from reference.oracle.verify import PEERS, SUBJECTS, Mismatch, Verdict, certificates, installed
from reference.run import DType
from tests.reference.oracle.clock import Clock
from tests.reference.oracle.known import FLOAT32, FLOAT64
from tests.strategies import drawn

RUN, SINGLE = (drawn((3, 2, 4, 5), "ordinary", dtype, 0) for dtype in ("float64", "float32"))
EDGES = [misprint.edge for misprint in MISPRINTS]


def mismatch(sizes: Sizes = (3, 2, 4, 5)) -> Mismatch:
    return Mismatch("bptt", drawn(sizes, "ordinary", "float64", 0), "h", 1)


def test_a_verdict_on_nothing_is_no_mismatch() -> None:
    verdict = Verdict(7)
    assert (verdict.seed, verdict.runs, verdict.seconds, verdict.certificates) == (7, 0, 0, None)
    assert (verdict.worst, verdict.judged, verdict.mismatches, verdict.refuted) == ({}, Counter(), [], Counter())
    assert verdict.ok is True
    assert verdict.narrowest is None


def test_a_mismatch_is_not_ok_whatever_else_is() -> None:
    assert not Verdict(0, mismatches=[mismatch()]).ok
    assert not Verdict(0, mismatches=[mismatch()], runs=20, refuted=Counter(EDGES)).ok


@pytest.mark.parametrize(("certain", "ok"), [([True, True], True), ([True, False], False), ([], True)])
def test_every_digit_has_to_be_certain(certain: list[bool], ok: bool) -> None:
    found: list[Any] = [SimpleNamespace(ok=one) for one in certain]
    assert Verdict(0, certificates=found).ok is ok


@pytest.mark.parametrize(("runs", "ok"), [(19, True), (20, False), (21, False)])
def test_on_20_runs_every_misprint_has_to_show(runs: int, ok: bool) -> None:
    for refuted in ([], EDGES[:1], EDGES[1:]):
        assert Verdict(0, runs=runs, refuted=Counter(refuted)).ok is ok
    assert Verdict(0, runs=runs, refuted=Counter(EDGES)).ok


def test_the_mismatch_on_the_smallest_run_is_the_narrowest() -> None:
    small, large = mismatch((3, 1, 1, 2)), mismatch((1, 4, 4, 4))
    for order in ([small, large], [large, small]):
        assert Verdict(0, mismatches=order).narrowest is small


def test_the_subjects_are_both_twins_and_two_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(SUBJECTS) == ["bptt", "fused", *PEERS]
    assert SUBJECTS["flax"] is theirs.flax_blocks
    for name, module in {"bptt": ours, "fused": ours, "onnxruntime": theirs}.items():
        monkeypatch.setattr(module, f"{name}_blocks", lambda case, name=name: (name, case))
        assert SUBJECTS[name]([RUN, SINGLE]) == [(name, RUN), (name, SINGLE)]  # type: ignore[comparison-overlap]


@pytest.mark.parametrize("there", [["flax", "onnxruntime"], ["flax"], ["onnxruntime"], []])
def test_the_peers_that_can_be_judged_are_those_of_which_nothing_is_missing(
    there: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    packages = {name: SimpleNamespace(missing=[] if name in there else [name]) for name in ("flax", "onnxruntime")}
    monkeypatch.setattr(verify, "PACKAGES", packages)
    assert installed() == there


def test_a_small_a_long_and_a_single_run_are_certified_by_each_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    def draw_inputs(rng: np.random.Generator, *what: object, dropping: float) -> tuple[object, ...]:
        return (*what, dropping, rng.random())

    def certify(run: object, digits: int, by: str, seed: int, twin: ModuleType) -> tuple[object, ...]:
        return run, digits, by, seed, twin.__name__

    monkeypatch.setattr(verify, "find_spec", lambda module: object() if module == "flint" else None)
    monkeypatch.setitem(sys.modules, "reference.certified", SimpleNamespace(certify=certify))  # that needs python-flint
    monkeypatch.setattr(verify, "draw_inputs", draw_inputs)
    sizes = (3, 2, 1, 4), (50, 2, 3, 4), (20, 1, 3, 5)
    numbers = np.random.default_rng(7).random(3)
    small, long, single = ((size, "ordinary", FLOAT64, 0, n) for size, n in zip(sizes, numbers, strict=True))
    assert certificates(7) == [
        (run, 50, by, 7, f"manual.{twin}")
        for twin in ("bptt", "fused")
        for run, by in ((small, "entry"), (long, "all"), (single, "all"))
    ]


def test_without_python_flint_nothing_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "find_spec", lambda module: None if module == "flint" else object())
    assert certificates(7) is None


def test_without_python_flint_there_is_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "reference.certified", None)  # that needs it, and cannot be imported now
    spec = find_spec(verify.__name__)
    assert spec is not None
    assert spec.loader is not None
    anew = module_from_spec(spec)
    spec.loader.exec_module(anew)
    assert anew.Verdict(0).ok


@pytest.fixture
def chunks(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """How many runs had their truths computed at a time, and whether they were said to be many; nothing is judged."""
    found: list[tuple[int, bool]] = []

    def truths_ahead(chunks: Iterable[Sequence[Any]], many: bool) -> Iterator[list[tuple[Any, str]]]:
        for chunk in chunks:
            found.append((len(chunk), many))
            yield [(case, f"truth {case.number}") for case in chunk]

    def draw_case(seed: int, number: int, dtype: DType) -> SimpleNamespace:
        return SimpleNamespace(seed=seed, number=number, dtype=dtype)

    monkeypatch.setattr(verify, "truths_ahead", truths_ahead)
    monkeypatch.setattr(verify, "draw_case", draw_case)
    monkeypatch.setattr(verify, "certificates", lambda seed: [f"a certificate for {seed}"])
    monkeypatch.setattr(verify, "_judge_all", lambda verdict, known: None)
    return found


def test_runs_are_judged_in_chunks_of_128(chunks: list[tuple[int, bool]]) -> None:
    done: list[int] = []
    verify.verify(0, range(300), [FLOAT64], done.append)
    assert chunks == [(128, False), (128, False), (44, False)]
    assert done == [128, 128, 44]


def test_runs_are_many_by_their_number_in_all(chunks: list[tuple[int, bool]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "MANY", 2)
    for count in (1, 2, 3):
        verify.verify(0, range(count), [FLOAT64])
    assert chunks == [(1, False), (2, True), (3, True)]


@pytest.mark.usefixtures("chunks")
def test_the_runs_take_the_dtypes_in_turn_and_those_of_each_are_judged_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged: list[list[tuple[object, ...]]] = []

    def judge_all(verdict: Verdict, known: list[tuple[Any, str]]) -> None:
        judged.append([(case.seed, case.number, case.dtype, truth) for case, truth in known])

    monkeypatch.setattr(verify, "_judge_all", judge_all)
    monkeypatch.setattr(verify, "CHUNK", 3)
    verify.verify(7, [0, 1, 2, 5, 4], [FLOAT64, FLOAT32])
    assert judged == [
        [(7, 0, FLOAT64, "truth 0"), (7, 2, FLOAT64, "truth 2")],
        [(7, 1, FLOAT32, "truth 1")],
        [(7, 4, FLOAT64, "truth 4")],
        [(7, 5, FLOAT32, "truth 5")],
    ]


@pytest.mark.usefixtures("chunks")
def test_a_verdict_has_its_seed_its_certificates_and_the_time_that_it_took(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(verify, "time", clock)
    monkeypatch.setattr(verify, "_judge_all", lambda verdict, known: clock.after(2))
    verdict = verify.verify(7, range(4), [FLOAT64, FLOAT32])
    assert (verdict.seed, verdict.seconds) == (7, 4)
    assert verdict.certificates == ["a certificate for 7"]  # type: ignore[comparison-overlap]
