"""The command line of `lstm-oracle`, by the standard library alone, so that `--help` answers at once."""

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
    """Add `lstm-oracle verify`."""
    command = commands.add_parser(
        "verify",
        help="verify the hand derivation",
        description="Draws runs of an LSTM in many sizes and regimes, and compares every edge and every gradient of "
        "both hand-written implementations with autodiff, and those of Flax and ONNX Runtime on the same runs. "
        "Exit status: 0 verified, 1 mismatch, 2 unusable request.",
    )
    command.add_argument("--runs", type=at_least(1), default=600, metavar="N", help="number of runs (default: 600)")
    seeded(command)
    command.add_argument("--run", type=at_least(0), metavar="K", help="judge only run number K")
    command.add_argument(
        "--dtype",
        choices=("float64", "float32", "both"),
        default="both",
        help="precision of the runs (default: both, alternating)",
    )
    as_json(command, "print the findings as JSON")
    command.set_defaults(command="verify")


def check(commands: Any) -> None:
    """Add `lstm-oracle check`."""
    command = commands.add_parser(
        "check",
        help="check an LSTM on drawn runs",
        description="Draws runs in many sizes and regimes, has the LSTM compute them in a process of its own, and "
        "compares every output that it returns with autodiff. A failure is reduced to the smallest run found that "
        "shows it. "
        "Exit status: 0 correct, 1 incorrect or misbehaving, 2 unusable request.",
    )
    command.add_argument(
        "target",
        metavar="TARGET",
        help="pkg.module:adapter, a callable that takes a run's inputs by keyword and returns a mapping of outputs; "
        "'exec:./program arguments', which is given two folders: one with an .npy file per input, an empty one for its "
        f"outputs; or the name of a known package: {', '.join(PACKAGES)}",
    )
    command.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="precision (default: float64)"
    )
    command.add_argument(
        "--runs", "--max-examples", type=at_least(1), default=100, metavar="N", help="number of runs (default: 100)"
    )
    seeded(command)
    command.add_argument("--run", type=at_least(0), metavar="K", help="judge only run number K")
    command.add_argument("--sizes", type=sizes, metavar="T,B,D,H", help="with --run: use these sizes")
    command.add_argument("--regime", metavar="R", help="with --run: use this regime")
    command.add_argument(
        "--layout",
        default="manual",
        metavar="NAME",
        help="how its weights and their gradients are arranged: torch, keras or another name in manual.layouts.LAYOUTS "
        "(default: manual, that is W_f … b_o)",
    )
    command.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="time limit for one run in seconds (default: 60)"
    )
    command.add_argument(
        "--save", metavar="FILE", help="save the failing run, as .npz or as a .py script that shows the failure"
    )
    as_json(command, "print the findings as JSON")
    views(command)
    command.set_defaults(command="check")


def peers(commands: Any) -> None:
    """Add `lstm-oracle peers`."""
    command = commands.add_parser(
        "peers",
        help="judge the known packages that are installed",
        description=f"Judges the LSTMs of {', '.join(PACKAGES)}, those that are installed, each in a process of its "
        "own. Exit status: 0 all correct, 1 any faulty, 2 any not judged.",
    )
    command.add_argument("--dtype", choices=("float64", "float32", "both"), default="both", help="(default: both)")
    command.add_argument(
        "--runs", type=at_least(1), default=35, metavar="N", help="number of runs for each (default: 35)"
    )
    seeded(command)
    as_json(command, "print the findings as JSON")
    command.set_defaults(command="peers")


def judge(commands: Any) -> None:
    """Add `lstm-oracle judge`."""
    command = commands.add_parser(
        "judge",
        help="judge recorded runs",
        description="Judges runs that any program recorded: inputs and any of the outputs, in one .npz file or in a "
        "folder with one .npy file per array. Exit status: 0 correct, 1 incorrect, 2 a file is unusable.",
    )
    command.add_argument("runs", nargs="+", metavar="RUN", help="an .npz file, or a folder of .npy files")
    as_json(command, "print the reports as JSON, as a list for several files")
    views(command)
    command.set_defaults(command="judge")


def layout(commands: Any) -> None:
    """Add `lstm-oracle layout`."""
    command = commands.add_parser(
        "layout",
        help="find the weight layout of a recorded run",
        description="Finds the layout under which arrays are the weights of an LSTM: the order of the gates, "
        "transposes, interleaving, one matrix or several, biases, an offset of the forget gate. Prints the conversion "
        "to manual.Params, and which packages use the layout. Exit status: 0 exactly one layout explains the run, "
        "1 none or several do, 2 the file is unusable.",
    )
    command.add_argument(
        "run",
        metavar="RUN",
        help="an .npz file, or a folder of .npy files: x, h or C or C_T, h0 and C0 unless they are zero, and the "
        "weights under any other names",
    )
    as_json(command, "print the findings as JSON")
    command.set_defaults(command="layout")


def vectors(commands: Any) -> None:
    """Add `lstm-oracle vectors`."""
    command = commands.add_parser(
        "vectors",
        help="write test vectors with certified outputs",
        description="Writes test vectors that can be used without Python: JSON with a schema, and an .npz file for "
        "each. A reader needs a JSON parser and nothing of this package. Takes about half a minute. "
        "Exit status: 0 written, 2 unusable request.",
    )
    command.add_argument("folder", metavar="DIR", help="a new or empty folder")
    command.add_argument(
        "--dtype", choices=("float64", "float32", "both"), default="both", help="precision (default: both)"
    )
    as_json(command, "print the names of the files as JSON")
    command.set_defaults(command="vectors")


def seeded(command: argparse.ArgumentParser) -> None:
    """Add the option that selects which runs are drawn."""
    command.add_argument(
        "--seed", type=at_least(0), default=0, metavar="S", help="selects which runs are drawn (default: 0)"
    )


def as_json(command: argparse.ArgumentParser, text: str) -> None:
    """Add the option for output that programs read."""
    command.add_argument("--json", action="store_true", help=text)


def views(command: argparse.ArgumentParser) -> None:
    """Add the options that write a report to files as well."""
    command.add_argument("--html", metavar="FILE", help="write the report as one HTML page")
    command.add_argument("--badge", metavar="FILE", help="write the verdict as JSON for a badge of shields.io")


def at_least(least: int) -> Callable[[str], int]:
    """Return the type of an option that is an integer of at least `least`."""

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
    """Return a positive number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a positive number of seconds, got {text!r}")
    return number


def sizes(text: str) -> tuple[int, ...]:
    """Return T, B, D and H of a text such as 4,2,3,5."""
    parts = text.split(",")
    if len(parts) != 4:
        raise argparse.ArgumentTypeError(f"must be four integers T,B,D,H such as 4,2,3,5, got {text!r}")
    T, B, D = (at_least(0)(size) for size in parts[:3])
    return T, B, D, at_least(1)(parts[3])
