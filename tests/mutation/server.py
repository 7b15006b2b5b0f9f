"""A pytest plugin: one process that forks for every mutant, before any of our modules is imported.

Jobs and results are lines of JSON over two pipes. A mutant that uses far more CPU time than the unchanged program is
stopped, and so is one that only waits.
"""

from __future__ import annotations

import gc
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

from tests.mutation import cache

PRELOADED = ("jax.numpy", "flint", "rich.console", "rich.table")  # none of these starts a thread
MOST_BYTES = 6 * 2**30  # of memory

child: dict[str, Any] = {}  # in a fork: its job, the pipe for its result, and the first failure


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Fork for every job; only the forks return, to collect and run their tests."""
    pipes = map(int, os.environ["MUTATION_PIPES"].split())
    source, sink = os.fdopen(next(pipes)), os.fdopen(next(pipes), "w")
    for module in PRELOADED:
        with suppress(ImportError):
            import_module(module)
    cache.load()
    gc.collect()
    gc.freeze()  # the collector of a fork need not visit what was loaded before
    for line in source:
        job = json.loads(line)
        if job.get("baseline"):
            cache.load()
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
        sink.write(json.dumps(result_of(pid, reader, job["wall"])) + "\n")
        sink.flush()
        if job.get("baseline"):
            cache.load()
    os._exit(0)


def begin(session: pytest.Session, job: dict[str, Any], writer: int) -> None:
    """Prepare this fork to run the tests of a job."""
    os.setsid()
    # Only the unchanged program writes bytecode: of two mutants written within a second, Python would use the first.
    sys.dont_write_bytecode = not job.get("baseline")
    resource.setrlimit(resource.RLIMIT_CPU, (job["cpu"], job["cpu"] + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
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
    if job["cache"]:
        cache.install()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep the first test that fails."""
    if report.failed and child and not child["failed"]:
        child.update(failed=report.nodeid, why=report.longreprtext)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """Keep the first file that cannot be collected."""
    if report.failed and child and not child["failed"]:
        child.update(failed=f"collecting {report.nodeid}", why=report.longreprtext)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(exitstatus: int) -> None:
    """Send the result of this fork, and end it."""
    if child:
        if child.get("baseline"):
            cache.save()
        result = {"status": int(exitstatus), "by": child["failed"], "why": child["why"][-3000:]}
        os.write(child["writer"], json.dumps(result).encode())
        os._exit(0)


def result_of(pid: int, reader: int, wall: float) -> dict[str, Any]:
    """Return the result that a fork sends within so many seconds, or else how it ended; and its CPU time."""
    ready, _, _ = select.select([reader], [], [], wall)
    sent = os.read(reader, 65536) if ready else b""
    os.close(reader)
    if not sent:
        time.sleep(0.01)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    seconds = usage.ru_utime + usage.ru_stime
    if sent:
        return {**json.loads(sent), "seconds": seconds}
    if not ready:
        return {"status": -1, "by": "waited too long", "seconds": seconds}
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    by = "used too much CPU time" if number in (signal.SIGXCPU, signal.SIGKILL) else f"ended by signal {number}"
    return {"status": -1, "by": by, "seconds": seconds}
