"""The layouts that explain a recorded run are found: one, none or several, with the code that converts the weights."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manual
from lstm_oracle import discover
from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.files import write_run
from lstm_oracle.run import WEIGHTS
from manual import Params
from manual.layouts import LAYOUTS, Layout, pack, unpack
from tests.manual.derivation.documented import states
from tests.strategies import DTYPES, without_zeros
from tests.twins import params_of, same_bits

RUN = without_zeros((4, 2, 3, 5))
STATE = {name: RUN.inputs[name] for name in ("x", "h0", "C0")}


def recorded(layout: str | Layout, params: Params | None = None, dtype: str = "float64", **state: Any) -> Any:
    """A run of `manual.forward`, with its weights in this layout."""
    params, state = params or params_of(RUN), state or STATE
    tape = manual.forward(params, **state)
    run = pack(params, layout) | state | {"h": tape.h, "C_T": tape.C_T}
    return {name: array.astype(dtype) for name, array in run.items()}


def converted(code: str, arrays: dict[str, Any]) -> Params:
    """The parameters that the printed code makes of the arrays."""
    names: dict[str, Any] = {"arrays": arrays}
    exec(code, names)
    params: Params = names["params"]
    return params


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_package_is_recognised_by_its_own_formula_and_its_weights_converted(layout: str, dtype: str) -> None:
    params = Params(*(array.astype(dtype) for array in vars(params_of(RUN)).values()))
    weights, state = pack(params, layout), {name: array.astype(dtype) for name, array in STATE.items()}
    h, _ = states(layout, weights, *state.values())
    assert h.dtype == dtype
    found = discover(weights | state | {"h": h})
    assert found.ok, found
    (match,) = found.matches
    assert layout in match.packages
    got = converted(match.conversion, weights | state)
    np.testing.assert_array_equal(got.W, params.W)
    np.testing.assert_array_equal(got.U, params.U)
    np.testing.assert_allclose(got.b, params.b, rtol=0, atol=np.finfo(dtype).eps if layout == "haiku" else 0)
    assert match.conversion in str(found)


NAMES = {"U": "k", "W": "r", "b": "b"}
FOURS = {
    kind: tuple(f"{name}_{gate}" for gate in ("cell", "forget", "input", "output")) for kind, name in NAMES.items()
}


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    names: Any = draw(st.sampled_from([NAMES, FOURS]))
    stacked, biases = draw(st.booleans()), draw(st.sampled_from([1, 1, 2]))
    return Layout(
        "".join(draw(st.permutations("figo"))),
        U=names["U"],
        W=names["U"] if stacked else names["W"],
        b=names["b"],
        second_b=() if biases == 1 else draw(st.sampled_from([names["b"], *["b2"] * (names is NAMES)])),
        transposed=draw(st.sampled_from(["", "UW"] if stacked else ["", "U", "W", "UW"])),
        interleaved=names is NAMES and draw(st.booleans()),
        h_first=stacked and draw(st.booleans()),
        direction=draw(st.booleans()),
        forget_offset=draw(st.sampled_from([0.0, 1.0])),
    )


@settings(max_examples=settings().max_examples // 2)  # each tries a hundred layouts or more
@given(layout=layouts(), outputs=st.sampled_from([("h",), ("C_T",), ("h", "C_T")]))
def test_any_layout_is_found_and_no_other(layout: Layout, outputs: tuple[str, ...]) -> None:
    run = recorded(layout)
    found = discover({name: array for name, array in run.items() if name not in {"h", "C_T"} - set(outputs)})
    (match,) = found.matches
    params = unpack({name: run[name] for name in layout.dims}, layout)
    assert same_bits(converted(match.conversion, run).gates(), params.gates())


def test_without_a_bias_the_packages_are_those_with_one() -> None:
    params = params_of(RUN)
    params.b[...] = 0
    run = recorded("keras", params)
    del run["bias"]
    (match,) = discover(run).matches
    assert match.packages == ["keras", "flax-nnx-optimized"]


def run_with(sizes: tuple[int, int, int, int], layout: str, *given: str) -> Any:
    run = without_zeros(sizes)
    return recorded(layout, params_of(run), **{name: run.inputs[name] for name in given})


EQUAL_GATES = {name: params_of(RUN).gates()[f"{name[:2]}{name[2].replace('o', 'i')}"] for name in WEIGHTS}


@pytest.mark.parametrize(
    ("run", "count", "known"),
    [
        (run_with((1, 2, 4, 4), "source", "x", "C0"), 2, "source"),  # D = H and h0 = 0: either matrix may be transposed
        (run_with((4, 2, 3, 1), "keras", "x", "h0", "C0"), 2, "keras"),  # one unit
        (recorded("onnx", Params(np.full((5, 20), 0.1), np.full((3, 20), 0.1))), 48, "onnx"),  # all weights the same
        (recorded("torch", Params.from_gates(**EQUAL_GATES)), 2, "torch"),  # the weights of i and o are the same
    ],
    ids=["square", "one unit", "constant", "equal gates"],
)
def test_several_layouts_that_explain_the_run_are_all_named(run: dict[str, Any], count: int, known: str) -> None:
    found = discover(run)
    assert not found.ok
    assert len(found.matches) == count
    assert any(known in match.packages for match in found.matches)
    assert f"run: {count} of {found.tried} layouts explain h, C_T." in str(found)
    assert "Record a run that distinguishes them" in str(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"h": np.full((4, 2, 5), np.nan)}, "All are far off. Check that x and h are time-major"),
        ({"h0": np.zeros((2, 5))}, "All are far off. Check that x and h are time-major"),
        ({"weight_hh_l0": np.ones((20, 5))}, "All are far off. Check that x and h are time-major"),
        ({"h": recorded("torch")["h"] * 1.001}, "The nearest is wrong in h, by "),
        ({"C_T": np.zeros((2, 5))}, "The nearest is wrong in C_T, by "),
    ],
)
def test_a_wrong_run_is_explained_by_no_layout_and_the_nearest_is_named(changed: dict[str, Any], said: str) -> None:
    found = discover(recorded("torch") | changed)
    nearest = found.to_json()["nearest"]
    assert (found.ok, found.matches) == (False, ())
    assert f"run: none of 96 layouts explains h, C_T. {said}" in str(found)
    assert (nearest and nearest["packages"]) == (["torch", "tinygrad"] if "nearest" in said else None)
    assert ("Used by torch, tinygrad." in str(found)) == ("nearest" in said)


def test_an_error_beyond_rounding_is_not_tolerated() -> None:
    run = recorded("torch")
    run["h"][3, 1, 2] += 1e-12
    assert not discover(run).ok
    run["h"][3, 1, 2] -= 1e-12
    assert discover(run).ok
    assert discover(run | {"dx": np.zeros((4, 2, 3)), "dh": np.zeros((4, 2, 5))}).ok
    assert not discover(run | {"dx": np.zeros((4, 2, 3)), "dh": np.ones((4, 2, 5))}).ok


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({}, "the run has neither inputs nor outputs; expected x, and h, C or C_T"),
        ({"x": STATE["x"], "k": np.ones((3, 20))}, "the run has x; expected x, and h, C or C_T"),
        (recorded("torch") | {"weight_hh_l0": np.ones((19, 5))},
         r"the weights are weight_ih_l0 \(20, 3\), weight_hh_l0 \(19, 5\), .*; expected those of one LSTM with D=3 and "
         "H=5: matrices with 3, 5 or 8 rows and 20 columns"),
        ({"weight_hh_l0_reverse": np.ones((5, 20))} | recorded("torch"), "the weights are "),
        (STATE | {"h": recorded("torch")["h"]}, "the weights are missing"),
        (recorded("torch") | {"dW_f": np.ones((5, 5))}, "dW_f is the gradient of a weight; expected x, h and the like"),
        (recorded("torch") | {"x": np.ones((4, 3))}, r"x has shape \(4, 3\); expected \(T, B, D\)"),
        (recorded("torch") | {"x": np.ones((2, 4, 3))}, "h0 has shape"),
        (recorded("torch") | {"h": np.ones((3, 2, 5))}, r"h has shape \(3, 2, 5\); expected \(T=4, B=2, H=5\)"),
        (recorded("torch") | {"weight_hh_l0": np.full((20, 5), np.inf)}, "weight_hh_l0 is inf at .*; expected finite"),
        (recorded("torch", **STATE | {"x": 1e39 * STATE["x"]}), "h cannot be judged: the run amplifies rounding"),
    ],
)  # fmt: skip
def test_an_unusable_run_is_refused_by_name(run: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        discover(run)


@pytest.mark.parametrize("value", [np.ones((20, 5), int), {"kernel": np.ones((5, 20))}, "text", None])
def test_weights_that_are_no_array_of_floats_are_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=r"weight_hh_l0 has dtype .*; expected float32 or float64"):
        discover(recorded("torch") | {"weight_hh_l0": value})


def test_very_long_names_do_not_take_long() -> None:
    run = recorded("source")
    weights = [name for name in run if name[:2] in ("U_", "W_", "b_")]
    start = time.process_time()
    with pytest.raises(ValueError, match="the weights are aaaa"):
        discover({f"{'a' * 60_000}{weights.index(name)}" if name in weights else name: run[name] for name in run})
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("name", "run", "status", "said"),
    [
        ("run.npz", recorded("flax"), 0, ": one of 96 layouts explains h, C_T.\n\nOne array per gate; "),
        ("run", run_with((4, 2, 3, 1), "keras", "x", "h0", "C0"), 1, ": 2 of "),
        ("run", recorded("torch") | {"h0": np.zeros((2, 5))}, 1, ": none of 96 layouts explains h, C_T"),
        ("run", {"x": STATE["x"]}, 2, ": the run has x; expected x, and h, C or C_T\n"),
        ("absent", {}, 2, ": No such file or directory\n"),
    ],
)
def test_the_command_exits_1_unless_one_layout_matches_and_2_for_an_unusable_run(
    name: str, run: Any, status: int, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if run:
        write_run(tmp_path / name, run)
    assert cli.main(["layout", str(tmp_path / name)]) == status
    assert f"{tmp_path / name}{said}" in capsys.readouterr()[status == 2]


def test_the_json_has_the_layout_its_packages_its_errors_and_the_conversion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = recorded("keras", dtype="float32")
    write_run(tmp_path / "run", run)
    assert cli.main(["layout", str(tmp_path / "run"), "--json"]) == 0
    (layout,) = json.loads(capsys.readouterr().out)["layouts"]
    assert layout["packages"] == ["keras", "flax-nnx-optimized"]
    assert layout["layout"] | {"gates": "ifgo", "U": "kernel", "forget_offset": 0} == layout["layout"]
    assert [block["name"] for block in layout["blocks"]] == ["h", "C_T"]
    assert all(0 <= block["ratio"] < 1 for block in layout["blocks"])
    assert same_bits(
        converted(layout["conversion"], run).gates(), unpack({k: run[k] for k in list(run)[:3]}, "keras").gates()
    )


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("haiku", "Gate order i, g, f, o; linear/w (D+H, 4H) multiplies [x; h]; one bias, linear/b; 1 is added to "),
        ("chainer", "Interleaved: g, i, f, o of one unit after the other; upward/W (4H, D) multiplies x, lateral/W"),
        ("onnx", "W (1, 4H, D) multiplies x, R (1, 4H, H) multiplies h; two biases in B, which are added."),
        (Layout("ogfi", U="kernel", W="recurrent_kernel", b="bias"), "None of the known packages uses it."),
    ],
)
def test_a_layout_is_described_in_words(layout: str | Layout, said: str) -> None:
    assert said in str(discover(recorded(layout)))


def test_names_of_arrays_cannot_control_the_terminal() -> None:
    controls = "\x1b[31m\u202e"
    run = {controls + name if name.endswith("_l0") else name: array for name, array in recorded("torch").items()}
    text = str(discover(run))
    assert "weight_ih_l0" in text
    assert not {controls[0], controls[-1]} & set(text)
