"""Writes FOUND.md: python -m tests.found [--runs N] [--seed S].

It has every fault of the known packages that are installed, each on the smallest run that shows it in a fresh process,
and confirmed. A wrong value is confirmed by certified truth: the exact value lies in a ball that leaves no room for
rounding, and what the package returned lies further from it than the rounding tolerance.
"""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from flint import arb

from lstm_oracle.candidates.failures import FailureKind
from lstm_oracle.candidates.observer import Observation
from lstm_oracle.candidates.open import open_candidate
from lstm_oracle.certified.certificate import enclosed
from lstm_oracle.certified.series import precision
from lstm_oracle.cli.peers import TIMEOUT, Peer, installed, judge_all, row, status
from lstm_oracle.cli.terminal import progress
from lstm_oracle.comparison.compare import compare_outputs, first_error_text, judge_trial
from lstm_oracle.inputs.cases import Case, draw_case
from lstm_oracle.judging.check import DTYPES, EMPTY_SIZES
from lstm_oracle.judging.examination import repeat_command
from lstm_oracle.reports.report import Report
from lstm_oracle.reports.text import are, explanation, listed
from lstm_oracle.reports.verdict import Failure, versions
from lstm_oracle.run import Run
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.truth import Truth, truths

FILE = Path(__file__).parents[1] / "reference/lstm_oracle/candidates/packages/FOUND.md"
HEAD = "package", "version", "LSTM", "dtype", "runs", "worst", "output", "verdict"
SHOWN = 20  # digits of an exact value
TRIED = 6  # runs on which a fault is looked for in a fresh process


@dataclass(frozen=True)
class Confirmed:
    """One wrong number against its exact value."""

    entry: str
    exact: str
    got: float
    ulps: float  # how many steps of the dtype's numbers lie between, at least
    units: float  # the same in units of rounding
    allowed: float  # the units that rounding may take
    ours: float  # how far the judge's own truth is off, in ulps of float64

    @property
    def ok(self) -> bool:
        """Whether it is certain to be wrong."""
        return not self.units <= self.allowed


def markdown(peers: Sequence[Peer], seed: int) -> str:
    """The whole file."""
    return "\n\n".join([*heading(peers, seed), *(text for peer in peers for text in sections(peer))]) + "\n"


def heading(peers: Sequence[Peer], seed: int) -> Iterator[str]:
    """What was judged, and the verdicts."""
    by = ", ".join(f"{name} {number}" for name, number in versions().items())
    yield "# Found in known packages"
    yield (
        f"By `make found`, seed {seed}; {by}; Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}.\n`worst` is the worst error relative to the rounding tolerance; above 1 fails."
    )
    rows = [HEAD, ["---"] * len(HEAD), *(row(peer) for peer in peers)]
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    if unsupported := [f"- {title(peer)}: {peer.reason}" for peer in peers if peer.verdict == "not supported"]:
        yield "Not supported in this precision, which is not counted as a fault:"
        yield "\n".join(unsupported)
    if failed := [f"- {title(peer)}: {peer.reason}" for peer in peers if peer.verdict == "not judged"]:
        yield "Could not be judged:"
        yield "\n".join(failed)
    if not any(peer.faulty for peer in peers):
        yield "No fault was found in any of them."


def title(peer: Peer) -> str:
    """Which package it is."""
    return f"{peer.package.title} {peer.package.version}, {peer.package.lstm}, {peer.dtype}"


def sections(peer: Peer) -> Iterator[str]:
    """A section for each fault of a package."""
    if peer.report and peer.faulty:
        for failure in peer.report.failures:
            yield "\n\n".join(section(peer, peer.report, failure))


def section(peer: Peer, report: Report, failure: Failure) -> Iterator[str]:
    """One fault."""
    yield f"## {title(peer)}"
    seen = fresh(peer, report, failure)
    if failure.kind != FailureKind.MISMATCH:
        yield f"{failure.kind.description}: {failure.text}."
        yield shown(seen)
        return
    wrong = [block.name for block in report.blocks if not block.ok]
    yield f"{listed(wrong)} {are(wrong)} wrong on {failure.runs} of {len(report.trials)} runs."
    yield "\n".join(explanation(report))
    yield shown(seen)
    if seen:
        yield from confirmation(peer, seen)


