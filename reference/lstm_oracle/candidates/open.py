"""Opens a candidate for a callable or a target name.

A callable runs in this process, because most callables cannot be sent to another process; a callable that hangs or
crashes takes this process with it. A name, `pkg.module:adapter`, is imported in a child process, which is killed
after `timeout` seconds and restarted after it has died. A program, `exec:./program`, is started for every run.
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
        timeout: time limit in seconds for a call in another process, after which the call counts as hanging.
        isolate: whether to import and call a callable in a child process as well.
        layout: how the weights and their gradients are arranged, one of `weight_layout.layout_names()`.

    Raises:
        TypeError: `adapter` is neither a callable nor a name.
        TargetError: the adapter cannot be imported or started.
    """
    if not isinstance(adapter, str):
        if not callable(adapter):
            raise TypeError(f"adapter is of type {type(adapter).__name__}; expected a callable or a target name")
        if not isolate:
            return InProcess(adapter, layout)
        adapter = importable_name(adapter)
    if adapter.startswith("exec:"):
        if layout != OWN_LAYOUT:
            raise TargetError(f"layout is {layout!r}; expected {OWN_LAYOUT!r}, the only layout for programs")
        return Executable(adapter, timeout)
    if package := PACKAGES.get(adapter):
        if package.missing:
            raise TargetError(f"{adapter} is not installed: pip install {package.missing}")
        if layout != OWN_LAYOUT:
            raise TargetError(f"layout is {layout!r}; expected {OWN_LAYOUT!r}, which the adapter of {adapter} converts")
        return Isolated(adapter, package.target, timeout, layout)
    if not all(adapter.partition(":")):
        raise TargetError(f"{adapter!r} is not a target; {suggestion(adapter)}")
    return Isolated(adapter, adapter, timeout, layout)


def suggestion(target: str) -> str:
    """Return the target that was probably meant by an unusable one, or else the expected forms."""
    module = target.removesuffix(".py").strip("./").replace("/", ".")
    if target.endswith(".py") and all(part.isidentifier() for part in module.split(".")):
        return f"did you mean {module}:lstm?"
    return f"expected pkg.module:adapter, exec:./program, or one of {', '.join(PACKAGES)}"


def importable_name(adapter: Adapter) -> str:
    """Return `pkg.module:adapter` for a callable that a child process can import."""
    module, name = getattr(adapter, "__module__", None), getattr(adapter, "__qualname__", None)
    if not module or not name or module == "__main__" or "<" in name:
        raise TargetError(f"{adapter!r} cannot be imported by name and so cannot be isolated; define it in a module")
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
