"""The badge of a verdict, and the job that publishes it."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lstm_oracle import Report, check
from lstm_oracle.cli.arguments import parser
from lstm_oracle.reports.badge import badge
from tests.candidates import adapters
from tests.lstm_oracle.reports.pages import report_of

JOB = Path(__file__).parents[3] / ".github" / "lstm-oracle.yml"


@pytest.mark.parametrize(
    ("reports", "message", "color"),
    [
        ([report_of("right")], "verified, float64", "brightgreen"),
        ([report_of("right", "float32")], "verified, float32", "brightgreen"),
        ([report_of("forward_only")], "h, C_T verified, float64", "brightgreen"),
        ([report_of("only_long")], "h wrong", "red"),
        ([report_of("no_cell_carry")], "15 of 18 outputs wrong", "red"),
        ([report_of("right"), report_of("only_long")], "1 of 2 runs, h wrong", "red"),
        ([report_of("right"), report_of("right")], "verified, float64", "brightgreen"),
        ([report_of("right"), report_of("forward_only", "float32")], "h, C_T verified, float32/float64", "brightgreen"),
    ],
)
def test_a_badge_says_which_outputs_are_verified_or_wrong(reports: list[Report], message: str, color: str) -> None:
    found = badge(reports)
    wrong = color != "brightgreen"
    assert found == {"schemaVersion": 1, "label": "LSTM", "message": message, "color": color, "isError": wrong}
    assert len(reports) > 1 or reports[0].to_badge() == found


@pytest.mark.parametrize(
    ("target", "message", "color"),
    [(adapters.prints, "prints to standard output", "orange"), ("exec:false", "exits its process", "lightgrey")],
)
def test_a_badge_says_how_an_adapter_misbehaves(target: Any, message: str, color: str) -> None:
    found = check(target, max_examples=1).to_badge()
    assert (found["message"], found["color"], found["isError"]) == (message, color, True)


def steps() -> list[Any]:
    yaml = pytest.importorskip("yaml")
    job = yaml.load(JOB.read_text(encoding="utf-8"), yaml.BaseLoader)  # reads `on` as a word, not as a boolean
    assert job["on"] == {"push": {"branches": ["main"]}}
    assert job["permissions"] == {"contents": "write"}
    return job["jobs"]["judge"]["steps"]


def test_the_job_publishes_the_file_that_the_command_writes() -> None:
    install, judges = (step["run"] for step in steps() if "run" in step and "if" not in step)
    assert install == "pip install . 'lstm-oracle[oracle]'"
    options = parser().parse_args(judges.split()[1:])
    assert (options.command, options.badge) == ("check", "lstm.json")
    assert steps()[-1]["if"] == "always() && hashFiles('lstm.json') != ''"


def test_the_job_commits_only_the_badge_to_its_branch(tmp_path: Path) -> None:
    publish = steps()[-1]["run"]

    def run(*command: str, folder: str = "") -> str:
        return subprocess.run(command, cwd=tmp_path / folder, check=True, capture_output=True, text=True).stdout

    run("git", "init", "--quiet", "--bare", "origin")
    for verdict in ("verified", "wrong"):
        work = tmp_path / verdict
        run("git", "clone", "--quiet", "origin", verdict)
        (work / "lstm.py").write_text("of the repository\n")
        (work / ".gitignore").write_text("*.json\n")
        run("git", "add", "--all", folder=verdict)
        run("git", "-c", "user.name=n", "-c", "user.email=e", "commit", "--quiet", "--message", "m", folder=verdict)
        (work / "lstm.json").write_text(f'"{verdict}"')
        run("bash", "-e", "-c", publish, folder=verdict)
        assert run("git", "show", "origin/badges:lstm.json", folder=verdict) == f'"{verdict}"'
        assert run("git", "ls-tree", "-r", "--name-only", "origin/badges", folder=verdict) == "lstm.json\n"
