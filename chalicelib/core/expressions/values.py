"""Go's values in Python, and what Go does with any of them: print, marshal, compare, calculate.

How a Go value looks here:

    nil                     None
    bool, string            bool, str
    int, float64            int, float; an int is always kept within 64 bits by `wrap`
    uint8, int64            Uint8, Int64: an item of a string or of bytes; what some methods of dates give
    []byte                  bytes
    []any, map[string]any   list, dict
    []string, []int, …      a subclass of list with its `go_type`; `NilList`, `NilStrings` for nil slices
    map[any]any, …          AnyMap, a dict whose keys are `key_of(key)`: Go tells 30 from 30.0 and from true
    map[string]string       StringMap
    time.Time, Duration …   the classes of `times`
    a function              Method or anything else callable

A Go string is bytes that are usually UTF-8; slicing may cut a rune. Here such a byte is a lone surrogate
U+DC80 to U+DCFF, as Python's error handler `surrogateescape` writes it, so `utf8` and `text` convert without
loss. No other surrogate occurs: `clean` turns those of decoded JSON into U+FFFD, as Go's decoder does.

Everything that walks a value is bounded: a value can hold the same list many times and be exponentially
larger on paper than in memory. `Meter` counts what was walked and raises when it is too much.

Source: Go 1.26 fmt/print.go, encoding/json/encode.go, reflect/deepequal.go; expr v1.17.8 vm/runtime.
"""

from __future__ import annotations

import base64
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from chalicelib.core.expressions.durations import Duration
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.signatures import Signature
from chalicelib.core.expressions.times import Month, Time, Weekday
from chalicelib.core.expressions.zones import Location

MAX_INT: Final = 2**63 - 1
MIN_INT: Final = -(2**63)
_SURROGATE = re.compile("[\ud800-\udfff]")


class Uint8(int):
    """A byte, as an item of a string or of bytes."""

    go_type: ClassVar[str] = "uint8"


class Int64(int):
    """An int64: what `Unix()` or `Milliseconds()` give. Not an int to Go's type system, but counts as one."""

    go_type: ClassVar[str] = "int64"


class Strings(list[Any]):
    """[]string, as `split` gives it."""

    go_type: ClassVar[str] = "[]string"


class Ints(list[Any]):
    """[]int, as a range gives it."""

    go_type: ClassVar[str] = "[]int"


class Pairs(list[Any]):
    """[][2]any, as `toPairs` gives it."""

    go_type: ClassVar[str] = "[][2]interface {}"


class Pair(list[Any]):
    """[2]any: an item of `toPairs`."""

    go_type: ClassVar[str] = "[2]interface {}"


class NilList(list[Any]):
    """A nil []any: empty, equal to nil, null in JSON."""

    go_type: ClassVar[str] = "[]interface {}"


class NilStrings(Strings):
    """A nil []string."""


class AnyMap(dict[Any, Any]):
    """map[any]any; its keys are made by `key_of`, and JSON has no text for it."""

    go_type: ClassVar[str] = "map[interface {}]interface {}"


class GroupMap(AnyMap):
    """map[any][]any, as `groupBy` gives it."""

    go_type: ClassVar[str] = "map[interface {}][]interface {}"


class StringMap(dict[str, str]):
    """map[string]string."""

    go_type: ClassVar[str] = "map[string]string"


@dataclass(frozen=True)
class Method:
    """A function as a value: a method bound to its receiver, or one that metadata expressions see."""

    signature: Signature
    call: Callable[..., Any]
    checks: bool = False  # `call` looks at its arguments itself, and makes the zero values
    metered: bool = False  # `call` takes the evaluation's budget before them

    @property
    def go_type(self) -> str:
        return str(self.signature)

    def __call__(self, *arguments: Any) -> Any:
        return self.call(*arguments)


class Meter:
    """Counts down what may still be done; `spend` raises FunctionError when nothing is left."""

    __slots__ = ("left",)

    def __init__(self, limit: int) -> None:
        self.left = limit

    def spend(self, amount: int) -> None:
        self.left -= amount
        if self.left < 0:
            raise FunctionError("evaluation takes too many steps")

    def text(self, value: str) -> str:
        """The string, charged for by its length."""
        self.spend(len(value) >> 4)
        return value


WALK_LIMIT: Final = 4_000_000  # items and sixteenths of characters, where the caller brings no meter

