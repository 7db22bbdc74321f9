"""A body's bytes to the JSON value that Argo Server would have made of them.

Argo reads a body with Go's encoding/json through grpc-gateway: the content type is never looked at, one
value is taken from the front and what follows it is ignored, invalid UTF-8 becomes U+FFFD, every number is
a float64, and nesting ends at 10000 levels. Python's json agrees on nearly all of it and is fast, so it goes
first; whatever it refuses, or might read differently, is read again by `_read`, which is Go's scanner state
by state and knows Go's words for each mistake.

Source: encoding/json scanner.go, decode.go and stream.go (Go 1.26); grpc-gateway runtime/marshal_jsonpb.go.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from chalicelib.core.errors import BadRequest

MAX_DEPTH = 10000  # encoding/json maxNestingDepth
EXACT_LIMIT = 512 * 1024  # bytes up to which a body that Python refuses is read again; a second's work
MAX_QUOTED = 100  # characters of a sender's own text that an error message repeats

_BLANK = re.compile(r"[ \t\r\n]*")
_STRING_PART = re.compile(r'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_PAIR = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_ESCAPE = re.compile(rf"\\(?:{_PAIR}|u[0-9a-fA-F]{{4}}|.)", re.DOTALL)
# Matches from backslash to backslash, so that the second half of `\\u` is never taken for an escape.
_LONE_SURROGATE = re.compile(rf"\\(?:{_PAIR}|u(?P<lone>[dD][89a-fA-F][0-9a-fA-F]{{2}})|.)", re.DOTALL)
_BRACKETS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|([\[{])|[\]}]', re.DOTALL)
_TOO_DEEP = "[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1)
_SHORT_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS: dict[str, tuple[str, Any]] = {"t": ("true", True), "f": ("false", False), "n": ("null", None)}


def decode(body: bytes) -> Any:
    """The first JSON value in the body; None when there are only blanks. Numbers are floats.

    Raises BadRequest with Go's message for what is not JSON, and with Argo's for a number that no float64 holds
    (which is Argo's 500, though the sender's doing). Unlike Go, a body over EXACT_LIMIT is also refused when it
    is nested deeper than Python's parser goes (about a thousand levels), and in Python's words: a stranger's
    body must not cost seconds.
    """
    text = _text(body)
    start = _end_of_blanks(text, 0)
    if start == len(text):
        return None
    # Only these: Python takes `1` from `1.x` and `NaN` for a value, Go refuses both.
    if text[start] not in '{["':
        return _read(body)
    if "\\u" in text:
        text = _LONE_SURROGATE.sub(_replaced_surrogate, text)
    # Each question is dearer than the one before, and the first nearly always settles it.
    if text.count("[") + text.count("{") > MAX_DEPTH and _python_is_deeper() and _deepest(text) > MAX_DEPTH:
        return _read(body)
    numbers = _Numbers()
    decoder = json.JSONDecoder(
        parse_int=numbers.value, parse_float=numbers.value, parse_constant=_refuse_constant
    )
    try:
        value, _ = decoder.raw_decode(text, start)
    except (ValueError, RecursionError) as error:
        if len(body) > EXACT_LIMIT:
            raise BadRequest(f"invalid JSON: {error}") from error
        return _read(body)
    numbers.check()
    return value


_INFINITE = (math.inf, -math.inf)


class _Numbers:
    """Numbers as float64; the first that does not fit is told once the whole value is known to be JSON."""

    def __init__(self) -> None:
        self._too_large = ""

    def value(self, digits: str) -> float:
        number = float(digits)
        if number in _INFINITE and not self._too_large:
            self._too_large = digits
        return number

    def check(self) -> None:
        if self._too_large:
            raise BadRequest(
                "failed to create workflow template expression environment: json: cannot unmarshal number "
                f"{_shortened(self._too_large)} into Go value of type float64"
            )


def _replaced_surrogate(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape.lastgroup else escape[0]


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "…"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN, Infinity, -Infinity: not JSON


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError:
        # Go replaces byte by byte, errors="replace" would make one mark of a cut-off sequence.
        return re.sub("[\udc80-\udcff]", "\ufffd", body.decode(errors="surrogateescape"))


def _end_of_blanks(text: str, start: int) -> int:
    match = _BLANK.match(text, start)
    assert match is not None, "the pattern matches nothing, too"  # noqa: S101
    return match.end()


def _python_is_deeper() -> bool:
    """Whether Python, with its version's and process's limits, would read what is too deep for Go."""
    try:
        json.loads(_TOO_DEEP)
    except RecursionError:
        return False
    return True


def _deepest(text: str) -> int:
    depth = deepest = 0
    for match in _BRACKETS.finditer(text):
        if match.lastindex:
            depth += 1
            deepest = max(deepest, depth)
        elif match[0] in "]}":
            depth -= 1
    return deepest


def _read(body: bytes) -> Any:
    """Go's scanner: a loop with a stack of its own, so that depth is bounded by MAX_DEPTH and nothing else."""
    text = body.decode("latin-1")  # one character per byte: Go's messages name bytes
    numbers = _Numbers()
    open_values: list[dict[str, Any] | list[Any]] = []
    keys: list[str] = []  # one per open object that waits for its value
    expected = "value"  # value, first element, key, first key, colon, separator
    position = 0
    while True:
        position = _end_of_blanks(text, position)
        if position == len(text):
            if expected == "value" and not open_values:
                return None
            raise _unexpected_end()
        character = text[position]
        closed: dict[str, Any] | list[Any] | None = None
        if expected in ("key", "first key"):
            if character == '"':
                key, position = _string(text, position)
                keys.append(key)
                expected = "colon"
                continue
            if character != "}" or expected == "key":
                raise _invalid(character, "looking for beginning of object key string")
            closed = open_values.pop()
        elif expected == "colon":
            if character != ":":
                raise _invalid(character, "after object key")
            position, expected = position + 1, "value"
            continue
        elif expected == "separator":
            in_object = isinstance(open_values[-1], dict)
            if character == ",":
                position, expected = position + 1, "key" if in_object else "value"
                continue
            if character != ("}" if in_object else "]"):
                raise _invalid(
                    character, "after " + ("object key:value pair" if in_object else "array element")
                )
            closed = open_values.pop()
        elif character in "{[":
            if len(open_values) == MAX_DEPTH:
                raise _invalid(character, "exceeded max depth")
            open_values.append({} if character == "{" else [])
            position, expected = position + 1, "first key" if character == "{" else "first element"
            continue
        elif character == "]" and expected == "first element":
            closed = open_values.pop()
        value: Any
        if closed is not None:
            value, position = closed, position + 1
        else:
            value, position = _scalar(text, position, numbers)
        if not open_values:
            numbers.check()
            return value
        parent = open_values[-1]
        if isinstance(parent, dict):
            parent[keys.pop()] = value
        else:
            parent.append(value)
        expected = "separator"


