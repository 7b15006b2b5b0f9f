"""The catalogue of known mistakes, each a small variant of the unit that makes it.

`CATALOGUE` has them by id, file by file: layout, bias, forward and time for the forward pass; carry,
edges and updates for the backward pass; precision. `owner/repo#number` in `seen_in` is the issue
or pull request on GitHub where a mistake was seen; where it is empty, the mistake is only plausible.
"""

from reference.oracle.bugs import layout, bias, forward, time, carry, edges, updates, precision  # noqa: F401, I001
from reference.oracle.bugs.unit import CATALOGUE, AsNamed, Bug, Derived, Unfit, Unit, compose

__all__ = ["CATALOGUE", "AsNamed", "Bug", "Derived", "Unfit", "Unit", "compose"]
