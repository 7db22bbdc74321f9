"""govaluate: recorded outcomes, the surprises one by one, and what holds for every text."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.expressions import ExpressionError
from chalicelib.core.govaluate import MAX_NESTING, MAX_SOURCE, evaluate, evaluate_bool
from tests.conformance import cron as recorded


def complaint(source: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        evaluate(source)
    return caught.value.message


def test_every_recorded_expression_has_govaluates_value_or_its_words() -> None:
    wrong = [
        (case["expression"], recorded.evaluated(case["expression"]))
        for case in recorded.cases(recorded.GOVALUATE)
        if "expression" in case and not recorded.agrees(recorded.evaluated(case["expression"]), case)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("8 - 4 - 2", 2.0),
        ("2 ** 3 ** 2", 64.0),
        ("true ? 'a' : 'b' == 'b'", "a"),
        ("'2024-01-02' > '2024-01-01'", True),
        ("'2024-01-01' == 1704067200", True),
        ("false && undefined", False),
        ("true || undefined", True),
        ("'a' + 1000000", "a1e+06"),
        ("2 in (1, 2)", True),
        ("(true) false", True),
        ("()", None),
        ("1 == true", False),
        ("'x' =~ '^[a-z]$'", True),
        ("1 / 0", math.inf),
        ("(1, (2, 3))", [1.0, [2.0, 3.0]]),
    ],
)
def test_values(source: str, value: Any) -> None:
    found = evaluate(source)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("name == 'x'", "No parameter 'name' found."),
        ("'a' > 1", "Value 'a' cannot be used with the comparator '>', it is not a number"),
        ("1 && true", "Value '1' cannot be used with the logical operator '&&', it is not a bool"),
        ("1 + ", "Unexpected end of expression"),
        ("(1", "Unbalanced parenthesis"),
        ("1 = 1", "Invalid token: '='"),
        ("1 2", "Cannot transition token types from NUMERIC [1] to NUMERIC [2]"),
        ("len('x')", "Undefined function len"),
        ("'x", "Unclosed string literal"),
    ],
)
def test_complaints_are_govaluates(source: str, message: str) -> None:
    assert complaint(source) == message


def test_only_a_bool_answers_when() -> None:
    assert evaluate_bool("1 == 1") is True
    with pytest.raises(ExpressionError) as caught:
        evaluate_bool("1000000 + 1")
    assert caught.value.kind == "type"
    assert caught.value.message == "Expected boolean evaluation for '1000000 + 1'. Got 1.000001e+06"


@pytest.mark.parametrize("source", ["\\", "'a\\", "(1, 2) in ((1, 2), 3) || ((1,2),(3,4)) in (((1,2)), 1)"])
def test_where_govaluate_panics_there_is_an_error_or_an_answer(source: str) -> None:
    try:
        assert isinstance(evaluate(source), bool)
    except ExpressionError as error:
        assert error.kind in ("compile", "run")  # noqa: PT017 - either is right


def test_size_and_depth_are_bounded() -> None:
    deep = "(" * MAX_NESTING + "true" + ")" * MAX_NESTING
    assert evaluate(deep) is True
    assert complaint(f"({deep})") == f"parentheses are nested deeper than {MAX_NESTING}"
    assert evaluate("1+" * (MAX_SOURCE // 2 - 1) + "1") == MAX_SOURCE / 2
    assert complaint(" " * (MAX_SOURCE + 1)).endswith(f"is longer than {MAX_SOURCE}")


WORDS = """
1 2.5 0x1f true false 'a' "b" '2024-01-01' name a.B [x] ( ) ( ) , ? : ?? && || == != < > <= >= =~ !~ in
+ - * / % ** & | ^ << >> ! - ~ \\ ' { \u00e9 \u0663
"""
PIECES = st.sampled_from(WORDS.split())


@given(
    st.one_of(
        st.text(max_size=60), st.lists(PIECES, max_size=25).map(" ".join), st.lists(PIECES).map("".join)
    )
)
@settings(max_examples=500, deadline=None)
def test_any_text_has_a_value_or_an_expression_error(source: str) -> None:
    try:
        value = evaluate(source)
    except ExpressionError as error:
        assert error.kind in ("compile", "run")  # noqa: PT017 - both outcomes are right
    else:
        assert value is None or type(value) in (float, str, bool, list)
