"""Layouts: what they say is what the packages document; weights and gradients go to each and come back to the bit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import Params, forward
from manual.layouts import LAYOUTS, Layout, pack, unpack
from tests.manual.documented import STEPS, states
from tests.strategies import DTYPES, without_zeros
from tests.twins import agree, params_of, same_bits

names = st.sampled_from(list(LAYOUTS))
TORCH = LAYOUTS["torch"]
BIASES = {"bias_ih_l0": np.ones(12), "bias_hh_l0": np.ones(12)}
ODD = [-0.0, 0.0, np.inf, -np.inf, np.nan, 5e-324, -3e38]


@st.composite
def some_params(draw: st.DrawFn) -> Params:
    """Weights of any values whatever; b_f is such that b_f - 1 is a number of the dtype."""
    rng = np.random.default_rng(draw(st.integers(0, 99_999)))
    H, D, dtype = draw(st.integers(1, 5)), draw(st.integers(0, 5)), draw(st.sampled_from(DTYPES))
    params = Params.init(rng, D, H)
    for array in (params.W, params.U, params.b):
        array[...] = np.where(rng.random(array.shape) < 0.2, rng.choice(ODD, array.shape), rng.normal(size=array.shape))
    params.b_f = rng.integers(-(2**20), 2**20, H) / 2**18
    return Params(*(array.astype(dtype) for array in (params.W, params.U, params.b)))


def arrays_of(params: Params) -> dict[str, Any]:
    return {name: getattr(params, name) for name in "WUb"}


@given(params=some_params(), one=names, other=names, gradients=st.booleans())
def test_weights_and_gradients_go_from_each_layout_to_each_other_and_back_to_the_bit(
    params: Params, one: str, other: str, gradients: bool
) -> None:
    packed = pack(params, one, gradients=gradients)
    there = pack(unpack(packed, one, gradients=gradients), other, gradients=gradients)
    back = unpack(there, other, gradients=gradients)
    assert same_bits(arrays_of(back), arrays_of(params))
    assert same_bits(pack(back, one, gradients=gradients), packed)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_is_what_its_package_documents(layout: str) -> None:
    run = without_zeros((4, 2, 3, 5))
    params, inputs = params_of(run), [run.inputs[name] for name in ("x", "h0", "C0")]
    ours, (h, C) = forward(params, *inputs), states(layout, pack(params, layout), *inputs)
    agree({"h": ours.h, "C": ours.C}, {"h": h, "C": C})


def test_every_layout_is_documented() -> None:
    assert set(STEPS) == set(LAYOUTS)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_forget_offset_rounds_once_where_it_must_and_from_a_half_to_two_never(dtype: str) -> None:
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    params = Params.init(rng, 1, 500, dtype)
    for spread in (1e-20, 0.3, 1, 50):
        params.b_f = (spread * rng.normal(size=500)).astype(dtype)
        once = unpack(pack(params, "haiku"), "haiku")
        assert np.all(np.abs(once.b_f - params.b_f) <= eps / 2 * (1 + np.abs(params.b_f)))
        assert same_bits({"b": once.b[500:]}, {"b": params.b[500:]})
        assert same_bits(pack(once, "haiku"), pack(params, "haiku"))
        assert same_bits(arrays_of(unpack(pack(once, "haiku"), "haiku")), arrays_of(once))
    params.b_f = rng.uniform(0.5, 2, 500).astype(dtype)
    assert same_bits(arrays_of(unpack(pack(params, "haiku"), "haiku")), arrays_of(params))


def test_two_biases_are_added_and_given_as_one_and_zeros() -> None:
    params = params_of(without_zeros((1, 1, 2, 3)))
    packed = pack(params, "torch")
    assert packed["bias_ih_l0"].any()
    assert not packed["bias_hh_l0"].any()
    added = unpack(packed | {"bias_hh_l0": packed["bias_ih_l0"]}, "torch")
    np.testing.assert_array_equal(added.b, 2 * params.b)


def test_two_biases_that_are_too_large_together_are_infinite_and_opposite_infinities_are_no_number() -> None:
    packed = pack(params_of(without_zeros((1, 1, 2, 3), "float32")), "torch")
    for one, other, both in ((3e38, 3e38, np.inf), (np.inf, -np.inf, np.nan)):
        biases = {name: np.full(12, value, np.float32) for name, value in zip(BIASES, (one, other), strict=True)}
        np.testing.assert_array_equal(unpack(packed | biases, "torch").b, np.full(12, both, np.float32), strict=True)


def test_gradients_of_two_biases_are_the_same_up_to_rounding() -> None:
    gradient = params_of(without_zeros((1, 1, 2, 3)))
    for size in (1e-20, 1, -1, 1e20):
        gradient.b[...] = size * np.linspace(0.5, 1, 12)
        packed = pack(gradient, "torch", gradients=True)
        assert same_bits({"b": packed["bias_ih_l0"]}, {"b": packed["bias_hh_l0"]})
        for name in BIASES:  # the error of either shows in the result
            rounded = unpack(packed | {name: packed[name] * (1 + 2e-9)}, "torch", gradients=True)
            np.testing.assert_allclose(rounded.b, gradient.b * (1 + 1e-9), rtol=1e-15)
    for odd in ODD:
        gradient.b[...] = odd
        back = unpack(pack(gradient, "torch", gradients=True), "torch", gradients=True)
        assert same_bits(arrays_of(back), arrays_of(gradient))


@pytest.mark.parametrize("name", ["bias_ih_l0", "bias_hh_l0"])
@pytest.mark.parametrize("size", [1e-20, 1, 1e20])
@pytest.mark.parametrize("wrong", [0, 1 - 1e-7, 1 + 1e-7, np.nan, np.inf])
def test_gradients_of_two_biases_that_differ_are_refused(name: str, size: float, wrong: float) -> None:
    packed = pack(params_of(without_zeros((1, 1, 2, 3))), "torch", gradients=True)
    packed |= {name: np.linspace(-1, 0.5, 12) * size for name in BIASES}
    packed[name][0] *= wrong
    differ = f"the gradients of bias_ih_l0 and bias_hh_l0 differ by up to {size * abs(1 - wrong):.3g}"
    said = f"{differ}; expected the same in both: the gates take their sum"
    with pytest.raises(ValueError, match=f"^{re.escape(said)}$"):
        unpack(packed, "torch", gradients=True)


def test_gradients_that_differ_are_told_with_all_their_arrays() -> None:
    eight = replace(TORCH, b=tuple("pqrs"), second_b=tuple("tuvw"))
    packed = pack(params_of(without_zeros((1, 1, 2, 3))), eight, gradients=True)
    with pytest.raises(ValueError, match=r"^the gradients of p, q, r, s and t, u, v, w differ by up to "):
        unpack(packed | {"v": -packed["v"]}, eight, gradients=True)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradients", [False, True])
def test_what_is_packed_and_unpacked_is_new(layout: str, gradients: bool) -> None:
    params = params_of(without_zeros((1, 1, 2, 3)))
    kept = {name: array.copy() for name, array in arrays_of(params).items()}
    packed = pack(params, layout, gradients=gradients)
    assert all(array.flags.c_contiguous for array in packed.values())
    unpacked = unpack(packed, layout, gradients=gradients)
    for array in arrays_of(unpacked).values():
        array += 1
    for array in packed.values():
        array *= 2
    assert same_bits(arrays_of(params), kept)
    assert not any(np.shares_memory(a, b) for a in packed.values() for b in arrays_of(unpacked).values())


def nested(arrays: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, array in arrays.items():
        outer, _, inner = name.partition("/")
        found.setdefault(outer, {})[inner] = array
    return found


def test_arrays_are_taken_nested_behind_a_prefix_and_without_a_bias() -> None:
    params = params_of(without_zeros((1, 1, 2, 3)))
    assert same_bits(arrays_of(unpack(nested(pack(params, "flax")), "flax")), arrays_of(params))
    assert same_bits(arrays_of(unpack({"params": pack(params, "flax")}, "flax", prefix="params/")), arrays_of(params))
    model = {"embed.weight": np.ones((7, 2))} | pack(params, "torch", prefix="lstm.")
    assert same_bits(arrays_of(unpack(model, "torch", prefix="lstm.")), arrays_of(params))
    without = {"weight_ih": (p := pack(params, "equinox"))["weight_ih"], "weight_hh": p["weight_hh"], "bias": None}
    assert not unpack(without, "equinox").b.any()
    assert np.array_equal(unpack({"linear/w": pack(params, "haiku")["linear/w"]}, "haiku").b, [1] * 3 + [0] * 9)


@st.composite
def some_layouts(draw: st.DrawFn) -> Layout:
    """Layouts of all kinds: nobody's own."""
    gates, joined, interleaved = "".join(draw(st.permutations("figo"))), draw(st.booleans()), draw(st.booleans())

    def names_of(kind: str) -> str | tuple[str, ...]:
        return kind if interleaved or draw(st.booleans()) else tuple(f"{kind}_{gate}" for gate in gates)

    W, b = names_of("W"), names_of("b")
    b, second_b = draw(st.sampled_from([(b, b), (b, names_of("second_b")), (b, ()), ((), ())]))
    return Layout(
        gates,
        U=W if joined else names_of("U"),
        W=W,
        b=b,
        second_b=second_b,
        transposed=draw(st.sampled_from(["", "UW"] if joined else ["", "U", "W", "UW"])),
        interleaved=interleaved,
        h_first=draw(st.booleans()),
        direction=draw(st.booleans()),
        forget_offset=draw(st.sampled_from([0.0, 1.0])),
    )


