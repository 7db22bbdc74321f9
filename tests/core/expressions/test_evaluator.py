"""simpleeval gives the shape and nothing of its own: whatever is reachable is ours."""

from __future__ import annotations

import ast

import pytest
import simpleeval

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.evaluator import Evaluator
from chalicelib.core.expressions.operations import Budget
from chalicelib.core.expressions.signatures import LOOPS, NAMES


@pytest.fixture
def evaluator() -> Evaluator:
    return Evaluator({}, {"payload": {}}, Budget())


def test_it_is_simpleevals_evaluator(evaluator: Evaluator) -> None:
    assert isinstance(evaluator, simpleeval.SimpleEval)


def test_no_handler_of_pythons_nodes_is_simpleevals_own(evaluator: Evaluator) -> None:
    for handler in evaluator.nodes.values():
        assert handler.__func__.__qualname__.startswith("Evaluator.")


def test_every_node_of_python_that_expr_has_not_is_unknown(evaluator: Evaluator) -> None:
    for kind in (
        ast.Attribute,
        ast.Lambda,
        ast.ListComp,
        ast.JoinedStr,
        ast.NamedExpr,
        ast.Await,
        ast.Starred,
    ):
        assert kind not in evaluator.nodes


def test_no_operator_and_no_function_of_pythons_is_left(evaluator: Evaluator) -> None:
    theirs = {*simpleeval.DEFAULT_OPERATORS.values(), *simpleeval.DEFAULT_FUNCTIONS.values()}
    assert theirs.isdisjoint(evaluator.operators.values())
    assert theirs.isdisjoint(evaluator.functions.values())
    assert not {
        ast.BitXor,
        ast.BitOr,
        ast.BitAnd,
        ast.LShift,
        ast.RShift,
        ast.FloorDiv,
        ast.Invert,
        ast.Is,
    } & set(evaluator.operators)


def test_every_function_of_the_language_is_there(evaluator: Evaluator) -> None:
    assert set(evaluator.functions) | set(evaluator.loops) == NAMES
    assert set(evaluator.loops) == set(LOOPS)


@pytest.mark.parametrize(
    "source",
    [
        "__import__('os')", "payload.__class__", "payload.a.__class__.__mro__", "open('/etc/passwd')", "rand()",
        "str(1)", "().__class__", "payload.items()", "payload.get('a')", "[].append(1)", "'a'.format(1)",
        "True", "None", "lambda: 1", "payload.keys", "1 if true else 2", "f'{1}'", "1 << 3", "1 & 2", "~1",
    ],
)  # fmt: skip
def test_nothing_of_python_can_be_reached(source: str) -> None:
    try:
        value = expressions.compile(source).evaluate({"payload": {"a": 1}})
    except ExpressionError:
        return
    assert value is None  # a missing member of the payload's map
