"""Regular expressions with RE2's meaning, by RE2 itself, and the errors in Go's words.

Go's regexp package and RE2 share the syntax; where RE2 accepts less or more, `compile_pattern` decides as Go
does. Matching is linear in the text, so no pattern can hang us.

Source: Go 1.26 regexp/syntax; https://github.com/google/re2/wiki/Syntax.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import re2

from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import has_stray_bytes, printable

_OPTIONS = re2.Options()
_OPTIONS.log_errors = False
_OPTIONS.max_mem = 64 << 20
_RAW = re2.Options()
_RAW.log_errors = False
_RAW.encoding = re2.Options.Encoding.LATIN1


@lru_cache(maxsize=1024)
def compile_pattern(pattern: str) -> Any:
    """The compiled pattern; raises FunctionError with Go's complaint."""
    try:
        return re2.compile(pattern, options=_OPTIONS)
    except re2.error as error:
        raise FunctionError(f"error parsing regexp: {error}") from None


def search(compiled: Any, value: str) -> bool:
    """Whether the pattern matches anywhere in the string."""
    if has_stray_bytes(value):
        # Go's matcher reads a byte that is no UTF-8 as U+FFFD.
        value = printable(value)
    return compiled.search(value) is not None
