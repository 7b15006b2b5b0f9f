"""Known packages by name: those that are installed are right, and each adapter, made wrong, is found out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from reference.oracle import cli, examination, found, peers
from reference.oracle.candidate import candidate
from reference.oracle.cases import draw_case
from reference.oracle.checking import check
from reference.oracle.packages import PACKAGES, Package
from reference.oracle.peers import Peer
from reference.oracle.truth import truths
from reference.oracle.worker import TargetError
from tests.candidates import packaged

FORWARD = {"onnxruntime": {"h", "C_T"}, "onnx": {"h", "C_T"}}
FLOAT32_ALONE = ("onnxruntime",)
SIZES = 4, 1, 3, 5  # of one row: nothing is computed in pieces, and one shape compiled


@pytest.fixture(params=PACKAGES)
def installed(request: pytest.FixtureRequest) -> str:
    if missing := PACKAGES[request.param].missing:
        pytest.skip(f"not installed: {missing}")
    return str(request.param)


def test_a_package_is_judged_by_its_name_on_all_that_it_gives(installed: str) -> None:
    dtype = "float32" if installed in FLOAT32_ALONE else "float64"
    report = check(installed, dtype=dtype, run=1, sizes=SIZES, timeout=120)
    given = {block.name for block in report.blocks}
    gradients = {"dx", "dh0", "dC0", *(f"d{kind}_{k}" for kind in "WUb" for k in "figo")}
    assert given - {"C"} == FORWARD.get(installed, gradients | {"h", "C_T"})
    assert report.ok or installed == "keras"  # whose tanh is computed in float32: see FOUND.md
    assert report.target == installed


def test_a_wrong_adapter_turns_its_row_red(installed: str) -> None:
    if installed in ("keras", "jax"):
        pytest.skip("it sets its backend for its process" if installed == "keras" else "Flax's is of its kind")
    report = check(f"{packaged.__name__}:{installed}", dtype="float32", run=1, sizes=SIZES, timeout=120)
    peer = Peer(PACKAGES[installed], "float32", report)
    assert (peer.verdict, peer.faulty) == ("wrong", True)
    assert peers.row(peer)[-1] == "wrong"
    assert [bug.id for bug in report.diagnosis] == ["gate_order_ifgo"]


def nowhere(name: str = "nowhere") -> Package:
    return Package(name, "Nowhere", "nowhere.LSTM", {"no_such_module": "no-such-package"})


def test_one_that_is_not_installed_says_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(PACKAGES, "nowhere", nowhere())
    assert cli.main(["check", "nowhere"]) == 2
    assert capsys.readouterr().err == "lstm-oracle: nowhere is not installed: pip install no-such-package\n"


def test_a_target_that_is_no_package_is_told_their_names() -> None:
    with pytest.raises(TargetError, match=r"'torhc' is no target; expected .*, or one of torch, flax, equinox"):
        candidate("torhc")


def test_peers_lists_what_is_judged_and_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "PACKAGES", {"onnx": PACKAGES["onnx"], "nowhere": nowhere()})
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--found", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if "ONNX" in line]
    assert [(row[1], row[-5], row[-1]) for row in rows] == [
        (PACKAGES["onnx"].version, dtype, "right") for dtype in ("float64", "float32")
    ]
    assert "Nowhere is not installed: pip install no-such-package" in lines
    assert lines[-1] == "ALL RIGHT"
    assert max(map(len, lines)) <= 120
    written = file.read_text(encoding="utf-8")
    assert f"| ONNX | {PACKAGES['onnx'].version} |" in written
    assert written.endswith("No fault was found in any of them.\n")


def test_a_precision_that_is_not_taken_is_no_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PACKAGES", {name: PACKAGES[name] for name in ("onnxruntime", "onnx")})
    assert cli.main(["peers", "--runs", "2", "--dtype", "float64", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    peer, other = answer["peers"]
    assert (answer["ok"], peer["verdict"], peer["judged"], other["verdict"]) == (True, "refuses", 0, "right")
    assert "does not support double" in peer["why"]
    assert not peer["report"]["ok"]


def test_one_that_cannot_be_imported_is_not_called_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = Wrong("onnx", "ONNX", "no_such_adapter", {"onnx": "onnx"})
    monkeypatch.setitem(PACKAGES, "onnx", broken)
    monkeypatch.setattr(peers, "PACKAGES", {"onnx": broken})
    assert cli.main(["peers", "--runs", "1", "--dtype", "float64"]) == 2
    printed = capsys.readouterr().out
    assert "not judged: tests.candidates.packaged:no_such_adapter cannot be imported" in printed
    assert printed.endswith("NOT JUDGED, at least one\n")


def test_one_that_takes_no_run_in_a_precision_that_it_has_is_not_called_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(peers, "PACKAGES", {"onnx": wrong(monkeypatch, "of_another_version")})
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--dtype", "float64", "--found", str(file)]) == 2
    assert capsys.readouterr().out.endswith("NOT JUDGED, at least one\n")
    assert "Could not be judged:" in file.read_text(encoding="utf-8")


def test_peers_share_sizes_over_all_regimes_and_are_judged_on_empty_runs() -> None:
    cases = peers.draw(3, 9, np.dtype(np.float32))
    assert len({case.sizes for case in cases[:7]}) == 1
    assert len({case.regime for case in cases[:7]}) == 7
    assert cases[7].sizes == cases[8].sizes != cases[0].sizes
    assert [case.sizes.index(0) for case in cases[9:]] == [0, 1, 2]


# What is written of a fault.


class Wrong(Package):
    """A package by another adapter."""

    @property
    def target(self) -> str:
        return f"{packaged.__name__}:{self.lstm}"


def wrong(monkeypatch: pytest.MonkeyPatch, adapter: str) -> Package:
    package = Wrong("onnx", "ONNX", adapter, {"onnx": "onnx"})
    monkeypatch.setitem(PACKAGES, "onnx", package)
    return package


def test_a_fault_is_written_with_its_run_and_its_exact_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = wrong(monkeypatch, "a_little_wrong")
    monkeypatch.setattr(peers, "PACKAGES", {"onnx": package})
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--seed", "5", "--dtype", "float32", "--found", str(file)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert next(line for line in lines if "ONNX" in line).split()[-1] == "wrong"
    assert lines[-1] == "1 of 1 FAULTY"
    text = file.read_text(encoding="utf-8")
    assert f"## ONNX {package.version}, a_little_wrong, float32\n\nh is wrong on " in text
    assert "    lstm-oracle check onnx --run 0 --seed 5 --dtype float32 --sizes 1,1,1,1" in text
    assert "It goes wrong first in h, at step 0." in text
    assert "Confirmed: the exact values" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| h[0, 0, 0] |")]
    _, _, exact, got, *_ = (cell.strip() for cell in row.split("|"))
    assert float(got) - float(exact) == pytest.approx(1e-3, rel=1e-3)


def test_what_does_not_stand_before_certified_truth_is_not_called_confirmed() -> None:
    case = draw_case(0, 0, np.dtype(np.float64), (2, 1, 2, 3))
    (truth,) = truths([case])
    right = {"h": truth.blocks["h"].copy()}
    assert found.confirmed(case.inputs, truth, right) == []
    mistaken = replace(truth, blocks={**truth.blocks, "h": truth.blocks["h"] + 1e-6})
    (number,) = found.confirmed(case.inputs, mistaken, right)
    assert not number.ok
    assert number.ours > 1e6


def test_a_value_that_is_no_number_is_confirmed_to_be_wrong() -> None:
    case = draw_case(0, 0, np.dtype(np.float64), (2, 1, 2, 3))
    (truth,) = truths([case])
    (number,) = found.confirmed(case.inputs, truth, {"h": np.full_like(truth.blocks["h"], np.nan)})
    assert number.ok


def test_a_crash_is_written_with_its_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "DEATHS", 6)
    peer = peers.judge(wrong(monkeypatch, "crashing"), "float64", 1, 0, lambda runs: None)
    assert (peer.verdict, peer.faulty) == ("misbehaves", True)
    text = found.markdown([peer], 0)
    assert "It crashes the process: died of SIGABRT" in text
    assert "    lstm-oracle check onnx --run " in text
