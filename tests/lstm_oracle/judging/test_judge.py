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
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.inputs.files import write_run
from lstm_oracle.run import INPUTS, OUTPUTS
from tests.candidates import adapters
from tests.lstm_oracle.reports.pages import chaotic, recorded

SIZES = 4, 2, 3, 5


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
