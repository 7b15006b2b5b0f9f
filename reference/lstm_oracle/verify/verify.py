"""The main job: the hand derivation against autodiff, on runs of every shape and regime, and against balls."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

from lstm_oracle.candidates.packages import PACKAGES
from lstm_oracle.comparison.compare import compare_many, first_error
from lstm_oracle.inputs.cases import Case, Sizes, draw_case, draw_inputs
from lstm_oracle.run import Array, DType
from lstm_oracle.truth.batch import FLOAT64
from lstm_oracle.truth.padding import MANY
from lstm_oracle.truth.truth import Finding, Truth, compute_losses, truths_in_chunks
from lstm_oracle.verify import ours, theirs
from lstm_oracle.verify.errata import MISPRINTS, Misprint
from manual import bptt, fused
from manual.unit import Tape

if TYPE_CHECKING:  # needs python-flint
    from lstm_oracle.certified.certificate import Certificate

Outputs = dict[str, Array]

# Who is judged: from cases of one dtype to the outputs of each, or None for a case that it does not take.
SUBJECTS: dict[str, Callable[[Sequence[Case]], Sequence[Outputs | None]]] = {
    "bptt": lambda cases: [ours.bptt_blocks(case) for case in cases],
    "fused": lambda cases: [ours.fused_blocks(case) for case in cases],
    "flax": theirs.flax_blocks,
    "onnxruntime": lambda cases: [theirs.onnxruntime_blocks(case) for case in cases],
}
PEERS = "flax", "onnxruntime"  # which need not be installed
CHUNK = 128  # cases that are in memory together
ENOUGH = 20  # runs, among which every misprint must show
# The runs that are certified: a small one entry by entry, a long one along a direction through everything, and one of a
# single sequence just so, for the fast twin goes another way back through it.
CERTIFIED: dict[Sizes, Literal["entry", "all"]] = {(3, 2, 1, 4): "entry", (50, 2, 3, 4): "all", (20, 1, 3, 5): "all"}
DIGITS = 50


@dataclass(frozen=True)
class Mismatch:
    """The narrowest place where a subject leaves the truth, on one run."""

    subject: str
    case: Case
    block: str
    step: int | None


@dataclass
class Verification:
    """What `verify` found."""

    seed: int
    worst: dict[tuple[str, str, str], tuple[Finding, Case]] = field(default_factory=dict)  # by subject, dtype, block
    judged: Counter[str] = field(default_factory=Counter)  # runs, by subject
    mismatches: list[Mismatch] = field(default_factory=list)
    refuted: Counter[int] = field(default_factory=Counter)  # runs, by the misprinted edge
    certificates: list[Certificate] | None = None  # None without python-flint
    runs: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """No mismatch, all digits certain, and every misprint shown wrong, as it must be by a judge that is awake."""
        certain = all(certificate.ok for certificate in self.certificates or [])
        asleep = self.runs >= ENOUGH and any(not self.refuted[misprint.edge] for misprint in MISPRINTS)
        return not self.mismatches and certain and not asleep

    @property
    def narrowest(self) -> Mismatch | None:
        """The mismatch on the smallest run."""
        return min(self.mismatches, key=lambda mismatch: np.prod(mismatch.case.sizes), default=None)


def verify(
    seed: int, numbers: Sequence[int], dtypes: Sequence[DType], progress: Callable[[int], None] = lambda runs: None
) -> Verification:
    """Judge both twins, and the installed peers, on the runs with these numbers; `progress` is told how many are done.

    The runs take the dtypes in turn, by their number.
    """
    start = time.perf_counter()
    verification = Verification(seed)
    chunks = (
        [draw_case(seed, number, dtypes[number % len(dtypes)]) for number in numbers[k : k + CHUNK]]
        for k in range(0, len(numbers), CHUNK)
    )
    for known in truths_in_chunks(chunks, many=len(numbers) >= MANY):
        for dtype in dtypes:
            _judge_all(verification, [(case, truth) for case, truth in known if case.dtype == dtype])
        progress(len(known))
    verification.certificates = certificates(seed)
    verification.seconds = time.perf_counter() - start
    return verification


def installed() -> list[str]:
    """The peers that can be judged here."""
    return [peer for peer in PEERS if not PACKAGES[peer].missing]


def certificates(seed: int) -> list[Certificate] | None:
    """How far the derivation is proven to agree with the derivative of the loss; None without python-flint."""
    if not find_spec("flint"):
        return None
    from lstm_oracle.certified.certificate import certify

    rng = np.random.default_rng(seed)
    # Nothing is dropped: a run without dC_T certifies who ignores it, and the proof is of runs drawn at random.
    runs = [draw_inputs(rng, sizes, "ordinary", FLOAT64, zero_probability=0) for sizes in CERTIFIED]
    return [
        certify(run, DIGITS, by, seed, twin=twin)
        for twin in (bptt, fused)
        for run, by in zip(runs, CERTIFIED.values(), strict=True)
    ]


def _judge_all(verification: Verification, known: Sequence[tuple[Case, Truth]]) -> None:
    if not known:
        return
    cases = [case for case, _ in known]
    compute_losses([truth for _, truth in known])  # which the misprints ask of every run
    for subject in (name for name in SUBJECTS if name not in PEERS or name in installed()):
        took = [(pair, out) for pair, out in zip(known, SUBJECTS[subject](cases), strict=True) if out is not None]
        verification.judged[subject] += len(took)
        _judge_outputs(verification, subject, [pair for pair, _ in took], [out for _, out in took])
    verification.runs += len(known)
    for case, truth in known:
        tape, upstream = ours.forward(bptt, case)
        verification.refuted.update(m.edge for m in MISPRINTS if is_refuted(m, case, truth, tape, upstream))


def _judge_outputs(
    verification: Verification, subject: str, known: Sequence[tuple[Case, Truth]], outputs: Sequence[Outputs]
) -> None:
    found = compare_many([truth for _, truth in known], outputs, [case.dtype for case, _ in known])
    for (case, truth), out, findings in zip(known, outputs, found, strict=True):
        for finding in findings:
            key = subject, case.dtype.name, finding.block
            if key not in verification.worst or finding.ratio > verification.worst[key][0].ratio:
                verification.worst[key] = finding, case
        if wrong := [(finding.block, finding.step) for finding in findings if not finding.ok]:
            place = first_error(truth, out, case.dtype) or wrong[0]  # where rounding knows no bound
            verification.mismatches.append(Mismatch(subject, case, *place))


def is_refuted(misprint: Misprint, case: Case, truth: Truth, tape: Tape, upstream: dict[str, Array]) -> bool:
    """Whether the equation as printed is wrong on this run: its edge is off, or its shapes do not fit."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # a misprint explodes, as δ7 · δ4 does
            δs = [δ[misprint.edge] for _, δ in misprint.steps(tape, **upstream)]
    except ValueError:  # shapes
        return True
    if not δs:
        return False
    return not truth.compare(f"δ{misprint.edge}", np.stack(δs[::-1]), case.dtype).ok
