"""What Go's expr does at run time: reach into values, calculate, search, slice, call.

Every function takes Go values (see `values`) and raises FunctionError with the text Go panics with. Nothing
here knows the tree or the place.

Source: expr v1.17.8 vm/runtime/runtime.go and helpers, vm/vm.go; Go 1.26 math/pow.go.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, Protocol

from chalicelib.core.expressions import patterns, powers, values
from chalicelib.core.expressions.durations import Duration
from chalicelib.core.expressions.limits import MEMORY_BUDGET, STEPS
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.signatures import ANY_TYPE, Signature, nature_of
from chalicelib.core.expressions.times import METHODS, ZERO, Month, Time, Weekday
from chalicelib.core.expressions.values import (
    INTEGERS,
    NUMBERS,
    AnyMap,
    GroupMap,
    Int64,
    Ints,
    Meter,
    Method,
    NilList,
    Pair,
    StringMap,
    Uint8,
    format_value,
    go_type,
    is_nil,
    join,
    key_of,
    text,
    to_float,
    to_int,
    utf8,
    wrap,
)


class Random(Protocol):
    """What random functions ask of their source; random.SystemRandom and random.Random have it."""

    def randrange(self, stop: int, /) -> int: ...

    def randbytes(self, n: int, /) -> bytes: ...


class Budget(Meter):
    """What one evaluation may use: steps of work, Go's units of memory, a clock and chance."""

    __slots__ = ("chance", "memory", "now")

    def __init__(
        self, steps: int = STEPS, now: Callable[[], int] | None = None, chance: Random | None = None
    ) -> None:
        super().__init__(steps)
        self.memory = MEMORY_BUDGET
        self.now = now  # nanoseconds since 1970
        self.chance = chance

    def grow(self, items: int) -> None:
        """Charge for a list or text that is made; Go refuses when the sum reaches its budget."""
        self.memory -= items
        if self.memory <= 0:
            raise FunctionError("memory budget exceeded")
        self.spend(items >> 3)


# --- type assertions ---------------------------------------------------------------------------------------


def _wanted(value: Any, wanted: str) -> FunctionError:
    given = "nil" if value is None else go_type(value)
    return FunctionError(f"interface conversion: interface {{}} is {given}, not {wanted}")


