"""`judge`: a recorded run, in any subset of outputs and either precision."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference.oracle import cli, judge, judge_all, judging
from reference.oracle.cases import Sizes, draw_case
from reference.oracle.files import write_run
from reference.run import INPUTS, OUTPUTS
from tests.candidates import adapters
from tests.reference.oracle.pages import recorded

SIZES = 4, 2, 3, 5


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("outputs", [["h"], ["C_T"], ["dW_i", "dx"], ["dC0"], list(OUTPUTS)])
def test_any_subset_of_outputs_is_judged(dtype: str, outputs: list[str]) -> None:
    run = {name: array for name, array in recorded(dtype=dtype).items() if name not in OUTPUTS or name in outputs}
    report = judge(run)
    assert report.ok
    assert report.dtype == dtype
    assert [block.name for block in report.blocks] == outputs


def test_a_missing_bias_state_or_gradient_is_zero() -> None:
    run = draw_case(0, 6, np.dtype(np.float64), SIZES, "plain").inputs
    run |= adapters.right(**run)
    zero = [name for name in run if name not in OUTPUTS and not np.any(run[name])]
    assert zero == ["b_f", "b_i", "b_g", "b_o", "h0", "C0", "dh_T", "dC_T"]
    assert judge({name: array for name, array in run.items() if name not in zero}).ok


def test_every_output_is_judged_at_its_own_precision() -> None:
    run = recorded()
    single = {name: run[name].astype(np.float32) for name in OUTPUTS}
    assert judge(run | single).ok
    report = judge(run | {"h": single["h"]} | {"dx": single["dx"].astype(np.float64)})
    assert [block.name for block in report.blocks if not block.ok] == ["dx"]
    assert report.dtype == "float32/float64"


def test_float32_inputs_are_exact() -> None:
    inputs = draw_case(0, 1, np.dtype(np.float32), SIZES).inputs
    outputs = adapters.right(**{name: array.astype(np.float64) for name, array in inputs.items()})
    assert outputs["h"].dtype == np.float64
    assert judge(inputs | outputs).ok


def test_what_is_wrong_is_named_with_its_place() -> None:
    report = judge(recorded("only_long"))
    assert not report.ok
    assert [failure.kind for failure in report.failures] == ["mismatch"]
    assert "h is wrong; C, C_T" in str(report)
    assert "first wrong at step 3 of 4: h is wrong and C is right" in str(report)


def test_a_wrong_shape_and_nan_are_told() -> None:
    run = recorded()
    said = {failure.kind: failure.text for failure in judge(run | {"h": run["h"][0]}).failures}
    assert said == {"shape": "h has shape (2, 5); expected (T=4, B=2, H=5)"}
    run["dx"][1, 1, 1] = np.nan
    report = judge(run)
    assert [failure.kind for failure in report.failures] == ["not_finite"]
    assert [block.name for block in report.blocks if not block.ok] == ["dx"]
    assert next(block for block in report.to_json()["blocks"] if block["name"] == "dx")["ratio"] is None


def test_other_shapes_compile_their_own_truth(capsys: pytest.CaptureFixture[str]) -> None:
    assert judge(recorded(sizes=(71, 1, 1, 2))).ok
    assert "Compiling the truth for up to T=80 B=1 D=1 H=2" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"W_f": None}, ValueError, "W_f missing; a run needs W_f"),
        ({"x": np.zeros((4, 2, 9))}, ValueError, r"x has shape \(4, 2, 9\); expected \(T, B, D=3\)"),
        ({"x": np.zeros((4, 2, 3), int)}, TypeError, "x has dtype int64; expected float32 or float64"),
        ({"h0": np.full((2, 5), np.inf)}, ValueError, r"h0 is inf at \[0, 0\]; expected finite inputs"),
        ({"h": np.ma.masked_array(np.zeros((4, 2, 5)))}, TypeError, "h is a masked array; expected one without a mask"),
        ({"x": np.ma.masked_array(np.zeros((4, 2, 3)))}, TypeError, "x is a masked array; expected one without a mask"),
        ({"h": np.zeros((4, 2, 5), np.float16)}, TypeError, "h has dtype float16; expected float32 or float64"),
        ({"dc0": np.zeros((2, 5))}, TypeError, "dc0 is not an array of a run; expected W_f"),
        (dict.fromkeys(OUTPUTS), ValueError, "the run has no outputs; expected any of h, C"),
    ],
)
def test_what_is_no_run_is_refused_by_name(change: dict[str, Any], error: type[Exception], said: str) -> None:
    run = recorded() | change
    with pytest.raises(error, match=said):
        judge({name: array for name, array in run.items() if array is not None})


@pytest.mark.parametrize("sizes", [(3, 0, 4, 5), (0, 2, 4, 5), (3, 2, 0, 5), (0, 0, 0, 5)])
def test_an_empty_run_is_judged_if_it_has_a_number(sizes: Sizes) -> None:
    run = recorded(sizes=sizes)
    assert judge(run).ok
    outputs = [name for name in OUTPUTS if not run[name].size]
    empty = {name: array for name, array in run.items() if name not in OUTPUTS or name in outputs}
    with pytest.raises(ValueError, match=f"and no number in {', '.join(outputs)}; expected an output"):
        judge(empty)
    (wrong,) = judge(empty | {outputs[0]: np.zeros(0)}).failures
    assert wrong.text.startswith(f"{outputs[0]} has shape (0,); expected ")


@pytest.mark.parametrize("sizes", [{"T": 3, "B": 2, "D": 4, "H": 0}, {"T": 3, "B": 0, "D": 4, "H": 5}])
def test_a_run_of_which_nothing_can_be_judged_exits_2(
    sizes: dict[str, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dims = INPUTS | {"h": OUTPUTS["h"]}
    write_run(tmp_path / "run.npz", {name: np.zeros([sizes[dim] for dim in dims[name]]) for name in dims})
    assert cli.main(["judge", str(tmp_path / "run.npz")]) == 2
    out, err = capsys.readouterr()
    said = " ".join(f"{name}={size}" for name, size in sizes.items())
    assert err.startswith(f"lstm-oracle: {tmp_path / 'run.npz'}: the run has {said}")
    assert "RIGHT" not in out


@pytest.mark.parametrize(("path", "error"), [("", ValueError), (3, TypeError), (None, TypeError)])
def test_what_is_no_path_is_refused(path: Any, error: type[Exception], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "here", recorded())
    monkeypatch.chdir(tmp_path / "here")  # a folder that could be judged
    with pytest.raises(error, match=r"expected .*an \.npz file or a folder of \.npy files"):
        judge(path)


def test_an_empty_path_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["judge", ""]) == 2
    said = "the path is empty; expected an .npz file or a folder of .npy files"
    assert capsys.readouterr().err == f"lstm-oracle: {said}\n"


def test_the_byte_order_does_not_matter() -> None:
    assert judge({name: array.astype(array.dtype.newbyteorder()) for name, array in recorded().items()}).ok


def test_a_huge_run_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "MOST_BYTES", 10**4)
    with pytest.raises(ValueError, match="the run has T=4 B=2 D=3 H=5, for which autodiff needs about"):
        judge(recorded())


def test_runs_judged_together_get_the_reports_that_each_gets_alone() -> None:
    runs: list[Any] = [recorded(), recorded("no_cell_carry"), recorded(sizes=(9, 3, 2, 6)), recorded() | {"x": None}]
    runs += [recorded(dtype="float32"), recorded(sizes=(0, 2, 3, 4)), recorded("only_long", sizes=(3, 2, 20, 30))]
    together = list(judge_all(runs))
    assert [isinstance(one, Exception) for one in together] == [False, False, False, True, False, False, False]
    for run, report in zip(runs, together, strict=True):
        if isinstance(report, Exception):
            with pytest.raises(type(report), match=re.escape(str(report))):
                judge(run)
            continue
        alone = judge(run).to_json() | {"seconds": 0}
        found = report.to_json() | {"seconds": 0}
        for one, other in zip(found.pop("blocks"), alone.pop("blocks"), strict=True):
            assert one.pop("units") == pytest.approx(other.pop("units"), rel=1e-6, abs=4)
            assert one.pop("ratio") == pytest.approx(other.pop("ratio"), rel=1e-6, abs=0.1)
            assert (one["name"], one["ok"], one["wrong"]) == (other["name"], other["ok"], other["wrong"])
        assert found == alone


def test_runs_are_read_as_they_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    right = judging.recorded
    monkeypatch.setattr(judging, "recorded", lambda run: read.append(run) or right(run))
    monkeypatch.setattr(judging, "MOST_TOGETHER", 3 * judging.numbers_of(judging.shape_for(SIZES)))
    reports = judge_all([recorded()] * 10)
    assert not read
    assert not isinstance(next(reports), Exception)
    assert len(read) == 4  # the last of them did not fit any more
    assert len(list(reports)) == 9
    assert len(read) == 10


def test_several_files_are_judged_each_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "right.npz", recorded())
    write_run(tmp_path / "wrong", recorded("no_cell_carry"))
    (tmp_path / "text.npz").write_text("no run")
    files = [str(tmp_path / name) for name in ("right.npz", "text.npz", "wrong")]

    assert cli.main(["judge", *files[::2], "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["ok"]) for one in found] == [(files[0], True), (files[2], False)]

    assert cli.main(["judge", *files, "--json"]) == 2
    out, err = capsys.readouterr()
    assert [one["ok"] for one in json.loads(out)] == [True, False, False]
    assert "neither an .npz file nor a folder" in json.loads(out)[1]["error"]
    assert err.count("\n") == 1

    assert cli.main(["judge", files[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == files[0]

    assert cli.main(["judge", *files[::2]]) == 1
    first, second = capsys.readouterr().out.split("RIGHT\n\n")
    assert first.startswith(f"{files[0]}: one recorded run, T=4 B=2 D=3 H=5, float64; lstm-oracle ")
    assert second.endswith("WRONG\n")


def test_a_file_that_is_no_run_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = recorded()
    write_run(tmp_path / "run.npz", {name: array for name, array in run.items() if name != "U_g"})
    assert cli.main(["judge", str(tmp_path / "run.npz")]) == 2
    assert f"lstm-oracle: {tmp_path / 'run.npz'}: U_g missing; a run needs" in capsys.readouterr().err
