"""What the main job concludes, from truths and subjects that are written by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manual import bptt, fused
from reference import certified
from reference.oracle import ours, theirs, verify
from reference.oracle.cases import Case, Sizes, draw_case, draw_inputs
from reference.oracle.errata import MISPRINTS, Misprint
from reference.oracle.findings import Finding
from reference.oracle.truth import Truth
from reference.oracle.verify import SUBJECTS, Mismatch, Outputs, Verdict, is_refuted
from reference.run import Array

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)
SEED = 5
Subject = Callable[[Sequence[Case]], Sequence[Outputs | None]]


def case(number: int = 0, sizes: Sizes = (3, 1, 2, 4), dtype: Any = F64) -> Case:
    return draw_case(SEED, number, dtype, sizes, "ordinary")


def truth(of: Case) -> Truth:
    """What the literal twin says in float64, each block of a size at which rounding is none of these tests' matter."""
    wide = Case(of.number, of.regime, {name: array.astype(F64) for name, array in of.inputs.items()})
    blocks = ours.bptt_blocks(wide)
    return Truth(blocks, {name: np.array(10 * np.max(np.abs(a), initial=1)) for name, a in blocks.items()}, 0)


def right(cases: Sequence[Case]) -> list[Outputs]:
    return [{name: truth(one).blocks[name].astype(one.dtype) for name in ("h", "dx")} for one in cases]


def wrong(cases: Sequence[Case]) -> Sequence[Outputs]:
    """The last step's gradient of x is off by as much as the number of the run."""
    outputs = right(cases)
    for one, out in zip(cases, outputs, strict=True):
        out["dx"][-1:] += one.number
    return outputs


class Job:
    """The other parts of the main job, which note what they are asked for."""

    def __init__(self) -> None:
        self.chunks: list[tuple[int, bool]] = []
        self.certified: list[int] = []

    def truths_ahead(self, chunks: Iterable[Sequence[Case]], many: bool) -> Iterator[list[tuple[Case, Truth]]]:
        for chunk in chunks:
            self.chunks.append((len(chunk), many))
            yield [(one, truth(one)) for one in chunk]

    def certificates(self, seed: int) -> list[Any]:
        self.certified.append(seed)
        return [SimpleNamespace(ok=True)]


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job()
    monkeypatch.setattr(verify, "truths_ahead", job.truths_ahead)
    monkeypatch.setattr(verify, "certificates", job.certificates)
    judging(monkeypatch, bptt=right)
    return job


def judging(monkeypatch: pytest.MonkeyPatch, **subjects: Subject) -> None:
    """Let these be judged, and no others."""
    monkeypatch.setattr(verify, "SUBJECTS", subjects)


# The verdict.


def verdict(runs: int = 0, **found: Any) -> Verdict:
    """A verdict in which each misprint shows on one run, but for what is given."""
    return Verdict(SEED, runs=runs, **{"refuted": Counter([8, 22, 23])} | found)


def test_a_mismatch_or_a_digit_that_is_not_certain_is_not_verified() -> None:
    certain, vague = SimpleNamespace(ok=True), SimpleNamespace(ok=False)
    assert (Verdict(SEED).ok, Verdict(SEED).seconds) == (True, 0)
    assert verdict(certificates=None).ok
    assert verdict(certificates=[certain, certain]).ok
    assert not verdict(certificates=[certain, vague]).ok
    assert not verdict(certificates=[vague, certain]).ok
    assert not verdict(mismatches=[Mismatch("bptt", case(), "h", 1)]).ok


def test_among_twenty_runs_every_misprint_must_show() -> None:
    assert verdict(runs=20).ok
    for edge in (8, 22, 23):
        others = Counter([8, 22, 23]) - Counter([edge])
        assert not verdict(runs=20, refuted=others).ok
        assert not verdict(runs=21, refuted=others).ok
        assert verdict(runs=19, refuted=others).ok


def test_the_narrowest_mismatch_is_that_of_the_smallest_run() -> None:
    sizes: list[Sizes] = [(3, 2, 1, 4), (2, 1, 3, 4), (9, 1, 1, 1), (4, 3, 2, 1)]
    found = [Mismatch("bptt", case(k, size), "h", 1) for k, size in enumerate(sizes)]
    assert verdict(mismatches=found).narrowest is found[2]
    assert verdict().narrowest is None


# The job.


