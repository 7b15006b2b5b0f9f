"""`check`: a right LSTM is right, a failure is reduced, repeated and saved, and a bad request is refused."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import reference.oracle as oracle
from reference.oracle import cli
from reference.oracle.cases import REGIMES, draw_case
from reference.oracle.trial import findings
from reference.run import OUTPUTS
from tests.candidates import adapters

ROOT = Path(__file__).parents[3]
MODULE = adapters.__name__


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_hand_derivation_is_right_on_all_regimes_and_on_empty_runs(dtype: str) -> None:
    report = oracle.check(adapters.right, dtype=dtype, max_examples=14)
    assert report.ok
    assert str(report).endswith("RIGHT")
    assert [block.name for block in report.blocks] == list(OUTPUTS)
    assert all(block.ratio < 1 for block in report.blocks)
    assert {trial.which.regime for trial in report.trials} == set(REGIMES)
    worst = max(report.blocks, key=lambda block: block.ratio)
    assert report.pictured is not None
    assert report.pictured.which == worst.which
    assert {trial.which.sizes.index(0) for trial in report.trials if 0 in trial.which.sizes} == {0, 1, 2}


@pytest.mark.parametrize(
    ("name", "sizes", "block", "begins"),
    [
        ("only_long", (4, 1, 1, 1), "h", "h, from step 3 on"),
        ("only_saturated", (1, 1, 1), "dC0", "dC0"),
        ("no_cell_carry", (1, 1, 1, 1), "dC0", "dx, from step 0 backwards"),
    ],
)
def test_a_failure_is_reduced_to_the_smallest_run_that_shows_it(
    name: str, sizes: tuple[int, ...], block: str, begins: str
) -> None:
    report = oracle.check(getattr(adapters, name), max_examples=14)
    assert not report.ok
    failure = report.failures[0]
    assert failure.kind == "mismatch"
    assert failure.which is not None
    assert failure.which.sizes[: len(sizes)] == sizes
    assert block in failure.text
    assert report.beginning == begins
    assert report.pictured is not None
    assert report.pictured.which.sizes[0] > 2, "a picture of several steps, which the smallest may not have"
    assert not all(finding.ok for finding in findings(report.pictured.truth, report.pictured.outputs))
    assert f"Repeat with: {failure.repeat}" in str(report)


def test_the_right_outputs_of_a_wrong_lstm_are_right() -> None:
    report = oracle.check(adapters.no_cell_carry, max_examples=7)
    assert [block.name for block in report.blocks if block.ok] == ["h", "C"]
    assert "h, C are right." in str(report)


def test_the_command_repeats_the_run_and_saves_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, saved = f"{MODULE}:only_long", str(tmp_path / "run.npz")
    assert cli.main(["check", target, "--runs", "7", "--seed", "3", "--save", saved]) == 1
    first = capsys.readouterr().out
    assert first.endswith("WRONG\n")
    (command,) = {line for line in first.splitlines() if line.startswith("Repeat with: ") and "4,1,1,1" in line}
    words = shlex.split(command.removeprefix("Repeat with: lstm-oracle "))

    script = tmp_path / "run.py"
    assert cli.main([*words, "--save", str(script), "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert [block["name"] for block in found["blocks"] if not block["ok"]] == ["h"]
    assert found["failures"][0]["smallest"]["sizes"] == [4, 1, 1, 1]
    assert found["seed"] == 3
    assert found["runs"] == 1

    assert cli.main(["judge", f"{tmp_path}/run.npz"]) == 1
    assert "h is wrong; C, C_T, dW_*" in capsys.readouterr().out

    env = os.environ | {"PYTHONPATH": str(ROOT)}
    ran = subprocess.run([sys.executable, script], capture_output=True, text=True, cwd=tmp_path, env=env)
    assert ran.returncode == 1
    assert ran.stderr.endswith("AssertionError: wrong: h\n")
    assert "h differs by up to " in ran.stdout
    right = script.read_text().replace("import only_long as adapter", "import right as adapter")
    names: dict[str, Any] = {}
    exec(right, names)
    assert capsys.readouterr().out.startswith("right: h, C")
    run = draw_case(3, found["failures"][0]["smallest"]["run"], np.dtype(np.float64), (4, 1, 1, 1), words_regime(words))
    assert all(np.array_equal(names["inputs"][name], array) for name, array in run.inputs.items()), "in full precision"


def words_regime(words: list[str]) -> Any:
    return words[words.index("--regime") + 1] if "--regime" in words else None


def test_a_callable_without_a_name_is_repeated_in_python() -> None:
    report = oracle.check(lambda **run: adapters.only_long(**run), max_examples=7)
    repeat = report.failures[0].repeat
    assert repeat.startswith("check(adapter, run=")
    again = eval(repeat, {"check": oracle.check, "adapter": adapters.only_long})
    assert [block.name for block in again.blocks if not block.ok] == ["h"]


def test_nothing_is_saved_where_nothing_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.npz"
    assert cli.main(["check", f"{MODULE}:right", "--run", "0", "--save", str(file)]) == 0
    assert "nothing failed" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere:adapter"], "nowhere:adapter cannot be imported: ModuleNotFoundError"),
        (["torch.nn"], "'torch.nn' is no target; expected pkg.module:adapter or exec:./program"),
        (["exec:./nothing"], "./nothing is not there or not executable"),
        ([f"{MODULE}:right", "--save", "run.mat"], "--save run.mat ends in .mat; expected .npz or .py"),
        ([f"{MODULE}:right", "--sizes", "1,1,1,1"], "name it with --run"),
        ([f"{MODULE}:right", "--run", "0", "--sizes", "1000000000,1,1,1"], "for which autodiff needs about"),
        ([f"{MODULE}:right", "--run", "0", "--regime", "wild"], "regime is 'wild'; expected one of ordinary"),
    ],
)
def test_an_unusable_request_exits_2_in_one_line(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err


@pytest.mark.parametrize(
    "arguments",
    [[], ["a:b", "--sizes", "1,2,3"], ["a:b", "--sizes", "1,2,3,0"], ["a:b", "--timeout", "0"], ["a:b", "--runs", "0"]],
)
def test_an_option_out_of_range_exits_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["check", *arguments])
    assert stopped.value.code == 2
    assert "lstm-oracle check: error: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ({"dtype": "float16"}, "dtype is 'float16'; expected float64 or float32"),
        ({"max_examples": 0}, "max_examples is 0; expected a whole number from 1 on"),
        ({"seed": -1}, "seed is -1"),
        ({"run": 0, "sizes": (1, 2, 3)}, "sizes is"),
        ({"run": 0, "sizes": 3}, "sizes is 3; expected (T, B, D, H), whole numbers"),
        ({"run": 0, "sizes": (1, 2, 3, 4.5)}, "sizes is (1, 2, 3, 4.5); expected (T, B, D, H), whole numbers"),
        ({"run": 0, "sizes": (10**9, 1, 1, 1)}, "the run has T=1000000000 B=1 D=1 H=1, for which autodiff needs"),
        ({"sizes": (1, 1, 1, 1)}, "sizes and regime change one run; name it with run"),
        ({"timeout": 0}, "timeout is 0"),
        ({"timeout": "long"}, "timeout is 'long'; expected seconds"),
    ],
)
def test_an_argument_that_does_not_fit_is_named(argument: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        oracle.check(adapters.right, **argument)
