"""An adapter whose weights lie as a package's do: `check`, the command and `pytest --lstm-layout` judge it as any."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from manual.layouts import LAYOUTS
from reference.oracle import check, cli
from reference.oracle.conformance import properties
from reference.oracle.laid_out import NAMES, inputs_in, outputs_from, outputs_in
from reference.run import OUTPUTS
from tests.candidates import adapters, torch_style
from tests.strategies import without_zeros
from tests.twins import same_bits

pytest_plugins = ["pytester"]

MODULE = torch_style.__name__
ROOT = Path(__file__).parents[3]
COUNT = len(list(properties()))
RETURNED = [name for name in OUTPUTS if name != "C"]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_right_lstm_in_pytorchs_layout_is_right(dtype: str) -> None:
    report = check(torch_style.right, layout="torch", max_examples=30, dtype=dtype)
    assert report.ok, str(report)
    assert [block.name for block in report.blocks] == RETURNED
    assert ", layout torch, seed 0; " in str(report)
    assert report.to_json()["layout"] == "torch"


def test_other_layouts_hand_out_other_arrays() -> None:
    assert check(torch_style.keras, layout="keras", max_examples=8).ok
    assert check(torch_style.haiku, layout="haiku", max_examples=16).ok
    assert check(adapters.right, layout="source", max_examples=5).ok
    assert not check(torch_style.keras, layout="flax-nnx-optimized", max_examples=5).ok
    assert not check(torch_style.right, layout="manual", max_examples=5).ok


@pytest.mark.parametrize("layout", NAMES)
def test_what_is_handed_out_comes_back(layout: str) -> None:
    run = without_zeros((1, 1, 2, 3)).inputs
    handed = inputs_in(layout, run)
    gradients = {f"d{name}": array for name, array in handed.items() if f"d{name}" in outputs_in(layout)}
    if layout in LAYOUTS:
        for name in LAYOUTS[layout].names("second_b"):  # as a weight it is zero
            first = f"d{LAYOUTS[layout].names('b')[0]}"
            half = gradients[first][..., : gradients[first].shape[-1] // (2 if first == f"d{name}" else 1)]
            gradients[f"d{name}"] = np.concatenate([half, half], axis=-1) if first == f"d{name}" else half
    back = outputs_from(layout, gradients)
    want = {f"d{name}": run[name] for name in run if f"d{name}" in back}
    if layout == "haiku":  # of the weights' bias 1 was taken, and gradients have none added
        back["db_f"] += 1
    assert len(back) == 15 if layout == "manual" else 12
    assert all(np.allclose(back[name], want[name], rtol=1e-15, atol=1e-15) for name in want)
    assert layout == "haiku" or same_bits(back, want)


@pytest.mark.parametrize(
    ("name", "kind", "said"),
    [
        ("one_bias_forgotten", "layout", "the gradients of bias_ih_l0 and bias_hh_l0 differ by up to "),
        ("without_a_weight", "layout", "dweight_hh_l0 missing; expected dweight_hh_l0, dweight_ih_l0, dbias_ih_l0, db"),
        ("transposed", "layout", r"dweight_ih_l0 has shape ("),
        ("gradients_by_the_runs_names", "unknown_name", "'dW_f' is no output; expected h, C, C_T, dx, dh0, dC0, dweig"),
        ("writes_weights", "writes_inputs", "weight_hh_l0 changed during the call"),
    ],
)
def test_what_it_does_wrong_is_told_by_its_own_names(name: str, kind: str, said: str) -> None:
    report = check(getattr(torch_style, name), layout="torch", max_examples=4)
    (failure,) = [failure for failure in report.failures if failure.kind == kind]
    assert said in failure.text
    assert failure.repeat.endswith(" --layout torch")
    assert {block.name for block in report.blocks} >= {"h", "C_T", "dx", "dh0", "dC0"}
    assert all(block.ok for block in report.blocks if block.name[:2] not in ("dW", "dU", "db"))


def test_biases_that_do_not_come_are_not_judged() -> None:
    report = check(torch_style.without_biases, layout="torch", max_examples=5)
    assert report.ok
    assert [block.name for block in report.blocks] == [name for name in RETURNED if name[:2] != "db"]


def test_wrong_values_are_told_by_the_runs_names_and_the_command_repeats_them(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved = tmp_path / "shows.py"
    command = ["check", f"{MODULE}:gates_exchanged", "--layout", "torch", "--runs", "5", "--save", str(saved)]
    assert cli.main(command) == 1
    told = capsys.readouterr().out
    assert "dW_f, dW_i are wrong on 6 of 8 runs; h, C_T, dW_g, dW_o, dU_*, " in told
    repeat = next(line for line in told.splitlines() if line.startswith("Repeat with: lstm-oracle "))
    assert cli.main(repeat.split()[3:]) == 1
    shown = subprocess.run([sys.executable, saved], cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 1
    assert "AssertionError: wrong: dW_f, dW_i" in shown.stderr


def test_an_unusable_layout_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="layout is 'pytorch'; expected one of manual, source, torch, "):
        check(torch_style.right, layout="pytorch")
    assert cli.main(["check", "exec:true", "--layout", "torch"]) == 2
    assert "the layout is 'torch'; expected 'manual': a program gets the run's own" in capsys.readouterr().err


def test_pytest_judges_it_in_its_layout(pytester: pytest.Pytester) -> None:
    def judged(name: str, *options: str) -> pytest.RunResult:
        target = f"--lstm={MODULE}:{name}"
        return pytester.runpytest_inprocess(
            target, "--lstm-layout=torch", "--lstm-runs=5", "-p", "no:randomly", *options
        )

    result = judged("right", "-rs")
    result.assert_outcomes(passed=COUNT - 1, skipped=1)
    result.stdout.fnmatch_lines(["lstm: *:right, 5 runs, float64, layout torch, seed 0; *", "*C is not returned*"])
    result = judged("gates_exchanged", "-k", "values")
    result.assert_outcomes(passed=len(RETURNED) - 2, failed=2, skipped=1, deselected=COUNT - len(OUTPUTS))
    result.stdout.fnmatch_lines(["*dW_f is wrong on * of 8 runs*", "Repeat with: * --layout torch", "FAILED *dW_i*"])
    result = judged("one_bias_forgotten", "-k", "outputs or dx")
    result.assert_outcomes(passed=1, failed=1, deselected=COUNT - 2)
    result.stdout.fnmatch_lines(
        ["it returns gradients that do not lie as the weights do: the gradients of bias_ih_l0 *"]
    )
