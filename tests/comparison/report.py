"""The results of the comparison as a table on the terminal, as COMPARISON.md and as JSON."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.comparison.variants import COMPARED, GROUPS, SIZES
from tests.versions import versions, versions_text

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
class Results:
    """The mistakes that each check detected, and how often it failed the correct unit."""

    caught: dict[str, dict[str, list[list[str]]]] = field(default_factory=dict)  # ids by group, check and seed
    alarms: dict[str, tuple[int, int]] = field(default_factory=dict)  # by check: false alarms and attempts

    def missed(self, group: str, check: str) -> list[str]:
        """Return the mistakes that a check did not detect with the first seed."""
        return [bug.id for bug in GROUPS[group].bugs if bug.id not in self.caught[group][check][0]]

    def to_json(self) -> dict[str, Any]:
        """Return the results, with the date, the versions and the sizes."""
        about = {"date": str(date.today()), "versions": versions(*PACKAGES), "sizes": SIZES}
        groups = {name: {"title": g.title, "mistakes": [bug.id for bug in g.bugs]} for name, g in GROUPS.items()}
        return about | {"groups": groups, "caught": self.caught, "false_alarms": self.alarms}


def rows(results: Results) -> list[list[str]]:
    """Return the header of the table and a row for each check."""
    head = ["detected by", *(f"{group.title}: {len(group.bugs)}" for group in GROUPS.values()), "false alarms"]
    made = [head]
    for check in CHECKS:
        cells = [count(results.caught[group].get(check)) for group in GROUPS]
        alarms = "" if check == NAMED else "{} of {}".format(*results.alarms[check])
        made.append([check, *cells, alarms])
    return made


def count(by_seed: list[list[str]] | None) -> str:
    """Return how many mistakes were detected with the first seed, and the range over all seeds."""
    if by_seed is None:
        return "–"
    counts = [len(ids) for ids in by_seed]
    spread = f" ({min(counts)}–{max(counts)})" if min(counts) < max(counts) else ""
    return f"{counts[0]}{spread}"


def show(results: Results) -> None:
    """Print the table."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120
    head, *body = rows(results)
    table = Table(box=box.SIMPLE_HEAD)
    for n, name in enumerate(head):
        table.add_column(name, justify="right" if n else "left")
    for row in body:
        table.add_row(*row)
    console.print(table)


def markdown(results: Results) -> str:
    """Return the text of COMPARISON.md."""
    head, *body = rows(results)
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *([CHECKS[name], *cells] for name, *cells in body)]
    table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    sizes = ", ".join(f"{dim}={size}" for dim, size in SIZES.items())
    seeds = max(len(by_seed) for checks in results.caught.values() for by_seed in checks.values())
    return f"""\
# Which mistakes each check detects

Written by `make compare` on {date.today()}; {versions_text(versions(*PACKAGES))}.

{table}
The wrong LSTMs make {len(COMPARED)} mistakes of the catalogue, `reference/lstm_oracle/diagnosis/bugs`: all except
those of precision and the few that these sizes do not allow. Each is a variant of one NumPy unit. The first column
counts the mistakes of the backward pass. The mistakes of the forward pass are counted twice: with the gradients of
the correct unit, as in an implementation whose gradients are derived by hand, and with the gradients of what the
wrong forward pass computes, as in an implementation that uses autodiff. In the last case, a gradient check has
nothing to detect and does not claim to: it checks whether the gradients are those of the function, not whether the
function is an LSTM. If a gradient check fails there all the same, the variant returns a state other than the one it
differentiates, or the finite differences are inaccurate. ONNX's node tests contain no gradients.

Every check is used as its documentation shows, with its own step and tolerance. The gradient checks are given the
whole layer, h, h_T and C_T as functions of all weights, x, h0 and C0, for one draw of standard normal values,
{sizes}; `check_grads` and chex run in reverse mode. The tolerance of chex, which runs in float64, grows with the size
of the first argument, here W_f. In parentheses: the range over {seeds} draws, for the mistakes of the backward pass
only. ONNX's six node tests are compared by ONNX's own backend runner. `lstm-oracle check` draws its 100 runs. False
alarms are failures of the correct unit.

## Mistakes that each check missed

{missed(results)}"""


def which(caught: list[str], missed: list[str]) -> str:
    """Return the mistakes that were missed, as a list of those or of all others, whichever is shorter."""
    if len(missed) <= len(caught):
        return f"{len(missed)}: {', '.join(missed)}" if missed else "none"
    return f"all but {', '.join(caught)}" if caught else "all"


def missed(results: Results) -> str:
    """Return which mistakes each check missed in each group with the first seed."""
    parts = []
    for check, title in CHECKS.items():
        if check == NAMED:
            continue
        parts.append(f"**{title}**\n\n")
        for group in (name for name in GROUPS if check in results.caught[name]):
            ids = which(results.caught[group][check][0], results.missed(group, check))
            parts.append(f"- {GROUPS[group].title}: {ids}\n")
        parts.append("\n")
    return "".join(parts).rstrip() + "\n"
