"""sprig's functions on strings.

Many count bytes, not characters, as Go's slices do: `trunc` may cut a character apart. `bytes_of` and
`text_of` go there and back without loss.

Source: Masterminds/sprig v3.3.0 strings.go; Masterminds/goutils v1.1.1 stringutils.go, wordutils.go.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig import cases
from chalicelib.core.expressions.sprig.cases import SPACES
from chalicelib.core.expressions.sprig.functions import (
    ANY,
    INT,
    SLOW,
    STRING,
    Function,
    bounded_items,
    bounded_text,
    printed,
    strval,
    table,
)
from chalicelib.core.expressions.values import StringMap, Strings, items_of
from chalicelib.core.expressions.values import join as join_text
from chalicelib.core.expressions.values import text as text_of
from chalicelib.core.expressions.values import utf8 as bytes_of

_SPACES = "".join(sorted(SPACES))
_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quoted(text: str) -> str:
    """The text as a Go literal, %q: double quotes, and escapes for what does not print."""
    return '"' + "".join(map(_quoted_rune, text)) + '"'


def _quoted_rune(rune: str) -> str:
    if rune in _ESCAPES:
        return _ESCAPES[rune]
    code = ord(rune)
    if rune.isprintable():
        return rune
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quote(*values: Any) -> str:
    """Each value that is not nil in double quotes, escaped, blanks between."""
    parts = [quoted(strval(value)) for value in values if value is not None]
    bounded_text(sum(map(len, parts)))
    return " ".join(parts)


def squote(*values: Any) -> str:
    """Each value that is not nil in single quotes, as it prints, blanks between."""
    return _spaced(f"'{printed(value)}'" for value in values if value is not None)


def cat(*values: Any) -> str:
    """Each value that is not nil as it prints, blanks between."""
    return _spaced(printed(value) for value in values if value is not None)


def _spaced(parts: Iterable[str]) -> str:
    kept = list(parts)
    bounded_text(sum(map(len, kept)))
    return join_text(kept, " ")


def abbrev(width: int, text: str) -> str:
    """The text cut to a width, its end "..."."""
    return text if width < 4 else _abbreviated(text, 0, width)


def abbrevboth(left: int, right: int, text: str) -> str:
    """The text cut at both ends: from an offset on, and to a width."""
    if right < 4 or (left > 0 and right < 7):
        return text
    return _abbreviated(text, left, right)


def _abbreviated(text: str, offset: int, width: int) -> str:
    raw = bytes_of(text)
    if len(raw) <= width:
        return text
    offset = min(offset, len(raw))
    if len(raw) - offset < width - 3:
        offset = len(raw) - (width - 3)
    if offset <= 4:
        return text_of(raw[: width - 3]) + "..."
    if width < 7:
        return ""
    if offset + width - 3 < len(raw):
        return "..." + _abbreviated(text_of(raw[offset:]), 0, width - 3)
    return "..." + text_of(raw[len(raw) - (width - 3) :])


def trunc(count: int, text: str) -> str:
    """The first bytes of a text, the last for a negative count."""
    raw = bytes_of(text)
    if count < 0:
        return text_of(raw[count:]) if len(raw) + count > 0 else text
    return text_of(raw[:count])


def substr(start: int, end: int, text: str) -> str:
    """The bytes from `start` to before `end`; from the beginning or to the end for what is negative."""
    raw = bytes_of(text)
    size = len(raw)
    if start < 0:
        if not 0 <= end <= size:
            raise FunctionError(_bounds(f":{end}", end, size))
        return text_of(raw[:end])
    if end < 0 or end > size:
        if start > size:
            raise FunctionError(f"runtime error: slice bounds out of range [{start}:{size}]")
        return text_of(raw[start:])
    if start > end:
        raise FunctionError(f"runtime error: slice bounds out of range [{start}:{end}]")
    return text_of(raw[start:end])


def _bounds(bounds: str, end: int, size: int) -> str:
    length = f" with length {size}" if end > size else ""
    return f"runtime error: slice bounds out of range [{bounds}]{length}"


def repeat(count: int, text: str) -> str:
    """The text so many times. Raises FunctionError for a negative count."""
    if count < 0:
        raise FunctionError("strings: negative Repeat count")
    bounded_text(count * len(text))
    return text * count


def indent(spaces: int, text: str) -> str:
    """The text with every line moved in."""
    pad = repeat(spaces, " ")
    bounded_text(len(text) + spaces * (1 + text.count("\n")))
    return pad + text.replace("\n", "\n" + pad)


def nindent(spaces: int, text: str) -> str:
    """The same behind a line end."""
    return "\n" + indent(spaces, text)


def replace(old: str, new: str, text: str) -> str:
    """The text with every `old` as `new`; an empty `old` stands between all characters."""
    if old:
        found = bytes_of(text).count(bytes_of(old))
        bounded_text(len(text) + found * (len(new) - len(old)))
        return text_of(bytes_of(text).replace(bytes_of(old), bytes_of(new)))
    bounded_text(len(text) + (len(text) + 1) * len(new))
    return join_text(["", *text, ""], new)


def nospace(text: str) -> str:
    """Without white space; where there was any, the bytes of other characters become characters."""
    kept = [chr(byte) for byte in bytes_of(text) if chr(byte) not in SPACES]
    return text if len(kept) == len(bytes_of(text)) else "".join(kept)


def initials(text: str) -> str:
    """The first byte of every word, as a character."""
    found = []
    after_space = True
    for rune in map(chr, bytes_of(text)):
        if rune in SPACES:
            after_space = True
        elif after_space:
            found.append(rune)
            after_space = False
    return "".join(found)


def wrap(width: int, text: str) -> str:
    """The text in lines of a width; a longer word has a line of its own."""
    return _wrapped(width, text, "", break_words=False)


def wrap_with(width: int, separator: str, text: str) -> str:
    """The same with any text between lines; a longer word is broken."""
    return _wrapped(width, text, separator, break_words=True)


def _wrapped(width: int, text: str, separator: str, *, break_words: bool) -> str:
    raw, line_end = bytes_of(text), bytes_of(separator or "\n")
    width = max(width, 1)
    lines: list[bytes] = []
    offset = 0
    while len(raw) - offset > width:
        if raw[offset] == 0x20:
            offset += 1
            continue
        space = raw.rfind(b" ", offset, offset + width + 1)
        if space < 0 and break_words:
            lines.append(raw[offset : offset + width])
            offset += width
            continue
        if space < 0:
            space = raw.find(b" ", offset + width)
            if space < 0:
                break
        lines.append(raw[offset:space])
        offset = space + 1
        bounded_text(len(raw) + len(lines) * len(line_end))
    bounded_text(len(raw) + len(lines) * len(line_end))
    return text_of(line_end.join([*lines, raw[offset:]]))


def split_list(separator: str, text: str) -> Strings:
    """The parts of a text around a separator."""
    return Strings(_split(text, separator, -1))


def _split(text: str, separator: str, count: int) -> list[str]:
    """Go's SplitN: an empty separator cuts after every character; 0 gives nothing, below 0 all."""
    if count == 0:
        return []
    if not separator:
        bounded_items(len(text))
        if count < 0 or count > len(text):
            return list(text)
        return [*text[: count - 1], text[count - 1 :]]
    parts = bytes_of(text).split(bytes_of(separator), count - 1 if count > 0 else -1)
    bounded_items(len(parts))
    return list(map(text_of, parts))