_GO_TYPES: dict[type, str] = {
    type(None): "<nil>",
    bool: "bool",
    int: "int",
    float: "float64",
    str: "string",
    bytes: "[]uint8",
    list: "[]interface {}",
    dict: "map[string]interface {}",
    Duration: "time.Duration",
    Time: "time.Time",
    Month: "time.Month",
    Weekday: "time.Weekday",
    Location: "*time.Location",
}


def go_type(value: Any) -> str:
    """The name Go's %T prints for the type of a value: "float64", "map[string]interface {}", "<nil>"."""
    known = _GO_TYPES.get(type(value))
    return known if known is not None else str(getattr(value, "go_type", type(value).__name__))


_NIL_LISTS: Final = frozenset({NilList, NilStrings})


def is_nil(value: Any) -> bool:
    """Whether Go's value is nil, a nil slice included."""
    return value is None or type(value) in _NIL_LISTS


# --- numbers ---------------------------------------------------------------------------------------------


def wrap(number: int) -> int:
    """The number as an int64 holds it."""
    if MIN_INT <= number <= MAX_INT:
        return number
    return (number + 2**63) % 2**64 - 2**63


def truncate(number: float) -> int:
    """Go's int(x) on amd64: toward zero; what does not fit, NaN included, is the smallest int."""
    return int(number) if -9223372036854775808.0 <= number < 9223372036854775808.0 else MIN_INT


def to_int(value: Any) -> int:
    """The number as int, as for an index or a bound; raises FunctionError for what is no number."""
    if type(value) is int:
        return value
    if type(value) is float:
        return truncate(value)
    if isinstance(value, Uint8 | Int64):
        return int(value)
    raise FunctionError(f"invalid operation: int({go_type(value)})")


def to_float(value: Any) -> float:
    """The number as float64; raises FunctionError for what is no number."""
    if type(value) is float:
        return value
    if type(value) is int or isinstance(value, Uint8 | Int64):
        return float(value)
    raise FunctionError(f"invalid operation: float({go_type(value)})")


_LISTS: Final = (list, bytes)
INTEGERS: Final = frozenset({int, Uint8, Int64})
NUMBERS: Final = frozenset({int, float, Uint8, Int64})


def is_number(value: Any) -> bool:
    return type(value) in NUMBERS


def is_integer(value: Any) -> bool:
    return type(value) in INTEGERS


def float_text(number: float) -> str:
    """A float64 as %v prints it: shortest digits, an exponent from 1e+06 on and below 1e-04."""
    if math.isnan(number):
        return "NaN"
    if math.isinf(number):
        return "+Inf" if number > 0 else "-Inf"
    digits, exponent = _shortest(number)
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    if exponent < -4 or exponent >= 6:
        return sign + _exponent_form(digits, exponent, 2)
    return sign + _plain_form(digits, exponent)


def json_float(number: float) -> str:
    """A float64 as JSON; raises FunctionError for NaN and the infinities."""
    if math.isnan(number) or math.isinf(number):
        raise FunctionError(f"json: unsupported value: {float_text(number)}")
    digits, exponent = _shortest(number)
    sign = "-" if math.copysign(1.0, number) < 0 else ""
    magnitude = abs(number)
    if magnitude != 0 and (magnitude < 1e-6 or magnitude >= 1e21):
        # Go writes e-09 as e-9, and leaves positive exponents alone: they are above 20 anyway.
        return sign + _exponent_form(digits, exponent, 1)
    return sign + _plain_form(digits, exponent)


def _shortest(number: float) -> tuple[str, int]:
    """Shortest digits that read back as the number, and the exponent of the first."""
    mantissa, _, exponent = repr(abs(number)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    first = len(whole) - 1 + int(exponent or 0)
    if whole == "0" or not digits:
        first -= len(whole) + len(fraction) - len(digits) - (0 if digits else 1)
    return digits.rstrip("0") or "0", first if digits else 0


def _exponent_form(digits: str, exponent: int, width: int) -> str:
    mantissa = digits[0] + ("." + digits[1:] if len(digits) > 1 else "")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):0{width}d}"


def _plain_form(digits: str, exponent: int) -> str:
    if exponent < 0:
        return "0." + "0" * (-exponent - 1) + digits
    if len(digits) <= exponent + 1:
        return digits + "0" * (exponent + 1 - len(digits))
    return digits[: exponent + 1] + "." + digits[exponent + 1 :]


# --- strings ---------------------------------------------------------------------------------------------


def utf8(value: str) -> bytes:
    """The bytes of a Go string."""
    return value.encode("utf-8", "surrogateescape")


def text(raw: bytes) -> str:
    """A Go string of these bytes, which need not be UTF-8."""
    return raw.decode("utf-8", "surrogateescape")


