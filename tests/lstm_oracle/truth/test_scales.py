"""The scale of every block and the tolerance, number by number, as the docstring of `tolerance.py` states them."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import pytest
from scipy import stats

from lstm_oracle.run import INPUTS, Array
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.batch import PADDED_BLOCKS

Blocks = dict[str, Array]


def drawn(T: int = 3, B: int = 2, D: int = 4, H: int = 5, size: float = 1, seed: int = 3) -> tuple[Blocks, Blocks]:
    """Return random inputs and blocks with states of this magnitude; a scale depends on no relation between them."""
    rng, size_of = np.random.default_rng(seed), {"T": T, "B": B, "D": D, "H": H}
    inputs, truth = (
        {name: rng.normal(size=[size_of[dim] for dim in dims]) for name, dims in named.items()}
        for named in (INPUTS, PADDED_BLOCKS)
    )
    for block in (inputs["h0"], truth["h"], inputs["C0"], truth["C"]):
        block *= size
    truth["f"] = np.abs(truth["f"])
    return inputs, truth


def largest(*values: Array | float) -> float:
    """Return the largest magnitude of all values; 0 if there is none."""
    return max((abs(float(v)) for value in values for v in np.ravel(value)), default=0.0)


def norm(inputs: Blocks, kind: str) -> float:
    """Return the largest norm of a unit's weights to all gates together, but at least 1."""
    rows = zip(*(inputs[f"{kind}_{gate}"].tolist() for gate in "figo"), strict=True)
    return max([1.0, *(hypot(*f, *i, *g, *o) for f, i, g, o in rows)])


def arriving(truth: Blocks) -> list[float]:
    """Return the largest gradient that arrives at each step or, times every f ≥ 1/16 in between, at a later one."""
    found = [largest(truth["δ1"][t], truth["δ2"][t], truth["δ4"][t]) for t in range(len(truth["f"]))]
    for t in range(len(found) - 2, -1, -1):
        found[t] = max(found[t], found[t + 1] * max(1 / 16, largest(truth["f"][t + 1])))
    return found


def cell_magnitudes(inputs: Blocks, truth: Blocks) -> list[float]:
    """Return the magnitude of the cell state before each step, but at least 1."""
    return [max(1, largest(C)) for C in [inputs["C0"], *truth["C"]][: len(truth["C"])]]


STATES = pytest.mark.parametrize("size", [1, 0.01, 30])


@STATES
def test_a_block_within_a_step_has_the_scale_of_what_enters_the_step(size: float) -> None:
    inputs, truth = drawn(size=size)
    found = tolerance.scales(inputs, truth)
    assert {name: scale.ndim for name, scale in found.items()} == {
        name: len(d) for name, d in PADDED_BLOCKS.items()
    } | {"C_T": 2}
    for t, (a, c) in enumerate(zip(arriving(truth), cell_magnitudes(inputs, truth), strict=True)):
        want = dict.fromkeys(("f", "i", "g", "o", "tanh_C", "h"), 1.0) | {"C": c, "δ1": a}
        want |= {f"δ{n}": a * c for n in range(5, 17)} | {"δ3": a * c}
        want |= {f"δ{n}": a * c * norm(inputs, "U") for n in (17, 19, 21, 23, 26)} | {"dx": a * c * norm(inputs, "U")}
        want |= {f"δ{n}": a * c * norm(inputs, "W") for n in (18, 20, 22, 24, 25)}
        for name, scale in want.items():
            assert found[name].shape == (3, 1, 1)
            assert found[name][t, 0, 0] == pytest.approx(scale), (name, t)


@STATES
def test_a_block_between_steps_has_the_scale_of_the_step_from_which_it_comes(size: float) -> None:
    inputs, truth = drawn(size=size)
    found, came, cell = tolerance.scales(inputs, truth), arriving(truth), cell_magnitudes(inputs, truth)
    for name, factor in {"δ2": norm(inputs, "W"), "δ4": 1.0}.items():
        left = [a * c * factor for a, c in zip(came, cell, strict=True)]
        want = [max(left[1], came[0]), max(left[2], came[1]), came[2]]
        np.testing.assert_allclose(found[name].ravel(), want, rtol=1e-12)
    for name, factor in {"dh0": norm(inputs, "W"), "dC0": 1.0}.items():
        assert found[name].item() == pytest.approx(came[0] * cell[0] * factor)
    assert found["C_T"].shape == (1, 1)
    assert found["C_T"] == pytest.approx(cell[2])


