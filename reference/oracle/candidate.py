"""What is judged, and the three ways to call it: in this process, in a child process, as a program.

A callable is called in this process, since most cannot be sent elsewhere; a hang or a crash would
take this process along. A name, `pkg.module:adapter`, is imported in a child process, which is
stopped after `timeout` seconds and started again after it died. A program, `exec:./program`, is
started for every run.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod

from reference.oracle.behaviour import Adapter, Observation, Observer, Randomness
from reference.oracle.laid_out import OWN
from reference.oracle.packages import PACKAGES
from reference.oracle.worker import TargetError
from reference.run import Run


class Candidate(ABC):
    """Something to judge. `target` is its name on the command line, or None where it has none."""

    deaths = 0  # how often it had to be started again

    def __init__(self, name: str, target: str | None, layout: str = OWN) -> None:
        self.name, self.target, self.layout = name, target, layout

    @abstractmethod
    def __call__(self, inputs: Run) -> Observation:
        """What it does with these inputs."""

    def restart(self) -> bool:
        """Forget all calls before, if that is possible."""
        return False

    def close(self) -> None:  # noqa: B027
        """Leave nothing running."""

    def __enter__(self) -> Candidate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def candidate(adapter: Adapter | str, *, timeout: float = 60.0, isolate: bool = False, layout: str = OWN) -> Candidate:
    """The candidate for a callable, or for the name of one.

    A name is `pkg.module:adapter`, `exec:./program arguments`, or a known package's: `torch`, `flax`, ….

    Args:
        isolate: whether a callable, too, is called in a child process, which imports it by its name.
        layout: how its weights and their gradients lie, a name in `laid_out.NAMES`.

    Raises:
        TypeError: neither a callable nor a name.
        TargetError: it cannot be imported or started.
    """
    from reference.oracle.processes import Isolated, Program

    if not isinstance(adapter, str):
        if not callable(adapter):
            raise TypeError(f"adapter is a {type(adapter).__name__}; expected a callable or a name of one")
        if not isolate:
            return InProcess(adapter, layout)
        adapter = importable_name(adapter)
    if adapter.startswith("exec:"):
        if layout != OWN:
            raise TargetError(f"the layout is {layout!r}; expected {OWN!r}: a program gets the run's own arrays")
        return Program(adapter, timeout)
    if package := PACKAGES.get(adapter):
        if package.missing:
            raise TargetError(f"{adapter} is not installed: pip install {package.missing}")
        if layout != OWN:
            raise TargetError(f"the layout is {layout!r}; expected {OWN!r}: the adapter of {adapter} knows its own")
        return Isolated(adapter, package.target, timeout, layout)
    if not all(adapter.partition(":")):
        known = f"pkg.module:adapter or exec:./program, or one of {', '.join(PACKAGES)}"
        raise TargetError(f"{adapter!r} is no target; expected {known}")
    return Isolated(adapter, adapter, timeout, layout)


def importable_name(adapter: Adapter) -> str:
    """`pkg.module:adapter`, for a callable that a child process can import."""
    module, name = getattr(adapter, "__module__", None), getattr(adapter, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        raise TargetError(f"{adapter!r} cannot be imported by name, so it cannot be isolated; put it in a module")
    return f"{module}:{name}"


class InProcess(Candidate):
    """A callable, called here."""

    def __init__(self, adapter: Adapter, layout: str) -> None:
        target: str | None = None
        with contextlib.suppress(TargetError):
            target = importable_name(adapter)
        super().__init__(target or str(getattr(adapter, "__qualname__", type(adapter).__name__)), target, layout)
        self.observer, self.randomness = Observer(adapter, layout), Randomness()

    def __call__(self, inputs: Run) -> Observation:
        return self.observer(inputs)

    def close(self) -> None:
        """Leave the global random states as they were."""
        self.randomness.restore()
