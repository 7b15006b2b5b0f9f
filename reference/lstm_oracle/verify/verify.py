"""`verify`: judges the hand derivation by autodiff, on runs of every shape and regime, and by ball arithmetic."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
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
from lstm_oracle.verify import others, twins
from lstm_oracle.verify.errata import MISPRINTS, Misprint
from manual import bptt, fused
from manual.tape import Tape

if TYPE_CHECKING:  # needs python-flint
    from lstm_oracle.certified.certificate import Certificate

Outputs = dict[str, Array]
Subject = Callable[[Sequence[Case]], Sequence[Outputs | None]]  # from cases of one dtype; None: a case not supported

SUBJECTS: dict[str, Subject] = {
    "bptt": lambda cases: [twins.bptt_blocks(case) for case in cases],
    "fused": lambda cases: [twins.fused_blocks(case) for case in cases],
    "flax": others.flax_blocks,
    "onnxruntime": lambda cases: [others.onnxruntime_blocks(case) for case in cases],
}
PEERS = "flax", "onnxruntime"  # the subjects that are optional packages
ENOUGH = 20  # runs, from which number on every misprint must be refuted by at least one of them
# The runs that are certified: a small one entry by entry, and two long ones along a random direction through all
# entries. One of these has a single sequence, for which `manual.fused` has a backward pass of its own.
CERTIFIED: dict[Sizes, Literal["entry", "all"]] = {(3, 2, 1, 4): "entry", (50, 2, 3, 4): "all", (20, 1, 3, 5): "all"}
DIGITS = 50


@dataclass(frozen=True)
class Mismatch:
    """The first error of a subject on one run."""

    subject: str
    case: Case
    block: str
    step: int | None


@dataclass
class Verification:
    """The result of `verify`."""

    seed: int
    worst: dict[tuple[str, str, str], tuple[Finding, Case]] = field(default_factory=dict)  # by subject, dtype, block
    judged: Counter[str] = field(default_factory=Counter)  # the number of runs, by subject
    mismatches: list[Mismatch] = field(default_factory=list)
    refuted: Counter[int] = field(default_factory=Counter)  # the number of runs, by the misprinted edge
    certificates: list[Certificate] | None = None  # None without python-flint
    runs: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """True if nothing differs, all digits are certain, and the comparison was able to refute every misprint."""
        certain = all(certificate.ok for certificate in self.certificates or [])
        insensitive = self.runs >= ENOUGH and any(not self.refuted[misprint.edge] for misprint in MISPRINTS)
        return not self.mismatches and certain and not insensitive

    @property
    def smallest_mismatch(self) -> Mismatch | None:
        """The mismatch on the smallest run."""
        return min(self.mismatches, key=lambda mismatch: mismatch.case.id.size_key, default=None)


def verify(
    seed: int,
    numbers: Sequence[int],
    dtypes: Sequence[DType],
    progress: Callable[[int], None] = lambda runs: None,
    subjects: Mapping[str, Subject] | None = None,
) -> Verification:
    """Judge the twins and other implementations on drawn runs, and certify the twins.

    Args:
        seed: determines which runs are drawn.
        numbers: the numbers of the runs.
        dtypes: the precisions; each run is drawn in one of them, in turn by its number.
        progress: called with the number of runs that have been judged since the last call.
        subjects: what is judged, by name; by default the twins and every installed peer.
    """
    start = time.perf_counter()
    verification = Verification(seed)
    chosen = installed_subjects() if subjects is None else subjects
    cases = (draw_case(seed, number, dtypes[number % len(dtypes)]) for number in numbers)
    for known in truths_in_chunks(cases, many=len(numbers) >= MANY):
        compute_losses([truth for _, truth in known])  # because the misprints need the losses of every run
        for dtype in dtypes:
            of_dtype = [(case, truth) for case, truth in known if case.dtype == dtype]
            for name, subject in chosen.items():
                judge_subject(verification, name, subject, of_dtype)
        for case, truth in known:
            verification.refuted.update(refuted_edges(case, truth))
        verification.runs += len(known)
        progress(len(known))
    verification.certificates = certificates(seed)
    verification.seconds = time.perf_counter() - start
    return verification


def installed() -> list[str]:
    """Return the names of the peers that are installed."""
    return [peer for peer in PEERS if not PACKAGES[peer].missing]


def installed_subjects() -> dict[str, Subject]:
    """Return the twins and every installed peer."""
    return {name: subject for name, subject in SUBJECTS.items() if name not in PEERS or name in installed()}


def certificates(seed: int) -> list[Certificate] | None:
    """Certify both twins on a few runs that the seed draws; return None without python-flint."""
    if not find_spec("flint"):
        return None
    from lstm_oracle.certified.certificate import certify  # loaded when it is first needed: python-flint is optional

    rng = np.random.default_rng(seed)
    # No input is zero: a run without dC_T would certify a twin that ignores dC_T.
    runs = [draw_inputs(rng, sizes, "ordinary", FLOAT64, zero_probability=0) for sizes in CERTIFIED]
    return [
        certify(run, DIGITS, by, seed, twin=twin)
        for twin in (bptt, fused)
        for run, by in zip(runs, CERTIFIED.values(), strict=True)
    ]


def judge_subject(verification: Verification, name: str, subject: Subject, known: Sequence[tuple[Case, Truth]]) -> None:
    """Judge a subject on cases of one dtype, and add what is found to the verification."""
    if not known:
        return
    outputs = subject([case for case, _ in known])
    judged = [(case, truth, blocks) for (case, truth), blocks in zip(known, outputs, strict=True) if blocks is not None]
    verification.judged[name] += len(judged)
    found = compare_many(
        [truth for _, truth, _ in judged], [blocks for *_, blocks in judged], [case.dtype for case, *_ in judged]
    )
    for (case, truth, blocks), findings in zip(judged, found, strict=True):
        for finding in findings:
            key = name, case.dtype.name, finding.block
            if key not in verification.worst or finding.ratio > verification.worst[key][0].ratio:
                verification.worst[key] = finding, case
        if wrong := [(finding.block, finding.step) for finding in findings if not finding.ok]:
            place = first_error(truth, blocks, case.dtype) or wrong[0]  # nothing exceeds an infinite tolerance
            verification.mismatches.append(Mismatch(name, case, *place))


def refuted_edges(case: Case, truth: Truth) -> list[int]:
    """Return the misprinted edges that a run refutes."""
    tape, upstream = twins.forward(bptt, case)
    return [misprint.edge for misprint in MISPRINTS if is_refuted(misprint, case, truth, tape, upstream)]


def is_refuted(misprint: Misprint, case: Case, truth: Truth, tape: Tape, upstream: dict[str, Array]) -> bool:
    """Return whether a run refutes an equation as printed: its edge is wrong, or its shapes do not fit."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # δ7 · δ4 grows without bound
            δs = [δ[misprint.edge] for _, δ in misprint.steps(tape, **upstream)]
    except ValueError:  # the shapes do not fit
        return True
    if not δs:
        return False
    return not truth.compare(f"δ{misprint.edge}", np.stack(δs[::-1]), case.dtype).ok
