"""Certificates: the derivation is the derivative of the loss, to more digits than any float has."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from lstm_oracle.certified.certificate import Rounding, certify, enclosed, rounded
from lstm_oracle.certified.series import precision
from lstm_oracle.inputs.cases import REGIMES, Case, draw_inputs
from lstm_oracle.truth.batch import BLOCKS
from lstm_oracle.verify.twins import bptt_blocks
from manual import bptt, fused

F32, F64 = np.dtype(np.float32), np.dtype(np.float64)
TINY = arb("1e-40")


def drawn(sizes, regime="ordinary", dtype=F64, seed=0):
    return draw_inputs(np.random.default_rng(seed), sizes, regime, dtype)


def altered(n, by, at_call=None):
    """Return a dictionary class for the edges of a step that adds `by` to an entry of δn, at one call or at all."""
    calls = count(1)

    class Altered(dict):
        def __init__(self, arriving):
            super().__init__(arriving)
            self.is_altered = at_call in (None, next(calls))
            if n in arriving:
                self[n] = arriving[n]

        def __setitem__(self, m, δ):
            if m == n and self.is_altered:
                δ = δ.copy()
                δ.flat[0] += by
            super().__setitem__(m, δ)

    return Altered


def certificate_of(run, **options):
    before = ctx.prec, ctx.cap
    certificate = certify(run, **options)
    assert (ctx.prec, ctx.cap) == before
    assert certificate.ok, certificate.mismatch
    assert certificate.digits >= 50
    return certificate


def fused_with(dx_of):
    """Return `manual.fused` with another dx."""

    def gradients(*arguments):
        found = fused.gradients(*arguments)
        return replace(found, x=dx_of(found.x))

    return SimpleNamespace(__name__="manual.fused", run=fused.run, gradients=gradients)


@given(st.integers(0, 2**32), st.sampled_from(REGIMES))
@settings(max_examples=8, deadline=None)
def test_every_gradient_and_every_edge_is_certified_entry_by_entry(seed, regime):
    T, B, D, H = sizes = tuple(int(size) for size in np.random.default_rng(seed).integers(1, 3, 4))
    certificate = certificate_of(drawn(sizes, regime, F32 if seed % 2 else F64, seed))
    weights = 4 * H * (H + D + 1)
    assert certificate.entries == weights + B * (T * D + 2 * H) + T * B * (21 * H + 5 * D) == certificate.directions


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize(("sizes", "by", "directions"), [((50, 2, 3, 4), "all", 1), ((7, 2, 3, 4), "block", 41)])
def test_longer_runs_are_certified_along_random_directions(sizes, by, directions, regime):
    assert certificate_of(drawn(sizes, regime), by=by).directions == directions


# Batches with small and large products; one sequence of few and of many units, and of more steps than a block.
@pytest.mark.parametrize(
    "sizes", [(4, 2, 3, 1), (3, 2, 5, 4), (5, 1, 3, 2), (22, 1, 1, 40), (2, 1, 1, 41), (1, 250, 1, 32)]
)
def test_the_gradients_of_the_fast_twin_are_certified(sizes):
    certificate_of(drawn(sizes), by="entry" if np.prod(sizes) < 40 else "all", twin=fused)


@pytest.mark.parametrize("sizes", [(0, 1, 3, 4), (0, 2, 3, 4), (2, 0, 3, 4), (2, 3, 0, 4)])
def test_empty_runs_are_certified(sizes):
    run = drawn(sizes)
    for twin in (bptt, fused):
        certificate_of(run, by="all", twin=twin)
    assert rounded(run)["dx"].shape == run["x"].shape


@pytest.mark.parametrize("n", range(1, 27))
def test_an_error_of_1e_40_in_a_delta_is_refuted_and_located(n):
    run = drawn((2, 1, 2, 1))
    certificate = certify(run, edges=altered(n, TINY))
    assert certificate.mismatch.startswith(f"δ{n}[1, 0, 0] is ")
    assert 30 < certificate.digits < 45
    assert not certify(run, by="all", edges=altered(n, TINY)).ok
    assert not certify(drawn((50, 1, 2, 3)), by="all", edges=altered(n, TINY, at_call=20)).ok


def test_an_error_of_1e_40_in_a_gradient_of_the_fast_twin_is_refuted_and_located():
    wrong = fused_with(lambda dx: dx + TINY)
    assert certify(drawn((3, 2, 1, 2)), twin=wrong).mismatch.startswith("x[0, 0, 0] is ")


def test_the_required_number_of_digits_is_certified():
    assert certify(drawn((2, 1, 3, 2)), 500, by="all").digits >= 500
    assert certify(drawn((2, 1, 2, 1)), 30, by="all", edges=altered(8, arb("1e-400"))).ok


@pytest.mark.parametrize("error", [arb.nan(), arb(0, 1), arb(1, np.inf), arb.pos_inf()], ids=str)
def test_a_delta_without_a_narrow_ball_is_not_certified(error):
    with pytest.raises(ArithmeticError, match="balls of 16384 bits are still too wide"):
        certify(drawn((2, 1, 2, 1)), by="all", edges=altered(8, error))


def test_an_input_that_is_not_finite_is_rejected():
    run = drawn((2, 1, 3, 4))
    run["U_g"][0, 0] = np.nan
    with pytest.raises(ValueError, match="U_g has entries that are not finite"):
        rounded(run)


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_floating_point_comes_close_to_the_rounded_truth(regime, dtype):
    run = drawn((6, 2, 3, 4), regime, dtype)
    truth, found = rounded(run), bptt_blocks(Case(0, regime, run))
    assert set(found) == set(truth) == set(BLOCKS)
    for name, block in truth.items():
        assert block.dtype == dtype
        size = np.abs(block).max()
        np.testing.assert_allclose(found[name], block, rtol=0, atol=300 * np.finfo(dtype).eps * size, err_msg=name)


def test_rounded_values_are_nearest_to_the_enclosed_values():
    run = drawn((4, 2, 1, 3), "saturated", F32)
    exact = enclosed(run, digits=40)
    for dtype in (F32, F64):
        for name, block in rounded(run, dtype).items():
            for got, truth in zip(block.flat, exact[name].flat, strict=True):
                error = abs(arb(float(got)) - truth)
                for neighbour in (np.nextafter(got, dtype.type(-np.inf)), np.nextafter(got, dtype.type(np.inf))):
                    assert not error > abs(arb(float(neighbour)) - truth)


@pytest.mark.parametrize(("bias", "least", "most"), [(-700, 5e-324, 1e-290), (-800, 0, 0), (-1e30, 0, 0), (1e30, 1, 1)])
def test_values_of_saturated_gates_are_rounded_correctly(bias, least, most):
    run = drawn((2, 1, 3, 4))
    run["b_f"][:] = bias
    assert (least <= rounded(run)["f"]).all()
    assert (rounded(run)["f"] <= most).all()


@pytest.mark.parametrize("name", ["x", "C0"])
def test_more_bits_are_used_near_the_end_of_the_range(name):
    run = drawn((2, 1, 3, 4))
    run[name] *= 1e300
    for twin in (bptt, fused):
        assert certificate_of(run, by="all", twin=twin).bits > 256
    with pytest.raises(ArithmeticError, match="bits are still too wide; is a value exactly zero because "):
        enclosed(run)
    if name == "x":
        assert {*np.unique([rounded(run)[gate] for gate in "fio"])} == {0, 1}


def test_values_that_need_more_than_the_most_bits_are_neither_rounded_nor_certified():
    run = drawn((1, 1, 1, 1))
    run["b_f"][:], run["b_i"][:], run["C0"][:] = 1e6, -1e6, 1 + 2**-24  # C is barely beside a tie of float32
    for function in (certify, lambda run: rounded(run, F32)):
        with pytest.raises(ArithmeticError, match="balls of 16384 bits are still too wide"):
            function(run)


def test_an_error_in_a_shape_is_not_mistaken_for_balls_that_are_too_wide():
    with pytest.raises(ValueError, match="broadcast"):
        certify(drawn((2, 1, 2, 1)), by="all", twin=fused_with(lambda dx: np.tile(dx, 2)))


@given(st.integers(-(2**80), 2**80), st.integers(-1180, 940))
def test_numbers_are_rounded_as_in_ieee_754(mantissa, exponent):
    with precision(200):
        rounding = Rounding(F64).nearest(arb(mantissa) * arb(2) ** exponent)
    assert rounding == float(Fraction(mantissa) * Fraction(2) ** exponent)


@given(st.integers(0, 0x7F7FFFFE), st.sampled_from([-1, 0, 1]))
def test_numbers_are_rounded_to_float32_only_once(bits, nudge):
    low, high = np.array([bits, bits + 1], np.uint32).view(np.float32)
    with precision(300):
        tie = (arb(float(low)) + arb(float(high))) / 2
        nearest = Rounding(F32).nearest(tie + nudge * tie * arb(2) ** -90)
    even = low if bits % 2 == 0 else high
    assert nearest == (low if nudge < 0 else high if nudge > 0 else even)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_numbers_out_of_range_become_infinite(dtype):
    info = np.finfo(dtype)
    with precision(2000):
        nearest = Rounding(dtype).nearest
        tie = arb(2) ** int(info.maxexp) * (1 - arb(2) ** -(info.nmant + 2))
        assert [nearest(tie), nearest(-tie), nearest(tie * (1 - arb(2) ** -100))] == [np.inf, -np.inf, info.max]
