"""The command `lstm-oracle`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

NEEDED = ("jax", "rich", "hypothesis")  # beyond NumPy; imported where they are used, since that takes seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0 verified, 1 a mismatch, 2 the request is unusable."""
    options = parser().parse_args(arguments)
    if missing := [module for module in NEEDED if not find_spec(module)]:
        print(f"lstm-oracle: {missing[0]} is not installed: pip install 'lstm-oracle[oracle]'", file=sys.stderr)
        return 2
    try:
        status: int = options.command(options)
    except MemoryError as error:
        return unusable(f"not enough memory: {error}")
    return status


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="lstm-oracle", description="Tells whether an LSTM is right.")
    top.add_argument("--version", action="version", version=f"lstm-oracle {version('lstm-oracle')}")
    commands = top.add_subparsers(required=True, metavar="command")

    verify = commands.add_parser(
        "verify",
        help="hold the hand derivation against every truth",
        description="Draws runs of an LSTM over all shapes and regimes and judges every edge and every gradient "
        "of both hand-written twins against autodiff, and other people's LSTMs on the same runs. "
        "Exit status: 0 verified, 1 a mismatch, 2 the request is unusable.",
    )
    verify.add_argument("--runs", type=at_least(1), default=600, metavar="N", help="how many runs (default: 600)")
    verify.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="draws other runs (default: 0)")
    verify.add_argument("--run", type=at_least(0), metavar="K", help="judge run number K alone")
    verify.add_argument(
        "--dtype",
        choices=("float64", "float32", "both"),
        default="both",
        help="precision of the runs (default: both, in turn)",
    )
    verify.add_argument("--json", action="store_true", help="print the findings as JSON")
    verify.set_defaults(command=run_verify)

    check = commands.add_parser(
        "check",
        help="judge an LSTM on drawn runs",
        description="Draws runs over all shapes and regimes, has the LSTM compute them in a process of its own, and "
        "judges every output it returns against autodiff. A failure is reduced to the smallest run that shows it. "
        "Exit status: 0 right, 1 wrong or misbehaving, 2 the request is unusable.",
    )
    check.add_argument(
        "target",
        metavar="TARGET",
        help="pkg.module:adapter, a callable that takes a run's inputs by keyword and returns a mapping of outputs; "
        "or 'exec:./program arguments', which is given two folders: one with an .npy per input, an empty one for its "
        "outputs",
    )
    check.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="precision (default: float64)"
    )
    check.add_argument(
        "--runs", "--max-examples", type=at_least(1), default=100, metavar="N", help="how many runs (default: 100)"
    )
    check.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="draws other runs (default: 0)")
    check.add_argument("--run", type=at_least(0), metavar="K", help="judge run number K alone")
    check.add_argument("--sizes", type=sizes, metavar="T,B,D,H", help="with --run: in these sizes")
    check.add_argument("--regime", metavar="R", help="with --run: in this regime")
    check.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="seconds that one run may take (default: 60)"
    )
    check.add_argument(
        "--save", metavar="FILE", help="save the failing run as .npz, or as a .py that shows it by itself"
    )
    check.add_argument("--json", action="store_true", help="print the findings as JSON")
    check.set_defaults(command=run_check)

    judge = commands.add_parser(
        "judge",
        help="judge recorded runs",
        description="Judges runs that any program recorded: inputs and any of the outputs, in one .npz file or in a "
        "folder with one .npy per array. Exit status: 0 right, 1 wrong, 2 a file is unusable.",
    )
    judge.add_argument("runs", nargs="+", metavar="RUN", help="an .npz file, or a folder of .npy files")
    judge.add_argument("--json", action="store_true", help="print the findings as JSON; of several files, a list")
    judge.set_defaults(command=run_judge)
    return top


def run_verify(options: argparse.Namespace) -> int:
    """`lstm-oracle verify`."""
    import numpy as np

    from reference.oracle import verify_report as report
    from reference.oracle.verify import verify

    names = ("float64", "float32") if options.dtype == "both" else (options.dtype,)
    dtypes = [np.dtype(name) for name in names]
    numbers = range(options.runs) if options.run is None else [options.run]
    with report.progress(len(numbers)) as advance:
        verdict = verify(options.seed, numbers, dtypes, advance)
    if options.json:
        print(json.dumps(report.to_json(verdict), indent=2, ensure_ascii=False))
    else:
        report.show(verdict)
    return 0 if verdict.ok else 1


def run_check(options: argparse.Namespace) -> int:
    """`lstm-oracle check`."""
    from pathlib import Path

    from reference.oracle import saving
    from reference.oracle.checking import EMPTY, check
    from reference.oracle.verify_report import progress

    save = options.save and Path(options.save)
    if save and save.suffix not in saving.SUFFIXES:
        return unusable(f"--save {save} ends in {save.suffix or 'nothing'}; expected {' or '.join(saving.SUFFIXES)}")
    if options.run is None and (options.sizes or options.regime):
        return unusable("--sizes and --regime change one run; name it with --run")
    try:
        with progress(options.runs + len(EMPTY) if options.run is None else 1) as advance:
            report = check(
                options.target,
                dtype=options.dtype,
                max_examples=options.runs,
                seed=options.seed,
                run=options.run,
                sizes=options.sizes,
                regime=options.regime,
                timeout=options.timeout,
                progress=advance,
            )
    except ValueError as error:
        return unusable(str(error))
    print(json.dumps(report.to_json(), indent=2, ensure_ascii=False) if options.json else report)
    if save:
        try:
            saving.save(save, report)
            print(f"Saved {save}", file=sys.stderr)
        except OSError as error:
            return unusable(f"--save {save}: {error.strerror}")
        except ValueError as error:
            print(f"lstm-oracle: --save: {error}", file=sys.stderr)
    return 0 if report.ok else 1


def run_judge(options: argparse.Namespace) -> int:
    """`lstm-oracle judge`."""
    from reference.oracle.files import RunFileError
    from reference.oracle.judging import judge_all

    verdicts, status = [], 0
    for file, report in zip(options.runs, judge_all(options.runs), strict=True):
        if isinstance(report, Exception):
            said = str(report) if isinstance(report, RunFileError) else f"{file}: {report}"
            status = unusable(said)
            verdicts.append({"ok": False, "blocks": [], "diagnosis": [], "error": said, "file": file})
            continue
        status = max(status, 0 if report.ok else 1)
        verdicts.append(report.to_json() | {"file": file})
        if not options.json:
            print(report, end="\n\n" if file is not options.runs[-1] else "\n")
    if options.json:
        print(json.dumps(verdicts if len(verdicts) > 1 else verdicts[0], indent=2, ensure_ascii=False))
    return status


def unusable(why: str) -> int:
    """Say why a request cannot be met."""
    print(f"lstm-oracle: {why}", file=sys.stderr)
    return 2


class at_least:  # reads as a type in add_argument, and names itself in its errors
    """A whole number from `least` on."""

    def __init__(self, least: int) -> None:
        self.least = least
        self.__name__ = f"whole number from {least} on"

    def __call__(self, text: str) -> int:
        """The number, or a ValueError, which argparse turns into an error that names the option."""
        number = int(text)
        if number < self.least:
            raise ValueError
        return number


def seconds(text: str) -> float:
    """A time of more than nothing."""
    number = float(text)
    if not 0 < number < float("inf"):
        raise ValueError
    return number


def sizes(text: str) -> tuple[int, ...]:
    """T,B,D,H."""
    T, B, D, H = (at_least(0)(size) for size in text.split(","))
    return T, B, D, at_least(1)(str(H))


if __name__ == "__main__":
    sys.exit(main())