@STATES
def test_the_scale_of_a_weight_gradient_is_the_root_of_the_sum_of_squares_over_the_steps(size: float) -> None:
    inputs, truth = drawn(size=size)
    found = tolerance.scales(inputs, truth)
    h_prev = np.maximum(np.abs([inputs["h0"], *truth["h"]][:3]), 1 / 16)
    for kind, factors in {"W": h_prev, "U": inputs["x"], "b": np.ones((3, 2, 1))}.items():
        squares = 0.0
        for a, c, factor in zip(arriving(truth), cell_magnitudes(inputs, truth), factors, strict=True):
            squares += (a * c * max(sqrt(sum(v**2 for v in column)) for column in factor.T.tolist())) ** 2
        for gate in "figo":
            assert found[f"d{kind}_{gate}"].item() == pytest.approx(sqrt(squares)), (kind, gate)


@pytest.mark.parametrize("name", ["δ1", "δ2", "δ4"])
def test_the_largest_of_the_three_arriving_gradients_counts(name: str) -> None:
    inputs, truth = drawn()
    truth[name][1] *= -100
    found = tolerance.scales(inputs, truth)["δ1"].ravel()
    np.testing.assert_allclose(found, arriving(truth), rtol=1e-12)
    assert found[1] == largest(truth[name][1])


def test_a_gradient_that_cancels_keeps_its_scale_times_the_forget_gate() -> None:
    inputs, truth = drawn()
    for f, share in ((0.001, 1 / 16), (0.5, 0.5)):
        truth["f"] = np.full_like(truth["f"], f)
        truth["δ1"][:2] = truth["δ2"][:2] = truth["δ4"][:2] = 0
        last = largest(truth["δ1"][2], truth["δ2"][2], truth["δ4"][2])
        found = tolerance.scales(inputs, truth)["δ1"].ravel()
        np.testing.assert_allclose(found, [last * share**2, last * share, last], rtol=1e-12)


def test_runs_without_steps_rows_or_inputs_have_scales() -> None:
    inputs, truth = drawn(T=0)
    found = tolerance.scales(inputs, truth)
    assert (found["dh0"], found["dC0"], found["C_T"]) == (largest(inputs["dh_T"]), largest(inputs["dC_T"]), 1)
    assert all(found[name].shape == (0, 1, 1) for name, dims in PADDED_BLOCKS.items() if dims[0] == "T")
    assert all(found[f"d{kind}_{gate}"] == 0 for kind in "WUb" for gate in "figo")
    found = tolerance.scales(*drawn(B=0))
    assert [found[name].max() for name in ("C", "δ8", "dx", "dh0")] == [1, 0, 0, 0]
    assert (found["C_T"], found["dW_f"]) == (1, 0)
    inputs, truth = drawn(D=0)
    found = tolerance.scales(inputs, truth)
    np.testing.assert_array_equal(found["dx"], found["δ3"])
    assert found["dU_f"] == 0
    assert found["db_f"] > 0
    inputs, truth = drawn(T=0, B=0)
    assert tolerance.scales(inputs, truth)["dh0"] == 0


def test_the_norm_of_float32_weights_does_not_overflow() -> None:
    inputs, truth = drawn()
    inputs |= {f"W_{gate}": np.full((5, 5), 1e30, np.float32) for gate in "figo"}
    found = tolerance.scales(inputs, truth)
    np.testing.assert_allclose(found["δ25"], sqrt(20) * 1e30 * found["δ3"], rtol=1e-6)


def test_the_tolerance_is_the_maximum_of_64_units_2_per_step_and_8_times_the_loss() -> None:
    assert tolerance.tolerance(0, 0) == tolerance.tolerance(8, 32) == 64
    assert tolerance.tolerance(8.5, 32) == 68
    assert tolerance.tolerance(8, 33) == 66
    assert tolerance.tolerance(16, 1000) == 2000
    assert tolerance.tolerance(0, 1000) == 2000


