"""The layouts that were found, in words."""

from __future__ import annotations

from collections.abc import Sequence

from manual.layouts import Layout
from reference.oracle.discovery import Discovery, Explanation
from reference.oracle.files import printable
from reference.oracle.wording import listed, number

MORE = (
    "Record a run that tells them apart: several steps and units, D other than H, states and biases that are not "
    "zero, no two weights the same."
)


def words(found: Discovery) -> str:
    """What was found."""
    of, count = f"of {found.tried} explain", len(found.explanations)
    if not count:
        return printable(f"{found.subject}: none {of}s {listed(found.outputs)}. {missed(found.nearest)}")
    head = f"{'one layout' if count == 1 else f'{count} layouts'} {of}{'s' * (count == 1)} {listed(found.outputs)}."
    told = [f"{found.subject}: {head}", *map(explained, found.explanations)]
    return printable("\n\n".join(told + [MORE] * (count > 1)))


def missed(nearest: Explanation | None) -> str:
    """How far off the nearest layout is."""
    if nearest is None:
        return (
            "All are far off. Are x and h time-major, (T, B, …)? Were h0 and C0 zero, if they are not recorded? "
            "Else this is no LSTM, or a wrong one."
        )
    wrong = listed([finding.block for finding in nearest.findings if not finding.ok])
    head = f"The nearest is wrong in {wrong}, by {number(nearest.ratio)} times what rounding may do:"
    return f"{head}\n\n{explained(nearest)}"


def explained(one: Explanation) -> str:
    """One layout, who has it, and the conversion."""
    packages = f"As in {listed(one.packages)}." if one.packages else "None of the known packages has it."
    return f"{described(one.layout)}.\n{packages}\n\n{one.conversion}"


def described(layout: Layout) -> str:
    """A layout in a sentence."""
    return "; ".join(filter(None, [gates(layout), matrices(layout), biases(layout), offset(layout)]))


def gates(layout: Layout) -> str:
    """Where the gates are."""
    if len(layout.names("U")) == 4:
        return "An array for each gate"
    order = ", ".join(layout.gates)
    return f"{order} of one unit after the other" if layout.interleaved else f"{order}, each of all units"


def matrices(layout: Layout) -> str:
    """Where U and W are."""
    U, W = (" ".join(layout.names(kind)) for kind in "UW")
    shapes = layout.dims
    if layout.U == layout.W:
        order = "[h; x]" if layout.h_first else "[x; h]"
        return f"{U} {shape(shapes[layout.names('U')[0]])} takes {order}"
    return f"{U} {shape(shapes[layout.names('U')[0]])} takes x, {W} {shape(shapes[layout.names('W')[0]])} takes h"


def shape(dims: Sequence[str]) -> str:
    """A shape by its letters."""
    return f"({', '.join('1' if dim == 'directions' else dim for dim in dims)})"


def biases(layout: Layout) -> str:
    """Where the biases are."""
    b, second = (" ".join(layout.names(kind)) for kind in ("b", "second_b"))
    if not b:
        return "no bias"
    if not second:
        return f"one bias, {b}"
    return f"two biases in {b}, which are added" if b == second else f"two biases, {b} and {second}, which are added"


def offset(layout: Layout) -> str:
    """What is added to the forget gate."""
    return f"{layout.forget_offset:g} is added to the forget gate" if layout.forget_offset else ""