@dataclass(frozen=True)
class Seen:
    """A fault in a fresh process."""

    case: Case
    truth: Truth
    observation: Observation
    command: str


def fresh(peer: Peer, report: Report, failure: Failure) -> Seen | None:
    """The fault on the smallest run that shows it in a fresh process, of the runs that showed it before."""
    assert report.seed is not None
    first = [failure.smallest] if failure.smallest else []
    others = sorted((t.id for t in report.trials if failure.kind in t.kinds), key=lambda run: run.size_key)
    for run in [*first, *others][:TRIED]:
        case = draw_case(report.seed, run.number, np.dtype(run.dtype), run.sizes, run.regime)
        (truth,) = truths([case])
        with open_candidate(peer.package.name, timeout=TIMEOUT) as candidate:
            seen = candidate(case.inputs)
            if failure.kind in judge_trial(case, truth, seen).kinds:
                return Seen(case, truth, seen, repeat_command(candidate, report.seed, case))
    return None


def shown(seen: Seen | None) -> str:
    """The run that shows it, and the command."""
    if seen is None:
        return "It does not occur in a fresh process: it depends on earlier calls."
    return f"The smallest run found that shows it in a fresh process is {seen.case.id}:\n\n    {seen.command}"


def confirmation(peer: Peer, seen: Seen) -> Iterator[str]:
    """Each wrong output of the run against its exact value, the worst entry of each."""
    yield f"First error {first_error_text(seen.truth, seen.observation.outputs, seen.case.dtype)}."
    found = confirmed(seen.case.inputs, seen.truth, seen.observation.outputs)
    gives = f"{peer.package.title} gives"
    rows = [("output", "exact value", gives, "ulps off", "units off", "allowed", "oracle's ulps"), ("---",) * 7]
    for number in found:
        off = f"{number.ulps:.3g}", f"{number.units:.3g}", f"{number.allowed:.3g}", f"{number.ours:.2g}"
        rows.append((number.entry, number.exact, f"{number.got!r}", *off))
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    if all(number.ok for number in found):
        yield "Confirmed: the exact values, certain in every digit shown, are further away than rounding allows."
    else:
        yield "NOT CONFIRMED for each: the oracle itself may be at fault."


def confirmed(inputs: Run, truth: Truth, outputs: Run) -> list[Confirmed]:
    """The worst entry of every wrong output against the ball that holds its exact value."""
    exact, numbers = enclosed(inputs), []
    for name in (finding.block for finding in compare_outputs(truth, outputs) if not finding.ok):
        array = outputs[name]
        errors = truth.units(name, array, array.dtype)
        index = tuple(int(k) for k in np.unravel_index(np.argmax(errors), errors.shape))
        got = array[index].item()
        with precision(256):
            ball = arb(exact[name][index])
            off, ours = (float(abs(ball - arb(x)).lower()) for x in (got, float(truth.blocks[name][index])))
            near, digits = float(ball.mid()), ball.str(SHOWN, radius=False)
        scale = np.broadcast_to(truth.scales[name], array.shape)[index]
        numbers.append(
            Confirmed(
                entry=f"{name}{list(index)}",
                exact=digits,
                got=got,
                ulps=off / float(np.spacing(array.dtype.type(abs(near)))),
                units=off / float(tolerance.unit(scale, array.dtype)),
                allowed=truth.tolerance(name),
                ours=ours / float(np.spacing(abs(near))),
            )
        )
    return numbers


def main() -> int:
    """Judge the packages, write FOUND.md, and return the exit status of `lstm-oracle peers`."""
    options = argparse.ArgumentParser(prog="make found", description="Write what is found in known packages.")
    options.add_argument("--runs", type=int, default=35, metavar="N", help="number of runs for each (default: 35)")
    options.add_argument("--seed", type=int, default=0, metavar="S", help="selects which runs are drawn (default: 0)")
    chosen = options.parse_args()
    names = installed()
    with progress(len(names) * len(DTYPES) * (chosen.runs + len(EMPTY_SIZES))) as advance:
        peers = judge_all(names, DTYPES, chosen.runs, chosen.seed, advance)
    FILE.write_text(markdown(peers, chosen.seed), encoding="utf-8")
    print(f"Saved {FILE}", file=sys.stderr)
    return status(peers)


if __name__ == "__main__":
    sys.exit(main())
