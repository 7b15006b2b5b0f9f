"""The canary sings: see canary.py, which CI runs without pytest as well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests import canary


def test_a_planted_mistake_ends_the_main_job_with_status_1_and_its_name() -> None:
    status, said = canary.judged(canary.PLANTED[0])
    assert status == 1
    assert canary.PLANTED[0].said in said


@pytest.mark.parametrize(("status", "said"), [(0, "MISMATCH bptt: δ8 at step 2"), (2, ""), (1, "MISMATCH bptt: δ9")])
def test_a_judge_that_sees_nothing_or_something_else_fails_the_job(
    status: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(canary, "judged", lambda planted: (status, said))
    assert canary.main() == 1


def test_a_mistake_that_cannot_be_planted_is_reported() -> None:
    with pytest.raises(SystemExit, match=r"does not have 'δ\[8\] = δ\[9\]' once"):
        canary.judged(replace(canary.PLANTED[0], right="δ[8] = δ[9]"))
