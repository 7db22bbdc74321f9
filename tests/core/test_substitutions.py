"""Argo's {{…}}, as `when` meets it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chalicelib.core.expressions import ExpressionError, Time
from chalicelib.core.expressions.values import Int64, StringMap
from chalicelib.core.substitutions import LIMIT, expand, substitute

NOW = 1_800_000_000

VARIABLES: dict[str, Any] = {
    "cronworkflow.name": "nightly",
    "cronworkflow.namespace": "argo",
    "cronworkflow.labels": StringMap(team="core"),
    "cronworkflow.labels.json": b'{"team":"core"}',
    "cronworkflow.annotations": StringMap(team="core"),
    "cronworkflow.annotations.json": b"null",
    "cronworkflow.failed": Int64(2),
    "cronworkflow.succeeded": Int64(40),
    "cronworkflow.lastScheduledTime": Time(NOW - 7200),
}


def substituted(text: str, **changed: Any) -> str:
    variables = VARIABLES | {f"cronworkflow.{name}": value for name, value in changed.items()}
    return substitute(text, variables, now=lambda: NOW * 10**9)


def complaint(text: str) -> str:
    with pytest.raises(ExpressionError) as caught:
        substituted(text)
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("1 == 1", "1 == 1"),
        ("'{{cronworkflow.name}}' == 'x'", "'nightly' == 'x'"),
        ("{{ cronworkflow.name }}{{cronworkflow.namespace}}", "nightlyargo"),
        ("{{= cronworkflow.failed }} < 3", "2 < 3"),
        ("{{=cronworkflow.failed < 3}}", "true"),
        ("{{= cronworkflow.name == 'nightly' }}", "true"),
        ('{{= cronworkflow.name == \\"nightly\\" }}', "true"),
        ("{{= (now() - cronworkflow.lastScheduledTime).Seconds() > 3600 }}", "true"),
        ("{{= cronworkflow.labels.json }}", "eyJ0ZWFtIjoiY29yZSJ9"),
        ("{{= [1, 'a'] }}", '[1,\\"a\\"]'),
        ("{{= 'a<b' }}", "a\\u003cb"),
        ("{{= 1 \\u003c 2 }}", "true"),
        ("}} {{cronworkflow.name}}", "}} nightly"),
    ],
)
def test_tags_are_replaced(text: str, result: str) -> None:
    assert substituted(text) == result


def test_a_time_that_is_not_there_yet_is_nil() -> None:
    elapsed = "(now() - cronworkflow.lastScheduledTime).Seconds() > 3600"
    documented = f"{{{{= cronworkflow.lastScheduledTime == nil || {elapsed} }}}}"
    assert substituted(documented, lastScheduledTime=None) == "true"
    assert substituted(documented) == "true"
    assert substituted(documented, lastScheduledTime=Time(NOW - 60)) == "false"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{cronworkflow.failed}} < 3", "failed to resolve {{cronworkflow.failed}} to string"),
        ("{{cronworkflow.nope}}", "failed to resolve {{cronworkflow.nope}}"),
        ("{{= cronworkflow.nope }}", "failed to evaluate expression: cronworkflow.nope is missing"),
        ("{{= nope.x }}", "failed to evaluate expression: nope is missing"),
        ("{{= true || cronworkflow.nope }}", "failed to evaluate expression: cronworkflow.nope is missing"),
        ("{{= cronworkflow.labels.team }}", "failed to evaluate expression: cronworkflow.labels.team is missing"),
        ("{{= let x = 1; x }}", "failed to evaluate expression: x is missing"),
        ("{{= nil }}", 'failed to evaluate expression " nil "'),
        ("{{", 'Cannot find end tag="}}" in the template="{{" starting from ""'),
        ('{{= "x" == "y" }}',
         "failed to unmarshall JSON expression: invalid character 'x' after top-level value"),
        ("{{= 'a\n' }}", "failed to unmarshall JSON expression: invalid character '\\n' in string literal"),
        ("{{= 'a\\d' }}", "failed to unmarshall JSON expression: invalid character 'd' in string escape code"),
    ],
)  # fmt: skip
def test_what_argo_cannot_replace_is_refused_in_its_words(text: str, message: str) -> None:
    assert complaint(text) == message


def test_a_wrong_expression_says_where() -> None:
    assert complaint("{{= cronworkflow.name + 1 }}").startswith(
        "failed to evaluate expression: invalid operation: string + int (1:20)"
    )


def test_a_variable_that_begins_another_is_lost_to_expressions() -> None:
    assert expand({"a.b": 1, "a.b.c": 2, "a.bc": 3, "d": 4}) == {"a": {"b": {"c": 2}, "bc": 3}, "d": 4}


def test_the_text_may_not_grow_without_end() -> None:
    assert complaint("x" * (LIMIT + 1)).endswith(f"is longer than {LIMIT}")
    with pytest.raises(ExpressionError, match="after substitution"):
        substituted("{{cronworkflow.name}}" * 100, name="x" * 1000)


PIECES = st.sampled_from(
    ["{{", "}}", "{{=", "cronworkflow", ".", "name", "failed", "labels", " ", "'", '"', "\\", "(", ")", "{", "}", "==",
     "?", ":", ",", "let x = 1;", "#", "sprig.trim", "now()", "\n", "[", "]"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(PIECES, max_size=20).map("".join)))
@settings(max_examples=400, deadline=None)
def test_any_text_is_replaced_or_refused(text: str) -> None:
    try:
        assert isinstance(substituted(text), str)
    except ExpressionError as error:
        assert error.kind in ("compile", "run", "type")  # noqa: PT017 - both outcomes are right
