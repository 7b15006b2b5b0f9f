"""Shows reports and a progress bar on the terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from lstm_oracle.reports.report import Report
from lstm_oracle.reports.text import THREAD, address, report_text

# The style of the text that each pattern matches.
STYLES = {
    r"(?m)^CORRECT$": "bold green",
    r"(?m)^(INCORRECT|MISBEHAVES|NOT JUDGED)$": "bold red",
    r"\S+ ✗": "red",
    r"(?m)^  \w+(?=: )": "bold",
    r"(?m)(?<=^Repeat with: ).*$": "bold",
}


@contextmanager
def progress(runs: int) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal; yield the function that advances the bar by a number of runs."""
    console = Console(stderr=True)
    columns = TextColumn("judging runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=runs)
        yield lambda done: bar.advance(task, done)


def show(report: Report, end: str = "\n") -> None:
    """Print a report on standard output as `print(report)` does, but in colour on a terminal."""
    text = Text(report_text(report))
    for pattern, style in STYLES.items():
        text.highlight_regex(pattern, style)
    for thread in THREAD.finditer(text.plain):
        text.stylize(f"link {address(thread[0])}", *thread.span())
    Console(highlight=False).print(text, end=end, soft_wrap=True)  # a command can be copied in one piece
