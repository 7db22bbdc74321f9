"""Go's layouts: a date is described by how the reference time Mon Jan 2 15:04:05 MST 2006 would look.

A layout is cut into chunks, each a literal before and an element such as "2006", "Jan" or "-07:00". The
same chunks write a time and read one. Reading goes element by element over the value's bytes, and the
first that does not fit is the error, in Go's words: ``parsing time "x" as "2006": cannot parse …``.

Lines of text are bytes here, because Go's errors quote them byte by byte.

Source: Go 1.26 time/format.go, time/format_rfc3339.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from chalicelib.core.expressions.calendars import days_in, is_leap
from chalicelib.core.expressions.durations import quote
from chalicelib.core.expressions.panics import FunctionError

RFC3339 = "2006-01-02T15:04:05Z07:00"
RFC3339_NANO = "2006-01-02T15:04:05.999999999Z07:00"

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")

# At a position the first alternative wins, so longer elements stand before their prefixes. A short name is
# none when a lower-case letter follows ("Janet"), a fraction is none when another digit does, and "_2006"
# is a line before a year.
_ELEMENT = re.compile(
    r"January|Jan(?![a-z])|Monday|Mon(?![a-z])|MST"
    r"|0[1-6]|002|15|1|2006|2|_2(?!006)|__2|3|4|5|PM|pm"
    r"|-070000|-07:00:00|-0700|-07:00|-07|Z070000|Z07:00:00|Z0700|Z07:00|Z07"
    r"|[.,](?:0++|9++)(?![0-9])"
)


_BLANKS = re.compile(rb" +|[^ ]+")

MAX_TEXT = 16_384  # characters of a layout or a value that are looked at; no date is as long


@dataclass(frozen=True)
class Civil:
    """A time as a wall calendar and clock show it."""

    year: int
    month: int  # 1 to 12
    day: int
    year_day: int  # from 1
    weekday: int  # Sunday is 0
    hour: int
    minute: int
    second: int
    nanosecond: int
    zone: str  # abbreviation, "" for a nameless offset
    offset: int  # seconds east of UTC


@lru_cache(maxsize=256)
def chunks(layout: str) -> tuple[tuple[str, str], ...]:
    """A layout as pairs of literal text and the element after it; the last element is ""."""
    found = []
    position = 0
    for match in _ELEMENT.finditer(layout):
        found.append((layout[position : match.start()], match.group()))
        position = match.end()
    return (*found, (layout[position:], ""))


# ---------------------------------------------------------------------------------------------------------
# Writing


def padded(number: int, width: int) -> str:
    """Digits with leading zeros; the sign does not count."""
    return f"{'-' if number < 0 else ''}{abs(number):0{width}d}"


def _hour12(civil: Civil) -> int:
    return civil.hour % 12 or 12


_WRITERS: Mapping[str, Callable[[Civil], str]] = {
    "2006": lambda civil: padded(civil.year, 4),
    "06": lambda civil: padded(abs(civil.year) % 100, 2),
    "January": lambda civil: MONTHS[civil.month - 1],
    "Jan": lambda civil: MONTHS[civil.month - 1][:3],
    "01": lambda civil: padded(civil.month, 2),
    "1": lambda civil: str(civil.month),
    "Monday": lambda civil: WEEKDAYS[civil.weekday],
    "Mon": lambda civil: WEEKDAYS[civil.weekday][:3],
    "02": lambda civil: padded(civil.day, 2),
    "_2": lambda civil: f"{civil.day:2d}",
    "2": lambda civil: str(civil.day),
    "002": lambda civil: padded(civil.year_day, 3),
    "__2": lambda civil: f"{civil.year_day:3d}",
    "15": lambda civil: padded(civil.hour, 2),
    "03": lambda civil: padded(_hour12(civil), 2),
    "3": lambda civil: str(_hour12(civil)),
    "04": lambda civil: padded(civil.minute, 2),
    "4": lambda civil: str(civil.minute),
    "05": lambda civil: padded(civil.second, 2),
    "5": lambda civil: str(civil.second),
    "PM": lambda civil: "PM" if civil.hour >= 12 else "AM",
    "pm": lambda civil: "pm" if civil.hour >= 12 else "am",
    "MST": lambda civil: civil.zone or _offset_text("-0700", civil.offset),
}


def _offset_text(element: str, offset: int) -> str:
    """An offset in the form of its element, ``-07:00`` or ``Z0700``; Z stands for no offset."""
    if element[0] == "Z" and offset == 0:
        return "Z"
    colon = ":" if ":" in element else ""
    # The sign is that of the whole minutes: Go shows -00:00:30 as +00:00:30.
    minutes = abs(offset) // 60
    text = f"{'-' if offset <= -60 else '+'}{minutes // 60:02d}"
    digits = sum(character.isdigit() for character in element)
    if digits >= 4:
        text += f"{colon}{minutes % 60:02d}"
    if digits == 6:
        # Go prints the negative rest of an offset under a minute as it is.
        text += f"{colon}{padded(offset if -60 < offset < 0 else abs(offset) % 60, 2)}"
    return text


def fraction_text(element: str, nanosecond: int) -> str:
    """A fraction in the form of its element: ``.000`` shows all its digits, ``.999`` no trailing zeros."""
    digits = f"{nanosecond:09d}"[: len(element) - 1]
    if element[1] == "9":
        digits = digits.rstrip("0")
        return element[0] + digits if digits else ""
    return element[0] + digits


def format_civil(layout: str, civil: Civil) -> str:
    """The time in the form of a layout; text that is no element stays as it is."""
    if len(layout) > MAX_TEXT:
        raise FunctionError(f"the layout of a time is longer than {MAX_TEXT} characters")
    parts = []
    for literal, element in chunks(layout):
        parts.append(literal)
        if element in _WRITERS:
            parts.append(_WRITERS[element](civil))
        elif element[:1] in (".", ","):
            parts.append(fraction_text(element, civil.nanosecond))
        elif element:
            parts.append(_offset_text(element, civil.offset))
    return "".join(parts)


# ---------------------------------------------------------------------------------------------------------
# Reading


@dataclass
class Reading:
    """What was read from a value so far."""

    year: int = 0
    month: int = -1
    day: int = -1
    year_day: int = -1
    hour: int = 0
    minute: int = 0
    second: int = 0
    nanosecond: int = 0
    utc: bool = False  # the value said Z or UTC
    offset: int = -1  # -1 for none, as in Go, where an offset of one second west is lost
    zone: str = ""
    half: str = field(default="", repr=False)  # "am", "pm"


class _Bad(Exception):
    """The value does not fit the element."""


class _OutOfRange(Exception):
    """The value fits, but no such thing exists; the text names it."""


def _is_digit(value: bytes, at: int) -> bool:
    return value[at : at + 1].isdigit()


def _number(value: bytes, *, fixed: bool) -> tuple[int, bytes]:
    """One or two digits; `fixed` wants two."""
    if not _is_digit(value, 0) or (fixed and not _is_digit(value, 1)):
        raise _Bad
    width = 2 if _is_digit(value, 1) else 1
    return int(value[:width]), value[width:]


def _signed(digits: bytes) -> int:
    """Go's atoi: a sign is fine, and nothing is 0."""
    negative = digits[:1] == b"-"
    if digits[:1] in (b"-", b"+"):
        digits = digits[1:]
    if digits and not digits.isdigit():
        raise _Bad
    return -int(digits or 0) if negative else int(digits or 0)


