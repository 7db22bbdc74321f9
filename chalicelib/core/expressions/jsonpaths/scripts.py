"""Filters and scripts: what stands in parentheses, worked out on the value at hand.

Operands are texts, JSON, or paths; each operator takes them as what it wants, a number, a boolean or a text,
by reading what Go would print of them.

Source: evilmonkeyinc/jsonpath v0.8.1 script/standard/*.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chalicelib.core.expressions.documents import unmarshal
from chalicelib.core.expressions.jsonpaths.queries import (
    PathError,
    Query,
    Token,
    as_expression_error,
    members,
)
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.powers import power
from chalicelib.core.expressions.sprig.casts import int64_of, parse_float
from chalicelib.core.expressions.sprig.numbers import quotient
from chalicelib.core.expressions.sprig.regexes import compile_regex
from chalicelib.core.expressions.values import Int64, format_value, utf8

# Weakest first: the first that is found splits the text.
OPERATORS: Final = (
    "||", "&&",
    "==", "!=", "<=", ">=", "<", ">", "=~", "!",
    "+", "-",
    "**", "*", "/", "%",
    "not in", "in", "@", "$",
)  # fmt: skip


def find_operator(text: str, operator: str) -> int:
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

    def evaluate(self, query: Query, current: Any) -> Any:
        """The outcome for the value at hand, `@`. Raises PathError."""
        raise NotImplementedError


@dataclass(frozen=True)
class Expression:
    """The text of a filter or script, and the operation it is; without one it is an operand."""

    text: str
    operation: Operation | None

    def refuse_empty(self) -> None:
        """Raises PathError when there is no text."""
        if not self.text:
            raise PathError("invalid expression. is empty", "expression")

    def evaluate(self, query: Query, current: Any) -> Any:
        """The operation's outcome, or the operand read as a name, number, boolean or text. Raises PathError."""
        self.refuse_empty()
        if self.operation is not None:
            return self.operation.evaluate(query, current)
        if self.text in _NAMES:
            return _named(self.text, query, current)
        number = parse_float(self.text)
        if number is not None:
            return number
        return _BOOLEANS.get(self.text, self.text)

    def evaluate_as_token(self, query: Query, current: Any) -> Any:
        """The same, for a place among the steps of a path: errors say that an expression failed."""
        try:
            return self.evaluate(query, current)
        except PathError as error:
            raise as_expression_error(error) from None


@dataclass(frozen=True)
class Selection(Operation):
    """A path within an expression. A string it finds is put in quotes, to tell it from an operand's text."""

    tokens: tuple[Token, ...]

    def evaluate(self, query: Query, current: Any) -> Any:
        found = query.apply(self.tokens, current)
        if not isinstance(found, str) or _is_single_quoted(found):
            return found
        return f"'{found}'"


@dataclass(frozen=True)
class Operator(Operation):
    """An operator between two operands; ``!`` has only the right one."""

    symbol: str
    left: Any  # an operation, JSON, or text
    right: Any

    def evaluate(self, query: Query, current: Any) -> Any:
        query.meter.spend(8)
        return _EVALUATE[self.symbol](_Operands(query, current, self.left, self.right))


_NAMES: Final = frozenset({"$", "@", "nil", "null"})
_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "T", "TRUE", "true", "True"), True),
    **dict.fromkeys(("0", "f", "F", "FALSE", "false", "False"), False),
}


def _named(name: str, query: Query, current: Any) -> Any:
    return {"$": query.root, "@": current}.get(name)


def _is_single_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == "'"


def _bad_argument(what: str) -> PathError:
    return PathError(f"invalid argument. {what}")


@dataclass(frozen=True)
class _Operands:
    """The two sides of an operator, to be taken as what the operator wants."""

    query: Query
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
        return "" if isinstance(value, list | dict) else format_value(value)

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
            return format_value(operand, meter=self.query.meter)
        if operand in _NAMES:
            named = _named(operand, self.query, self.current)
            if not isinstance(named, str):
                return format_value(named, meter=self.query.meter)
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
                raise PathError("invalid argument") from None
        if value is None:
            raise _bad_argument("is nil")
        elements = members(value)
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
    except PathError:
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
        except PathError:
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
    "**": _on_numbers(power),
    "*": _on_numbers(lambda a, b: a * b),
    "/": _on_numbers(quotient),
    "%": _modulus,
    "not in": lambda operands: not _in(operands),
    "in": _in,
}
