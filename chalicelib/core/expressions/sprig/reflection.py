"""sprig's functions that ask what a value is.

Source: Masterminds/sprig v3.3.0 reflect.go, defaults.go (empty).
"""

from __future__ import annotations

from typing import Any

from chalicelib.core.expressions.sprig.functions import ANY, STRING, Function, kind_of, steps, table
from chalicelib.core.expressions.values import deep_equal, go_type


def is_empty(value: Any) -> bool:
    """Whether a value is the zero value of its type: 0, "", false, nothing in it. Structs never are."""
    if value is None:
        return True
    if isinstance(value, bool | int | float | str | bytes | list | dict):
        return not value
    kind = kind_of(value)
    if kind in ("int", "int64"):
        return not getattr(value, "nanoseconds", 0) and not getattr(value, "number", 0)
    return False


def type_is_like(name: str, value: Any) -> bool:
    """Whether a value has a type, or is a pointer to one."""
    return name == go_type(value) or f"*{name}" == go_type(value)


def are_deeply_equal(a: Any, b: Any) -> bool:
    """Whether two values have the same type and content."""
    return deep_equal(a, b, steps())


FUNCTIONS = table(
    Function("deepEqual", (ANY, ANY), are_deeply_equal),
    Function("empty", (ANY,), is_empty),
    Function("kindIs", (STRING, ANY), lambda kind, value: kind == kind_of(value)),
    Function("kindOf", (ANY,), kind_of),
    Function("typeIs", (STRING, ANY), lambda name, value: name == go_type(value)),
    Function("typeIsLike", (STRING, ANY), type_is_like),
    Function("typeOf", (ANY,), go_type),
)
