"""`verify`: the twins as derived are verified, and every mistake that is planted is located."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from flint import arb

from lstm_oracle.certified.certificate import certify
from lstm_oracle.cli.main import main
from lstm_oracle.inputs.cases import LARGEST_SIZES, Case, Sizes, draw_case, draw_inputs
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.truth.batch import PADDED_BLOCKS
from lstm_oracle.truth.truth import truths
from lstm_oracle.verify import others, twins
from lstm_oracle.verify.errata import MISPRINTS, Misprint
from lstm_oracle.verify.report import show
from lstm_oracle.verify.verify import SUBJECTS, Mismatch, Subject, Verification, certificates, is_refuted, verify
from manual import bptt, fused
from manual.derivation import Edges
from tests.lstm_oracle.known import FLOAT32, FLOAT64
from tests.strategies import drawn, range_of, without_zeros
from tests.twins import forward, truth_of, upstream_of

BOTH = [FLOAT64, FLOAT32]
EDGES = [misprint.edge for misprint in MISPRINTS]
WITHOUT_STEPS = 56  # the number of a run of seed 0
Blocks = dict[str, Array]


def small(count: int) -> list[int]:
    """The first numbers whose runs are not empty and fit the smallest shape, which JAX compiles once."""
    sizes = ((number, draw_case(0, number, FLOAT64).sizes) for number in range(100 * count))
    return [number for number, size in sizes if range_of(size) == LARGEST_SIZES[0] and 0 not in size][:count]


@pytest.fixture(scope="module")
def progress() -> list[int]:
    return []


@pytest.fixture(scope="module")
def honest(progress: list[int]) -> Verification:
    return verify(0, small(40), BOTH, progress.append)


# The twins as derived.


def test_the_twins_and_their_peers_are_verified(honest: Verification, progress: list[int]) -> None:
    assert honest.ok
    assert honest.smallest_mismatch is None
    assert (honest.seed, honest.runs, sum(progress)) == (0, 40, 40)
    assert honest.seconds > 0


def test_every_subject_is_judged_in_both_precisions_on_the_runs_that_it_supports(honest: Verification) -> None:
    for dtype in ("float64", "float32"):
        judged = {subject: {b for s, d, b in honest.worst if (s, d) == (subject, dtype)} for subject in SUBJECTS}
        assert judged["bptt"] == {*PADDED_BLOCKS, "C_T"}
        assert judged["fused"] >= {"δ13", "δ14", "δ15", "δ16", "δ26", "h", "C", *GRADIENTS}
        assert judged["flax"] == {"h", "C", *GRADIENTS}
        assert judged["onnxruntime"] == ({"h", "C_T"} if dtype == "float32" else set())
    in_float32 = sum(number % 2 for number in small(40))  # the precision alternates with the number
    assert honest.judged == {"bptt": 40, "fused": 40, "flax": 40, "onnxruntime": in_float32}
    assert all(case.dtype == dtype == BOTH[case.number % 2] for (_, dtype, _), (_, case) in honest.worst.items())


def test_the_worst_finding_of_every_block_is_kept_with_its_run(honest: Verification) -> None:
    cases = [draw_case(0, number, BOTH[number % 2]) for number in small(40)]
    worst: dict[tuple[str, str], tuple[float, int]] = {}
    for case, truth in zip(cases, truths(cases), strict=True):
        for block, array in twins.bptt_blocks(case).items():
            key, found = (case.dtype.name, block), (truth.compare(block, array).ratio, -case.number)
            worst[key] = max(worst.get(key, found), found)
    for (dtype, block), (ratio, number) in worst.items():
        finding, case = honest.worst["bptt", dtype, block]
        assert (finding.ratio, case.number) == (pytest.approx(ratio), -number), (dtype, block)


# Planted mistakes.


def changed(change: Callable[[Case, Blocks], Blocks]) -> Subject:
    """`bptt` with some of its blocks replaced."""
    return lambda cases: [(found := twins.bptt_blocks(case)) | change(case, found) for case in cases]


def with_edge(n: int) -> Subject:
    """`bptt` with one edge too large by a hundredth, and everything that follows from it."""

    class Wrong(dict[int, Array]):
        def __setitem__(self, m: int, δ: Array) -> None:
            super().__setitem__(m, δ * δ.dtype.type(1.01) if m == n else δ)

    def edges(case: Case, found: Blocks) -> Blocks:
        back = [δ for _, _, δ in bptt.steps_back(forward(bptt, case), *upstream_of(case).values(), edges=Wrong)]
        return {f"δ{m}": np.stack([δ[m] for δ in back[::-1]]) for m in range(1, 27)}

    return changed(edges)


def onnxruntime_with_wrong_h(cases: Sequence[Case]) -> list[Blocks | None]:
    found = [others.onnxruntime_blocks(case) for case in cases]
    return [blocks and blocks | {"h": blocks["h"] * np.float32(1.001)} for blocks in found]


def wrong_at_the_last_step(block: Array) -> Array:
    return np.concatenate([block[:-1], block[-1:] * block.dtype.type(1.01)])


def last_step(case: Case) -> int:
    return case.sizes[0] - 1


# The subject that is wrong, and where it first is: the block, and its step.
Planted = dict[str, tuple[Subject, str, Callable[[Case], int | None]]]
PLANTED: Planted = {f"edge {n}": (with_edge(n), f"δ{n}", last_step) for n in (3, *range(5, 27))}
PLANTED |= {
    f"value {name}": (changed(lambda _, found, name=name: {name: wrong_at_the_last_step(found[name])}), name, last_step)
    for name in ("f", "i", "g", "o", "C", "tanh_C", "h")
}
PLANTED |= {
    "two places": (changed(lambda _, found: {"dC0": 2 * found["dC0"], "h": 2 * found["h"]}), "h", lambda case: 0),
    "NaN": (changed(lambda _, found: {"dC0": found["dC0"] * np.nan}), "dC0", lambda case: None),
    "a dtype": (changed(lambda _, found: {"h": found["h"].astype(np.longdouble)}), "h", lambda case: None),
    "onnxruntime": (onnxruntime_with_wrong_h, "h", lambda case: 0),
}


@cache
def verification_of_mistakes() -> Verification:
    return verify(0, small(8), BOTH, subjects={name: subject for name, (subject, _, _) in PLANTED.items()})


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_located_with_its_step(name: str) -> None:
    _, block, step = PLANTED[name]
    found = [one for one in verification_of_mistakes().mismatches if one.subject == name]
    smallest = Verification(0, mismatches=found).smallest_mismatch
    assert smallest is not None
    assert (smallest.block, smallest.step) == (block, step(smallest.case))


def test_a_mistake_is_found_again_when_its_run_is_judged_alone() -> None:
    found = verification_of_mistakes().mismatches[0]
    subjects = {found.subject: PLANTED[found.subject][0]}
    (again,) = verify(0, [found.case.number], [found.case.dtype], subjects=subjects).mismatches
    assert (again.subject, again.block, again.step, again.case.id) == (
        *(found.subject, found.block, found.step),
        found.case.id,
    )


# The misprints of the source.


def test_every_misprint_is_refuted_on_nearly_every_run(honest: Verification) -> None:
    for misprint in MISPRINTS:
        assert honest.refuted[misprint.edge] > 0.8 * honest.runs


def test_no_misprint_is_refuted_without_steps() -> None:
    found = verify(0, [WITHOUT_STEPS], BOTH)
    assert (found.runs, found.ok, found.refuted) == (1, True, Counter())


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
    assert refuted(23, lambda p, δ: δ[16] @ p.W_f.T)  # (2, 5) instead of (2, 4)
    assert refuted(8, lambda p, δ: δ[7] + δ[4] * 1e300 * 1e300)  # overflows


# The verdict.


def mismatch(sizes: Sizes = (3, 2, 4, 5)) -> Mismatch:
    return Mismatch("bptt", drawn(sizes, "ordinary", "float64", 0), "h", 1)


def test_without_runs_nothing_is_wrong() -> None:
    assert Verification(7).ok
    assert Verification(7).smallest_mismatch is None
    assert verify(7, [], BOTH).judged == Counter()


def test_with_a_mismatch_nothing_is_verified() -> None:
    assert not Verification(0, mismatches=[mismatch()]).ok
    assert not Verification(0, mismatches=[mismatch()], runs=20, refuted=Counter(EDGES)).ok


@pytest.mark.parametrize(("certain", "ok"), [([True, True], True), ([True, False], False), ([], True)])
def test_every_certificate_has_to_be_ok(certain: list[bool], ok: bool) -> None:
    found: list[Any] = [SimpleNamespace(ok=one) for one in certain]
    assert Verification(0, certificates=found).ok is ok


@pytest.mark.parametrize(("runs", "ok"), [(19, True), (20, False), (21, False)])
def test_every_misprint_has_to_be_refuted_on_one_of_20_runs(
    runs: int, ok: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    for refuted in ([], EDGES[:1], EDGES[1:]):
        found = Verification(0, runs=runs, refuted=Counter(refuted))
        assert found.ok is ok
        show(found)
        assert ("MISMATCH in the misprints: no run refutes one of them" in capsys.readouterr().out) is not ok
    assert Verification(0, runs=runs, refuted=Counter(EDGES)).ok


def test_the_mismatch_on_the_smallest_run_is_shown_with_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    few, many = mismatch((3, 1, 1, 2)), mismatch((1, 4, 4, 4))
    for order in ([few, many], [many, few]):
        found = Verification(0, mismatches=order)
        assert found.smallest_mismatch is few
        show(found)
        assert capsys.readouterr().out.endswith(
            "MISMATCH in bptt: h at step 1 of run 0 (T=3 B=1 D=1 H=2, ordinary, float64)\n"
            "Repeat with: lstm-oracle verify --seed 0 --run 0 --dtype float64\n"
        )


# Certificates.


def test_both_twins_are_certified_on_three_runs_without_zero_inputs() -> None:
    seed = 38  # with which dC_T would otherwise be drawn as zero
    rng = np.random.default_rng(seed)
    by_sizes: dict[Sizes, Any] = {(3, 2, 1, 4): "entry", (50, 2, 3, 4): "all", (20, 1, 3, 5): "all"}
    runs = [draw_inputs(rng, sizes, "ordinary", FLOAT64, zero_probability=0) for sizes in by_sizes]
    assert certificates(seed) == [
        certify(run, 50, by, seed, twin=twin)
        for twin in (bptt, fused)
        for run, by in zip(runs, by_sizes.values(), strict=True)
    ]


def test_the_command_prints_how_many_numbers_are_certified_to_how_many_digits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["verify", "--runs=2", "--seed=7"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    counts = "bptt 13646 gradients and edges, 652 of them individually; fused 812 gradients, 118 of them individually."
    assert counts in out
    assert "Proof for all sizes: " in out
    assert main(["verify", "--runs=2", "--seed=7", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["seed"], found["runs"], found["mismatch"]) == (True, 7, 2, None)
    assert all(certificate["ok"] and certificate["digits"] >= 50 for certificate in found["certified"])
    assert [certificate["twin"] for certificate in found["certified"]] == ["bptt"] * 3 + ["fused"] * 3
    assert found["proof"]["different"] == 0
    assert f"Certified to {min(int(one['digits']) for one in found['certified'])} digits in ball arithmetic" in out


def test_a_derivation_that_is_off_by_1e_40_is_a_mismatch_in_ball_arithmetic(capsys: pytest.CaptureFixture[str]) -> None:
    class Altered(dict[int, Any]):
        def __setitem__(self, n: int, δ: Any) -> None:
            if n == 8:
                δ = δ.copy()
                δ.flat[0] += arb("1e-40")
            super().__setitem__(n, δ)

    run = without_zeros((3, 2, 1, 4)).inputs
    found = Verification(0, certificates=[certify(run), certify(run, edges=Altered)])
    assert not found.ok
    show(found)
    out = capsys.readouterr().out
    assert "Not certified: δ8[2, 0, 0] is " in out
    assert "MISMATCH in ball arithmetic" in out


@pytest.mark.parametrize("ignored", ["dh", "dh_T", "dC_T"])
def test_a_twin_that_ignores_an_upstream_gradient_is_not_certified(ignored: str) -> None:
    def gradients(tape: Any, dh: Array, dh_T: Array, dC_T: Array) -> Any:
        upstream = {"dh": dh, "dh_T": dh_T, "dC_T": dC_T}
        return fused.gradients(tape, **upstream | {ignored: 0 * upstream[ignored]})

    twin: Any = SimpleNamespace(__name__="manual.incomplete", run=fused.run, gradients=gradients)
    assert not certify(without_zeros((20, 1, 3, 5)).inputs, 50, "all", twin=twin).ok


def test_without_optional_packages_the_command_says_what_is_not_judged() -> None:
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
