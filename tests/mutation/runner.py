"""Runs the tests on mutants, each in a fork of a pytest that is started already, within a copy of the tree."""

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
    """A copy of what the tests read."""
    for name in COPIED:
        if (root / name).is_dir():
            shutil.copytree(root / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(root / name, to / name)


class Runner:
    """A pytest that waits for mutants of one file, in a tree of its own."""

    def __init__(self, root: Path, folder: Path, suite: dict[str, Any]) -> None:
        self.tree, self.memory = folder / "tree", root / ".mutants"
        self.stages, self.remember = suite["stages"], suite.get("remember", True)
        self.environment = suite.get("environment", {})
        if not self.tree.exists():
            self.tree.mkdir(parents=True)
            copy_tree(root, self.tree)
        self.limits: list[int] = []
        self.start()

    def start(self) -> None:
        to_child, from_child = os.pipe(), os.pipe()
        environment = os.environ | {
            "MUTATION_PIPES": f"{to_child[0]} {from_child[1]}",
            "MUTATION_MEMORY": str(self.memory / "truths.pickle"),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(self.tree),
            "JAX_COMPILATION_CACHE_DIR": str(self.memory / "jax"),
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
        """What came of one run of tests."""
        try:
            self.sink.write(json.dumps(job) + "\n")
            self.sink.flush()
            answer = self.source.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise RuntimeError(f"pytest ended; it said:\n{(self.tree.parent / 'log').read_text()[-3000:]}")
        return json.loads(answer)

    def baseline(self) -> None:
        """Run the tests on the right program, note how long they take, and remember what autodiff says there."""
        for tests in self.stages:
            found = self.ask(file="", tests=tests, cpu=3600, wall=3600, remember=self.remember, record=True)
            if found["status"] != 0:
                raise RuntimeError(f"without any mutant, {found['by'] or tests} fails:\n{found.get('why')}")
            self.limits.append(int(3 * found["seconds"]) + 5)

    def judge(self, file: str, code: str) -> tuple[str, float]:
        """The first test that fails on this text of a file, or "" if none does; and the seconds of CPU taken."""
        path, seconds = self.tree / file, 0.0
        right = path.read_text(encoding="utf-8")
        path.write_text(code, encoding="utf-8")
        try:
            for tests, limit in zip(self.stages, self.limits, strict=True):
                job = {"file": str(path), "tests": tests, "cpu": limit, "wall": 20 * limit, "remember": self.remember}
                found = self.ask(**job)
                seconds += found["seconds"]
                if found["status"] != 0:
                    return found["by"] or f"pytest ended with {found['status']}", seconds
        finally:
            path.write_text(right, encoding="utf-8")
        return "", seconds

    def close(self) -> None:
        self.sink.close()
        self.process.wait()
        self.log.close()
