"""A misprint put into the derivation makes exactly those gradients wrong that DERIVATION.md lists."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from lstm_oracle.inputs.cases import Case
from lstm_oracle.run import GRADIENTS, Array
from lstm_oracle.verify.twins import gradients as named
from manual import bptt
from manual.derivation import Edges
from tests.manual.derivation.document import rows
from tests.strategies import without_zeros
from tests.twins import forward, params_of, truth_of, upstream_of

ERRATA = (8, 22, 23)
O_GATE = {"dW_o", "dU_o", "db_o"}
OTHER_GATES = {f"d{kind}_{gate}" for kind in "WUb" for gate in "fig"}
ALL = set(GRADIENTS)
FAR = 1e6  # units of rounding: in these runs every correct number is closer, and every wrong one farther off


@cache
def run(T: int, D: int = 4, H: int = 4, zero: tuple[str, ...] = ()) -> Case:
    """Return a run in which only the named inputs have zeros."""
    case = without_zeros((T, 3, D, H))
    case.inputs.update({name: np.zeros_like(case.inputs[name]) for name in zero})
    return case


def gradients(case: Case, n: int) -> dict[str, Array]:
    """Compute the gradients of a run with edge n as printed."""
    return named(bptt.gradients(forward(bptt, case), *upstream_of(case).values(), edges=printed(case, n)))


def deltas(case: Case, n: int) -> list[Edges]:
    """Compute the edges of a run with edge n as printed."""
    back = bptt.steps_back(forward(bptt, case), *upstream_of(case).values(), edges=printed(case, n))
    return [δ for _, _, δ in back][::-1]


def printed(case: Case, n: int) -> type[Edges]:
    """Return a dictionary of edges that replaces edge n by the value of the printed equation."""

    class Printed(dict[int, Array]):
        def __setitem__(self, m: int, δ: Array) -> None:
            super().__setitem__(m, rows()[n].as_printed(params_of(case), None, self) if m == n else δ)

    return Printed


def wrong(case: Case, found: dict[str, Array]) -> set[str]:
    """Return the names of the wrong blocks, after checking that no block is in doubt."""
    truth = truth_of(case)
    off = {name: np.max(truth.units(name, block, case.dtype)) for name, block in found.items()}
    assert not [name for name, units in off.items() if truth.tolerance(name) < units < FAR]
    return {name for name, units in off.items() if units >= FAR}


def test_without_a_misprint_every_gradient_is_correct() -> None:
    for case in (run(1), run(3), run(3, D=2), run(3, zero=("dC_T",)), run(3, zero=("C0",))):
        assert wrong(case, named(bptt.backward(forward(bptt, case), **upstream_of(case)))) == set()


class TestErratum1:
    """δ8 = δ7 · δ4, although gradients add at a fork."""

    @pytest.mark.parametrize("T", [1, 3])
    def test_with_dC_T_zero_the_gradients_of_all_gates_but_o_are_zero(self, T: int) -> None:
        case = run(T, zero=("dC_T",))
        found = gradients(case, 8)
        assert {name for name, block in found.items() if not block.any()} == OTHER_GATES | {"dC0"}
        for δ in deltas(case, 8):
            assert {n for n, edge in δ.items() if not edge.any()} == {4, 8, 9, 10, 11, 12, 14, 15, 16, *range(19, 25)}

    def test_with_dC_T_zero_the_gradients_of_gate_o_are_correct_after_one_step(self) -> None:
        case = run(1, zero=("dC_T",))
        found = gradients(case, 8)
        assert wrong(case, found) == ALL - O_GATE
        truth = truth_of(case).blocks
        np.testing.assert_allclose(found["dx"], truth["δ17"], rtol=0, atol=1e-12)
        np.testing.assert_allclose(found["dh0"], truth["δ18"][0], rtol=0, atol=1e-12)

    def test_with_dC_T_zero_gate_o_is_correct_only_at_the_last_of_several_steps(self) -> None:
        case = run(3, zero=("dC_T",))
        assert wrong(case, gradients(case, 8)) == ALL
        truth = truth_of(case)
        off = [np.max(truth.units("δ13", np.stack([δ[13] for δ in deltas(case, 8)]), case.dtype)[t]) for t in range(3)]
        assert off[0] > FAR
        assert off[1] > FAR
        assert off[2] < truth.tolerance("δ13")
        for δ in deltas(case, 8):
            np.testing.assert_array_equal(δ[25], δ[18])
            assert δ[18].any()

    def test_with_dC_T_nonzero_the_gradients_that_were_zero_are_wrong(self) -> None:
        found = gradients(run(1), 8)
        assert all(block.any() for block in found.values())
        assert wrong(run(1), found) == ALL - O_GATE
        assert wrong(run(3), gradients(run(3), 8)) == ALL

    def test_doubling_the_loss_makes_δ8_four_times_as_large(self) -> None:
        once, twice = run(1), without_zeros((1, 3, 4, 4))
        for name, arriving in upstream_of(once).items():
            twice.inputs[name] = 2 * arriving
        np.testing.assert_array_equal(deltas(twice, 8)[0][8], 4 * deltas(once, 8)[0][8])


class TestErratum2:
    """δ22 with δ16, which belongs to another gate."""

    def test_after_one_step_only_dh0_is_wrong(self) -> None:
        assert wrong(run(1), gradients(run(1), 22)) == {"dh0"}

    def test_after_several_steps_everything_except_the_last_dx_is_wrong(self) -> None:
        found = gradients(run(3), 22)
        assert wrong(run(3), found) == ALL
        off = truth_of(run(3)).units("dx", found["dx"], run(3).dtype).max(axis=(1, 2))
        assert np.all(off[:2] > FAR)
        assert off[2] < truth_of(run(3)).tolerance("dx")


class TestErratum3:
    """δ23 with W_f, although the edge leads to U_f."""

    @pytest.mark.parametrize("T", [1, 3])
    def test_only_dx_is_wrong_and_at_every_step(self, T: int) -> None:
        found = gradients(run(T), 23)
        assert wrong(run(T), found) == {"dx"}
        off = truth_of(run(T)).units("dx", found["dx"], run(T).dtype).max(axis=(1, 2))
        assert np.all(off > FAR)

    def test_with_C0_zero_dx_is_correct_at_the_first_step(self) -> None:
        case = run(3, zero=("C0",))
        off = truth_of(case).units("dx", gradients(case, 23)["dx"], case.dtype).max(axis=(1, 2))
        assert off[0] < truth_of(case).tolerance("dx")
        assert np.all(off[1:] > FAR)

    @pytest.mark.parametrize("D", [2, 5])
    def test_it_fails_where_D_and_H_differ_unless_a_single_unit_is_broadcast(self, D: int) -> None:
        case = run(3, D=D, H=1)
        assert wrong(case, gradients(case, 23)) == {"dx"}
        with pytest.raises(ValueError, match="broadcast"):
            gradients(run(3, D=D), 23)
