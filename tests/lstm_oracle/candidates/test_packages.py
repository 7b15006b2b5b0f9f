"""Known packages are judged by name: those that are installed are right, and each adapter, made wrong, is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lstm_oracle import check
from lstm_oracle.candidates.base import TargetError
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.candidates.packages import PACKAGES, Package
from lstm_oracle.cli import main as cli
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.truth.truth import truths
from tests import found
from tests.candidates import packaged

FORWARD = {"onnxruntime": {"h", "C_T"}, "onnx": {"h", "C_T"}}
FLOAT32_ALONE = ("onnxruntime",)
SIZES = 4, 1, 3, 5  # of one row: nothing is computed in pieces, and one shape compiled
NOWHERE = Package("nowhere", "Nowhere", "nowhere.LSTM", {"no_such_module": "no-such-package"})


class WithAdapter(Package):
    """A package by another adapter, named in the place of its LSTM."""

    @property
    def target(self) -> str:
        return f"{packaged.__name__}:{self.lstm}"


def onnx_by(adapter: str) -> Package:
    return WithAdapter("onnx", "ONNX", adapter, {"onnx": "onnx"})


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function after whose call these packages are the known ones."""

    def known(*packages: Package) -> None:
        for name in [*PACKAGES]:
            monkeypatch.delitem(PACKAGES, name)
        for package in packages:
            monkeypatch.setitem(PACKAGES, package.name, package)

    return known


@pytest.fixture(params=PACKAGES)
def installed(request: pytest.FixtureRequest) -> str:
    if missing := PACKAGES[request.param].missing:
        pytest.skip(f"not installed: {missing}")
    return str(request.param)


def test_every_output_of_a_package_is_judged_by_its_name(installed: str) -> None:
    dtype = "float32" if installed in FLOAT32_ALONE else "float64"
    report = check(installed, dtype=dtype, run=1, sizes=SIZES, timeout=120)
    given = {block.name for block in report.blocks}
    gradients = {"dx", "dh0", "dC0", *(f"d{kind}_{k}" for kind in "WUb" for k in "figo")}
    assert given - {"C"} == FORWARD.get(installed, gradients | {"h", "C_T"})
    assert report.ok or installed == "keras"  # whose tanh is computed in float32: see FOUND.md


def test_an_adapter_with_two_gates_exchanged_is_wrong_and_its_mistake_named(installed: str) -> None:
    if installed in ("keras", "jax"):
        pytest.skip("it sets its backend for its process" if installed == "keras" else "Flax's is of its kind")
    report = check(f"{packaged.__name__}:{installed}", dtype="float32", run=1, sizes=SIZES, timeout=120)
    assert [bug["id"] for bug in report.to_json()["diagnosis"]] == ["gate_order_ifgo"]


def test_a_target_that_is_no_installed_package_says_what_to_do(
    only: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TargetError, match=r"'torhc' is no target; expected .*, or one of torch, flax, equinox"):
        open_candidate("torhc")
    only(NOWHERE)
    assert cli.main(["check", "nowhere"]) == 2
    assert capsys.readouterr().err == "lstm-oracle: nowhere is not installed: pip install no-such-package\n"


def test_peers_lists_what_is_judged_and_what_is_missing(
    only: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    onnx = PACKAGES["onnx"]
    only(onnx, NOWHERE)
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--found", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if "ONNX" in line]
    assert [(row[1], row[-5], row[-1]) for row in rows] == [
        (onnx.version, dtype, "right") for dtype in ("float64", "float32")
    ]
    assert "Nowhere is not installed: pip install no-such-package" in lines
    assert lines[-1] == "ALL RIGHT"
    assert max(map(len, lines)) <= 120
    assert file.read_text(encoding="utf-8").endswith("No fault was found in any of them.\n")


def test_a_precision_that_a_package_does_not_have_is_no_fault(
    only: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    only(PACKAGES["onnxruntime"], PACKAGES["onnx"])
    assert cli.main(["peers", "--runs", "7", "--dtype", "float64", "--json"]) == 0
    peer, other = json.loads(capsys.readouterr().out)["peers"]
    assert (peer["verdict"], peer["judged"], peer["report"]["ok"]) == ("refuses", 0, False)
    assert "does not support double" in peer["why"]
    assert (other["verdict"], other["judged"]) == ("right", 9), "the seven, and two of the three empty ones"


@pytest.mark.parametrize("adapter", ["no_such_adapter", "of_another_version"])
def test_a_package_that_takes_no_run_in_a_precision_that_it_has_is_not_judged(
    adapter: str, only: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only(onnx_by(adapter))
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--dtype", "float64", "--found", str(file)]) == 2
    printed = capsys.readouterr().out
    assert "not judged: " in printed
    assert (f"{packaged.__name__}:{adapter} cannot be imported" in printed) == (adapter == "no_such_adapter")
    assert printed.endswith("NOT JUDGED, at least one\n")
    assert "Could not be judged:" in file.read_text(encoding="utf-8")


def test_a_wrong_value_is_written_with_its_run_and_its_exact_value(
    only: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only(onnx_by("a_little_wrong"))
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--seed", "5", "--dtype", "float32", "--found", str(file)]) == 1
    assert capsys.readouterr().out.endswith("1 of 1 FAULTY\n")
    text = file.read_text(encoding="utf-8")
    assert ", a_little_wrong, float32\n\nh is wrong on " in text
    assert "    lstm-oracle check onnx --run 0 --seed 5 --dtype float32 --sizes 1,1,1,1" in text
    assert "It goes wrong first in h, at step 0." in text
    assert "Confirmed: the exact values" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| h[0, 0, 0] |")]
    _, _, exact, got, *_ = (cell.strip() for cell in row.split("|"))
    assert float(got) - float(exact) == pytest.approx(1e-3, rel=1e-3)


def test_a_crash_is_written_with_its_run(
    only: Callable[..., None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    only(onnx_by("crashing"))
    file = tmp_path / "FOUND.md"
    assert cli.main(["peers", "--runs", "1", "--dtype", "float64", "--found", str(file)]) == 1
    assert next(line for line in capsys.readouterr().out.splitlines() if "ONNX" in line).split()[-1] == "misbehaves"
    text = file.read_text(encoding="utf-8")
    assert "It crashes the process: died of SIGABRT" in text
    assert "    lstm-oracle check onnx --run " in text


def test_only_an_error_against_certified_truth_is_confirmed() -> None:
    case = draw_case(0, 0, np.dtype(np.float64), (2, 1, 2, 3))
    (truth,) = truths([case])
    h = truth.blocks["h"]
    assert found.confirmed(case.inputs, truth, {"h": h.copy()}) == []
    (number,) = found.confirmed(case.inputs, truth, {"h": np.full_like(h, np.nan)})
    assert number.ok
    mistaken = replace(truth, blocks={**truth.blocks, "h": h + 1e-6})  # the judge's own truth is wrong
    (number,) = found.confirmed(case.inputs, mistaken, {"h": h.copy()})
    assert not number.ok
    assert number.ours > 1e6
