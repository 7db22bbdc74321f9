"""The functions of the language that are no loops, as Go's expr runs them.

`BUILTINS` is the table: name → function of the evaluation's budget and the arguments. The checker has already
seen how many there are and what it can know of them; what it cannot is found out here, and is a FunctionError.

Source: expr v1.17.8 builtin/builtin.go, builtin/lib.go; https://expr-lang.org/docs/language-definition.
"""

from __future__ import annotations

import base64
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from chalicelib.core.expressions import documents, operations, values
from chalicelib.core.expressions.base64s import decode_base64
from chalicelib.core.expressions.durations import Duration, parse_duration
from chalicelib.core.expressions.limits import MAX_DEPTH
from chalicelib.core.expressions.operations import Budget, kind_of, need_string
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sorting import sort_by
from chalicelib.core.expressions.times import Month, Time, Weekday, load_location, parse_time
from chalicelib.core.expressions.values import (
    INTEGERS,
    NUMBERS,
    AnyMap,
    Int64,
    Ints,
    NilList,
    NilStrings,
    Pair,
    Pairs,
    Strings,
    Uint8,
    compare,
    equal,
    format_value,
    go_type,
    has_stray_bytes,
    is_nil,
    join,
    key_of,
    marshal,
    printable,
    text,
    to_int,
    truncate,
    utf8,
    wrap,
)
from chalicelib.core.expressions.zones import Location

