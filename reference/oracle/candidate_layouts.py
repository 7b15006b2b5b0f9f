"""All layouts that arrays of unknown layout may have, told by their names and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import permutations, product

from manual.layouts import Layout, Names

LONGEST = 100  # letters in a name: every part of it is tried
Shapes = Mapping[str, tuple[int, ...]]


def candidates(shapes: Shapes, D: int, H: int) -> Iterator[Layout]:
    """Every layout of these arrays, in every order of the gates."""
    direction = any(len(shape) == 3 for shape in shapes.values())
    sizes = {"D": D, "H": H, "D+H": D + H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H, "directions": 1}

    def fits(layout: Layout) -> bool:
        return all(shapes[name] == tuple(sizes[dim] for dim in dims) for name, dims in layout.dims.items())

    for holders in (list(shapes), one_for_each_gate(list(shapes))):
        for U, W, *biases in roles(holders):
            apart = any(not isinstance(names, str) for names in (U, W, *biases))
            for transposed, interleaved, h_first, shared in product(
                ("", "UW") if U == W else ("", "U", "W", "UW"),
                (False,) if apart else (False, True),
                (False, True) if U == W else (False,),
                (False, True) if len(biases) == 1 else (False,),
            ):
                b, second_b = (*biases, *biases * shared, (), ())[:2]
                layout = Layout("figo", U, W, b, second_b, transposed, interleaved, h_first, direction)
                if fits(layout):
                    yield from in_every_order(layout)


def in_every_order(layout: Layout) -> Iterator[Layout]:
    """The layout with the gates in every order, with and without something added to the forget gate."""
    for order, offset in product(permutations("figo"), (0.0, 1.0)):
        yield replace(normal(replace(layout, gates="".join(order))), forget_offset=offset)


def normal(layout: Layout) -> Layout:
    """The same layout; where every gate has an array of its own, these are named in the order f, i, g, o."""
    named = {kind: layout.names(kind) for kind in ("U", "W", "b", "second_b")}
    if any(len(names) == 1 for names in named.values()):
        return layout
    order = [layout.gates.index(gate) for gate in "figo"]
    U, W, b, second_b = (tuple(names[k] for k in order if names) for names in named.values())
    return replace(layout, gates="figo", U=U, W=W, b=b, second_b=second_b)


def roles(holders: Sequence[Names]) -> Iterator[tuple[Names, ...]]:
    """Which of them may hold U and W, apart or in one, and up to two biases, of which either may be the first."""
    if 0 < len(holders) <= 4:
        for U, W in [*permutations(holders, 2), *zip(holders, holders, strict=True)]:
            biases = [names for names in holders if names not in (U, W)]
            if len(biases) <= 2:
                yield U, W, *biases


def one_for_each_gate(names: Sequence[str]) -> list[Names]:
    """The names in fours that differ in the gate alone, such as W_f W_i W_c W_o and b_f b_i b_c b_o; or none.

    Each four is in the same order of the gates, whatever these are called.
    """
    if len(names) not in (4, 8, 12, 16) or max(map(len, names)) > LONGEST:
        return []
    by_template: dict[tuple[str, str], dict[str, str]] = {}
    for name in names:
        for start, stop in product(range(len(name)), range(1, len(name) + 1)):
            if start < stop:
                by_template.setdefault((name[:start], name[stop:]), {})[name[start:stop].strip("_.")] = name
    fours: dict[tuple[str, ...], dict[frozenset[str], Names]] = {}
    for gates in by_template.values():
        if len(gates) == 4 and all(gates):
            letters = tuple(sorted(gates))
            fours.setdefault(letters, {})[frozenset(gates.values())] = tuple(gates[letter] for letter in letters)
    for found in fours.values():
        if sorted(name for four in found for name in four) == sorted(names):
            return list(found.values())
    return []
