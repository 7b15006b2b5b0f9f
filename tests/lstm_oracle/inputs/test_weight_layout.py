"""Adapters with the weight layout of a package are judged by `check`, the command and pytest like any other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lstm_oracle import check
from lstm_oracle.cli import main as cli
from lstm_oracle.run import OUTPUTS, WEIGHTS
from manual import Params
from manual.layouts import LAYOUTS, pack, unpack
from tests.candidates import adapters, torch_style

pytest_plugins = ["pytester"]

MODULE = torch_style.__name__
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_adapter_in_the_layout_of_a_package_is_judged_on_all_outputs(layout: str) -> None:
    def adapter(x: Any, h0: Any, C0: Any, dh: Any, dh_T: Any, dC_T: Any, **weights: Any) -> Any:
        params = unpack(weights, layout)
        outputs = adapters.right(x=x, h0=h0, C0=C0, dh=dh, dh_T=dh_T, dC_T=dC_T, **params.gates())
        gradients = Params.from_gates(**{name: outputs.pop(f"d{name}") for name in WEIGHTS})
        return outputs | {f"d{name}": a for name, a in pack(gradients, layout, gradients=True).items()}

    report = check(adapter, layout=layout, max_examples=8)
    assert report.ok, str(report)
    assert [block.name for block in report.blocks] == [*OUTPUTS]


def test_a_correct_lstm_passes_in_its_own_layout_and_fails_in_others() -> None:
    for dtype in ("float64", "float32"):
        report = check(torch_style.right, layout="torch", max_examples=30, dtype=dtype)
        assert report.ok, str(report)
        assert ", layout torch, seed 0; " in str(report)
        assert report.to_json()["layout"] == "torch"
    assert check(torch_style.keras, layout="keras", max_examples=8).ok
    assert check(torch_style.haiku, layout="haiku", max_examples=16).ok
    assert not check(torch_style.keras, layout="flax-nnx-optimized", max_examples=5).ok
    assert not check(torch_style.right, layout="manual", max_examples=5).ok


def test_missing_outputs_are_not_judged() -> None:
    report = check(torch_style.without_biases, layout="torch", max_examples=5)
    assert report.ok
    assert [block.name for block in report.blocks] == [name for name in OUTPUTS if name != "C" and name[:2] != "db"]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("one_bias_forgotten", "layout", "the gradients of bias_ih_l0 and bias_hh_l0 differ by up to "),
        (
            "without_a_weight",
            "layout",
            "dweight_hh_l0 is missing; expected dweight_hh_l0, dweight_ih_l0, dbias_ih_l0, db",
        ),
        ("transposed", "layout", r"dweight_ih_l0 has shape ("),
        (
            "gradients_by_the_runs_names",
            "unknown_name",
            "'dW_f' is not an output; expected any of h, C, C_T, dx, dh0, ",
        ),
        ("writes_weights", "writes_inputs", "weight_hh_l0 changed during the call"),
    ],
)
def test_a_fault_of_the_adapter_is_reported_by_the_names_of_its_layout(name: str, kind: str, message: str) -> None:
    report = check(getattr(torch_style, name), layout="torch", max_examples=4)
    (failure,) = [failure for failure in report.to_json()["failures"] if failure["kind"] == kind]
    assert message in failure["text"]
    assert failure["repeat"].endswith(" --layout torch")
    assert {block.name for block in report.blocks} >= {"h", "C_T", "dx", "dh0", "dC0"}
    assert all(block.ok for block in report.blocks if block.name[:2] not in ("dW", "dU", "db"))


def test_wrong_values_are_reported_by_the_names_of_the_run_and_can_be_repeated(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    saved = tmp_path / "shows.py"
    command = ["check", f"{MODULE}:gates_exchanged", "--layout", "torch", "--runs", "5", "--save", str(saved)]
    assert cli.main(command) == 1
    text = capsys.readouterr().out
    assert "dW_f, dW_i are wrong on 6 of 8 runs; h, C_T, dW_g, dW_o, dU_*, " in text
    repeat = next(line for line in text.splitlines() if line.startswith("Repeat with: lstm-oracle "))
    assert cli.main(repeat.split()[3:]) == 1
    saved_script = subprocess.run([sys.executable, saved], cwd=ROOT, capture_output=True, text=True)
    assert saved_script.returncode == 1
    assert "AssertionError: wrong: dW_f, dW_i" in saved_script.stderr


def test_an_unusable_layout_is_rejected(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="layout is 'pytorch'; expected one of manual, source, torch, "):
        check(torch_style.right, layout="pytorch")
    assert cli.main(["check", "exec:true", "--layout", "torch"]) == 2
    assert "layout is 'torch'; expected 'manual', the only layout for programs" in capsys.readouterr().err


def test_pytest_judges_an_adapter_in_its_layout(pytester: pytest.Pytester) -> None:
    options = "--lstm-layout=torch", "--lstm-runs=5", "-p", "no:randomly", "-ra", "-k", "values or outputs"
    result = pytester.runpytest_inprocess(f"--lstm={MODULE}:gates_exchanged", *options)
    result.assert_outcomes(
        passed=len(OUTPUTS) - 2, failed=2, skipped=1, deselected=result.parseoutcomes()["deselected"]
    )
    lines = "*C was not returned*", "FAILED *dW_f*", "FAILED *dW_i*"
    head = "lstm: *:gates_exchanged, 5 runs, float64, layout torch, seed 0; *"
    result.stdout.fnmatch_lines([head, "*dW_f is wrong on * of 8 runs*", "Repeat with: * --layout torch", *lines])
    result = pytester.runpytest_inprocess(f"--lstm={MODULE}:one_bias_forgotten", *options[:2], "-k", "outputs or dx")
    result.assert_outcomes(passed=1, failed=1, deselected=result.parseoutcomes()["deselected"])
    result.stdout.fnmatch_lines(["*: the gradients of bias_ih_l0 and bias_hh_l0 differ *"])
