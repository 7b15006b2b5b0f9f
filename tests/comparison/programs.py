"""Wrong LSTMs: which mistakes are compared, and each as a function with a backward pass of its own.

The mistakes are all those of the catalogue, `reference/oracle/bugs`, that can be made at the sizes of the
comparison, without those of precision, which no gradient check claims to see. What the catalogue says of a
mistake decides where it belongs (`Bug.forward`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, HandDerivedUnmapped, ShapeMismatch, Unit, compose
from lstm_oracle.run import INPUTS, WEIGHTS, Array, Run

SIZES = {"T": 5, "B": 2, "D": 3, "H": 4}
ARGUMENTS = (*WEIGHTS, "x", "h0", "C0")
UPSTREAM = ("dh", "dh_T", "dC_T")  # what arrives at the outputs, h, h_T and C_T


@dataclass(frozen=True)
class Program:
    """A variant of the unit, as a function of `ARGUMENTS`."""

    unit: type[Unit] = Unit

    def outputs(self, arguments: Sequence[Array]) -> tuple[Array, Array, Array]:
        """h, h_T and C_T, what an LSTM layer returns."""
        return self._forward(arguments)[1]

    def gradients(self, arguments: Sequence[Array], upstream: Sequence[Array]) -> tuple[Array, ...]:
        """The gradient of every argument, from those that arrive at the three outputs."""
        unit, _ = self._forward(arguments, upstream)
        with np.errstate(all="ignore"):
            found = unit.gradients()
        return tuple(np.ascontiguousarray(found[f"d{name}"]) for name in ARGUMENTS)

    def blocks(self, **run: Array) -> dict[str, Array]:
        """An adapter, as `reference.oracle.check` takes it."""
        with np.errstate(all="ignore"):
            unit = self.unit(run)
            return {name: np.array(array) for name, array in (unit.states() | unit.gradients()).items()}

    def _forward(
        self, arguments: Sequence[Array], upstream: Sequence[Array] = ()
    ) -> tuple[Unit, tuple[Array, Array, Array]]:
        run = dict(zip(ARGUMENTS, arguments, strict=True))
        (T, B, _), H = run["x"].shape, run["h0"].shape[1]
        arriving = upstream or [np.zeros(shape, run["x"].dtype) for shape in ((T, B, H), (B, H), (B, H))]
        run |= dict(zip(UPSTREAM, arriving, strict=True))
        unit = self.unit(run)
        with np.errstate(all="ignore"):
            states = unit.states()
        # One mistake exchanges the last h and C; it is told by what it takes for the gradient at its last h.
        h_T = unit.steps[-1].C if unit.run["dh_T"] is run["dC_T"] else unit.steps[-1].h
        h, h_T, C_T = (np.array(array, run["x"].dtype) for array in (states["h"], h_T, states["C_T"]))
        return unit, (h, h_T, C_T)


def draw(seed: int) -> dict[str, Array]:
    """A run of standard normal values, the weights scaled so that the gates' sums are of order one; T=5 B=2 D=3 H=4."""
    rng = np.random.default_rng(seed)
    run = {name: rng.normal(size=[SIZES[dim] for dim in dims]) for name, dims in INPUTS.items()}
    for name in run:
        if name[:2] in ("W_", "U_"):
            run[name] *= 1.5 / np.sqrt(SIZES["H"] + SIZES["D"])
    return run


def arguments_of(run: Run) -> tuple[Array, ...]:
    """What a program is a function of."""
    return tuple(run[name] for name in ARGUMENTS)


def fits(bug: Bug, run: Run) -> bool:
    """Whether a mistake can be made on this run: some need two equal sizes."""
    try:
        Program(bug.unit).gradients(arguments_of(run), [run[name] for name in UPSTREAM])
    except ShapeMismatch:
        return False
    return True


RUN = draw(0)
COMPARED = [bug for bug in CATALOGUE.values() if bug.kind != "precision" and fits(bug, RUN)]
BACKWARD = [bug for bug in COMPARED if not bug.forward]
FORWARD = [bug for bug in COMPARED if bug.forward]


@dataclass(frozen=True)
class Group:
    """One set of wrong programs."""

    title: str
    bugs: Sequence[Bug]
    by_hand: bool = False  # the gradients are the right unit's, whatever the forward pass computes

    def program(self, bug: Bug) -> Program:
        """The program with this mistake."""
        return Program(compose((bug,), HandDerivedUnmapped) if self.by_hand else bug.unit)


GROUPS = {
    "backward": Group("Backward wrong, forward right", BACKWARD),
    "by hand": Group("Forward wrong, backward by hand for the right unit", FORWARD, by_hand=True),
    "forward": Group("Forward wrong, backward its own, as autodiff gives it", FORWARD),
}