def test_a_run_is_suspected_if_it_loses_more_than_the_rounding_of_its_sums_explains() -> None:
    for terms, steps, most in ((0, 1, 1.5), (1, 1, 1.5), (4, 1, 3), (64, 1, 12), (64, 32, 12), (64, 48, 18)):
        assert not tolerance.is_suspected(most, steps, terms)
        assert not tolerance.is_suspected(most / 2, steps, terms)
        assert tolerance.is_suspected(1.001 * most, steps, terms)


def test_the_margin_is_exceeded_by_chance_in_one_of_many_million_runs() -> None:
    """A normal number over the root mean square of n others has Student's t distribution with n degrees of freedom."""
    for others, chance in ((1, 0.08), (1 + tolerance.NEIGHBOURS, 1.5e-8)):
        assert 2 * stats.t.sf(tolerance.MARGIN * sqrt(others), others) == pytest.approx(chance, rel=0.05)


@pytest.mark.parametrize("dtype", [np.dtype(np.float32), np.dtype(np.float64)])
def test_a_unit_is_eps_times_the_scale_plus_the_smallest_normal_number(dtype: np.dtype) -> None:
    eps, tiny = float(np.finfo(dtype).eps), float(np.finfo(dtype).tiny)
    error, scale = np.array([[3 * eps], [-12 * eps], [0]]), np.array([[[1.0]], [[4.0]]])
    np.testing.assert_allclose(tolerance.units(error, scale, dtype).squeeze(), [[3, 12, 0], [0.75, 3, 0]], rtol=1e-12)
    np.testing.assert_allclose(tolerance.units(np.array([tiny, 5 * tiny]), np.array(0.0), dtype), [1, 5], rtol=1e-12)
    assert tolerance.units(np.array(tiny), np.array(tiny / eps), dtype) == pytest.approx(1 / 2)
    assert tolerance.units(np.array(1e300), np.array(1e-300), dtype) == np.inf


def test_an_error_without_a_finite_value_and_scale_is_infinitely_many_units() -> None:
    error, scale = np.array([0, np.nan, np.inf, -np.inf, 1, 0]), np.array([1, 1, 1, 1, np.inf, np.inf])
    assert tolerance.units(error, scale, np.dtype(np.float64)).tolist() == [0] + [np.inf] * 5


@pytest.mark.parametrize(
    ("dtype", "loss", "steps", "expected"),
    [
        ("f8", 8.3e4, 1, True),
        ("f8", 0.01 * 2**23, 1, False),  # float32 itself loses 1 %
        ("f4", 1.04e4, 1, True),
        ("f4", 1.05e4, 1, False),
        ("f4", 0, 41_000, True),
        ("f4", 0, 43_000, False),
    ],
)
def test_a_run_is_well_conditioned_unless_rounding_may_change_it_by_1_percent(
    dtype: str, loss: float, steps: int, expected: bool
) -> None:
    assert tolerance.is_well_conditioned(loss, steps, np.dtype(dtype)) is expected


@pytest.mark.parametrize("T", [1, 2, 3, 9])
def test_stacked_runs_have_the_scales_of_each_run(T: int) -> None:
    runs = [drawn(T=T, size=size, seed=seed) for seed, size in enumerate((1, 0.01, 30, 1))]
    together = [{name: np.stack([run[k][name] for run in runs]) for name in runs[0][k]} for k in (0, 1)]
    found = tolerance.scales(together[0], together[1])
    for lane, (inputs, truth) in enumerate(runs):
        for name, scale in tolerance.scales(inputs, truth).items():
            assert found[name][lane].shape == scale.shape, name
            np.testing.assert_allclose(found[name][lane], scale, rtol=1e-14, err_msg=name)


def test_padding_rows_do_not_change_a_scale() -> None:
    inputs, truth = drawn(B=2)
    padded = [
        {name: np.pad(a, [(0, 3 * (dim == "B")) for dim in dims[name]]) for name, a in some.items()}
        for some, dims in ((inputs, INPUTS), (truth, PADDED_BLOCKS))
    ]
    rows = np.array([1, 1, 0, 0, 0])[None, :, None]
    found = tolerance.scales(padded[0], padded[1], rows)
    for name, scale in tolerance.scales(inputs, truth).items():
        np.testing.assert_allclose(found[name], scale, rtol=1e-14, err_msg=name)
