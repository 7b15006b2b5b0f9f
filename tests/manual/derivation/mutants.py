"""Wrong derivations: `derivation.py` with a single change in one line of one function.

Every line is removed once, and everything in it that is easily mistaken is changed once: operators, indices, names,
numbers and transposes.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from manual import derivation
from tests.manual.derivation.one_step import FUNCTIONS

SOURCE = Path(derivation.__file__).read_text(encoding="utf-8")

OPERATORS = {ast.Add: ast.Sub(), ast.Sub: ast.Add(), ast.Mult: ast.Add(), ast.Div: ast.Mult(), ast.MatMult: ast.Mult()}
NAMES = {"f": "i", "i": "g", "g": "o", "o": "f", "C": "C_prev", "C_prev": "C", "tanh_C": "C", "h": "tanh_C"}
NAMES |= {"x": "h_prev", "h_prev": "x", "tanh": "sin", "exp": "expm1"}
NAMES |= {"sigmoid": "dsigmoid", "dsigmoid": "dtanh", "dtanh": "dsigmoid"}
NEXT_GATE = dict(zip("figo", "igof", strict=True))

Node = ast.AST | list[ast.stmt]


@dataclass(frozen=True)
class Mutant:
    """A derivation with one mistake."""

    place: str  # the place of the mistake as in one_step.py; "" if there is no single place
    change: str
    tree: ast.Module

    def module(self) -> ModuleType:
        module = ModuleType(derivation.__name__)
        exec(compile(ast.fix_missing_locations(self.tree), self.change, "exec"), vars(module))
        return module


def mutants() -> Iterator[Mutant]:
    """Yield every derivation with one mistake."""
    module = ast.parse(SOURCE)
    for function in module.body:
        if not isinstance(function, ast.FunctionDef):
            continue

        def mutant(place: str, change: str, old: ast.AST, new: Node, function: ast.FunctionDef = function) -> Mutant:
            others = [node for node in module.body if node is not function]
            return Mutant(place, change, ast.Module([*others, replaced(function, old, new)], []))

        for place, line, (old, without) in lines(function):
            yield mutant(place, f"without {ast.unparse(line)}", old, without)
            for node in ast.walk(line):
                for new in mistaken(node):
                    yield mutant(place, f"{ast.unparse(new)} for {ast.unparse(node)} in {ast.unparse(line)}", node, new)


def lines(function: ast.FunctionDef) -> Iterator[tuple[str, ast.AST, tuple[ast.AST, Node]]]:
    """Yield every line of a function: its place, its syntax tree, and the replacement that removes it."""
    statements = [node for node in ast.walk(function) if isinstance(node, ast.stmt) and node is not function]
    for line in statements:
        match line:
            case ast.Expr():  # a docstring
                continue
            case ast.With(items=[manager], body=body):
                yield function.name, manager.context_expr, (line, body)
            case ast.Return(value=ast.Dict(keys=keys, values=values) as entries):
                for k, (key, value) in enumerate(zip(keys, values, strict=True)):
                    others = ast.Dict(keys[:k] + keys[k + 1 :], values[:k] + values[k + 1 :])
                    yield f"d{ast.literal_eval(key)}", value, (entries, others)
            case _:
                yield place_of(function, line), line, (line, ast.Pass())


def place_of(function: ast.FunctionDef, line: ast.stmt) -> str:
    match line:
        case _ if function.name in FUNCTIONS:
            return function.name
        case ast.Assign(targets=[ast.Name(id=name)]):
            return name
        case ast.Assign(targets=[ast.Subscript(slice=ast.Constant(value=n))]):
            return f"δ{n}"
    return ""


def mistaken(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that could be written here by mistake."""
    match node:
        case ast.BinOp(left=left, op=op, right=right):
            yield ast.BinOp(left, OPERATORS[type(op)], right)
        case ast.UnaryOp(operand=operand):
            yield operand
        case ast.Constant(value=int(n)):
            yield ast.Constant(n + 1)
            yield ast.Constant(n - 1)
        case ast.Name(id=name, ctx=ast.Load()) if name in NAMES:
            yield ast.Name(NAMES[name], ast.Load())
        case ast.Attribute(value=value, attr="T"):
            yield value
        case ast.Attribute(value=value, attr=name) if name in NAMES:
            yield ast.Attribute(value, NAMES[name], ast.Load())
        case ast.Attribute(value=ast.Name(id="p") as p, attr=name):
            kind, gate = name.split("_")
            yield ast.Attribute(p, f"{kind}_{NEXT_GATE[gate]}", ast.Load())
            yield ast.Attribute(p, f"{'UW'[kind == 'U']}_{gate}", ast.Load())


def replaced(function: ast.FunctionDef, old: ast.AST, new: Node) -> ast.FunctionDef:
    """Return a copy of the function with one node replaced."""
    copies: dict[int, ast.AST] = {}
    function = deepcopy(function, copies)
    target = copies[id(old)]

    class Replace(ast.NodeTransformer):
        def visit(self, node: ast.AST) -> Node:
            return new if node is target else self.generic_visit(node)

    return Replace().visit(function)
