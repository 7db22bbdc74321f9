"""What can be said of an expression without any event: it does not compile, or it can never be true.

Most silence comes of one misunderstanding: a header in `metadata` is a list of texts, since a request may repeat it,
so that `metadata["x-github-event"] == "push"` is false for every event. Expressions are read as they run: parsed and
checked against the types that every event has.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.nodes import Chain, Member, operands
from chalicelib.core.expressions.programs import Functions
from chalicelib.core.expressions.texts import text_of
from chalicelib.core.providers import PROVIDERS
from lynceus.lints.findings import ERROR, WARNING

# The types that the environment of every event has; what lies in the payload is known of none.
ENVIRONMENT: dict[str, Any] = {"namespace": "", "discriminator": "", "metadata": {"x-": [""]}, "payload": {}}

SHOWN = ("x-", *sorted({prefix for provider in PROVIDERS.values() for prefix in provider.shown}))
_TEXTS_ONLY = ("contains", "startsWith", "endsWith", "matches")


@dataclass(frozen=True)
class Remark:
    """What is to be said, and where in the expression (line and column from 1; 0 where nowhere)."""

    level: str
    message: str
    hint: str = ""
    line: int = 0
    column: int = 0


def remarks(source: str, *, selector: bool = False, functions: Functions | None = None) -> list[Remark]:
    """What is wrong with the expression, worst first; empty where nothing is."""
    try:
        program = expressions.compile(source).program(dict(ENVIRONMENT), functions)
    except ExpressionError as error:
        return [Remark(ERROR, f"does not compile: {error.message}", error.hint, error.line, error.column)]
    tree = program.parsed
    found = [*_compared_headers(tree), *_names_of_headers(tree)]
    if selector:
        found += _never(tree, source)
    return sorted(found, key=lambda remark: remark.level)


def _compared_headers(tree: ast.expr) -> Iterator[Remark]:
    """A header is a list of texts: comparing it with a text is never what was meant."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.expr) or (sides := operands(node)) is None:
            continue
        symbol, left, right = sides
        at = (node.lineno, node.col_offset + 1)
        for header, other in ((left, right), (right, left)):
            if _header_of(header) is None:
                continue
            text = text_of(header)
            if symbol in ("==", "!=") and _is_plain(other):
                always = "never true" if symbol == "==" else "always true"
                yield Remark(
                    ERROR,
                    f"{text} {symbol} {text_of(other)} is {always}: a header is a list of texts",
                    f"write {text} {symbol} [{text_of(other)}], or {text_of(other)} in {text}",
                    *at,
                )
            elif symbol in _TEXTS_ONLY and header is left:
                yield Remark(
                    ERROR,
                    f"{text} {symbol} … fails on every event that has the header: a header is a list of texts",
                    f"write any({text}, # {symbol} …), or {text}[0] {symbol} …",
                    *at,
                )
            elif (
                symbol == "in"
                and header is left
                and isinstance(right, ast.List)
                and all(map(_is_plain, right.elts))
            ):
                yield Remark(
                    ERROR,
                    f"{text} in {text_of(right)} is never true: a header is a list of texts",
                    f"write any({text}, # in {text_of(right)})",
                    *at,
                )


def _is_plain(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | bool)


def _header_of(node: ast.expr) -> str | None:
    """The name of the header that the node reads whole, None for every other node."""
    if isinstance(node, Chain):
        node = node.value
    if not isinstance(node, Member) or not isinstance(node.key, ast.Constant):
        return None
    named = isinstance(node.value, ast.Name) and node.value.id == "metadata"
    return node.key.value if named and isinstance(node.key.value, str) else None


def _names_of_headers(tree: ast.expr) -> Iterator[Remark]:
    for node in ast.walk(tree):
        name = _header_of(node) if isinstance(node, Member) else None
        if name is None or not isinstance(node, Member):
            continue
        at = (node.lineno, node.col_offset + 1)
        if name != name.lower():
            yield Remark(
                ERROR,
                f"metadata has no {name!r}: names of headers are lower case there",
                f'write metadata["{name.lower()}"]',
                *at,
            )
        elif not name.startswith(SHOWN):
            yield Remark(
                WARNING,
                f"metadata has no {name!r}: only headers beginning with {', '.join(SHOWN)} are shown",
                "",
                *at,
            )


def _demands(node: ast.expr) -> Iterator[tuple[str, str]]:
    """What must equal which literal for the expression to be true, as sources."""
    sides = operands(node)
    if sides is None:
        return
    _, left, right = sides
    if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And):
        yield from _demands(left)
        yield from _demands(right)
    elif isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq):
        for path, literal in ((left, right), (right, left)):
            if isinstance(path, ast.Name | Member | Chain) and _is_plain(literal):
                yield text_of(path), text_of(literal)


def _never(tree: ast.expr, source: str) -> Iterator[Remark]:
    wanted: dict[str, str] = {}
    for path, literal in _demands(tree):
        if wanted.setdefault(path, literal) != literal:
            yield Remark(ERROR, f"can never be true: {path} would have to be {wanted[path]} and {literal}")
    if any(isinstance(node, ast.Name) and node.id in ENVIRONMENT for node in ast.walk(tree)):
        return
    try:
        if not expressions.compile(source).evaluate_bool(ENVIRONMENT):
            yield Remark(WARNING, "is false for every event")
    except ExpressionError as error:
        yield Remark(ERROR, error.message)
