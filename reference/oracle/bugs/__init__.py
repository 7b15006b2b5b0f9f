"""The catalogue of known mistakes, each a small variant of the unit that makes it.

`CATALOGUE` has them by id, file by file: layout, bias, forward and time for the forward pass; carry,
edges and updates for the backward pass; precision. `seen_in` says where a mistake was seen, as the issue or
pull request `owner/repo#number` or the file `owner/repo:path`; where it is empty, the mistake is only plausible.
`PROGRAMS` has those that were seen together.
"""

from reference.oracle.bugs import layout, bias, forward, time, carry, edges, updates, precision  # noqa: F401, I001
from reference.oracle.bugs.programs import PROGRAMS
from reference.oracle.bugs.entry import CATALOGUE, Bug, Unfit, compose
from reference.oracle.bugs.unit import AsNamed, Derived, Unit

__all__ = ["CATALOGUE", "PROGRAMS", "AsNamed", "Bug", "Derived", "Unfit", "Unit", "compose"]
