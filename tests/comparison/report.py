"""The comparison as a table on the terminal, as COMPARISON.md and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.comparison.programs import COMPARED, GROUPS, SIZES
from tests.versions import listed, versions

SUITE, NAMED, NODE_TESTS = "lstm-oracle check", "… and named", "ONNX's LSTM node tests"
CHECKS = {
    SUITE: f"`{SUITE}`",
    NAMED: NAMED,
    "gradcheck": "`torch.autograd.gradcheck`",
    "gradcheck, fast": "`gradcheck(fast_mode=True)`",
    "check_grads, float64": "`jax.test_util.check_grads`, float64",
    "check_grads, float32": "`check_grads`, float32",
    "assert_numerical_grads": "`chex.assert_numerical_grads`",
    NODE_TESTS: NODE_TESTS,
}
PACKAGES = ("lstm-oracle", "numpy", "jax", "torch", "chex", "onnx")


@dataclass
class Found:
    """Which mistakes each check caught, and how often it failed the right program."""

    caught: dict[str, dict[str, list[list[str]]]] = field(default_factory=dict)  # group, check, seed: ids
    alarms: dict[str, tuple[int, int]] = field(default_factory=dict)  # check: false alarms, of how many

    def missed(self, group: str, check: str) -> list[str]:
        """The mistakes not caught with the first seed."""
        return [bug.id for bug in GROUPS[group].bugs if bug.id not in self.caught[group][check][0]]

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        about = {"date": str(date.today()), "versions": versions(*PACKAGES), "sizes": SIZES}
        groups = {name: {"title": g.title, "mistakes": [bug.id for bug in g.bugs]} for name, g in GROUPS.items()}
        return about | {"groups": groups, "caught": self.caught, "false_alarms": self.alarms}


def rows(found: Found) -> list[list[str]]:
    """The table's head, and a row for each check."""
    head = ["caught by", *(f"{group.title}: {len(group.bugs)}" for group in GROUPS.values()), "false alarms"]
    made = [head]
    for check in CHECKS:
        cells = [count(found.caught[group].get(check)) for group in GROUPS]
        alarms = "" if check == NAMED else "{} of {}".format(*found.alarms[check])
        made.append([check, *cells, alarms])
    return made


def count(by_seed: list[list[str]] | None) -> str:
    """How many with the first seed, and from least to most with any."""
    if by_seed is None:
        return "–"
    counts = [len(ids) for ids in by_seed]
    spread = f" ({min(counts)}–{max(counts)})" if min(counts) < max(counts) else ""
    return f"{counts[0]}{spread}"


def show(found: Found) -> None:
    """Print the table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    head, *body = rows(found)
    table = Table(box=box.SIMPLE_HEAD)
    for n, name in enumerate(head):
        table.add_column(name, justify="right" if n else "left")
    for row in body:
        table.add_row(*row)
    console.print(table)


def markdown(found: Found) -> str:
    """COMPARISON.md."""
    head, *body = rows(found)
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *([CHECKS[name], *cells] for name, *cells in body)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    sizes = ", ".join(f"{dim}={size}" for dim, size in SIZES.items())
    seeds = max(len(by_seed) for checks in found.caught.values() for by_seed in checks.values())
    return f"""\
# What is caught, and by what

Written by `make compare` on {date.today()}; {listed(versions(*PACKAGES))}.

{table}
The wrong programs are {len(COMPARED)} mistakes of `reference/oracle/bugs`: all but those of precision, and but the few
that cannot be made at these sizes. Each is one variant of one NumPy unit. The first column has the mistakes of the
backward pass. Those of the forward pass are there twice: with the right unit's derivatives, as a program has that is
derived by hand, and with the derivatives of what it does compute, as a program has that leaves them to autodiff. In the
last case a gradient check has nothing to find, and makes no claim to: it asks whether the gradients are those of the
function, not whether the function is an LSTM. What is caught there nevertheless is a program that shows another state
than the one it differentiates, or an error of the finite differences themselves. ONNX's vectors hold no gradients.

Every check is used as its documentation shows, with its own step and tolerance. The gradient checks are given the whole
layer, h, h_T and C_T as functions of all weights, x, h0 and C0, at one draw of standard normal values, {sizes};
`check_grads` and chex in reverse mode, chex in float64, whose tolerance grows with the size of the first argument, here
W_f. In brackets: from least to most over {seeds} such draws, taken for the backward mistakes alone. ONNX's six
node tests are compared by its own backend runner. `lstm-oracle check` draws its 100 runs. False alarms are those on the
right unit.

## What each one missed

{missed(found)}"""


def which(caught: list[str], missed: list[str]) -> str:
    """The shorter list."""
    if len(missed) <= len(caught):
        return f"{len(missed)}: {', '.join(missed)}" if missed else "none"
    return f"all but {', '.join(caught)}" if caught else "all"


def missed(found: Found) -> str:
    """By check and group, the ids with the first draw."""
    parts = []
    for check, title in CHECKS.items():
        if check == NAMED:
            continue
        parts.append(f"**{title}**\n\n")
        for group in (name for name in GROUPS if check in found.caught[name]):
            parts.append(
                f"- {GROUPS[group].title}: {which(found.caught[group][check][0], found.missed(group, check))}\n"
            )
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"
