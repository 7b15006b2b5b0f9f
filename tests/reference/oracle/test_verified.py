"""What `verify` does with some runs: who is judged on them, what is kept of it, and which misprints they refute."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from manual import bptt
from manual.unit import Tape
from reference.oracle import ours, verify
from reference.oracle.cases import Case
from reference.oracle.errata import Misprint
from reference.oracle.truth import Truth
from reference.oracle.verify import SUBJECTS, Mismatch, Verdict, is_refuted
from reference.run import Array
from tests.reference.oracle.known import FLOAT32, truth_of_losses
from tests.reference.oracle.test_findings import truth
from tests.strategies import drawn

RUN, SINGLE = (drawn((3, 2, 4, 5), "ordinary", dtype, 0) for dtype in ("float64", "float32"))
UNIT = 2.0**-52  # of rounding, where the truth is of size 1; 64 of them are allowed
δ8 = np.arange(30.0).reshape(3, 2, 5)  # of another size at each step


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
