"""A node back to source, for people: one line, the least parentheses, literals hidden where they must be."""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any, Final

from chalicelib.core.expressions.nodes import (
    Builtin,
    Chain,
    Coalesce,
    Let,
    Member,
    Pointer,
    Predicate,
    Sequence,
    operands,
    symbol_of,
)
from chalicelib.core.expressions.parser import BINARY, CHAINED, UNARY
from chalicelib.core.expressions.tokens import is_name, quoted
from chalicelib.core.expressions.values import float_text

HIDDEN: Final = "‹hidden›"
_LOOSEST, _TIGHTEST = -1, 1000


def text_of(node: ast.expr, *, hide_literals: bool = False) -> str:
    """The source of a node; with `hide_literals` every text and number in it that is no key is hidden."""
    return _Writer(hide_literals).write(node)


class _Writer:
    def __init__(self, hide_literals: bool) -> None:
        self.hide_literals = hide_literals
        self.writers: dict[type, Callable[[Any], str]] = {
            ast.Constant: self.constant,
            ast.Name: lambda node: str(node.id),
            Pointer: lambda node: f"#{node.name}",
            Chain: lambda node: self.write(node.value),
            Member: self.member,
            Predicate: self.predicate,
            Builtin: lambda node: self.called(node.name, node.arguments),
            ast.Call: lambda node: self.called(self.tight(node.func), node.args),
            ast.Subscript: self.subscript,
            ast.List: lambda node: f"[{self.listed(node.elts)}]",
            ast.Dict: self.map,
            ast.IfExp: self.conditional,
            Let: lambda node: f"let {node.name} = {self.within(node.value, 0)}; {self.write(node.body)}",
            Sequence: lambda node: "; ".join(self.within(value, 0) for value in node.values),
            ast.UnaryOp: self.unary,
        }

    def write(self, node: ast.expr) -> str:
        parts = operands(node)
        if parts is None:
            return self.writers[type(node)](node)
        symbol, left, right = parts
        precedence, to_the_right = BINARY[symbol]
        inner = operands(left)
        # `a < b < c` would be a chain.
        chained = symbol in CHAINED and inner is not None and inner[0] in CHAINED
        left_text = self.within(left, precedence + (to_the_right or chained))
        return f"{left_text} {symbol} {self.within(right, precedence + (not to_the_right))}"

    def within(self, node: ast.expr, precedence: int) -> str:
        """The node as an operand, in parentheses where it binds looser than what is around it."""
        text = self.write(node)
        return f"({text})" if _precedence(node) < precedence else text

    def tight(self, node: ast.expr) -> str:
        if isinstance(node, ast.Constant) and not isinstance(node.value, str | bytes):
            return f"({self.write(node)})"  # no dot may follow a number
        return self.within(node, _TIGHTEST)

    def listed(self, items: list[ast.expr]) -> str:
        return ", ".join(self.within(item, 0) for item in items)

    def predicate(self, node: Predicate) -> str:
        body = self.write(node.body)
        return f"{{{body}}}" if isinstance(node.body, ast.Dict | Sequence) else body

    def called(self, name: str, arguments: list[ast.expr]) -> str:
        return f"{name}({self.listed(arguments)})"

    def constant(self, node: ast.Constant) -> str:
        value = node.value
        if value is None or isinstance(value, bool):
            return {None: "nil", True: "true", False: "false"}[value]
        if self.hide_literals:
            return HIDDEN
        if isinstance(value, bytes):
            return "b" + quoted(value)
        if isinstance(value, float):
            text = float_text(value)
            return text if "." in text or "e" in text else f"{text}.0"
        return quoted(value) if isinstance(value, str) else str(value)

    def member(self, node: Member) -> str:
        container = self.tight(node.value)
        key = node.key
        name = key.value if type(key) is ast.Constant else None
        if isinstance(name, str):
            if is_name(name):
                if isinstance(node.value, Pointer) and node.value.name == "":
                    return f".{name}"
                return f"{container}{'?.' if node.optional else '.'}{name}"
            return f"{container}{'?.' if node.optional else ''}[{quoted(name)}]"
        index = str(name) if isinstance(name, int) else self.write(key)
        return f"{container}{'?.' if node.optional else ''}[{index}]"

    def subscript(self, node: ast.Subscript) -> str:
        bounds = node.slice
        if not isinstance(bounds, ast.Slice):
            return f"{self.tight(node.value)}[…]"
        low = self.write(bounds.lower) if bounds.lower else ""
        high = self.write(bounds.upper) if bounds.upper else ""
        return f"{self.tight(node.value)}[{low}:{high}]"

    def map(self, node: ast.Dict) -> str:
        pairs = [
            f"{self.key(key) if key else ''}: {self.within(value, 0)}"
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        return "{" + ", ".join(pairs) + "}"

    def key(self, node: ast.expr) -> str:
        text = self.write(node)
        return text if isinstance(node, ast.Constant) else f"({text})"

    def conditional(self, node: ast.IfExp) -> str:
        body, orelse = self.within(node.body, 0), self.within(node.orelse, 0)
        return f"{self.within(node.test, 0)} ? {body} : {orelse}"

    def unary(self, node: ast.UnaryOp) -> str:
        symbol = symbol_of(node)
        space = " " if symbol.isalpha() else ""
        return f"{symbol}{space}{self.within(node.operand, UNARY[symbol])}"


def _precedence(node: ast.expr) -> int:
    parts = operands(node)
    if parts is not None:
        # `??` may not stand beside another operator without parentheses.
        return _LOOSEST if isinstance(node, Coalesce) else BINARY[parts[0]].precedence
    if isinstance(node, ast.UnaryOp):
        return UNARY[symbol_of(node)]
    if isinstance(node, ast.IfExp | Let | Sequence):
        return _LOOSEST
    return _TIGHTEST
