"""The catalogue of known mistakes, each a small variant of the unit that makes it.

`CATALOGUE` has them by id, file by file: layout, bias, forward and time for the forward pass; carry,
edges and updates for the backward pass; precision. `seen_in` says where a mistake was seen, as the issue or
pull request `owner/repo#number` or the file `owner/repo:path`; where it is empty, the mistake is only plausible.
`PROGRAMS` has those that were seen together.
"""

from lstm_oracle.diagnosis.bugs import layout, bias, forward, time, carry, edges, updates, precision  # noqa: F401, I001
from lstm_oracle.diagnosis.bugs.programs import PROGRAMS
from lstm_oracle.diagnosis.bugs.entry import CATALOGUE, Bug, ShapeMismatch, compose
from lstm_oracle.diagnosis.bugs.unit import HandDerivedUnmapped, HandDerived, Unit

__all__ = ["CATALOGUE", "PROGRAMS", "Bug", "HandDerived", "HandDerivedUnmapped", "ShapeMismatch", "Unit", "compose"]
