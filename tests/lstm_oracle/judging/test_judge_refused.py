"""`judge`: the runs, paths and files that cannot be judged, and the messages that say why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_oracle import judge
from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.cases import Sizes
from lstm_oracle.inputs.files import RunFileError, write_run
from lstm_oracle.run import INPUTS, OUTPUTS
from tests.lstm_oracle.reports.pages import chaotic, recorded

ALL = ", ".join([*INPUTS, *OUTPUTS])


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
