"""What a sprig function is, and how Go calls one: by reflection, with exact types.

The evaluator knows nothing about a function's parameters before the call. Go counts the arguments, makes
the parameter's zero value of each nil, and refuses any value whose type is not the parameter's: no number
becomes another kind of number here. `call` does this for all functions, in Go's words.

Source: expr v1.17.8 vm/vm.go, OpCall; Go 1.26 reflect/value.go, Value.call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from chalicelib.core.expressions.operations import Random
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.times import ZERO, Time
from chalicelib.core.expressions.values import Meter, format_value, go_type

MAX_ITEMS: Final = 1_000_000  # of a list that a function makes longer than what it was given
MAX_TEXT: Final = 1 << 20  # characters of a text that a function makes longer than what it was given
_GRAIN: Final = 16  # characters or items that count as one step
SLOW: Final = _GRAIN  # the weight of a function that looks at one character after the other

NIL_DEREFERENCE: Final = "runtime error: invalid memory address or nil pointer dereference"


class GoType(Enum):
    """A parameter's type, by its name in Go."""

    ANY = "interface {}"
    STRING = "string"
    INT = "int"
    UINT32 = "uint32"
    FLOAT64 = "float64"
    BOOL = "bool"
    MAP = "map[string]interface {}"
    LIST = "[]interface {}"
    TIME = "time.Time"
    CERTIFICATE = "sprig.certificate"


ANY, STRING, INT, FLOAT64, BOOL = GoType.ANY, GoType.STRING, GoType.INT, GoType.FLOAT64, GoType.BOOL
MAP, LIST, TIME = GoType.MAP, GoType.LIST, GoType.TIME


class NilMap(dict[str, Any]):
    """A nil map[string]any: empty, and nothing can be put into it."""

    go_type = "map[string]interface {}"


@dataclass(frozen=True)
class Sources:
    """What a call has beside its arguments: the time, chance, and the steps that its evaluation has left."""

    now: Callable[[], Time]
    random: Random
    meter: Meter


@dataclass(frozen=True)
class Function:
    """A function of sprig. `call` takes Go values, before them the sources where `needs_sources`."""

    name: str
    parameters: tuple[GoType, ...]
    call: Callable[..., Any]
    variadic: bool = False  # the last parameter takes any number of arguments
    needs_sources: bool = False
    cost: int = 1  # steps for a call
    weight: int = 1  # steps for every 16 characters or items that go in or come out
    refused: str = ""  # why calling it is always an error


def table(*functions: Function) -> Mapping[str, Function]:
    """Functions by name."""
    return {function.name: function for function in functions}


def aliases(
    function: Callable[..., Any], parameters: tuple[GoType, ...], *names: str, variadic: bool = False
) -> Iterable[Function]:
    """One function under several names, as most have a twin that begins with `must`."""
    return (Function(name, parameters, function, variadic=variadic) for name in names)


def call(function: Function, arguments: Sequence[Any], sources: Sources) -> Any:
    """What the function gives. Raises FunctionError: wrong arguments, what Go raises, or a bound reached.

    A value nested deeper than Python's stack raises RecursionError; the evaluator tries again with more of it.
    """
    values = _checked(function, arguments)
    if function.refused:
        raise FunctionError(f"sprig.{function.name} is not available: {function.refused}")
    sources.meter.spend(function.cost + function.weight * sum(map(_grains, values)))
    token = _METER.set(sources.meter)
    try:
        result = function.call(sources, *values) if function.needs_sources else function.call(*values)
    finally:
        _METER.reset(token)
    sources.meter.spend(function.weight * _grains(result))
    return result


def _grains(value: Any) -> int:
    """The size of a value by its outside; what walks it counts what is inside."""
    return len(value) // _GRAIN if isinstance(value, str | bytes | list | dict) else 0


def _checked(function: Function, arguments: Sequence[Any]) -> list[Any]:
    fixed = len(function.parameters) - function.variadic
    if function.variadic and len(arguments) < fixed:
        raise FunctionError(f"invalid number of arguments: expected at least {fixed}, got {len(arguments)}")
    if not function.variadic and len(arguments) != fixed:
        raise FunctionError(f"invalid number of arguments: expected {fixed}, got {len(arguments)}")
    types = [*function.parameters[:fixed], *function.parameters[fixed:] * (len(arguments) - fixed)]
    values = []
    for position, (wanted, value) in enumerate(zip(types, arguments, strict=True)):
        if value is None:
            values.append(_zero(wanted))
            continue
        given = go_type(value)
        if wanted is not GoType.ANY and given != wanted.value:
            if position < fixed:
                raise FunctionError(f"reflect: Call using {given} as type {wanted.value}")
            raise FunctionError(f"reflect: cannot use {given} as type {wanted.value} in Call")
        values.append(value)
    return values


_ZEROS: Mapping[GoType, Any] = {
    GoType.STRING: "",
    GoType.INT: 0,
    GoType.UINT32: 0,
    GoType.FLOAT64: 0.0,
    GoType.BOOL: False,
    GoType.TIME: ZERO,
}


def _zero(wanted: GoType) -> Any:
    return NilMap() if wanted is GoType.MAP else _ZEROS.get(wanted)


# --- what all families need --------------------------------------------------------------------------

# The meter of the call that is going on: too many functions walk values to hand it to each.
_METER: ContextVar[Meter] = ContextVar("meter")


def steps() -> Meter:
    """The steps that the evaluation has left, for functions that walk what they are given."""
    return _METER.get()


def kind_of(value: Any) -> str:
    """Go's reflect.Kind of a value: "string", "slice", "struct", "ptr"; "invalid" for nil."""
    if value is None:
        return "invalid"
    name = go_type(value)
    if name in _KINDS:
        return _KINDS[name]
    for start, kind in (("[]", "slice"), ("[", "array"), ("map[", "map"), ("*", "ptr"), ("func", "func")):
        if name.startswith(start):
            return kind
    return name


_KINDS: Mapping[str, str] = {
    "time.Time": "struct",
    "time.Duration": "int64",
    "time.Month": "int",
    "time.Weekday": "int",
}


def printed(value: Any) -> str:
    """What Go's %v prints, within bounds."""
    return format_value(value, meter=steps())


def strval(value: Any) -> str:
    """sprig's own text of a value: a string and bytes as they are, else %v."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    return value if type(value) is str else printed(value)


def bounded_text(length: int) -> None:
    """Raises FunctionError when a text of this length must not be made."""
    if length > MAX_TEXT:
        raise FunctionError(f"the result would be longer than {MAX_TEXT} characters")


def bounded_items(count: int) -> None:
    """Raises FunctionError when a list of this length must not be made."""
    if count > MAX_ITEMS:
        raise FunctionError(f"the result would have more than {MAX_ITEMS} items")
