"""The changes that `mutants.py` plants: what may become of each expression and statement of a file."""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from typing import Any

OTHER: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Add: ast.Sub,
    ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult, ast.Mod: ast.Mult,
    ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip
"""What an operator becomes."""


@dataclass(frozen=True)
class Mutant:
    """One change: the source between two byte offsets of a file becomes other text."""

    file: str
    line: int
    start: int
    end: int
    was: str
    becomes: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}  {' '.join(self.was.split())}  ->  {self.becomes}"


class Collector(ast.NodeVisitor):
    """Every mutant of one file."""

    def __init__(self, file: str, source: bytes) -> None:
        self.file, self.source = file, source
        self.starts = [0]
        for line in source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.found: list[Mutant] = []

    def add(self, node: Any, becomes: ast.AST | str) -> None:
        """`node` becomes another expression, or the text of a statement."""
        start = self.starts[node.lineno - 1] + node.col_offset
        end = self.starts[node.end_lineno - 1] + node.end_col_offset
        text = becomes if isinstance(becomes, str) else f"({ast.unparse(becomes)})"
        was = self.source[start:end].decode()
        self.found.append(Mutant(self.file, node.lineno, start, end, was, text))

    def changed(self, node: Any, **fields: Any) -> None:
        other = copy.copy(node)
        for name, value in fields.items():
            setattr(other, name, value)
        self.add(node, other)

    # What is left alone: documentation, types, messages

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """The places inside f-strings are not known exactly."""

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, "pass")

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for default in (*node.args.defaults, *filter(None, node.args.kw_defaults)):
            self.visit(default)
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_Import(self, node: ast.Import) -> None:
        pass

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        pass

    # What is changed

    def visit_Expr(self, node: ast.Expr) -> None:
        if isinstance(node.value, ast.Constant | ast.Yield):
            return
        self.add(node, "pass")
        self.visit(node.value)

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not _none(node.value):
            self.add(node, "return None")
            self.visit(node.value)

    def visit_Assign(self, node: ast.Assign) -> None:
        if not _none(node.value):
            self.changed_value(node)
        self.visit(node.value)

    def changed_value(self, node: ast.Assign) -> None:
        targets = node.targets[0]
        if isinstance(targets, ast.Name | ast.Attribute | ast.Subscript):
            self.add(node.value, "None")

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.add(node, "pass")
        self.visit(node.value)

    def visit_Continue(self, node: ast.Continue) -> None:
        self.add(node, "break")

    def visit_Break(self, node: ast.Break) -> None:
        self.add(node, "continue")

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test) == "TYPE_CHECKING":
            return
        self.add(node.test, ast.UnaryOp(ast.Not(), node.test))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.add(node.test, ast.UnaryOp(ast.Not(), node.test))
        self.generic_visit(node)

    def visit_While(self, node: ast.While) -> None:
        self.add(node.test, ast.UnaryOp(ast.Not(), node.test))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for place, op in enumerate(node.ops):
            ops = list(node.ops)
            ops[place] = OTHER[type(op)]()  # type: ignore[call-overload]
            self.changed(node, ops=ops)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if type(node.op) in OTHER:
            self.changed(node, op=OTHER[type(node.op)]())
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.changed(node, op=OTHER[type(node.op)]())
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        self.add(node, node.operand)
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        value = node.value
        if isinstance(value, bool):
            self.changed(node, value=not value)
        elif isinstance(value, int | float):
            self.changed(node, value=value + 1)
        elif isinstance(value, str) and value:
            self.changed(node, value=f"X{value}")


def _none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
