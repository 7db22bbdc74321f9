"""The one error of this package: what is wrong with an expression, and where.

`kind` says at which stage Argo would have noticed: "compile" before running it, "run" while running, "type"
when the result cannot be used. The text is Go's: the message, ``(line:column)``, the source line and a caret.
"""

from __future__ import annotations

from typing import Literal

from chalicelib.core.errors import Misconfigured
from chalicelib.core.expressions.values import printable

Kind = Literal["compile", "run", "type"]


class ExpressionError(Misconfigured):
    """An expression that does not compile, run or fit; `str()` is the whole text Go prints."""

    def __init__(
        self, kind: Kind, message: str, *, source: str = "", offset: int | None = None, hint: str = ""
    ) -> None:
        message = printable(message)
        self.kind: Kind = kind
        self.source = source
        self.hint = hint  # what the author probably meant, "" when nobody knows
        self.line, self.column = 0, 0  # both from 1; 0 where no place is known
        self.detail = message  # without the place
        self.snippet = ""
        if offset is not None:
            self._place(offset)
        super().__init__(f"{message} ({self.line}:{self.column})" if self.line else message)

    def _place(self, offset: int) -> None:
        before = self.source[:offset]
        start = before.rfind("\n") + 1
        end = self.source.find("\n", start)
        line = self.source[start : end if end >= 0 else len(self.source)]
        if not line:
            return  # Go shows no place on an empty line
        self.line, self.column = before.count("\n") + 1, len(before) - start + 1
        shown = line.replace("\t", " ")
        self.snippet = f"\n | {shown}\n | {'.' * (self.column - 1)}^"

    def again(self) -> ExpressionError:
        """The same error as a new object: one that was raised carries its traceback for good."""
        copy = ExpressionError(self.kind, self.detail, source=self.source, hint=self.hint)
        copy.line, copy.column, copy.snippet, copy.message = (
            self.line,
            self.column,
            self.snippet,
            self.message,
        )
        return copy

    def __str__(self) -> str:
        return self.message + self.snippet + (f"\n{self.hint}" if self.hint else "")


class Located(Exception):  # a carrier between modules, never seen outside
    """A compile error at a place; the façade, which knows the source, turns it into ExpressionError."""

    def __init__(self, message: str, offset: int | None, name: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.offset = offset  # code points from the start of the source
        self.name = name  # the unknown name, for a hint
