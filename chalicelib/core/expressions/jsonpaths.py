"""JSONPath as the `jsonpath` function of Argo's metadata expressions has it.

A path is cut into tokens; each token takes a value, finds something in it, and hands that to the next. Some
want one thing and fail without it (`.key`, `[1]`), others find many and leave out what the rest of the path
fails on (`[*]`, `..`, `[?()]`, ranges and unions). Filters and scripts are a small language of their own whose
operators are looked for as text, weakest first, so that an operator's name inside a word counts as well:
that is the library's way, and paths in use depend on the outcome.

Every step is counted: `$..*..*` on a few kilobytes would otherwise run for hours.

Source: evilmonkeyinc/jsonpath v0.8.1 token/*.go, script/standard/*.go; argo-workflows util/expr/env.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chalicelib.core.expressions.documents import unmarshal
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.sprig.casts import int64_of, parse_float
from chalicelib.core.expressions.sprig.functions import kind_of, printed
from chalicelib.core.expressions.sprig.numbers import power_of, quotient
from chalicelib.core.expressions.sprig.regexes import compile_regex
from chalicelib.core.expressions.values import Int64, Meter, truncate, utf8

_STEPS: Final = 500_000  # tokens applied, and values looked at, for one path
_MAX_PATH: Final = 10_000  # characters
_READING: Final = 3_000_000  # characters looked at while reading one path


def jsonpath(document: str, path: str) -> Any:
    """What a path finds in the JSON text of a document. Raises FunctionError in the library's words."""
    root = unmarshal(document)
    try:
        tokens = _read_path(path)
        query = _Query(root, Meter(_STEPS))
        return query.apply(tokens, root)
    except _PathError as error:
        raise FunctionError(str(error)) from None
    except RecursionError:
        raise FunctionError("jsonpath: the document or the path is nested too deeply") from None


class _PathError(Exception):
    """An error of the library, which some tokens pass over. `family` decides who wraps it."""

    def __init__(self, message: str, family: str = "") -> None:
        super().__init__(message)
        self.family = family  # "token", "expression" or ""


def _token_error(token: str, what: str) -> _PathError:
    return _PathError(f"{token}: invalid token {what}", "token")


def _as_token_error(token: str, reason: _PathError) -> _PathError:
    return reason if reason.family == "token" else _token_error(token, str(reason))


def _as_expression_error(reason: _PathError) -> _PathError:
    if reason.family == "expression":
        return reason
    return _PathError(f"invalid expression. {reason}", "expression")


def _wrong_target(token: str, value: Any, *expected: str) -> _PathError:
    return _token_error(token, f"target. expected [{' '.join(expected)}] got [{_kind(value)}]")


def _unexpected_result(value: Any, *expected: str) -> _PathError:
    return _PathError(f"unexpected expression result. expected [{' '.join(expected)}] got [{_kind(value)}]")


def _kind(value: Any) -> str:
    return "nil" if value is None else kind_of(value)


# --- tokens ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Token:
    """One step of a path; `apply` gets what was found so far and the steps that follow."""

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class _Query:
    """One search: the document, and how many steps are left."""

    root: Any
    meter: Meter

    def apply(self, tokens: Sequence[Token], value: Any) -> Any:
        """What the steps find from a value on; the value itself when there are none."""
        if not tokens:
            return value
        self.meter.spend(1 + len(tokens) // 8)  # the rest is copied for every step
        return tokens[0].apply(self, value, tokens[1:])

    def apply_or_nil(self, tokens: Sequence[Token], value: Any) -> Any:
        """Like `apply`, nil for what fails."""
        try:
            return self.apply(tokens, value)
        except _PathError:
            return None

    def found_in(self, values: Iterable[Any], following: Sequence[Token]) -> list[Any]:
        """What the rest of the path finds in each value, leaving out nil and what fails."""
        found = (self.apply_or_nil(following, value) for value in values)
        return [value for value in found if value is not None]

    def collected(self, values: Iterable[Any], following: Sequence[Token]) -> Any:
        """Many values: an index that follows picks one of them, anything else goes into each."""
        values = list(values)
        self.meter.spend(len(values))
        if not following:
            return values
        if isinstance(following[0], _Index):
            return self.apply(following, values)
        return self.found_in(values, following)


@dataclass(frozen=True)
class _Root(Token):
    def apply(self, query: _Query, _: Any, following: Sequence[Token]) -> Any:
        return query.apply(following, query.root)


@dataclass(frozen=True)
class _Current(Token):
    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        return query.apply(following, value)


@dataclass(frozen=True)
class _Key(Token):
    key: str

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, dict):
            raise _wrong_target("key", value, "map")
        if self.key not in value:
            raise _token_error("key", f"key '{self.key}' not found")
        return query.apply(following, value[self.key])


