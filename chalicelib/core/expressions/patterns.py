"""Regular expressions with RE2's meaning, by RE2 itself, and complaints in Go's words.

Go's regexp package and RE2 share syntax and semantics, so a pattern goes to RE2 as it is. They part in a few
places, and there Go is followed: ``\\C`` is refused, names of groups may repeat, property names have aliases,
and the tree of a pattern may not be higher than 1000. Matching is linear in the text: no pattern can hang us.

Source: Go 1.26 regexp/syntax/parse.go; https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

import re2

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import printable

MAX_PATTERN: Final = 1 << 18  # characters
MAX_HEIGHT: Final = 1000
MAX_PROPERTIES: Final = 1000  # such as \pL, of which each is some thousand instructions to RE2
MAX_SIZE: Final = 500_000  # instructions that the literal patterns of one expression may come to
_MANY_GROUPS: Final = 300  # fewer cannot make a tree too high

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.never_capture = True  # `matches` asks only whether
_OPTIONS.max_mem = 8 << 20  # some 400,000 instructions
_CAPTURING = re2.Options()
_CAPTURING.log_errors = False
_CAPTURING.max_mem = _OPTIONS.max_mem

_ESCAPE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\(?:[pP]\{[^}]*\}|x\{[^}]*\}|.)", re.DOTALL)
_PROPERTY = re.compile(r"\\[pP]")
_STRAY = re.compile("[\udc80-\udcff]")
_GROUP_NAME = re.compile(r"\(\?P?<([A-Za-z0-9_]+)>")
_QUANTIFIER = re.compile(r"(?:[*+?]|\{[0-9]+(?:,[0-9]*)?\})\??")
# https://www.unicode.org/Public/UCD/latest/ucd/PropertyValueAliases.txt, as far as Go has them for categories
_CATEGORIES: Final = {
    "other": "C", "control": "Cc", "cntrl": "Cc", "format": "Cf", "privateuse": "Co", "surrogate": "Cs",
    "letter": "L", "lowercaseletter": "Ll", "modifierletter": "Lm", "otherletter": "Lo",
    "titlecaseletter": "Lt", "uppercaseletter": "Lu", "mark": "M", "combiningmark": "M",
    "spacingmark": "Mc", "enclosingmark": "Me", "nonspacingmark": "Mn", "number": "N",
    "decimalnumber": "Nd", "digit": "Nd", "letternumber": "Nl", "othernumber": "No",
    "punctuation": "P", "punct": "P", "connectorpunctuation": "Pc", "dashpunctuation": "Pd",
    "closepunctuation": "Pe", "finalpunctuation": "Pf", "initialpunctuation": "Pi",
    "otherpunctuation": "Po", "openpunctuation": "Ps", "symbol": "S", "currencysymbol": "Sc",
    "modifiersymbol": "Sk", "mathsymbol": "Sm", "othersymbol": "So", "separator": "Z",
    "lineseparator": "Zl", "paragraphseparator": "Zp", "spaceseparator": "Zs",
}  # fmt: skip
# RE2's words → Go's
_COMPLAINTS: Final = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "unexpected )": "unexpected )",
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid escape sequence": "invalid escape sequence",
    "invalid character class range": "invalid character class range",
    "invalid character class": "invalid character class",
    "invalid named capture group": "invalid named capture",
    "trailing \\": "trailing backslash at end of expression",
    "invalid UTF-8": "invalid UTF-8",
    "pattern too large - compile failed": "expression too large",
}


@lru_cache(maxsize=256)
def compile_pattern(pattern: str, *, capture: bool = False) -> Any:
    """The compiled pattern, which tells its groups if `capture`; raises FunctionError with Go's complaint."""
    options = _CAPTURING if capture else _OPTIONS
    if len(pattern) > MAX_PATTERN or len(_PROPERTY.findall(pattern)) > MAX_PROPERTIES:
        raise FunctionError("error parsing regexp: expression too large")
    stray = _STRAY.search(pattern)
    if stray is not None:
        raise _complaint("invalid UTF-8", pattern[stray.start() :])
    if "\\C" in pattern and any(match.group() == "\\C" for match in _ESCAPE.finditer(pattern)):
        raise _complaint("invalid escape sequence", "\\C")
    if pattern.count("(") >= _MANY_GROUPS and _height(pattern) > MAX_HEIGHT:
        raise _complaint("expression nests too deeply", pattern)
    try:
        return _compiled(pattern, options)
    except re2.error as error:
        for other in (_GROUP_NAME.sub("(", pattern), _ESCAPE.sub(_renamed, pattern)):
            if other != pattern:
                try:
                    return _compiled(other, options)
                except re2.error:
                    continue
        raise _translated(error, pattern) from None


