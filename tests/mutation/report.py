"""The score: printed, as a table in MUTANTS.md, and as a line in the README."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant

HERE = Path(__file__).parent
ROOT, ORACLE = HERE.parents[1], Path("reference/oracle")
SUITES = tomllib.loads((HERE / "suites.toml").read_text(encoding="utf-8"))["suite"]
MARKS = "<!-- mutants -->", "<!-- /mutants -->"


def without_suite(root: Path, suites: Sequence[Mapping[str, Any]]) -> list[str]:
    """The files of manual/ and reference/ that no suite names.

    Folders of reference/oracle/ of which none is named are told as such.
    """
    named = {file for suite in suites for file in suite["files"]}
    paths = [path for part in ("manual", "reference") for path in (root / part).rglob("*.py")]
    all_ = sorted(path.relative_to(root) for path in paths)
    judged = {folder for file in all_ if file.as_posix() in named for folder in file.parents}
    left = [
        next((folder for folder in file.parents if folder.parent == ORACLE and folder not in judged), file)
        for file in all_
        if file.as_posix() not in named
    ]
    return [f"{path.as_posix()}{'' if path.suffix else '/'}" for path in dict.fromkeys(left)]


NOT_YET = without_suite(ROOT, SUITES)


@dataclass
class Score:
    """What came of the mutants of one file."""

    mutants: list[Mutant]
    killed: dict[Mutant, str] = field(default_factory=dict)  # and what failed first
    seconds: float = 0.0  # of CPU, for those that were tried now

    @property
    def survivors(self) -> list[Mutant]:
        return [mutant for mutant in self.mutants if mutant not in self.killed]


@dataclass(frozen=True)
class Equivalent:
    """Mutants of one line that do what the line does, for one reason."""

    file: str
    line: str
    mutants: tuple[str, ...]
    reason: str

    def is_of(self, mutant: Mutant) -> bool:
        same = (mutant.file, "\n".join(mutant.before)) == (self.file, self.line)
        return same and "\n".join(mutant.after) in self.mutants


def equivalents() -> list[Equivalent]:
    """Those that equivalent.toml lists."""
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))
    entries = [(file, each) for file in listed for each in listed[file]]
    return [Equivalent(file, each["line"], tuple(each["mutants"]), each["reason"]) for file, each in entries]


def unlisted(score: Score, listed: Sequence[Equivalent]) -> list[Mutant]:
    """The survivors that have no reason to."""
    return [mutant for mutant in score.survivors if not any(each.is_of(mutant) for each in listed)]


def stale(scores: Mapping[str, Score], listed: Sequence[Equivalent]) -> list[str]:
    """What is listed and does not survive, or is no mutant any more."""
    return [
        f"{each.file}: {each.line!r} to {after!r}"
        for each in listed
        if each.file in scores
        for after in each.mutants
        if not any(each.is_of(mutant) and "\n".join(mutant.after) == after for mutant in scores[each.file].survivors)
    ]


def print_scores(scores: Mapping[str, Score], listed: Sequence[Equivalent], seconds: float) -> bool:
    """The score of every file and what is wrong with it; whether nothing is."""
    left = [mutant for score in scores.values() for mutant in unlisted(score, listed)]
    for mutant in left:
        print(f"SURVIVED {mutant}")
    gone = stale(scores, listed)
    for text in gone:
        print(f"STALE    {text}")
    print("\n".join(table(scores, listed)))
    print(f"\n{not_yet()}")
    print(f"{summary(scores, listed)} {seconds:.0f} s, of CPU {sum(s.seconds for s in scores.values()):.0f} s.")
    return not left and not gone


def table(scores: Mapping[str, Score], listed: Sequence[Equivalent]) -> list[str]:
    """A row for every file."""
    rows = ["| file | mutants | killed | equivalent | survive | score |", "|---|---:|---:|---:|---:|---:|"]
    for file, score in scores.items():
        rows.append(f"| `{file}` | {' | '.join(map(str, counts([score], listed)))} |")
    return [*rows, f"| all | {' | '.join(map(str, counts([*scores.values()], listed)))} |"]


def counts(scores: Sequence[Score], listed: Sequence[Equivalent]) -> tuple[int, int, int, int, str]:
    """Mutants, killed, equivalent, survivors, and how many of those that count are killed."""
    all_, killed = sum(len(score.mutants) for score in scores), sum(len(score.killed) for score in scores)
    left = sum(len(unlisted(score, listed)) for score in scores)
    return all_, killed, all_ - killed - left, left, f"{100 * killed / (killed + left) if killed + left else 100:.5g} %"


def summary(scores: Mapping[str, Score], listed: Sequence[Equivalent]) -> str:
    all_, killed, equivalent, left, score = counts([*scores.values()], listed)
    rest = f"; {left} survive" if left else ""
    return f"{killed} of {all_} mutants of {len(scores)} files are killed, {equivalent} are equivalent{rest}: {score}."


def not_yet() -> str:
    """What the score says nothing of."""
    return f"In no suite: {', '.join(NOT_YET) or 'nothing'}."


def write(root: Path, scores: Mapping[str, Score], listed: Sequence[Equivalent]) -> None:
    """MUTANTS.md in whole, and in the README what stands between the marks."""
    lines = ["# Mutants", "", "By `make mutants`; do not edit.", "", *table(scores, listed), "", not_yet(), ""]
    lines += ["## Equivalent", ""]
    for each in (each for each in listed if each.file in scores):
        lines += [f"- `{each.file}`: {each.reason}", "", "      - " + each.line.replace("\n", "\n      - ")]
        lines += ["      + " + after.replace("\n", "\n      + ") for after in each.mutants] + [""]
    (HERE / "MUTANTS.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    inside = re.compile(rf"(?<={MARKS[0]}).*?(?={MARKS[1]})", re.S)
    readme.write_text(inside.sub(summary(scores, listed), text), encoding="utf-8")