def test_runs_take_the_precisions_in_turn_by_their_number(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[tuple[int, str]]] = []

    def subject(cases: Sequence[Case]) -> Sequence[Outputs]:
        asked.append([(one.number, one.dtype.name) for one in cases])
        return right(cases)

    judging(monkeypatch, bptt=subject)
    found = verify.verify(0, [2, 7, 4, 9, 9], [F64, F32])
    assert asked == [[(2, "float64"), (4, "float64")], [(7, "float32"), (9, "float32"), (9, "float32")]]
    assert (found.seed, found.runs, found.judged, found.ok) == (0, 5, Counter(bptt=5), True)
    assert 0 < found.seconds < 60
    assert (len(found.certificates or []), job.certified) == (1, [0])
    asked.clear()
    assert verify.verify(0, [2, 4], [F64, F32]).runs == 2
    assert asked == [[(2, "float64"), (4, "float64")]]


def test_a_wrong_subject_is_named_with_its_place(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "draw_case", lambda seed, number, dtype: case(number, dtype=dtype))
    judging(monkeypatch, bptt=right, fused=wrong)
    found = verify.verify(SEED, [0, 3, 2], [F64, F32])
    assert [(one.subject, one.case.number, one.block, one.step) for one in found.mismatches] == [
        ("fused", 2, "dx", 2), ("fused", 3, "dx", 2),
    ]  # fmt: skip
    assert not found.ok
    assert found.refuted == Counter({misprint.edge: 3 for misprint in MISPRINTS})


def test_the_narrowest_place_is_named_and_another_precision_is_wrong(job: Job) -> None:
    one, found = case(), Verdict(SEED)
    both, narrow = ({name: right([one])[0][name] for name in ("dx", "h")} for _ in range(2))
    both["dx"] += 1
    both["h"][1:] += 1
    narrow["dx"] = narrow["dx"].astype(F32)
    verify._judge_outputs(found, "bptt", [(one, truth(one))] * 2, [both, narrow])
    assert [(wrong.block, wrong.step) for wrong in found.mismatches] == [("h", 1), ("dx", None)]


def test_where_rounding_knows_no_bound_nothing_is_verified(job: Job) -> None:
    one = case()
    found, known = Verdict(SEED), truth(one)
    endless = Truth(known.blocks, known.scales, math.inf)
    outputs = right([one])[0]
    outputs["h"][1] += 0.001
    verify._judge_outputs(found, "bptt", [(one, known), (one, endless)], [*right([one]), outputs])
    assert found.mismatches == [Mismatch("bptt", one, "h", 1)]
    assert not found.ok


def test_of_every_block_the_worst_run_is_kept_for_each_subject_and_precision(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "draw_case", lambda seed, number, dtype: case(0, dtype=dtype))
    errors = iter([1, 3, 2, 3, 1, 2])

    def subject(cases: Sequence[Case]) -> Sequence[Outputs]:
        outputs = right(cases)
        for out in outputs:
            out["h"] = out["h"] + out["h"].dtype.type(next(errors) * 1e-3)
        return outputs

    judging(monkeypatch, bptt=subject)
    cases = [case(k) for k in range(4)] + [case(k, dtype=F32) for k in range(2)]
    found = Verdict(SEED)
    known = [(one, truth(one)) for one in cases]
    verify._judge_all(found, known[:4])
    verify._judge_all(found, known[4:])
    verify._judge_all(found, [])
    kept = {key: one.number for key, (_, one) in found.worst.items() if key[2] == "h"}
    assert kept == {("bptt", "float64", "h"): 1, ("bptt", "float32", "h"): 1}
    finding, _ = found.worst["bptt", "float64", "dx"]
    assert (type(finding), finding.block, finding.ok) == (Finding, "dx", True)
    assert len(found.worst) == 4


