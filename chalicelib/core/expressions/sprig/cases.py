"""Upper, lower and title case by code point, and words in CamelCase, snake_case and kebab-case.

Go maps code points one to one ("ß" stays), where Python maps strings. A stray byte is one rune that is
no letter, U+FFFD; most functions here write it as such.

Source: Go 1.26 unicode, strings; huandu/xstrings v1.5.0 convert.go; Masterminds/goutils v1.1.1 wordutils.go.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from chalicelib.core.expressions.values import printable

SPACES = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)


def upper_rune(rune: str) -> str:
    """The one upper-case form of a code point."""
    upper = rune.upper()
    if len(upper) == 1:
        return upper
    title = rune.title()  # of the Greek letters with iota below, whose one upper form is the title form
    return title if len(title) == 1 else rune


def lower_rune(rune: str) -> str:
    """The one lower-case form of a code point."""
    return "i" if rune == "\u0130" else rune.lower()  # the only one that Python makes two of


def title_rune(rune: str) -> str:
    """The one title-case form of a code point."""
    title = rune.title()
    return title if len(title) == 1 else rune


def upper(text: str) -> str:
    """Every code point in upper case."""
    return text.upper() if text.isascii() else "".join(map(upper_rune, printable(text)))


def lower(text: str) -> str:
    """Every code point in lower case."""
    return text.lower() if text.isascii() else "".join(map(lower_rune, printable(text)))


def title(text: str) -> str:
    """The first letter of every word in title case; the others stay."""
    runes = []
    before = " "
    for rune in printable(text):
        runes.append(title_rune(rune) if _separates(before) else rune)
        before = rune
    return "".join(runes)


def _separates(rune: str) -> bool:
    if rune.isascii():
        return not (rune.isalnum() or rune == "_")
    return rune in SPACES


def untitle(text: str) -> str:
    """The first letter of every word in lower case."""
    return _each_first(text, lower_rune)


def _each_first(text: str, change: Callable[[str], str]) -> str:
    runes = []
    first = True
    for rune in printable(text):
        if rune in SPACES:
            first = True
        elif first:
            rune, first = change(rune), False
        runes.append(rune)
    return "".join(runes)


def swapcase(text: str) -> str:
    """Upper for lower and lower for upper; a lower-case letter that begins a word in title case."""
    runes = []
    after_space = True
    for rune in printable(text):
        category = unicodedata.category(rune)
        if category in ("Lu", "Lt"):
            rune, after_space = lower_rune(rune), False
        elif category == "Ll":
            rune, after_space = title_rune(rune) if after_space else upper_rune(rune), False
        else:
            after_space = rune in SPACES
        runes.append(rune)
    return "".join(runes)


# --- words --------------------------------------------------------------------------------------------

_REPLACEMENT = "\ufffd"


def _is_stray(rune: str) -> bool:
    return rune == _REPLACEMENT or "\udc80" <= rune <= "\udcff"


def _is_connector(rune: str) -> bool:
    return rune in "-_" or rune in SPACES


def camelcase(text: str) -> str:
    """PascalCase: what follows a connector in upper case, the connector gone; leading ones stay."""
    text = printable(text)
    start = next((at for at, rune in enumerate(text) if not _is_connector(rune)), len(text))
    if start == len(text):
        # Nothing but connectors: the loop that looks for the first letter wrote all, the end repeats the last.
        return text + text[-1:]
    written = [text[:start]]
    lowering = unicodedata.category(text[start]) == "Lu"  # inside a run of capitals after its first
    current = upper_rune(text[start])
    for rune in text[start + 1 :]:
        before, current = current, rune
        if _is_connector(before):
            if _is_connector(current):
                written.append(before)
                continue
            lowering = unicodedata.category(current) == "Lu"
            current = upper_rune(current)
            continue
        if lowering:
            if unicodedata.category(current) == "Lu":
                current = lower_rune(current)
            else:
                lowering = False
        written.append(before)
    written.append(current)
    return "".join(written)


def snakecase(text: str) -> str:
    """Words in lower case joined by underscores."""
    return _joined_words(text, "_")


def kebabcase(text: str) -> str:
    """Words in lower case joined by hyphens."""
    return _joined_words(text, "-")


_NONE, _NUMBER, _CAPITALS, _LETTERS, _CONNECTOR, _PUNCTUATION, _OTHER = range(7)


def _is_letter(rune: str) -> bool:
    """A letter of a script that is written in words: Chinese characters are none."""
    if unicodedata.category(rune)[0] != "L":
        return False
    return not (
        "\u3400" <= rune <= "\u4d85" or "\u4e00" <= rune <= "\u9fcc" or "\U00020000" <= rune <= "\U0002b81d"
    )


def _is_upper(rune: str) -> bool:
    return unicodedata.category(rune) == "Lu"


def _is_number(rune: str) -> bool:
    return unicodedata.category(rune)[0] == "N"


def _is_punctuation(rune: str) -> bool:
    return unicodedata.category(rune)[0] == "P"


def _valid_rune(text: str, at: int, before: str) -> tuple[str, int]:
    """The next rune that is no stray byte, and where it ends; at the end of the text the one before again."""
    while at < len(text):
        if not _is_stray(text[at]):
            return text[at], at + 1
        at += 1
    return before, at


def _run(text: str, start: int, before: str, belongs: Callable[[str], bool]) -> int:
    """Where a run of runes that belong together ends."""
    end = start
    while end < len(text):
        before, after = _valid_rune(text, end, before)
        if not belongs(before):
            break
        end = after
    return end


def _next_word(text: str, start: int) -> tuple[int, int]:
    """The kind of word that begins at `start`, and where it ends."""
    if start == len(text):
        return _NONE, start
    rune, end = _valid_rune(text, start, _REPLACEMENT)
    if rune == _REPLACEMENT:
        return _NONE, end
    if _is_connector(rune):
        return _CONNECTOR, _run(text, end, rune, _is_connector)
    if _is_punctuation(rune):
        return _PUNCTUATION, _run(text, end, rune, _is_punctuation)
    if _is_upper(rune):
        return _CAPITALS, _capitals_end(text, end, rune)
    if _is_letter(rune):
        return _LETTERS, _run(text, end, rune, lambda other: _is_letter(other) and not _is_upper(other))
    if _is_number(rune):
        return _NUMBER, _run(text, end, rune, _is_number)

    def other(rune: str) -> bool:
        return not (_is_connector(rune) or _is_letter(rune) or _is_number(rune) or _is_punctuation(rune))

    return _OTHER, _run(text, end, rune, other)


def _capitals_end(text: str, start: int, first: str) -> int:
    """End of "Word", of "HTTP", or of "HTTP" in "HTTPServer", whose last capital begins the next word."""
    if start == len(text):
        return start
    rune, after = _valid_rune(text, start, first)
    if not _is_upper(rune):
        if not _is_letter(rune):
            return start
        return _run(text, after, rune, lambda other: _is_letter(other) and not _is_upper(other))
    last, end = start, after
    while end < len(text):
        rune, after = _valid_rune(text, end, rune)
        if not _is_upper(rune):
            break
        last, end = end, after
    return last if end < len(text) and _is_letter(rune) else end


def _joined_words(text: str, connector: str) -> str:
    """Source: xstrings camelCaseToLowerCase. Numbers stick to the letters after them, not to those before."""
    written: list[str] = []

    def write(kind: int, word: str) -> None:
        if kind not in (_CONNECTOR, _CAPITALS):
            written.append(word)
            return
        written.extend(
            connector if _is_connector(rune) else lower_rune(rune) if _is_upper(rune) else rune
            for rune in printable(word)
        )

    def write_run(kind: int, start: int, end: int) -> tuple[int, int, int]:
        """Write letters and numbers as long as they follow each other; the word that ends the run."""
        while kind in (_LETTERS, _NUMBER):
            write(kind, text[start:end])
            start = end
            kind, end = _next_word(text, start)
        return kind, start, end

    start = 0
    kind, end = _next_word(text, start)
    while end < len(text):
        if kind != _CONNECTOR:
            write(kind, text[start:end])
        before, word = kind, text[start:end]
        start = end
        kind, end = _next_word(text, start)
        if before == _NUMBER:
            kind, start, end = write_run(kind, start, end)
            if kind not in (_NONE, _PUNCTUATION, _CONNECTOR):
                written.append(connector)
        elif before == _CONNECTOR:
            write(before, word)
        elif before == _PUNCTUATION:
            pass
        elif kind != _NUMBER:
            if kind not in (_CONNECTOR, _PUNCTUATION):
                written.append(connector)
        elif end < len(text):
            number = text[start:end]
            start = end
            kind, end = _next_word(text, start)
            if kind != _LETTERS:
                write(_NUMBER, number)
                if kind not in (_CONNECTOR, _PUNCTUATION):
                    written.append(connector)
            else:
                written.append(connector)
                write(_NUMBER, number)
                kind, start, end = write_run(kind, start, end)
                if kind not in (_NONE, _CONNECTOR, _PUNCTUATION):
                    written.append(connector)
    write(kind, text[start:end])
    return "".join(written)