def split(separator: str, text: str) -> StringMap:
    """The parts as a map from `_0` on."""
    return _numbered(_split(text, separator, -1))


def splitn(separator: str, count: int, text: str) -> StringMap:
    """The same with at most `count` parts."""
    return _numbered(_split(text, separator, count))


def _numbered(parts: list[str]) -> StringMap:
    return StringMap({f"_{index}": part for index, part in enumerate(parts)})


def to_strings(value: Any) -> Strings:
    """Every item that is not nil as text; a single value as a list of one."""
    if isinstance(value, Strings):
        return value
    if isinstance(value, list | bytes):
        return Strings(strval(item) for item in items_of(value) if item is not None)
    return Strings([] if value is None else [strval(value)])


def join(separator: str, value: Any) -> str:
    """The items as texts, a separator between."""
    parts = to_strings(value)
    bounded_text(sum(map(len, parts)) + len(separator) * len(parts))
    return join_text(parts, separator)


def trim_all(cutset: str, text: str) -> str:
    """The text without characters of a set at its ends."""
    return text.strip(cutset) if cutset else text


def trim_prefix(prefix: str, text: str) -> str:
    """The text without a prefix, once."""
    return text_of(bytes_of(text).removeprefix(bytes_of(prefix)))


def trim_suffix(suffix: str, text: str) -> str:
    """The text without a suffix, once."""
    return text_of(bytes_of(text).removesuffix(bytes_of(suffix)))


