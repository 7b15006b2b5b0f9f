"""`peers`: judges the known packages that are installed, one after another, each in a separate process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lstm_oracle.candidates.base import TargetError
from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.candidates.packages import PACKAGES, Package
from lstm_oracle.inputs.cases import REGIMES, Case, draw_case
from lstm_oracle.judging.check import EMPTY_SIZES
from lstm_oracle.judging.examination import examine
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.text import number, paragraph
from lstm_oracle.reports.verdict import Block, versions
from lstm_oracle.run import DType

TIMEOUT = 300.0  # seconds for one run, during which a package may compile a new shape


@dataclass(frozen=True)
class Peer:
    """A package in one precision, with the report."""

    package: Package
    dtype: str
    report: Report | None  # None if the package could not be started
    reason: str = ""  # why the package could not be started, or supports no run

    @property
    def verdict(self) -> str:
        """One of "correct", "incorrect", "misbehaves", "not supported" and "not judged"."""
        if self.report is None:
            return "not judged"
        if self.reason:
            return "not supported"
        if self.report.ok:
            return "correct"
        return "misbehaves" if all(block.ok for block in self.blocks) else "incorrect"

    @property
    def blocks(self) -> tuple[Block, ...]:
        """The outputs that were returned."""
        return self.report.blocks if self.report else ()

    @property
    def worst(self) -> Block | None:
        """The output with the worst error."""
        return max(self.blocks, key=lambda block: block.ratio, default=None)

    @property
    def faulty(self) -> bool:
        """True if the package is incorrect or misbehaves."""
        return self.verdict in ("incorrect", "misbehaves")


def judge_all(
    names: Sequence[str], dtypes: Sequence[str], runs: int, seed: int, progress: Callable[[int], None]
) -> list[Peer]:
    """Judge packages, each in every precision.

    Args:
        names: the packages.
        dtypes: the precisions.
        runs: the number of runs to draw for each package and precision.
        seed: determines which runs are drawn.
        progress: called with the number of runs that have been judged since the last call.
    """
    return [judge_package(PACKAGES[name], dtype, runs, seed, progress) for name in names for dtype in dtypes]


def judge_package(package: Package, dtype: str, runs: int, seed: int, progress: Callable[[int], None]) -> Peer:
    """Judge one package in one precision."""
    kind: DType = np.dtype(dtype)
    try:
        with open_candidate(package.name, timeout=TIMEOUT) as candidate:
            report = examine(candidate, draw_few_sizes(seed, runs, kind), seed=seed, dtype=kind, progress=progress)
    except TargetError as error:
        return Peer(package, dtype, None, str(error))
    reason = refusal(report)
    return Peer(package, dtype, None if reason and dtype in package.dtypes else report, reason)


def draw_few_sizes(seed: int, runs: int, dtype: DType) -> list[Case]:
    """Draw cases of few sizes in every regime, as some packages compile for each size, followed by the empty cases."""
    drawn = (draw_case(seed, number, dtype).sizes for number in count())
    sizes = list(islice((size for size in drawn if 0 not in size), -(-runs // len(REGIMES))))
    cases = [draw_case(seed, number, dtype, sizes[number // len(REGIMES)]) for number in range(runs)]
    return cases + [draw_case(seed, runs + k, dtype, empty) for k, empty in enumerate(EMPTY_SIZES)]


def refusal(report: Report) -> str:
    """Return why a package supports no run in this precision; empty if it supports any."""
    if any(trial.findings or trial.kinds - {FailureKind.RAISES} for trial in report.trials):
        return ""
    reasons = [trial.refusal or trial.problems[0].text for trial in report.trials if trial.refusal or trial.problems]
    return reasons[0] if reasons and len(reasons) == len(report.trials) else ""


def show(peers: Sequence[Peer], seed: int) -> None:
    """Print the table and the failures on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:  # rich would wrap lines at 80 columns in a file or a pipe
        console.width = 120
    console.print("Worst error of each package, relative to the rounding tolerance (above 1 fails):\n")
    console.print(table(peers))
    for line in [*not_installed(), *(remark for peer in peers for remark in remarks(peer))]:
        console.print(line, soft_wrap=True)
    console.print(conclusion(peers, seed))


def table(peers: Sequence[Peer]) -> Table:
    """Return a table with a row for each package and precision."""
    columns = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("package", "version", "LSTM", "dtype", "runs", "worst", "output", "verdict"):
        columns.add_column(name, justify="right" if name in ("runs", "worst") else "left")
    for peer in peers:
        columns.add_row(*row(peer), style="bold red" if peer.faulty else "")
    return columns


def row(peer: Peer) -> list[str]:
    """Return the cells of a package's row."""
    head = [peer.package.title, peer.package.version, peer.package.lstm, peer.dtype]
    runs = str(judged(peer))
    worst = [number(peer.worst.ratio), peer.worst.name] if peer.worst else ["–", "–"]
    return [*head, runs, *worst, peer.verdict]


def judged(peer: Peer) -> int:
    """Return the number of runs with outputs that were judged."""
    return sum(bool(trial.findings) for trial in peer.report.trials) if peer.report else 0


def not_installed() -> list[Text]:
    """Return a line for each package that is not installed."""
    missing = {package.title: package.missing for package in PACKAGES.values() if package.missing}
    return [Text(f"{title} is not installed: pip install {needed}") for title, needed in missing.items()]


def remarks(peer: Peer) -> list[Text]:
    """Return why a package was not judged, or its failures."""
    head = f"\n{peer.package.title} {peer.package.version}, {peer.dtype}: "
    if peer.reason:
        return [Text(f"{head}{peer.verdict}: {peer.reason}")]
    if not peer.report or not peer.faulty:
        return []
    return [Text(head + "\n".join(paragraph(peer.report, failure) for failure in peer.report.failures))]


def conclusion(peers: Sequence[Peer], seed: int) -> Text:
    """Return the extent of the judgement, and the verdict."""
    seconds = sum(peer.report.seconds for peer in peers if peer.report)
    by = ", ".join(f"{name} {number}" for name, number in versions().items())
    text = Text(f"\nRuns judged: {sum(map(judged, peers))}. Seed {seed}, {seconds:.0f} s; {by}.\n")
    if faulty := sum(peer.faulty for peer in peers):
        return text.append(f"{faulty} of {len(peers)} FAULTY", style="bold red")
    if status(peers):
        return text.append("SOME NOT JUDGED", style="bold red")
    return text.append("ALL CORRECT", style="bold green")


def status(peers: Sequence[Peer]) -> int:
    """Return the exit status: 0 if all are correct, 1 if any is faulty, 2 if any or all could not be judged."""
    if any(peer.faulty for peer in peers):
        return 1
    return 0 if any(map(judged, peers)) and all(peer.report for peer in peers) else 2


def to_json(peers: Sequence[Peer], seed: int) -> dict[str, Any]:
    """Return the reports as JSON."""
    return {
        "ok": status(peers) == 0,
        "peers": [
            {"package": peer.package.name, "version": peer.package.version, "lstm": peer.package.lstm}
            | {"dtype": peer.dtype, "verdict": peer.verdict, "reason": peer.reason, "judged": judged(peer)}
            | {"report": peer.report and peer.report.to_json()}
            for peer in peers
        ],
        "missing": {name: package.missing for name, package in PACKAGES.items() if package.missing},
        "seed": seed,
        "versions": versions(),
    }


def installed() -> list[str]:
    """Return the names of the packages that are installed."""
    return [name for name, package in PACKAGES.items() if not package.missing]
