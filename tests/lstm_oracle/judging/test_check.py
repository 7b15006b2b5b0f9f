"""`check` and its command: correct and wrong LSTMs, the reduction, repetition and saving of failures, bad requests."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lstm_oracle import check
from lstm_oracle.candidates.base import TargetError
from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.cases import REGIMES, draw_case
from lstm_oracle.inputs.weight_layout import layout_names
from lstm_oracle.run import OUTPUTS
from tests.candidates import adapters

ROOT = Path(__file__).parents[3]
MODULE = adapters.__name__
DOUBLE = np.dtype(np.float64)
EMPTY_SIZES = ((0, 2, 3, 4), (3, 0, 2, 4), (2, 3, 0, 4))


# A correct LSTM.


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_hand_derivation_is_correct_in_all_regimes_and_on_empty_runs(dtype: str) -> None:
    report = check(adapters.right, dtype=dtype, max_examples=130)
    assert report.ok
    assert str(report).endswith("\nCORRECT")
    assert [block.name for block in report.blocks] == list(OUTPUTS)
    assert all(block.ratio < 1 for block in report.blocks)
    assert {trial.id.regime for trial in report.trials} == set(REGIMES)
    largest_error = max(report.blocks, key=lambda block: block.ratio)
    assert report.pictured is not None
    assert report.pictured.id == largest_error.worst
    assert {trial.id.sizes.index(0) for trial in report.trials if 0 in trial.id.sizes} == {0, 1, 2}
    assert [trial.id.number for trial in report.trials] == [*range(133)]


def test_the_report_on_a_correct_lstm_has_every_run_and_no_failures() -> None:
    progress: list[int] = []
    report = check(adapters.right, seed=5, max_examples=4, progress=progress.append)
    assert report.subject == report.target == f"{MODULE}:right"
    assert (report.layout, report.dtype, report.seed, report.ok) == ("manual", "float64", 5, True)
    assert (report.failures, report.notes, report.failing) == ((), (), None)
    assert (report.first_error, report.explanations, report.location) == ("", (), "")
    assert 0 < report.seconds < 60
    assert progress == [1] * 7
    cases = [draw_case(5, k, DOUBLE) for k in range(4)]
    cases += [draw_case(5, k, DOUBLE, sizes) for k, sizes in enumerate(EMPTY_SIZES, 4)]
    assert [str(trial.id) for trial in report.trials] == [str(case) for case in cases]


def test_by_default_100_runs_in_float64_are_drawn_from_seed_0() -> None:
    report = check(adapters.forward_only)
    assert (report.dtype, report.seed, len(report.trials)) == ("float64", 0, 100 + len(EMPTY_SIZES))


@pytest.mark.parametrize("run", [0, 7])
@pytest.mark.parametrize("changed", [{}, {"sizes": (0, 3, 0, 2)}, {"sizes": [1, 1, 0, 1]}, {"regime": "tiny"}])
def test_a_single_run_can_be_judged(run: int, changed: dict[str, Any]) -> None:
    report = check(adapters.right, run=run, seed=3, **changed)
    assert report.ok
    assert [str(trial.id) for trial in report.trials] == [str(draw_case(3, run, DOUBLE, **changed))]


# A wrong LSTM.


@pytest.mark.parametrize(
    ("name", "sizes", "block", "first_error"),
    [
        ("only_long", (4, 1, 1, 1), "h", "in the forward pass: h at step 3"),
        ("only_saturated", (1, 1, 1), "dC0", "in the backward pass: dC0"),
        ("no_cell_carry", (1, 1, 1, 1), "dC0", "in the backward pass: dx at step 0"),
    ],
)
def test_a_failure_is_reduced_to_the_smallest_run_that_shows_it(
    name: str, sizes: tuple[int, ...], block: str, first_error: str
) -> None:
    report = check(getattr(adapters, name), max_examples=14)
    assert not report.ok
    failure = report.failures[0]
    assert failure.kind == "mismatch"
    assert failure.smallest is not None
    assert failure.smallest.sizes[: len(sizes)] == sizes
    assert block in failure.text
    assert report.first_error == first_error
    assert f"Repeat with: {failure.repeat}" in str(report)


def test_the_right_outputs_of_a_wrong_lstm_are_right() -> None:
    report = check(adapters.no_cell_carry, max_examples=7)
    assert [block.name for block in report.blocks if block.ok] == ["h", "C"]
    assert "h, C are correct." in str(report)


def test_the_command_repeats_the_run_and_saves_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, saved = f"{MODULE}:only_long", str(tmp_path / "run.npz")
    assert cli.main(["check", target, "--runs", "7", "--seed", "3", "--save", saved]) == 1
    first = capsys.readouterr().out
    assert first.endswith("\nINCORRECT\n")
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
    assert capsys.readouterr().out.startswith("correct: h, C")
    smallest = found["failures"][0]["smallest"]
    run = draw_case(3, smallest["run"], DOUBLE, (4, 1, 1, 1), smallest["regime"])
    assert all(np.array_equal(names["inputs"][name], array) for name, array in run.inputs.items()), "in full precision"


def test_a_callable_without_a_name_is_repeated_in_python() -> None:
    report = check(lambda **run: adapters.only_long(**run), max_examples=7)
    assert report.target is None
    repeat = report.failures[0].repeat
    assert repeat.startswith("check(adapter, run=")
    again = eval(repeat, {"check": check, "adapter": adapters.only_long})
    assert [block.name for block in again.blocks if not block.ok] == ["h"]


DRAWN = draw_case(6, 3, np.dtype(np.float32))
PROGRAM = "exec:false with 'arguments'"


@pytest.mark.parametrize(
    ("changed", "options", "arguments"),
    [
        ({}, [], ""),
        ({"sizes": DRAWN.sizes, "regime": DRAWN.regime, "layout": "manual"}, [], ""),
        ({"sizes": (1, 1, 2, 3)}, ["--sizes", "1,1,2,3"], ", sizes=(1, 1, 2, 3)"),
        ({"regime": "tiny"}, ["--regime", "tiny"], ", regime='tiny'"),
        ({"layout": "torch"}, ["--layout", "torch"], ", layout='torch'"),
        (
            {"sizes": (1, 1, 2, 3), "regime": "linear", "layout": "keras"},
            ["--sizes", "1,1,2,3", "--regime", "linear", "--layout", "keras"],
            ", sizes=(1, 1, 2, 3), regime='linear', layout='keras'",
        ),
    ],
)
def test_the_command_that_repeats_a_failure_names_only_what_differs_from_the_drawn_run(
    changed: dict[str, Any], options: list[str], arguments: str
) -> None:
    command = ["--run", "3", "--seed", "6", "--dtype", "float32", *options]
    (failure,) = check(adapters.raises, run=3, seed=6, dtype="float32", **changed).failures
    assert shlex.split(failure.repeat) == ["lstm-oracle", "check", f"{MODULE}:raises", *command]
    (failure,) = check(lambda **run: adapters.raises(**run), run=3, seed=6, dtype="float32", **changed).failures
    assert failure.repeat == f"check(adapter, run=3, seed=6, dtype='float32'{arguments})"
    if "layout" not in changed:
        (failure,) = check(PROGRAM, run=3, seed=6, dtype="float32", **changed).failures
        assert shlex.split(failure.repeat) == ["lstm-oracle", "check", PROGRAM, *command]


def test_nothing_is_saved_if_nothing_failed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "run.npz"
    assert cli.main(["check", f"{MODULE}:right", "--run", "0", "--save", str(file)]) == 0
    assert "nothing failed" in capsys.readouterr().err
    assert not file.exists()


# Bad requests.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere:adapter"], "nowhere:adapter cannot be imported: ModuleNotFoundError"),
        (["torch.nn"], "'torch.nn' is not a target; expected pkg.module:adapter, exec:./program, or one of"),
        (["exec:./nothing"], "./nothing does not exist or is not executable"),
        (
            [f"{MODULE}:right", "--save", "run.mat"],
            "--save must name a file with the suffix .npz or .py, got 'run.mat'",
        ),
        ([f"{MODULE}:right", "--sizes", "1,1,1,1"], "--sizes and --regime apply to a single run; add --run"),
        ([f"{MODULE}:right", "--run", "0", "--sizes", "1000000000,1,1,1"], "for which autodiff needs about"),
        ([f"{MODULE}:right", "--run", "0", "--regime", "wild"], "regime is 'wild'; expected one of ordinary"),
    ],
)
def test_an_unusable_request_exits_2_in_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["check", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: TARGET"),
        (["a:b", "--sizes", "1,2,3"], "argument --sizes: must be four integers T,B,D,H such as 4,2,3,5, got '1,2,3'"),
        (["a:b", "--sizes", "1,2,3,0"], "argument --sizes: must be an integer ≥ 1, got '0'"),
        (["a:b", "--timeout", "0"], "argument --timeout: must be a positive number of seconds, got '0'"),
        (["a:b", "--runs", "0"], "argument --runs/--max-examples: must be an integer ≥ 1, got '0'"),
        (["a:b", "--run", "1.5"], "argument --run: must be an integer ≥ 0, got '1.5'"),
    ],
)
def test_an_option_out_of_range_exits_2_and_names_the_option(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["check", *arguments])
    assert stopped.value.code == 2
    assert capsys.readouterr().err.endswith(f"lstm-oracle check: error: {message}\n")


OF_A_RUN = "expected four integers (T, B, D, H), with T, B, D ≥ 0 and H ≥ 1"
BAD_SIZES = [3, (), (1, 2, 3), (1, 2, 3, 4, 5), (1, 2, 3, 4.0), "1234", (1, 2, 3, 0), (-1, 2, 3, 4), {1, 2, 3, 4}]
MEMORY = "for which autodiff needs about"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float16"}, "dtype is 'float16'; expected float64 or float32"),
        ({"max_examples": 0}, "max_examples is 0; expected an integer ≥ 1"),
        ({"max_examples": 2.0}, "max_examples is 2.0; expected an integer ≥ 1"),
        ({"seed": -1}, "seed is -1; expected an integer ≥ 0"),
        ({"run": -1}, "run is -1; expected an integer ≥ 0"),
        ({"run": ""}, "run is ''; expected an integer ≥ 0"),
        ({"run": 0, "regime": "recorded"}, f"regime is 'recorded'; expected one of {', '.join(REGIMES)}"),
        ({"sizes": (1, 1, 1, 1)}, "sizes and regime apply to a single run; expected the argument run as well"),
        ({"regime": "tiny"}, "sizes and regime apply to a single run; expected the argument run as well"),
        ({"layout": "pytorch"}, f"layout is 'pytorch'; expected one of {', '.join(layout_names())}"),
        ({"timeout": 0}, "timeout is 0; expected a positive number of seconds"),
        ({"timeout": math.nan}, "timeout is nan; expected a positive number of seconds"),
        ({"timeout": "long"}, "timeout is 'long'; expected a positive number of seconds"),
        *(({"run": 0, "sizes": sizes}, f"sizes is {sizes!r}; {OF_A_RUN}") for sizes in BAD_SIZES),
        (
            {"run": 0, "sizes": (200, 100, 30, 400)},
            f"the run has T=200 B=100 D=30 H=400, {MEMORY} 7.2 GiB; expected at most 4 GiB: use fewer steps or rows",
        ),
    ],
)
def test_an_argument_that_does_not_fit_is_refused_by_name(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        check(adapters.right, **arguments)


def test_a_run_may_need_4_gib_and_no_more() -> None:
    """The limit counts 120 arrays of the size of x or h, and 40 of a gate's weights. No candidate has to run."""
    with pytest.raises(TargetError, match="'nothing' is not a target"):
        check("nothing", run=0, sizes=(1, 1, 3_355_442, 1))
    for sizes in ((1, 1, 3_355_443, 1), (1, 1, 1, 3_662), (41, 101, 1, 1000)):
        with pytest.raises(ValueError, match=f"{MEMORY} 4.0 GiB"):
            check("nothing", run=0, sizes=sizes)
