"""The text of a path to its steps, and of what stands in brackets to keys, numbers, ranges and expressions.

Source: evilmonkeyinc/jsonpath v0.8.1 token/token.go (Tokenize, Parse), script/standard/engine.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.expressions.documents import unmarshal
from chalicelib.core.expressions.jsonpaths.queries import PathError, Token, as_expression_error
from chalicelib.core.expressions.jsonpaths.scripts import (
    OPERATORS,
    Expression,
    Operation,
    Operator,
    Selection,
    find_operator,
)
from chalicelib.core.expressions.jsonpaths.tokens import (
    Current,
    Filter,
    Index,
    Key,
    Length,
    Range,
    Recursive,
    Root,
    Script,
    Union,
    Wildcard,
)
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.casts import int64_of
from chalicelib.core.expressions.values import Meter, utf8

_MAX_PATH: Final = 10_000  # characters
_READ: Final = 2  # characters that count as a step, each look at them


def read_path(path: str, meter: Meter) -> list[Token]:
    """The steps of a path. Raises PathError that shows the path."""
    try:
        return _Reader(meter).tokens(path)
    except PathError as error:
        raise PathError(f"invalid JSONPath selector '{path}' {error}") from None


@dataclass(frozen=True)
class _Reader:
    """Reads a path and the expressions in it; `meter` counts the looks at their text."""

    meter: Meter

    def tokens(self, path: str) -> list[Token]:
        self.meter.spend(1 + len(path) // _READ)
        return [self.token(part) for part in _parts(path)]

    def token(self, part: str) -> Token:
        self.meter.spend(1 + len(part) // _READ)
        part = part.strip()
        if not part:
            raise PathError("invalid token. token string is empty", "token")
        if part in _SIMPLE:
            return _SIMPLE[part]
        if not part.startswith("["):
            return Key(part)
        subscript = part[1:-1].strip() if part.endswith("]") and len(part) > 1 else ""
        if not subscript:
            raise _no_format(part)
        if subscript == "*":
            return Wildcard()
        if subscript.startswith("?"):
            if not (subscript.startswith("?(") and subscript.endswith(")")):
                raise _no_format(part)
            return Filter(self.expression(subscript[2:-1].strip()))
        return self.subscript(part, _Subscript(part).arguments(subscript))

    def subscript(self, part: str, arguments: list[Any]) -> Token:
        if len(arguments) == 1:
            (argument,) = arguments
            if isinstance(argument, int):
                return Index(argument)
            if isinstance(argument, str) and _is_key(argument):
                return Key(argument[1:-1])
            if isinstance(argument, str) and _is_script(argument):
                return Script(self.expression(argument[1:-1]))
            raise _no_format(part)
        colons, commas = arguments.count(":"), arguments.count(",")
        if colons and not commas:
            return self.range_of(part, arguments, colons)
        if commas and not colons:
            return self.union_of(part, arguments, commas)
        raise _no_format(part)

    def union_of(self, part: str, arguments: list[Any], commas: int) -> Token:
        arguments = [argument for argument in arguments if argument != ","]
        if commas >= len(arguments):
            raise _no_format(part)
        wanted: list[str | int | Expression] = []
        for argument in arguments:
            if isinstance(argument, int):
                wanted.append(argument)
            elif isinstance(argument, str) and _is_script(argument):
                wanted.append(self._argument_expression(argument))
            elif isinstance(argument, str) and _is_key(argument):
                wanted.append(argument[1:-1])
            else:
                raise _no_format(part)
        return Union(tuple(wanted))

    def range_of(self, part: str, arguments: list[Any], colons: int) -> Token:
        bounds: list[Any] = []
        before = ""
        for argument in arguments:
            if argument != ":":
                bounds.append(argument)
            elif before == ":":
                bounds.append(None)
            before = argument
        if colons > 2:
            raise _no_format(part)
        bounds += [None] * (3 - len(bounds))
        return Range(*(self._range_argument(bound) for bound in bounds[:3]))

    def _range_argument(self, argument: Any) -> int | Expression | None:
        if not isinstance(argument, str):
            return argument  # type: ignore[no-any-return]  # an int or nothing, as the subscript's reader gives it
        if not _is_script(argument):
            raise _no_script(argument)
        return self._argument_expression(argument)

    def _argument_expression(self, argument: str) -> Expression:
        try:
            return self.expression(argument[1:-1])
        except PathError as error:
            raise as_expression_error(error) from None

    # Filters and scripts

    def expression(self, text: str) -> Expression:
        return Expression(text, self.operation(text, OPERATORS))

    def operation(self, text: str, operators: Sequence[str]) -> Operation | None:
        """The operation that a text is, looking for operators from the first given on; None for an operand."""
        while True:
            self.meter.spend(1 + len(text) // _READ)
            text = text.strip()
            if not text:
                return None
            operator, operators = operators[0], list(operators)
            if text.startswith("(") and text.endswith(")"):
                text = text[1:-1].strip()
                operators = ["", *OPERATORS]
            found = self._operation_at(find_operator(text, operator), operator, text, operators)
            if found is not None or len(operators) == 1:
                return found
            operators = operators[1:]

    def _operation_at(
        self, position: int, operator: str, text: str, operators: Sequence[str]
    ) -> Operation | None:
        if position < 0:
            return None
        selects = operator in ("@", "$")
        right_text = text[position + len(operator) :].strip()
        if not right_text and not selects:
            return None
        right = self.operand(right_text, operators)
        left_text = text[:position].strip()
        if not left_text and not selects and operator != "!":
            return None
        left = self.operand(left_text, operators)
        if selects or operator == "!":
            if left is not None:
                return None
            return Selection(tuple(self.tokens(text))) if selects else Operator(operator, None, right)
        if not operator:
            raise PathError("unsupported operator")
        return Operator(operator, left, right)

    def operand(self, text: str, operators: Sequence[str]) -> Any:
        """An operation, or JSON in brackets or braces, or the text itself; None for nothing."""
        operation = self.operation(text, operators)
        if operation is not None:
            return operation
        text = text.strip()
        if (text[:1], text[-1:]) in (("[", "]"), ("{", "}")):
            try:
                return unmarshal(text)
            except FunctionError:
                return text
        return text or None


_SIMPLE: Mapping[str, Token] = {
    "$": Root(),
    "@": Current(),
    "*": Wildcard(),
    "..": Recursive(),
    "length": Length(),
}


def _no_format(part: str) -> PathError:
    return PathError(f"invalid token. '{part}' does not match any token format", "token")


def _no_script(text: str) -> PathError:
    return PathError(f"invalid expression. invalid format '{text}'", "expression")


def _is_key(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _is_script(text: str) -> bool:
    return len(text) > 2 and text[0] == "(" and text[-1] == ")"


def _parts(path: str) -> list[str]:
    """The texts of the tokens of a path."""
    if not path:
        raise PathError("unexpected token '' at index 0")
    if len(path) > _MAX_PATH:
        raise PathError(f"is longer than {_MAX_PATH} characters")
    if path[0] not in "$@":
        raise PathError(f"unexpected token '{path[0]}' at index 0")
    if len(path) > 1 and path[1] not in ".[":
        raise PathError(f"unexpected token '{chr(utf8(path)[1])}' at index 1")
    parts = [path[0]]
    part = ""
    brackets = scripts = quotes = 0  # open ones; quotes are counted, so an odd number is open
    for character in path[1:]:
        if not part:
            scripts = quotes = 0
        brackets += (character == "[") - (character == "]")
        scripts += (character == "(") - (character == ")")
        quotes += character == "'"
        part += character
        if part == ".":
            continue
        if part == "..":
            parts.append(part)
            part = ""
        elif character == "[":
            if part not in ("[", ".[") and part.count("[") == 1:
                parts.append(part.removeprefix(".")[:-1])
                part = "["
        elif quotes % 2 or scripts:
            continue
        elif "[" in part:
            if character == "]" and brackets == 0:
                parts.append(part.removeprefix("."))
                part = ""
        elif character == ".":
            parts.append(part.removeprefix(".")[:-1])
            part = "."
    if part:
        parts.append(part.removeprefix("."))
    return parts


@dataclass
class _Subscript:
    """Reads what stands in brackets: numbers, quoted keys, scripts, and the commas and colons between."""

    part: str  # with its brackets, for errors
    found: list[Any] = field(default_factory=list)
    buffer: str = ""

    def arguments(self, text: str) -> list[Any]:
        depth = 0
        quote = ""
        for position, character in enumerate(text):
            self.buffer += character
            if character == "(" and not quote:
                depth += 1
            elif character == ")":
                depth -= 1
                if depth == 0:
                    self._take_script()
            elif character in "'\"" and quote in ("", character) and depth == 0:
                quote = self._take_quote(character, quote)
            elif not quote and depth == 0:
                if character == " ":
                    self.buffer = self.buffer.strip()
                elif character in ":,":
                    self._take_separator(character, first=position == 0)
        if self.buffer:
            number = int64_of(self.buffer, 10)
            self.found.append(self.buffer if number is None else number)
        return self.found

    def _take_script(self) -> None:
        if not _is_script(self.buffer):
            raise _no_script(self.buffer)
        self.found.append(self.buffer)
        self.buffer = ""

    def _take_quote(self, character: str, quote: str) -> str:
        """The quote that is open afterwards, "" when this one closed it."""
        if self.buffer[-2:-1] == "\\":
            self.buffer = self.buffer[:-2] + character
            return quote
        if not quote:
            if self.buffer != character:
                raise _no_format(self.part)
            return character
        if not _is_key(self.buffer):
            raise _no_format(self.part)
        self.found.append(self.buffer)
        self.buffer = ""
        return ""

    def _take_separator(self, character: str, *, first: bool) -> None:
        argument, self.buffer = self.buffer[:-1], ""
        if argument:
            number = int64_of(argument, 10)
            if number is None and character == ":":
                raise _no_format(self.part)
            self.found.append(argument if number is None else number)
        elif first and character == ":":
            self.found.append(None)
        self.found.append(character)
