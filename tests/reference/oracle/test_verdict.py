"""The parts of `verify`: what a verdict says, which runs are judged, who is, and what is kept of what was found."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec, module_from_spec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manual import bptt
from manual.unit import Tape
from reference.oracle import ours, theirs, verify
from reference.oracle.cases import Case, Sizes
from reference.oracle.errata import MISPRINTS, Misprint
from reference.oracle.truth import Truth
from reference.oracle.verify import PEERS, SUBJECTS, Mismatch, Verdict, certificates, installed, is_refuted
from reference.run import Array, DType
from tests.reference.oracle.clock import Clock
from tests.reference.oracle.known import FLOAT32, FLOAT64, truth_of_losses
from tests.reference.oracle.test_findings import truth
from tests.strategies import drawn

RUN, SINGLE = (drawn((3, 2, 4, 5), "ordinary", dtype, 0) for dtype in ("float64", "float32"))
UNIT = 2.0**-52  # of rounding, where the truth is of size 1; 64 of them are allowed
δ8 = np.arange(30.0).reshape(3, 2, 5)  # of another size at each step
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


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which subjects were called: all but one of the peers are there, and that one takes no float32."""
    found: list[str] = []

    def subject(name: str) -> Any:
        def blocks(cases: Sequence[Case]) -> list[dict[str, Array] | None]:
            found.append(name)
            right = {"h": truth().blocks["h"]}
            return [None if name == "flax" and case.dtype == FLOAT32 else right for case in cases]

        return blocks

    monkeypatch.setattr(verify, "SUBJECTS", {name: subject(name) for name in SUBJECTS})
    monkeypatch.setattr(verify, "installed", lambda: ["flax"])
    return found


def test_everybody_is_judged_who_is_there_on_the_runs_that_he_takes(called: list[str]) -> None:
    verdict = Verdict(0)
    verify._judge_all(verdict, [(RUN, truth()), (SINGLE, truth())])
    verify._judge_all(verdict, [(RUN, truth())])
    assert called == ["bptt", "fused", "flax"] * 2
    assert (verdict.judged, verdict.runs) == ({"bptt": 3, "fused": 3, "flax": 2}, 3)
    assert {(subject, block) for subject, _, block in verdict.worst} == {(name, "h") for name in called}


def test_without_runs_nobody_is_called(called: list[str]) -> None:
    verdict = Verdict(0)
    verify._judge_all(verdict, [])
    assert (called, verdict) == ([], Verdict(0))


@pytest.mark.usefixtures("called")
def test_a_misprint_is_counted_on_every_run_that_refutes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    true = truth()

    def refuted(misprint: Misprint, case: Case, truth: Truth, tape: Tape, upstream: dict[str, Array]) -> bool:
        assert truth is true
        np.testing.assert_array_equal(tape.h, bptt.forward(tape.params, *(case.inputs[n] for n in ("x", "h0", "C0"))).h)
        assert upstream == {name: case.inputs[name] for name in ("dh", "dh_T", "dC_T")}
        return misprint.edge == 22 or case is SINGLE

    monkeypatch.setattr(verify, "is_refuted", refuted)
    verdict = Verdict(0)
    verify._judge_all(verdict, [(RUN, true), (SINGLE, true)])
    assert verdict.refuted == {22: 2, 8: 1, 23: 1}


@pytest.mark.usefixtures("called")
def test_what_the_misprints_ask_is_found_out_for_all_runs_together(monkeypatch: pytest.MonkeyPatch) -> None:
    found_out: list[list[Truth]] = []
    monkeypatch.setattr(verify, "find_out", found_out.append)
    truths = [truth(), truth()]
    verify._judge_all(Verdict(0), [(RUN, truths[0]), (SINGLE, truths[1])])
    assert found_out == [truths]


def off(units: float) -> dict[str, Array]:
    """The right h and dC0, but for one entry of h at step 1."""
    h = truth().blocks["h"].copy()
    h[1, 0, 0] = units * UNIT
    return {"h": h, "dC0": truth().blocks["dC0"]}