@dataclass(frozen=True)
class _Index(Token):
    index: int

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, list):
            raise _wrong_target("index", value, "array", "slice")
        index = self.index + len(value) if self.index < 0 else self.index
        if not 0 <= index < len(value):
            raise _token_error("index", "out of range")
        return query.apply(following, value[index])


@dataclass(frozen=True)
class _Length(Token):
    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, dict | list | str):
            raise _wrong_target("length", value, "array", "map", "slice", "string")
        length: Any = Int64(len(utf8(value)) if isinstance(value, str) else len(value))
        if isinstance(value, dict):
            length = value.get("length", length)
        return query.apply(following, length)


@dataclass(frozen=True)
class _Wildcard(Token):
    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        values = _members(value)
        if values is None:
            raise _wrong_target("wildcard", value, "array", "map", "slice")
        query.meter.spend(len(values))
        return query.found_in(values, following) if following else values


@dataclass(frozen=True)
class _Recursive(Token):
    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        found: list[Any] = []
        self._collect(query, value, following, found)
        return found

    def _collect(self, query: _Query, value: Any, following: Sequence[Token], found: list[Any]) -> None:
        if value is None:
            return
        query.meter.spend(1)
        result = query.apply_or_nil(following, value)
        if following and isinstance(result, list):
            query.meter.spend(len(result))
            found.extend(result)
        elif result is not None:
            found.append(result)
        for member in _members(value) or ():
            self._collect(query, member, following, found)


@dataclass(frozen=True)
class _Filter(Token):
    expression: Expression

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        self.expression.refuse_empty()
        values = _members(value)
        if values is None:
            raise _wrong_target("filter", value, "array", "map", "slice")
        kept = [item for item in values if self._holds(query, item)]
        if following and isinstance(following[0], _Index):
            # The library goes on with what was filtered as the document.
            return _Query(value, query.meter).apply(following, kept)
        return query.found_in(kept, following) if following else kept

    def _holds(self, query: _Query, item: Any) -> bool:
        query.meter.spend(1)
        try:
            result = self.expression.evaluate(query, item)
        except _PathError:
            return False
        if isinstance(result, str) and len(result) > 1 and result[0] == result[-1] and result[0] in "'\"":
            return len(result) > 2
        return bool(result)


@dataclass(frozen=True)
class _Script(Token):
    expression: Expression

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        result = self.expression.evaluate_as_token(query, value)
        if result is None:
            raise _unexpected_result(None, "int", "string")
        if isinstance(result, str):
            return query.apply((_Key(result), *following), value)
        index = _integer(result)
        if index is None:
            raise _unexpected_result(result, "int", "string")
        return query.apply((_Index(index), *following), value)


