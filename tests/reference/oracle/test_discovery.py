"""Discovery: the layout of weights from a recorded run: the one, none, or several; and the lines that convert."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manual
from manual import Params
from manual.layouts import LAYOUTS, Layout, pack
from reference.oracle import cli, discover, judging
from reference.oracle.candidate_layouts import candidates, normal, one_for_each_gate
from reference.oracle.files import write_run
from tests.manual.documented import states
from tests.strategies import DTYPES, without_zeros
from tests.twins import params_of, same_bits

RUN = without_zeros((4, 2, 3, 5))
STATE = {name: RUN.inputs[name] for name in ("x", "h0", "C0")}
U, W, b = np.ones((3, 20)), np.ones((5, 20)), np.ones(20)


def recorded(layout: str | Layout, dtype: str = "float64", **changed: Any) -> dict[str, Any]:
    """Weights in this layout and a run of our own LSTM with them."""
    params, state = params_of(RUN), STATE | changed
    tape = manual.forward(params, **state)
    run = pack(params, layout) | state | {"h": tape.h, "C_T": tape.C_T}
    return {name: array.astype(dtype) for name, array in run.items()}


def converted(lines: str, arrays: dict[str, Any]) -> Params:
    """What the printed lines make of the arrays."""
    names: dict[str, Any] = {"arrays": arrays}
    exec(lines, names)
    params: Params = names["params"]
    return params


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_package_is_found_by_its_own_formula_and_the_printed_lines_convert(layout: str, dtype: str) -> None:
    params = Params(*(array.astype(dtype) for array in vars(params_of(RUN)).values()))
    weights, state = pack(params, layout), {name: array.astype(dtype) for name, array in STATE.items()}
    h, _ = states(layout, weights, *state.values())
    assert h.dtype == dtype
    found = discover(weights | state | {"h": h})
    assert found.ok, found
    (one,) = found.explanations
    assert layout in one.packages
    assert normal(LAYOUTS[layout]) == one.layout
    got = converted(one.conversion, weights | state)
    np.testing.assert_array_equal(got.W, params.W)
    np.testing.assert_array_equal(got.U, params.U)
    np.testing.assert_allclose(got.b, params.b, rtol=0, atol=np.finfo(dtype).eps if layout == "haiku" else 0)
    assert one.conversion in str(found)


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


@settings(max_examples=settings().max_examples // 2)  # in each a hundred layouts are tried, or more
@given(layout=layouts(), outputs=st.sampled_from([("h",), ("C_T",), ("h", "C_T")]))
def test_any_layout_is_found_and_no_other(layout: Layout, outputs: tuple[str, ...]) -> None:
    run = recorded(layout)
    found = discover({name: array for name, array in run.items() if name not in {"h", "C_T"} - set(outputs)})
    assert [one.layout for one in found.explanations] == [normal(layout)]
    assert found.tried == len(list(candidates({name: run[name].shape for name in layout.dims}, 3, 5)))
    got = converted(found.explanations[0].conversion, run)
    assert same_bits(got.gates(), manual.layouts.unpack(pack(params_of(RUN), layout), layout).gates())


def test_without_a_bias_the_packages_are_those_with_one() -> None:
    run = recorded(Layout("ifgo", "k", "r", "b"), C0=STATE["C0"])
    params = params_of(RUN)
    params.b[...] = 0
    tape = manual.forward(params, **STATE)
    weights = {name: array for name, array in pack(params, "keras").items() if name != "bias"}
    (one,) = discover(weights | STATE | {"h": tape.h}).explanations
    assert one.packages == ["keras", "flax-nnx-optimized"]
    assert set(run) == {"k", "r", "b", "x", "h0", "C0", "h", "C_T"}


def square() -> dict[str, Any]:
    """A run with D=H, of one step from h0=0: which of two square weights is turned cannot be told."""
    run = without_zeros((1, 2, 4, 4))
    params, state = params_of(run), {"x": run.inputs["x"], "C0": run.inputs["C0"]}
    return pack(params, "source") | state | {"h": manual.forward(params, **state).h}


def one_unit() -> dict[str, Any]:
    run = without_zeros((4, 2, 3, 1))
    state = {name: run.inputs[name] for name in ("x", "h0", "C0")}
    return pack(params_of(run), "keras") | state | {"h": manual.forward(params_of(run), **state).h}


def constant() -> dict[str, Any]:
    """Weights that are all the same, as in the node tests of ONNX."""
    params = Params(np.full((5, 20), 0.1), np.full((3, 20), 0.1))
    return pack(params, "onnx") | STATE | {"h": manual.forward(params, **STATE).h}


@pytest.mark.parametrize(
    ("run", "count", "known"),
    [(square(), 2, "source"), (one_unit(), 2, "keras"), (constant(), 48, "onnx")],
    ids=["square", "one unit", "constant"],
)
def test_where_several_explain_the_run_all_are_named(run: dict[str, Any], count: int, known: str) -> None:
    found = discover(run)
    assert not found.ok
    assert len(found.explanations) == count
    assert any(known in one.packages for one in found.explanations)
    assert f"run: {count} layouts of {found.tried} explain h." in str(found)
    assert "Record a run that tells them apart" in str(found)


def test_equal_gates_make_two_layouts_of_one() -> None:
    params = params_of(RUN)
    params.W_i, params.U_i, params.b_i = params.W_o, params.U_o, params.b_o
    run = pack(params, "torch") | STATE | {"h": manual.forward(params, **STATE).h}
    assert sorted(one.layout.gates for one in discover(run).explanations) == ["ifgo", "ofgi"]


@pytest.mark.parametrize(
    "changed",
    [{"h": np.full((4, 2, 5), np.nan)}, {"h0": np.zeros((2, 5))}, {"weight_hh_l0": np.ones((20, 5))}],
)
def test_what_is_no_lstms_run_is_explained_by_none(changed: dict[str, Any]) -> None:
    found = discover(recorded("torch") | changed)
    assert (found.ok, found.explanations, found.nearest) == (False, (), None)
    assert "run: none of 96 explains h, C_T. All are far off. Are x and h time-major" in str(found)


@pytest.mark.parametrize(
    ("changed", "wrong"), [({"h": recorded("torch")["h"] * 1.001}, "h"), ({"C_T": np.zeros((2, 5))}, "C_T")]
)
def test_what_is_nearly_an_lstms_run_is_told_with_the_nearest_layout(changed: dict[str, Any], wrong: str) -> None:
    found = discover(recorded("torch") | changed)
    assert (found.ok, found.explanations) == (False, ())
    assert f"run: none of 96 explains h, C_T. The nearest is wrong in {wrong}, by " in str(found)
    assert "As in torch, tinygrad." in str(found)
    assert found.to_json()["nearest"]["packages"] == ["torch", "tinygrad"]


def test_an_error_beyond_rounding_is_not_forgiven() -> None:
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
        ({}, "the run has neither; expected x, and h, C or C_T"),
        ({"x": STATE["x"], "k": U}, "the run has x; expected x, and h, C or C_T"),
        ({"h": np.ones((4, 2, 5)), "k": U}, "the run has h; expected x, and"),
        (recorded("torch") | {"weight_hh_l0": np.ones((19, 5))},
         r"the weights are weight_ih_l0 \(20, 3\), weight_hh_l0 \(19, 5\), .*; expected those of one LSTM with D=3 and "
         "H=5: matrices of 3, 5 or 8 rows and 20 columns"),
        ({"weight_hh_l0_reverse": W} | recorded("torch"), "the weights are "),
        (STATE | {"h": recorded("torch")["h"]}, "the weights are not there"),
        (recorded("torch") | {"dW_f": np.ones((5, 5))}, "dW_f is a weight's gradient; expected x, h and the like"),
        (recorded("torch") | {"x": np.ones((4, 3))}, r"x has shape \(4, 3\); expected \(T, B, D\)"),
        (recorded("torch") | {"x": np.ones((2, 4, 3))}, "h0 has shape"),
        (recorded("torch") | {"h": np.ones((3, 2, 5))}, r"h has shape \(3, 2, 5\); expected \(T=4, B=2, H=5\)"),
        (recorded("torch") | {"weight_hh_l0": np.full((20, 5), np.inf)}, "weight_hh_l0 is inf at .*; expected finite"),
    ],
)  # fmt: skip
def test_an_unusable_run_is_refused_by_name(run: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        discover(run)


@pytest.mark.parametrize("value", [np.ones((20, 5), int), {"kernel": W}, "text", None])
def test_what_is_no_array_of_floats_is_refused_by_name(value: Any) -> None:
    with pytest.raises(TypeError, match=r"weight_hh_l0 has dtype .*; expected float32 or float64"):
        discover(recorded("torch") | {"weight_hh_l0": value})


def test_a_run_on_which_rounding_changes_everything_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging.Truth, "tells", lambda self, dtype: False)
    with pytest.raises(ValueError, match="h is of a run on which rounding in float64 may change everything"):
        discover(recorded("torch"))


def test_names_in_fours_tell_the_gates_apart_whatever_these_are_called() -> None:
    assert one_for_each_gate(["Wf", "bf", "Wi", "bi", "Wc", "bc", "Wo", "bo"]) == [
        ("Wc", "Wf", "Wi", "Wo"),
        ("bc", "bf", "bi", "bo"),
    ]
    assert len(one_for_each_gate(list(LAYOUTS["flax-nnx"].dims))) == 3
    assert one_for_each_gate(["Wf", "Wi", "Wc", "Wo", "b1", "b2", "b3", "b4"]) == []


def test_names_made_to_take_long_do_not() -> None:
    start = time.process_time()
    assert one_for_each_gate([f"{'a' * 60_000}{k}" for k in range(16)]) == []
    assert time.process_time() - start < 1


def test_the_command_finds_it_in_a_file_and_in_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "run.npz", recorded("flax"))
    write_run(tmp_path / "run", recorded("keras", dtype="float32"))
    assert cli.main(["layout", str(tmp_path / "run.npz")]) == 0
    told = capsys.readouterr().out
    assert f"{tmp_path / 'run.npz'}: one layout of 96 explains h, C_T.\n\nAn array for each gate; " in told
    assert "\nAs in source, flax, flax-nnx.\n" in told
    assert cli.main(["layout", str(tmp_path / "run"), "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["ok"] is True
    (layout,) = verdict["layouts"]
    assert layout["packages"] == ["keras", "flax-nnx-optimized"]
    assert layout["layout"] | {"gates": "ifgo", "U": "kernel", "forget_offset": 0} == layout["layout"]
    assert [block["name"] for block in layout["blocks"]] == ["h", "C_T"]
    assert all(0 <= block["ratio"] < 1 for block in layout["blocks"])
    arrays = {file.stem: np.load(file) for file in (tmp_path / "run").iterdir()}
    assert converted(layout["conversion"], arrays).hidden_size == 5


def test_the_commands_status_tells_one_from_several_from_none_from_unusable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"several": one_unit(), "none": recorded("torch") | {"h0": np.zeros((2, 5))}, "unusable": {"x": STATE["x"]}}
    status = {}
    for name, run in found.items():
        write_run(tmp_path / name, run)
        status[name] = cli.main(["layout", str(tmp_path / name)])
    assert status == {"several": 1, "none": 1, "unusable": 2}
    assert (
        capsys.readouterr().err == f"lstm-oracle: {tmp_path / 'unusable'}: the run has x; expected x, and h, C or C_T\n"
    )
    assert cli.main(["layout", str(tmp_path / "absent")]) == 2
    assert "absent: No such file or directory" in capsys.readouterr().err


def test_every_layout_of_the_table_is_described_in_words() -> None:
    told = {name: str(discover(recorded(layout))) for name, layout in LAYOUTS.items()}
    assert (
        "i, g, f, o, each of all units; linear/w (D+H, 4H) takes [x; h]; one bias, linear/b; 1 is added to the"
        in (told["haiku"])
    )
    assert "g, i, f, o of one unit after the other; upward/W (4H, D) takes x, lateral/W (4H, H)" in told["chainer"]
    assert "W (1, 4H, D) takes x, R (1, 4H, H) takes h; two biases in B, which are added." in told["onnx"]
    mine = replace(LAYOUTS["keras"], gates="ogfi")
    assert "None of the known packages has it." in str(discover(recorded(mine)))


def test_a_strangers_names_command_no_terminal() -> None:
    signs = "\x1b[31m\u202e"
    run = {signs + name if name.endswith("_l0") else name: array for name, array in recorded("torch").items()}
    told = str(discover(run))
    assert "weight_ih_l0" in told
    assert not set(signs[:1] + signs[-1:]) & set(told)
