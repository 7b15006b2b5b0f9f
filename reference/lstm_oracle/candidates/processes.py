"""Candidates in other processes: an adapter in a child that serves many runs, and a program started for every run."""

from __future__ import annotations

import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from lstm_oracle.candidates import observer, worker
from lstm_oracle.candidates.base import Candidate, TargetError
from lstm_oracle.candidates.failures import FailureKind, Problem
from lstm_oracle.candidates.observer import Observation, check_outputs, same_bits
from lstm_oracle.inputs.files import RunFileError, one_line, read_array, read_run, require_regular, write_run
from lstm_oracle.run import OUTPUTS, Array, Run

START_SECONDS = 180.0  # limit for an import, during which some packages compile
OBSERVER_FILE = Path(observer.__file__).name  # in a traceback, the frame that calls the adapter


class Isolated(Candidate):
    """An adapter in a child process, which is restarted after it has died or was killed."""

    def __init__(self, name: str, target: str, timeout: float, layout: str) -> None:
        super().__init__(name, name, layout)
        self.imported, self.timeout = target, timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._start()

    def _start(self) -> None:
        """Start the child, and wait until it has imported the adapter."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = start_worker(self.imported, self.layout, self._stderr)
        assert self._process.stdin
        assert self._process.stdout
        self._requests: IO[bytes] = self._process.stdin
        self._replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_forward, args=(self._process.stdout, self._replies), daemon=True).start()
        try:
            ready = self._replies.get(timeout=START_SECONDS)
        except queue.Empty:
            self.close()
            raise TargetError(f"{self.imported} was not imported within {START_SECONDS:g} s") from None
        except BaseException:
            self.close()
            raise
        if ready is None:
            raise TargetError(f"{self.imported} cannot be imported: {self._death().text}")
        if "error" in ready[0]:
            self.close()
            raise TargetError(ready[0]["error"])

    def __call__(self, inputs: Run) -> Observation:
        try:
            if self._process is None:
                self._start()
        except TargetError as error:
            return Observation(problems=(Problem(FailureKind.CRASHES, f"could not be restarted: {error}"),))
        try:
            worker.send(self._requests, {}, inputs)
            reply = self._replies.get(timeout=self.timeout)
        except queue.Empty:
            self.close()
            self.deaths += 1
            return Observation(problems=(Problem(FailureKind.HANGS, f"did not answer within {self.timeout:g} s"),))
        except OSError:  # the child died before it had read the whole message
            reply = None
        return Observation(problems=(self._death(),)) if reply is None else worker.observation(reply)

    def restart(self) -> bool:
        """Stop the child; the next call starts another."""
        self.close()
        return True

    def close(self) -> None:
        """Stop the child and every process that it started."""
        if self._process is not None:
            stop(self._process)
            self._requests.close()
            self._stderr.close()
            self._process = None

    def _death(self) -> Problem:
        """Count the death of the child, and return it as a problem."""
        assert self._process is not None
        problem = death(self._process.wait(), stderr_summary(self._stderr))
        self.close()
        self.deaths += 1
        return problem


class Executable(Candidate):
    """A program that is passed two folders: one with an `.npy` file for each input, an empty one for its outputs."""

    def __init__(self, target: str, timeout: float) -> None:
        super().__init__(target, target)
        self.timeout = timeout
        try:
            self.command = shlex.split(target.removeprefix("exec:"))
        except ValueError as error:
            raise TargetError(f"{target}: {error}") from None
        if not self.command:
            raise TargetError(f"{target} names no program; expected exec:./program arguments")
        if shutil.which(self.command[0]) is None:
            raise TargetError(f"{target}: {self.command[0]} does not exist or is not executable")

    def __call__(self, inputs: Run) -> Observation:
        with tempfile.TemporaryDirectory(prefix="lstm-oracle-") as folder, tempfile.TemporaryFile() as stderr:
            given, returned = Path(folder, "inputs"), Path(folder, "outputs")
            write_run(given, inputs)
            returned.mkdir()
            try:
                process = subprocess.Popen(
                    [*self.command, str(given), str(returned)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # programs may print
                    stderr=stderr,
                    start_new_session=True,
                )
            except OSError as error:
                raise TargetError(f"{self.target}: {one_line(error)}") from None
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                return Observation(problems=(Problem(FailureKind.HANGS, f"did not finish within {self.timeout:g} s"),))
            finally:
                stop(process)
            if status:
                return Observation(problems=(death(status, stderr_summary(stderr)),))
            return read_outputs(inputs, given, returned)

    def restart(self) -> bool:
        """Return True: every call starts a new process."""
        return True


def start_worker(target: str, layout: str, stderr: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a child process that runs `worker.main`, with the current folder first on its path for the candidate."""
    folder = os.getcwd()
    paths = json.dumps([*(path for path in sys.path if path not in ("", folder)), folder])
    return subprocess.Popen(
        [sys.executable, "-P", "-c", worker.PROGRAM, paths, folder, target, layout],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )


