"""Depth and size: what Go can take we can take, and beyond it there is an error."""

from __future__ import annotations

import sys
import threading

import pytest

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError, parameter_text
from chalicelib.core.expressions.limits import deep

DEEP = {
    "parentheses": ("(" * 3000 + "1 == 1" + ")" * 3000, True),
    "sum": ("+".join(["1"] * 5000), 5000),
    "sum of an event's": ("+".join(["payload.n"] * 2400), 4800.0),
    "conjunction": (" and ".join(["payload.n == 2"] * 1600), True),
    "minus": ("-" * 9000 + "payload.n", 2.0),
    "not": ("not " * 8000 + "true", True),
    "dots": ("payload?.x" + "?.y" * 3000, None),
    "lists": ("len(" + "[" * 4000 + "1" + "]" * 4000 + ")", 1),
    "conditions": ("payload.n == 3 ? 1 : " * 1400 + "2", 2),
    "lets": ("".join(f"let a{i} = payload.n; " for i in range(2000)) + "a1999", 2.0),
    "calls": ("string(" * 4000 + "1" + ")" * 4000, "1"),
    "loops": ("any([1], " * 1900 + "# == 1" + ")" * 1900, True),
    "pipes": ("payload.n" + " | string()" * 4000, "2"),
}


@pytest.mark.parametrize("name", DEEP)
def test_gos_depth_is_reached(name: str) -> None:
    source, value = DEEP[name]
    assert expressions.compile(source).evaluate({"payload": {"n": 2}}) == value


@pytest.mark.parametrize("name", ["parentheses", "sum", "loops"])
def test_depth_needs_no_large_stack(name: str) -> None:
    source, value = DEEP[name]
    found = []
    # Half of this is too little for Python 3.13 itself when it frees a tree this deep.
    before = threading.stack_size(1024 * 1024)
    try:
        thread = threading.Thread(
            target=lambda: found.append(expressions.compile(source).evaluate({"payload": {"n": 2}}))
        )
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert found == [value]


def test_the_recursion_limit_is_put_back() -> None:
    before = sys.getrecursionlimit()
    expressions.compile("(" * 3000 + "1" + ")" * 3000).evaluate({})
    with deep(5000), deep(100):
        assert sys.getrecursionlimit() > 5000
    assert sys.getrecursionlimit() == before


@pytest.mark.parametrize(
    "source", ["+".join(["1"] * 5001), "[" + "1," * 10_000 + "]", "x." * 5001 + "y", "-" * 10_001 + "1"]
)
def test_the_eleventh_thousand_of_nodes_is_refused(source: str) -> None:
    with pytest.raises(ExpressionError, match="exceeds maximum allowed nodes"):
        expressions.compile(source)


def test_parentheses_without_end_are_refused() -> None:
    with pytest.raises(ExpressionError, match="nests too deep"):
        expressions.compile("(" * 100_000)
    with pytest.raises(ExpressionError, match="longer than"):
        expressions.compile("(" * 2_000_000)


@pytest.mark.parametrize(
    ("source", "fits"),
    [
        ("len(1..999999)", True),
        ("len(1..1000000)", False),
        ("len(map(1..499999, #))", True),
        ("len(map(1..500000, #))", False),
        ('len(repeat("ab", 499999))', True),
        ('len(repeat("ab", 500000))', False),
    ],
)
def test_the_memory_budget_is_gos(source: str, fits: bool) -> None:
    expression = expressions.compile(source)
    if fits:
        assert expression.evaluate({}) > 0
    else:
        with pytest.raises(ExpressionError, match="memory budget exceeded"):
            expression.evaluate({})


def test_a_deep_payload_can_be_read_compared_and_printed() -> None:
    payload: object = 1
    for _ in range(9000):
        payload = [payload]
    event = {"payload": payload}
    assert expressions.compile("payload == payload").evaluate(event) is True
    assert expressions.compile("len(string(payload))").evaluate(event) == 18001
    assert expressions.compile("flatten(payload)").evaluate(event) == [1.0]
    assert parameter_text(expressions.compile("payload").evaluate(event)) == "[" * 9000 + "1" + "]" * 9000


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "(.*)*x", "([a-z]+)*[0-9]"])
def test_no_pattern_backtracks(pattern: str) -> None:
    source = f"repeat('a', 50000) + '!' matches `{pattern}`"
    assert expressions.compile(source).evaluate({}) in (True, False)
