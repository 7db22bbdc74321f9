"""Words, precedences and the tree."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given, settings

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.nodes import Positions, operands
from chalicelib.core.expressions.parser import BINARY, parse
from chalicelib.core.expressions.texts import text_of
from chalicelib.core.expressions.tokens import tokenize
from tests.core.expressions.sources import expressions as sources
from tests.core.expressions.test_properties import compiled


def tree_of(source: str) -> ast.expr:
    return parse(tokenize(source), Positions(source))


def shape(source: str) -> str:
    return ast.dump(tree_of(source))


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ("1 + 2 * 3", "1 + (2 * 3)"),
        ("2 ** 3 ** 2", "2 ** (3 ** 2)"),
        ("-2 ** 2", "-(2 ** 2)"),
        ("a or b and c", "a or (b and c)"),
        ("not a == b", "(not a) == b"),
        ("1..2 + 3", "1..(2 + 3)"),
        ("1 + a ?? 2", "1 + (a ?? 2)"),
        ("a ? b : c ? d : e", "a ? b : (c ? d : e)"),
        ("1 < a < 3", "1 < a && a < 3"),
        ("a not in b", "not (a in b)"),
        ("1 + 2 | string()", "string(1 + 2)"),
        ("s | upper() + '!'", "upper(s) + '!'"),
        ("(a?.b).c", "a?.b.c"),
        ("'a' + \"b\"", "`a` + `b`"),
        ("0x1F + 0b11 + 0o17 + 1_000", "31 + 3 + 15 + 1000"),
    ],
)
def test_operators_bind_as_in_go(source: str, same: str) -> None:
    assert shape(source) == shape(same)


@pytest.mark.parametrize("symbol", [symbol for symbol in BINARY if symbol not in ("|", "??")])
def test_an_operator_takes_from_a_looser_one_what_stands_between(symbol: str) -> None:
    for other in BINARY:
        if other in ("|", "??") or BINARY[other].precedence >= BINARY[symbol].precedence:
            continue
        parts = operands(tree_of(f"a {other} b {symbol} c"))
        assert parts is not None
        assert parts[0] == other


@pytest.mark.parametrize(
    "source",
    [
        "a ?? 1 == 1", "nil.a", "1[0]", "{in: 1}", "t ?.5 : 1", "x | first().name", "1a", '"\\d"', "'\\\"'", "if a {1}",
        "1 +", "[1 2]", "let = 1; 2", "a not b", "#", "0x8000000000000000", "1e400", "/* open", "'open", "a.", "a.1b",
    ],
)  # fmt: skip
def test_what_go_does_not_parse_is_refused(source: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        expressions.compile(source).evaluate({"a": 1, "t": True, "x": [], "s": ""})
    assert caught.value.kind == "compile"


@settings(deadline=None)
@given(sources())
def test_every_node_knows_its_place(source: str) -> None:
    expression = compiled(source)
    if expression is None or expression._tree is None:
        return
    lines = source.split("\n")
    for node in ast.walk(tree_of(source)):
        if isinstance(node, ast.expr) and not isinstance(node, ast.Slice):
            assert 1 <= node.lineno <= len(lines)
            assert 0 <= node.col_offset <= len(lines[node.lineno - 1])


@settings(deadline=None, max_examples=300)
@given(sources())
def test_a_tree_written_as_source_is_the_same_tree(source: str) -> None:
    expression = compiled(source)
    if expression is None or expression._tree is None:
        return  # no expression, or one only where the event has a loop's name
    written = text_of(tree_of(source))
    assert text_of(tree_of(written)) == written


def test_a_parsed_tree_serves_every_shape_of_the_event() -> None:
    expression = expressions.compile("payload and true")
    before = ast.dump(expression._tree) if expression._tree is not None else ""
    assert expression.evaluate({"payload": True}) is True
    with pytest.raises(ExpressionError):
        expression.evaluate({"payload": "text"})
    assert expression.evaluate({"payload": False}) is False
    assert ast.dump(tree_of("payload and true")) == before
