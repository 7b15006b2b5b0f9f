"""What the command `lstm-oracle` takes. The standard library alone: `--help` answers at once."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import Any

from reference.oracle.packages import PACKAGES


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="lstm-oracle", description="Tells whether an LSTM is right.")
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
    """`lstm-oracle verify`."""
    command = commands.add_parser(
        "verify",
        help="hold the hand derivation against every truth",
        description="Draws runs of an LSTM over all shapes and regimes and judges every edge and every gradient "
        "of both hand-written twins against autodiff, and other people's LSTMs on the same runs. "
        "Exit status: 0 verified, 1 a mismatch, 2 the request is unusable.",
    )
    command.add_argument("--runs", type=at_least(1), default=600, metavar="N", help="how many runs (default: 600)")
    seeded(command)
    command.add_argument("--run", type=at_least(0), metavar="K", help="judge run number K alone")
    command.add_argument(
        "--dtype",
        choices=("float64", "float32", "both"),
        default="both",
        help="precision of the runs (default: both, in turn)",
    )
    as_json(command, "print the findings as JSON")
    command.set_defaults(command="verify")


def check(commands: Any) -> None:
    """`lstm-oracle check`."""
    command = commands.add_parser(
        "check",
        help="judge an LSTM on drawn runs",
        description="Draws runs over all shapes and regimes, has the LSTM compute them in a process of its own, and "
        "judges every output it returns against autodiff. A failure is reduced to the smallest run that shows it. "
        "Exit status: 0 right, 1 wrong or misbehaving, 2 the request is unusable.",
    )
    command.add_argument(
        "target",
        metavar="TARGET",
        help="pkg.module:adapter, a callable that takes a run's inputs by keyword and returns a mapping of outputs; "
        "'exec:./program arguments', which is given two folders: one with an .npy per input, an empty one for its "
        f"outputs; or a package by its name: {', '.join(PACKAGES)}",
    )
    command.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="precision (default: float64)"
    )
    command.add_argument(
        "--runs", "--max-examples", type=at_least(1), default=100, metavar="N", help="how many runs (default: 100)"
    )
    seeded(command)
    command.add_argument("--run", type=at_least(0), metavar="K", help="judge run number K alone")
    command.add_argument("--sizes", type=sizes, metavar="T,B,D,H", help="with --run: in these sizes")
    command.add_argument("--regime", metavar="R", help="with --run: in this regime")
    command.add_argument(
        "--layout",
        default="manual",
        metavar="NAME",
        help="how its weights and their gradients lie: torch, keras or another name of manual.layouts.LAYOUTS "
        "(default: manual, W_f … b_o)",
    )
    command.add_argument(
        "--timeout", type=seconds, default=60.0, metavar="S", help="seconds that one run may take (default: 60)"
    )
    command.add_argument(
        "--save", metavar="FILE", help="save the failing run as .npz, or as a .py that shows it by itself"
    )
    as_json(command, "print the findings as JSON")
    views(command)
    command.set_defaults(command="check")


def peers(commands: Any) -> None:
    """`lstm-oracle peers`."""
    command = commands.add_parser(
        "peers",
        help="judge the known packages that are installed",
        description=f"Judges the LSTMs of {', '.join(PACKAGES)}, those that are installed, each in a process of its "
        "own. Exit status: 0 all right, 1 a fault, 2 one could not be judged.",
    )
    command.add_argument("--dtype", choices=("float64", "float32", "both"), default="both", help="(default: both)")
    command.add_argument("--runs", type=at_least(1), default=35, metavar="N", help="how many runs each (default: 35)")
    seeded(command)
    command.add_argument("--found", metavar="FILE", help="write the faults, each confirmed, as Markdown")
    as_json(command, "print the findings as JSON")
    command.set_defaults(command="peers")


def judge(commands: Any) -> None:
    """`lstm-oracle judge`."""
    command = commands.add_parser(
        "judge",
        help="judge recorded runs",
        description="Judges runs that any program recorded: inputs and any of the outputs, in one .npz file or in a "
        "folder with one .npy per array. Exit status: 0 right, 1 wrong, 2 a file is unusable.",
    )
    command.add_argument("runs", nargs="+", metavar="RUN", help="an .npz file, or a folder of .npy files")
    as_json(command, "print the findings as JSON; of several files, a list")
    views(command)
    command.set_defaults(command="judge")


def layout(commands: Any) -> None:
    """`lstm-oracle layout`."""
    command = commands.add_parser(
        "layout",
        help="find how the weights of a recorded run lie",
        description="Finds in which layout arrays are the weights of an LSTM: the order of the gates, transposes, "
        "interleaving, one matrix or several, biases, what is added to the forget gate. Prints the conversion to "
        "manual.Params, and which packages have that layout. Exit status: 0 exactly one layout explains the run, "
        "1 none or several, 2 the file is unusable.",
    )
    command.add_argument(
        "run",
        metavar="RUN",
        help="an .npz file, or a folder of .npy files: x, h or C or C_T, h0 and C0 where they are not zero, and the "
        "weights by any other names",
    )
    as_json(command, "print the findings as JSON")
    command.set_defaults(command="layout")


def vectors(commands: Any) -> None:
    """`lstm-oracle vectors`."""
    command = commands.add_parser(
        "vectors",
        help="write test vectors with certified outputs",
        description="Writes test vectors for those who cannot run Python: JSON with a schema, and an .npz for each. "
        "A reader needs a JSON parser and nothing of this package. Takes about half a minute. "
        "Exit status: 0 written, 2 the request is unusable.",
    )
    command.add_argument("folder", metavar="DIR", help="a new or an empty folder")
    command.add_argument(
        "--dtype", choices=("float64", "float32", "both"), default="both", help="precision (default: both)"
    )
    as_json(command, "print the names of the files as JSON")
    command.set_defaults(command="vectors")


def seeded(command: argparse.ArgumentParser) -> None:
    """What draws the runs."""
    command.add_argument("--seed", type=at_least(0), default=0, metavar="S", help="draws other runs (default: 0)")


def as_json(command: argparse.ArgumentParser, text: str) -> None:
    """What is for programs."""
    command.add_argument("--json", action="store_true", help=text)


def views(command: argparse.ArgumentParser) -> None:
    """What a report is written to besides."""
    command.add_argument("--html", metavar="FILE", help="write the report as one HTML page")
    command.add_argument("--badge", metavar="FILE", help="write the verdict as JSON for a badge of shields.io")


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