@dataclass(frozen=True)
class _Range(Token):
    start: int | Expression | None
    stop: int | Expression | None
    step: int | Expression | None

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, list):
            raise _wrong_target("range", value, "array", "slice")
        size = len(value)
        start = self._bound(query, value, self.start, 0)
        stop = self._bound(query, value, self.stop, size)
        step = 1 if self.step is None else self._number(query, value, self.step)
        if step == 0:
            raise _token_error("range", "out of range")
        positions = range(start, stop, step) if step > 0 else range(stop - 1, start - 1, step)
        return query.collected((value[position] for position in positions), following)

    def _bound(self, query: _Query, value: list[Any], argument: int | Expression | None, default: int) -> int:
        if argument is None:
            return default
        number = self._number(query, value, argument)
        return min(max(number + len(value) if number < 0 else number, 0), len(value))

    def _number(self, query: _Query, value: Any, argument: int | Expression) -> int:
        if isinstance(argument, int):
            return argument
        try:
            result = argument.evaluate_as_token(query, value)
        except _PathError as error:
            raise _as_token_error("range", error) from None
        number = _integer(result)
        if number is None:
            raise _as_token_error("range", _unexpected_result(result, "int"))
        return number


@dataclass(frozen=True)
class _Union(Token):
    arguments: tuple[str | int | Expression, ...]

    def apply(self, query: _Query, value: Any, following: Sequence[Token]) -> Any:
        keys: list[str] = []
        indexes: list[int] = []
        for argument in self.arguments:
            wanted = self._argument(query, value, argument)
            if isinstance(wanted, str):
                keys.append(wanted)
            else:
                indexes.append(wanted)
            if keys and indexes:
                got, expected = ("string", "int") if isinstance(wanted, str) else ("int", "string")
                raise _token_error("union", f"argument. expected [{expected}] got [{got}]")
        if keys:
            if not isinstance(value, dict):
                raise _wrong_target("union", value, "map")
            return query.collected((value[key] for key in keys if key in value), following)
        if not isinstance(value, list):
            raise _wrong_target("union", value, "array", "slice")
        size = len(value)
        return query.collected((value[index] for index in indexes if -size <= index < size), following)

    def _argument(self, query: _Query, value: Any, argument: str | int | Expression) -> str | int:
        if not isinstance(argument, Expression):
            return argument
        try:
            result = argument.evaluate_as_token(query, value)
        except _PathError as error:
            raise _as_token_error("union", error) from None
        if isinstance(result, str):
            return result
        number = _integer(result)
        if number is None:
            raise _token_error("union", f"argument. expected [int string] got [{_kind(result)}]")
        return number


def _members(value: Any) -> list[Any] | None:
    """The values in a map, by key, or in a list; None for anything else."""
    if isinstance(value, dict):
        return [value[key] for key in sorted(value, key=utf8)]
    return value if isinstance(value, list) else None


