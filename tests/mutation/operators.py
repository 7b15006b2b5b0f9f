"""Operators that cosmic-ray lacks: on operands, elements, arguments, statements, conditions, calls, names, and text.

Each is a function from a node of the source to the texts with which a mistake could replace the node.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from cosmic_ray.operators.operator import Operator
from parso.python.tree import Name
from parso.tree import NodeOrLeaf

Rewrites = Callable[[Any], Iterable[str]]

SIMPLE = {"expr_stmt", "return_stmt", "raise_stmt", "yield_expr", "atom_expr", "power", "del_stmt"}
CHAINS = {"arith_expr", "term", "expr", "and_expr", "and_test", "or_test"}
CALLS = {"atom_expr", "power"}
MODULES = {"np", "jnp", "jax", "math", "api", "tolerance"}
NEXT_GATE = dict(zip("figo", "igof", strict=True))
OTHER = {"h": "C", "C": "h", "W": "U", "U": "W", "T": "B", "B": "H", "D": "H", "δ25": "δ11", "δ11": "δ25"}


def code(node: NodeOrLeaf) -> str:
    """Return the text of a node, without the spaces before it."""
    return node.get_code(include_prefix=False)


def statement(node: Any) -> Iterator[str]:
    """Leave out a statement, or return None."""
    if node.type in SIMPLE and node.parent.type == "simple_stmt":
        if node.type == "return_stmt":
            yield "return None"
        else:
            yield "pass"


def condition(node: Any) -> Iterator[str]:
    """Make a condition constant."""
    above = node.parent
    if above is None or not hasattr(above, "children"):
        return
    before = above.children[above.children.index(node) - 1] if node is not above.children[0] else None
    is_condition = getattr(before, "value", "") in ("if", "elif", "while")
    if is_condition and above.type in ("if_stmt", "test", "comp_if", "while_stmt"):
        yield "False"
        if above.type != "while_stmt":
            yield "True"


def operand(node: Any) -> Iterator[str]:
    """Leave out one term, factor or condition."""
    if node.type in CHAINS:
        parts = [code(child) for child in node.children]
        for k in range(0, len(parts), 2):
            rest = parts[2:] if k == 0 else parts[: k - 1] + parts[k + 1 :]
            yield " ".join(rest)


def product(node: Any) -> Iterator[str]:
    """Replace a matrix product by a product of entries."""
    if node.type == "operator" and node.value == "@" and node.parent.type == "term":
        yield "*"


def augmented(node: Any) -> Iterator[str]:
    """Replace an augmented assignment by an assignment, or by its inverse."""
    if node.type == "operator" and node.value in ("+=", "-=", "*=", "/=", "|="):
        yield "="
        yield {"+=": "-=", "-=": "+=", "*=": "/=", "/=": "*=", "|=": "&="}[node.value]


def membership(node: Any) -> Iterator[str]:
    """Exchange `in` and `not in`."""
    if node.type == "comp_op" and code(node).split() == ["not", "in"]:
        yield "in"
    elif node.type == "keyword" and node.value == "in" and node.parent.type == "comparison":
        yield "not in"


def argument(node: Any) -> Iterator[str]:
    """Leave out a keyword argument, or the last of several arguments."""
    if node.type != "trailer" or node.children[0].value != "(" or len(node.children) != 3:
        return
    inside = node.children[1]
    given = inside.children[::2] if inside.type == "arglist" else [inside]
    for k, one in enumerate(given):
        named = one.type == "argument" and code(one.children[1]) == "="
        if named or (k == len(given) - 1 > 0):
            yield f"({', '.join(code(other) for other in given if other is not one)})"


def call(node: Any) -> Iterator[str]:
    """Replace a call by its first argument or by the object of the method; leave out a slice or a transpose."""
    if node.type not in CALLS:
        return
    parts = [code(child) for child in node.children]
    for k, part in enumerate(node.children[1:], start=1):
        called = parts[k - 1] if parts[k - 1][0] == "." else ""
        before, after = "".join(parts[: k - 1] if called else parts[:k]), "".join(parts[k + 1 :])
        if parts[k][0] == "(" and len(part.children) == 3:
            first = part.children[1].children[0] if part.children[1].type == "arglist" else part.children[1]
            if first.type != "argument":
                yield f"({code(first)}){after}"
        if (
            (parts[k][0] == "(" and called and before not in MODULES)
            or parts[k] == ".T"
            or re.match(r"\[.*:", parts[k])
        ):
            yield before + after


def element(node: Any) -> Iterator[str]:
    """Leave out an element of a list, a tuple, a set or a dictionary."""
    if node.type != "atom" or len(node.children) != 3:
        return
    opening, _, closing = (code(child) for child in node.children)
    if node.children[1].type not in ("testlist_comp", "dictorsetmaker") or "comp_for" in kinds(node.children[1]):
        return
    parts = [""]
    for child in node.children[1].children:
        parts = [*parts, ""] if code(child) == "," else [*parts[:-1], f"{parts[-1]} {code(child)}"]
    parts = [part for part in parts if part]
    for k in range(len(parts)):
        rest = [*parts[:k], *parts[k + 1 :], ""] if opening == "(" and len(parts) > 1 else parts[:k] + parts[k + 1 :]
        yield f"{opening}{','.join(rest)}{closing}"


def kinds(node: Any) -> set[str]:
    """Return the types of the children of a node."""
    return {child.type.removeprefix("sync_") for child in node.children}


def bound(node: Any) -> Iterator[str]:
    """Leave out a bound of a slice."""
    if node.type == "subscript":
        for child in node.children:
            if code(child) != ":" and child.type != "sliceop":
                yield "".join(code(other) for other in node.children if other is not child)


def default(node: Any) -> Iterator[str]:
    """Leave out the default of a parameter."""
    if node.type == "param" and node.default is not None:
        yield code(node.name) + ("," if code(node).endswith(",") else "")


def name(node: Any) -> Iterator[str]:
    """Replace a name by that of another gate, state, weight or size."""
    if node.type != "name" or node.is_definition() or node.search_ancestor("param", "import_from"):
        return
    if node.parent.type == "argument" and node is node.parent.children[0] and code(node.parent.children[1]) == "=":
        return
    text = node.value
    if text == "T" and node.parent.type == "trailer":  # a transpose, not the number of steps
        return
    if found := re.fullmatch(r"(d?[WUb]_)?([figo])", text):
        yield f"{found[1] or ''}{NEXT_GATE[found[2]]}"
    elif found := re.fullmatch(r"(d?)(h|C|W|U|T|B|D|δ25|δ11)((?:_prev|_T|0|_[figo]|s)?)", text):
        yield f"{found[1]}{OTHER[found[2]]}{found[3]}"
    elif text == "tanh_C":
        yield "C"


def text(node: Any) -> Iterator[str]:
    """Leave out a text, or one part of a formatted text."""
    if node.type == "string" and not (node.parent.type == "simple_stmt" or len(code(node)) == 2):
        yield '""'
    elif node.type == "fstring_expr" or (node.type == "fstring_string" and re.search(r"\w", node.value)):
        yield ""


FUNCTIONS: tuple[Rewrites, ...] = (
    statement, condition, operand, product, augmented, membership, argument, call, element, bound, default, name, text,
)  # fmt: skip


def operator(rewrites: Rewrites) -> type[Operator]:
    """Return a function as an operator of cosmic-ray."""

    class Rewrite(Operator):
        def mutation_positions(self, node: Any) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
            return ((node.start_pos, node.end_pos) for _ in rewrites(node))

        def mutate(self, node: Any, index: int) -> NodeOrLeaf:
            return Name([*rewrites(node)][index], node.start_pos, node.get_first_leaf().prefix)

        @classmethod
        def examples(cls) -> tuple[()]:
            return ()

    return Rewrite


OPERATORS = {function.__name__: operator(function) for function in FUNCTIONS}