def _name(names: tuple[str, ...], length: int | None, value: bytes) -> tuple[int, bytes]:
    """Position of the name that the value begins with, whatever its case."""
    for index, name in enumerate(names):
        wanted = name[:length].lower().encode()
        if value[: len(wanted)].lower() == wanted:
            return index, value[len(wanted) :]
    raise _Bad


def _read_year(reading: Reading, value: bytes, _: str) -> bytes:
    if len(value) < 4 or not _is_digit(value, 0):
        raise _Bad
    reading.year = _signed(value[:4])
    return value[4:]


def _read_short_year(reading: Reading, value: bytes, _: str) -> bytes:
    if len(value) < 2:
        raise _Bad
    year = _signed(value[:2])
    reading.year = year + (1900 if year >= 69 else 2000)
    return value[2:]


def _month_name(length: int | None) -> _Reader:
    def read(reading: Reading, value: bytes, _: str) -> bytes:
        index, rest = _name(MONTHS, length, value)
        reading.month = index + 1
        return rest

    return read


def _weekday_name(length: int | None) -> _Reader:
    # Checked for its form only, like Go does: no date is refused for its weekday.
    return lambda _reading, value, _next: _name(WEEKDAYS, length, value)[1]


def _field(name: str, lowest: int, highest: int, *, fixed: bool, space: bool = False) -> _Reader:
    def read(reading: Reading, value: bytes, _: str) -> bytes:
        if space and value[:1] == b" ":
            value = value[1:]
        number, rest = _number(value, fixed=fixed)
        if not lowest <= number <= highest:
            raise _OutOfRange(name)
        setattr(reading, name, number)
        return rest

    return read


