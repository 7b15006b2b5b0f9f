"""Known packages: the installed ones are correct, wrong adapters are noticed, and FOUND.md describes failures."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from lstm_oracle import check
from lstm_oracle.candidates.base import TargetError
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.candidates.packages import PACKAGES, Package
from lstm_oracle.cli import main as cli
from lstm_oracle.cli.peers import judge_all, status
from lstm_oracle.inputs.cases import draw_case
from lstm_oracle.truth.truth import truths
from tests import found
from tests.candidates import packaged

FORWARD_ONLY = {"onnxruntime": {"h", "C_T"}, "onnx": {"h", "C_T"}}
SIZES = 4, 1, 3, 5  # one row, so that every package compiles one shape only
NOWHERE = Package("nowhere", "Nowhere", "nowhere.LSTM", {"no_such_module": "no-such-package"})


class WithAdapter(Package):
    """A package whose adapter is a function of `packaged`, named in the place of the LSTM."""

    @property
    def target(self) -> str:
        return f"{packaged.__name__}:{self.lstm}"


def onnx_by(adapter: str) -> Package:
    return WithAdapter("onnx", "ONNX", adapter, {"onnx": "onnx"})


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that replaces the known packages by these."""

    def replace_by(*packages: Package) -> None:
        for name in [*PACKAGES]:
            monkeypatch.delitem(PACKAGES, name)
        for package in packages:
            monkeypatch.setitem(PACKAGES, package.name, package)

    return replace_by


@pytest.fixture(params=PACKAGES)
def installed(request: pytest.FixtureRequest) -> str:
    if missing := PACKAGES[request.param].missing:
        pytest.skip(f"not installed: {missing}")
    return str(request.param)


# By name.


def test_every_output_of_a_package_is_judged_by_name(installed: str) -> None:
    dtype = PACKAGES[installed].dtypes[0]
    report = check(installed, dtype=dtype, run=1, sizes=SIZES, timeout=120)
    gradients = {"dx", "dh0", "dC0", *(f"d{kind}_{k}" for kind in "WUb" for k in "figo")}
    judged = {block.name for block in report.blocks}
    assert judged - {"C"} == FORWARD_ONLY.get(installed, gradients | {"h", "C_T"})
    assert report.ok or installed == "keras"  # which computes tanh in float32: see FOUND.md


def test_an_adapter_with_two_gates_exchanged_is_wrong_and_the_mistake_is_named(installed: str) -> None:
    if installed in ("keras", "jax"):
        pytest.skip(
            "it sets the backend of its process" if installed == "keras" else "its adapter is like that of Flax"
        )
    report = check(f"{packaged.__name__}:{installed}", dtype="float32", run=1, sizes=SIZES, timeout=120)
    assert [bug["id"] for bug in report.to_json()["diagnosis"]] == ["gate_order_ifgo"]


def test_an_unusable_target_is_refused_with_the_known_packages_or_what_to_install(
    known: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TargetError, match=r"'torhc' is not a target; expected .*, or one of torch, flax, equinox"):
        open_candidate("torhc")
    known(NOWHERE)
    assert cli.main(["check", "nowhere"]) == 2
    assert capsys.readouterr().err == "lstm-oracle: nowhere is not installed: pip install no-such-package\n"


# `lstm-oracle peers`.


def test_peers_lists_what_is_judged_and_what_is_missing(
    known: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    onnx = PACKAGES["onnx"]
    known(onnx, NOWHERE)
    assert cli.main(["peers", "--runs", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split() for line in lines if "ONNX" in line]
    assert [(row[1], row[-5], row[-1]) for row in rows] == [
        (onnx.version, dtype, "correct") for dtype in ("float64", "float32")
    ]
    assert "Nowhere is not installed: pip install no-such-package" in lines
    assert lines[-1] == "ALL CORRECT"
    assert max(map(len, lines)) <= 120


def test_a_precision_that_a_package_does_not_support_is_not_a_failure(
    known: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    known(PACKAGES["onnxruntime"], PACKAGES["onnx"])
    assert cli.main(["peers", "--runs", "7", "--dtype", "float64", "--json"]) == 0
    peer, other = json.loads(capsys.readouterr().out)["peers"]
    assert (peer["verdict"], peer["judged"], peer["report"]["ok"]) == ("not supported", 0, False)
    assert "does not support double" in peer["reason"]
    assert (other["verdict"], other["judged"]) == ("correct", 9), "seven runs, and two of the three empty ones"


# FOUND.md.


def found_in(package: Package, dtype: str, seed: int = 0) -> tuple[int, str]:
    """The exit status of `make found` for one run of a package, and the text of FOUND.md."""
    peers = judge_all([package.name], [dtype], 1, seed, lambda runs: None)
    return status(peers), found.markdown(peers, seed)


def test_a_correct_package_has_no_failures() -> None:
    exit_status, text = found_in(PACKAGES["onnx"], "float64")
    assert exit_status == 0
    assert text.endswith("No failure was found in any of them.\n")


@pytest.mark.parametrize("adapter", ["no_such_adapter", "of_another_version"])
def test_a_package_that_accepts_no_run_in_a_supported_precision_is_not_judged(
    adapter: str, known: Callable[..., None]
) -> None:
    known(onnx_by(adapter))
    exit_status, text = found_in(PACKAGES["onnx"], "float64")
    assert exit_status == 2
    assert "Could not be judged:" in text
    assert (f"{packaged.__name__}:{adapter} cannot be imported" in text) == (adapter == "no_such_adapter")


def test_a_wrong_value_is_described_with_its_run_and_its_exact_value(known: Callable[..., None]) -> None:
    known(onnx_by("a_little_wrong"))
    exit_status, text = found_in(PACKAGES["onnx"], "float32", seed=5)
    assert exit_status == 1
    assert ", a_little_wrong, float32\n\nh is wrong on " in text
    assert "    lstm-oracle check onnx --run 0 --seed 5 --dtype float32 --sizes 1,1,1,1" in text
    assert "First error in the forward pass: h at step 0." in text
    assert "Confirmed: every digit of the exact values is certain" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| h[0, 0, 0] |")]
    _, _, exact, got, *_ = (cell.strip() for cell in row.split("|"))
    assert float(got) - float(exact) == pytest.approx(1e-3, rel=1e-3)


def test_a_crash_is_described_with_its_run(known: Callable[..., None]) -> None:
    known(onnx_by("crashing"))
    exit_status, text = found_in(PACKAGES["onnx"], "float64")
    assert exit_status == 1
    assert "| misbehaves |" in text
    assert "Crashes its process: killed by SIGABRT" in text
    assert "    lstm-oracle check onnx --run " in text


def test_only_an_error_against_certified_truth_is_confirmed() -> None:
    case = draw_case(0, 0, np.dtype(np.float64), (2, 1, 2, 3))
    (truth,) = truths([case])
    h = truth.blocks["h"]
    assert found.confirmed(case.inputs, truth, {"h": h.copy()}) == []
    (number,) = found.confirmed(case.inputs, truth, {"h": np.full_like(h, np.nan)})
    assert number.ok
    mistaken = replace(truth, blocks={**truth.blocks, "h": h + 1e-6})  # the truth of the oracle itself is wrong
    (number,) = found.confirmed(case.inputs, mistaken, {"h": h.copy()})
    assert not number.ok
    assert number.oracle_ulps > 1e6