def search(compiled: Any, value: str) -> bool:
    """Whether the pattern matches anywhere in the string."""
    try:
        encoded = value.encode()
    except UnicodeEncodeError:
        # Go's matcher reads a byte that is no UTF-8 as U+FFFD.
        encoded = printable(value).encode()
    return compiled.search(encoded) is not None


def _compiled(pattern: str, options: Any) -> Any:
    # Bytes, so that re2 does not count characters; they are still UTF-8 to it.
    return re2.compile(pattern.encode(), options=options)


def _complaint(problem: str, fragment: str) -> FunctionError:
    return FunctionError(f"error parsing regexp: {problem}: `{fragment}`")


def _translated(error: Exception, pattern: str) -> FunctionError:
    raw = error.args[0] if error.args else b""
    shown = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    problem = next((words for words in _COMPLAINTS if shown.startswith(words)), "")
    fragment = shown[len(problem) :].removeprefix(": ")
    if problem == "invalid perl operator" and fragment.startswith("(?<"):
        return _complaint("invalid named capture", pattern[pattern.find("(?<") :])
    if problem == "trailing \\":
        fragment = ""
    if not problem:
        problem, fragment = "invalid character class range", fragment or pattern
        return _complaint(problem, fragment)
    return _complaint(_COMPLAINTS[problem], fragment)


def _renamed(match: re.Match[str]) -> str:
    r"""An escape such as ``\p{Letter}`` as RE2 knows it; names ignore case, blanks, ``_`` and ``-``."""
    escape = match.group()
    if escape[:3] not in ("\\p{", "\\P{"):
        return escape
    name = escape[3:-1]
    caret = "^" if name.startswith("^") else ""
    plain = re.sub(r"[\s_-]", "", name.removeprefix("^")).lower()
    if plain == "lc" and escape[1] == "p" and not caret:
        return r"\p{Lu}\p{Ll}\p{Lt}"
    script = "_".join(part.capitalize() for part in re.split(r"[\s_-]+", name.removeprefix("^")))
    return f"{escape[:3]}{caret}{_CATEGORIES.get(plain, script)}}}"


def _height(pattern: str) -> int:
    """The height of Go's tree for a pattern: groups, repetitions, and each list of several parts count one."""
    heights = [0]  # of the highest part in each open group
    parts = [0]  # how many parts, a run of characters being one
    captures: list[bool] = []
    in_text, last, at = False, 0, 0
    while at < len(pattern):
        char = pattern[at]
        quantifier = _QUANTIFIER.match(pattern, at)
        if quantifier is not None:
            heights[-1] = max(heights[-1], last + 1)
            at, in_text = quantifier.end(), False
            continue
        if char == "(":
            captures.append(not pattern.startswith("(?", at) or pattern.startswith(("(?P<", "(?<"), at))
            heights.append(0)
            parts.append(0)
            in_text = False
        elif char == ")" and captures:
            inner = heights.pop() + (parts.pop() > 1) + captures.pop()
            last = max(inner, 1)
            heights[-1], parts[-1], in_text = max(heights[-1], last), parts[-1] + 1, False
        else:
            if char == "\\":
                at += 1
            last = 1
            heights[-1], parts[-1] = max(heights[-1], 1), parts[-1] + (not in_text)
            in_text = char not in "[|"
        at += 1
    return heights[0] + (parts[0] > 1)
