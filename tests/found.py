"""Writes FOUND.md: python -m tests.found [--runs N] [--seed S].

The file lists every failure of the known packages that are installed, on the smallest run that shows the failure in a
new process. Wrong values are confirmed by certified truth: the exact value is in a ball, which no rounding error can
leave, and the value that the package returned is further from this ball than the rounding tolerance.
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
from lstm_oracle.run import Array, Run
from lstm_oracle.truth import tolerance
from lstm_oracle.truth.truth import Truth, truths

FILE = Path(__file__).parents[1] / "reference/lstm_oracle/candidates/packages/FOUND.md"
HEAD = "package", "version", "LSTM", "dtype", "runs", "worst", "output", "verdict"
ERRORS = "error in ulps", "error in units of rounding", "tolerance in these units", "oracle's error in ulps"
SHOWN = 20  # digits of an exact value
TRIED = 6  # runs on which a failure is looked for in a new process


@dataclass(frozen=True)
class Confirmed:
    """One wrong number, compared with the exact value."""

    entry: str
    exact: str
    got: float
    ulps: float  # a lower bound of the error, in units in the last place of the dtype
    units: float  # a lower bound of the error, in units of rounding
    allowed: float  # the tolerance, in units of rounding
    oracle_ulps: float  # a lower bound of the error of the oracle's truth, in units in the last place of float64

    @property
    def ok(self) -> bool:
        """True if the number is certain to be wrong."""
        return not self.units <= self.allowed


def markdown(peers: Sequence[Peer], seed: int) -> str:
    """Return the whole file."""
    return "\n\n".join([*heading(peers, seed), *(text for peer in peers for text in sections(peer))]) + "\n"


def heading(peers: Sequence[Peer], seed: int) -> Iterator[str]:
    """Yield what was judged, and the verdicts."""
    by = ", ".join(f"{name} {number}" for name, number in versions().items())
    yield "# Failures found in known packages"
    yield (
        f"By `make found`, seed {seed}; {by}; Python {platform.python_version()}, {platform.system()} "
        f"{platform.machine()}.\n`worst` is the worst error relative to the rounding tolerance; above 1 fails."
    )
    rows = [HEAD, ["---"] * len(HEAD), *(row(peer) for peer in peers)]
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    if unsupported := [f"- {title(peer)}: {peer.reason}" for peer in peers if peer.verdict == "not supported"]:
        yield "Not supported in this precision (not counted as a failure):"
        yield "\n".join(unsupported)
    if failed := [f"- {title(peer)}: {peer.reason}" for peer in peers if peer.verdict == "not judged"]:
        yield "Could not be judged:"
        yield "\n".join(failed)
    if not any(peer.faulty for peer in peers):
        yield "No failure was found in any of them."


def title(peer: Peer) -> str:
    """Return the name of a package, its version, its LSTM and the precision."""
    return f"{peer.package.title} {peer.package.version}, {peer.package.lstm}, {peer.dtype}"


def sections(peer: Peer) -> Iterator[str]:
    """Yield a section for each failure of a package."""
    if peer.report and peer.faulty:
        for failure in peer.report.failures:
            yield "\n\n".join(section(peer, peer.report, failure))


def section(peer: Peer, report: Report, failure: Failure) -> Iterator[str]:
    """Yield the parts of the section about one failure."""
    yield f"## {title(peer)}"
    seen = in_new_process(peer, report, failure)
    if failure.kind != FailureKind.MISMATCH:
        yield f"{failure.kind.description}: {failure.text}."
        yield smallest_run(seen)
        return
    wrong = [block.name for block in report.blocks if not block.ok]
    yield f"{listed(wrong)} {are(wrong)} wrong on {failure.runs} of {len(report.trials)} runs."
    yield "\n".join(explanation(report))
    yield smallest_run(seen)
    if seen:
        yield from confirmation(peer, seen)


@dataclass(frozen=True)
class Seen:
    """A failure in a new process."""

    case: Case
    truth: Truth
    observation: Observation
    command: str


def in_new_process(peer: Peer, report: Report, failure: Failure) -> Seen | None:
    """Return a failure on the smallest run that shows it in a new process, among the runs that showed it before."""
    assert report.seed is not None
    first = [failure.smallest] if failure.smallest else []
    others = sorted((t.id for t in report.trials if failure.kind in t.kinds), key=lambda run: run.size_key)
    for run in [*first, *others][:TRIED]:
        case = draw_case(report.seed, run.number, np.dtype(run.dtype), run.sizes, run.regime)
        (truth,) = truths([case])
        with open_candidate(peer.package.name, timeout=TIMEOUT) as candidate:
            seen = candidate(case.inputs)
            if failure.kind in judge_trial(case, truth, seen).kinds:
                return Seen(case, truth, seen, repeat_command(candidate, report.seed, case.id))
    return None


def smallest_run(seen: Seen | None) -> str:
    """Return the run that shows a failure, and the command that repeats the run."""
    if seen is None:
        return "It does not occur in a new process, so it depends on earlier calls."
    return f"The smallest run found that shows it in a new process is {seen.case.id}:\n\n    {seen.command}"


def confirmation(peer: Peer, seen: Seen) -> Iterator[str]:
    """Yield the first error, and a table of the worst entry of each wrong output with the exact value."""
    yield f"First error {first_error_text(seen.truth, seen.observation.outputs, seen.case.dtype)}."
    found = confirmed(seen.case.inputs, seen.truth, seen.observation.outputs)
    returned = f"{peer.package.title} returns"
    rows = [("output", "exact value", returned, *ERRORS), ("---",) * (3 + len(ERRORS))]
    for number in found:
        errors = f"{number.ulps:.3g}", f"{number.units:.3g}", f"{number.allowed:.3g}", f"{number.oracle_ulps:.2g}"
        rows.append((number.entry, number.exact, f"{number.got!r}", *errors))
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    if all(number.ok for number in found):
        yield "Confirmed: every digit of the exact values is certain, and the errors exceed the rounding tolerance."
    else:
        yield "NOT CONFIRMED for every output: the oracle itself may be wrong."


def confirmed(inputs: Run, truth: Truth, outputs: Run) -> list[Confirmed]:
    """Return the worst entry of every wrong output, compared with the ball around its exact value."""
    exact = enclosed(inputs)
    wrong = [finding.block for finding in compare_outputs(truth, outputs) if not finding.ok]
    return [worst_entry(name, outputs[name], truth, exact[name]) for name in wrong]


def worst_entry(name: str, output: Array, truth: Truth, exact: Array) -> Confirmed:
    """Return the worst entry of an output, compared with the balls around the exact values."""
    units = truth.units(name, output, output.dtype)
    index = tuple(int(k) for k in np.unravel_index(np.argmax(units), units.shape))
    got, oracle = output[index].item(), float(truth.blocks[name][index])
    with precision(256):
        ball = arb(exact[index])
        error, oracle_error = (float(abs(ball - arb(number)).lower()) for number in (got, oracle))
        near, digits = abs(float(ball.mid())), ball.str(SHOWN, radius=False)
    scale = np.broadcast_to(truth.scales[name], output.shape)[index]
    return Confirmed(
        entry=f"{name}{list(index)}",
        exact=digits,
        got=got,
        ulps=error / float(np.spacing(output.dtype.type(near))),
        units=error / float(tolerance.unit(scale, output.dtype)),
        allowed=truth.tolerance(name),
        oracle_ulps=oracle_error / float(np.spacing(near)),
    )


def main() -> int:
    """Judge the packages, write FOUND.md, and return the exit status of `lstm-oracle peers`."""
    options = argparse.ArgumentParser(prog="make found", description="Write the failures of known packages.")
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