@pytest.mark.parametrize(("units", "worst"), [((10, 30), 1), ((30, 10), 0), ((30, 30), 0)])
def test_of_each_block_the_worst_finding_is_kept_with_its_run(units: tuple[float, float], worst: int) -> None:
    verdict, runs = Verdict(0), [RUN, replace(RUN, number=1)]
    verify._judge_outputs(verdict, "fused", [(run, truth()) for run in runs], [off(size) for size in units])
    assert list(verdict.worst) == [("fused", "float64", "h"), ("fused", "float64", "dC0")]
    finding, run = verdict.worst["fused", "float64", "h"]
    assert (round(finding.units), finding.step, run) == (30, 1, runs[worst])
    assert not verdict.mismatches


def test_an_output_is_judged_in_the_precision_of_its_run() -> None:
    verdict = Verdict(0)
    outputs = [{"h": truth().blocks["h"].astype(np.float32)}]
    verify._judge_outputs(verdict, "flax", [(SINGLE, truth())], outputs)
    assert (list(verdict.worst), verdict.mismatches) == ([("flax", "float32", "h")], [])
    verify._judge_outputs(verdict, "flax", [(RUN, truth())], outputs)
    assert verdict.mismatches == [Mismatch("flax", RUN, "h", None)]


def test_the_place_of_a_mismatch_is_looked_for_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[Truth] = []
    right = verify.narrowest
    monkeypatch.setattr(verify, "narrowest", lambda *args: looked.append(args[0]) or right(*args))
    verdict, known = Verdict(0), [(RUN, truth()), (replace(RUN, number=1), truth())]
    verify._judge_outputs(verdict, "bptt", known, [off(64), off(65)])
    assert verdict.mismatches == [Mismatch("bptt", known[1][0], "h", 1)]
    assert [id(truth) for truth in looked] == [id(known[1][1])]


def test_the_narrowest_place_is_named_and_not_the_first_or_the_worst() -> None:
    verdict, h = Verdict(0), off(65)["h"]
    h[2] = 1
    verify._judge_outputs(verdict, "bptt", [(RUN, truth())], [{"dC0": truth().blocks["dC0"] + 1, "h": h}])
    assert verdict.mismatches == [Mismatch("bptt", RUN, "h", 1)]


def test_where_rounding_knows_no_bound_nothing_is_verified() -> None:
    verdict, known = Verdict(0), [(RUN, truth()), (replace(RUN, number=1), truth(loss=np.inf))]
    verify._judge_outputs(verdict, "bptt", known, [off(17), off(17)])
    assert verdict.mismatches == [Mismatch("bptt", known[1][0], "h", 1)]
    assert not verdict.ok


def refuted(edges: Iterable[Array]) -> bool:
    """Whether a misprint is refuted whose δ8 at each step, the last first, are these."""

    def steps(tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> Iterator[tuple[int, dict[int, Array]]]:
        yield from ((t, {8: δ}) for t, δ in enumerate(edges))

    misprint: Any = SimpleNamespace(edge=8, steps=steps)
    true = truth_of_losses(RUN, truth().losses, {**truth().blocks, "δ8": δ8}, truth().scales)
    return is_refuted(misprint, RUN, true, *ours.forward(bptt, RUN))


def test_a_misprint_is_refuted_where_its_edge_is_off() -> None:
    assert refuted(δ8[::-1]) is False
    assert refuted([δ8[2], δ8[1], δ8[0] + 1]) is True


def test_a_misprint_is_refuted_where_its_shapes_do_not_fit() -> None:
    def edges() -> Iterator[Array]:
        yield δ8[2]
        raise ValueError("matmul: a mismatch in its core dimension 0")

    assert refuted(edges()) is True


def test_no_misprint_is_refuted_without_steps() -> None:
    assert refuted([]) is False


@pytest.mark.parametrize("explode", [lambda: np.array([1e308]) * 10, lambda: np.array([np.inf]) * 0])
def test_a_misprint_may_explode_on_its_way(explode: Callable[[], Array]) -> None:
    def edges() -> Iterator[Array]:
        for δ in δ8[::-1]:
            explode()
            yield δ

    with np.errstate(all="raise"):
        assert refuted(edges()) is False
