"""All layouts that arrays may have by their names and shapes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, combinations, permutations, product

from manual.layouts import Layout, Names

LONGEST_NAME = 100  # letters; every part of a name is tried
Shapes = Mapping[str, tuple[int, ...]]


def possible_layouts(shapes: Shapes, D: int, H: int) -> Iterator[Layout]:
    """Yield every layout that these arrays may have, with the gates in every order."""
    direction = any(len(shape) == 3 for shape in shapes.values())
    sizes = {"D": D, "H": H, "D+H": D + H, "2H": 2 * H, "4H": 4 * H, "8H": 8 * H, "1": 1}

    def fits(layout: Layout) -> bool:
        return all(shapes[name] == tuple(sizes[dim] for dim in dims) for name, dims in layout.dims.items())

    for arrays in (list(shapes), one_for_each_gate(list(shapes))):
        for U, W, *biases in roles(arrays):
            per_gate = any(not isinstance(names, str) for names in (U, W, *biases))
            for transposed, interleaved, h_first, shared in product(
                ("", "UW") if U == W else ("", "U", "W", "UW"),
                (False,) if per_gate else (False, True),
                (False, True) if U == W else (False,),
                (False, True) if len(biases) == 1 else (False,),
            ):
                b, second_b = (*biases, *biases * shared, (), ())[:2]
                layout = Layout("figo", U, W, b, second_b, transposed, interleaved, h_first, direction)
                if fits(layout):
                    yield from in_every_order(layout)


def in_every_order(layout: Layout) -> Iterator[Layout]:
    """Yield the layout with the gates in every order, with and without 1 added to the forget gate."""
    for order, offset in product(permutations("figo"), (0.0, 1.0)):
        yield replace(canonical(replace(layout, gates="".join(order))), forget_offset=offset)


def canonical(layout: Layout) -> Layout:
    """Return the layout with its gates in the order f, i, g, o, if every gate has an array of its own.

    Separate arrays have no order, so that the result is the same for every order of the gates.
    """
    named = {kind: layout.names(kind) for kind in ("U", "W", "b", "second_b")}
    if any(len(names) == 1 for names in named.values()):
        return layout
    order = [layout.gates.index(gate) for gate in "figo"]
    U, W, b, second_b = (tuple(names[k] for k in order if names) for names in named.values())
    return replace(layout, gates="figo", U=U, W=W, b=b, second_b=second_b)


def roles(arrays: Sequence[Names]) -> Iterator[tuple[Names, ...]]:
    """Yield every assignment (U, W, *biases) of the arrays, with U and W separate or in one, and up to two biases."""
    if 0 < len(arrays) <= 4:
        for U, W in [*permutations(arrays, 2), *zip(arrays, arrays, strict=True)]:
            biases = [names for names in arrays if names not in (U, W)]
            if len(biases) <= 2:
                yield U, W, *biases


def one_for_each_gate(names: Sequence[str]) -> list[Names]:
    """Group names into sets of four that differ only in the gate, as W_f W_i W_c W_o and b_f b_i b_c b_o do.

    Each set has the gates in the same order, whatever the gates are called. The result is empty unless every name
    belongs to a set.
    """
    if len(names) not in (4, 8, 12, 16) or max(map(len, names)) > LONGEST_NAME:
        return []
    by_template: dict[tuple[str, str], dict[str, str]] = {}  # by the text around the gate: the names by gate
    for name in names:
        for start, stop in combinations(range(len(name) + 1), 2):
            by_template.setdefault((name[:start], name[stop:]), {})[name[start:stop].strip("_.")] = name
    fours: dict[tuple[str, ...], dict[frozenset[str], Names]] = {}
    for gates in by_template.values():
        if len(gates) == 4 and all(gates):
            letters = tuple(sorted(gates))
            fours.setdefault(letters, {})[frozenset(gates.values())] = tuple(gates[letter] for letter in letters)
    complete = (found for found in fours.values() if sorted(chain.from_iterable(found)) == sorted(names))
    return list(next(complete, {}).values())
