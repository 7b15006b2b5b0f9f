"""The mutants are those that are intended, and no survivor goes unnoticed."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("cosmic_ray", reason="cosmic-ray is not installed; `make mutants` installs it")

from tests.mutation import report
from tests.mutation.mutants import OPERATORS, fingerprint, generate, line_text, mutation_specs
from tests.mutation.report import ROOT, SUITES, Equivalent, EquivalentKind, Score, equivalents, stale, unlisted

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
MUTANTS = [*generate(SOURCE, "a.py")]


def test_every_operator_makes_its_mutants() -> None:
    assert {"; ".join(mutant.after) for mutant in MUTANTS} >= {
        "LEAST = 65.0", "LEAST = 63.0", "def f(a: int, b) -> int:", "if b is not None:", "if True:",
        "if a or b is not None:", "if a and b is None:", "pass", "return None",
        'raise ValueError(f"a is ; expected none")',
        'raise ValueError(f"a is {a}")', "return max(a * b.T, LEAST, key=len)", "return max(a @ b, LEAST, key=len)",
        "return max(a, LEAST, key=len)", "return max(a @ b.T, LEAST)", "return (a @ b.T)",
    }  # fmt: skip


def test_every_mutant_is_another_program_and_changes_neither_docstrings_nor_annotations() -> None:
    lines = [line for mutant in MUTANTS for line in mutant.before]
    assert not [line for line in lines if "Text" in line or "More" in line or line.startswith("Array")]
    assert fingerprint("x: int = 1") == fingerprint("x: str = 1") != fingerprint("x: int = 2")
    assert fingerprint("zip(a, b, strict=True)") == fingerprint("zip(a, b)")
    assert fingerprint("if TYPE_CHECKING:\n    x = 1") == fingerprint("if False:\n    x = 1")
    assert len({fingerprint(mutant.code) for mutant in MUTANTS} | {fingerprint(SOURCE)}) == len(MUTANTS) + 1
    assert len({mutant.item.job_id for mutant in MUTANTS}) == len(MUTANTS)


def test_every_operator_changes_something_in_the_source() -> None:
    missing = {f"more/{name}" for name in OPERATORS}
    for path in sorted((ROOT / "manual").rglob("*.py")) + sorted((ROOT / "reference").rglob("*.py")):
        if missing:
            missing -= {spec.operator_name for spec in mutation_specs(path.read_text(encoding="utf-8"), "a.py")}
    assert not missing


def test_unlisted_survivors_and_stale_entries_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    survivor, *killed = MUTANTS
    score = Score(MUTANTS, dict.fromkeys(killed, "test_it"))
    single = Equivalent("a.py", "\n".join(survivor.before), ("\n".join(survivor.after),), "A reason.")
    kind = EquivalentKind(("a.py",), "", "^LEAST", "Another reason.")
    gone = Equivalent("a.py", "x = 1", ("x = 2",), "A reason.")
    gone_kind = EquivalentKind(("a.py",), "g", "", "Another reason.")
    assert unlisted(score, []) == [survivor]
    for listed in ([single], [kind]):
        assert unlisted(score, listed) == stale({"a.py": score}, listed) == []
    for listed, printed in (
        ([single], "| 100 % |"),
        ([], "SURVIVED a.py:"),
        ([single, gone], "STALE    a.py: 'x = 1'"),
        ([single, gone_kind], "STALE    a.py: '' in 'g'"),
    ):
        assert report.print_scores({"a.py": score}, listed, 0) == (listed == [single])
        assert printed in capsys.readouterr().out


def test_every_file_is_in_one_suite_or_listed_as_in_none() -> None:
    files = [file for suite in SUITES for file in suite["files"]]
    assert len({*files}) == len(files)
    for part in ("manual", "reference"):
        for path in (ROOT / part).rglob("*.py"):
            file = path.relative_to(ROOT).as_posix()
            none = [
                name for name in report.WITHOUT_SUITE if name == file or (name[-1] == "/" and file.startswith(name))
            ]
            assert len(none) == (file not in files)
    assert f"\n{report.without_suite_text()}\n" in (ROOT / "tests/mutation/MUTANTS.md").read_text(encoding="utf-8")


def test_every_file_test_and_line_of_the_lists_exists() -> None:
    tests = [test for suite in SUITES for stage in suite["stages"] for test in stage]
    listed = equivalents()
    kinds = [each for each in listed if isinstance(each, EquivalentKind)]
    files = [*(file for suite in SUITES for file in suite["files"]), *(file for kind in kinds for file in kind.files)]
    assert [file for file in (*files, *(test.split("::")[0] for test in tests)) if not (ROOT / file).is_file()] == []
    for file, _, name in (test.partition("::") for test in tests):
        assert not name or f"def {name}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file}::{name}"
    for kind in kinds:
        assert re.compile(kind.functions)
        for file in kind.files:
            lines = [line_text(line) for line in (ROOT / file).read_text(encoding="utf-8").splitlines()]
            assert any(re.search(kind.lines, line) for line in lines), f"{file}: {kind.lines}"
    for each in (each for each in listed if isinstance(each, Equivalent)):
        lines = [line_text(line) for line in (ROOT / each.file).read_text(encoding="utf-8").splitlines()]
        assert {*each.line.split("\n")} <= {*lines, ""}, f"{each.file}: {each.line}"
