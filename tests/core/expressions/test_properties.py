"""What must hold for any source and any environment."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chalicelib.core import expressions
from chalicelib.core.expressions import Expression, ExpressionError, parameter_text
from chalicelib.core.expressions.operations import Budget
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import AnyMap, Method, format_value, go_type
from tests.core.expressions.sources import environments, json_values
from tests.core.expressions.sources import expressions as sources

relaxed = settings(deadline=None, suppress_health_check=list(HealthCheck))


def described(value: Any) -> Any:
    """A Go value as something that can be compared: types count, NaN is itself."""
    if isinstance(value, float):
        return "float64", "NaN" if math.isnan(value) else (value, math.copysign(1, value))
    if isinstance(value, dict) and not isinstance(value, AnyMap):
        return go_type(value), {key: described(item) for key, item in value.items()}
    if isinstance(value, list):
        return go_type(value), type(value).__name__, [described(item) for item in value]
    if isinstance(value, Method):
        return "function", value.go_type
    return go_type(value), format_value(value)


def outcome(expression: Expression, env: dict[str, Any]) -> Any:
    try:
        return "value", described(expression.evaluate(env, steps=100_000))
    except ExpressionError as error:
        return "error", error.kind, error.message


def walked(expression: Expression, env: dict[str, Any]) -> Any:
    """The same by simpleeval's walk."""
    try:
        program = expression.program(env)
    except ExpressionError as error:
        return "error", error.kind, error.message
    try:
        return "value", described(program.walk(env, Budget(10_000_000)))
    except FunctionError as error:
        return "error", "run", expression._failure("run", error.message, getattr(error, "offset", 0)).message


def compiled(source: str) -> Expression | None:
    try:
        return expressions.compile(source)
    except ExpressionError:
        return None


@relaxed
@given(st.text(max_size=60), json_values())
@example("\ud800", None)
@example("payload.é[0:1] + payload.é[1:2]", {"é": "é"})
@example("((((((((((", None)
def test_any_text_is_an_expression_or_our_error(source: str, payload: Any) -> None:
    expression = compiled(source)
    if expression is not None:
        assert outcome(expression, {"payload": payload})[0] in ("value", "error")


@settings(relaxed, max_examples=400)
@given(sources(), environments())
@example("any(payload, #acc)", {"payload": [1], "metadata": {}, "discriminator": "", "namespace": ""})
def test_any_expression_gives_a_value_or_our_error(source: str, env: dict[str, Any]) -> None:
    expression = compiled(source)
    if expression is None:
        return
    said = ""
    try:
        said = parameter_text(expression.evaluate(env, steps=100_000))
    except ExpressionError as error:
        said = f"{error.kind} {error}"
    assert isinstance(said.encode(), bytes)


@settings(relaxed, max_examples=600)
@given(sources(), environments())
@example(
    "(payload.a ?? 1) == payload.b",
    {"payload": {"b": 1}, "metadata": {}, "discriminator": "", "namespace": ""},
)
def test_bound_functions_and_the_walk_agree(source: str, env: dict[str, Any]) -> None:
    expression = compiled(source)
    if expression is not None and "now()" not in source:
        assert outcome(expression, env) == walked(expression, env)


def with_floats(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: with_floats(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_floats(item) for item in value]
    return float(value) if type(value) is int else value


@settings(relaxed, max_examples=300)
@given(sources(), environments())
def test_integers_of_an_event_count_as_floats(source: str, env: dict[str, Any]) -> None:
    expression = compiled(source)
    if expression is not None:
        assert outcome(expression, env) == outcome(expression, with_floats(env))


@settings(relaxed, max_examples=300)
@given(sources(), environments())
def test_evaluating_leaves_the_event_as_it_was(source: str, env: dict[str, Any]) -> None:
    expression = compiled(source)
    if expression is not None:
        before = described(env)
        outcome(expression, env)
        assert described(env) == before


@settings(relaxed, max_examples=300)
@given(sources(), environments())
def test_an_explanation_never_raises_and_says_what_the_selector_said(
    source: str, env: dict[str, Any]
) -> None:
    expression = compiled(source)
    if expression is None:
        return
    explanation = expression.explain(env, steps=100_000)
    assert str(explanation).encode()
    try:
        said = "true" if expression.evaluate_bool(env, steps=100_000) else "false"
    except ExpressionError:
        return
    # Go drops `x and false` without asking x; an explanation asks, and may meet an error there.
    assert explanation.outcome in (said, "error")
