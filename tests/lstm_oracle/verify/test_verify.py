"""The main job: `verify` ends well on the twins as derived, and names the place of every mistake that is planted."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
from flint import arb

from lstm_oracle.certified.certificate import certify
from lstm_oracle.cli.main import main
from lstm_oracle.comparison import findings
from lstm_oracle.inputs.cases import LARGEST_SIZES, Case, Sizes, draw_case, draw_inputs
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.truth.batch import PADDED_BLOCKS
from lstm_oracle.truth.truth import truths
from lstm_oracle.verify import ours, theirs
from lstm_oracle.verify.errata import MISPRINTS, Misprint
from lstm_oracle.verify.report import show
from lstm_oracle.verify.verify import SUBJECTS, Mismatch, Verdict, certificates, is_refuted, verify
from manual import bptt, fused
from manual.derivation import Edges
from tests.lstm_oracle.known import FLOAT32, FLOAT64
from tests.strategies import drawn, range_of, without_zeros
from tests.twins import forward, truth_of, upstream_of

BOTH = [FLOAT64, FLOAT32]
EDGES = [misprint.edge for misprint in MISPRINTS]
WITHOUT_STEPS = 56  # of seed 0
Blocks = dict[str, Array]


def small(count: int) -> list[int]:
    """The first numbers whose runs fit the smallest shape and have something in them: JAX compiles it once."""
    sizes = ((number, draw_case(0, number, FLOAT64).sizes) for number in range(100 * count))
    return [number for number, size in sizes if range_of(size) == LARGEST_SIZES[0] and 0 not in size][:count]


@pytest.fixture(scope="module")
def progress() -> list[int]:
    return []


@pytest.fixture(scope="module")
def honest(progress: list[int]) -> Verdict:
    return verify(0, small(40), BOTH, progress.append)


def test_the_twins_and_their_peers_are_verified(honest: Verdict, progress: list[int]) -> None:
    assert honest.ok
    assert honest.first_error is None
    assert (honest.seed, honest.runs, sum(progress)) == (0, 40, 40)
    assert honest.seconds > 0


def test_everybody_is_judged_in_both_precisions_on_the_runs_that_they_take(honest: Verdict) -> None:
    for dtype in ("float64", "float32"):
        judged = {subject: {b for s, d, b in honest.worst if (s, d) == (subject, dtype)} for subject in SUBJECTS}
        assert judged["bptt"] == {*PADDED_BLOCKS, "C_T"}
        assert judged["fused"] >= {"δ13", "δ14", "δ15", "δ16", "δ26", "h", "C", *GRADIENTS}
        assert judged["flax"] == {"h", "C", *GRADIENTS}
        assert judged["onnxruntime"] == ({"h", "C_T"} if dtype == "float32" else set())
    in_float32 = sum(number % 2 for number in small(40))  # the runs take the dtypes in turn, by their number
    assert honest.judged == {"bptt": 40, "fused": 40, "flax": 40, "onnxruntime": in_float32}
    assert all(case.dtype == dtype == BOTH[case.number % 2] for (_, dtype, _), (_, case) in honest.worst.items())


def test_the_worst_finding_of_every_block_is_kept_with_its_run(honest: Verdict) -> None:
    cases = [draw_case(0, number, BOTH[number % 2]) for number in small(40)]
    ratios = {dtype.name: dict.fromkeys(PADDED_BLOCKS, (-1.0, -1)) for dtype in BOTH}
    for case, truth in zip(cases, truths(cases), strict=True):
        for one in findings.judge(truth, ours.bptt_blocks(case), case.dtype):
            of_block = ratios[case.dtype.name]
            of_block[one.block] = max(of_block.get(one.block, (-1.0, -1)), (one.ratio, -case.number))
    for dtype, of_dtype in ratios.items():
        for block, (ratio, number) in of_dtype.items():
            finding, case = honest.worst["bptt", dtype, block]
            assert (finding.ratio, case.number) == (pytest.approx(ratio), -number), (dtype, block)


def changed(change: Callable[[Case, Blocks], Blocks]) -> Callable[[Sequence[Case]], list[Blocks | None]]:
    """The literal twin, but for what is changed of its blocks."""
    return lambda cases: [(found := ours.bptt_blocks(case)) | change(case, found) for case in cases]


def with_edge(n: int) -> Callable[[Sequence[Case]], list[Blocks | None]]:
    """The literal twin with an edge that is too large by a hundredth, and all that follows from it."""

    class Wrong(dict[int, Array]):
        def __setitem__(self, m: int, δ: Array) -> None:
            super().__setitem__(m, δ * δ.dtype.type(1.01) if m == n else δ)

    def edges(case: Case, found: Blocks) -> Blocks:
        back = [δ for _, _, δ in bptt.steps_back(forward(bptt, case), *upstream_of(case).values(), edges=Wrong)]
        return {f"δ{m}": np.stack([δ[m] for δ in back[::-1]]) for m in range(1, 27)}

    return changed(edges)


def from_the_last_step(block: Array) -> Array:
    return np.concatenate([block[:-1], block[-1:] * block.dtype.type(1.01)])


def last_step(case: Case) -> int:
    return case.sizes[0] - 1


# Who is wrong, and where: the block, and its step.
Planted = dict[str, tuple[Callable[[Sequence[Case]], Sequence[Blocks | None]], str, Callable[[Case], int | None]]]
PLANTED: Planted = {f"edge {n}": (with_edge(n), f"δ{n}", last_step) for n in (3, *range(5, 27))}
PLANTED |= {
    f"value {name}": (changed(lambda _, found, name=name: {name: from_the_last_step(found[name])}), name, last_step)
    for name in ("f", "i", "g", "o", "C", "tanh_C", "h")
}
PLANTED |= {
    "two places": (changed(lambda _, found: {"dC0": 2 * found["dC0"], "h": 2 * found["h"]}), "h", lambda case: 0),
    "no number": (changed(lambda _, found: {"dC0": found["dC0"] * np.nan}), "dC0", lambda case: None),
    "a dtype": (changed(lambda _, found: {"h": found["h"].astype(np.longdouble)}), "h", lambda case: None),
    "onnxruntime": (
        lambda cases: [
            (found := theirs.onnxruntime_blocks(case)) and found | {"h": found["h"] * np.float32(1.001)}
            for case in cases
        ],
        "h",
        lambda case: 0,
    ),
}


@cache
def verdict_on_mistakes() -> Verdict:
    with mock.patch.dict(SUBJECTS, {name: subject for name, (subject, _, _) in PLANTED.items()}, clear=True):
        return verify(0, small(8), BOTH)


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named_with_its_step(name: str) -> None:
    _, block, step = PLANTED[name]
    verdict = verdict_on_mistakes()
    found = Verdict(0, mismatches=[one for one in verdict.mismatches if one.subject == name]).first_error
    assert found is not None
    assert (found.block, found.step) == (block, step(found.case))
    assert not verdict.ok


def test_a_mistake_is_found_again_on_its_run_alone() -> None:
    found = verdict_on_mistakes().mismatches[0]
    with mock.patch.dict(SUBJECTS, {found.subject: PLANTED[found.subject][0]}, clear=True):
        again = verify(0, [found.case.number], [found.case.dtype]).mismatches
    assert [(one.subject, one.block, one.step, one.case.number) for one in again] == [
        (found.subject, found.block, found.step, found.case.number)
    ]


def test_every_misprint_is_refuted_on_nearly_every_run(honest: Verdict) -> None:
    for misprint in MISPRINTS:
        assert honest.refuted[misprint.edge] > 0.8 * honest.runs


def test_no_misprint_is_refuted_without_steps() -> None:
    verdict = verify(0, [WITHOUT_STEPS], BOTH)
    assert (verdict.runs, verdict.ok, verdict.refuted) == (1, True, Counter())


def test_an_equation_is_refuted_where_it_is_wrong_or_its_shapes_do_not_fit() -> None:
    def refuted(edge: int, equation: Callable[[Any, Edges], Array], sizes: Sizes = (3, 2, 4, 5)) -> bool:
        case = without_zeros(sizes)
        misprint = Misprint(edge, "printed", "derived", equation)
        return is_refuted(misprint, case, truth_of(case), forward(bptt, case), upstream_of(case))

    assert not refuted(8, lambda p, δ: δ[7] + δ[4])
    assert not refuted(22, lambda p, δ: δ[15] @ p.W_i.T)
    assert not refuted(23, lambda p, δ: δ[16] @ p.U_f.T)
    assert refuted(23, lambda p, δ: δ[16] @ p.U_f.T * 1.001)
    assert refuted(23, lambda p, δ: δ[16] @ p.W_f.T, (3, 2, 4, 4))
    assert refuted(23, lambda p, δ: δ[16] @ p.W_f.T)  # (2, 5) where (2, 4) belongs
    assert refuted(8, lambda p, δ: δ[7] + δ[4] * 1e300 * 1e300)  # which overflows


def mismatch(sizes: Sizes = (3, 2, 4, 5)) -> Mismatch:
    return Mismatch("bptt", drawn(sizes, "ordinary", "float64", 0), "h", 1)


def test_a_verdict_on_nothing_is_no_mismatch() -> None:
    verdict = Verdict(7)
    assert verdict.ok is True
    assert verdict.first_error is None
    assert verify(7, [], BOTH).judged == Counter()


def test_a_mismatch_is_never_ok() -> None:
    assert not Verdict(0, mismatches=[mismatch()]).ok
    assert not Verdict(0, mismatches=[mismatch()], runs=20, refuted=Counter(EDGES)).ok


@pytest.mark.parametrize(("certain", "ok"), [([True, True], True), ([True, False], False), ([], True)])
def test_every_certificate_has_to_be_ok(certain: list[bool], ok: bool) -> None:
    found: list[Any] = [SimpleNamespace(ok=one) for one in certain]
    assert Verdict(0, certificates=found).ok is ok


@pytest.mark.parametrize(("runs", "ok"), [(19, True), (20, False), (21, False)])
def test_among_20_runs_every_misprint_has_to_be_refuted(
    runs: int, ok: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for refuted in ([], EDGES[:1], EDGES[1:]):
        verdict = Verdict(0, runs=runs, refuted=Counter(refuted))
        assert verdict.ok is ok
        show(verdict)
        assert ("a misprint was refuted on no run" in capsys.readouterr().out) is not ok
    assert Verdict(0, runs=runs, refuted=Counter(EDGES)).ok


def test_the_narrowest_mismatch_is_the_one_on_the_smallest_run() -> None:
    few, many = mismatch((3, 1, 1, 2)), mismatch((1, 4, 4, 4))
    for order in ([few, many], [many, few]):
        assert Verdict(0, mismatches=order).first_error is few


def test_the_certificates_are_of_three_runs_by_each_twin_in_which_nothing_is_dropped() -> None:
    seed = 38  # of which dC_T would be dropped by chance
    rng = np.random.default_rng(seed)
    by_sizes: dict[Sizes, Any] = {(3, 2, 1, 4): "entry", (50, 2, 3, 4): "all", (20, 1, 3, 5): "all"}
    runs = [draw_inputs(rng, sizes, "ordinary", FLOAT64, zero_probability=0) for sizes in by_sizes]
    assert certificates(seed) == [
        certify(run, 50, by, seed, twin=twin)
        for twin in (bptt, fused)
        for run, by in zip(runs, by_sizes.values(), strict=True)
    ]


def test_verify_prints_how_many_numbers_are_certified_to_how_many_digits(
    honest: Verdict, capsys: pytest.CaptureFixture[str]
) -> None:
    assert honest.certificates is not None
    assert all(certificate.ok and certificate.digits >= 50 for certificate in honest.certificates)
    assert main(["verify", "--runs=2", "--seed=7"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "bptt 13646 gradients and edges, 652 one by one; fused 812 gradients, 118 one by one." in out
    assert main(["verify", "--runs=2", "--seed=7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["seed"], found["runs"], found["mismatch"]) == (True, 7, 2, None)
    assert all(certificate["ok"] and certificate["digits"] >= 50 for certificate in found["certified"])
    assert [certificate["twin"] for certificate in found["certified"]] == ["bptt"] * 3 + ["fused"] * 3
    assert f"Certified to {min(int(one['digits']) for one in found['certified'])} digits in ball arithmetic" in out


def test_a_derivation_that_is_off_by_1e_40_is_a_mismatch_in_ball_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    class Altered(dict[int, Any]):
        def __setitem__(self, n: int, δ: Any) -> None:
            if n == 8:
                δ = δ.copy()
                δ.flat[0] += arb("1e-40")
            super().__setitem__(n, δ)

    run = without_zeros((3, 2, 1, 4)).inputs
    verdict = Verdict(0, certificates=[certify(run), certify(run, edges=Altered)])
    assert not verdict.ok
    show(verdict)
    out = capsys.readouterr().out
    assert "Not certified: δ8[2, 0, 0] is " in out
    assert "MISMATCH in ball arithmetic" in out


@pytest.mark.parametrize("ignored", ["dh", "dh_T", "dC_T"])
def test_a_twin_that_ignores_what_arrives_is_not_certified(ignored: str) -> None:
    def gradients(tape: Any, **arriving: Array) -> Any:
        return fused.gradients(tape, **arriving | {ignored: 0 * arriving[ignored]})

    deaf: Any = SimpleNamespace(
        __name__="manual.deaf",
        run=fused.run,
        gradients=lambda tape, dh, dh_T, dC_T: gradients(tape, dh=dh, dh_T=dh_T, dC_T=dC_T),
    )
    assert not certify(without_zeros((20, 1, 3, 5)).inputs, 50, "all", twin=deaf).ok


def test_without_optional_packages_verify_says_what_it_leaves_out() -> None:
    program = """if True:
        import sys
        sys.modules |= dict.fromkeys(["flint", "flax", "onnxruntime"])
        from lstm_oracle.cli.main import main
        print(main(["verify", "--runs=2"]), flush=True)
        print(main(["verify", "--runs=2", "--json"]))
    """
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    text, _, rest = printed.partition("\n0\n{")
    assert "Not certified to 50 digits: python-flint is not installed." in text
    assert "Runs judged: bptt 2, fused 2; Flax is not installed; ONNX Rt is not installed." in " ".join(text.split())
    assert text.endswith("VERIFIED")
    found, end = json.JSONDecoder().raw_decode("{" + rest)
    assert rest[end - 1 :].split() == ["0"]
    assert (found["certified"], found["judged"]) == (None, {"bptt": 2, "fused": 2})
    assert set(found["versions"]) == {"lstm-oracle", "numpy", "jax"}
