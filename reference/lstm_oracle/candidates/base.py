"""The interface of all candidates, wherever they run."""

from __future__ import annotations

from abc import ABC, abstractmethod

from lstm_oracle.candidates.observer import Observation
from lstm_oracle.inputs.weight_layout import OWN_LAYOUT
from lstm_oracle.run import Run


class TargetError(ValueError):
    """A target that cannot be found, imported or started. The message is one line."""


class Candidate(ABC):
    """An LSTM to judge.

    Args:
        name: what reports call the candidate.
        target: the candidate's name on the command line, or None if it has none.
        layout: how the weights are arranged, "manual" or a name in `manual.layouts.LAYOUTS`.
    """

    deaths = 0  # how often the candidate's process died or was killed

    def __init__(self, name: str, target: str | None, layout: str = OWN_LAYOUT) -> None:
        self.name, self.target, self.layout = name, target, layout

    @abstractmethod
    def __call__(self, inputs: Run) -> Observation:
        """Call the candidate with these inputs, and return what was observed."""

    def restart(self) -> bool:
        """Discard all state of earlier calls before the next call; return whether that is possible."""
        return False

    def close(self) -> None:  # noqa: B027
        """Stop the candidate's processes, if any."""

    def __enter__(self) -> Candidate:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
