"""The command line of `lstm-oracle`. Only the standard library is imported, so that `--help` answers at once."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from lstm_oracle.candidates.packages import PACKAGES


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = argparse.ArgumentParser(
        prog="lstm-oracle",
        description="Checks whether an LSTM implementation is correct: its states and all its gradients.",
    )
    top.add_argument("--version", action="version", version=f"lstm-oracle {version('lstm-oracle')}")
    commands = top.add_subparsers(required=True, metavar="command")
    verify(commands)
    check(commands)
    peers(commands)
    judge(commands)
    layout(commands)
    vectors(commands)
    return top


def verify(commands: Any) -> None:
    """Add the command `verify`."""
    command = commands.add_parser(
        "verify",
        help="verify the hand derivation",
        description="Draws runs of an LSTM in many sizes and regimes, and compares every edge and every gradient of "
        "both hand-written implementations with autodiff, as well as the outputs of Flax and ONNX Runtime. "
        "Exit status: 0 verified, 1 mismatch, 2 unusable request.",
    )
    command.add_argument("--runs", type=at_least(1), default=600, metavar="N", help="number of runs (default: 600)")
    add_seed(command)
    command.add_argument("--run", type=at_least(0), metavar="K", help="judge only run number K")
    add_dtype(command)
    add_json(command, "print the report as JSON")
    command.set_defaults(command="verify")


def check(commands: Any) -> None:
    """Add the command `check`."""
    command = commands.add_parser(
        "check",
        help="check an LSTM on drawn runs",
        description="Draws runs in many sizes and regimes, calls the LSTM in a separate process, and compares every "
        "output with autodiff. Each failure is reduced to the smallest run found that shows it. "
        "Exit status: 0 correct, 1 incorrect or misbehaving, 2 unusable request.",
    )
    command.add_argument(
        "target",
        metavar="TARGET",
        help="pkg.module:adapter, a callable that takes the inputs of a run by keyword and returns a mapping of "
        "outputs; 'exec:./program arguments', which is passed two folders: one with an .npy file for each input, an "
        f"empty one for the outputs; or the name of a known package: {', '.join(PACKAGES)}",
    )
    command.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="precision (default: float64)"
    )
    command.add_argument(
        "--runs", "--max-examples", type=at_least(1), default=100, metavar="N", help="number of runs (default: 100)"
    )
    add_seed(command)
    command.add_argument("--run", type=at_least(0), metavar="K", help="judge only run number K")
    command.add_argument("--sizes", type=sizes, metavar="T,B,D,H", help="with --run: use these sizes")
    command.add_argument("--regime", metavar="R", help="with --run: use this regime")
    command.add_argument(
        "--layout",
        default="manual",
        metavar="NAME",
        help="how the weights and their gradients are arranged: torch, keras or another name in "
        "manual.layouts.LAYOUTS (default: manual, which means W_f … b_o)",
    )
    command.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="time limit for one run in seconds (default: 60)"
    )
    command.add_argument(
        "--save", metavar="FILE", help="save the failing run: as .npz, or as a .py script that shows the failure"
    )
    add_json(command, "print the report as JSON")
    add_views(command)
    command.set_defaults(command="check")


def peers(commands: Any) -> None:
    """Add the command `peers`."""
    command = commands.add_parser(
        "peers",
        help="judge the known packages that are installed",
        description=f"Judges the LSTMs of those packages that are installed, each in a separate process: "
        f"{', '.join(PACKAGES)}. Exit status: 0 all correct, 1 any faulty, 2 any not judged.",
    )
    add_dtype(command)
    command.add_argument(
        "--runs", type=at_least(1), default=35, metavar="N", help="number of runs of each package (default: 35)"
    )
    add_seed(command)
    add_json(command, "print the report as JSON")
    command.set_defaults(command="peers")


def judge(commands: Any) -> None:
    """Add the command `judge`."""
    command = commands.add_parser(
        "judge",
        help="judge recorded runs",
        description="Judges recorded runs of any program: the inputs and any of the outputs, in one .npz file or in a "
        "folder with one .npy file for each array. Exit status: 0 correct, 1 incorrect, 2 a file is unusable.",
    )
    command.add_argument("runs", nargs="+", metavar="RUN", help="an .npz file, or a folder of .npy files")
    add_json(command, "print the report as JSON; for several files, a list of reports")
    add_views(command)
    command.set_defaults(command="judge")


def layout(commands: Any) -> None:
    """Add the command `layout`."""
    command = commands.add_parser(
        "layout",
        help="find the weight layout of a recorded run",
        description="Finds the layout in which the arrays of a run are the weights of an LSTM: the order of the gates, "
        "transposed, interleaved or separate matrices, the biases, and an offset of the forget gate. Prints the "
        "conversion to manual.Params, and the packages that use the layout. Exit status: 0 exactly one layout matches "
        "the run, 1 none or several match, 2 the file is unusable.",
    )
    command.add_argument(
        "run",
        metavar="RUN",
        help="an .npz file, or a folder of .npy files: x; h, C or C_T; h0 and C0 unless they are zero; and the weights "
        "under any other names",
    )
    add_json(command, "print the report as JSON")
    command.set_defaults(command="layout")


def vectors(commands: Any) -> None:
    """Add the command `vectors`."""
    command = commands.add_parser(
        "vectors",
        help="write test vectors with certified outputs",
        description="Writes test vectors that can be used without Python: each as JSON, with a schema, and as an .npz "
        "file. Reading them takes only a JSON parser. The command takes about half a minute. "
        "Exit status: 0 written, 2 unusable request.",
    )
    command.add_argument("folder", metavar="DIR", help="a new or empty folder")
    add_dtype(command)
    add_json(command, "print the names of the files as JSON")
    command.set_defaults(command="vectors")


def add_dtype(command: argparse.ArgumentParser) -> None:
    """Add the option that selects one precision or both."""
    command.add_argument(
        "--dtype", choices=("float64", "float32", "both"), default="both", help="precision (default: both)"
    )


def add_seed(command: argparse.ArgumentParser) -> None:
    """Add the option `--seed`."""
    command.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="determines which runs are drawn (default: 0)"
    )


def add_json(command: argparse.ArgumentParser, text: str) -> None:
    """Add the option `--json`."""
    command.add_argument("--json", action="store_true", help=text)


def add_views(command: argparse.ArgumentParser) -> None:
    """Add the options `--html` and `--badge`, which also write the report to files."""
    command.add_argument("--html", metavar="FILE", help="write the report as one HTML page")
    command.add_argument("--badge", metavar="FILE", help="write the verdict as JSON for a shields.io badge")


def at_least(least: int) -> Callable[[str], int]:
    """Return an option type: a function that parses an integer of at least `least`."""

    def integer(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"must be an integer ≥ {least}, got {text!r}")
        return number

    return integer


def seconds(text: str) -> float:
    """Parse a positive number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, got {text!r}")
    return number


def sizes(text: str) -> tuple[int, ...]:
    """Parse T, B, D and H from a text such as 4,2,3,5."""
    parts = text.split(",")
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"must be four integers T,B,D,H such as 4,2,3,5, got {text!r}")
    T, B, D = (at_least(0)(size) for size in parts[:3])
    return T, B, D, at_least(1)(parts[3])
