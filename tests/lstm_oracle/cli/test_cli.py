"""The command `lstm-oracle`: what it prints, its exit status, what it imports, and how it keeps its memory."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lstm_oracle.cli import main as cli


def test_a_verified_run_exits_0_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--runs", "24"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("VERIFIED\n")
    for row in ("δ1 ", "δ26 ", "dW_f", "db_o", "dC0", "misprint  δ8 = δ7 · δ4", "ONNX Rt"):
        assert row in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_json_holds_what_programs_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--runs", "3", "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["ok"] is True
    assert verdict["diagnosis"] == []
    for block in verdict["blocks"]:
        assert {"name", "ok", "ratio"} <= block.keys()
        assert 0 <= block["ratio"] < 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["verify", "--runs", "0"], "--runs"),
        (["verify", "--runs", "many"], "--runs"),
        (["verify", "--seed", "-1"], "--seed"),
        (["verify", "--dtype", "float16"], "float16"),
        (["verify", "--run", "1.5"], "--run"),
        (["verify", "here"], "here"),
        (["judgement"], "judgement"),
        ([], "command"),
    ],
)
def test_an_unusable_request_exits_2_and_names_what_is_wrong(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("module", "arguments"), [("jax", ["verify"]), ("jinja2", ["judge", "run.npz", "--html", "page.html"])]
)
def test_a_missing_package_exits_2_and_says_how_to_install_it(
    module: str, arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # importing it fails
    assert cli.main(arguments) == 2
    assert f"{module} is not installed: pip install 'lstm-oracle[oracle]'" in capsys.readouterr().err


def test_help_imports_neither_numpy_nor_jax() -> None:
    program = (
        "import sys; from reference.oracle import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: print({'numpy', 'jax', 'rich'} & set(sys.modules))"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "verify" in answer.stdout
    assert answer.stdout.endswith("set()\n")


def test_a_badge_does_not_stay_green_where_nothing_could_be_judged(tmp_path: Path) -> None:
    file = tmp_path / "lstm.json"
    file.write_text('{"message": "verified, float64"}')
    assert cli.main(["check", "no_such_module:lstm", "--badge", str(file)]) == 2
    assert json.loads(file.read_text())["message"] == "not judged"


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only the malloc of glibc can be told to")
def test_memory_that_is_kept_costs_no_page_faults_the_second_time() -> None:
    keeping, not_keeping = (
        int(subprocess.run([sys.executable, "-c", FAULTS, argument], capture_output=True, check=True).stdout)
        for argument in ("keep", "")
    )
    assert keeping < 100 < not_keeping
