"""Certified truth: the derivation is the derivative, to more digits than any float has."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from fractions import Fraction

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from manual import bptt, fused
from reference import certified
from reference.certified import Rounding, ball, certify, derived, enclosed, rounded
from reference.oracle.cases import REGIMES, Case, draw_inputs
from reference.oracle.ours import bptt_blocks
from reference.oracle.truth import BLOCKS
from reference.run import complete
from reference.series import loss, precision
from tests.twins import taking

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
EDGES = range(1, 27)


def drawn(sizes, regime="ordinary", dtype=F64, seed=0):
    return draw_inputs(np.random.default_rng(seed), sizes, regime, dtype)


def altered(n, by, at_call=1):
    """A maker of dictionaries for a step's edges: `by` is added to one entry of δn, in the step of this call."""
    calls = 0

    class Altered(dict):
        def __init__(self, arriving):
            nonlocal calls
            calls += 1
            self.now = calls == at_call
            super().__init__()
            for m, δ in arriving.items():
                self[m] = δ

        def __setitem__(self, m, δ):
            if m == n and self.now:
                δ = δ.copy()
                δ.flat[0] += by
            super().__setitem__(m, δ)

    return Altered


@given(st.integers(0, 2**32), st.sampled_from(REGIMES))
@settings(max_examples=8, deadline=None)
def test_every_gradient_and_every_edge_is_certified_entry_by_entry(seed, regime):
    rng = np.random.default_rng(seed)
    sizes = tuple(int(size) for size in rng.integers(1, 3, 4))
    certificate = certify(drawn(sizes, regime, F32 if seed % 2 else F64, seed))
    T, B, D, H = sizes
    weights = 4 * H * (H + D + 1)
    assert certificate.ok, certificate.mismatch
    assert certificate.digits >= 50
    assert certificate.entries == weights + B * (T * D + 2 * H) + T * B * (21 * H + 5 * D) == certificate.directions


@pytest.mark.parametrize("regime", REGIMES)
def test_a_long_run_is_certified_along_a_direction_through_everything(regime):
    certificate = certify(drawn((50, 2, 3, 4), regime), by="all")
    assert certificate.ok, certificate.mismatch
    assert certificate.digits >= 50
    assert certificate.directions == 1


def test_a_run_is_certified_block_by_block():
    certificate = certify(drawn((7, 2, 3, 4)), by="block")
    assert certificate.ok, certificate.mismatch
    assert certificate.directions == 12 + 3 + 26


@pytest.mark.parametrize("by", ["entry", "all"])
def test_the_fast_twin_is_certified_too(by):
    certificate = certify(drawn((4, 2, 3, 1)), by=by, twin=fused)
    assert certificate.ok, certificate.mismatch
    assert certificate.digits >= 50


@pytest.mark.parametrize("thresholds", [{}, {"NUMBERS": 8 * 2 * 2}, {"MOST_UNITS": 0}])
def test_its_way_back_through_one_sequence_is_certified_too(thresholds):
    """By Jacobians, of all steps at once and of two at a time, and step by step."""
    with taking(**thresholds):
        certificate = certify(drawn((5, 1, 3, 2)), twin=fused)
    assert certificate.ok, certificate.mismatch
    assert certificate.digits >= 50


@pytest.mark.parametrize("thresholds", [{"SMALL": 64}, {"SMALL": 64, "LARGE": 128}])
def test_its_products_in_tiles_are_certified_too(thresholds):
    """In tiles of two columns there and back, and there with x apart."""
    with taking(NARROW=1, **thresholds):
        certificate = certify(drawn((3, 2, 5, 4)), twin=fused)
    assert certificate.ok, certificate.mismatch
    assert certificate.digits >= 50


def test_the_fast_twin_is_refuted_too(monkeypatch):
    right = fused.gradients

    def altered(*arguments):
        found = right(*arguments)
        found.x.flat[0] += arb("1e-40")
        return found

    monkeypatch.setattr(fused, "gradients", altered)
    assert certify(drawn((3, 2, 1, 2)), twin=fused).mismatch.startswith("x[0, 0, 0] is ")


