"""`FOUND.md`: what `peers` found, each fault on the smallest run that shows it in a fresh process, and confirmed.

A wrong value is confirmed by certified truth: the exact value lies in a ball that leaves no room for
rounding, and what the package returned lies further from it than rounding may take it.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from reference.oracle import tolerance, wording
from reference.oracle.behaviour import MISBEHAVIOURS, Observation
from reference.oracle.candidate import candidate
from reference.oracle.cases import Case, draw_case
from reference.oracle.examination import Examination
from reference.oracle.findings import narrowest
from reference.oracle.peers import TIMEOUT, Peer, row
from reference.oracle.report import Failure, Report, versions
from reference.oracle.trial import MISMATCH, Which, findings, judged
from reference.oracle.truth import Truth, truths
from reference.run import Run

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
    """What was judged, and how it came out."""
    by = ", ".join(f"{name} {number}" for name, number in versions().items())
    yield "# Found in known packages"
    yield (
        f"Written by `lstm-oracle peers --found FOUND.md`, seed {seed}; {by}; Python {platform.python_version()}, "
        f"{platform.system()} {platform.machine()}.\n`worst` is the worst error as a multiple of what rounding may do."
    )
    rows = [HEAD, ["---"] * len(HEAD), *(row(peer) for peer in peers)]
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    if refused := [f"- {title(peer)}: {peer.why}" for peer in peers if peer.verdict == "refuses"]:
        yield "Not taken in this precision at all, which is a limit and no fault:"
        yield "\n".join(refused)
    if failed := [f"- {title(peer)}: {peer.why}" for peer in peers if peer.verdict == "not judged"]:
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
    if failure.kind != MISMATCH:
        yield f"It {MISBEHAVIOURS[failure.kind]}: {failure.text}."
        yield shown(seen)
        return
    wrong = [block.name for block in report.blocks if not block.ok]
    runs = f"on {failure.runs} of {len(report.trials)} runs"
    yield f"{wording.listed(wrong)} {'is' if len(wrong) == 1 else 'are'} wrong {runs}."
    yield "\n".join(wording.explanation(report))
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
    """The fault on the smallest run, of those that showed it, that shows it in a process which did nothing before."""
    assert report.seed is not None
    first = [failure.which] if failure.which else []
    others = sorted((t.which for t in report.trials if failure.kind in t.kinds), key=lambda which: which.size)
    for which in [*first, *others][:TRIED]:
        case = draw_case(report.seed, which.number, np.dtype(which.dtype), which.sizes, which.regime)
        (truth,) = truths([case])
        with candidate(peer.package.name, timeout=TIMEOUT) as subject:
            seen = subject(case.inputs)
            if failure.kind in judged(case, truth, seen).kinds:
                command = Examination(subject, report.seed, case.dtype, lambda runs: None).repeat(case)
                return Seen(case, truth, seen, command)
    return None


def shown(seen: Seen | None) -> str:
    """The run that shows it, and the command."""
    if seen is None:
        return "It was not seen in a fresh process: it depends on the calls before."
    return f"The smallest run found that shows it, in a fresh process, is {Which.of(seen.case)}:\n\n    {seen.command}"


def confirmation(peer: Peer, seen: Seen) -> Iterator[str]:
    """Each wrong output of the run against its exact value, the worst entry of each."""
    block, step = narrowest(seen.truth, seen.observation.outputs, seen.case.dtype) or ("", None)
    yield f"It goes wrong first in {block}{'' if step is None else f', at step {step}'}."
    if not find_spec("flint"):
        yield "Not confirmed by certified truth: python-flint is not installed."
        return
    found = confirmed(seen.case.inputs, seen.truth, seen.observation.outputs)
    gives = f"{peer.package.title} gives"
    rows = [("output", "exact value", gives, "ulps off", "units off", "allowed", "judge's ulps"), ("---",) * 7]
    for number in found:
        off = f"{number.ulps:.3g}", f"{number.units:.3g}", f"{number.allowed:.3g}", f"{number.ours:.2g}"
        rows.append((number.entry, number.exact, f"{number.got!r}", *off))
    yield "\n".join(f"| {' | '.join(cells)} |" for cells in rows)
    if all(number.ok for number in found):
        yield "Confirmed: the exact values, certain in every digit shown, are further away than rounding goes."
    else:
        yield "NOT CONFIRMED for each: the judge itself is to be doubted."


def confirmed(inputs: Run, truth: Truth, outputs: Run) -> list[Confirmed]:
    """The worst entry of every wrong output against the ball that holds its exact value."""
    from flint import arb

    from reference.certified import enclosed
    from reference.series import precision

    exact, numbers = enclosed(inputs), []
    for name in (finding.block for finding in findings(truth, outputs) if not finding.ok):
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
                allowed=truth.tolerances[name],
                ours=ours / float(np.spacing(abs(near))),
            )
        )
    return numbers