def _integer(value: Any) -> int | None:
    """The number as an int where it is whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return truncate(value) if math.isinf(value) or value == math.floor(value or 0.0) else None
    return int(value)


# --- reading paths --------------------------------------------------------------------------------------


def _read_path(path: str) -> list[Token]:
    try:
        return _Reader(Meter(_READING)).tokens(path)
    except _PathError as error:
        raise _PathError(f"invalid JSONPath selector '{path}' {error}") from None


@dataclass(frozen=True)
class _Reader:
    """Reads a path and the expressions in it; `meter` counts characters looked at."""

    meter: Meter

    def tokens(self, path: str) -> list[Token]:
        self.meter.spend(len(path))
        return [self.token(part) for part in _parts(path)]

    def token(self, part: str) -> Token:
        self.meter.spend(len(part))
        part = part.strip()
        if not part:
            raise _PathError("invalid token. token string is empty", "token")
        if part in _SIMPLE:
            return _SIMPLE[part]
        if not part.startswith("["):
            return _Key(part)
        subscript = part[1:-1].strip() if part.endswith("]") and len(part) > 1 else ""
        if not subscript:
            raise _no_format(part)
        if subscript == "*":
            return _Wildcard()
        if subscript.startswith("?"):
            if not (subscript.startswith("?(") and subscript.endswith(")")):
                raise _no_format(part)
            return _Filter(self.expression(subscript[2:-1].strip()))
        return self.subscript(part, _Subscript(part).arguments(subscript))

    def subscript(self, part: str, arguments: list[Any]) -> Token:
        if len(arguments) == 1:
            (argument,) = arguments
            if isinstance(argument, int):
                return _Index(argument)
            if isinstance(argument, str) and _is_key(argument):
                return _Key(argument[1:-1])
            if isinstance(argument, str) and _is_script(argument):
                return _Script(self.expression(argument[1:-1]))
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
        return _Union(tuple(wanted))

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
        return _Range(*(self._range_argument(bound) for bound in bounds[:3]))

    def _range_argument(self, argument: Any) -> int | Expression | None:
        if not isinstance(argument, str):
            return argument  # type: ignore[no-any-return]  # an int or nothing, as the subscript's reader gives it
        if not _is_script(argument):
            raise _no_script(argument)
        return self._argument_expression(argument)

    def _argument_expression(self, argument: str) -> Expression:
        try:
            return self.expression(argument[1:-1])
        except _PathError as error:
            raise _as_expression_error(error) from None

    # Filters and scripts

    def expression(self, text: str) -> Expression:
        return Expression(text, self.operation(text, _OPERATORS))

    def operation(self, text: str, operators: Sequence[str]) -> Operation | None:
        """The operation that a text is, looking for operators from the first given on; None for an operand."""
        while True:
            self.meter.spend(len(text) + 1)
            text = text.strip()
            if not text:
                return None
            operator, operators = operators[0], list(operators)
            if text.startswith("(") and text.endswith(")"):
                text = text[1:-1].strip()
                operators = ["", *_OPERATORS]
            found = self._operation_at(_find_operator(text, operator), operator, text, operators)
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
            return _Selection(tuple(self.tokens(text))) if selects else _Operator(operator, None, right)
        if not operator:
            raise _PathError("unsupported operator")
        return _Operator(operator, left, right)

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
    "$": _Root(),
    "@": _Current(),
    "*": _Wildcard(),
    "..": _Recursive(),
    "length": _Length(),
}


def _no_format(part: str) -> _PathError:
    return _PathError(f"invalid token. '{part}' does not match any token format", "token")


def _no_script(text: str) -> _PathError:
    return _PathError(f"invalid expression. invalid format '{text}'", "expression")


def _is_key(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] and text[0] in "'\""


def _is_script(text: str) -> bool:
    return len(text) > 2 and text[0] == "(" and text[-1] == ")"


def _parts(path: str) -> list[str]:
    """The texts of the tokens of a path."""
    if not path:
        raise _PathError("unexpected token '' at index 0")
    if len(path) > _MAX_PATH:
        raise _PathError(f"is longer than {_MAX_PATH} characters")
    if path[0] not in "$@":
        raise _PathError(f"unexpected token '{path[0]}' at index 0")
    if len(path) > 1 and path[1] not in ".[":
        raise _PathError(f"unexpected token '{chr(utf8(path)[1])}' at index 1")
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


# --- filters and scripts --------------------------------------------------------------------------------

# Weakest first: the first that is found splits the text.
_OPERATORS: Final = (
    "||", "&&",
    "==", "!=", "<=", ">=", "<", ">", "=~", "!",
    "+", "-",
    "**", "*", "/", "%",
    "not in", "in", "@", "$",
)  # fmt: skip


def _find_operator(text: str, operator: str) -> int:
    """Where an operator first stands outside of quotes and brackets; -1 when nowhere."""
    single = double = False
    square = round_ = 0  # depth; below 0 is outside as well
    for position, character in enumerate(text):
        quoted = single or double
        if character in "()" and not quoted and square <= 0:
            round_ += 1 if character == "(" else -1
        elif character in "[]" and not quoted and round_ <= 0:
            square += 1 if character == "[" else -1
        elif character in "'\"" and (square > 0 or round_ > 0):
            continue
        elif character == "'" and not double:
            single = not single
        elif character == '"' and not single:
            double = not double
        start = position + 1 - len(operator)
        inside = single or double or square > 0 or round_ > 0
        if not inside and start >= 0 and text.startswith(operator, start):
            return start
    return -1


@dataclass(frozen=True)
class Operation:
    """Something to work out on the value at hand."""

    def evaluate(self, query: _Query, current: Any) -> Any:
        raise NotImplementedError


@dataclass(frozen=True)
class Expression:
    """The text of a filter or script, and the operation it is; without one it is an operand."""

    text: str
    operation: Operation | None

    def refuse_empty(self) -> None:
        if not self.text:
            raise _PathError("invalid expression. is empty", "expression")

    def evaluate(self, query: _Query, current: Any) -> Any:
        self.refuse_empty()
        if self.operation is not None:
            return self.operation.evaluate(query, current)
        if self.text in _NAMES:
            return _named(self.text, query, current)
        number = parse_float(self.text)
        if number is not None:
            return number
        return _BOOLEANS.get(self.text, self.text)

    def evaluate_as_token(self, query: _Query, current: Any) -> Any:
        try:
            return self.evaluate(query, current)
        except _PathError as error:
            raise _as_expression_error(error) from None


@dataclass(frozen=True)
class _Selection(Operation):
    """A path within an expression. A string it finds is put in quotes, to tell it from an operand's text."""

    tokens: tuple[Token, ...]

    def evaluate(self, query: _Query, current: Any) -> Any:
        found = query.apply(self.tokens, current)
        if not isinstance(found, str) or _is_single_quoted(found):
            return found
        return f"'{found}'"