def _second(*, fixed: bool) -> _Reader:
    read_second = _field("second", 0, 59, fixed=fixed)

    def read(reading: Reading, value: bytes, following: str) -> bytes:
        rest = read_second(reading, value, following)
        # A fraction is taken even where the layout has none.
        if rest[:1] in (b".", b",") and _is_digit(rest, 1) and following[:1] not in (".", ","):
            return _read_fraction(reading, rest, _digits_end(rest))
        return rest

    return read


def _digits_end(value: bytes) -> int:
    end = 1
    while _is_digit(value, end):
        end += 1
    return end


def _read_fraction(reading: Reading, value: bytes, end: int) -> bytes:
    if value[:1] not in (b".", b","):
        raise _Bad
    digits = value[1 : min(end, 10)]
    number = _signed(digits)
    if number < 0:
        raise _OutOfRange("fractional second")
    reading.nanosecond = number * 10 ** (9 - len(digits))
    return value[end:]


def _fraction(element: str) -> _Reader:
    def exact(reading: Reading, value: bytes, _: str) -> bytes:
        if len(value) < len(element):
            raise _Bad
        return _read_fraction(reading, value, len(element))

    def any_length(reading: Reading, value: bytes, _: str) -> bytes:
        if value[:1] not in (b".", b",") or not _is_digit(value, 1):
            return value
        return _read_fraction(reading, value, _digits_end(value))

    return exact if element[1] == "0" else any_length


def _year_day(*, fixed: bool) -> _Reader:
    def read(reading: Reading, value: bytes, _: str) -> bytes:
        for _space in range(0 if fixed else 2):
            value = value[1:] if value[:1] == b" " else value
        width = next((at for at in range(3) if not _is_digit(value, at)), 3)
        if width == 0 or (fixed and width != 3):
            raise _Bad
        reading.year_day = int(value[:width])
        return value[width:]

    return read


def _half(before: bytes, after: bytes) -> _Reader:
    def read(reading: Reading, value: bytes, _: str) -> bytes:
        if value[:2] not in (before, after):
            raise _Bad
        # Go keeps two flags and asks for PM first, so an earlier PM stays.
        reading.half = "pm" if value[:2] == after or reading.half == "pm" else "am"
        return value[2:]

    return read


def _offset(element: str) -> _Reader:
    shape = element.replace("Z", "-")  # -07, -0700, -07:00, -070000 or -07:00:00

    def read(reading: Reading, value: bytes, _: str) -> bytes:
        if element[0] == "Z" and value[:1] == b"Z":
            reading.utc = True
            return value[1:]
        if len(value) < len(shape):
            raise _Bad
        text, rest = value[: len(shape)], value[len(shape) :]
        if any(text[at] != ord(":") for at, character in enumerate(shape) if character == ":"):
            raise _Bad
        parts = [text[at : at + 2] for at in range(1, len(shape), 3 if ":" in shape else 2)]
        numbers = []
        bad = text[:1] not in (b"+", b"-")
        for part in parts:
            if not (_is_digit(part, 0) and _is_digit(part, 1)):
                bad = True
                break
            numbers.append(int(part))
        # Go looks at the ranges before it looks at the rest, names the last, and lets 24:60 pass.
        limits = (("hour", 24), ("minute", 60), ("second", 60))
        beyond = [name for number, (name, limit) in zip(numbers, limits, strict=False) if number > limit]
        if beyond:
            raise _OutOfRange(f"time zone offset {beyond[-1]}")
        if bad:
            raise _Bad
        hours, minutes, seconds = (*numbers, 0, 0)[:3]
        offset = hours * 3600 + minutes * 60 + seconds
        reading.offset = -offset if text[:1] == b"-" else offset
        return rest

    return read


def _read_zone(reading: Reading, value: bytes, _: str) -> bytes:
    if value[:3] == b"UTC":
        reading.utc = True
        return value[3:]
    length = _zone_length(value)
    if not length:
        raise _Bad
    reading.zone = value[:length].decode("ascii")
    return value[length:]


def _zone_length(value: bytes) -> int:
    """Bytes of the abbreviation that the value begins with; 0 when it does not look like one."""
    if len(value) < 3:
        return 0
    if value[:4] in (b"ChST", b"MeST"):
        return 4
    if value[:3] == b"GMT":
        return 3 + _signed_offset_length(value[3:])
    if value[:1] in (b"+", b"-"):
        return _signed_offset_length(value)
    upper = next((at for at in range(6) if not b"A" <= value[at : at + 1] <= b"Z"), 6)
    if upper == 5 and value[4:5] == b"T":
        return 5
    if upper == 4 and (value[3:4] == b"T" or value[:4] == b"WITA"):
        return 4
    return 3 if upper == 3 else 0


