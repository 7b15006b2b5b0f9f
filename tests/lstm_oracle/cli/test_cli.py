"""The command `lstm-oracle`: output, exit status, and memory."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_oracle.cli import main as cli


def test_a_verification_exits_0_and_prints_every_edge(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--runs", "24"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("VERIFIED\n")
    for row in ("δ1 ", "δ26 ", "dW_f", "db_o", "dC0", "misprint  δ8 = δ7 · δ4", "ONNX Rt"):
        assert row in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_the_json_of_a_verification_has_the_verdict_and_every_block(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--runs", "3", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["diagnosis"] == []
    for block in report["blocks"]:
        assert {"name", "ok", "ratio"} <= block.keys()
        assert 0 <= block["ratio"] < 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "--runs", "0"], "argument --runs: must be an integer ≥ 1, got '0'"),
        (["verify", "--runs", "many"], "argument --runs: must be an integer ≥ 1, got 'many'"),
        (["verify", "--seed", "-1"], "argument --seed: must be an integer ≥ 0, got '-1'"),
        (["verify", "--dtype", "float16"], "argument --dtype: invalid choice: 'float16'"),
        (["verify", "here"], "unrecognized arguments: here"),
        (["judgement"], "argument command: invalid choice: 'judgement'"),
        ([], "the following arguments are required: command"),
    ],
)
def test_an_unusable_request_exits_2_and_names_the_argument(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "arguments"), [("jax", ["verify"]), ("jinja2", ["judge", "run.npz", "--html", "page.html"])]
)
def test_a_missing_package_exits_2_with_the_command_that_installs_it(
    module: str, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    assert cli.main(arguments) == 2
    assert f"{module} is not installed: pip install 'lstm-oracle[oracle]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["no_such_module:lstm"], ["tests.candidates.adapters:right", "--sizes", "1,2,3,4"]]
)
def test_the_badge_of_an_earlier_verdict_is_replaced_if_nothing_could_be_judged(
    arguments: list[str], tmp_path: Path
) -> None:
    file = tmp_path / "lstm.json"
    file.write_text('{"message": "verified, float64"}')
    assert cli.main(["check", *arguments, "--badge", str(file)]) == 2
    assert json.loads(file.read_text())["message"] == "not judged"


def test_a_check_in_which_nothing_was_judged_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    target = "tests.candidates.adapters:refuses_empty"
    assert cli.main(["check", target, "--run", "1", "--sizes", "0,1,2,3"]) == 2
    assert capsys.readouterr().out.endswith("NOT JUDGED\n")


FAULTS = """
import resource, sys
import numpy as np
from lstm_oracle.cli.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(2**17) for _ in range(20)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

if "keep" in sys.argv:
    keep_freed_memory()
faults()
np.ones(2**19)
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs the malloc of glibc")
def test_reused_memory_causes_no_page_faults() -> None:
    kept, returned = (
        int(subprocess.run([sys.executable, "-c", FAULTS, argument], capture_output=True, check=True).stdout)
        for argument in ("keep", "")
    )
    assert kept < 100 < returned
