"""The catalogue of known mistakes, each as a small variant of a correct unit.

`CATALOGUE` has the mistakes by id, in the order of the modules: layout, bias, activations, cell_state and time for the
forward pass; carry, edges and updates for the backward pass; precision. `Bug.seen_in` says where a mistake was seen,
as the issue or pull request `owner/repo#number` or the file `owner/repo:path`; if empty, the mistake is plausible but
was not seen.
`KNOWN_PROGRAMS` has the mistakes that were seen together.
"""

from lstm_oracle.diagnosis.bugs import layout, bias, activations, cell_state, time  # noqa: F401, I001
from lstm_oracle.diagnosis.bugs import carry, edges, updates, precision  # noqa: F401
from lstm_oracle.diagnosis.bugs.entry import CATALOGUE, Bug, BugKind, ShapeMismatch, compose
from lstm_oracle.diagnosis.bugs.programs import KNOWN_PROGRAMS
from lstm_oracle.diagnosis.bugs.unit import HandDerived, HandDerivedUnmapped, Unit

__all__ = [
    "CATALOGUE",
    "KNOWN_PROGRAMS",
    "Bug",
    "BugKind",
    "HandDerived",
    "HandDerivedUnmapped",
    "ShapeMismatch",
    "Unit",
    "compose",
]
