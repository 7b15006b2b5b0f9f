"""Candidates outside this process: an adapter in a child that is kept, a program that is started for every run."""

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

from reference.oracle import worker
from reference.oracle.behaviour import Observation, Problem, fitting, same_bits
from reference.oracle.candidate import Candidate
from reference.oracle.files import RunFileError, one_line, read_array, read_run, require_regular, write_run
from reference.oracle.worker import TargetError
from reference.run import OUTPUTS, Array, Run

OBSERVED = "behaviour.py"  # the file that calls the adapter
START_SECONDS = 180.0  # for an import, which compiles in some packages


class Isolated(Candidate):
    """An adapter in a child process, started again after it died."""

    def __init__(self, name: str, target: str, timeout: float, layout: str) -> None:
        super().__init__(name, name, layout)
        self.imported, self.timeout = target, timeout
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the child and wait until it has imported the adapter."""
        self.said = tempfile.TemporaryFile()  # noqa: SIM115
        paths = json.dumps([os.getcwd(), *sys.path])
        self.process = subprocess.Popen(
            [sys.executable, "-c", worker.START, paths, self.imported, self.layout],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            start_new_session=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        self.requests: IO[bytes] = self.process.stdin
        self.replies: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_read_all, args=(self.process.stdout, self.replies), daemon=True).start()
        try:
            ready = self.replies.get(timeout=START_SECONDS)
        except queue.Empty:
            self.close()
            raise TargetError(f"{self.imported} was not imported within {START_SECONDS:g} s") from None
        except BaseException:
            self.close()
            raise
        if ready is None:
            death = self._death()
            raise TargetError(f"{self.imported} cannot be imported: {death.text}")
        if "error" in ready[0]:
            self.close()
            raise TargetError(ready[0]["error"])

    def __call__(self, inputs: Run) -> Observation:
        try:
            if self.process is None:
                self.start()
        except TargetError as error:
            return Observation(problems=(Problem("crashes", f"could not be started again: {error}"),))
        try:
            worker.send(self.requests, {}, inputs)
            reply = self.replies.get(timeout=self.timeout)
        except queue.Empty:
            self.close()
            self.deaths += 1
            return Observation(problems=(Problem("hangs", f"gave no answer within {self.timeout:g} s"),))
        except OSError:  # it died before it read all
            reply = None
        return Observation(problems=(self._death(),)) if reply is None else worker.observation(reply)

    def restart(self) -> bool:
        """End the child; the next call starts another."""
        self.close()
        return True

    def close(self) -> None:
        """End the child and what it started."""
        if self.process is not None:
            stop(self.process)
            self.requests.close()
            self.said.close()
            self.process = None

    def _death(self) -> Problem:
        assert self.process is not None
        status = self.process.wait()
        problem = death(status, last_words(self.said))
        self.close()
        self.deaths += 1
        return problem


class Program(Candidate):
    """A program that takes two folders: one with an `.npy` for each input, an empty one for its outputs."""

    def __init__(self, target: str, timeout: float) -> None:
        super().__init__(target, target)
        self.timeout = timeout
        try:
            self.command = shlex.split(target.removeprefix("exec:"))
        except ValueError as error:
            raise TargetError(f"{target}: {error}") from None
        if not self.command or shutil.which(self.command[0]) is None:
            raise TargetError(f"{target}: {''.join(self.command[:1]) or 'the command'} is not there or not executable")

    def __call__(self, inputs: Run) -> Observation:
        with tempfile.TemporaryDirectory(prefix="lstm-oracle-") as folder, tempfile.TemporaryFile() as said:
            given, returned = Path(folder, "inputs"), Path(folder, "outputs")
            write_run(given, inputs)
            returned.mkdir()
            try:
                process = subprocess.Popen(
                    [*self.command, str(given), str(returned)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,  # a program may say what it likes there
                    stderr=said,
                    start_new_session=True,
                )
            except OSError as error:
                raise TargetError(f"{self.target}: {one_line(error)}") from None
            try:
                status = process.wait(self.timeout)
            except subprocess.TimeoutExpired:
                return Observation(problems=(Problem("hangs", f"had not ended after {self.timeout:g} s"),))
            finally:
                stop(process)
            if status:
                return Observation(problems=(death(status, last_words(said)),))
            return _written(inputs, given, returned)

    def restart(self) -> bool:
        """Every call is a fresh start."""
        return True


def _written(inputs: Run, given: Path, returned: Path) -> Observation:
    """What a program wrote."""
    arrays: dict[str, Array] = {}
    problems = []
    for file in sorted(returned.iterdir()):
        name = file.name.removesuffix(".npy")
        if name not in OUTPUTS or file.suffix != ".npy":
            problems.append(Problem("unknown_name", f"wrote {file.name[:40]!r}; expected any of {', '.join(OUTPUTS)}"))
            continue
        try:
            arrays[name] = read_array(partial(open, file, "rb"), require_regular(file))
        except RunFileError as error:
            problems.append(Problem("return_type", f"{file.name} {error}", name))
    if not arrays and not problems:
        problems.append(Problem("no_output", f"wrote no file; expected {', '.join(f'{name}.npy' for name in OUTPUTS)}"))
    try:
        kept = read_run(given)
    except RunFileError:
        kept = {}
    if changed := [name for name in inputs if name not in kept or not same_bits(kept[name], np.asarray(inputs[name]))]:
        problems.append(Problem("writes_inputs", f"changed the files of {', '.join(changed)}"))
    outputs, misfits = fitting(arrays, inputs)
    return Observation(outputs, (*problems, *misfits))


def death(status: int, words: str) -> Problem:
    """How a process ended that should not have."""
    after = f"; its last words: {words}" if words else ""
    if status < 0 or status > 0x7FFFFFFF:  # a signal, or what Windows calls an exception
        name = signal.Signals(-status).name if -status in set(signal.Signals) else f"status {status:#x}"
        return Problem("crashes", f"died of {name}{after}")
    return Problem("exits", f"ended with status {status}{after}")


def last_words(said: IO[bytes]) -> str:
    """What a process said last: where Python crashed, and the adapter's own line in that; else the last line."""
    said.seek(max(0, said.seek(0, os.SEEK_END) - 10_000))
    lines = [line.strip() for line in said.read().decode(errors="replace").splitlines() if line.strip()]
    for k, line in enumerate(lines):
        if line.startswith(("Fatal Python error", "Windows fatal")):
            frames = re.findall(r'File ".*?([^/\\]+)", line (\d+) in (\S+)', "\n".join(lines[k:]))
            calls = [f"{function} ({file}:{number})" for file, number, function in frames]
            ours = next((n for n, (file, _, _) in enumerate(frames) if file == OBSERVED), len(frames))
            return ", in ".join([line, *calls[max(0, ours - 1) : ours]])[:300]
    return lines[-1][:300] if lines else ""


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, ProcessLookupError, PermissionError):  # Windows; or none is left
        process.kill()
    process.wait()


def _read_all(replies: IO[bytes], into: queue.SimpleQueue[Any]) -> None:
    """Hand on every message, then None."""
    with replies:
        try:
            while received := worker.receive(replies):
                into.put(received)
        except Exception:  # what a dying process wrote last
            pass
        into.put(None)
