"""sprig's functions on regular expressions, matched by RE2; Go's rules for empty matches and templates.

Texts are searched as bytes, so that offsets are Go's; a byte that is no UTF-8 is no character to RE2, where
Go's `.` takes it. Searching again after each match may read the rest of the text each time, and
is counted so.

Source: Masterminds/sprig v3.3.0 regex.go; Go 1.26 regexp/regexp.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any, Final

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.patterns import compile_pattern
from chalicelib.core.expressions.sprig.functions import (
    INT,
    SLOW,
    STRING,
    Function,
    bounded_items,
    bounded_text,
    steps,
    table,
)
from chalicelib.core.expressions.sprig.strings import quoted
from chalicelib.core.expressions.values import NilStrings, Strings
from chalicelib.core.expressions.values import text as text_of
from chalicelib.core.expressions.values import utf8 as bytes_of

_SCANNED: Final = 64  # bytes that count as a step, each search counted to the end of its text

_NOT_BACKQUOTED = re.compile("[\x00-\x08\x0a-\x1f`\x7f\ufeff\udc80-\udcff]")


def compile_regex(pattern: str) -> Any:
    """The compiled pattern; raises FunctionError in Go's words."""
    return compile_pattern(pattern, capture=True)


def _compiled_or_panic(pattern: str) -> Any:
    """Like `compile_regex` with the words of MustCompile, whose panic is sprig's without `must`."""
    try:
        return compile_regex(pattern)
    except FunctionError as error:
        shown = quoted(pattern) if _NOT_BACKQUOTED.search(pattern) else f"`{pattern}`"
        raise FunctionError(f"regexp: Compile({shown}): {error.message}") from None


_Compile = Callable[[str], Any]
_Spans = list[tuple[int, int]]  # of the match and its groups; (-1, -1) for a group without part in it


