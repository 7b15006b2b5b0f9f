"""The mutants of a file: by cosmic-ray's operators and ours, each once, and none that nobody could tell."""

from __future__ import annotations

import ast
import difflib
import hashlib
import pickle
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosmic_ray import plugins
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.ast.ast_query import ASTQuery
from cosmic_ray.mutating import mutate_code
from cosmic_ray.work_item import MutationSpec, WorkItem

from tests.mutation.operators import OPERATORS

plugins.OPERATOR_PROVIDERS["more"] = OPERATORS

# Of cosmic-ray's own. Of the operators that could stand for another those that give a number, and so may pass unseen:
# a shift of floats or an order of dictionaries stops the first test. `condition` does more than AddNot, True and False.
BINARY = ["Add_Sub", "Sub_Add", "Mul_Add", "Mul_Div", "Div_Mul", "FloorDiv_Div", "FloorDiv_Mul", "Mod_FloorDiv"]
BINARY += ["Mod_Mul", "Pow_Mul", "BitOr_BitAnd", "BitAnd_BitOr"]
COMPARISON = ["Lt_LtE", "Lt_NotEq", "LtE_Lt", "LtE_Eq", "Gt_GtE", "Gt_NotEq", "GtE_Gt", "GtE_Eq"]
COMPARISON += ["Eq_NotEq", "Eq_LtE", "Eq_GtE", "NotEq_Eq", "NotEq_Lt", "NotEq_Gt", "Is_IsNot", "IsNot_Is"]
CORE = ["NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop", "ExceptionReplacer", "ReplaceAndWithOr"]
CORE += ["ReplaceOrWithAnd", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue", "ReplaceBreakWithContinue"]
CORE += ["ReplaceContinueWithBreak", "ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not"]
CORE += ["ReplaceUnaryOperator_Delete_Invert"]
CORE += [f"ReplaceBinaryOperator_{pair}" for pair in BINARY]
CORE += [f"ReplaceComparisonOperator_{pair}" for pair in COMPARISON]
NAMES = [f"core/{name}" for name in CORE] + [f"more/{name}" for name in OPERATORS]

ALIASES = {"dict", "list", "tuple", "type", "Callable", "Mapping", "NDArray", "dtype", "TypeVar"}


@dataclass(frozen=True, eq=False)
class Mutant:
    """One change of one file."""

    file: str
    code: str
    before: tuple[str, ...]  # the lines that it changes, and what it makes of them
    after: tuple[str, ...]
    spec: MutationSpec
    same: int  # how many before it change such lines of the same function in the same way

    @property
    def item(self) -> WorkItem:
        """The mutant in a session of cosmic-ray's, under a name that changes elsewhere in the file leave alone."""
        return WorkItem.single(
            name_of(self.file, self.spec.definition_name, self.before, self.after, self.same), self.spec
        )

    def __str__(self) -> str:
        place = f"{self.file}:{self.spec.start_pos[0]} {self.spec.definition_name or ''} {self.spec.operator_name}"
        return "\n".join([place, *(f"  - {line}" for line in self.before), *(f"  + {line}" for line in self.after)])


def mutants(root: Path, file: str) -> list[Mutant]:
    """The mutants of a file in the order of its lines; kept for the next time, for to make them takes a while."""
    source = (root / file).read_text(encoding="utf-8")
    makers = [Path(__file__), Path(__file__).with_name("operators.py")]
    key = hashlib.sha256("".join([file, source, *(maker.read_text(encoding="utf-8") for maker in makers)]).encode())
    kept = root / ".mutants" / f"{key.hexdigest()[:16]}.pickle"
    if not kept.exists():
        kept.parent.mkdir(exist_ok=True)
        kept.write_bytes(pickle.dumps([*made(source, file)]))
    found: list[Mutant] = pickle.loads(kept.read_bytes())
    return found


def made(source: str, file: str) -> Iterator[Mutant]:
    """Each mutant that does something else than the source and than those before it."""
    seen, counts = {meaning(source)}, Counter[str]()
    for spec in sorted(specs(source, file), key=lambda spec: spec.start_pos):
        changed = mutate_code(source, plugins.get_operator(spec.operator_name)(), spec.occurrence)
        try:
            means = meaning(changed)
        except SyntaxError:
            continue
        if means not in seen:
            seen.add(means)
            before, after = difference(source, changed)
            name = name_of(file, spec.definition_name, before, after)
            yield Mutant(file, changed, before, after, spec, counts[name])
            counts[name] += 1


def name_of(*parts: object) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def specs(source: str, file: str) -> Iterator[MutationSpec]:
    """Every place that an operator finds."""
    nodes = [*ast_nodes(get_ast(source))]
    for name in NAMES:
        operator = plugins.get_operator(name)()
        found = ((node, *place) for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (node, start, end) in enumerate(found):
            if start < end:
                definition = ASTQuery(node).get_definition_name()
                yield MutationSpec(file, name, occurrence, start, end, definition_name=definition)


def difference(source: str, changed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that differ, without their indentation and the spaces that operators leave."""
    lines = [*difflib.ndiff(source.splitlines(), changed.splitlines())]
    before, after = (
        tuple(re.sub(r"(?<=[(\[{]) +| +(?= )", "", line[2:].strip()) for line in lines if line[0] == sign)
        for sign in "-+"
    )
    return before, after


def meaning(source: str) -> bytes:
    """What a program does: without docstrings, annotations, aliases of types, and what serves a type checker alone."""
    tree = Meaning().visit(ast.parse(source))
    compile(tree, "", "exec")
    return hashlib.sha256(ast.dump(tree).encode()).digest()


class Meaning(ast.NodeTransformer):
    """Takes out of a program what does nothing."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        if any(isinstance(made, ast.Name) and made.id == "overload" for made in node.decorator_list):
            return ast.copy_location(ast.Pass(), node)
        return self.without_docstring(node)

    def visit_ClassDef(self, node: ast.ClassDef) -> Any:
        return self.without_docstring(node)

    def visit_Module(self, node: ast.Module) -> Any:
        return self.without_docstring(node)

    def without_docstring(self, node: Any) -> Any:
        self.generic_visit(node)
        if ast.get_docstring(node, clean=False) is not None:
            node.body[:1] = [ast.copy_location(ast.Pass(), node.body[0])] if len(node.body) == 1 else []
        return node

    def visit_arg(self, node: ast.arg) -> Any:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> Any:
        self.generic_visit(node)
        node.annotation = ast.copy_location(ast.Constant(None), node.annotation)
        return node

    def visit_Assign(self, node: ast.Assign) -> Any:
        self.generic_visit(node)
        match node.value:
            case ast.Subscript(value=ast.Name(id=kind) | ast.Attribute(attr=kind)) | ast.Call(func=ast.Name(id=kind)):
                if kind in ALIASES and isinstance(node.targets[0], ast.Name) and node.targets[0].id[0].isupper():
                    return ast.copy_location(ast.Pass(), node)
        return node

    def visit_If(self, node: ast.If) -> Any:
        self.generic_visit(node)
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "zip":  # whose `strict` nothing can trip
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return node
