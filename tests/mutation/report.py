"""Reports the score: printed, as a table in MUTANTS.md, and as a line in reference/README.md."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.mutation.mutants import Mutant

HERE = Path(__file__).parent
ROOT, PACKAGE = HERE.parents[1], Path("reference/lstm_oracle")
SUITES = tomllib.loads((HERE / "suites.toml").read_text(encoding="utf-8"))["suite"]
MARKS = "<!-- mutants -->", "<!-- /mutants -->"


def without_suite(root: Path, suites: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the files of manual/ and reference/ that no suite names; a wing without any named file as a folder."""
    named = {file for suite in suites for file in suite["files"]}
    paths = [path for part in ("manual", "reference") for path in (root / part).rglob("*.py")]
    files = sorted(path.relative_to(root) for path in paths)
    with_suite = {folder for file in files if file.as_posix() in named for folder in file.parents}
    left = [
        next((folder for folder in file.parents if folder.parent == PACKAGE and folder not in with_suite), file)
        for file in files
        if file.as_posix() not in named
    ]
    return [f"{path.as_posix()}{'' if path.suffix else '/'}" for path in dict.fromkeys(left)]


WITHOUT_SUITE = without_suite(ROOT, SUITES)


@dataclass
class Score:
    """The mutants of one file, and which of them were killed."""

    mutants: list[Mutant]
    killed: dict[Mutant, str] = field(default_factory=dict)  # with the test that failed first
    seconds: float = 0.0  # of CPU time, for the mutants that were tested in this run

    @property
    def survivors(self) -> list[Mutant]:
        """The mutants with which no test failed."""
        return [mutant for mutant in self.mutants if mutant not in self.killed]


@dataclass(frozen=True)
class EquivalentKind:
    """Mutants that change no result, all for one reason: those of some files, functions and lines.

    Tests may nevertheless kill some of these mutants, such as one that raises an exception.
    """

    files: tuple[str, ...]
    functions: str  # a regular expression that matches the whole name of the function or class; "" at module level
    lines: str  # a regular expression that matches part of the changed lines
    reason: str

    def includes(self, mutant: Mutant) -> bool:
        """Return whether a mutant is of this kind."""
        function, lines = mutant.spec.definition_name or "", "\n".join(mutant.before)
        in_function = re.fullmatch(self.functions, function) is not None
        return mutant.file in self.files and in_function and re.search(self.lines, lines) is not None


@dataclass(frozen=True)
class Equivalent:
    """Mutants of one line that do what the line does, all for one reason."""

    file: str
    line: str
    mutants: tuple[str, ...]
    reason: str

    def includes(self, mutant: Mutant) -> bool:
        """Return whether a mutant is one of these."""
        same = (mutant.file, "\n".join(mutant.before)) == (self.file, self.line)
        return same and "\n".join(mutant.after) in self.mutants


Listed = Equivalent | EquivalentKind


def equivalents() -> list[Listed]:
    """Return the entries of equivalent.toml: kinds, and single mutants by file and line."""
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))
    kinds = [
        EquivalentKind(tuple(each["files"]), each.get("functions", ".*"), each.get("lines", ""), each["reason"])
        for each in listed.pop("kind", [])
    ]
    entries = [(file, each) for file in listed for each in listed[file]]
    single = [Equivalent(file, each["line"], tuple(each["mutants"]), each["reason"]) for file, each in entries]
    return [*kinds, *single]


def unlisted(score: Score, listed: Sequence[Listed]) -> list[Mutant]:
    """Return the survivors that are not listed as equivalent."""
    return [mutant for mutant in score.survivors if not any(each.includes(mutant) for each in listed)]


