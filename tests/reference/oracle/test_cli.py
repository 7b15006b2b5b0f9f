"""The command `lstm-oracle`: what it prints, its exit status, and what it imports to say a few words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from manual import bptt
from reference.oracle import cli, verify_report

SMALL = ["verify", "--runs", "3"]


def test_a_verified_run_exits_0_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", "--runs", "24"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("VERIFIED\n")
    for row in ("δ1 ", "δ26 ", "dW_f", "db_o", "dC0", "misprint  δ8 = δ7 · δ4", "ONNX Rt"):
        assert row in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_a_mismatch_exits_1_and_gives_the_command_that_repeats_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = bptt.step_deltas
    monkeypatch.setattr(bptt, "step_deltas", lambda p, s, δ: right(p, s, δ) | {21: 2 * δ[21]})
    assert cli.main(["verify", "--runs", "3", "--seed", "5"]) == 1
    last, repeat = capsys.readouterr().out.splitlines()[-2:]
    assert last.startswith("MISMATCH bptt: δ21 at step ")
    assert repeat.startswith("Repeat with: lstm-oracle verify --seed 5 --run ")
    assert cli.main(repeat.split("lstm-oracle ")[1].split()) == 1
    assert "MISMATCH bptt: δ21" in capsys.readouterr().out


def test_json_holds_what_programs_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*SMALL, "--json"]) == 0
    verdict = json.loads(capsys.readouterr().out)
    assert verdict["ok"] is True
    assert verdict["diagnosis"] == []
    for block in verdict["blocks"]:
        assert {"name", "ok", "ratio"} <= block.keys()
        assert 0 <= block["ratio"] < 1


def test_json_knows_no_infinity() -> None:
    assert [verify_report.finite(number) for number in (1.5, float("inf"), float("nan"))] == [1.5, None, None]


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


def test_without_the_extra_it_says_how_to_install_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda module: None)
    assert cli.main(SMALL) == 2
    assert "pip install 'lstm-oracle[oracle]'" in capsys.readouterr().err


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