def _search(regex: Any, text: bytes, start: int) -> _Spans | None:
    steps().spend(1 + (len(text) - start) // _SCANNED)
    match = regex.search(text, start)
    return None if match is None else [match.span(group) for group in range(regex.groups + 1)]


def _width(text: bytes, at: int) -> int:
    """Bytes of the character at a position; 1 for a stray byte, 0 at the end."""
    for width in (1, 2, 3, 4):
        try:
            return len(text[at : at + width].decode("utf-8").encode("utf-8"))
        except UnicodeDecodeError:
            continue
    return 1


def _matches(regex: Any, text: bytes, limit: int) -> Iterator[tuple[int, int]]:
    """Spans of the matches that do not overlap; no empty one right behind another. All when limit < 0."""
    position, before = 0, -1
    found = 0
    while position <= len(text) and (limit < 0 or found < limit):
        spans = _search(regex, text, position)
        if spans is None:
            return
        start, end = spans[0]
        accepted = True
        if end == position:
            accepted = start != before
            position += _width(text, position) or 1
        else:
            position = end
        before = end
        if accepted:
            found += 1
            bounded_items(found)
            yield start, end


def _match(compile_: _Compile) -> Callable[[str, str], bool]:
    return lambda pattern, text: compile_(pattern).search(bytes_of(text)) is not None


def regex_match(pattern: str, text: str) -> bool:
    """Whether the pattern is found; a bad pattern is found nowhere."""
    try:
        return _match(compile_regex)(pattern, text)
    except FunctionError:
        return False


def _find(compile_: _Compile) -> Callable[[str, str], str]:
    def find(pattern: str, text: str) -> str:
        raw = bytes_of(text)
        match = compile_(pattern).search(raw)
        return text_of(raw[slice(*match.span())]) if match else ""

    return find


def _find_all(compile_: _Compile) -> Callable[[str, str, int], Strings]:
    def find_all(pattern: str, text: str, limit: int) -> Strings:
        raw = bytes_of(text)
        found = Strings(text_of(raw[start:end]) for start, end in _matches(compile_(pattern), raw, limit))
        return found or NilStrings()

    return find_all


def _split(compile_: _Compile) -> Callable[[str, str, int], Strings]:
    def split(pattern: str, text: str, limit: int) -> Strings:
        regex = compile_(pattern)
        if limit == 0:
            return NilStrings()
        if pattern and not text:
            return Strings([""])
        raw = bytes_of(text)
        parts: list[bytes] = []
        begin = end = 0
        for start, stop in _matches(regex, raw, limit):
            if limit > 0 and len(parts) == limit - 1:
                break
            end = start
            if stop != 0:
                parts.append(raw[begin:end])
            begin = stop
        if end != len(raw):
            parts.append(raw[begin:])
        return Strings(map(text_of, parts))

    return split


def _replace(compile_: _Compile, *, literal: bool) -> Callable[[str, str, str], str]:
    def replace(pattern: str, text: str, replacement: str) -> str:
        regex = compile_(pattern)
        raw = bytes_of(text)
        template = _template(replacement, literal=literal)
        parts: list[bytes] = []
        size = last_end = position = 0
        while position <= len(raw):
            spans = _search(regex, raw, position)
            if spans is None:
                break
            start, end = spans[0]
            parts.append(raw[last_end:start])
            if end > last_end or start == 0:
                parts.append(_expanded(template, regex, raw, spans))
                size += len(parts[-1])
                bounded_text(size)
            last_end = end
            width = _width(raw, position)
            position = max(end, position + (width or 1))
        parts.append(raw[last_end:])
        return text_of(b"".join(parts))

    return replace


_REFERENCE = re.compile(r"\$(?:(\$)|\{(\w+)\}|(\w+))")


@lru_cache(maxsize=64)
def _template(replacement: str, *, literal: bool) -> tuple[bytes | str, ...]:
    """A replacement as literal bytes and names of groups. A dollar that begins no name is itself."""
    if literal:
        return (bytes_of(replacement),)
    parts: list[bytes | str] = []
    position = 0
    for match in _REFERENCE.finditer(replacement):
        dollar, braced, bare = match.groups()
        parts.append(bytes_of(replacement[position : match.start()]))
        parts.append(b"$" if dollar else braced or bare)
        position = match.end()
    return (*parts, bytes_of(replacement[position:]))


def _expanded(template: tuple[bytes | str, ...], regex: Any, raw: bytes, spans: _Spans) -> bytes:
    return b"".join(part if isinstance(part, bytes) else _group(part, regex, raw, spans) for part in template)


def _group(name: str, regex: Any, raw: bytes, spans: _Spans) -> bytes:
    """What a group matched; nothing for one that has no part in the match or does not exist."""
    if name.isascii() and name.isdigit() and not (len(name) > 1 and name[0] == "0") and len(name) < 9:
        number = int(name)
    else:
        number = regex.groupindex.get(name, regex.groupindex.get(name.encode(), -1))
    if not 0 <= number < len(spans) or spans[number][0] < 0:
        return b""
    return raw[slice(*spans[number])]


_META = frozenset("\\.+*?()|[]{}^$")


def quote_meta(text: str) -> str:
    """A pattern that matches the text and nothing else."""
    return "".join("\\" + character if character in _META else character for character in text)


FUNCTIONS = table(
    Function("regexFind", (STRING, STRING), _find(_compiled_or_panic)),
    Function("mustRegexFind", (STRING, STRING), _find(compile_regex)),
    Function("regexFindAll", (STRING, STRING, INT), _find_all(_compiled_or_panic)),
    Function("mustRegexFindAll", (STRING, STRING, INT), _find_all(compile_regex)),
    Function("regexMatch", (STRING, STRING), regex_match),
    Function("mustRegexMatch", (STRING, STRING), _match(compile_regex)),
    Function("regexQuoteMeta", (STRING,), quote_meta, weight=SLOW),
    Function("regexReplaceAll", (STRING, STRING, STRING), _replace(_compiled_or_panic, literal=False)),
    Function("mustRegexReplaceAll", (STRING, STRING, STRING), _replace(compile_regex, literal=False)),
    Function("regexReplaceAllLiteral", (STRING, STRING, STRING), _replace(_compiled_or_panic, literal=True)),
    Function("mustRegexReplaceAllLiteral", (STRING, STRING, STRING), _replace(compile_regex, literal=True)),
    Function("regexSplit", (STRING, STRING, INT), _split(_compiled_or_panic)),
    Function("mustRegexSplit", (STRING, STRING, INT), _split(compile_regex)),
)
