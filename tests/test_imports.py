"""The layers: manual on NumPy alone, the truths without manual, the oracle on both, nobody on the tests."""

from __future__ import annotations

import ast
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

import manual
import reference

PACKAGES = {package.__name__: Path(package.__file__ or "").parent for package in (manual, reference)}
MODULES = {
    ".".join((name, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
    for name, folder in PACKAGES.items()
    for path in folder.rglob("*.py")
}
STANDARD = set(sys.stdlib_module_names)
TRUTH = {f"reference{module}" for module in ("", ".run", ".lstm", ".probes", ".at_once", ".series")}


def imported(module: str) -> set[str]:
    """The modules that a file imports anywhere in it, in full."""
    tree, found = ast.parse(MODULES[module].read_text(encoding="utf-8")), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports by a relative name"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return found


def foreign(module: str) -> set[str]:
    """The imports of a file that are not the standard library's."""
    return {name for name in imported(module) if name.split(".")[0] not in STANDARD}


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("manual")])
def test_manual_imports_numpy_and_itself(module: str) -> None:
    assert {name.split(".")[0] for name in foreign(module)} <= {"numpy", "manual"}


@pytest.mark.parametrize("module", sorted(TRUTH))
def test_the_truth_imports_jax_and_itself(module: str) -> None:
    allowed = {"numpy", "numpy.typing", "jax", "jax.numpy", "flint"} | TRUTH
    assert foreign(module) <= ({"numpy", "numpy.typing"} if module == "reference.run" else allowed)


@pytest.mark.parametrize("module", MODULES)
def test_nobody_imports_the_tests(module: str) -> None:
    assert not {name.split(".")[0] for name in imported(module)} & {"tests", "conftest"}


def test_the_derivation_and_the_unit_know_nothing_of_time_or_of_the_fast_twin() -> None:
    assert foreign("manual.derivation") == {"numpy", "numpy.typing"}
    assert "manual.fused" not in foreign("manual.bptt")
    assert not {"manual.bptt", "manual.derivation"} & foreign("manual.fused")


def after(program: str) -> set[str]:
    """The top-level modules that a new Python has in it after a program."""
    told = f"{program}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_manual_brings_numpy_and_nothing_else() -> None:
    numpy = "import numpy as np; rng = np.random.default_rng(0)"
    used = """
import manual
tape = manual.forward(manual.Params.init(rng, 2, 3), np.ones((2, 1, 2)))
manual.backward(tape, tape.h), manual.deltas(tape, tape.h)
"""
    assert after(numpy + used) - after(numpy) - STANDARD == {"manual"}


def test_the_reference_does_not_bring_manual() -> None:
    used = "import reference; reference.forward, reference.backward, reference.deltas"
    brought = after(used)
    assert "jax" in brought
    assert "manual" not in brought


def cpu_time(*arguments: str) -> float:
    """The least seconds of CPU that a new Python takes for this, of several times."""
    return min(_cpu_time(arguments) for _ in range(5))


def _cpu_time(arguments: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_an_import_and_the_command_s_help_take_little() -> None:
    numpy = cpu_time("-c", "import numpy")
    assert cpu_time("-c", "import manual") < 1.6 * numpy  # 1.05 was measured, and 1.2 without .pyc files
    assert cpu_time("-m", "reference.oracle.cli", "--help") < 1.6 * numpy  # 0.65 was measured


def test_the_public_names_are_there() -> None:
    assert {"Params", "forward", "backward", "deltas"} <= set(manual.__all__)
    assert {"forward", "backward", "deltas"} <= set(reference.__all__)
    for package in (manual, reference):
        assert all(hasattr(package, name) for name in package.__all__)