def test_more_digits_take_more_bits():
    few, many = (certify(drawn((2, 1, 3, 2)), digits, by="all") for digits in (50, 500))
    assert few.bits < many.bits
    assert many.digits >= 500


@pytest.mark.parametrize("sizes", [(0, 1, 3, 4), (0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4)])
def test_empty_runs_are_certified(sizes):
    run = drawn(sizes)
    assert certify(run, by="all", twin=fused).ok
    assert certify(run, by="all").ok
    assert rounded(run)["dx"].shape == run["x"].shape


@pytest.mark.parametrize("n", EDGES)
def test_a_delta_altered_by_1e_40_is_refuted_and_named(n):
    run = drawn((2, 1, 2, 1))
    certificate = certify(run, edges=altered(n, arb("1e-40")))
    assert certificate.mismatch.startswith(f"δ{n}[1, 0, 0] is ")
    assert 30 < certificate.digits < 45
    assert not certify(run, by="all", edges=altered(n, arb("1e-40"))).ok


@pytest.mark.parametrize("n", EDGES)
def test_it_is_refuted_in_a_long_run_too(n):
    certificate = certify(drawn((50, 1, 2, 3)), by="all", edges=altered(n, arb("1e-40"), at_call=20))
    assert not certificate.ok


def test_what_is_added_below_the_digits_asked_for_passes():
    assert certify(drawn((2, 1, 2, 1)), 30, by="all", edges=altered(8, arb("1e-400"))).ok


@pytest.mark.parametrize("ball_without_a_digit", [arb.nan(), arb(0, 1), arb(1, np.inf), arb.pos_inf()], ids=str)
def test_what_is_not_enclosed_does_not_pass(ball_without_a_digit, monkeypatch):
    monkeypatch.setattr(certified, "MOST_BITS", 256)
    monkeypatch.setattr(certified, "loss", lambda run, direction: (arb(0), ball_without_a_digit))
    passed = False
    with suppress(ArithmeticError):
        passed = certify(drawn((2, 1, 2, 1)), by="all").ok
    assert not passed


def test_the_two_forward_passes_agree():
    with precision(300):
        balls = {name: np.asarray(ball(array), object) for name, array in complete(drawn((5, 2, 3, 4))).items()}
        blocks = derived(balls)
        L = np.sum(balls["dh"] * blocks["h"]) + np.sum(balls["dh_T"] * blocks["h"][-1])
        L += np.sum(balls["dC_T"] * blocks["C_T"])
        value, _ = loss(balls, {})
        assert L.overlaps(value)
        assert (L - value).rad() < 1e-70


def test_the_blocks_are_those_of_the_oracle():
    assert set(derived_blocks := rounded(drawn((2, 1, 3, 4)))) == {*BLOCKS, "C_T"}
    assert {block.dtype for block in derived_blocks.values()} == {F64}


def test_the_precision_of_the_caller_is_left_alone():
    before = ctx.prec, ctx.cap
    certify(drawn((2, 1, 2, 1)), by="all")
    assert (ctx.prec, ctx.cap) == before


def test_series_shares_no_code_with_manual():
    code = "import sys, reference.series; sys.exit('manual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_value_that_is_not_finite_is_refused():
    run = drawn((2, 1, 3, 4))
    run["U_g"][0, 0] = np.nan
    with pytest.raises(ValueError, match="U_g has entries that are not finite"):
        rounded(run)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_floats_come_close_to_the_rounded_truth(regime, dtype):
    run = drawn((6, 2, 3, 4), regime, dtype)
    truth, found = rounded(run), bptt_blocks(Case(0, regime, run))
    assert set(found) == set(truth)
    for name, block in truth.items():
        size = np.abs(block).max()
        np.testing.assert_allclose(found[name], block, rtol=0, atol=300 * np.finfo(dtype).eps * size, err_msg=name)


