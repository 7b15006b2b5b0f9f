"""The child process in which a candidate runs, so that its crash, exit or hang is its own.

It is a program that reads runs from its standard input and writes observations to its standard
output, both as `.npz` behind their length: no pickle, nothing of the caller's `__main__`, and the
same on every system. What the candidate prints goes elsewhere and is reported.
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

from reference.oracle.behaviour import Adapter, Observation, Observer, Problem, last_line, prints
from reference.run import Array

HEADER = "header"
LENGTH = struct.Struct("<Q")

# The child's first words: it sees what its parent sees. Arguments: the module path as JSON, the target, its layout.
START = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from reference.oracle import worker; worker.main()"


class TargetError(ValueError):
    """What should be judged cannot be found, imported or started; the message is one line."""


def main() -> None:
    """Import the target named on the command line, then answer run after run until the input ends."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    printed = tempfile.TemporaryFile()  # noqa: SIM115
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(printed.fileno(), 1)
    faulthandler.enable()
    try:
        observer = Observer(load(sys.argv[2]), layout=sys.argv[3])
    except TargetError as error:
        send(replies, {"error": str(error)}, {})
        return
    send(replies, {}, {})
    while received := receive(requests):
        start = printed.seek(0, os.SEEK_END)
        observation = observer(received[1])
        sys.stdout.flush()
        problems = [*observation.problems]
        if printed.seek(0, os.SEEK_END) > start:  # past Python's sys.stdout, from C
            printed.seek(start)
            problems.append(prints(printed.read(1000).decode(errors="replace")))
        send(replies, {"problems": [asdict(problem) for problem in problems]}, observation.outputs)


def load(target: str) -> Adapter:
    """The adapter `pkg.module:name`, imported.

    Raises:
        TargetError: there is no such thing, it fails to import, or it cannot be called.
    """
    module, _, name = target.partition(":")
    try:
        adapter: Any = importlib.import_module(module)
        for attribute in name.split("."):
            adapter = getattr(adapter, attribute)
    except (Exception, SystemExit) as error:
        raise TargetError(f"{target} cannot be imported: {last_line(error)}") from None
    if not callable(adapter):
        raise TargetError(f"{target} is a {type(adapter).__name__}; expected something to call")
    return adapter


def send(stream: IO[bytes], header: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
    """Write one message."""
    packed = io.BytesIO()
    members: dict[str, Any] = {HEADER: np.frombuffer(json.dumps(header).encode(), np.uint8), **arrays}
    np.savez(packed, **members)
    stream.write(LENGTH.pack(packed.tell()) + packed.getbuffer())
    stream.flush()


def receive(stream: IO[bytes]) -> tuple[dict[str, Any], dict[str, Array]] | None:
    """Read one message; None at the end of the stream."""
    length = stream.read(LENGTH.size)
    if len(length) < LENGTH.size:
        return None
    packed = stream.read(LENGTH.unpack(length)[0])
    with np.load(io.BytesIO(packed), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return json.loads(arrays.pop(HEADER).tobytes()), arrays


def observation(received: tuple[dict[str, Any], dict[str, Array]]) -> Observation:
    """What a message from the child says of a call."""
    header, arrays = received
    return Observation(arrays, tuple(Problem(**problem) for problem in header["problems"]))
