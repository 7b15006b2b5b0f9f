"""A layout in words."""

from __future__ import annotations

from collections.abc import Sequence

from manual.layouts import Layout


def describe(layout: Layout) -> str:
    """Return a layout as one sentence."""
    return "; ".join(filter(None, [gates(layout), matrices(layout), biases(layout), offset(layout)]))


def gates(layout: Layout) -> str:
    """Return how the gates are arranged."""
    if len(layout.names("U")) == 4:
        return "One array per gate"
    order = ", ".join(layout.gates)
    return f"Interleaved: {order} of one unit after the other" if layout.interleaved else f"Gate order {order}"


def matrices(layout: Layout) -> str:
    """Return which arrays are U and W."""
    U, W = (" ".join(layout.names(kind)) for kind in "UW")
    shape_U, shape_W = (shape(layout.dims[layout.names(kind)[0]]) for kind in "UW")
    if layout.U == layout.W:
        return f"{U} {shape_U} multiplies {'[h; x]' if layout.h_first else '[x; h]'}"
    return f"{U} {shape_U} multiplies x, {W} {shape_W} multiplies h"


def shape(dims: Sequence[str]) -> str:
    """Return a shape by its dimensions."""
    return f"({', '.join(dims)})"


def biases(layout: Layout) -> str:
    """Return which arrays are biases."""
    b, second = (" ".join(layout.names(kind)) for kind in ("b", "second_b"))
    if not b:
        return "no bias"
    if not second:
        return f"one bias, {b}"
    return f"two biases in {b}, which are added" if b == second else f"two biases, {b} and {second}, which are added"


def offset(layout: Layout) -> str:
    """Return the constant that is added to the pre-activation of the forget gate; empty if there is none."""
    return f"{layout.forget_offset:g} is added to the forget gate" if layout.forget_offset else ""