@dataclass(frozen=True)
class _Operator(Operation):
    symbol: str
    left: Any  # an operation, JSON, or text
    right: Any

    def evaluate(self, query: _Query, current: Any) -> Any:
        query.meter.spend(1)
        return _EVALUATE[self.symbol](_Operands(query, current, self.left, self.right))


_NAMES: Final = frozenset({"$", "@", "nil", "null"})
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def _named(name: str, query: _Query, current: Any) -> Any:
    return {"$": query.root, "@": current}.get(name)


def _is_single_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == "'"


def _bad_argument(what: str) -> _PathError:
    return _PathError(f"invalid argument. {what}")


@dataclass(frozen=True)
class _Operands:
    """The two sides of an operator, to be taken as what the operator wants."""

    query: _Query
    current: Any
    left: Any
    right: Any

    def _value(self, operand: Any) -> Any:
        """The operand worked out, its text still a text unless it is a name."""
        if isinstance(operand, Operation):
            operand = operand.evaluate(self.query, self.current)
        if isinstance(operand, str) and operand in _NAMES:
            return _named(operand, self.query, self.current)
        return operand

    def _printed(self, value: Any) -> str:
        # No list or map reads as a number or boolean, whatever is in it.
        return "" if isinstance(value, list | dict) else printed(value)

    def number(self, operand: Any) -> float:
        if operand is None:
            raise _bad_argument("is nil")
        number = parse_float(self._printed(self._value(operand)))
        if number is None:
            raise _bad_argument("expected number")
        return number

    def integer(self, operand: Any) -> int:
        if operand is None:
            raise _bad_argument("is nil")
        number = int64_of(self._printed(self._value(operand)), 10)
        if number is None:
            raise _bad_argument("expected integer")
        return number

    def boolean(self, operand: Any) -> bool:
        value = self._value(operand)
        if value is None:
            return False
        known = _BOOLEANS.get(self._printed(value))
        if known is None:
            raise _bad_argument("expected boolean")
        return known

    def text(self, operand: Any) -> str:
        """The operand as text: a string in single quotes, an operand without quotes as it stands."""
        if operand is None:
            raise _bad_argument("is nil")
        if isinstance(operand, Operation):
            operand = operand.evaluate(self.query, self.current)
        if not isinstance(operand, str):
            return printed(operand)
        if operand in _NAMES:
            named = _named(operand, self.query, self.current)
            if not isinstance(named, str):
                return printed(named)
            return named if _is_single_quoted(named) else f"'{_without_double_quotes(named)}'"
        bare = _without_double_quotes(operand)
        return operand if bare == operand else f"'{bare}'"

    def elements(self, operand: Any) -> list[Any]:
        """The items of a list or map, given or written as JSON."""
        if operand is None:
            raise _bad_argument("is nil")
        value = self._value(operand)
        if isinstance(value, str) and (value[:1], value[-1:]) in (("{", "}"), ("[", "]")):
            try:
                value = unmarshal(value)
            except FunctionError:
                raise _PathError("invalid argument") from None
        if value is None:
            raise _bad_argument("is nil")
        elements = _members(value)
        if elements is None:
            raise _bad_argument("expected array, map, or slice")
        return elements


