"""Layouts match what the packages document, and converting weights and gradients there and back is exact."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manual import Params, backward, forward
from manual.layouts import LAYOUTS, Layout, pack, unpack
from tests.manual.derivation.documented import states
from tests.strategies import DTYPES, without_zeros
from tests.twins import agree, params_of, same_bits

names = st.sampled_from(list(LAYOUTS))
PARAMS = params_of(without_zeros((1, 1, 2, 3)))
BIASES = ("bias_ih_l0", "bias_hh_l0")
ODD = [-0.0, 0.0, np.inf, -np.inf, np.nan, 5e-324, -3e38]


def arrays_of(params: Params) -> dict[str, Any]:
    return {name: getattr(params, name) for name in "WUb"}


def same(one: Params, other: Params) -> bool:
    return same_bits(arrays_of(one), arrays_of(other))


@st.composite
def some_params(draw: st.DrawFn) -> Params:
    """Draw weights of any values, with a b_f for which b_f - 1 has no rounding error."""
    rng = np.random.default_rng(draw(st.integers(0, 99_999)))
    H, D, dtype = draw(st.integers(1, 5)), draw(st.integers(0, 5)), draw(st.sampled_from(DTYPES))
    params = Params.init(rng, D, H)
    for array in (params.W, params.U, params.b):
        array[...] = np.where(rng.random(array.shape) < 0.2, rng.choice(ODD, array.shape), rng.normal(size=array.shape))
    params.b_f = rng.integers(-(2**20), 2**20, H) / 2**18
    return Params(*(array.astype(dtype) for array in (params.W, params.U, params.b)))


@st.composite
def some_layouts(draw: st.DrawFn) -> Layout:
    """Draw layouts of all kinds, including those that no package has."""
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


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_matches_the_documentation_of_its_package(layout: str) -> None:
    run = without_zeros((4, 2, 3, 5))
    params, inputs = params_of(run), [run.inputs[name] for name in ("x", "h0", "C0")]
    ours, (h, C) = forward(params, *inputs), states(layout, pack(params, layout), *inputs)
    agree({"h": ours.h, "C": ours.C}, {"h": h, "C": C})


@given(params=some_params(), one=names, other=names, gradients=st.booleans())
def test_converting_weights_or_gradients_to_any_layout_and_back_changes_no_bit(
    params: Params, one: str, other: str, gradients: bool
) -> None:
    packed = pack(params, one, gradients=gradients)
    there = pack(unpack(packed, one, gradients=gradients), other, gradients=gradients)
    back = unpack(there, other, gradients=gradients)
    assert same(back, params)
    assert same_bits(pack(back, one, gradients=gradients), packed)


def read(packed: Mapping[str, Any], layout: Layout, kind: str, gate: str, unit: int, params: Params) -> Any:
    """Return the weights that a package with this layout uses for one gate of one unit."""
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
def test_every_weight_is_stored_where_the_layout_says(params: Params, layout: Layout) -> None:
    D, H = params.input_size, params.hidden_size
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
    assert same(unpack(packed, layout), params)
    sizes = {"1": 1, "D": D, "H": H, "D+H": D + H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H}
    shapes = {name: tuple(sizes[dim] for dim in dims) for name, dims in layout.dims.items()}
    for arrays in (packed, pack(params, layout, gradients=True)):
        assert {name: array.shape for name, array in arrays.items()} == shapes


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_forget_offset_rounds_at_most_once_and_not_at_all_from_a_half_to_two(dtype: str) -> None:
    rng, eps = np.random.default_rng(0), np.finfo(dtype).eps
    params = Params.init(rng, 1, 500, dtype)
    for spread in (1e-20, 0.3, 1, 50):
        params.b_f = (spread * rng.normal(size=500)).astype(dtype)
        once = unpack(pack(params, "haiku"), "haiku")
        assert np.all(np.abs(once.b_f - params.b_f) <= eps / 2 * (1 + np.abs(params.b_f)))
        assert same_bits({"b": once.b[500:]}, {"b": params.b[500:]})
        assert same_bits(pack(once, "haiku"), pack(params, "haiku"))
        assert same(unpack(pack(once, "haiku"), "haiku"), once)
    params.b_f = rng.uniform(0.5, 2, 500).astype(dtype)
    assert same(unpack(pack(params, "haiku"), "haiku"), params)


@pytest.mark.parametrize(("one", "other", "total"), [(1.5, 2.5, 4), (3e38, 3e38, np.inf), (np.inf, -np.inf, np.nan)])
def test_unpack_adds_two_biases(one: float, other: float, total: float) -> None:
    packed = pack(params_of(without_zeros((1, 1, 2, 3), "float32")), "torch")
    packed |= {name: np.full(12, value, np.float32) for name, value in zip(BIASES, (one, other), strict=True)}
    np.testing.assert_array_equal(unpack(packed, "torch").b, np.full(12, total, np.float32), strict=True)


@pytest.mark.parametrize("size", [1e-20, 1, -1, 1e20])
def test_the_gradients_of_two_biases_may_differ_by_rounding(size: float) -> None:
    gradient = Params(PARAMS.W, PARAMS.U, size * np.linspace(0.5, 1, 12))
    packed = pack(gradient, "torch", gradients=True)
    assert same_bits({"b": packed[BIASES[0]]}, {"b": packed[BIASES[1]]})
    for name in BIASES:
        rounded = unpack(packed | {name: packed[name] * (1 + 2e-9)}, "torch", gradients=True)
        np.testing.assert_allclose(rounded.b, gradient.b * (1 + 1e-9), rtol=1e-15)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_gradients_of_a_backward_pass_are_packed_as_gradients(layout: str) -> None:
    tape = forward(PARAMS, np.ones((2, 1, 2)))
    gradients = backward(tape, np.ones((2, 1, 3))).params
    packed = pack(gradients, layout)
    assert same_bits(packed, pack(Params(**arrays_of(gradients)), layout, gradients=True))
    assert same_bits(pack(unpack(packed, layout, gradients=True), layout), packed)
    with pytest.raises(ValueError, match=r"^gradients is False, but params holds gradients; expected True, or params "):
        pack(gradients, layout, gradients=False)


def test_a_forget_bias_of_minus_zero_keeps_its_sign_where_nothing_is_added() -> None:
    params = Params(PARAMS.W, PARAMS.U, np.full(12, -0.0))
    for layout in (name for name, known in LAYOUTS.items() if not known.forget_offset):
        assert same(unpack(pack(params, layout), layout), params)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("gradients", [False, True])
def test_pack_and_unpack_return_new_contiguous_arrays(layout: str, gradients: bool) -> None:
    kept = {name: array.copy() for name, array in arrays_of(PARAMS).items()}
    packed = pack(PARAMS, layout, gradients=gradients)
    assert all(array.flags.c_contiguous for array in packed.values())
    packed_before = {name: array.copy() for name, array in packed.items()}
    for array in arrays_of(unpack(packed, layout, gradients=gradients)).values():
        array += 1
    assert same_bits(packed, packed_before)
    for array in packed.values():
        array *= 2
    assert same_bits(arrays_of(PARAMS), kept)


def test_arrays_may_be_nested_or_lists_without_a_bias_and_among_others_without_the_prefix() -> None:
    nested: dict[str, Any] = {}
    for name, array in pack(PARAMS, "flax").items():
        outer, _, inner = name.partition("/")
        nested.setdefault(outer, {})[inner] = array
    assert same(unpack(nested, "flax"), PARAMS)
    assert same(unpack({"params": nested, "other": {"ii": 1}}, "flax", prefix="params/"), PARAMS)
    assert same(unpack({name: array.tolist() for name, array in pack(PARAMS, "keras").items()}, "keras"), PARAMS)
    model = {"embed.weight": np.ones((7, 2)), "weight_ih_l0": None} | pack(PARAMS, "torch", prefix="lstm.")
    assert same(unpack(model, "torch", prefix="lstm."), PARAMS)
    without = {name: array for name, array in pack(PARAMS, "keras").items() if name != "bias"}
    for found in (unpack(without, "keras"), unpack(without | {"bias": None}, "keras")):
        assert same(found, Params(PARAMS.W, PARAMS.U))
    np.testing.assert_array_equal(unpack({"linear/w": pack(PARAMS, "haiku")["linear/w"]}, "haiku").b, [1] * 3 + [0] * 9)


def test_a_layout_without_a_bias() -> None:
    bare = Layout("figo", U="U", W="W")
    with pytest.raises(
        ValueError, match=r"^the layout has no bias and cannot hold params\.b; expected a layout with a bias$"
    ):
        pack(PARAMS, bare)
    assert set(pack(PARAMS, bare, gradients=True)) == {"U", "W"}
    params = Params(PARAMS.W, PARAMS.U)
    assert same(unpack(pack(params, bare), bare), params)
