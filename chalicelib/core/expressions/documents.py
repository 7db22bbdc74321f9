"""JSON text to Go values, as Go's json.Unmarshal reads it, with Go's words for each mistake.

Python's own decoder goes first: it is fast and agrees on what is right. What it refuses, and what nests deep,
is read by `_Scanner`, which keeps its own stack.

Source: Go 1.26 encoding/json/scanner.go, decode.go.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, NoReturn

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import has_stray_bytes, printable, utf8

MAX_NESTING: Final = 10_000
_SAFE_NESTING: Final = 100  # brackets in all that Python's decoder, which recurses in C, is trusted with
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII)
_PLAIN = re.compile(r'[^"\\\x00-\x1f]*')
_UNPAIRED = re.compile("[\ud800-\udfff]")
_ESCAPES: Final = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_LITERALS: Final[dict[str, tuple[str, Any]]] = {
    "t": ("true", True),
    "f": ("false", False),
    "n": ("null", None),
}


def unmarshal(source: str) -> Any:
    """The value of a JSON text; numbers are float64. Raises FunctionError in Go's words."""
    raw = source
    if has_stray_bytes(source):
        source = printable(source)
    if source.count("[") + source.count("{") <= _SAFE_NESTING and "\\u" not in source:
        try:
            return _decoder.decode(source)
        except ValueError:
            pass  # the scanner says what is wrong
    return _Scanner(source, raw).document()


def reading(source: str) -> int:
    """The steps that reading a JSON text takes."""
    parts = sum(map(source.count, ("[", "{", ",", "\\")))
    return (len(source) >> 1) + 4 * parts


def _number(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise FunctionError(f"json: cannot unmarshal number {digits} into Go value of type float64")
    return number


def _refuse(_: str) -> NoReturn:
    raise ValueError


_decoder = json.JSONDecoder(parse_int=_number, parse_float=_number, parse_constant=_refuse)


class _Scanner:
    def __init__(self, source: str, raw: str) -> None:
        self.source, self.raw = source, raw  # character by character the same, but for stray bytes
        self.at = 0

    def document(self) -> Any:
        value = self.value()
        self.spaces()
        if self.at < len(self.source):
            raise self.unexpected("after top-level value")
        return value

    def spaces(self) -> None:
        match = _SPACE.match(self.source, self.at)
        self.at = match.end() if match else self.at

    def unexpected(self, where: str, *, blank: bool = False) -> FunctionError:
        """The mistake at this place; Go scans bytes, and names the first of a character.

        The end of the text looks like a blank to Go's scanner, which `blank` says is a mistake here.
        """
        if self.at >= len(self.source) and not blank:
            return FunctionError("unexpected end of JSON input")
        char = chr(utf8(self.raw[self.at])[0]) if self.at < len(self.source) else " "
        special = {"'": "'\\''", '"': "'\"'"}
        short = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f", "\\": "\\\\"}
        shown = special.get(char) or f"'{short.get(char, char if char.isprintable() else _hex(char))}'"
        return FunctionError(f"invalid character {shown} {where}")

    def value(self) -> Any:
        """A value with all it holds; `open_` are the lists and maps around the place."""
        open_: list[tuple[Any, str]] = []  # the container, and the key that waits for a value
        while True:
            self.spaces()
            char = self.source[self.at : self.at + 1]
            if char in ("[", "{"):
                if len(open_) >= MAX_NESTING:
                    raise FunctionError("exceeded max depth")
                self.at += 1
                container: Any = [] if char == "[" else {}
                self.spaces()
                if self.source[self.at : self.at + 1] != ("]" if char == "[" else "}"):
                    open_.append((container, "" if char == "[" else self.key()))
                    continue
                self.at += 1
                value: Any = container
            else:
                value = self.scalar(char)
            while open_:
                container, key = open_.pop()
                if isinstance(container, list):
                    container.append(value)
                else:
                    container[key] = value
                if self.another(container):
                    open_.append((container, "" if isinstance(container, list) else self.key()))
                    break
                value = container
            else:
                return value

    def another(self, container: Any) -> bool:
        """Whether a comma follows; the closing bracket is read."""
        self.spaces()
        char = self.source[self.at : self.at + 1]
        is_list = isinstance(container, list)
        if char == ",":
            self.at += 1
            return True
        if char == ("]" if is_list else "}"):
            self.at += 1
            return False
        raise self.unexpected("after array element" if is_list else "after object key:value pair")

    def key(self) -> str:
        self.spaces()
        if self.source[self.at : self.at + 1] != '"':
            raise self.unexpected("looking for beginning of object key string")
        key = self.string()
        self.spaces()
        if self.source[self.at : self.at + 1] != ":":
            raise self.unexpected("after object key")
        self.at += 1
        return key

    def scalar(self, char: str) -> Any:
        if char == '"':
            return self.string()
        if char in _LITERALS and char:
            return self.literal(*_LITERALS[char])
        match = _NUMBER.match(self.source, self.at)
        if match is not None:
            self.at = match.end()
            self.number_goes_on(match.group())
            return _number(match.group())
        if char == "-":
            self.at += 1
            raise self.unexpected("in numeric literal", blank=True)
        raise self.unexpected("looking for beginning of value")

    def number_goes_on(self, digits: str) -> None:
        """A point or an exponent that nothing follows is a mistake of its own."""
        char = self.source[self.at : self.at + 1]
        if char == "." and "." not in digits and "e" not in digits.lower():
            self.at += 1
            raise self.unexpected("after decimal point in numeric literal", blank=True)
        if char in ("e", "E") and "e" not in digits.lower():
            self.at += 1
            if self.source[self.at : self.at + 1] in ("+", "-"):
                self.at += 1
            raise self.unexpected("in exponent of numeric literal", blank=True)

    def literal(self, word: str, value: Any) -> Any:
        for index, letter in enumerate(word):
            if self.source[self.at : self.at + 1] != letter:
                raise self.unexpected(f"in literal {word} (expecting '{word[index]}')", blank=True)
            self.at += 1
        return value

    def string(self) -> str:
        self.at += 1
        chunks: list[str] = []
        while True:
            match = _PLAIN.match(self.source, self.at)
            end = match.end() if match else self.at
            chunks.append(self.source[self.at : end])
            self.at = end
            char = self.source[end : end + 1]
            if char == '"':
                self.at += 1
                joined = "".join(chunks)
                if _UNPAIRED.search(joined) is None:
                    return joined
                return joined.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            if char != "\\":
                raise self.unexpected("in string literal")
            chunks.append(self.escape())

    def escape(self) -> str:
        self.at += 1
        letter = self.source[self.at : self.at + 1]
        if letter in _ESCAPES and letter:
            self.at += 1
            return _ESCAPES[letter]
        if letter != "u":
            raise self.unexpected("in string escape code", blank=True)
        self.at += 1
        start = self.at
        for _ in range(4):
            char = self.source[self.at : self.at + 1]
            if not char or char not in "0123456789abcdefABCDEF":
                raise self.unexpected("in \\u hexadecimal character escape", blank=True)
            self.at += 1
        return chr(int(self.source[start : self.at], 16))


def _hex(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 0x80 else f"\\u{ord(char):04x}"
