"""The command `lstm-oracle`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec

NEEDED = ("jax", "rich")  # what NumPy alone does not bring; imported where they are used, since that takes seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0 verified, 1 a mismatch, 2 the request is unusable."""
    options = parser().parse_args(arguments)
    if missing := [module for module in NEEDED if not find_spec(module)]:
        print(f"lstm-oracle: {missing[0]} is not installed: pip install 'lstm-oracle[oracle]'", file=sys.stderr)
        return 2
    status: int = options.command(options)
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
    verify.add_argument("--runs", type=at_least(1), default=1000, metavar="N", help="how many runs (default: 1000)")
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
    return top


def run_verify(options: argparse.Namespace) -> int:
    """`lstm-oracle verify`."""
    import numpy as np

    from reference.oracle import report
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


if __name__ == "__main__":
    sys.exit(main())