def _scalar(text: str, position: int, numbers: _Numbers) -> tuple[Any, int]:
    character = text[position]
    if character == '"':
        return _string(text, position)
    if character == "-" or "0" <= character <= "9":
        return _number(text, position, numbers)
    if character in _LITERALS:
        word, value = _LITERALS[character]
        for offset, letter in enumerate(word):
            _expect(text, position + offset, letter, f"in literal {word} (expecting '{letter}')")
        return value, position + len(word)
    raise _invalid(character, "looking for beginning of value")


def _number(text: str, position: int, numbers: _Numbers) -> tuple[float, int]:
    match = _NUMBER.match(text, position)
    if match is None:
        _expect(text, position + 1, "", "in numeric literal")
        raise AssertionError("a minus sign before a digit is a number")
    end = match.end()
    fraction, exponent = match.groups()
    if text[end : end + 1] == "." and fraction is None and exponent is None:
        _expect(text, end + 1, "", "after decimal point in numeric literal")
    if text[end : end + 1] in ("e", "E") and exponent is None:
        sign = 1 if text[end + 1 : end + 2] in ("+", "-") else 0
        _expect(text, end + 1 + sign, "", "in exponent of numeric literal")
    return numbers.value(match[0]), end


def _string(text: str, position: int) -> tuple[str, int]:
    match = _STRING_PART.match(text, position + 1)
    assert match is not None, "the pattern matches nothing, too"  # noqa: S101
    end = match.end()
    if text[end : end + 1] != '"':
        if text[end : end + 1] == "\\":
            if text[end + 1 : end + 2] == "u":
                digits = re.compile("[0-9a-fA-F]*").match(text, end + 2)
                _expect(text, digits.end() if digits else end + 2, "", "in \\u hexadecimal character escape")
            _expect(text, end + 1, "", "in string escape code")
        _expect(text, end, "", "in string literal")
    content = _text(match[0].encode("latin-1"))
    return (_ESCAPE.sub(_unescaped, content) if "\\" in content else content), end + 1


def _unescaped(match: re.Match[str]) -> str:
    escape = match[0]
    if escape[1] != "u":
        return _SHORT_ESCAPES.get(escape[1], escape[1])
    unit = int(escape[2:6], 16)
    if len(escape) == 12:
        return chr(0x10000 + ((unit - 0xD800) << 10) + (int(escape[8:12], 16) - 0xDC00))
    return "\ufffd" if 0xD800 <= unit <= 0xDFFF else chr(unit)


def _expect(text: str, position: int, wanted: str, context: str) -> None:
    """Raises unless `wanted` stands there; with "" it always raises, for the character there or the end."""
    if position >= len(text):
        raise _unexpected_end()
    if text[position] != wanted:
        raise _invalid(text[position], context)


def _unexpected_end() -> BadRequest:
    return BadRequest("unexpected EOF")


def _invalid(character: str, context: str) -> BadRequest:
    return BadRequest(f"invalid character {quoted(character)} {context}")


def quoted(character: str) -> str:
    r"""Go's name for a byte: `'x'`, `'\n'`, `'\x01'`, `'ï'` for 0xEF.

    Source: encoding/json scanner.go, quoteChar; strconv.Quote.
    """
    code = ord(character)
    if character == "'":
        return "'\\''"
    if character == '"':
        return "'\"'"
    if character in _GO_ESCAPES:
        return f"'{_GO_ESCAPES[character]}'"
    if code < 0x20 or code == 0x7F:
        return f"'\\x{code:02x}'"
    if 0x80 <= code <= 0xA0 or code == 0xAD:
        return f"'\\u{code:04x}'"
    return f"'{character}'"


_GO_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
}
