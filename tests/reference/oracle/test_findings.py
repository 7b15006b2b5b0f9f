"""What the judge says of a run whose truth is written by hand: how far, where first, and whether that is too far."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from reference.oracle.findings import Finding, beginning, judge, narrowest
from reference.oracle.truth import BLOCKS, DELTAS, VALUES, Truth
from reference.run import GRADIENTS, Array
from tests.reference.oracle.known import truth_of_losses
from tests.strategies import without_zeros

F64, F32 = np.dtype(np.float64), np.dtype(np.float32)
SIZE = {"T": 3, "B": 2, "D": 4, "H": 5}
ALLOWED = 64  # units, of which each is 2⁻⁵² here


def truth(T: int = 3, loss: float = 0) -> Truth:
    """All blocks are zero, and of size 1."""
    size = SIZE | {"T": T}
    blocks = {name: np.zeros([size[dim] for dim in dims]) for name, dims in (BLOCKS | {"C_T": "BH"}).items()}
    run, scales = without_zeros((T, 2, 4, 5)), dict.fromkeys(blocks, np.array(1.0))
    return truth_of_losses(run, dict.fromkeys(blocks, loss), blocks, scales)


def off(units: dict[str, float], at: tuple[int, ...] = (-1, -1), T: int = 3) -> dict[str, Array]:
    """The right outputs but for one entry of these blocks, named with a step where it has steps: "h@1"."""
    outputs = {name: block.copy() for name, block in truth(T).blocks.items()}
    for name, size in units.items():
        block, *step = name.split("@")
        outputs[block][(*map(int, step), *at)[: outputs[block].ndim]] = size * 2.0**-52
    return outputs


def found(outputs: dict[str, Array], name: str, of: Truth | None = None) -> Finding:
    (finding,) = judge(of or truth(), {name: outputs[name]}, F64)
    return finding


def test_a_finding_is_the_worst_error_and_its_step() -> None:
    outputs = off({"h@1": 10, "h@2": -30, "dx@0": 3, "dW_f": -7, "C_T": 5})
    findings = {finding.block: finding for finding in judge(truth(), outputs, F64)}
    assert list(findings) == list(outputs)
    assert {name: (round(f.units), f.step) for name, f in findings.items() if f.units} == {
        "h": (30, 2), "dx": (3, 0), "dW_f": (7, None), "C_T": (5, None),
    }  # fmt: skip
    assert all(finding.tolerance == ALLOWED and finding.ok for finding in findings.values())
    assert findings["h"].ratio == pytest.approx(30 / 64)


def test_every_entry_counts() -> None:
    for b in range(2):
        for k in range(4):
            assert found(off({"dx@1": 9}, at=(b, k)), "dx").units == pytest.approx(9)
            assert found(off({"dU_g": 9}, at=(k, b)), "dU_g").units == pytest.approx(9)


def test_what_is_allowed_is_right_and_what_is_more_is_not() -> None:
    for block, name in {"h@1": "h", "dW_f": "dW_f"}.items():
        outputs = off({block: 64})
        assert found(outputs, name).ok
        assert narrowest(truth(), outputs, F64) is None
        outputs = off({block: 64.001})
        assert not found(outputs, name).ok
        assert narrowest(truth(), outputs, F64) == (name, 1 if name == "h" else None)


def test_where_rounding_knows_no_bound_only_what_is_far_below_any_tolerance_is_right() -> None:
    for units, allowed, ok in ((16, 64, True), (17, math.inf, False)):
        finding = found(off({"h@1": units}), "h", truth(loss=math.inf))
        assert (round(finding.units), finding.tolerance, finding.ok) == (units, allowed, ok)


def test_another_shape_or_dtype_is_infinitely_wrong() -> None:
    outputs = off({})
    wrong = {
        "h": outputs["h"][:1], "dh0": np.zeros((7, 7)), "dx": outputs["dx"][..., :1], "dW_f": np.zeros(5),
        "C": outputs["C"].astype(F32), "f": outputs["f"].astype(np.longdouble),
    }  # fmt: skip
    findings = judge(truth(), wrong, F64)
    assert [finding.block for finding in findings] == list(wrong)
    assert all((finding.units, finding.step, finding.ok) == (math.inf, None, False) for finding in findings)
    assert judge(truth(), {"h": outputs["h"].astype(F32)}, F32)[0].ok
    assert not judge(truth(), {"h": outputs["h"]}, F32)[0].ok


def test_the_units_are_those_of_the_precision_asked_for() -> None:
    outputs = {name: block.astype(F32) for name, block in off({"h@1": 10}).items()}
    assert judge(truth(), {"h": outputs["h"]}, F32)[0].units == pytest.approx(10 * 2.0**-29)


def test_the_only_step_is_a_step() -> None:
    assert judge(truth(T=1), {"h": off({}, T=1)["h"]}, F64)[0].step == 0


def test_a_run_without_steps_rows_or_inputs_has_no_error() -> None:
    for finding in judge(truth(T=0), off({}, T=0), F64):
        assert (finding.units, finding.step, finding.ok) == (0, None, True)
    empty = {"h": np.zeros((3, 0, 5)), "dU_f": np.zeros((0, 5))}
    of = replace(truth(), blocks={**truth().blocks, **empty})
    assert [(f.units, f.step) for f in judge(of, empty, F64)] == [(0, 0), (0, None)]
    assert narrowest(of, empty, F64) is None


# What is wrong together, and which of it is the narrowest.
FIRST = [
    (["h@1", "f@2", "δ8@2", "dW_f"], ("h", 1)),
    (["C@1", "f@1", "h@1", "tanh_C@1"], ("f", 1)),
    (["o@0", "f@1"], ("o", 0)),
    (["h@2", "C_T"], ("h", 2)),
    (["δ7@2", "δ8@2", "δ8@1"], ("δ7", 2)),
    (["δ8@1", "δ9@2", "dx@2"], ("δ9", 2)),
    (["δ8@0", "dW_f"], ("δ8", 0)),
    (["dx@0", "dW_f", "dh0"], ("dx", 0)),
    (["dC0", "dW_i", "dW_f"], ("dW_f", None)),
    (["dC0", "C_T"], ("C_T", None)),
    (["δ25@0", "δ3@1"], ("δ3", 1)),
    (["δ16@1", "δ15@1"], ("δ15", 1)),
]


@pytest.mark.parametrize(("wrong", "first"), FIRST)
def test_the_narrowest_place_comes_first_in_the_order_of_computation(
    wrong: list[str], first: tuple[str, int | None]
) -> None:
    for order in (wrong, wrong[::-1]):
        outputs = off(dict.fromkeys(wrong, 1000))
        names = [place.split("@")[0] for place in order]
        blocks = sorted(outputs, key=lambda name: names.index(name) if name in names else len(names))
        assert narrowest(truth(), {name: outputs[name] for name in blocks}, F64) == first


def test_a_value_of_another_shape_is_wrong_from_the_first_step_on() -> None:
    for places, first in (
        (["f@1"], ("h", None)),
        (["C@0"], ("C", 0)),
        (["tanh_C@1"], ("h", None)),
        (["δ8@2"], ("h", None)),
    ):
        outputs = off(dict.fromkeys(places, 1000)) | {"h": np.zeros(5)}
        for order in (outputs, dict(reversed(outputs.items()))):
            assert narrowest(truth(), order, F64) == first


def test_a_place_and_a_finding_are_plain_numbers() -> None:
    outputs = off({"h@1": 1000})
    finding = found(outputs, "h")
    place = narrowest(truth(), outputs, F64)
    assert place is not None
    assert [type(number) for number in (finding.units, finding.step, place[1])] == [float, int, int]


def test_every_block_can_be_the_narrowest() -> None:
    for block in (*VALUES, "C_T", *DELTAS, *GRADIENTS):
        step = 2 if BLOCKS.get(block, "")[:1] == "T" else None
        place = f"{block}@{step}" if step is not None else block
        assert narrowest(truth(), off({place: 1000}), F64) == (block, step)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [("h@1", "h, from step 1 on"), ("δ8@2", "δ8, from step 2 backwards"), ("dx@0", "dx, from step 0 backwards"),
     ("dW_f", "dW_f"), ("C_T", "C_T"), ("f@0", "f, from step 0 on")],
)  # fmt: skip
def test_the_beginning_in_words(wrong: str, words: str) -> None:
    assert beginning(truth(), off({wrong: 1000}), F64) == words


def test_a_right_run_has_no_beginning() -> None:
    assert beginning(truth(), off({"h@1": 64}), F64) == ""