def read(packed: Mapping[str, Any], layout: Layout, kind: str, gate: str, unit: int, params: Params) -> Any:
    """What a package with this layout takes for the numbers that lead to one gate of one unit."""
    at, names = layout.gates.index(gate), layout.names(kind)
    array = packed[names[at if len(names) == 4 else 0]][0 if layout.direction else ...]
    array = array.T if kind in layout.transposed else array
    if kind in "UW" and layout.U == layout.W:
        upper = params.hidden_size if layout.h_first else params.input_size
        array = array[:upper] if (kind == "W") == layout.h_first else array[upper:]
    elif kind not in "UW" and layout.b == layout.second_b:
        array = np.split(array, 2)[("b", "second_b").index(kind)]
    if len(names) == 4:
        return array[..., unit]
    return array[..., 4 * unit + at if layout.interleaved else at * params.hidden_size + unit]


@given(params=some_params(), layout=some_layouts())
def test_every_number_lies_where_the_layout_says(params: Params, layout: Layout) -> None:
    H = params.hidden_size
    if not layout.b:
        params.b[:H], params.b[H:] = layout.forget_offset, 0
    packed = pack(params, layout)
    for (k, gate), unit in product(enumerate("figo"), range(H)):
        held = {"W": params.W[:, k * H + unit], "U": params.U[:, k * H + unit]}
        if layout.b:
            held["b"] = params.b[k * H + unit] - layout.forget_offset * (gate == "f")
        if layout.second_b:
            held["second_b"] = np.zeros((), params.dtype)
        for kind, numbers in held.items():
            np.testing.assert_array_equal(read(packed, layout, kind, gate, unit, params), numbers)
    assert same_bits(arrays_of(unpack(packed, layout)), arrays_of(params))


@given(params=some_params(), layout=some_layouts())
def test_every_array_has_the_dimensions_that_the_layout_says(params: Params, layout: Layout) -> None:
    D, H = params.input_size, params.hidden_size
    sizes = {"directions": 1, "D": D, "H": H, "D+H": D + H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H}
    packed = pack(params, layout, gradients=True)
    assert {name: [sizes[dim] for dim in dims] for name, dims in layout.dims.items()} == {
        name: [*array.shape] for name, array in packed.items()
    }


def test_a_layout_of_ones_own() -> None:
    params = params_of(without_zeros((1, 1, 2, 3)))
    mine = Layout(
        "ogif", U=("Wo", "Wg", "Wi", "Wf"), W=("Wo", "Wg", "Wi", "Wf"), b=("bo", "bg", "bi", "bf"), h_first=True
    )
    packed = pack(params, mine)
    np.testing.assert_array_equal(packed["Wg"], np.vstack([params.W_g, params.U_g]))
    np.testing.assert_array_equal(packed["bf"], params.b_f)
    assert same_bits(arrays_of(unpack(packed, mine)), arrays_of(params))
