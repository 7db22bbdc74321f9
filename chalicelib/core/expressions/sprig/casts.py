"""Any value as a number, the lenient way: what cannot be converted is 0.

Texts follow Go's literals: `0x1f`, `0b1`, `017` and `1_000` are numbers, `5.00` is an integer.

Source: spf13/cast v1.7.0 caste.go; Go 1.26 strconv/atoi.go, strconv/atof.go.
"""

from __future__ import annotations

import math
import re
from typing import Any

from chalicelib.core.expressions.times import Month, Weekday
from chalicelib.core.expressions.values import MAX_INT, MIN_INT, truncate

_DECIMAL = re.compile(r"(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9_]+)(?:[eE][+-]?[0-9][0-9_]*)?")
_HEXADECIMAL = re.compile(r"0[xX](?:[0-9a-fA-F_]+(?:\.[0-9a-fA-F_]*)?|\.[0-9a-fA-F_]+)[pP][+-]?[0-9][0-9_]*")
_INFINITE = re.compile(r"[+-]?(?:inf|infinity)|nan", re.IGNORECASE)
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_TRAILING_ZEROS = re.compile(r"\.0+\Z")
_MAX_DIGITS = 4096  # Python refuses to read more digits than about this many; no number needs them


def underscores_fit(text: str) -> bool:
    """Whether every underscore stands between digits, or between a base's prefix and a digit."""
    text = text[1:] if text[:1] in ("+", "-") else text
    before = "^"  # nothing yet
    hexadecimal = False
    if text[:1] == "0" and text[1:2].lower() in ("b", "o", "x") and len(text) > 1:
        before, hexadecimal, text = "0", text[1] in "xX", text[2:]
    for character in text:
        if character.isascii() and (character.isdigit() or (hexadecimal and character.lower() in "abcdef")):
            before = "0"
        elif character == "_":
            if before != "0":
                return False
            before = "_"
        else:
            if before == "_":
                return False
            before = "!"
    return before != "_"


def parse_int(text: str, base: int) -> int | None:
    """Go's ParseInt: None for what is no number; one too large is cut to the nearest int64.

    Base 0 takes the base from the prefix and allows underscores.
    """
    number = _integer(text, base)
    return None if number is None else max(MIN_INT, min(MAX_INT, number))


def int64_of(text: str, base: int) -> int | None:
    """Like `parse_int`, but None for what is too large as well."""
    number = _integer(text, base)
    return number if number is not None and MIN_INT <= number <= MAX_INT else None


def _integer(text: str, base: int) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or not digits.isascii():
        return None
    if base == 0:
        if "_" in digits and not underscores_fit(text):
            return None
        base, digits = _prefixed(digits)
        digits = digits.replace("_", "")
    if any(digit not in _DIGITS[:base] for digit in digits.lower()):
        return None
    digits = digits.lstrip("0")
    number = int(digits or "0", base) if len(digits) <= 64 else 2**64  # too large in every base
    return -number if text[0] == "-" else number


def _prefixed(digits: str) -> tuple[int, str]:
    if digits[0] != "0" or len(digits) == 1:
        return 10, digits
    base = {"b": 2, "o": 8, "x": 16}.get(digits[1].lower())
    return (base, digits[2:]) if base and len(digits) > 2 else (8, digits[1:])


def parse_float(text: str) -> float | None:
    """Go's ParseFloat: None for what is no number or beyond float64."""
    if _INFINITE.fullmatch(text):
        return float(text)
    body = text[1:] if text[:1] in ("+", "-") else text
    if "_" in body and not underscores_fit(text):
        return None
    plain = text.replace("_", "")
    if len(plain) > _MAX_DIGITS:
        return None
    if _DECIMAL.fullmatch(body):
        number = float(plain)
    elif _HEXADECIMAL.fullmatch(body):
        try:
            number = float.fromhex(plain)
        except (OverflowError, ValueError):
            return None
    else:
        return None
    return None if math.isinf(number) else number


def to_int64(value: Any) -> int:
    """The value as an integer; 0 for what is none."""
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return truncate(value)
    if isinstance(value, Month | Weekday):
        return value.number
    if isinstance(value, str):
        return int64_of(_TRAILING_ZEROS.sub("", value), 0) or 0
    return 0


def to_float64(value: Any) -> float:
    """The value as a float; 0 for what is none."""
    if isinstance(value, str):
        number = parse_float(value)
        return 0.0 if number is None else number
    if isinstance(value, Month | Weekday):
        return float(value.number)
    return float(value) if isinstance(value, int | float) else 0.0
