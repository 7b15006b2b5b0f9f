"""The badge of a verdict, and the job that publishes it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from reference.oracle import judge
from reference.oracle.badge import badge
from reference.oracle.report import Failure, Report, unread
from tests.reference.oracle.pages import recorded

JOB = Path(__file__).parents[3] / ".github" / "lstm-oracle.yml"


@cache
def report_of(name: str, dtype: str = "float64") -> Report:
    return judge(recorded(name, dtype))


def keeps_state() -> Report:
    return replace(report_of("right"), failures=(Failure("keeps_state", "…", 0, None),))


def crashes() -> Report:
    return replace(report_of("right"), blocks=(), failures=(Failure("crashes", "…", 1, None),))


@pytest.mark.parametrize(
    ("reports", "message", "color"),
    [
        ([report_of("right")], "verified, float64", "brightgreen"),
        ([report_of("right", "float32")], "verified, float32", "brightgreen"),
        ([report_of("forward_only")], "h, C_T verified, float64", "brightgreen"),
        ([report_of("only_long")], "h wrong", "red"),
        ([report_of("no_cell_carry")], "15 of 18 outputs wrong", "red"),
        ([keeps_state()], "keeps state between calls", "orange"),
        ([crashes()], "crashes the process", "lightgrey"),
        ([unread("run.npz", "no run")], "not judged", "lightgrey"),
        ([report_of("right"), report_of("only_long")], "1 of 2 runs, h wrong", "red"),
        ([report_of("right"), report_of("right")], "verified, float64", "brightgreen"),
    ],
)
def test_it_says_what_was_found_and_no_more(reports: list[Report], message: str, color: str) -> None:
    found = badge(reports)
    wrong = color != "brightgreen"
    assert found == {"schemaVersion": 1, "label": "LSTM", "message": message, "color": color, "isError": wrong}
    assert json.loads(json.dumps(found)) == found
    assert len(reports) > 1 or reports[0].to_badge() == found


def job() -> Any:
    yaml = pytest.importorskip("yaml")
    return yaml.load(JOB.read_text(encoding="utf-8"), yaml.BaseLoader)  # in which `on` is a word and no truth value


def test_the_job_judges_and_publishes_what_the_command_wrote() -> None:
    assert job()["on"] == {"push": {"branches": ["main"]}}
    assert job()["permissions"] == {"contents": "write"}
    steps = job()["jobs"]["judge"]["steps"]
    install, judges = (step["run"] for step in steps if "run" in step and "if" not in step)
    assert install == "pip install . 'lstm-oracle[oracle]'"
    from reference.oracle.arguments import parser

    options = parser().parse_args(judges.split()[1:])
    assert (options.command, options.badge) == ("check", "lstm.json")
    assert steps[-1]["if"] == "always() && hashFiles('lstm.json') != ''"


def test_the_job_puts_the_badge_alone_on_its_branch_again_and_again(tmp_path: Path) -> None:
    publish = job()["jobs"]["judge"]["steps"][-1]["run"]
    here = {"cwd": tmp_path / "work", "check": True, "capture_output": True, "text": True}

    def git(*words: str, **where: Any) -> str:
        return subprocess.run(["git", *words], **(here | where)).stdout

    git("init", "--quiet", "--bare", "origin", cwd=tmp_path)
    for verdict in ("verified", "wrong"):
        work = tmp_path / "work"
        subprocess.run(["rm", "-rf", work], check=True)
        git("clone", "--quiet", "origin", "work", cwd=tmp_path)
        (work / "lstm.py").write_text("of the repository\n")
        (work / ".gitignore").write_text("*.json\n")
        git("add", "--all")
        git("-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--message", verdict)
        (work / "lstm.json").write_text(f'"{verdict}"')
        subprocess.run(["bash", "-e", "-c", publish], **here)
        assert git("show", "origin/badges:lstm.json") == f'"{verdict}"'
        assert git("ls-tree", "-r", "--name-only", "origin/badges") == "lstm.json\n"