def test_peers_are_judged_where_they_are_installed_on_the_runs_that_they_take(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    def choosy(cases: Sequence[Case]) -> Sequence[Outputs | None]:
        return [out if one.number % 2 else None for one, out in zip(cases, wrong(cases), strict=True)]

    known = [(case(k), truth(case(k))) for k in range(3)]
    judging(monkeypatch, bptt=right, flax=choosy, onnxruntime=right)
    for missing, judged in (
        ([], {"bptt": 3, "flax": 1, "onnxruntime": 3}),
        (["flax"], {"bptt": 3, "onnxruntime": 3}),
        (["onnxruntime"], {"bptt": 3, "flax": 1}),
    ):
        packages = {name: SimpleNamespace(missing=name if name in missing else "") for name in verify.PEERS}
        monkeypatch.setattr(verify, "PACKAGES", packages)
        assert verify.installed() == [name for name in ("flax", "onnxruntime") if name not in missing]
        found = Verdict(SEED)
        verify._judge_all(found, known)
        assert found.judged == judged
        assert [(one.subject, one.case.number) for one in found.mismatches] == [("flax", 1)] * ("flax" in judged)


def test_both_twins_and_two_peers_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [case(0), case(1)]
    for name, blocks in {"bptt": ours.bptt_blocks, "fused": ours.fused_blocks}.items():
        for found, one in zip(SUBJECTS[name](cases), cases, strict=True):
            assert found
            assert found.keys() == blocks(one).keys()
            assert all(np.array_equal(found[block], array) for block, array in blocks(one).items())
    assert [*SUBJECTS] == ["bptt", "fused", *verify.PEERS]
    assert SUBJECTS["flax"] is theirs.flax_blocks
    monkeypatch.setattr(theirs, "onnxruntime_blocks", lambda one: {"h": one.inputs["x"]})
    assert [out and out["h"] is one.inputs["x"] for out, one in zip(SUBJECTS["onnxruntime"](cases), cases, strict=True)]


# The misprints.


def test_runs_that_refute_a_misprint_are_counted(job: Job) -> None:
    found, empty = Verdict(SEED), case(0, (0, 1, 2, 4))
    verify._judge_all(found, [(empty, truth(empty))])
    assert (found.runs, found.refuted) == (1, Counter())
    verify._judge_all(found, [(case(k), truth(case(k))) for k in range(2)])
    assert (found.runs, found.refuted) == (3, Counter({misprint.edge: 2 for misprint in MISPRINTS}))


def refuted(misprint: Misprint, one: Case, of: Truth) -> bool:
    tape, upstream = ours.forward(bptt, one)
    return is_refuted(misprint, one, of, tape, upstream)


@pytest.mark.parametrize("misprint", MISPRINTS, ids=lambda misprint: f"δ{misprint.edge}")
def test_a_misprint_is_refuted_where_its_edge_is_off_or_does_not_fit(misprint: Misprint) -> None:
    one = case(0, (3, 2, 4, 4))
    assert refuted(misprint, one, truth(one))
    assert refuted(misprint, case(0, (0, 2, 4, 4)), truth(case(0, (0, 2, 4, 4)))) is False
    tape, upstream = ours.forward(bptt, one)
    steps: list[Array] = [δ[misprint.edge] for _, δ in misprint.steps(tape, **upstream)]
    of = truth(one)
    as_printed: dict[str, Array] = {**of.blocks, f"δ{misprint.edge}": np.stack(steps[::-1])}
    assert not refuted(misprint, one, Truth(as_printed, of.scales, 0))
    other = case(0, (3, 2, 5, 4))
    assert refuted(misprint, other, truth(other))


def test_a_misprint_may_explode_without_a_warning() -> None:
    one = case(0, (9, 1, 2, 3), F32)
    inputs = one.inputs | {name: one.inputs[name] * np.float32(1e30) for name in ("dh", "dh_T", "dC_T")}
    exploding = Case(0, "large", inputs)
    assert refuted(MISPRINTS[0], exploding, truth(exploding))


# The certificates.


def test_a_short_and_a_long_run_are_certified_for_each_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("flint")
    asked: list[tuple[Any, ...]] = []

    def certify(run: dict[str, Array], *how: Any, twin: Any) -> Any:
        asked.append((run, *how, twin))
        return len(asked)

    monkeypatch.setattr(certified, "certify", certify)
    found: Any = verify.certificates(SEED)
    assert found == [1, 2, 3, 4]
    rng = np.random.default_rng(SEED)
    runs = [draw_inputs(rng, sizes, "ordinary", F64) for sizes in ((3, 2, 1, 4), (50, 2, 3, 4))]
    wanted = [
        (run, 50, by, SEED, twin) for twin in (bptt, fused) for run, by in zip(runs, ("entry", "all"), strict=True)
    ]
    for (run, *how), (want, *wanted_how) in zip(asked, wanted, strict=True):
        assert how == wanted_how
        assert all(np.array_equal(run[name], array) for name, array in want.items())


def test_without_python_flint_nothing_is_certified(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(verify, "find_spec", asked.append)
    assert verify.certificates(SEED) is None
    assert asked == ["flint"]


# Many runs, which take the longest to judge here.


def test_runs_are_judged_in_chunks(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "draw_case", lambda seed, number, dtype: case(number, (1, 1, 1, 1), dtype))
    for many in (129, 130, 131):
        told: list[int] = []
        monkeypatch.setattr(verify, "MANY", many)
        assert verify.verify(SEED, range(130), [F64], told.append).runs == 130
        assert told == [128, 2]
    assert job.chunks == [(128, True), (2, True)] * 2 + [(128, False), (2, False)]