def _signed_offset_length(value: bytes) -> int:
    """Bytes of "+3" or "-04", up to 23 hours; 0 for anything else."""
    end = _digits_end(value)
    if value[:1] not in (b"+", b"-") or end == 1:
        return 0
    hours = value[1:end].lstrip(b"0")
    return end if len(hours) < 3 and int(hours or 0) <= 23 else 0


_Reader = Callable[[Reading, bytes, str], bytes]

_READERS: Mapping[str, _Reader] = {
    "2006": _read_year,
    "06": _read_short_year,
    "January": _month_name(None),
    "Jan": _month_name(3),
    "01": _field("month", 1, 12, fixed=True),
    "1": _field("month", 1, 12, fixed=False),
    "Monday": _weekday_name(None),
    "Mon": _weekday_name(3),
    # Any day that two digits can say: month and year may still come.
    "02": _field("day", 0, 99, fixed=True),
    "_2": _field("day", 0, 99, fixed=False, space=True),
    "2": _field("day", 0, 99, fixed=False),
    "002": _year_day(fixed=True),
    "__2": _year_day(fixed=False),
    "15": _field("hour", 0, 23, fixed=False),
    "03": _field("hour", 0, 12, fixed=True),
    "3": _field("hour", 0, 12, fixed=False),
    "04": _field("minute", 0, 59, fixed=True),
    "4": _field("minute", 0, 59, fixed=False),
    "05": _second(fixed=True),
    "5": _second(fixed=False),
    "PM": _half(b"AM", b"PM"),
    "pm": _half(b"am", b"pm"),
    "MST": _read_zone,
}


def _reader(element: str) -> _Reader:
    if element in _READERS:
        return _READERS[element]
    return _fraction(element) if element[0] in ".," else _offset(element)


def _skip(value: bytes, literal: bytes) -> tuple[bytes, bool]:
    """The value behind a literal, where any run of blanks equals another; False where they differ."""
    at = 0
    for part in _BLANKS.findall(literal):
        if part[:1] == b" ":
            if value[at : at + 1] not in (b" ", b""):
                return value[at:], False
            while value[at : at + 1] == b" ":
                at += 1
        elif value.startswith(part, at):
            at += len(part)
        else:
            while value[at : at + 1] == part[:1]:
                at, part = at + 1, part[1:]  # the error quotes from where they part
            return value[at:], False
    return value[at:], True


def _quote(text: bytes) -> str:
    return quote(text.decode("utf-8", "surrogateescape"))


def read_civil(layout: str, value: str) -> Reading:
    """The fields that a value has in the form of a layout. Raises FunctionError with Go's text."""
    if max(len(layout), len(value)) > MAX_TEXT:
        raise FunctionError(f"parsing time: layout or value is longer than {MAX_TEXT} characters")
    rest = value.encode("utf-8", "surrogateescape")

    def cannot_parse(rest: bytes, element: str) -> FunctionError:
        return FunctionError(
            f"parsing time {quote(value)} as {quote(layout)}: cannot parse {_quote(rest)} as {quote(element)}"
        )

    reading = Reading()
    pairs = chunks(layout)
    for index, (literal, element) in enumerate(pairs):
        rest, fits = _skip(rest, literal.encode("utf-8", "surrogateescape"))
        if not fits:
            raise cannot_parse(rest, literal)
        if not element:
            break
        try:
            rest = _reader(element)(reading, rest, pairs[index + 1][1])
        except _Bad:
            raise cannot_parse(rest, element) from None
        except _OutOfRange as error:
            raise FunctionError(f"parsing time {quote(value)}: {error} out of range") from None
    if rest:
        raise FunctionError(f"parsing time {quote(value)}: extra text: {_quote(rest)}")
    if reading.half == "pm" and reading.hour < 12:
        reading.hour += 12
    elif reading.half == "am" and reading.hour == 12:
        reading.hour = 0
    problem = _settle_date(reading)
    if problem:
        raise FunctionError(f"parsing time {quote(value)}: {problem}")
    return reading


def _settle_date(reading: Reading) -> str:
    """Fill in month and day, from the day of the year where it was read; what is wrong with them, or ""."""
    if reading.year_day >= 0:
        if not 1 <= reading.year_day <= 365 + is_leap(reading.year):
            return "day-of-year out of range"
        month, day = 1, reading.year_day
        while day > days_in(month, reading.year):
            day -= days_in(month, reading.year)
            month += 1
        if reading.month >= 0 and reading.month != month:
            return "day-of-year does not match month"
        if reading.day >= 0 and reading.day != day:
            return "day-of-year does not match day"
        reading.month, reading.day = month, day
    if reading.month < 0:
        reading.month = 1
    if reading.day < 0:
        reading.day = 1
    if not 1 <= reading.day <= days_in(reading.month, reading.year):
        return "day out of range"
    return ""