def read_outputs(inputs: Run, given: Path, returned: Path) -> Observation:
    """Read the files that a program wrote, and compare its input files with the inputs."""
    arrays: dict[str, Array] = {}
    problems = []
    for file in sorted(returned.iterdir()):
        name = file.name.removesuffix(".npy")
        if name not in OUTPUTS or file.suffix != ".npy":
            text = f"wrote {file.name[:40]!r}; expected any of {', '.join(OUTPUTS)}, with the suffix .npy"
            problems.append(Problem(FailureKind.UNKNOWN_NAME, text))
            continue
        try:
            arrays[name] = read_array(partial(open, file, "rb"), require_regular(file))
        except RunFileError as error:
            problems.append(Problem(FailureKind.RETURN_TYPE, f"{file.name} {error}", name))
    if not arrays and not problems:
        text = f"wrote no file; expected any of {', '.join(f'{name}.npy' for name in OUTPUTS)}"
        problems.append(Problem(FailureKind.NO_OUTPUT, text))
    try:
        after = read_run(given)
    except RunFileError:
        after = {}
    if changed := [n for n in inputs if n not in after or not same_bits(after[n], np.asarray(inputs[n]))]:
        problems.append(Problem(FailureKind.WRITES_INPUTS, f"changed the files of {', '.join(changed)}"))
    outputs, misfits = check_outputs(arrays, inputs)
    return Observation(outputs, (*problems, *misfits))


def death(status: int, stderr: str) -> Problem:
    """Return the problem of a process that ended with this exit status, with a summary of its standard error."""
    after = f"; last line of standard error: {stderr}" if stderr else ""
    if status < 0 or status > 0x7FFFFFFF:  # a signal, or an exception code of Windows
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status:#x}"
        return Problem(FailureKind.CRASHES, f"killed by {name}{after}")
    return Problem(FailureKind.EXITS, f"exited with status {status}{after}")


def stderr_summary(stderr: IO[bytes]) -> str:
    """Return the last line of standard error or, if Python crashed, its message and the frames of the adapter."""
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - 10_000))
    lines = [line.strip() for line in stderr.read().decode(errors="replace").splitlines() if line.strip()]
    for k, line in enumerate(lines):
        if line.startswith(("Fatal Python error", "Windows fatal")):
            frames = re.findall(r'File ".*?([^/\\]+)", line (\d+) in (\S+)', "\n".join(lines[k:]))
            calls = [f"{function} ({file}:{number})" for file, number, function in frames]
            ours = next((n for n, (file, _, _) in enumerate(frames) if file == OBSERVER_FILE), len(frames))
            return ", in ".join([line, *calls[max(0, ours - 1) : ours]])[:300]
    return lines[-1][:300] if lines else ""


def stop(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and every process that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):  # on Windows, or if none is left
        process.kill()
    process.wait()


def _forward(replies: IO[bytes], into: queue.SimpleQueue[Any]) -> None:
    """Put every message of a child into a queue, followed by None."""
    with replies:
        try:
            while received := worker.receive(replies):
                into.put(received)
        except Exception:  # a dying process may leave half a message
            pass
        into.put(None)
