"""The child process of a candidate, which isolates crashes, exits and hangs.

The child reads runs from its standard input and writes observations to its standard output. Each message is an `.npz`
archive preceded by its length: nothing is pickled, the caller's `__main__` is not imported, and every operating system
is served alike. Text that the candidate prints is captured and reported.
"""

from __future__ import annotations

import faulthandler
import importlib
import io
import json
import os
import struct
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from typing import IO, Any

import numpy as np

from lstm_oracle.candidates.base import TargetError
from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Adapter, Observation, Observer, last_line, printed_problem
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT, require_own_manual, shadowing_manual
from lstm_oracle.run import Array

HEADER = "header"
LENGTH = struct.Struct("<Q")

# The child's program, for `python -P -c`. Arguments: the module search path as JSON, the candidate's folder, the target
# and its layout. The candidate's folder comes first on the path only after our own imports, because a file there may
# have the name of a module that we import.
PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from lstm_oracle.candidates import worker
sys.path.insert(0, sys.argv[2])
worker.main(*sys.argv[3:])
"""


def main(target: str, layout: str) -> None:
    """Import the target, then answer run after run until the standard input ends."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    printed = tempfile.TemporaryFile()  # noqa: SIM115
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(printed.fileno(), 1)
    faulthandler.enable()
    try:
        require_manual_for(target, layout)
        observer = Observer(load(target), layout)
    except TargetError as error:
        send(replies, {"error": str(error)}, {})
        return
    send(replies, {}, {})
    while received := receive(requests):
        start = printed.seek(0, os.SEEK_END)
        observation = observer(received[1])
        sys.stdout.flush()
        problems = [*observation.problems]
        if printed.seek(0, os.SEEK_END) > start:  # written from C, bypassing Python's sys.stdout
            printed.seek(start)
            problems.append(printed_problem(printed.read(1000).decode(errors="replace")))
        send(replies, {"problems": [asdict(problem) for problem in problems]}, observation.outputs)


def require_manual_for(target: str, layout: str) -> None:
    """Raise TargetError if our module `manual` is needed but shadowed by a module of the candidate's.

    Our own adapters of known packages need `manual`, and so does every layout except a run's own.
    """
    if layout == OWN_LAYOUT and not target.startswith("lstm_oracle."):
        return
    try:
        require_own_manual()
    except ImportError as error:
        raise TargetError(str(error)) from None


def load(target: str) -> Adapter:
    """Import the adapter `pkg.module:name`.

    Raises:
        TargetError: the adapter does not exist, cannot be imported, or is not callable.
    """
    module, _, name = target.partition(":")
    try:
        adapter: Any = importlib.import_module(module)
        for attribute in name.split("."):
            adapter = getattr(adapter, attribute)
    except (Exception, SystemExit) as error:
        needs_manual = isinstance(error, ImportError) and (error.name or "").split(".")[0] == "manual"
        other = shadowing_manual() if needs_manual else None
        hint = f"; {other} shadows lstm-oracle's module manual" if other else ""
        raise TargetError(f"{target} cannot be imported: {last_line(error)}{hint}") from None
    if not callable(adapter):
        raise TargetError(f"{target} is of type {type(adapter).__name__}; expected a callable")
    return adapter


def send(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write one message."""
    packed = io.BytesIO()
    members: dict[str, Any] = {HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays}
    np.savez(packed, **members)
    stream.write(LENGTH.pack(packed.tell()) + packed.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Read one message and return its header and arrays, or None at the end of the stream."""
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    packed = stream.read(LENGTH.unpack(length)[0])
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop(HEADER).tobytes()), arrays


def observation(received: tuple[dict[str, Any], dict[str, Array]]) -> Observation:
    """Return the observation that a message from the child contains."""
    header, arrays = received
    problems = (Problem(**problem | {"kind": FailureKind(problem["kind"])}) for problem in header["problems"])
    return Observation(arrays, tuple(problems))
