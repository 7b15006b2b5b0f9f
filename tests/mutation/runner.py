"""Runs the tests on mutants, each in a fork of a pytest process that is already running, in a copy of the tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

COPIED = ("manual", "reference", "tests", "pyproject.toml", "README.md", "Makefile", "requirements.lock")


def copy_tree(root: Path, to: Path) -> None:
    """Copy the files that the tests read."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, to / name)


class Runner:
    """A pytest process that tests mutants of the files of a suite, in its own copy of the tree."""

    def __init__(self, root: Path, folder: Path, suite: dict[str, Any]) -> None:
        self.tree, self.cache = folder / "tree", root / ".mutants"
        self.stages, self.uses_cache = suite["stages"], suite.get("cache", True)
        self.environment = suite.get("environment", {})
        if not self.tree.exists():
            self.tree.mkdir(parents=True)
            copy_tree(root, self.tree)
        self.limits: list[int] = []  # of CPU time in seconds, for each stage
        self.start()

    def start(self) -> None:
        """Start the process, which waits for jobs."""
        to_child, from_child = os.pipe(), os.pipe()
        environment = os.environ | {
            "MUTATION_PIPES": f"{to_child[0]} {from_child[1]}",
            "MUTATION_CACHE": str(self.cache / "truths.pickle"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": os.pathsep.join([str(self.tree), str(self.tree / "reference")]),
            "JAX_COMPILATION_CACHE_DIR": str(self.cache / "jax"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            **self.environment,
        }
        plugins = ["-p", "_hypothesis_pytestplugin", "-p", "tests.mutation.server", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *plugins, f"--basetemp={self.tree.parent / 'tmp'}"]
        self.log = (self.tree.parent / "log").open("w")
        self.process = subprocess.Popen(
            command, cwd=self.tree, env=environment, stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log,
            pass_fds=(to_child[0], from_child[1]),
        )  # fmt: skip
        os.close(to_child[0])
        os.close(from_child[1])
        self.sink, self.source = os.fdopen(to_child[1], "w"), os.fdopen(from_child[0])

    def ask(self, **job: Any) -> dict[str, Any]:
        """Return the result of a job, one run of tests.

        Raises:
            RuntimeError: the process has ended.
        """
        try:
            self.sink.write(json.dumps(job) + "\n")
            self.sink.flush()
            answer = self.source.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"pytest ended; its output:\n{(self.tree.parent / 'log').read_text()[-3000:]}")
        return json.loads(answer)

    def baseline(self) -> None:
        """Run the tests on the unchanged program, to set the time limits and to fill the cache.

        Raises:
            RuntimeError: a test fails without any mutant.
        """
        for tests in self.stages:
            result = self.ask(file="", tests=tests, cpu=3600, wall=3600, cache=self.uses_cache, baseline=True)
            if result["status"] != 0:
                raise RuntimeError(f"without any mutant, {result['by'] or tests} fails:\n{result.get('why')}")
            self.limits.append(int(3 * result["seconds"]) + 5)

    def judge(self, file: str, code: str) -> tuple[str, float]:
        """Return the first test that fails with this text of a file, or "", and the CPU time in seconds."""
        path, seconds = self.tree / file, 0.0
        original = path.read_text(encoding="utf-8")
        path.write_text(code, encoding="utf-8")
        try:
            for tests, limit in zip(self.stages, self.limits, strict=True):
                job = {"file": str(path), "tests": tests, "cpu": limit, "wall": 20 * limit, "cache": self.uses_cache}
                result = self.ask(**job)
                seconds += result["seconds"]
                if result["status"] != 0:
                    return result["by"] or f"pytest ended with {result['status']}", seconds
        finally:
            path.write_text(original, encoding="utf-8")
        return "", seconds

    def close(self) -> None:
        """End the process."""
        self.sink.close()
        self.process.wait()
        self.log.close()