FUNCTIONS = table(
    Function("abbrev", (INT, STRING), abbrev),
    Function("abbrevboth", (INT, INT, STRING), abbrevboth),
    Function("camelcase", (STRING,), cases.camelcase, weight=SLOW),
    Function("cat", (ANY,), cat, variadic=True),
    Function("contains", (STRING, STRING), lambda part, text: bytes_of(part) in bytes_of(text)),
    Function("hasPrefix", (STRING, STRING), lambda part, text: bytes_of(text).startswith(bytes_of(part))),
    Function("hasSuffix", (STRING, STRING), lambda part, text: bytes_of(text).endswith(bytes_of(part))),
    Function("hello", (), lambda: "Hello!"),
    Function("indent", (INT, STRING), indent),
    Function("initials", (STRING,), initials, weight=SLOW),
    Function("join", (STRING, ANY), join),
    Function("kebabcase", (STRING,), cases.kebabcase, weight=SLOW),
    Function("lower", (STRING,), cases.lower, weight=SLOW),
    Function("nindent", (INT, STRING), nindent),
    Function("nospace", (STRING,), nospace, weight=SLOW),
    Function("plural", (STRING, STRING, INT), lambda one, many, count: one if count == 1 else many),
    Function("quote", (ANY,), quote, variadic=True, weight=SLOW),
    Function("repeat", (INT, STRING), repeat),
    Function("replace", (STRING, STRING, STRING), replace),
    Function("snakecase", (STRING,), cases.snakecase, weight=SLOW),
    Function("split", (STRING, STRING), split),
    Function("splitList", (STRING, STRING), split_list),
    Function("splitn", (STRING, INT, STRING), splitn),
    Function("squote", (ANY,), squote, variadic=True),
    Function("substr", (INT, INT, STRING), substr),
    Function("swapcase", (STRING,), cases.swapcase, weight=SLOW),
    Function("title", (STRING,), cases.title, weight=SLOW),
    Function("toString", (ANY,), strval),
    Function("toStrings", (ANY,), to_strings),
    Function("trim", (STRING,), lambda text: text.strip(_SPACES)),
    Function("trimAll", (STRING, STRING), trim_all),
    Function("trimPrefix", (STRING, STRING), trim_prefix),
    Function("trimSuffix", (STRING, STRING), trim_suffix),
    Function("trimall", (STRING, STRING), trim_all),
    Function("trunc", (INT, STRING), trunc),
    Function("untitle", (STRING,), cases.untitle, weight=SLOW),
    Function("upper", (STRING,), cases.upper, weight=SLOW),
    Function("wrap", (INT, STRING), wrap),
    Function("wrapWith", (INT, STRING, STRING), wrap_with),
)