def test_rounded_is_the_nearest_number_to_the_enclosed_one():
    run = drawn((4, 2, 1, 3), "saturated", F32)
    exact = enclosed(run, digits=40)
    for dtype in (F32, F64):
        for name, block in rounded(run, dtype).items():
            for got, truth in zip(block.flat, exact[name].flat, strict=True):
                apart = abs(arb(float(got)) - truth)
                for neighbour in (np.nextafter(got, dtype.type(-np.inf)), np.nextafter(got, dtype.type(np.inf))):
                    assert not apart > abs(arb(float(neighbour)) - truth)


def test_saturated_values_do_not_vanish_in_the_rounded_truth():
    run = drawn((2, 1, 3, 4))
    run["b_f"][:] = -700
    f = rounded(run)["f"]
    assert (f > 0).all()
    assert (f < 1e-290).all()
    run["b_f"][:] = -800
    assert (rounded(run)["f"] == 0).all()
    run["b_f"][:] = -1e30
    assert (rounded(run)["f"] == 0).all()


@pytest.mark.parametrize("name", ["x", "C0"])
def test_at_the_end_of_the_range_more_bits_are_taken_or_the_balls_are_said_to_be_too_wide(name, monkeypatch):
    run = drawn((2, 1, 3, 4))
    run[name] *= 1e300
    for twin in (bptt, fused):
        certificate = certify(run, by="all", twin=twin)
        assert certificate.ok, certificate.mismatch
        assert certificate.bits > 256
    with pytest.raises(ArithmeticError, match="still too wide: is a value zero, but not in every term, or a gate or"):
        enclosed(run)
    monkeypatch.setattr(certified, "MOST_BITS", 256)
    for function in (rounded, certify):
        with pytest.raises(ArithmeticError, match="balls of 256 bits are still too wide"):
            function(run)


def test_saturated_gates_are_rounded_at_the_end_of_the_range():
    run = drawn((2, 1, 3, 4))
    run["x"] *= 1e300
    found = rounded(run)
    assert {*np.unique([found[gate] for gate in "fio"])} == {0, 1}


def test_another_error_of_the_series_is_not_taken_for_too_wide_a_ball(monkeypatch):
    def broken(run, direction):
        raise ValueError("shapes do not fit")

    monkeypatch.setattr(certified, "loss", broken)
    with pytest.raises(ValueError, match="shapes do not fit"):
        certify(drawn((2, 1, 2, 1)), by="all")


@given(st.integers(-(2**80), 2**80), st.integers(-1180, 940))
def test_rounding_is_that_of_ieee_754(mantissa, exponent):
    with precision(200):
        exact = arb(mantissa) * arb(2) ** exponent
        rounding = Rounding(F64).nearest(exact)
    assert rounding == float(Fraction(mantissa) * Fraction(2) ** exponent)


@given(st.integers(0, 0x7F7FFFFE), st.sampled_from([-1, 0, 1]))
def test_float32_is_not_rounded_by_way_of_float64(bits, nudge):
    low, high = np.array([bits, bits + 1], np.uint32).view(np.float32)
    with precision(300):
        tie = (arb(float(low)) + arb(float(high))) / 2
        nearest = Rounding(F32).nearest(tie + nudge * tie * arb(2) ** -90)
    even = low if bits % 2 == 0 else high
    assert nearest == (low if nudge < 0 else high if nudge > 0 else even)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_what_is_out_of_range_becomes_infinite(dtype):
    info = np.finfo(dtype)
    with precision(2000):
        nearest = Rounding(dtype).nearest
        tie = arb(2) ** int(info.maxexp) * (1 - arb(2) ** -(info.nmant + 2))
        assert nearest(tie) == np.inf
        assert nearest(-tie) == -np.inf
        assert nearest(tie * (1 - arb(2) ** -100)) == info.max


def test_a_ball_with_two_nearest_numbers_has_none():
    with precision(100):
        assert Rounding(F64).nearest(arb(1, 1e-10)) is None
        assert Rounding(F64).nearest(arb(1, 1e-25)) == 1
