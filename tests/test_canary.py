"""The canary, canary.py, which CI runs without pytest as well: planted mistakes are found by the commands, by name."""

from __future__ import annotations

import subprocess
from dataclasses import replace

import pytest

from tests import canary

PLANTED = canary.PLANTED[0]


def test_a_planted_mistake_ends_the_command_with_status_1_its_name_and_how_to_repeat_it() -> None:
    status, said = canary.judged(replace(PLANTED, command=("verify", "--runs", "3", "--seed", "5")))
    assert (status, PLANTED.said in said) == (1, True)
    repeat = said.splitlines()[-1].removeprefix("Repeat with: lstm-oracle ")
    assert repeat.startswith("verify --seed 5 --run ")
    status, said = canary.judged(replace(PLANTED, command=tuple(repeat.split())))
    assert (status, PLANTED.said in said) == (1, True)


@pytest.mark.parametrize(("status", "said"), [(0, "MISMATCH bptt: δ8 at step 2"), (2, ""), (1, "MISMATCH bptt: δ9")])
def test_a_command_that_sees_nothing_or_something_else_fails_the_job(
    status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], status, said, "")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: done)
    assert canary.main() == 1


def test_a_mistake_that_cannot_be_planted_is_reported() -> None:
    with pytest.raises(SystemExit, match=r"does not have 'δ\[8\] = δ\[9\]' once"):
        canary.judged(replace(PLANTED, right="δ[8] = δ[9]"))
