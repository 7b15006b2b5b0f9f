"""The mutants are those that are meant, and none of them survives unnoticed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed; `make mutants` installs it")

from tests.mutation import mutants as making
from tests.mutation import report
from tests.mutation.mutants import made, meaning
from tests.mutation.report import Equivalent, Score, stale, unlisted

ROOT = Path(__file__).parents[2]
SOURCE = '''
"""Text that does nothing."""

LEAST = 64.0
Array = dict[str, int]


def f(a: int, b: Array | None = None) -> int:
    """More of it."""
    if a and b is not None:
        raise ValueError(f"a is {a}; expected none")
    return max(a @ b.T, LEAST, key=len)
'''
MUTANTS = [*made(SOURCE, "a.py")]


def test_everything_that_can_be_mistaken_is_mistaken() -> None:
    assert {"; ".join(mutant.after) for mutant in MUTANTS} >= {
        "LEAST = 65.0", "LEAST = 63.0", "def f(a: int, b) -> int:", "if b is not None:", "if True:",
        "if a or b is not None:", "if a and b is None:", "pass", "return None",
        'raise ValueError(f"a is ; expected none")',
        'raise ValueError(f"a is {a}")', "return max(a * b.T, LEAST, key=len)", "return max(a @ b, LEAST, key=len)",
        "return max(a, LEAST, key=len)", "return max(a @ b.T, LEAST)", "return (a @ b.T)",
    }  # fmt: skip


def test_every_mutant_is_another_program_and_changes_no_text_or_annotation() -> None:
    lines = [line for mutant in MUTANTS for line in mutant.before]
    assert not [line for line in lines if "Text" in line or "More" in line or line.startswith("Array")]
    assert meaning("x: int = 1") == meaning("x: str = 1") != meaning("x: int = 2")
    assert meaning("zip(a, b, strict=True)") == meaning("zip(a, b)")
    assert len({meaning(mutant.code) for mutant in MUTANTS} | {meaning(SOURCE)}) == len(MUTANTS) + 1
    assert len({mutant.item.job_id for mutant in MUTANTS}) == len(MUTANTS)


def test_every_operator_changes_something_in_the_source() -> None:
    missing = {f"more/{name}" for name in making.OPERATORS}
    for path in sorted((ROOT / "manual").rglob("*.py")) + sorted((ROOT / "reference").rglob("*.py")):
        if missing:
            missing -= {spec.operator_name for spec in making.specs(path.read_text(encoding="utf-8"), "a.py")}
    assert not missing


def test_survivors_without_a_reason_and_reasons_without_a_survivor_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    score = Score(MUTANTS, dict.fromkeys(MUTANTS[1:], "test_it"))
    lives = MUTANTS[0]
    listed = [Equivalent("a.py", "\n".join(lives.before), ("\n".join(lives.after),), "It is.")]
    gone = [Equivalent("a.py", "x = 1", ("x = 2",), "It was.")]
    assert unlisted(score, []) == [lives]
    assert unlisted(score, listed) == stale({"a.py": score}, listed) == []
    for reasons, said in ((listed, "| 100 % |"), ([], "SURVIVED a.py:"), ([*listed, *gone], "STALE    a.py: 'x = 1'")):
        assert report.print_scores({"a.py": score}, reasons, 0) == (reasons is listed)
        assert said in capsys.readouterr().out


def test_every_file_is_in_one_suite_or_told_to_be_in_none() -> None:
    files = [file for suite in report.SUITES for file in suite["files"]]
    assert len({*files}) == len(files)
    assert all((ROOT / file).is_file() for file in files)
    for part in ("manual", "reference"):
        for path in (ROOT / part).rglob("*.py"):
            file = path.relative_to(ROOT).as_posix()
            told = [name for name in report.NOT_YET if name == file or (name[-1] == "/" and file.startswith(name))]
            assert len(told) == (file not in files)
    assert f"\n{report.not_yet()}\n" in (ROOT / "tests/mutation/MUTANTS.md").read_text(encoding="utf-8")
