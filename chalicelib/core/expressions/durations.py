"""Spans of time as Go's time.Duration: an int64 of nanoseconds, so at most some 292 years.

`parse_duration("1h30m")` reads what `str()` writes. Arithmetic wraps or clamps as Go's does.

Source: Go 1.26 time/time.go, time/format.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.core.expressions.panics import FunctionError

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
MIN_NANOSECONDS = -(2**63)
MAX_NANOSECONDS = 2**63 - 1

_UNITS = {
    "ns": NANOSECOND,
    "us": MICROSECOND,
    "\u00b5s": MICROSECOND,  # micro sign
    "\u03bcs": MICROSECOND,  # Greek mu
    "ms": MILLISECOND,
    "s": SECOND,
    "m": MINUTE,
    "h": HOUR,
}
_DIGITS = frozenset("0123456789")
_NUMERIC = _DIGITS | {"."}


def wrap_int64(number: int) -> int:
    """The number as an int64 holds it: overflow wraps around."""
    return (number + 2**63) % 2**64 - 2**63


@dataclass(frozen=True, order=True)
class Duration:
    """A span of time; the methods are those of Go's type, in Python's spelling."""

    nanoseconds: int  # int64

    def __str__(self) -> str:
        return format_duration(self.nanoseconds)

    def hours(self) -> float:
        """The span in hours."""
        return self._count(HOUR)

    def minutes(self) -> float:
        """The span in minutes."""
        return self._count(MINUTE)

    def seconds(self) -> float:
        """The span in seconds."""
        return self._count(SECOND)

    def milliseconds(self) -> int:
        """Whole milliseconds, toward zero."""
        return _quotient(self.nanoseconds, MILLISECOND)

    def microseconds(self) -> int:
        """Whole microseconds, toward zero."""
        return _quotient(self.nanoseconds, MICROSECOND)

    def truncate(self, unit: Duration) -> Duration:
        """Rounded toward zero to a multiple of `unit`; unchanged when that is not positive."""
        if unit.nanoseconds <= 0:
            return self
        return Duration(self.nanoseconds - _remainder(self.nanoseconds, unit.nanoseconds))

    def round(self, unit: Duration) -> Duration:
        """Rounded to the nearest multiple of `unit`, halfway away from zero, clamped to what fits."""
        size = unit.nanoseconds
        if size <= 0:
            return self
        rest = abs(_remainder(self.nanoseconds, size))
        magnitude = abs(self.nanoseconds) - rest + (size if 2 * rest >= size else 0)
        rounded = magnitude if self.nanoseconds >= 0 else -magnitude
        return Duration(max(MIN_NANOSECONDS, min(MAX_NANOSECONDS, rounded)))

    def absolute(self) -> Duration:
        """Without its sign; the smallest duration becomes the largest."""
        return Duration(min(abs(self.nanoseconds), MAX_NANOSECONDS))

    def _count(self, unit: int) -> float:
        # Go adds whole units and the rest as two floats; one division would round differently.
        return float(_quotient(self.nanoseconds, unit)) + float(_remainder(self.nanoseconds, unit)) / unit


def _quotient(number: int, divisor: int) -> int:
    return number // divisor if number >= 0 else -(-number // divisor)


def _remainder(number: int, divisor: int) -> int:
    return number - _quotient(number, divisor) * divisor


def format_duration(nanoseconds: int) -> str:
    """Go's text of a span: "72h3m0.5s", "1.5\u00b5s", "0s"."""
    sign, rest = ("-", -nanoseconds) if nanoseconds < 0 else ("", nanoseconds)
    if rest == 0:
        return "0s"
    if rest < SECOND:
        unit, size = next(
            pair for pair in (("ms", MILLISECOND), ("\u00b5s", MICROSECOND), ("ns", 1)) if rest >= pair[1]
        )
        return f"{sign}{_decimal(rest, size)}{unit}"
    minutes, left = divmod(rest, MINUTE)
    text = f"{_decimal(left, SECOND)}s"
    if minutes:
        hours, minutes = divmod(minutes, 60)
        text = f"{minutes}m{text}"
        if hours:
            text = f"{hours}h{text}"
    return sign + text


def _decimal(count: int, unit: int) -> str:
    whole, fraction = divmod(count, unit)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{len(str(unit)) - 1}d}".rstrip("0")


def quote(text: str) -> str:
    """A text as Go's time package shows it in errors: other bytes than printable ASCII as ``\\xNN``."""
    shown = []
    for byte in text.encode("utf-8", "surrogateescape"):
        if byte < 0x20 or byte >= 0x80:
            shown.append(f"\\x{byte:02x}")
        elif byte in (0x22, 0x5C):
            shown.append("\\" + chr(byte))
        else:
            shown.append(chr(byte))
    return f'"{"".join(shown)}"'


def parse_duration(text: str) -> Duration:
    """The span a text such as "-1.5h" or "2h45m" means. Raises FunctionError with Go's text."""
    invalid = FunctionError(f"time: invalid duration {quote(text)}")
    rest = text
    negative = rest[:1] == "-"
    if rest[:1] in ("-", "+"):
        rest = rest[1:]
    if rest == "0":
        return Duration(0)
    if not rest:
        raise invalid
    total = 0
    while rest:
        whole, rest = _leading_digits(rest)
        value = _capped(whole)
        fraction = ""
        if rest[:1] == ".":
            fraction, rest = _leading_digits(rest[1:])
        if value > 2**63 or not (whole or fraction):
            raise invalid
        end = next((at for at, character in enumerate(rest) if character in _NUMERIC), len(rest))
        unit, rest = rest[:end], rest[end:]
        if not unit:
            raise FunctionError(f"time: missing unit in duration {quote(text)}")
        size = _UNITS.get(unit)
        if size is None:
            raise FunctionError(f"time: unknown unit {quote(unit)} in duration {quote(text)}")
        if value > 2**63 // size:
            raise invalid
        value = value * size + _fraction_of(fraction, size)
        total += value
        if value > 2**63 or total > 2**63:
            raise invalid
    if negative:
        return Duration(-total)
    if total > MAX_NANOSECONDS:
        raise invalid
    return Duration(total)


def _leading_digits(text: str) -> tuple[str, str]:
    end = next((at for at, character in enumerate(text) if character not in _DIGITS), len(text))
    return text[:end], text[end:]


def _capped(digits: str) -> int:
    """The number, or one that overflows: Python refuses to read thousands of digits."""
    significant = digits.lstrip("0")
    return int(significant or 0) if len(significant) < 20 else 2**64


def _fraction_of(digits: str, size: int) -> int:
    """Nanoseconds in a decimal fraction of a unit, with Go's float steps; digits beyond an int64 are cut."""
    value, scale = 0, 1.0
    for digit in digits:
        if value > (2**63 - 1) // 10 or value * 10 + int(digit) > 2**63:
            break
        value = value * 10 + int(digit)
        scale *= 10
    return int(float(value) * (float(size) / scale)) if value else 0
