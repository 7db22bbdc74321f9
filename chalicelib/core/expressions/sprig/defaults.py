"""sprig's functions that choose between values or fail, and those that write and read JSON.

Source: Masterminds/sprig v3.3.0 defaults.go.
"""

from __future__ import annotations

from typing import Any, NoReturn

from chalicelib.core.expressions.documents import unmarshal
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.functions import (
    ANY,
    BOOL,
    STRING,
    Function,
    aliases,
    steps,
    table,
)
from chalicelib.core.expressions.sprig.reflection import is_empty
from chalicelib.core.expressions.values import marshal


def default(fallback: Any, *given: Any) -> Any:
    """The value given, or the fallback when it is empty."""
    return fallback if not given or is_empty(given[0]) else given[0]


def coalesce(*values: Any) -> Any:
    """The first value that is not empty, or nil."""
    return next((value for value in values if not is_empty(value)), None)


def from_json(text: str) -> Any:
    """The value of a document, nil when it is none."""
    try:
        return unmarshal(text)
    except FunctionError:
        return None


def must_to_json(value: Any) -> str:
    """The JSON of a value. Raises FunctionError for what has none."""
    return marshal(value, meter=steps())


def must_to_pretty_json(value: Any) -> str:
    """The same over several lines, indented by two blanks."""
    return marshal(value, indent="  ", meter=steps())


def to_raw_json(value: Any) -> str:
    """The JSON of a value with `<`, `>` and `&` as they are. Raises FunctionError for what has none."""
    return marshal(value, escape_html=False, meter=steps())


def to_json(value: Any) -> str:
    """The value's JSON, "" for what has none."""
    try:
        return must_to_json(value)
    except FunctionError:
        return ""


def to_pretty_json(value: Any) -> str:
    """The JSON over several lines, "" for what has none."""
    try:
        return must_to_pretty_json(value)
    except FunctionError:
        return ""


def fail(message: str) -> NoReturn:
    """Raises FunctionError with the message."""
    raise FunctionError(message)


FUNCTIONS = table(
    Function("all", (ANY,), lambda *values: not any(map(is_empty, values)), variadic=True),
    Function("any", (ANY,), lambda *values: not all(map(is_empty, values)), variadic=True),
    Function("coalesce", (ANY,), coalesce, variadic=True),
    Function("default", (ANY, ANY), default, variadic=True),
    Function("fail", (STRING,), fail),
    Function("fromJson", (STRING,), from_json),
    Function("mustFromJson", (STRING,), unmarshal),
    Function("mustToJson", (ANY,), must_to_json),
    Function("mustToPrettyJson", (ANY,), must_to_pretty_json),
    Function("ternary", (ANY, ANY, BOOL), lambda yes, no, test: yes if test else no),
    Function("toJson", (ANY,), to_json),
    Function("toPrettyJson", (ANY,), to_pretty_json),
    *aliases(to_raw_json, (ANY,), "toRawJson", "mustToRawJson"),
)
