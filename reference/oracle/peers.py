"""`peers`: judges the known packages that are installed, each in a process of its own, one after the other."""

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

from reference.oracle.candidate import candidate
from reference.oracle.cases import REGIMES, Case, draw_case
from reference.oracle.checking import EMPTY
from reference.oracle.examination import Examination
from reference.oracle.packages import PACKAGES, Package
from reference.oracle.report import Block, Report, versions
from reference.oracle.wording import number, paragraph
from reference.oracle.worker import TargetError
from reference.run import DType

TIMEOUT = 300.0  # seconds for one run: a new shape is compiled


@dataclass(frozen=True)
class Peer:
    """A package in one precision, and what was found."""

    package: Package
    dtype: str
    report: Report | None  # None where it could not be started
    why: str = ""  # it could not, or takes no run

    @property
    def verdict(self) -> str:
        """In a word: "right", "wrong", "misbehaves", "refuses" every run, or "not judged"."""
        if self.report is None:
            return "not judged"
        if self.why:
            return "refuses"
        return "right" if self.report.ok else "misbehaves" if all(block.ok for block in self.blocks) else "wrong"

    @property
    def blocks(self) -> tuple[Block, ...]:
        return self.report.blocks if self.report else ()

    @property
    def worst(self) -> Block | None:
        """The output with the worst error."""
        return max(self.blocks, key=lambda block: block.ratio, default=None)

    @property
    def faulty(self) -> bool:
        """Whether it is wrong or misbehaves."""
        return self.verdict in ("wrong", "misbehaves")


def judge_all(
    names: Sequence[str], dtypes: Sequence[str], runs: int, seed: int, progress: Callable[[int], None]
) -> list[Peer]:
    """Judge these packages in these precisions; `progress` is told how many more runs are judged."""
    return [judge(PACKAGES[name], dtype, runs, seed, progress) for name in names for dtype in dtypes]


def judge(package: Package, dtype: str, runs: int, seed: int, progress: Callable[[int], None]) -> Peer:
    """Judge one package in one precision."""
    kind: DType = np.dtype(dtype)
    try:
        with candidate(package.name, timeout=TIMEOUT) as subject:
            report = Examination(subject, seed, kind, progress).report(draw(seed, runs, kind), shrink=True)
    except TargetError as error:
        return Peer(package, dtype, None, str(error))
    return Peer(package, dtype, report, refusal(report))


def draw(seed: int, runs: int, dtype: DType) -> list[Case]:
    """The cases: sizes that are not empty, each in every regime, since some packages compile for a size; then empty."""
    drawn = (draw_case(seed, number, dtype).sizes for number in count())
    sizes = list(islice((size for size in drawn if 0 not in size), -(-runs // len(REGIMES))))
    cases = [draw_case(seed, number, dtype, sizes[number // len(REGIMES)]) for number in range(runs)]
    return cases + [draw_case(seed, runs + k, dtype, empty) for k, empty in enumerate(EMPTY)]


def refusal(report: Report) -> str:
    """Why it takes no run at all in this precision, which is no fault; empty if it takes any."""
    if not report.trials or any(trial.findings or trial.kinds - {"raises"} for trial in report.trials):
        return ""
    said = [trial.refused or trial.problems[0].text for trial in report.trials if trial.refused or trial.problems]
    return said[0] if len(said) == len(report.trials) else ""


def show(peers: Sequence[Peer], seed: int) -> None:
    """Print the table and the faults on standard output."""
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe, where rich would fold to 80 columns
        console.width = 120
    console.print("Worst error of each package, as a multiple of what rounding may do:\n")
    console.print(table(peers))
    for line in [*absent(), *(remark for peer in peers for remark in remarks(peer))]:
        console.print(line, soft_wrap=True)
    console.print(conclusion(peers, seed))


def table(peers: Sequence[Peer]) -> Table:
    """A row for each package and precision."""
    columns = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("package", "version", "LSTM", "dtype", "runs", "worst", "output", "verdict"):
        columns.add_column(name, justify="right" if name in ("runs", "worst") else "left")
    for peer in peers:
        columns.add_row(*row(peer), style="bold red" if peer.faulty else "")
    return columns


def row(peer: Peer) -> list[str]:
    """A package's cells."""
    head = [peer.package.title, peer.package.version, peer.package.lstm, peer.dtype]
    runs = str(judged(peer))
    worst = [number(peer.worst.ratio), peer.worst.name] if peer.worst else ["–", "–"]
    return [*head, runs, *worst, peer.verdict]


def judged(peer: Peer) -> int:
    """How many runs returned something that was judged."""
    return sum(bool(trial.findings) for trial in peer.report.trials) if peer.report else 0


def absent() -> list[Text]:
    """Which packages are not installed."""
    missing = {package.title: package.missing for package in PACKAGES.values() if package.missing}
    return [Text(f"{title} is not installed: pip install {needed}") for title, needed in missing.items()]


def remarks(peer: Peer) -> list[Text]:
    """What is to say of a package beside its row."""
    head = f"\n{peer.package.title} {peer.package.version}, {peer.dtype}: "
    if peer.why:
        return [Text(f"{head}{peer.verdict}: {peer.why}")]
    if not peer.report or not peer.faulty:
        return []
    return [Text(head + "\n".join(paragraph(peer.report, failure) for failure in peer.report.failures))]


def conclusion(peers: Sequence[Peer], seed: int) -> Text:
    """What was judged, and the word that sums it up."""
    seconds = sum(peer.report.seconds for peer in peers if peer.report)
    by = ", ".join(f"{name} {number}" for name, number in versions().items())
    text = Text(f"\nRuns judged: {sum(map(judged, peers))}. Seed {seed}, {seconds:.0f} s; {by}.\n")
    if faulty := sum(peer.faulty for peer in peers):
        return text.append(f"{faulty} of {len(peers)} FAULTY", style="bold red")
    if status(peers):
        return text.append("NOT JUDGED, at least one", style="bold red")
    return text.append("ALL RIGHT", style="bold green")


def status(peers: Sequence[Peer]) -> int:
    """The exit status: 0 all right, 1 a fault, 2 one could not be judged, or none was."""
    if any(peer.faulty for peer in peers):
        return 1
    return 0 if any(map(judged, peers)) and all(peer.report for peer in peers) else 2


def to_json(peers: Sequence[Peer], seed: int) -> dict[str, Any]:
    """The same as JSON."""
    return {
        "ok": status(peers) == 0,
        "peers": [
            {"package": peer.package.name, "version": peer.package.version, "lstm": peer.package.lstm}
            | {"dtype": peer.dtype, "verdict": peer.verdict, "why": peer.why, "judged": judged(peer)}
            | {"report": peer.report and peer.report.to_json()}
            for peer in peers
        ],
        "missing": {name: package.missing for name, package in PACKAGES.items() if package.missing},
        "seed": seed,
        "versions": versions(),
    }


def installed() -> list[str]:
    """The names of the packages that can be judged here."""
    return [name for name, package in PACKAGES.items() if not package.missing]
