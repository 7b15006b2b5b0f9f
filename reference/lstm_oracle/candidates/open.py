"""Opens a candidate for a callable or a target name.

A callable runs in this process, because most cannot be sent to another; if it hangs or crashes, so does this process.
A name, `pkg.module:adapter`, is imported in a child process, which is killed after `timeout` seconds and restarted
when it has died. A program, `exec:./program`, is started for every run.
"""

from __future__ import annotations

import contextlib

from lstm_oracle.candidates.base import Candidate, TargetError
from lstm_oracle.candidates.observer import Adapter, Observation, Observer, RandomStates
from lstm_oracle.candidates.packages import PACKAGES
from lstm_oracle.candidates.processes import Executable, Isolated
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.run import Run


def open_candidate(
    adapter: Adapter | str, *, timeout: float = 60.0, isolate: bool = False, layout: str = OWN_LAYOUT
) -> Candidate:
    """Open the candidate for a callable, or for a target name.

    A target is `pkg.module:adapter`, `exec:./program arguments`, or the name of a known package: `torch`, `flax`, ….

    Args:
        adapter: the callable or the name.
        timeout: seconds after which a call in another process counts as hanging.
        isolate: whether a callable, too, is imported and called in a child process.
        layout: how the weights and their gradients are arranged, one of `weight_layout.layout_names()`.

    Raises:
        TypeError: `adapter` is neither a callable nor a name.
        TargetError: it cannot be imported or started.
    """
    if not isinstance(adapter, str):
        if not callable(adapter):
            raise TypeError(f"adapter is of type {type(adapter).__name__}; expected a callable or the name of one")
        if not isolate:
            return InProcess(adapter, layout)
        adapter = importable_name(adapter)
    if adapter.startswith("exec:"):
        if layout != OWN_LAYOUT:
            raise TargetError(f"layout is {layout!r}; expected {OWN_LAYOUT!r}: programs are given the run's own arrays")
        return Executable(adapter, timeout)
    if package := PACKAGES.get(adapter):
        if package.missing:
            raise TargetError(f"{adapter} is not installed: pip install {package.missing}")
        if layout != OWN_LAYOUT:
            raise TargetError(f"layout is {layout!r}; expected {OWN_LAYOUT!r}: the adapter of {adapter} has its own")
        return Isolated(adapter, package.target, timeout, layout)
    if not all(adapter.partition(":")):
        raise TargetError(f"{adapter!r} is not a target; {suggestion(adapter)}")
    return Isolated(adapter, adapter, timeout, layout)


def suggestion(target: str) -> str:
    """Return what was probably meant by an unusable target, or else what is expected."""
    module = target.removesuffix(".py").strip("./").replace("/", ".")
    if target.endswith(".py") and all(part.isidentifier() for part in module.split(".")):
        return f"did you mean {module}:lstm?"
    expected = f"pkg.module:adapter, exec:./program, or one of {', '.join(PACKAGES)}"
    return f"expected {expected}"


def importable_name(adapter: Adapter) -> str:
    """Return `pkg.module:adapter` for a callable that a child process can import."""
    module, name = getattr(adapter, "__module__", None), getattr(adapter, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        raise TargetError(f"{adapter!r} cannot be imported by name, so it cannot be isolated; put it into a module")
    return f"{module}:{name}"


class InProcess(Candidate):
    """A callable that runs in this process."""

    def __init__(self, adapter: Adapter, layout: str) -> None:
        target: str | None = None
        with contextlib.suppress(TargetError):
            target = importable_name(adapter)
        super().__init__(target or str(getattr(adapter, "__qualname__", type(adapter).__name__)), target, layout)
        self._observer, self._random_states = Observer(adapter, layout), RandomStates()

    def __call__(self, inputs: Run) -> Observation:
        return self._observer(inputs)

    def close(self) -> None:
        """Restore the global random states."""
        self._random_states.restore()
