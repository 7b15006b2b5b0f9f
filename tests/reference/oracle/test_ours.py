"""The hand-written twins as subjects: every block under its own name, and all of them right."""

from __future__ import annotations

import numpy as np
import pytest

from manual import Tape, bptt, fused
from reference.oracle import ours
from reference.oracle.cases import Case
from reference.oracle.findings import judge
from reference.oracle.truth import BLOCKS
from reference.run import GRADIENTS, Array
from tests.strategies import without_zeros
from tests.twins import truth_of

RUN = without_zeros((3, 2, 4, 5))
VALUES = {"f", "i", "g", "o", "C", "tanh_C", "h", "C_T"}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_block_is_right(dtype: str) -> None:
    run = without_zeros((3, 2, 4, 5), dtype)
    of_bptt, of_fused = ours.bptt_blocks(run), ours.fused_blocks(run)
    assert set(of_bptt) == {*BLOCKS, "C_T"}
    assert set(of_fused) == VALUES | {*GRADIENTS, "δ13", "δ14", "δ15", "δ16", "δ26"}
    for blocks in (of_bptt, of_fused):
        assert all(finding.ok for finding in judge(truth_of(run), blocks, run.dtype))


@pytest.mark.parametrize("twin", [bptt, fused])
def test_each_is_asked_itself(twin: object, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for name in ("forward", "backward"):
        right = getattr(twin, name)
        monkeypatch.setattr(
            twin, name, lambda *args, right=right, **kwargs: asked.append(right) or right(*args, **kwargs)
        )
    (ours.bptt_blocks if twin is bptt else ours.fused_blocks)(RUN)
    assert len(asked) == 2


def test_a_run_without_steps_has_no_edges() -> None:
    run = Case(0, "ordinary", RUN.inputs | {name: RUN.inputs[name][:0] for name in ("x", "dh")})
    found = ours.bptt_blocks(run)
    assert set(found) == VALUES | {*GRADIENTS}
    np.testing.assert_array_equal(found["dh0"], run.inputs["dh_T"])


def test_what_the_fast_twin_holds_is_handed_out_block_by_block_and_nothing_is_written_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fused, "ROWS", 4)  # two steps at a time
    run = without_zeros((5, 2, 3, 4))
    before = {name: array.copy() for name, array in run.inputs.items()}
    tape, upstream = ours.forward(fused, run)
    Δ, δ25, δ11 = ours.gate_deltas(tape, **upstream)
    found = {f"δ{n}": δ for n, δ in zip((16, 15, 14, 13), np.split(Δ, 4, axis=2), strict=True)}
    assert all(finding.ok for finding in judge(truth_of(run), found | {"dh0": δ25, "dC0": δ11}, run.dtype))
    for name, array in run.inputs.items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize("name", ["dh", "dh_T", "dC_T"])
def test_what_is_not_finite_goes_back_step_by_step(name: str) -> None:
    """By Jacobians it would spread to every unit."""
    run = without_zeros((1, 1, 2, 3))
    run.inputs[name][..., 1] = np.inf
    tape, upstream = ours.forward(fused, run)
    Δ, _, δ11 = ours.gate_deltas(tape, **upstream)
    assert np.isfinite(Δ).reshape(4, 3)[:, [0, 2]].all()
    assert np.isfinite(δ11).tolist() == [[True, False, True]]


@pytest.mark.filterwarnings("ignore:invalid value")
@pytest.mark.parametrize(("value", "ways"), [(0.5, [True]), (np.inf, [True, False])])
def test_what_is_finite_goes_back_once(value: float, ways: list[bool], monkeypatch: pytest.MonkeyPatch) -> None:
    run, asked, back = without_zeros((4, 1, 2, 3)), list[bool](), ours.deltas_back
    run.inputs["dh"][2, 0, 1] = value
    tape, upstream = ours.forward(fused, run)

    def noted(tape: Tape, dh: Array, dh_T: Array, dC_T: Array, by_jacobians: bool) -> tuple[Array, Array, Array]:
        asked.append(by_jacobians)
        return back(tape, dh, dh_T, dC_T, by_jacobians)

    monkeypatch.setattr(ours, "deltas_back", noted)
    ours.gate_deltas(tape, **upstream)
    assert asked == ways
