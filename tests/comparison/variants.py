"""The wrong LSTMs that are compared, each as a function with its own backward pass.

They make the mistakes of the catalogue, `lstm_oracle.diagnosis.bugs`, except those that the sizes of the comparison do
not allow and those of precision, which no gradient check claims to detect. `Bug.forward` decides to which group a
mistake belongs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lstm_oracle.diagnosis.bugs import CATALOGUE, Bug, BugKind, HandDerivedUnmapped, ShapeMismatch, Unit, compose
from lstm_oracle.run import INPUTS, WEIGHTS, Array, Run

SIZES = {"T": 5, "B": 2, "D": 3, "H": 4}
ARGUMENTS = (*WEIGHTS, "x", "h0", "C0")
UPSTREAM = ("dh", "dh_T", "dC_T")  # the gradients of the outputs h, h_T and C_T


@dataclass(frozen=True)
class Variant:
    """A variant of the unit, as a function of `ARGUMENTS`."""

    unit: type[Unit] = Unit

    def outputs(self, arguments: Sequence[Array]) -> tuple[Array, Array, Array]:
        """Return h, h_T and C_T, as an LSTM layer does."""
        return self._forward(arguments)[1]

    def gradients(self, arguments: Sequence[Array], upstream: Sequence[Array]) -> tuple[Array, ...]:
        """Return the gradient of every argument for the upstream gradients of the three outputs."""
        unit, _ = self._forward(arguments, upstream)
        with np.errstate(all="ignore"):
            found = unit.gradients()
        return tuple(np.ascontiguousarray(found[f"d{name}"]) for name in ARGUMENTS)

    def adapter(self, **run: Array) -> dict[str, Array]:
        """Return all outputs of a run, as `lstm_oracle.check` expects of an adapter."""
        with np.errstate(all="ignore"):
            unit = self.unit(run)
            return {name: np.array(array) for name, array in (unit.states() | unit.gradients()).items()}

    def _forward(
        self, arguments: Sequence[Array], upstream: Sequence[Array] = ()
    ) -> tuple[Unit, tuple[Array, Array, Array]]:
        run = dict(zip(ARGUMENTS, arguments, strict=True))
        (T, B, _), H = run["x"].shape, run["h0"].shape[1]
        upstream = upstream or [np.zeros(shape, run["x"].dtype) for shape in ((T, B, H), (B, H), (B, H))]
        run |= dict(zip(UPSTREAM, upstream, strict=True))
        unit = self.unit(run)
        with np.errstate(all="ignore"):
            states = unit.states()
        # One mistake swaps h_T and C_T. A unit with that mistake reads dC_T as the gradient of h_T.
        h_T = unit.steps[-1].C if unit.run["dh_T"] is run["dC_T"] else unit.steps[-1].h
        h, h_T, C_T = (np.array(array, run["x"].dtype) for array in (states["h"], h_T, states["C_T"]))
        return unit, (h, h_T, C_T)


def draw(seed: int) -> dict[str, Array]:
    """Draw a run of standard normal values, with weights scaled so that the pre-activations are of order one."""
    rng = np.random.default_rng(seed)
    run = {name: rng.normal(size=[SIZES[dim] for dim in dims]) for name, dims in INPUTS.items()}
    for name in run:
        if name[:2] in ("W_", "U_"):
            run[name] *= 1.5 / np.sqrt(SIZES["H"] + SIZES["D"])
    return run


def arguments_of(run: Run) -> tuple[Array, ...]:
    """Return the arrays of a run of which a variant is a function."""
    return tuple(run[name] for name in ARGUMENTS)


def allows(run: Run, bug: Bug) -> bool:
    """Return whether the sizes of a run allow a mistake; some mistakes need two equal sizes."""
    try:
        Variant(bug.unit).gradients(arguments_of(run), [run[name] for name in UPSTREAM])
    except ShapeMismatch:
        return False
    return True


RUN = draw(0)
COMPARED = [bug for bug in CATALOGUE.values() if bug.kind != BugKind.PRECISION and allows(RUN, bug)]
BACKWARD = [bug for bug in COMPARED if not bug.forward]
FORWARD = [bug for bug in COMPARED if bug.forward]


@dataclass(frozen=True)
class Group:
    """A set of wrong LSTMs."""

    title: str
    bugs: Sequence[Bug]
    by_hand: bool = False  # whether the gradients are those of the correct unit, whatever the forward pass computes

    def variant(self, bug: Bug) -> Variant:
        """Return the variant with a mistake."""
        return Variant(compose((bug,), HandDerivedUnmapped) if self.by_hand else bug.unit)


GROUPS = {
    "backward": Group("Wrong backward pass", BACKWARD),
    "by hand": Group("Wrong forward pass, gradients of the correct unit", FORWARD, by_hand=True),
    "forward": Group("Wrong forward pass, gradients as by autodiff", FORWARD),
}
