"""The words of an expression: source text in, tokens out.

A token knows its kind, its value (strings already unescaped) and its offset in code points. An error is a
token as well, of kind ERROR: Go reads tokens one at a time, so a mistake in the grammar before it is what
the author hears about first.

Source: expr v1.17.8 parser/lexer.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Final, NamedTuple

IDENTIFIER: Final = "Identifier"
NUMBER: Final = "Number"
STRING: Final = "String"
BYTES: Final = "Bytes"
OPERATOR: Final = "Operator"
BRACKET: Final = "Bracket"
EOF: Final = "EOF"
ERROR: Final = "Error"

WORDS: Final = frozenset(
    {"not", "in", "or", "and", "matches", "contains", "startsWith", "endsWith", "let", "if", "else"}
)  # operators made of letters


class Token(NamedTuple):
    kind: str
    value: str | bytes
    offset: int  # code points

    def __str__(self) -> str:
        if not self.value:
            return self.kind
        return f"{self.kind}({quoted(self.value)})"

    def is_operator(self, value: str) -> bool:
        return self.kind == OPERATOR and self.value == value

    def is_bracket(self, value: str) -> bool:
        return self.kind == BRACKET and self.value == value


# What needs no second look; everything else goes to `_Reader.slow`.
_PLAIN = re.compile(
    r"""
    (?P<space>[ \t\n\v\f\r\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+)
    | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*(?![A-Za-z0-9_$\x80-\U0010ffff'"]))
    | (?P<integer>(?:[1-9][0-9]*|0)(?![0-9A-Za-z_$.\x80-\U0010ffff]))
    | (?P<string>"[^"\\\n\r]*"|'[^'\\\n\r]*')
    | (?P<operator>\?[.?]?|\|\|?|::?|[,;%+^-]|[&!=*<>][&=*]?|\.\.|\.(?![0-9])|/(?![/*]))
    | (?P<bracket>[()\[\]{}])
    """,
    re.VERBOSE,
)
_NUMBER = re.compile(r"0[xX][0-9a-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*")
_DIGITS = {"x": re.compile(r"[0-9a-fA-F_]*"), "o": re.compile(r"[0-7_]*"), "b": re.compile(r"[01_]*")}
_DECIMAL = re.compile(r"[0-9_]*")
_SPACES: Final = frozenset("\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000") | frozenset(
    map(chr, range(0x2000, 0x200B))
)
_ESCAPES: Final = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\",
    "'": "'", '"': '"',
}  # fmt: skip
_GO_ESCAPES: Final = {v: f"\\{k}" for k, v in _ESCAPES.items() if k != "'"}


def is_alphanumeric(char: str) -> bool:
    """Whether a character may be part of a name: a Unicode letter or decimal digit, ``_`` or ``$``."""
    if char.isascii():
        return char.isalnum() or char in ("_", "$")
    return unicodedata.category(char)[0] == "L" or unicodedata.category(char) == "Nd"


def is_name(text: str) -> bool:
    """Whether the text is a valid identifier, word operators included."""
    return (
        bool(text)
        and is_alphanumeric(text[0])
        and not text[0].isdecimal()
        and all(map(is_alphanumeric, text))
    )


def quoted(value: str | bytes) -> str:
    """A string as Go's %q shows it."""
    chars = value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value
    shown = []
    for char in chars:
        code = ord(char)
        if char in _GO_ESCAPES:
            shown.append(_GO_ESCAPES[char])
        elif 0xDC80 <= code <= 0xDCFF:
            shown.append(f"\\x{code - 0xDC00:02x}")
        elif char == " " or (char.isprintable() and unicodedata.category(char) != "Cs"):
            shown.append(char)
        elif code < 0x80:
            shown.append(f"\\x{code:02x}")
        else:
            shown.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(shown) + '"'


def tokenize(source: str) -> list[Token]:
    """The tokens of the source; the last is EOF or ERROR."""
    tokens: list[Token] = []
    reader = _Reader(source, tokens)
    at, end = 0, len(source)
    match_plain = _PLAIN.match
    try:
        while at < end:
            match = match_plain(source, at)
            if match is None:
                at = reader.slow(at)
                continue
            kind = match.lastgroup
            if kind == "name":
                name = match.group()
                tokens.append(Token(OPERATOR if name in WORDS else IDENTIFIER, name, at))
            elif kind == "operator":
                tokens.append(Token(OPERATOR, match.group(), at))
            elif kind == "string":
                tokens.append(Token(STRING, source[at + 1 : match.end() - 1], at))
            elif kind == "bracket":
                tokens.append(Token(BRACKET, match.group(), at))
            elif kind == "integer":
                tokens.append(Token(NUMBER, match.group(), at))
            at = match.end()
        tokens.append(Token(EOF, "", max(end - 1, 0)))
    except _Mistake as mistake:
        tokens.append(Token(ERROR, mistake.message, mistake.offset))
    return tokens


class _Mistake(Exception):  # never leaves this module
    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.message, self.offset = message, offset


@dataclass(frozen=True)
class _Reader:
    """The rare words: comments, escapes, floats, letters beyond ASCII. Each method returns where it ended."""

    source: str
    tokens: list[Token]

    def peek(self, at: int) -> str:
        return self.source[at] if at < len(self.source) else ""

    def slow(self, at: int) -> int:
        char, following = self.source[at], self.peek(at + 1)
        if char in "'\"":
            return self.string(at, at)
        if char == "`":
            return self.raw_string(at)
        if char in "bB" and following and following in "'\"":
            return self.string(at, at + 1)
        if char == "/":
            return self.line_comment(at) if following == "/" else self.block_comment(at)
        if char.isascii() and char.isdigit():
            return self.number(at, at)
        if char == ".":
            return self.number(at, at + 1)
        if char == "#":
            return self.pointer(at)
        if is_alphanumeric(char):
            end = self.name_end(at)
            name = self.source[at:end]
            self.tokens.append(Token(OPERATOR if name in WORDS else IDENTIFIER, name, at))
            return end
        shown = f" '{char}'" if char.isprintable() else ""
        raise _Mistake(f"unrecognized character: U+{ord(char):04X}{shown}", at)

    def name_end(self, at: int) -> int:
        while at < len(self.source) and is_alphanumeric(self.source[at]):
            at += 1
        return at

    def pointer(self, at: int) -> int:
        """'#' or '##', and the name that touches it: even ``#in`` is a name."""
        end = at + (2 if self.peek(at + 1) == "#" else 1)
        self.tokens.append(Token(OPERATOR, self.source[at:end], at))
        name_end = self.name_end(end)
        if name_end > end:
            self.tokens.append(Token(IDENTIFIER, self.source[end:name_end], end))
        return name_end

    def line_comment(self, at: int) -> int:
        end = self.source.find("\n", at)
        return len(self.source) if end < 0 else end + 1

    def block_comment(self, at: int) -> int:
        end = self.source.find("*/", at + 2)
        if end < 0:
            raise _Mistake("unclosed comment", len(self.source))
        return end + 2

    def number(self, start: int, at: int) -> int:
        """digits [ '.' digits ] [ e [sign] digits ]; two dots after the digits are a range."""
        source = self.source
        prefix = source[at + 1 : at + 2].lower() if source[at : at + 1] == "0" else ""
        digits = _DIGITS.get(prefix, _DECIMAL)
        match = _NUMBER.match(source, at)
        end = match.end() if match else at
        if self.peek(end) == ".":
            if self.peek(end + 1) == ".":
                self.tokens.append(Token(NUMBER, source[start:end], start))
                return end
            end = _run(digits, source, end + 1)
        if self.peek(end) in ("e", "E"):
            end += 1
            if self.peek(end) in ("+", "-"):
                end += 1
            end = _run(digits, source, end)
        if end < len(source) and is_alphanumeric(source[end]):
            raise _Mistake(f"bad number syntax: {quoted(source[start : end + 1])}", end)
        self.tokens.append(Token(NUMBER, source[start:end], start))
        return end

    def raw_string(self, at: int) -> int:
        """Backticks; a doubled one inside is one."""
        end = at + 1
        while True:
            end = self.source.find("`", end)
            if end < 0:
                raise _Mistake("literal not terminated", len(self.source))
            if self.peek(end + 1) != "`":
                break
            end += 2
        self.tokens.append(Token(STRING, self.source[at + 1 : end].replace("``", "`"), at))
        return end + 1

    def string(self, start: int, at: int) -> int:
        """A quoted string, or bytes when something stands before the quote."""
        source, quote = self.source, self.source[at]
        is_bytes = start != at
        escapes: list[tuple[int, int]] = []
        end = at + 1
        while True:
            char = self.peek(end)
            if char in ("", "\n"):
                raise _Mistake("literal not terminated", end)
            if char == quote:
                break
            if char == "\\":
                escape_end = self.escape(end + 1, quote)
                escapes.append((end, escape_end))
                end = escape_end
            else:
                end += 1
        try:
            value = _unescaped(source, at + 1, end, escapes, is_bytes)
        except ValueError as error:
            raise _Mistake(str(error), end) from None
        self.tokens.append(Token(BYTES if is_bytes else STRING, value, start))
        return end + 1

    def escape(self, at: int, quote: str) -> int:
        """The end of an escape whose letter is at `at`."""
        char = self.peek(at)
        if char == quote or (char and char in "abfnrtv\\"):
            return at + 1
        if char and char in "01234567":
            return self.escape_digits(at, 8, 3)
        if char == "x":
            return self.escape_digits(at + 1, 16, 2)
        if char == "U":
            return self.escape_digits(at + 1, 16, 8)
        if char == "u" and self.peek(at + 1) != "{":
            return self.escape_digits(at + 1, 16, 4)
        if char == "u":
            end = at + 2
            while _is_hex(self.peek(end)) and end - at - 2 < 6:
                end += 1
            if self.peek(end) != "}" or end == at + 2:
                raise _Mistake("invalid char escape", end - 1)
            return end + 1
        raise _Mistake("invalid char escape", at)

    def escape_digits(self, at: int, base: int, count: int) -> int:
        for end in range(at, at + count):
            char = self.peek(end)
            if not (_is_hex(char) and int(char, 16) < base):
                raise _Mistake("invalid char escape", end)
        return at + count


def _run(digits: re.Pattern[str], source: str, at: int) -> int:
    match = digits.match(source, at)
    return match.end() if match else at


def _is_hex(char: str) -> bool:
    return char != "" and char in "0123456789abcdefABCDEF"


def _unescaped(
    source: str, start: int, end: int, escapes: list[tuple[int, int]], is_bytes: bool
) -> str | bytes:
    chunks: list[str] = []
    at = start
    for first, last in escapes:
        chunks.append(_one_line(source[at:first]))
        chunks.append(_byte_of(source[first + 1 : last]) if is_bytes else _char_of(source[first + 1 : last]))
        at = last
    chunks.append(_one_line(source[at:end]))
    value = "".join(chunks)
    return value.encode("utf-8", "surrogateescape") if is_bytes else value


def _one_line(chunk: str) -> str:
    return chunk.replace("\r\n", "\n").replace("\r", "\n") if "\r" in chunk else chunk


def _char_of(escape: str) -> str:
    letter = escape[0]
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter in "01234567":
        if letter > "3":
            raise ValueError("unable to unescape string")
        return chr(int(escape, 8))
    code = int(escape[1:].strip("{}"), 16)
    if code > 0x10FFFF:
        raise ValueError("unable to unescape string")
    return "\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)


def _byte_of(escape: str) -> str:
    """The escape's byte, as `surrogateescape` writes it."""
    letter = escape[0]
    if letter in _ESCAPES:
        return _ESCAPES[letter]
    if letter not in "0123x":
        raise ValueError("unable to unescape string")
    code = int(escape[1:], 16) if letter == "x" else int(escape, 8)
    return bytes([code]).decode("ascii", "surrogateescape")
