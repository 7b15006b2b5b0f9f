"""`judge`: recorded runs with any subset of the outputs, in either precision, one or many, in memory and in files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_oracle import judge, judge_all
from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.cases import Sizes, draw_case
from lstm_oracle.inputs.files import RunFileError, write_run
from lstm_oracle.run import INPUTS, OUTPUTS
from tests.candidates import adapters
from tests.lstm_oracle.reports.pages import recorded

SIZES = 4, 2, 3, 5
ALL = ", ".join([*INPUTS, *OUTPUTS])


def chaotic() -> dict[str, Any]:
    """Return a run that amplifies rounding errors without bound."""
    run = recorded(sizes=(60, 2, 3, 5))
    return {name: 100 * array if name[:2] in ("W_", "U_") else array for name, array in run.items()}


# A correct run.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("outputs", [["h"], ["C_T"], ["dW_i", "dx"], ["dC0"], list(OUTPUTS)])
def test_any_subset_of_outputs_is_judged(dtype: str, outputs: list[str]) -> None:
    run = {name: array for name, array in recorded(dtype=dtype).items() if name not in OUTPUTS or name in outputs}
    report = judge(run)
    assert report.ok
    assert report.dtype == dtype
    assert [block.name for block in report.blocks] == outputs
    assert (report.explanations, report.first_error, report.location) == ((), "", "")
    assert [str(trial.id) for trial in report.trials] == ["run 0 (T=4 B=2 D=3 H=5, recorded, float64)"]


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


def test_the_byte_order_does_not_matter() -> None:
    assert judge({name: array.astype(array.dtype.newbyteorder()) for name, array in recorded().items()}).ok


def test_a_shape_that_has_to_be_compiled_is_announced_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        assert judge(recorded(sizes=(71, 1, 1, 2))).ok
    message = "Compiling the truth for sizes up to T=80 B=1 D=1 H=2; this takes a few seconds.\n"
    assert tuple(capsys.readouterr()) == ("", message)
    assert judge(recorded()).ok
    assert tuple(capsys.readouterr()) == ("", "")


# A wrong run.


def test_a_wrong_output_is_named_with_its_step_and_a_known_mistake_recognised() -> None:
    report = judge(recorded("only_long"))
    assert not report.ok
    assert [(failure.kind, failure.text, failure.runs) for failure in report.failures] == [("mismatch", "h", 1)]
    assert report.first_error == "in the forward pass: h at step 3"
    assert report.explanations == ()
    assert "first wrong at step 3 of 4, where h is wrong and C is right" in report.location
    assert "h is wrong; C, C_T" in str(report)
    report = judge(recorded("no_cell_carry"))
    assert "no_cell_carry" in [bug.id for bug in report.diagnosis]
    assert report.location == ""


def test_outputs_that_cannot_be_compared_are_failures_beside_a_mismatch() -> None:
    run = recorded()
    changes = {"C": run["C"][0], "C_T": run["C_T"][0], "dx": run["dx"] + np.nan, "h": run["h"] + 1}
    report = judge(run | changes)
    assert [(failure.kind, failure.text) for failure in report.failures] == [
        ("mismatch", "h, dx"),
        ("not_finite", "dx is not finite in 24 of 24 entries; the first is nan at [0, 0, 0]"),
        ("shape", "C has shape (2, 5); expected (T=4, B=2, H=5)"),
    ]
    assert report.first_error == "in the forward pass: h at step 0"
    assert [problem.block for problem in report.trials[0].problems] == ["C", "C_T", "dx"]
    assert [block.name for block in report.blocks if not block.ok] == ["h", "C", "C_T", "dx"]
    for name, kind in (("C", "shape"), ("dx", "not_finite")):
        report = judge(run | {name: changes[name]})
        assert [failure.kind for failure in report.failures] == [kind]
        assert next(block for block in report.to_json()["blocks"] if block["name"] == name)["ratio"] is None


@pytest.mark.parametrize("kind", [Path, str])
def test_the_run_of_a_file_is_failing_with_the_command_that_judges_it_again(kind: Any, tmp_path: Path) -> None:
    file = tmp_path / "the run.npz"
    run = recorded("only_long", "float32")
    write_run(file, run | {"C": run["C"][0]})
    report = judge(kind(file))
    failing = report.failing
    assert report.subject == str(file)
    assert failing is not None
    assert report.pictured is not None
    assert report.pictured.id == failing.id == report.trials[0].id
    assert failing.repeat == report.failures[0].repeat == f"lstm-oracle judge '{file}'"
    assert failing.outputs.keys() == OUTPUTS.keys() - {"C"}
    assert all(np.array_equal(failing.inputs[name], run[name]) for name in INPUTS)
    np.testing.assert_array_equal(failing.outputs["h"], run["h"], strict=True)
    np.testing.assert_allclose(failing.truth.blocks["C"], run["C"], rtol=1e-5, atol=1e-6)
    unnamed = judge(run)
    assert (unnamed.subject, unnamed.failures[0].repeat) == ("run", "")


# What is refused.


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"W_f": None}, ValueError, "the run lacks W_f; expected at least W_f"),
        ({"x": np.zeros((4, 2, 9))}, ValueError, "x has shape (4, 2, 9); expected (T, B, D=3)"),
        ({"x": np.zeros((4, 2, 3), int)}, TypeError, "x has dtype int64; expected float32 or float64"),
        ({"x": np.zeros((4, 2, 3), "f2")}, TypeError, "x has dtype float16; expected float32 or float64"),
        ({"h": np.zeros((4, 2, 5), "f2")}, TypeError, "h has dtype float16; expected float32 or float64"),
        ({"h0": np.full((2, 5), [0, -np.inf, 0, 0, np.nan])}, ValueError, "h0 is -inf at [0, 1]; expected finite inp"),
        ({"h": np.ma.masked_array(np.zeros((4, 2, 5)))}, TypeError, "h is a masked array; expected one without a mask"),
        ({"x": np.ma.masked_array(np.zeros((4, 2, 3)))}, TypeError, "x is a masked array; expected one without a mask"),
        ({"p": 1, "q": 2}, TypeError, f"p is not an array of a run; expected any of {ALL}"),
        (dict.fromkeys(OUTPUTS), ValueError, f"the run has no outputs; expected any of {', '.join(OUTPUTS)}"),
    ],
)
def test_an_unusable_run_is_refused_by_the_name_of_the_array(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    run = recorded() | change
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        judge({name: array for name, array in run.items() if array is not None})


@pytest.mark.parametrize("sizes", [(3, 0, 4, 5), (0, 2, 4, 5), (3, 2, 0, 5), (0, 0, 0, 5)])
def test_an_empty_run_is_judged_if_an_output_has_entries(sizes: Sizes) -> None:
    run = recorded(sizes=sizes)
    assert judge(run).ok
    outputs = [name for name in OUTPUTS if not run[name].size]
    empty = {name: array for name, array in run.items() if name not in OUTPUTS or name in outputs}
    with pytest.raises(
        ValueError,
        match=re.escape(f"so the outputs ({', '.join(outputs)}) are empty; expected at least one output with entries"),
    ):
        judge(empty)
    (wrong,) = judge(empty | {outputs[0]: np.zeros(0)}).failures
    assert wrong.text.startswith(f"{outputs[0]} has shape (0,); expected ")


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"T": 3, "B": 2, "D": 4, "H": 0}, "the run has T=3 B=2 D=4 H=0; expected H of at least 1"),
        (
            {"T": 3, "B": 0, "D": 4, "H": 5},
            "the run has T=3 B=0 D=4 H=5, so the outputs (h) are empty; expected at least one output",
        ),
    ],
)
def test_a_file_without_entries_to_judge_exits_2(
    sizes: dict[str, int], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dims = INPUTS | {"h": OUTPUTS["h"]}
    write_run(tmp_path / "run.npz", {name: np.zeros([sizes[dim] for dim in dims[name]]) for name in dims})
    assert cli.main(["judge", str(tmp_path / "run.npz")]) == 2
    out, err = capsys.readouterr()
    assert err.startswith(f"lstm-oracle: {tmp_path / 'run.npz'}: {message}")
    assert "CORRECT" not in out


class Empty:
    """An empty path."""

    def __fspath__(self) -> str:
        return ""


@pytest.mark.parametrize(
    ("path", "error", "message"),
    [
        ("", RunFileError, "the path is empty; expected an .npz file or a folder of .npy files"),
        (Empty(), RunFileError, "the path is empty; expected an .npz file or a folder of .npy files"),
        *(
            (
                value,
                TypeError,
                f"run is of type {kind}; expected a mapping from name to array, an .npz file or a folder",
            )
            for value, kind in ((3, "int"), (None, "NoneType"), (b"run.npz", "bytes"))
        ),
    ],
)
def test_an_unusable_path_is_refused_and_not_taken_for_the_current_folder(
    path: Any, error: type[Exception], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path / "here", recorded())
    monkeypatch.chdir(tmp_path / "here")  # a folder that could be judged
    with pytest.raises(error, match=f"^{re.escape(message)}"):
        judge(path)


def test_a_run_that_needs_more_than_4_gib_is_refused() -> None:
    run = {name: np.zeros((1, 1) if name[0] in "WU" else 1, np.float32) for name in INPUTS if name[:2] in ("W_", "U_")}
    large = {"x": np.zeros((70_000, 64, 1), np.float32), "h": np.zeros(1)}
    message = (
        "the run has T=70000 B=64 D=1 H=1, for which autodiff needs about 4.0 GiB; expected at most 4 GiB: use fewer"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}"):
        judge(run | large)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_an_ill_conditioned_run_is_refused(dtype: str) -> None:
    run = chaotic()
    message = (
        f"h cannot be judged: the run amplifies rounding errors in {dtype} too much (it is chaotic or near the end of "
        "the range); expected a run with fewer steps, or smaller weights or gradients"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        judge(run | {"h": run["h"].astype(dtype)})


# Several runs.


def test_the_reports_on_many_runs_equal_those_on_each() -> None:
    runs: list[Any] = [recorded(), recorded("no_cell_carry"), recorded(sizes=(9, 3, 2, 6)), recorded() | {"x": None}]
    runs += [recorded(dtype="float32"), recorded(sizes=(0, 2, 3, 4)), recorded("only_long", sizes=(3, 2, 20, 30))]
    runs += [chaotic()]
    all_at_once = list(judge_all(runs))
    assert [isinstance(one, Exception) for one in all_at_once] == [False] * 3 + [True] + [False] * 3 + [True]
    for run, report in zip(runs, all_at_once, strict=True):
        if isinstance(report, Exception):
            with pytest.raises(type(report), match=re.escape(str(report))):
                judge(run)
            continue
        single = judge(run).to_json() | {"seconds": 0}
        found = report.to_json() | {"seconds": 0}
        for one, other in zip(found.pop("blocks"), single.pop("blocks"), strict=True):
            assert one.pop("units") == pytest.approx(other.pop("units"), rel=1e-6, abs=4)
            assert one.pop("ratio") == pytest.approx(other.pop("ratio"), rel=1e-6, abs=0.1)
            assert (one["name"], one["ok"], one["wrong"]) == (other["name"], other["ok"], other["wrong"])
        assert found == single


class Reading(list[Any]):
    """A list that counts how many of its items have been read."""

    read = 0

    def __iter__(self) -> Iterator[Any]:
        for one in super().__iter__():
            self.read += 1
            yield one


def test_many_runs_are_read_as_they_are_judged_and_share_the_time() -> None:
    runs = Reading([recorded()] * 400)
    start = time.perf_counter()
    reports = judge_all(runs)
    first = next(reports)
    assert 1 < runs.read < 400
    found = [first, *reports]
    assert (len(found), runs.read) == (400, 400)
    seconds = [0.0 if isinstance(report, Exception) else report.seconds for report in found]
    assert min(seconds) > 0
    assert sum(seconds) < time.perf_counter() - start


def test_several_files_are_judged_independently(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_run(tmp_path / "right.npz", recorded())
    write_run(tmp_path / "wrong", recorded("no_cell_carry"))
    (tmp_path / "text.npz").write_text("no run")
    files = [str(tmp_path / name) for name in ("right.npz", "text.npz", "wrong")]

    assert cli.main(["judge", *files[::2], "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["file"], one["ok"]) for one in found] == [(files[0], True), (files[2], False)]

    assert cli.main(["judge", *files[:2], "--json"]) == 2
    capsys.readouterr()

    assert cli.main(["judge", *files, "--json"]) == 1  # a wrong file decides, whatever else is unusable
    out, err = capsys.readouterr()
    assert [one["ok"] for one in json.loads(out)] == [True, False, False]
    assert "neither an .npz file nor a folder" in json.loads(out)[1]["error"]
    assert err.count("\n") == 1

    assert cli.main(["judge", files[0], "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["file"] == files[0]

    assert cli.main(["judge", *files[::2]]) == 1
    first, second = capsys.readouterr().out.split("\nCORRECT\n\n")
    assert first.startswith(f"{files[0]}: one recorded run, T=4 B=2 D=3 H=5, float64; lstm-oracle ")
    assert second.endswith("\nINCORRECT\n")


@pytest.mark.parametrize("path", ["", "run.npz"])
def test_an_unusable_file_exits_2_in_one_line(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run.npz", {name: array for name, array in recorded().items() if name != "U_g"})
    assert cli.main(["judge", path]) == 2
    message = "run.npz: the run lacks U_g; expected" if path else "the path is empty; expected an .npz file or a folder"
    err = capsys.readouterr().err
    assert err.startswith(f"lstm-oracle: {message}")
    assert err.count("\n") == 1
