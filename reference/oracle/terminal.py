"""What the commands show on a terminal: the progress, and a report in colours; no colours elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from reference.oracle.report import Report
from reference.oracle.wording import THREAD, address, words

# The styles by what they are given to: what a pattern matches, or its group.
STYLES = {
    r"(?m)^RIGHT$": "bold green",
    r"(?m)^(WRONG|MISBEHAVES|NOT JUDGED)$": "bold red",
    r"\S+ ✗": "red",
    r"(?m)^  \w+(?=: )": "bold",
    r"(?m)(?<=^Repeat with: ).*$": "bold",
}


@contextmanager
def progress(runs: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal while runs are judged; nothing where there is no terminal."""
    console = Console(stderr=True)
    columns = TextColumn("judging runs"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=runs)
        yield lambda done: bar.advance(task, done)


def show(report: Report, end: str = "\n") -> None:
    """Print a report on standard output: the words of `print(report)`, with colours on a terminal."""
    text = Text(words(report))
    for pattern, style in STYLES.items():
        text.highlight_regex(pattern, style)
    for thread in THREAD.finditer(text.plain):
        text.stylize(f"link {address(thread[0])}", *thread.span())
    Console(highlight=False).print(text, end=end, soft_wrap=True)  # a command is to be copied in one piece
