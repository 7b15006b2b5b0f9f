"""The mutants of a file, by the operators of cosmic-ray and of `operators`: each a different program."""

from __future__ import annotations

import ast
import difflib
import hashlib
import pickle
import re
from collections import Counter
from collections.abc import Iterator, Sequence
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

# Operators of cosmic-ray. An operator is replaced only by those that also return a number, because any test notices a
# TypeError. `condition` of ours includes cosmic-ray's AddNot, and its True and False.
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
    code: str  # the whole file after the change
    before: tuple[str, ...]  # the changed lines
    after: tuple[str, ...]  # the lines in their place
    spec: MutationSpec
    occurrence: int  # how many earlier mutants make this change to equal lines of the same function

    @property
    def item(self) -> WorkItem:
        """The mutant in a session of cosmic-ray, with an id that does not depend on the rest of the file."""
        parts = self.file, self.spec.definition_name, self.before, self.after, self.occurrence
        return WorkItem.single(digest_of(*parts), self.spec)

    def __str__(self) -> str:
        place = f"{self.file}:{self.spec.start_pos[0]} {self.spec.definition_name or ''} {self.spec.operator_name}"
        return "\n".join([place, *(f"  - {line}" for line in self.before), *(f"  + {line}" for line in self.after)])


def mutants(root: Path, file: str) -> list[Mutant]:
    """Return the mutants of a file in the order of its lines; stored in `.mutants`, because generating them is slow."""
    source = (root / file).read_text(encoding="utf-8")
    makers = [Path(__file__), Path(__file__).with_name("operators.py")]
    key = hashlib.sha256("".join([file, source, *(maker.read_text(encoding="utf-8") for maker in makers)]).encode())
    stored = root / ".mutants" / f"{key.hexdigest()[:16]}.pickle"
    if not stored.exists():
        stored.parent.mkdir(exist_ok=True)
        stored.write_bytes(pickle.dumps([*generate(source, file)]))
    found: list[Mutant] = pickle.loads(stored.read_bytes())
    return found


def generate(source: str, file: str) -> Iterator[Mutant]:
    """Yield every mutant that is another program than the source and than all mutants before."""
    seen, counts = {fingerprint(source)}, Counter[str]()
    for spec in sorted(mutation_specs(source, file), key=lambda spec: spec.start_pos):
        changed = mutate_code(source, plugins.get_operator(spec.operator_name)(), spec.occurrence)
        try:
            program = fingerprint(changed)
        except SyntaxError:
            continue
        if program not in seen:
            seen.add(program)
            before, after = changed_lines(source, changed)
            change = digest_of(file, spec.definition_name, before, after)
            yield Mutant(file, changed, before, after, spec, counts[change])
            counts[change] += 1


def digest_of(*parts: object) -> str:
    """Return a short digest of some values."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def mutation_specs(source: str, file: str) -> Iterator[MutationSpec]:
    """Yield every place at which an operator can change the source."""
    nodes = [*ast_nodes(get_ast(source))]
    for name in NAMES:
        operator = plugins.get_operator(name)()
        found = ((node, *place) for node in nodes for place in operator.mutation_positions(node))
        for occurrence, (node, start, end) in enumerate(found):
            if start < end:
                definition = ASTQuery(node).get_definition_name()
                yield MutationSpec(file, name, occurrence, start, end, definition_name=definition)


def changed_lines(source: str, changed: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the lines that differ, in the source and in the changed source, each as `line_text` returns it."""
    one, other = source.splitlines(), changed.splitlines()
    start = common_start(one, other)  # because `ndiff` is slow on long texts
    end = common_start(one[start:][::-1], other[start:][::-1])
    lines = [*difflib.ndiff(one[start : len(one) - end], other[start : len(other) - end])]
    before, after = (tuple(line_text(line[2:]) for line in lines if line[0] == sign) for sign in "-+")
    return before, after


def common_start(one: Sequence[str], other: Sequence[str]) -> int:
    """Return how many lines at the beginning of two texts are equal."""
    return next((k for k, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def line_text(line: str) -> str:
    """Return a line without its indentation and the spaces that operators leave."""
    return re.sub(r"(?<=[(\[{]) +| +(?= )", "", line.strip())


def fingerprint(source: str) -> bytes:
    """Return a digest of what a program does: of its syntax tree without the parts that have no effect."""
    tree = WithoutInert().visit(ast.parse(source))
    compile(tree, "", "exec")
    return hashlib.sha256(ast.dump(tree).encode()).digest()


class WithoutInert(ast.NodeTransformer):
    """Removes docstrings, annotations, aliases of types, and what only serves a type checker."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.returns = None
        if any(isinstance(name, ast.Name) and name.id == "overload" for name in node.decorator_list):
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
        is_false = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        is_false |= isinstance(node.test, ast.Constant) and node.test.value is False
        if is_false and not node.orelse:
            return ast.copy_location(ast.Pass(), node)
        return node

    def visit_Call(self, node: ast.Call) -> Any:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "zip":  # `strict` has no effect in a correct program
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "strict"]
        return node