_LISTS: Final = (list, bytes)
_NO_RUNE: Final = "\ufffd" + "".join(map(chr, range(0xDC80, 0xDD00)))
_SPACE: Final = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(
    map(chr, range(0x2000, 0x200B))
)
_DECIMAL = re.compile(r"[+-]?[0-9]+", re.ASCII)
_FLOAT = re.compile(
    r"""[+-]?(?:
        (?P<special>inf(?:inity)?|nan)
        | (?P<hex>0x_?(?=[0-9a-f.])(?:[0-9a-f](?:_?[0-9a-f])*)?\.?(?:[0-9a-f](?:_?[0-9a-f])*)?p[+-]?[0-9]+)
        | (?=[0-9.])(?:[0-9](?:_?[0-9])*)?\.?(?:[0-9](?:_?[0-9])*)?(?:e[+-]?[0-9](?:_?[0-9])*)?
    )""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_LAYOUTS: Final = (
    "2006-01-02",
    "15:04:05",
    "2006-01-02 15:04:05",
    "2006-01-02T15:04:05Z07:00",
    "02 Jan 06 15:04 MST",
    "Monday, 02-Jan-06 15:04:05 MST",
    "Mon, 02 Jan 2006 15:04:05 MST",
)  # ISO, time of day, both, RFC 3339, RFC 822, RFC 850, RFC 1123


# --- of anything -------------------------------------------------------------------------------------------


def _len(_: Budget, value: Any) -> int:
    if isinstance(value, str | bytes | list | dict):
        return len(value)
    raise FunctionError(f"invalid argument for len (type {go_type(value)})")


_TYPE_NAMES: Final[Mapping[str, str]] = {
    "invalid": "nil", "bool": "bool", "int": "int", "int64": "int", "uint8": "uint", "float64": "float",
    "string": "string", "slice": "array", "array": "array", "map": "map", "func": "func",
}  # fmt: skip


def _type(_: Budget, value: Any) -> str:
    if isinstance(value, Time | Duration | Month | Weekday | Location):
        return go_type(value).lstrip("*")
    return _TYPE_NAMES.get(kind_of(value), "unknown")


def _string(budget: Budget, value: Any) -> str:
    if isinstance(value, Location):
        # Arguments lose their pointer, so Go prints the struct; of other zones it shows an address.
        return f"{{{value.name} [] []  0 0 <nil>}}"
    return format_value(value, meter=budget)


def _get(budget: Budget, container: Any, key: Any) -> Any:
    if isinstance(container, list | str | bytes):
        index, size = to_int(key), operations.size_of(container, budget)
        return operations.item_of(container, index, budget) if -size <= index < size else None
    if isinstance(container, dict):
        present = operations.contains_item(key, container, budget)
        return operations.fetch(container, key, budget) if present else None
    if type(key) is str:
        return operations.bound_method(container, key)
    if isinstance(container, Time):
        need_string(key)
    return None


def _first(budget: Budget, value: Any) -> Any:
    return _end(value, 0, budget)


def _last(budget: Budget, value: Any) -> Any:
    return _end(value, -1, budget)


def _end(value: Any, index: int, budget: Budget) -> Any:
    try:
        return operations.fetch(value, index, budget)
    except FunctionError:
        budget.spend(0)  # a spent budget is no missing item
        return None


# --- numbers -----------------------------------------------------------------------------------------------


def _abs(_: Budget, value: Any) -> Any:
    if type(value) is float:
        return -value if value < 0 else value
    if type(value) is int:
        return wrap(abs(value))
    if isinstance(value, Uint8):
        return value
    if isinstance(value, Int64):
        return Int64(wrap(abs(value)))
    raise FunctionError(f"invalid argument for abs (type {go_type(value)})")


def _rounding(name: str, rounded: Callable[[float], float]) -> Callable[[Budget, Any], float]:
    def run(_: Budget, value: Any) -> float:
        if type(value) not in NUMBERS:
            raise FunctionError(f"invalid argument for {name} (type {go_type(value)})")
        number = float(value)
        if math.isnan(number) or math.isinf(number) or abs(number) >= 2.0**52:
            return number
        return math.copysign(rounded(number), number)

    return run


def _half_away(number: float) -> float:
    whole = math.trunc(number)
    return float(whole + math.copysign(1, number)) if abs(number - whole) >= 0.5 else float(whole)


def to_integer(budget: Budget, value: Any) -> int:
    """``int(value)``: truncates, reads plain decimal text."""
    if type(value) is int:
        return value
    if type(value) is float:
        return truncate(value)
    if type(value) is str:
        if _DECIMAL.fullmatch(budget.text(value)):
            sign, digits = value[:1] == "-", value.lstrip("+-").lstrip("0")
            if len(digits) <= 19:
                number = -int(digits or "0") if sign else int(digits or "0")
                if wrap(number) == number:
                    return number
        raise FunctionError(f"invalid operation: int({value})")
    if isinstance(value, Uint8 | Int64):
        return int(value)
    if isinstance(value, Duration | Month | Weekday):
        return number_in(value)
    if value is None:
        raise FunctionError("reflect: call of reflect.Value.Type on zero Value")
    raise FunctionError(f"invalid operation: int({go_type(value)})")


def number_in(value: Duration | Month | Weekday) -> int:
    """The number that Go's named type is made of."""
    return value.nanoseconds if isinstance(value, Duration) else value.number


def to_floating(budget: Budget, value: Any) -> float:
    """``float(value)``: reads what Go's ParseFloat reads."""
    if type(value) in NUMBERS:
        return float(value)
    if type(value) is str:
        budget.spend(len(value))
        match = _FLOAT.fullmatch(value)
        if match is not None:
            number = _parsed_float(match, value.replace("_", ""))
            if number is not None:
                return number
        raise FunctionError(f"invalid operation: float({value})")
    raise FunctionError(f"invalid operation: float({go_type(value)})")


def _parsed_float(match: re.Match[str], digits: str) -> float | None:
    """The number; None when there is no digit in it or when it is out of range."""
    if match.group("special"):
        return float(digits)
    try:
        number = float.fromhex(digits) if match.group("hex") else float(digits)
    except (ValueError, OverflowError):
        return None
    return None if math.isinf(number) else number


def _extreme(name: str, symbol: str) -> Callable[..., Any]:
    """max and min: numbers, and lists of them nested as deep as one likes."""

    def of(arguments: Iterable[Any], alone: bool, depth: int, budget: Budget) -> Any:
        if depth > MAX_DEPTH:
            raise FunctionError("recursion depth exceeded")
        best: Any = None
        for argument in arguments:
            budget.spend(8)
            if isinstance(argument, _LISTS):
                budget.spend(len(argument))
                plain = type(argument) in (list, NilList)
                for item in values.items_of(argument):
                    best = better(best, number_of(item, plain, depth, budget), budget)
            elif _counts(argument):
                best = better(best, argument, budget)
            elif alone:
                return argument
            else:
                raise FunctionError(f"invalid argument for {name} (type {go_type(argument)})")
        return best

    def number_of(item: Any, plain: bool, depth: int, budget: Budget) -> Any:
        if type(item) in NUMBERS:
            return item
        if isinstance(item, _LISTS):
            found = of([item], True, depth + 1, budget)
            if found is None and plain:
                return None
            item = found
        if type(item) in NUMBERS:
            return item
        raise FunctionError(f"invalid argument for {name} (type {go_type(item)})")

    def better(best: Any, number: Any, budget: Budget) -> Any:
        if number is None:
            return best
        return number if best is None or compare(symbol, best, number, budget) else best

    def run(budget: Budget, *arguments: Any) -> Any:
        return of(arguments, len(arguments) == 1, 0, budget)

    return run


def _counts(value: Any) -> bool:
    """Whether the kind of a value is a number's, durations and months included."""
    return type(value) in NUMBERS or isinstance(value, Duration | Month | Weekday)


def _numbers(name: str, arguments: Iterable[Any], budget: Budget, depth: int = 0) -> list[float]:
    """All numbers in the arguments and in the lists among them."""
    if depth > MAX_DEPTH:
        raise FunctionError("recursion depth exceeded")
    found: list[float] = []
    for argument in arguments:
        budget.spend(4)
        if isinstance(argument, _LISTS):
            found += _numbers(name, values.items_of(argument), budget, depth + 1)
        elif isinstance(argument, Duration | Month | Weekday):
            found.append(float(number_in(argument)))
        elif type(argument) in NUMBERS:
            found.append(float(argument))
        else:
            raise FunctionError(f"invalid argument for {name} (type {go_type(argument)})")
    return found


def _mean(budget: Budget, *arguments: Any) -> float:
    total, count = _total(arguments, budget, 0)
    return total / count if count else 0.0


def _total(arguments: Iterable[Any], budget: Budget, depth: int) -> tuple[float, int]:
    """Sum and count; what nests is summed on its own first, which shows in the last digit."""
    if depth > MAX_DEPTH:
        raise FunctionError("recursion depth exceeded")
    total, count = 0.0, 0
    for argument in arguments:
        budget.spend(4)
        if not isinstance(argument, _LISTS):
            (number,) = _numbers("mean", [argument], budget)
            total, count = total + number, count + 1
            continue
        budget.spend(len(argument) >> 2)
        plain = type(argument) in (list, NilList, Ints)
        for item in values.items_of(argument):
            if plain and type(item) in NUMBERS:
                total, count = total + float(item), count + 1
            else:
                nested, size = _total([item], budget, depth + 1)
                total, count = total + nested, count + size
    return total, count


def _median(budget: Budget, *arguments: Any) -> float:
    found = _numbers("median", arguments, budget)
    if not found:
        return 0.0
    found.sort(key=lambda number: (not math.isnan(number), number))
    middle = len(found) // 2
    return found[middle] if len(found) % 2 else (found[middle - 1] + found[middle]) / 2


def _bits(name: str, run: Callable[[int, int], int]) -> Callable[[Budget, Any, Any], int]:
    def bits(_: Budget, x: Any, y: Any) -> int:
        return wrap(run(_bit_operand(x, name), _bit_operand(y, name)))

    return bits


def _bit_operand(value: Any, name: str) -> int:
    if type(value) in INTEGERS:
        return int(value)
    raise FunctionError(f"cannot use {go_type(value)} as argument (type int) to call {name}")


def _shifting(run: Callable[[int, int], int]) -> Callable[[int, int], int]:
    def shift(x: int, y: int) -> int:
        if y < 0:
            raise FunctionError(f"invalid operation: negative shift count {y} (type int)")
        return run(x, min(y, 64))

    return shift


def _bitnot(_: Budget, value: Any) -> int:
    return ~_bit_operand(value, "bitnot")


# --- strings -----------------------------------------------------------------------------------------------


def _trim(budget: Budget, value: Any, cutset: Any = _SPACE) -> str:
    source, cut = budget.text(need_string(value)), need_string(cutset)
    if "\ufffd" in cut or has_stray_bytes(cut):
        cut += _NO_RUNE  # Go reads every stray byte as one rune
    budget.spend(len(source) * len(cut) >> 12)  # each character is looked for in a cutset beyond Latin
    return source.strip(cut) if cut else source


def _trim_prefix(budget: Budget, value: Any, prefix: Any = " ") -> str:
    return _without(budget, value, prefix, str.removeprefix, bytes.removeprefix)


def _trim_suffix(budget: Budget, value: Any, suffix: Any = " ") -> str:
    return _without(budget, value, suffix, str.removesuffix, bytes.removesuffix)


def _without(
    budget: Budget,
    value: Any,
    end: Any,
    remove: Callable[[str, str], str],
    remove_bytes: Callable[[bytes, bytes], bytes],
) -> str:
    part = need_string(end)
    source = budget.text(need_string(value))
    return text(remove_bytes(utf8(source), utf8(part))) if has_stray_bytes(part) else remove(source, part)


def _upper(budget: Budget, value: Any) -> str:
    return upper(_one_by_one(budget, need_string(value)))


def _lower(budget: Budget, value: Any) -> str:
    return lower(_one_by_one(budget, need_string(value)))


def _one_by_one(budget: Budget, value: str) -> str:
    """The string, charged for each character where one after the other is looked at."""
    budget.spend(len(value) >> 4 if value.isascii() else len(value) >> 1)
    return value


def upper(value: str) -> str:
    """Go's ToUpper: each character to one character."""
    return value.upper() if value.isascii() else "".join(map(_upper_of, printable(value)))


def lower(value: str) -> str:
    """Go's ToLower: each character to one character."""
    return value.lower() if value.isascii() else "".join(map(_lower_of, printable(value)))


def _upper_of(char: str) -> str:
    changed = char.upper()
    if len(changed) == 1:
        return changed
    changed = char.title()  # one character where Unicode has a simple mapping
    return changed if len(changed) == 1 else char


def _lower_of(char: str) -> str:
    return char.lower()[0]


def _split(budget: Budget, value: Any, separator: Any, count: Any = -1) -> Strings:
    parts = split(budget.text(need_string(value)), need_string(separator), to_int(count))
    budget.spend(len(parts))
    return parts


def _split_after(budget: Budget, value: Any, separator: Any, count: Any = -1) -> Strings:
    text_, glue = budget.text(need_string(value)), need_string(separator)
    parts = split(text_, glue, to_int(count))
    budget.spend(2 * len(parts) + (len(glue) * len(parts) >> 4))
    if glue == "" or not parts:
        return parts
    return Strings([*(join((part, glue)) for part in parts[:-1]), parts[-1]])


def split(value: str, separator: str, count: int = -1) -> Strings:
    """strings.SplitN: at most `count` parts, all when negative, nil when 0."""
    if count == 0:
        return NilStrings()
    if separator == "":
        if count < 0 or count >= len(value):
            return Strings(value)
        return Strings([*value[: count - 1], value[count - 1 :]])
    limit = -1 if count < 0 else count - 1
    if has_stray_bytes(separator):
        return Strings(text(part) for part in utf8(value).split(utf8(separator), limit))
    return Strings(value.split(separator, limit))


def _replace(budget: Budget, value: Any, old: Any, new: Any, count: Any = -1) -> str:
    source, part, other = need_string(value), need_string(old), need_string(new)
    limit = to_int(count)
    found = source.count(part) if limit != 0 else 0
    times = min(found, limit) if limit >= 0 else found
    budget.spend((len(source) + max(times * (len(other) - len(part)), 0)) >> 4)
    if has_stray_bytes(part):
        return text(utf8(source).replace(utf8(part), utf8(other), limit))
    return join((source.replace(part, other, limit),))


def _repeat(budget: Budget, value: Any, count: Any) -> str:
    part, times = need_string(value), to_int(count)
    if times < 0:
        raise FunctionError(f"invalid argument for repeat (expected positive integer, got {times})")
    if times > 1_000_000:
        raise FunctionError("memory budget exceeded")
    budget.grow(operations.size_of(part, budget) * times)
    return join((part * times,))


def _join(budget: Budget, items: Any, glue: Any = "") -> str:
    between = need_string(glue)
    if type(items) in (list, NilList):
        parts = [need_string(item) for item in items]
    elif isinstance(items, Strings):
        parts = items
    else:
        shown = "%!s(<nil>)" if items is None else go_type(items)
        raise FunctionError(f"invalid argument for join (type {shown})")
    budget.spend(len(parts))
    budget.spend(sum(map(len, parts)) + len(between) * len(parts) >> 4)
    return join(parts, between)


def _index_of(budget: Budget, value: Any, part: Any) -> int:
    return _byte_offset(budget.text(need_string(value)), need_string(part), str.find, bytes.find)


def _last_index_of(budget: Budget, value: Any, part: Any) -> int:
    source, other = need_string(value), need_string(part)
    # From the end Python's search has no short cut: every place may be compared with all of the part.
    budget.spend(len(source) * (16 + len(other)) >> 8)
    return _byte_offset(source, other, str.rfind, bytes.rfind)


def _byte_offset(
    value: str, part: str, find: Callable[[str, str], int], find_bytes: Callable[[bytes, bytes], int]
) -> int:
    return find(value, part) if value.isascii() else find_bytes(utf8(value), utf8(part))


def _has_prefix(budget: Budget, value: Any, part: Any) -> bool:
    return operations.starts_with(need_string(value), need_string(part), budget)


def _has_suffix(budget: Budget, value: Any, part: Any) -> bool:
    return operations.ends_with(need_string(value), need_string(part), budget)


def _to_json(budget: Budget, value: Any) -> str:
    return marshal(value, indent="  ", meter=budget)


def _from_json(budget: Budget, value: Any) -> Any:
    source = need_string(value)
    budget.spend(documents.reading(source))
    return documents.unmarshal(source)


def _to_base64(budget: Budget, value: Any) -> str:
    return base64.b64encode(utf8(budget.text(need_string(value)))).decode()


def _from_base64(budget: Budget, value: Any) -> str:
    encoded = need_string(value)
    budget.spend(len(encoded) >> 1)
    return text(decode_base64(encoded))


# --- lists and maps ----------------------------------------------------------------------------------------


def _need_list(value: Any, verb: str) -> Any:
    if isinstance(value, _LISTS):
        return value
    raise FunctionError(f"cannot {verb} {kind_of(value)}")


def _take(_: Budget, items: Any, count: Any) -> Any:
    found = _need_list(items, "take from")
    if isinstance(count, Duration | Month | Weekday):
        number = number_in(count)
    elif type(count) in (int, Int64):
        number = int(count)
    else:
        raise FunctionError(f"cannot take {kind_of(count)} elements")
    if isinstance(items, Pair):
        raise FunctionError("reflect.Value.Slice: slice of unaddressable array")
    if number < 0:
        raise FunctionError("reflect.Value.Slice: slice index out of bounds")
    if is_nil(items):
        return items
    part = found[:number]
    return part if type(items) in (list, bytes) else type(items)(part)


def _keys(budget: Budget, members: Any) -> list[Any]:
    if not isinstance(members, dict):
        raise FunctionError(f"cannot get keys from {kind_of(members)}")
    budget.spend(len(members))
    return [values.key_value(key) for key in members] if isinstance(members, AnyMap) else list(members)


def _values(budget: Budget, members: Any) -> list[Any]:
    if not isinstance(members, dict):
        raise FunctionError(f"cannot get values from {kind_of(members)}")
    budget.spend(len(members))
    return list(members.values())


def _to_pairs(budget: Budget, members: Any) -> Pairs:
    if not isinstance(members, dict):
        raise FunctionError(f"cannot transform {kind_of(members)} to pairs")
    budget.spend(4 * len(members))
    return Pairs(Pair(pair) for pair in zip(_keys(budget, members), members.values(), strict=True))


def _from_pairs(budget: Budget, pairs: Any) -> AnyMap:
    if not isinstance(pairs, list | bytes):
        shown = "<invalid reflect.Value>" if pairs is None else format_value(pairs, "s", budget)
        raise FunctionError(f"cannot transform {shown} from pairs")
    made = AnyMap()
    for pair in values.items_of(pairs):
        budget.spend(4)
        if not isinstance(pair, _LISTS):
            raise FunctionError(f"invalid pair {format_value(pair, meter=budget)}")
        if len(pair) != 2:
            raise FunctionError(f"invalid pair length {format_value(pair, meter=budget)}")
        key, value = values.items_of(pair)
        made[key_of(key)] = value
    return made


def _reverse(budget: Budget, items: Any) -> list[Any]:
    found = list(values.items_of(_need_list(items, "reverse")))
    budget.grow(len(found))
    return found[::-1]


_EXACT: Final = 2.0**53


def _uniq(budget: Budget, items: Any) -> list[Any]:
    unique: list[Any] = []
    seen: set[Any] = set()
    for item in values.items_of(_need_list(items, "uniq")):
        budget.spend(2)
        if type(item) is str or (type(item) in NUMBERS and -_EXACT < item < _EXACT):
            # Numbers that fit a float64 are equal as such, whatever their types; strings equal nothing else.
            key = budget.text(item) if type(item) is str else float(item)
            if key not in seen:
                seen.add(key)
                unique.append(item)
        elif not any(_same(item, other, budget) for other in unique):
            unique.append(item)
    return unique


def _same(item: Any, other: Any, budget: Budget) -> bool:
    budget.spend(1)
    return equal(item, other, budget)


def _concat(budget: Budget, *lists: Any) -> list[Any]:
    made: list[Any] = []
    for items in lists:
        found = _need_list(items, "concat")
        budget.spend(len(found))
        made.extend(values.items_of(found))
    budget.grow(len(made))
    return made or NilList()


def _flatten(budget: Budget, items: Any) -> list[Any]:
    made: list[Any] = []
    # A stack of iterators: lists nest deeper than Python likes to call.
    stack = [iter(values.items_of(_need_list(items, "flatten")))]
    while stack:
        for item in stack[-1]:
            budget.spend(2)
            if isinstance(item, _LISTS):
                if len(stack) > MAX_DEPTH:
                    raise FunctionError("recursion depth exceeded")
                stack.append(iter(values.items_of(item)))
                break
            made.append(item)
        else:
            stack.pop()
    budget.grow(len(made))
    return made


def is_descending(order: Any, complaint: str) -> bool:
    """Whether "desc" is asked for; `complaint` is what Go says to a third word."""
    if order not in ("asc", "desc"):
        raise FunctionError(complaint)
    return bool(order == "desc")


def _sort(budget: Budget, items: Any, order: Any = "asc") -> list[Any]:
    # Bytes, pairs and everything else are silently no list to Go.
    known = type(items) in (list, NilList, Ints, Strings, NilStrings)
    if type(order) is not str:
        raise FunctionError(f"sort order argument must be a string (got {go_type(order)})")
    descending = is_descending(order, f"invalid order {order}, expected asc or desc")
    if not known:
        return NilList()
    made = list(items)
    sort_by(made, list(made), ordering(descending, budget), budget)
    budget.grow(len(made))
    return made


def ordering(descending: bool, budget: Budget) -> Callable[[Any, Any], bool]:
    """Which of two values comes first."""
    if descending:
        return lambda a, b: compare("<", b, a, budget)
    return lambda a, b: compare("<", a, b, budget)


# --- dates -------------------------------------------------------------------------------------------------


def now(budget: Budget, location: Any = None) -> Time:
    """The time by the evaluation's clock."""
    nanoseconds = (budget.now or time.time_ns)()
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    if isinstance(location, Location):
        return Time(seconds, rest, location)
    return Time(seconds, rest)


def _duration(budget: Budget, value: Any) -> Duration:
    budget.spend(len(need_string(value)))
    return _parsed_duration(value) if len(value) < _SHORT else parse_duration(value)


_SHORT: Final = 100  # characters of what is worth keeping
_parsed_duration = lru_cache(maxsize=1024)(parse_duration)


def _timezone(_: Budget, name: Any) -> Location:
    return load_location(need_string(name))


def _date(budget: Budget, *arguments: Any) -> Time:
    location = arguments[0] if isinstance(arguments[0], Location) else None
    rest = arguments[1:] if location else arguments
    if not rest:
        raise FunctionError("runtime error: index out of range [0] with length 0")
    value = budget.text(need_string(rest[0]))
    if len(arguments) == 1 and len(value) < _SHORT:
        return _date_of(value)
    if len(rest) == 2:
        return parse_time(value, need_string(rest[1]), location)
    if len(rest) == 3:
        layout, zone = need_string(rest[1]), need_string(rest[2])
        return parse_time(value, layout, load_location(zone))
    return _guessed(value, location)


def _guessed(value: str, location: Location | None) -> Time:
    """The time in a text of one of the usual layouts."""
    for layout in _LAYOUTS:
        try:
            return parse_time(value, layout, location)
        except FunctionError:
            continue
    raise FunctionError(f"invalid date {value}")


@lru_cache(maxsize=1024)
def _date_of(value: str) -> Time:
    # Kept, for a binding's own dates are asked for with every event.
    return _guessed(value, None)


# https://expr-lang.org/docs/language-definition, in its order
BUILTINS: Final[Mapping[str, Callable[..., Any]]] = {
    "trim": _trim,
    "trimPrefix": _trim_prefix,
    "trimSuffix": _trim_suffix,
    "upper": _upper,
    "lower": _lower,
    "split": _split,
    "splitAfter": _split_after,
    "replace": _replace,
    "repeat": _repeat,
    "indexOf": _index_of,
    "lastIndexOf": _last_index_of,
    "hasPrefix": _has_prefix,
    "hasSuffix": _has_suffix,
    "now": now,
    "duration": _duration,
    "date": _date,
    "timezone": _timezone,
    "max": _extreme("max", "<"),
    "min": _extreme("min", ">"),
    "abs": _abs,
    "ceil": _rounding("ceil", math.ceil),
    "floor": _rounding("floor", math.floor),
    "round": _rounding("round", _half_away),
    "mean": _mean,
    "median": _median,
    "concat": _concat,
    "flatten": _flatten,
    "uniq": _uniq,
    "join": _join,
    "first": _first,
    "last": _last,
    "reverse": _reverse,
    "sort": _sort,
    "take": _take,
    "keys": _keys,
    "values": _values,
    "toPairs": _to_pairs,
    "fromPairs": _from_pairs,
    "type": _type,
    "int": to_integer,
    "float": to_floating,
    "string": _string,
    "toJSON": _to_json,
    "fromJSON": _from_json,
    "toBase64": _to_base64,
    "fromBase64": _from_base64,
    "len": _len,
    "get": _get,
    "bitand": _bits("bitand", lambda x, y: x & y),
    "bitor": _bits("bitor", lambda x, y: x | y),
    "bitxor": _bits("bitxor", lambda x, y: x ^ y),
    "bitnand": _bits("bitnand", lambda x, y: x & ~y),
    "bitnot": _bitnot,
    "bitshl": _bits("bitshl", _shifting(lambda x, y: x << y)),
    "bitshr": _bits("bitshr", _shifting(lambda x, y: x >> y)),
    "bitushr": _bits("bitushr", _shifting(lambda x, y: (x & 2**64 - 1) >> y)),
}