def stale(scores: Mapping[str, Score], listed: Sequence[Listed]) -> list[str]:
    """Return listed mutants that do not survive or no longer exist, and kinds that include no mutant of a file."""
    single = [
        f"{each.file}: {each.line!r} to {after!r}"
        for each in listed
        if isinstance(each, Equivalent) and each.file in scores
        for after in each.mutants
        if not any(each.includes(mutant) and "\n".join(mutant.after) == after for mutant in scores[each.file].survivors)
    ]
    kinds = [
        f"{file}: {kind.lines!r} in {kind.functions!r}"
        for kind in listed
        if isinstance(kind, EquivalentKind)
        for file in kind.files
        if file in scores and not any(kind.includes(mutant) for mutant in scores[file].mutants)
    ]
    return single + kinds


def print_scores(scores: Mapping[str, Score], listed: Sequence[Listed], seconds: float) -> bool:
    """Print the score of every file, unlisted survivors and stale entries; return whether there are none of either."""
    left = [mutant for score in scores.values() for mutant in unlisted(score, listed)]
    for mutant in left:
        print(f"SURVIVED {mutant}")
    stale_entries = stale(scores, listed)
    for text in stale_entries:
        print(f"STALE    {text}")
    print("\n".join(table(scores, listed)))
    print(f"\n{without_suite_text()}")
    print(f"{summary(scores, listed)} {seconds:.0f} s; CPU time {sum(s.seconds for s in scores.values()):.0f} s.")
    return not left and not stale_entries


def table(scores: Mapping[str, Score], listed: Sequence[Listed]) -> list[str]:
    """Return the lines of a table with a row for every file, and the totals."""
    rows = ["| file | mutants | killed | equivalent | survive | score |", "|---|---:|---:|---:|---:|---:|"]
    for file, score in scores.items():
        rows.append(f"| `{file}` | {' | '.join(map(str, counts([score], listed)))} |")
    return [*rows, f"| all | {' | '.join(map(str, counts([*scores.values()], listed)))} |"]


def counts(scores: Sequence[Score], listed: Sequence[Listed]) -> tuple[int, int, int, int, str]:
    """Return how many mutants there are, were killed, are equivalent and survive, and the score."""
    all_, killed = sum(len(score.mutants) for score in scores), sum(len(score.killed) for score in scores)
    left = sum(len(unlisted(score, listed)) for score in scores)
    return all_, killed, all_ - killed - left, left, f"{100 * killed / (killed + left) if killed + left else 100:.5g} %"


def summary(scores: Mapping[str, Score], listed: Sequence[Listed]) -> str:
    """Return the score in one sentence."""
    all_, killed, equivalent, left, score = counts([*scores.values()], listed)
    rest = f"; {left} survive" if left else ""
    return f"{killed} of {all_} mutants of {len(scores)} files are killed, {equivalent} are equivalent{rest}: {score}."


def without_suite_text() -> str:
    """Return which files have no suite, in one sentence."""
    return f"In no suite: {', '.join(WITHOUT_SUITE) or 'nothing'}."


def write(root: Path, scores: Mapping[str, Score], listed: Sequence[Listed]) -> None:
    """Write MUTANTS.md, and the text between the marks in reference/README.md."""
    lines = ["# Mutants", "", "Written by `make mutants`; do not edit.", "", *table(scores, listed), ""]
    lines += [without_suite_text(), ""]
    lines += ["## Equivalent", ""]
    for kind in (each for each in listed if isinstance(each, EquivalentKind)):
        count = sum(kind.includes(mutant) for score in scores.values() for mutant in score.survivors)
        lines += [f"- {', '.join(f'`{file}`' for file in kind.files)}: {kind.reason} ({count})"] * (count > 0)
    lines += [""]
    for each in (each for each in listed if isinstance(each, Equivalent) and each.file in scores):
        lines += [f"- `{each.file}`: {each.reason}", "", "      - " + each.line.replace("\n", "\n      - ")]
        lines += ["      + " + after.replace("\n", "\n      + ") for after in each.mutants] + [""]
    (HERE / "MUTANTS.md").write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")
    readme = root / "reference" / "README.md"
    text = readme.read_text(encoding="utf-8")
    inside = re.compile(rf"(?<={MARKS[0]}).*?(?={MARKS[1]})", re.S)
    readme.write_text(inside.sub(summary(scores, listed), text), encoding="utf-8")
