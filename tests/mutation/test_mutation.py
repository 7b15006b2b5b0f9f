"""The mutants are those that are meant, and none of them gets by unnoticed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed; `make mutants` installs it")

from tests.mutation import mutants as making
from tests.mutation import report
from tests.mutation.mutants import made, meaning
from tests.mutation.report import Equivalent, Score, stale, unlisted

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


def afters() -> set[str]:
    return {"; ".join(mutant.after) for mutant in made(SOURCE, "a.py")}


@pytest.mark.parametrize(
    "after",
    [
        "LEAST = 65.0", "LEAST = 63.0", "def f(a: int, b) -> int:", "if b is not None:", "if True:",
        "if a or b is not None:", "if a and b is None:", "pass", "return None",
        'raise ValueError(f"a is ; expected none")',
        'raise ValueError(f"a is {a}")', "return max(a * b.T, LEAST, key=len)", "return max(a @ b, LEAST, key=len)",
        "return max(a, LEAST, key=len)", "return max(a @ b.T, LEAST)", "return (a @ b.T)",
    ],
)  # fmt: skip
def test_what_can_be_mistaken_is_mistaken(after: str) -> None:
    assert after in afters()


def test_what_does_nothing_is_left_alone() -> None:
    lines = [line for mutant in made(SOURCE, "a.py") for line in mutant.before]
    assert not [line for line in lines if "Text" in line or "More" in line or line.startswith("Array")]
    assert meaning("x: int = 1") == meaning("x: str = 1") != meaning("x: int = 2")
    assert meaning("zip(a, b, strict=True)") == meaning("zip(a, b)")


def test_every_mutant_is_another_program() -> None:
    found = [*made(SOURCE, "a.py")]
    assert len({meaning(mutant.code) for mutant in found} | {meaning(SOURCE)}) == len(found) + 1
    assert len({mutant.item.job_id for mutant in found}) == len(found)


def test_every_operator_does_something_somewhere() -> None:
    root = Path(__file__).parents[2]
    files = [
        root / "manual/bptt.py",
        root / "manual/derivation.py",
        root / "reference/oracle/tolerance.py",
        root / "reference/oracle/findings.py",
    ]
    found = {spec.operator_name for file in files for spec in making.specs(file.read_text(encoding="utf-8"), "a.py")}
    assert {f"more/{name}" for name in making.OPERATORS} <= found


def test_a_survivor_without_a_reason_and_a_reason_without_a_survivor_are_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    all_of_them = [*made(SOURCE, "a.py")]
    score = Score(all_of_them, dict.fromkeys(all_of_them[1:], "test_it"))
    lives = all_of_them[0]
    listed = [Equivalent("a.py", "\n".join(lives.before), ("\n".join(lives.after),), "It is.")]
    gone = [Equivalent("a.py", "x = 1", ("x = 2",), "It was.")]
    assert unlisted(score, []) == [lives]
    assert unlisted(score, listed) == stale({"a.py": score}, listed) == []
    assert stale({"a.py": score}, gone) == ["a.py: 'x = 1' to 'x = 2'"]
    assert report.print_scores({"a.py": score}, listed, 0)
    assert "| 100 % |" in capsys.readouterr().out
    assert not report.print_scores({"a.py": score}, [], 0)
    assert "SURVIVED a.py:" in capsys.readouterr().out
    assert not report.print_scores({"a.py": score}, [*listed, *gone], 0)
    assert "STALE    a.py: 'x = 1'" in capsys.readouterr().out


def test_the_score_goes_between_the_marks_of_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "HERE", tmp_path)
    readme = tmp_path / "README.md"
    readme.write_text("- Before. <!-- mutants -->old\n  text<!-- /mutants -->\nAfter.\n", encoding="utf-8")
    found = [*made(SOURCE, "a.py")]
    report.write(tmp_path, {"a.py": Score(found, dict.fromkeys(found, "test_it"))}, [])
    said = f"{len(found)} of {len(found)} mutants of 1 files are killed, 0 are equivalent: 100 %."
    assert readme.read_text(encoding="utf-8") == f"- Before. <!-- mutants -->{said}<!-- /mutants -->\nAfter.\n"
    assert "| `a.py` |" in (tmp_path / "MUTANTS.md").read_text(encoding="utf-8")


def test_every_file_is_in_one_suite_or_told_to_be_in_none() -> None:
    files = [file for suite in report.SUITES for file in suite["files"]]
    assert len({*files}) == len(files)
    root = Path(__file__).parents[2]
    assert all((root / file).is_file() for file in files)
    for part in ("manual", "reference"):
        for path in (root / part).rglob("*.py"):
            file = path.relative_to(root).as_posix()
            told = [name for name in report.NOT_YET if name == file or (name[-1] == "/" and file.startswith(name))]
            assert len(told) == (file not in files)
    assert all(file in report.not_yet() for file in report.NOT_YET)
    assert f"\n{report.not_yet()}\n" in (root / "tests/mutation/MUTANTS.md").read_text(encoding="utf-8")


def test_what_no_suite_names_is_told_a_folder_of_the_oracle_at_once(tmp_path: Path) -> None:
    for file in ("manual/a.py", "manual/b.py", "manual/unit.svg", "reference/c.py", "reference/oracle/d.py"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    for folder in ("bugs", "packages"):
        (tmp_path / "reference/oracle" / folder).mkdir()
        for file in ("e.py", "f.py"):
            (tmp_path / "reference/oracle" / folder / file).touch()
    suites: list[dict[str, Any]] = [{"files": ["manual/b.py"]}, {"files": ["reference/oracle/bugs/e.py"]}]
    assert report.without_suite(tmp_path, suites) == [
        "manual/a.py",
        "reference/c.py",
        "reference/oracle/bugs/f.py",
        "reference/oracle/d.py",
        "reference/oracle/packages/",
    ]
