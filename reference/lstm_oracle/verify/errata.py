"""The source's three misprints, substituted into the hand derivation one at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lstm_oracle.run import Array
from manual.bptt import steps_back
from manual.derivation import Edges
from manual.params import Params
from manual.tape import Tape


@dataclass(frozen=True)
class Misprint:
    """An equation as the source prints it."""

    edge: int
    printed: str
    derived: str
    equation: Callable[[Params, Edges], Array]  # the printed equation in NumPy

    def steps(self, tape: Tape, dh: Array, dh_T: Array, dC_T: Array) -> Iterator[tuple[int, Edges]]:
        """Yield each step, last step first, and its edges as derived with this equation as printed."""
        params, edge, equation = tape.params, self.edge, self.equation

        class Printed(dict[int, Array]):
            def __setitem__(self, n: int, δ: Array) -> None:
                super().__setitem__(n, equation(params, self) if n == edge else δ)

        for t, _, δ in steps_back(tape, dh, dh_T, dC_T, edges=Printed):
            yield t, δ


MISPRINTS = (
    Misprint(8, "δ7 · δ4", "δ7 + δ4", lambda p, δ: δ[7] * δ[4]),
    Misprint(22, "δ16 * W_iᵀ", "δ15 * W_iᵀ", lambda p, δ: δ[16] @ p.W_i.T),
    Misprint(23, "δ16 * W_fᵀ", "δ16 * U_fᵀ", lambda p, δ: δ[16] @ p.W_f.T),
)