def has_stray_bytes(value: str) -> bool:
    """Whether a string holds bytes that are no UTF-8."""
    return not value.isascii() and _SURROGATE.search(value) is not None


def join(parts: Iterable[str], glue: str = "") -> str:
    """Strings joined as bytes: two halves of a rune become one again."""
    joined = glue.join(parts)
    return text(utf8(joined)) if has_stray_bytes(joined) else joined


def printable(value: str) -> str:
    """A string as it leaves for the world: every stray byte is U+FFFD."""
    return _SURROGATE.sub("\ufffd", value) if has_stray_bytes(value) else value


def clean(value: Any, meter: Meter) -> Any:
    """A decoded JSON value with Go's numbers and strings; the same object when nothing had to change.

    Integers become float64, surrogates U+FFFD. Raises FunctionError for what JSON cannot hold.
    """
    kind = type(value)
    if kind is str:
        if value.isascii() or _SURROGATE.search(meter.text(value)) is None:
            return value
        # A pair that was escaped apart is one character to Go as well.
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if kind is float or kind is bool or value is None:
        return value
    if kind is int:
        return _float_of_int(value)
    if kind is dict:
        return _clean_map(value, meter)
    if kind is list:
        return _clean_list(value, meter)
    return _clean_other(value, meter)


def _float_of_int(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise FunctionError("json: number out of range of float64") from None


def _clean_list(items: list[Any], meter: Meter) -> list[Any]:
    meter.spend(len(items) >> 2)
    for index, item in enumerate(items):
        kind = type(item)
        if kind is float or item is None or kind is bool or (kind is str and item.isascii()):
            continue
        better = clean(item, meter)
        if better is not item:
            return [*items[:index], better, *[clean(item, meter) for item in items[index + 1 :]]]
    return items


def _clean_map(members: dict[Any, Any], meter: Meter) -> dict[Any, Any]:
    meter.spend(4 + len(members))
    for key, item in members.items():
        kind = type(item)
        if type(key) is str and key.isascii():
            if kind is float or item is None or kind is bool or (kind is str and item.isascii()):
                continue
            if clean(item, meter) is item:
                continue
        elif type(key) is not str:
            raise FunctionError(f"json: unsupported key of type {type(key).__name__}")
        elif clean(key, meter) is key and clean(item, meter) is item:
            continue
        return {clean(key, meter): clean(item, meter) for key, item in members.items()}
    return members


def _clean_other(value: Any, meter: Meter) -> Any:
    if hasattr(value, "go_type") or type(value) in _GO_TYPES:
        return value
    if isinstance(value, Mapping):
        return _clean_map(dict(value), meter)
    if isinstance(value, tuple):
        return _clean_list(list(value), meter)
    for base in (str, float, int):
        if isinstance(value, base):
            return clean(base(value), meter)
    raise FunctionError(f"json: unsupported type: {type(value).__name__}")


# --- printing --------------------------------------------------------------------------------------------


def format_value(value: Any, verb: str = "v", meter: Meter | None = None) -> str:
    """What Go's fmt prints for %v, or for %s with its complaints such as ``%!s(float64=5)``."""
    if value is None and verb == "s":
        return "%!s(<nil>)"
    return _format(value, verb, meter or Meter(WALK_LIMIT))


def _format(value: Any, verb: str, meter: Meter) -> str:
    kind = type(value)
    if kind is str:
        meter.spend((len(value) >> 4) + 2)
        return str(value)
    meter.spend(5)
    if isinstance(value, bytes):
        meter.spend(len(value) >> 2)
        return text(value) if verb == "s" else "[" + " ".join(map(str, value)) + "]"
    if isinstance(value, list):
        return "[" + " ".join([_format(item, verb, meter) for item in value]) + "]"
    if isinstance(value, dict):
        pairs = [
            f"{_format(key, verb, meter)}:{_format(item, verb, meter)}" for key, item in sorted_items(value)
        ]
        return "map[" + " ".join(pairs) + "]"
    if kind in _TIMES:
        return str(value)
    plain = _plain(value)
    if verb == "s" and value is not None:
        return f"%!s({go_type(value)}={plain})"
    return plain


_TIMES: Final = frozenset({Duration, Time, Month, Weekday, Location})


def _plain(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(int(value))
    if isinstance(value, float):
        return float_text(value)
    return "0x0" if callable(value) else str(value)


def key_of(value: Any, sought_in: Mapping[Any, Any] | None = None) -> tuple[str, Any]:
    """The key of an AnyMap for a Go value; raises FunctionError for what Go cannot hash.

    `sought_in` is the map that it is looked up in: an empty one complains in other words than the hash function.
    """
    if isinstance(value, Pair):
        return value.go_type, tuple(key_of(item, sought_in) for item in value)
    if isinstance(value, list | dict | bytes) or callable(value):
        if sought_in is not None and not sought_in:
            raise FunctionError(f"hash of unhashable type: {go_type(value)}")
        raise FunctionError(f"runtime error: hash of unhashable type {go_type(value)}")
    if isinstance(value, float) and math.isnan(value):
        return "NaN", object()  # equal to nothing, itself included
    return go_type(value), value


def key_value(key: tuple[str, Any]) -> Any:
    """The Go value behind a key of an AnyMap."""
    name, value = key
    if name == "[2]interface {}":
        return Pair([key_value(item) for item in value])
    return math.nan if name == "NaN" else value


def sorted_items(members: dict[Any, Any]) -> list[tuple[Any, Any]]:
    """The items of a map in the order Go prints them, the keys as Go values."""
    if isinstance(members, AnyMap):
        ordered = sorted(members.items(), key=lambda item: (item[0][0], _rank(item[0][1])))
        return [(key_value(key), item) for key, item in ordered]
    return sorted(members.items(), key=lambda item: item[0] if item[0].isascii() else printable(item[0]))


def _rank(value: Any) -> tuple[int, Any]:
    if isinstance(value, int | float):
        return 0, value
    return 1, str(value)


# --- JSON ------------------------------------------------------------------------------------------------

_ESCAPE = re.compile('["\\\\\x00-\x1f\u2028\u2029\ud800-\udfff]')
_ESCAPE_HTML = re.compile('["\\\\\x00-\x1f\u2028\u2029\ud800-\udfff<>&]')
_SHORT = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escaped(match: re.Match[str]) -> str:
    char = match.group()
    if "\ud800" <= char <= "\udfff":
        return "\\ufffd"
    return _SHORT.get(char) or f"\\u{ord(char):04x}"


def json_string(value: str, escape_html: bool = True) -> str:
    """A string as json.Marshal writes it."""
    return '"' + (_ESCAPE_HTML if escape_html else _ESCAPE).sub(_escaped, value) + '"'


def marshal(
    value: Any, *, indent: str | None = None, escape_html: bool = True, meter: Meter | None = None
) -> str:
    """What json.Marshal writes, or json.MarshalIndent with an indent such as two spaces.

    Raises FunctionError in Go's words for what has no JSON: functions, NaN, infinities, map[any]any.
    """
    parts: list[str] = []
    _Marshaller(parts.append, indent, escape_html, meter or Meter(WALK_LIMIT)).write(value, "\n")
    return "".join(parts)


@dataclass(frozen=True)
class _Marshaller:
    out: Callable[[str], None]
    indent: str | None
    escape_html: bool
    meter: Meter

    def write(self, value: Any, margin: str) -> None:
        kind = type(value)
        if kind is str:
            self.meter.spend((len(value) >> 4) + 3)
            self.out(json_string(value, self.escape_html))
            return
        self.meter.spend(6 + (len(margin) >> 4))
        if value is None:
            self.out("null")
        elif kind is bool:
            self.out("true" if value else "false")
        elif kind is float:
            self.out(json_float(value))
        elif isinstance(value, int):
            self.out(str(int(value)))
        elif isinstance(value, dict):
            self.members(value, margin)
        elif isinstance(value, list):
            self.items(value, margin)
        elif isinstance(value, bytes):
            self.meter.spend(len(value) >> 4)
            self.out(f'"{base64.b64encode(value).decode()}"')
        else:
            self.out(_marshal_other(value))

    def members(self, value: dict[Any, Any], margin: str) -> None:
        if isinstance(value, AnyMap):
            raise FunctionError(f"json: unsupported type: {go_type(value)}")
        if not value:
            self.out("{}")
            return
        self.meter.spend(3 * len(value))
        inner = self.open("{", margin)
        for index, (key, item) in enumerate(sorted_items(value)):
            if index:
                self.out("," + inner)
            self.out(json_string(key, self.escape_html) + (":" if self.indent is None else ": "))
            self.write(item, inner)
        self.close("}", margin)

    def items(self, value: list[Any], margin: str) -> None:
        if isinstance(value, NilList | NilStrings):
            self.out("null")
            return
        if not value:
            self.out("[]")
            return
        inner = self.open("[", margin)
        for index, item in enumerate(value):
            if index:
                self.out("," + inner)
            self.write(item, inner)
        self.close("]", margin)

    def open(self, bracket: str, margin: str) -> str:
        inner = "" if self.indent is None else margin + self.indent
        self.out(bracket + inner)
        return inner

    def close(self, bracket: str, margin: str) -> None:
        self.out(bracket if self.indent is None else margin + bracket)


def _marshal_other(value: Any) -> str:
    if isinstance(value, Duration):
        return str(value.nanoseconds)
    if hasattr(value, "marshal"):  # a time, or another type with Go's MarshalJSON
        return json_string(value.marshal())
    if isinstance(value, Month | Weekday):
        return str(value.number)
    if isinstance(value, Location):
        return "{}"
    raise FunctionError(f"json: unsupported type: {go_type(value)}")


# --- equality and order ----------------------------------------------------------------------------------


def equal(a: Any, b: Any, meter: Meter | None = None) -> bool:
    """Go expr's ==: numbers of any type by value, arrays item by item, maps strictly by Go type."""
    kind, other = type(a), type(b)
    if kind is str and other is str:
        if meter is not None and len(a) == len(b):
            meter.text(a)
        return bool(a == b)
    if kind is str or kind is bool:
        return other is kind and bool(a == b)
    if kind in NUMBERS:
        return _equal_numbers(a, b) if other in NUMBERS else False
    if a is None:
        return is_nil(b)
    if kind is Time and other is Time:
        return bool(a.equal(b))
    meter = meter or Meter(WALK_LIMIT)
    if (kind is list and other is list) or (
        isinstance(a, _LISTS) and isinstance(b, _LISTS) and _comparable_items(a, b)
    ):
        meter.spend(8 + len(a))
        if len(a) != len(b):
            return False
        for x, y in zip(items_of(a), items_of(b), strict=True):  # noqa: SIM110  - plain calls leave the C stack alone
            if not equal(x, y, meter):
                return False
        return True
    if is_nil(a) and is_nil(b):
        return True
    return deep_equal(a, b, meter)


def _equal_numbers(a: Any, b: Any) -> bool:
    if type(a) is float or type(b) is float:
        return float(a) == float(b)  # an int loses digits first, as in Go
    return int(a) == int(b)


def _comparable_items(a: Any, b: Any) -> bool:
    """Whether expr compares these two slices item by item: one is []any, or both have one type."""
    left, right = go_type(a), go_type(b)
    if "[]interface {}" in (left, right):
        other = right if left == "[]interface {}" else left
        return not other.endswith("[2]interface {}")
    return left == right and not left.endswith("[2]interface {}")


def items_of(value: list[Any] | bytes) -> Iterable[Any]:
    """The items of a slice; bytes give Uint8."""
    return value if type(value) is list or not isinstance(value, bytes) else map(Uint8, value)


def deep_equal(a: Any, b: Any, meter: Meter) -> bool:
    """reflect.DeepEqual: same Go type, same content, NaN unlike itself."""
    meter.spend(4)
    if go_type(a) != go_type(b):
        return False
    if isinstance(a, dict):
        if a is b:
            return True
        if len(a) != len(b):
            return False
        for key, item in a.items():  # noqa: SIM110  - plain calls leave the C stack alone
            if key not in b or not deep_equal(item, b[key], meter):
                return False
        return True
    if isinstance(a, list):
        if a is b:
            return True
        if is_nil(a) != is_nil(b) or len(a) != len(b):
            return False
        for x, y in zip(a, b, strict=True):  # noqa: SIM110  - plain calls leave the C stack alone
            if not deep_equal(x, y, meter):
                return False
        return True
    if callable(a):
        return False
    return bool(a == b)


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def compare(symbol: str, a: Any, b: Any, meter: Meter) -> bool:
    """Go expr's < <= > >= on two numbers, strings (by bytes), times or durations, else FunctionError."""
    kind, other = type(a), type(b)
    test = _COMPARE[symbol]
    if kind in NUMBERS and other in NUMBERS:
        if kind is float or other is float:
            return test(float(a), float(b))
        return test(a, b)
    if kind is str and other is str:
        if a.isascii() and b.isascii():
            meter.spend(min(len(a), len(b)) >> 4)
            return test(a, b)
        return test(utf8(meter.text(a)), utf8(meter.text(b)))
    if kind is Duration and other is Duration:
        return test(a.nanoseconds, b.nanoseconds)
    if kind is Time and other is Time:
        return test(a.compare(b), 0)
    raise FunctionError(f"invalid operation: {go_type(a)} {symbol} {go_type(b)}")
