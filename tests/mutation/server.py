"""A plugin for pytest that starts it once and forks it for every mutant, before it has imported anything of ours.

It is told of mutants, and tells what became of them, in lines of JSON over two pipes. A mutant that
uses far more CPU than the right program does is stopped, and so is one that only waits.
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import time
import warnings
from contextlib import suppress
from importlib import import_module
from importlib.util import cache_from_source
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutation import memory

PRELOADED = ("jax.numpy", "flint", "rich.console", "rich.table")  # none of them starts a thread
MEMORY = 6 * 2**30

child: dict[str, Any] = {}  # in a fork: its job, the pipe to answer on, and what failed first


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Fork for every job that comes; a fork goes on to collect and to run its tests, this process never does."""
    pipes = map(int, os.environ["MUTATION_PIPES"].split())
    source, sink = os.fdopen(next(pipes)), os.fdopen(next(pipes), "w")
    for module in PRELOADED:
        with suppress(ImportError):
            import_module(module)
    memory.load()
    for line in source:
        job = json.loads(line)
        if job.get("record"):
            memory.load()
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pid = os.fork()
        if pid == 0:
            os.close(reader)
            source.close()
            sink.close()
            return begin(session, job, writer)
        os.close(writer)
        sink.write(json.dumps(outcome(pid, reader, job["wall"])) + "\n")
        sink.flush()
        if job.get("record"):
            memory.load()
    os._exit(0)


def begin(session: pytest.Session, job: dict[str, Any], writer: int) -> None:
    """Become the run of one mutant's tests."""
    os.setsid()
    # The right program's bytecode serves all; of two changes within a second, Python would take one for the other.
    sys.dont_write_bytecode = not job.get("record")
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu"], job["cpu"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    child.update(job, writer=writer, failed="", why="")
    if job["file"]:
        Path(cache_from_source(job["file"])).unlink(missing_ok=True)
    session.config.args = job["tests"]
    session.config.option.maxfail = 1
    session.config.option.verbose = -2
    settings.register_profile(
        "mutation", settings.get_profile("fast"), phases=(Phase.explicit, Phase.generate), report_multiple_bugs=False
    )
    settings.load_profile("mutation")
    if job["remember"]:
        memory.install()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.failed and child and not child["failed"]:
        child.update(failed=report.nodeid, why=report.longreprtext)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed and child and not child["failed"]:
        child.update(failed=f"collecting {report.nodeid}", why=report.longreprtext)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    if child:
        if child.get("record"):
            memory.save()
        told = {"status": int(exitstatus), "by": child["failed"], "why": child["why"][-3000:]}
        os.write(child["writer"], json.dumps(told).encode())
        os._exit(0)


def outcome(pid: int, reader: int, wall: float) -> dict[str, Any]:
    """What a fork tells, or how it ended; and the CPU time that it took."""
    ready, _, _ = select.select([reader], [], [], wall)
    told = os.read(reader, 65536) if ready else b""
    os.close(reader)
    if not told:
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    if told:
        return {**json.loads(told), "seconds": seconds}
    if not ready:
        return {"status": -1, "by": "waited too long", "seconds": seconds}
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    by = "used too much CPU" if number in (signal.SIGXCPU, signal.SIGKILL) else f"ended by signal {number}"
    return {"status": -1, "by": by, "seconds": seconds}