def need_bool(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise _wanted(value, "bool")


def need_string(value: Any) -> str:
    if type(value) is str:
        return value
    raise _wanted(value, "string")


def need_int(value: Any) -> int:
    if type(value) is int:
        return value
    raise _wanted(value, "int")


def need_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    raise _wanted(value, "[]uint8")


# --- access ------------------------------------------------------------------------------------------------


def fetch(container: Any, key: Any, meter: Meter) -> Any:
    """``container[key]`` and ``container.key``: a member, an item (negative from the end) or a method."""
    if type(container) is dict and type(key) is str:
        return container.get(key)
    if container is None:
        raise FunctionError(f"cannot fetch {format_value(key)} from <nil>")
    if isinstance(container, dict):
        return member_of(container, key)
    if isinstance(container, list | str | bytes):
        return item_of(container, key, meter)
    if type(key) is str:
        method = bound_method(container, key)
        if method is not None:
            return method
    elif isinstance(container, Time):
        need_string(key)
    raise FunctionError(f"cannot fetch {format_value(key)} from {go_type(container)}")


def bound_method(receiver: Any, name: str) -> Method | None:
    """A method of one of Go's time types, or of a value that brings its own; None when there is none."""
    method = (METHODS.get(go_type(receiver)) or getattr(receiver, "methods", {})).get(name)
    if method is None:
        return None
    wide = method.result == "int64"

    def call(*arguments: Any) -> Any:
        result = method.call(receiver, *arguments)
        return Int64(result) if wide else result

    return Method(Signature(method.parameters, (method.result,)), call)


def member_of(members: dict[Any, Any], key: Any) -> Any:
    """A map's member; what is missing is the zero value of the map's type."""
    if isinstance(members, AnyMap):
        missing = NilList() if isinstance(members, GroupMap) else None
        return members.get(key_of(key, members), missing)
    return members.get(map_key(key), "" if isinstance(members, StringMap) else None)


def map_key(key: Any) -> str:
    """The key of a map with string keys: nil is the empty one."""
    if type(key) is str:
        return key
    if key is None:
        return ""
    raise FunctionError(
        f"reflect.Value.MapIndex: value of type {go_type(key)} is not assignable to type string"
    )


def item_of(items: list[Any] | str | bytes, key: Any, meter: Meter) -> Any:
    index = to_int(key)
    length = size_of(items, meter)
    if index < 0:
        index += length
    if not 0 <= index < length:
        raise FunctionError(f"index out of range: {index} (array length is {length})")
    if isinstance(items, list):
        return items[index]
    if isinstance(items, str):
        return Uint8(ord(items[index]) if items.isascii() else utf8(items)[index])
    return Uint8(items[index])


def size_of(items: list[Any] | str | bytes, meter: Meter) -> int:
    """Items, or bytes of a string."""
    if isinstance(items, str) and not items.isascii():
        return len(utf8(meter.text(items)))
    return len(items)


def size_for_slice(value: Any, meter: Meter) -> int:
    """The length that ``value[low:]`` ends at."""
    if isinstance(value, list | str | bytes | dict):
        return len(value) if isinstance(value, dict) else size_of(value, meter)
    raise FunctionError(f"invalid argument for len (type {go_type(value)})")


def slice_of(value: Any, low: Any, high: Any, meter: Meter) -> Any:
    """``value[low:high]``: bounds are clamped, negatives count from the end, strings are cut by byte."""
    if not isinstance(value, list | str | bytes):
        raise FunctionError(f"cannot slice {format_value(low)}")
    length = size_of(value, meter)
    start, end = to_int(low), to_int(high)
    start = max(start + length if start < 0 else start, 0)
    end = min(max(end + length if end < 0 else end, 0), length)
    start = min(start, end)
    meter.spend(end - start >> 4)
    if isinstance(value, str):
        return value[start:end] if value.isascii() else text(utf8(value)[start:end])
    if type(value) is list or isinstance(value, bytes):
        return value[start:end]
    if isinstance(value, Pair):
        return list(value[start:end])
    return value if is_nil(value) else type(value)(value[start:end])


# --- search ------------------------------------------------------------------------------------------------


def contains_item(needle: Any, container: Any, budget: Meter) -> bool:
    """``needle in container``: an item of a list, or a key of a map."""
    if container is None:
        return False
    if isinstance(container, list | bytes):
        length = len(needle) if type(needle) is str else 0
        budget.spend(len(container) * (1 + (length >> 8)))
        if type(needle) is str and type(container) is not bytes:
            # No other value is equal to a string, in Python as in Go.
            return needle in container
        return any(values.equal(item, needle, budget) for item in values.items_of(container))
    if isinstance(container, KeySet):
        return container.has(needle)
    if isinstance(container, AnyMap):
        return key_of(needle, container) in container
    if isinstance(container, dict):
        return map_key(needle) in container
    if isinstance(container, Time):
        if type(needle) is str:
            return False
        raise FunctionError(f"cannot use {go_type(needle)} as field name of {go_type(container)}")
    raise FunctionError(f'operator "in" not defined on {go_type(container)}')


class KeySet:
    """map[string]struct{} or map[int]struct{}: what the optimizer makes of ``x in ["a", "b"]``."""

    __slots__ = ("go_type", "keys", "type_name")

    def __init__(self, keys: frozenset[Any], type_name: str) -> None:
        self.keys = keys
        self.type_name = type_name
        self.go_type = f"map[{type_name}]struct {{}}"

    def has(self, needle: Any) -> bool:
        if needle is None:
            return ("" if self.type_name == "string" else 0) in self.keys
        if go_type(needle) != self.type_name:
            raise FunctionError(
                f"reflect.Value.MapIndex: value of type {go_type(needle)}"
                f" is not assignable to type {self.type_name}"
            )
        return needle in self.keys


def matches(value: Any, pattern: Any, budget: Meter) -> bool:
    """``value matches pattern``; nil on either side is false."""
    if is_nil(value) or is_nil(pattern):
        return False
    compiled = patterns.compile_pattern(need_string(pattern))
    budget.spend(compiled.programsize)  # what compiling costs, done before or not
    return matches_constant(value, compiled, compiled.programsize, budget)


def matches_constant(value: Any, compiled: Any, size: int, budget: Meter) -> bool:
    """``value matches "…"``; `size` is that of the compiled pattern."""
    if is_nil(value):
        return False
    if type(value) is not str:
        value = text(need_bytes(value))
    # Linear in the text, but where RE2 has to leave its automaton, times the pattern.
    budget.spend(len(value) * (64 + size) >> 10)
    return patterns.search(compiled, value)


def _bytewise(test: Callable[[Any, Any], bool], *, whole: bool = False) -> Callable[[Any, Any, Meter], bool]:
    """A test of two strings, the `whole` of the first or only an end; nil on either side is false."""

    def run(value: Any, part: Any, meter: Meter) -> bool:
        if type(value) is str and type(part) is str:
            meter.text(value if whole else part)
            if part.isascii() or not values.has_stray_bytes(part):
                return test(value, part)
            return test(utf8(meter.text(value)), utf8(part))
        if is_nil(value) or is_nil(part):
            return False
        return test(need_string(value), need_string(part))

    return run


contains = _bytewise(operator.contains, whole=True)
starts_with = _bytewise(lambda value, part: bool(value.startswith(part)))
ends_with = _bytewise(lambda value, part: bool(value.endswith(part)))


# --- arithmetic --------------------------------------------------------------------------------------------


def _invalid(symbol: str, a: Any, b: Any) -> FunctionError:
    return FunctionError(f"invalid operation: {go_type(a)} {symbol} {go_type(b)}")


def add(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind is float and other is float:
        return a + b
    if kind is str and other is str:
        return a + b if a.isascii() or b.isascii() else join((a, b))
    if kind in NUMBERS and other in NUMBERS:
        if kind is float or other is float:
            return float(a) + float(b)
        return wrap(int(a) + int(b))
    if isinstance(a, Time) and isinstance(b, Duration):
        return a.add(b)
    if isinstance(a, Duration):
        if isinstance(b, Time):
            return b.add(a)
        if isinstance(b, Duration):
            return Duration(wrap(a.nanoseconds + b.nanoseconds))
    raise _invalid("+", a, b)


def subtract(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind in NUMBERS and other in NUMBERS:
        if kind is float or other is float:
            return float(a) - float(b)
        return wrap(int(a) - int(b))
    if isinstance(a, Time):
        if isinstance(b, Time):
            return a.subtract(b)
        if isinstance(b, Duration):
            return a.add(Duration(wrap(-b.nanoseconds)))
    if isinstance(a, Duration) and isinstance(b, Duration):
        return Duration(wrap(a.nanoseconds - b.nanoseconds))
    raise _invalid("-", a, b)


def multiply(a: Any, b: Any) -> Any:
    kind, other = type(a), type(b)
    if kind in NUMBERS and other in NUMBERS:
        if kind is float or other is float:
            return float(a) * float(b)
        return wrap(int(a) * int(b))
    if isinstance(a, Duration) or isinstance(b, Duration):
        left = a.nanoseconds if isinstance(a, Duration) else a
        right = b.nanoseconds if isinstance(b, Duration) else b
        if type(left) in NUMBERS and type(right) in NUMBERS:
            if type(left) is float or type(right) is float:
                return float(left) * float(right)
            return Duration(wrap(int(left) * int(right)))
    raise _invalid("*", a, b)


def divide(a: Any, b: Any) -> float:
    if type(a) not in NUMBERS or type(b) not in NUMBERS:
        raise _invalid("/", a, b)
    left, right = float(a), float(b)
    if right != 0.0:
        return left / right
    if left == 0.0 or math.isnan(left):
        return math.nan
    return math.copysign(math.inf, left) * math.copysign(1.0, right)


def modulo(a: Any, b: Any) -> int:
    if type(a) not in INTEGERS or type(b) not in INTEGERS:
        raise _invalid("%", a, b)
    if int(b) == 0:
        raise FunctionError("runtime error: integer divide by zero")
    rest = abs(int(a)) % abs(int(b))
    return -rest if a < 0 else rest


def power(a: Any, b: Any) -> float:
    return powers.power(to_float(a), to_float(b))


def negate(value: Any) -> Any:
    if type(value) is float:
        return -value
    if type(value) is int:
        return wrap(-value)
    if isinstance(value, Uint8):
        return Uint8(-value % 256)
    if isinstance(value, Int64):
        return Int64(wrap(-value))
    raise FunctionError(f"invalid operation: - {go_type(value)}")


def number_range(low: Any, high: Any, budget: Budget) -> Ints:
    """``low..high``, both inclusive; charged before it is made."""
    first, last = to_int(low), to_int(high)
    size = wrap(last - first + 1)
    budget.grow(max(size, 0))
    return Ints(range(first, first + size)) if size > 0 else Ints()


# --- calls -------------------------------------------------------------------------------------------------


def call(function: Any, arguments: list[Any], budget: Budget, typed: Signature | None = None) -> Any:
    """A function value called by reflection: types must fit exactly, nil becomes the zero value.

    Not so where its type is one of those that Go calls directly, `typed`: there nil is of no type.
    """
    if typed is not None:
        for value, wanted in reversed(list(zip(arguments, typed.parameters, strict=False))):
            if wanted != ANY_TYPE and go_type(value) != wanted:
                raise _wanted(value, wanted)
        if function is None:
            raise _wanted(function, str(typed))
    if function is None:
        raise FunctionError("invalid operation: cannot call nil")
    if not isinstance(function, Method):
        raise FunctionError(f"invalid operation: cannot call non-function of type {go_type(function)}")
    run = partial(function.call, budget) if function.metered else function.call
    if function.checks:
        return run(*arguments)
    signature = function.signature
    expected, given = len(signature.parameters), len(arguments)
    if signature.variadic and given < expected - 1:
        raise FunctionError(f"invalid number of arguments: expected at least {expected - 1}, got {given}")
    if not signature.variadic and given != expected:
        raise FunctionError(f"invalid number of arguments: expected {expected}, got {given}")
    return run(
        *(
            _argument(value, signature.parameters[min(index, expected - 1)])
            for index, value in enumerate(arguments)
        )
    )


_ZERO_VALUES: Final[Mapping[str, Any]] = {
    "string": "",
    "bool": False,
    "int": 0,
    "float64": 0.0,
    "uint32": 0,
    "time.Time": ZERO,
    "time.Duration": Duration(0),
    "[]uint8": b"",
    "[]interface {}": NilList(),
}


def _argument(value: Any, wanted: str) -> Any:
    if wanted == "interface {}":
        return value
    if value is None:
        return _ZERO_VALUES.get(wanted)
    if go_type(value) != wanted:
        raise FunctionError(f"reflect: Call using {go_type(value)} as type {wanted}")
    return value


def kind_of(value: Any) -> str:
    """The name of a value's reflect.Kind, as some errors show it."""
    if value is None:
        return "invalid"
    if isinstance(value, Pair):
        return "array"
    if isinstance(value, Duration):
        return "int64"
    if isinstance(value, Month | Weekday):
        return "int"
    return nature_of(go_type(value)).kind
