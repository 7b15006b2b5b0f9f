"""The canary, canary.py, which CI also runs without pytest: the commands detect planted mistakes and name them."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from tests import canary

PLANTED = canary.PLANTED[0]


def test_a_planted_mistake_is_reported_with_status_1_and_the_command_that_repeats_the_run() -> None:
    status, output = canary.run_with(replace(PLANTED, command=("verify", "--runs", "3", "--seed", "5")))
    assert (status, PLANTED.expected in output) == (1, True)
    repeat = output.splitlines()[-1].removeprefix("Repeat with: lstm-oracle ")
    assert repeat.startswith("verify --seed 5 --run ")
    status, output = canary.run_with(replace(PLANTED, command=tuple(repeat.split())))
    assert (status, PLANTED.expected in output) == (1, True)


@pytest.mark.parametrize(
    ("status", "output"),
    [(0, f"{PLANTED.expected}2"), (2, ""), (1, PLANTED.expected.replace("δ8", "δ9"))],
)
def test_the_canary_fails_if_a_command_detects_nothing_or_another_mistake(
    status: int, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], status, output, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert canary.main() == 1


def test_a_mistake_that_cannot_be_planted_is_reported() -> None:
    with pytest.raises(SystemExit, match=r"'δ\[8\] = δ\[9\]' must occur once in manual/derivation.py"):
        canary.run_with(replace(PLANTED, right="δ[8] = δ[9]"))