def _without_double_quotes(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] == '"' else text


def _on_numbers(operation: Callable[[float, float], Any]) -> Callable[[_Operands], Any]:
    return lambda operands: operation(operands.number(operands.left), operands.number(operands.right))


def _equal(operands: _Operands) -> bool:
    try:
        return operands.number(operands.left) == operands.number(operands.right)
    except _PathError:
        return operands.text(operands.left) == operands.text(operands.right)


def _matches(operands: _Operands) -> bool:
    text, pattern = operands.text(operands.left), operands.text(operands.right)
    text = text[1:-1] if _is_single_quoted(text) else text
    try:
        regex = compile_regex(pattern[1:-1] if _is_single_quoted(pattern) else pattern)
    except FunctionError:
        raise _bad_argument("expected a valid regexp") from None
    operands.query.meter.spend(len(text) // 16)
    return regex.search(utf8(text)) is not None


def _in(operands: _Operands) -> bool:
    readings: tuple[Callable[[Any], Any], ...] = (operands.number, operands.text, operands.boolean)
    item: Any = None
    for reading in readings:
        try:
            item = reading(operands.left)
        except _PathError:
            continue
        break
    elements = operands.elements(operands.right)
    operands.query.meter.spend(len(elements))
    return any(type(element) is type(item) and element == item for element in elements)


def _and(operands: _Operands) -> bool:
    left, right = operands.boolean(operands.left), operands.boolean(operands.right)
    return left and right


def _or(operands: _Operands) -> bool:
    left, right = operands.boolean(operands.left), operands.boolean(operands.right)
    return left or right


def _modulus(operands: _Operands) -> Int64:
    dividend, divisor = operands.integer(operands.left), operands.integer(operands.right)
    if divisor == 0:
        # A panic, which no filter passes over.
        raise FunctionError("runtime error: integer divide by zero")
    rest = abs(dividend) % abs(divisor)
    return Int64(-rest if dividend < 0 else rest)


def _power(base: float, exponent: float) -> float:
    if exponent.is_integer() and base and not math.isinf(base) and not math.isnan(base):
        return power_of(base, int(exponent))
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf
    except ValueError:  # a root of a negative number, or 0 to a negative power
        return math.inf if base == 0 else math.nan


_EVALUATE: Mapping[str, Callable[[_Operands], Any]] = {
    "||": _or,
    "&&": _and,
    "==": _equal,
    "!=": lambda operands: not _equal(operands),
    "<=": _on_numbers(lambda a, b: a <= b),
    ">=": _on_numbers(lambda a, b: a >= b),
    "<": _on_numbers(lambda a, b: a < b),
    ">": _on_numbers(lambda a, b: a > b),
    "=~": _matches,
    "!": lambda operands: not operands.boolean(operands.right),
    "+": _on_numbers(lambda a, b: a + b),
    "-": _on_numbers(lambda a, b: a - b),
    "**": _on_numbers(_power),
    "*": _on_numbers(lambda a, b: a * b),
    "/": _on_numbers(quotient),
    "%": _modulus,
    "not in": lambda operands: not _in(operands),
    "in": _in,
}
