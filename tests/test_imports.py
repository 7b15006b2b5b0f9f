"""The imports: each package imports only those before it, and a light entry point loads nothing heavy."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import lstm_oracle
import manual

ROOTS = {package.__name__: Path(package.__file__ or "").parent for package in (manual, lstm_oracle)}
MODULES = {
    ".".join((name, *path.relative_to(folder).with_suffix("").parts)).removesuffix(".__init__"): path
    for name, folder in ROOTS.items()
    for path in folder.rglob("*.py")
}
STANDARD = set(sys.stdlib_module_names)
ORDER = [
    *("run", "autodiff", "certified", "inputs", "truth", "candidates", "comparison", "diagnosis", "reports", "judging"),
    *("layouts", "verify", "vectors", "conformance", "pytest_plugin", "cli"),
]
USES_MANUAL = {"certified", "inputs", "candidates", "layouts", "verify"}
TRUTH = {"numpy", "numpy.typing", "jax", "jax.numpy", "flint"}


def imports_of(module: str) -> set[str]:
    """Return the full names of the modules that a file imports, except those that it imports only for type checking."""
    found: set[str] = set()
    pending: list[ast.AST] = [ast.parse(MODULES[module].read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} uses a relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
        pending += ast.iter_child_nodes(node)
    return found


def third_party(module: str) -> set[str]:
    """Return the imports of a file except those of the standard library."""
    return {name for name in imports_of(module) if name.split(".")[0] not in STANDARD}


def part_of(module: str) -> str:
    """Return the module or package of `lstm_oracle` to which a module belongs."""
    return module.split(".")[1]


OURS = [module for module in MODULES if module.startswith("lstm_oracle.")]


@pytest.mark.parametrize("module", [module for module in MODULES if module.startswith("manual")])
def test_manual_imports_only_numpy_and_itself(module: str) -> None:
    assert {name.split(".")[0] for name in third_party(module)} <= {"numpy", "manual"}


@pytest.mark.parametrize("module", OURS)
def test_every_package_imports_only_those_before_it(module: str) -> None:
    before = ORDER[: ORDER.index(part_of(module)) + 1]
    imported = {name for name in imports_of(module) if name.startswith("lstm_oracle.")}
    assert {part_of(name) for name in imported} <= set(before)


def test_no_imports_are_circular() -> None:
    packages = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    graph = {name: {n for n in imports_of(name) if n in MODULES and n not in packages} for name in MODULES}
    TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", OURS)
def test_only_these_packages_import_manual(module: str) -> None:
    uses = any(name.split(".")[0] == "manual" for name in imports_of(module))
    assert not uses or part_of(module) in USES_MANUAL


@pytest.mark.parametrize("module", [m for m in OURS if part_of(m) in ("run", "autodiff") or m.endswith(".series")])
def test_the_truth_imports_neither_manual_nor_the_rest_of_the_oracle(module: str) -> None:
    truth = {name for name in MODULES if part_of(f"{name}.") in ("", "run", "autodiff") or name.endswith(".series")}
    assert third_party(module) <= TRUTH | truth


@pytest.mark.parametrize("module", MODULES)
def test_nothing_imports_the_tests(module: str) -> None:
    assert not {name.split(".")[0] for name in imports_of(module)} & {"tests", "conftest"}


def test_the_derivation_imports_only_numpy_and_the_implementations_do_not_import_each_other() -> None:
    assert third_party("manual.derivation") == {"numpy", "numpy.typing"}
    assert "manual.fused" not in third_party("manual.bptt")
    assert not {"manual.bptt", "manual.derivation"} & third_party("manual.fused")


def modules_after(program: str) -> set[str]:
    """Return the top-level modules that a new Python process has loaded after a program."""
    script = f"{program}\nimport sys; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_using_manual_loads_only_numpy() -> None:
    numpy = "import numpy as np; rng = np.random.default_rng(0)"
    used = """
import manual
tape = manual.forward(manual.Params.init(rng, 2, 3), np.ones((2, 1, 2)))
manual.backward(tape, tape.h), manual.deltas(tape, tape.h)
"""
    assert modules_after(numpy + used) - modules_after(numpy) - STANDARD == {"manual"}


def test_autodiff_does_not_load_manual() -> None:
    loaded = modules_after("import lstm_oracle; lstm_oracle.autodiff.forward")
    assert "jax" in loaded
    assert "manual" not in loaded


@pytest.mark.parametrize("program", ["import lstm_oracle", "import lstm_oracle.pytest_plugin"])
def test_the_package_and_the_plugin_load_neither_numpy_nor_jax_before_they_are_used(program: str) -> None:
    assert not modules_after(program) & {"numpy", "jax", "manual"}


def test_help_loads_neither_numpy_nor_jax_nor_manual() -> None:
    program = """
from contextlib import suppress
from lstm_oracle.cli.main import main
with suppress(SystemExit):
    main(["--help"])
"""
    assert not modules_after(program) & {"numpy", "jax", "manual"}


@pytest.mark.parametrize("package", [manual, lstm_oracle])
def test_dir_returns_exactly_the_public_names(package: object) -> None:
    public = set(package.__all__)  # type: ignore[attr-defined]
    assert set(dir(package)) == public
    assert all(hasattr(package, name) for name in public)
