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


LONG = 200_000
HEAVY = {
    "text": "a" * LONG,
    "other": "a" * (LONG - 1) + "b",
    "letters": "é" * LONG,
    "zeros": "0" * LONG + "1",
    "spaces": " " * LONG,
    "base64": "YWFh" * (LONG // 4),
    "json": "[" + "1," * (LONG // 2) + "1]",
    "seconds": "0s" * LONG,
    "list": [{"a": number} for number in range(LONG // 10)],
    "numbers": list(range(LONG // 10)),
    "map": {str(number): number for number in range(LONG // 10)},
}


@pytest.mark.parametrize(
    "test",
    [
        'payload.text contains "zz"',
        "payload.text contains payload.other",
        "payload.text startsWith payload.other",
        "payload.text == payload.other",
        "payload.text > payload.other",
        "payload.text in [payload.other, payload.n]",
        'payload.text[1:] == ""',
        'payload.letters[1:] == ""',
        "payload.letters[1] == 0",
        "first(payload.letters) == 0",
        'trim(payload.spaces) == "a"',
        'trimPrefix(payload.text, "a") == "b"',
        'indexOf(payload.text, "z") > 0',
        'lastIndexOf(payload.text, "z") > 0',
        'upper(payload.letters) == ""',
        'len(split(payload.text, "")) == 1',
        'replace(payload.text, "a", "b") == ""',
        "int(payload.zeros) == 2",
        "float(payload.zeros) == 2",
        'duration(payload.seconds) == duration("1s")',
        'fromBase64(payload.base64) == ""',
        'toBase64(payload.text) == ""',
        "len(fromJSON(payload.json)) == 1",
        'toJSON(payload.list) == ""',
        'string(payload.list) == ""',
        "len(payload.list) == 1",
        "len(payload.list[1:]) == 1",
        "len(keys(payload.map)) == 1",
        "len(toPairs(payload.map)) == 1",
        "max(payload.numbers) == -1",
        "mean(payload.numbers) == -1",
        "median(payload.numbers) == -1",
        "len(uniq(payload.numbers)) == 1",
        "payload.list == map(payload.list, #)",
        "len(groupBy(payload.list, .a)) == 1",
        "len($env) == 1",
        'payload.text matches "b$"',
        '"a" matches string(#) + "\\\\pL{100}"',
        'date("2026-01-02").Format("Monday") == ""',
        "+".join(["#"] * 2000) + " < 0",
        "any(1..1000, # < 0)",
    ],
)
def test_work_in_a_loop_is_counted_by_what_it_costs(test: str) -> None:
    expression = expressions.compile(f"any(1..100000, {test})")
    with pytest.raises(ExpressionError, match=r"too many steps|memory budget"):
        expression.evaluate({"payload": HEAVY}, steps=500_000)


@pytest.mark.parametrize(
    "test",
    [
        "any(payload.many, # == 2)",
        "find(payload.many, # == 2) == 2",
        "findIndex(payload.many, # == 2) == 1",
        "count(payload.many, # > 0) >= 2",
    ],
)
def test_stopping_early_costs_only_what_was_asked(test: str) -> None:
    event = {"payload": {"many": [float(number) for number in range(1, 1000)]}}
    assert expressions.compile(f"all(payload.many, {test})").evaluate(event, steps=20_000) is True


def test_patterns_are_bounded_together() -> None:
    several = " or ".join(f'payload.s matches "{letter}\\\\pL{{100}}"' for letter in "abcdefgh")
    with pytest.raises(ExpressionError, match="too large together"):
        expressions.compile(several).evaluate({"payload": {}})
