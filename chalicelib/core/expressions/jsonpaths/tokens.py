"""The steps of a path. Each takes a value, finds something in it, and hands that to the steps that follow.

Source: evilmonkeyinc/jsonpath v0.8.1 token/*.go.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.core.expressions.jsonpaths.queries import (
    PathError,
    Query,
    Token,
    as_token_error,
    kind_or_nil,
    members,
    token_error,
    unexpected_result,
    wrong_target,
)
from chalicelib.core.expressions.jsonpaths.scripts import Expression
from chalicelib.core.expressions.values import Int64, truncate, utf8


@dataclass(frozen=True)
class Root(Token):
    """``$``: from the document again."""

    def apply(self, query: Query, _: Any, following: Sequence[Token]) -> Any:
        return query.apply(following, query.root)


@dataclass(frozen=True)
class Current(Token):
    """``@``: the value itself."""

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        return query.apply(following, value)


@dataclass(frozen=True)
class Key(Token):
    """``.key``, ``['key']``: a map's member."""

    key: str

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, dict):
            raise wrong_target("key", value, "map")
        if self.key not in value:
            raise token_error("key", f"key '{self.key}' not found")
        return query.apply(following, value[self.key])


@dataclass(frozen=True)
class Index(Token):
    """``[0]``, ``[-1]``: a list's item."""

    index: int

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, list):
            raise wrong_target("index", value, "array", "slice")
        index = self.index + len(value) if self.index < 0 else self.index
        if not 0 <= index < len(value):
            raise token_error("index", "out of range")
        return query.apply(following, value[index])


@dataclass(frozen=True)
class Length(Token):
    """``.length``: how many; a map's own member of that name comes first."""

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, dict | list | str):
            raise wrong_target("length", value, "array", "map", "slice", "string")
        length: Any = Int64(len(utf8(value)) if isinstance(value, str) else len(value))
        if isinstance(value, dict):
            length = value.get("length", length)
        return query.apply(following, length)


@dataclass(frozen=True)
class Wildcard(Token):
    """``*``: all values of a list or map."""

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        values = members(value)
        if values is None:
            raise wrong_target("wildcard", value, "array", "map", "slice")
        query.meter.spend(len(values))
        return query.found_in(values, following) if following else values


@dataclass(frozen=True)
class Recursive(Token):
    """``..``: the value and everything in it, each given to the rest of the path."""

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        found: list[Any] = []
        self._collect(query, value, following, found)
        return found

    def _collect(self, query: Query, value: Any, following: Sequence[Token], found: list[Any]) -> None:
        if value is None:
            return
        query.meter.spend(4)
        result = query.apply_or_nil(following, value)
        if following and isinstance(result, list):
            query.meter.spend(len(result))
            found.extend(result)
        elif result is not None:
            found.append(result)
        for member in members(value) or ():
            self._collect(query, member, following, found)


@dataclass(frozen=True)
class Filter(Token):
    """``[?(…)]``: the values that an expression holds for; one that fails holds for none."""

    expression: Expression

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        self.expression.refuse_empty()
        values = members(value)
        if values is None:
            raise wrong_target("filter", value, "array", "map", "slice")
        kept = [item for item in values if self._holds(query, item)]
        if following and isinstance(following[0], Index):
            # The library goes on with what was filtered as the document.
            return Query(value, query.meter).apply(following, kept)
        return query.found_in(kept, following) if following else kept

    def _holds(self, query: Query, item: Any) -> bool:
        query.meter.spend(4)
        try:
            result = self.expression.evaluate(query, item)
        except PathError:
            return False
        if isinstance(result, str) and len(result) > 1 and result[0] == result[-1] and result[0] in "'\"":
            return len(result) > 2
        return bool(result)


@dataclass(frozen=True)
class Script(Token):
    """``[(…)]``: the key or index that an expression gives."""

    expression: Expression

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        result = self.expression.evaluate_as_token(query, value)
        if result is None:
            raise unexpected_result(None, "int", "string")
        if isinstance(result, str):
            return query.apply((Key(result), *following), value)
        index = _integer(result)
        if index is None:
            raise unexpected_result(result, "int", "string")
        return query.apply((Index(index), *following), value)


@dataclass(frozen=True)
class Range(Token):
    """``[1:5:2]``: a part of a list; a negative step goes backwards from the end of the part."""

    start: int | Expression | None
    stop: int | Expression | None
    step: int | Expression | None

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        if not isinstance(value, list):
            raise wrong_target("range", value, "array", "slice")
        size = len(value)
        start = self._bound(query, value, self.start, 0)
        stop = self._bound(query, value, self.stop, size)
        step = 1 if self.step is None else self._number(query, value, self.step)
        if step == 0:
            raise token_error("range", "out of range")
        positions = range(start, stop, step) if step > 0 else range(stop - 1, start - 1, step)
        return collected(query, (value[position] for position in positions), following)

    def _bound(self, query: Query, value: list[Any], argument: int | Expression | None, default: int) -> int:
        if argument is None:
            return default
        number = self._number(query, value, argument)
        return min(max(number + len(value) if number < 0 else number, 0), len(value))

    def _number(self, query: Query, value: Any, argument: int | Expression) -> int:
        if isinstance(argument, int):
            return argument
        try:
            result = argument.evaluate_as_token(query, value)
        except PathError as error:
            raise as_token_error("range", error) from None
        number = _integer(result)
        if number is None:
            raise as_token_error("range", unexpected_result(result, "int"))
        return number


@dataclass(frozen=True)
class Union(Token):
    """``[0,2]``, ``['a','b']``: several items or members; those that are missing are left out."""

    arguments: tuple[str | int | Expression, ...]

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
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
                raise token_error("union", f"argument. expected [{expected}] got [{got}]")
        if keys:
            if not isinstance(value, dict):
                raise wrong_target("union", value, "map")
            return collected(query, (value[key] for key in keys if key in value), following)
        if not isinstance(value, list):
            raise wrong_target("union", value, "array", "slice")
        size = len(value)
        return collected(query, (value[index] for index in indexes if -size <= index < size), following)

    def _argument(self, query: Query, value: Any, argument: str | int | Expression) -> str | int:
        if not isinstance(argument, Expression):
            return argument
        try:
            result = argument.evaluate_as_token(query, value)
        except PathError as error:
            raise as_token_error("union", error) from None
        if isinstance(result, str):
            return result
        number = _integer(result)
        if number is None:
            raise token_error("union", f"argument. expected [int string] got [{kind_or_nil(result)}]")
        return number


def collected(query: Query, values: Iterable[Any], following: Sequence[Token]) -> Any:
    """Many values: an index that follows picks one of them, anything else goes into each."""
    values = list(values)
    query.meter.spend(len(values))
    if not following:
        return values
    if isinstance(following[0], Index):
        return query.apply(following, values)
    return query.found_in(values, following)


def _integer(value: Any) -> int | None:
    """The number as an int where it is whole."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return truncate(value) if math.isinf(value) or value == math.floor(value or 0.0) else None
    return int(value)


# --- reading paths --------------------------------------------------------------------------------------
