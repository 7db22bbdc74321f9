"""What a search needs while it goes on: the document, how many steps are left, and the library's errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from chalicelib.core.expressions.sprig.functions import kind_of
from chalicelib.core.expressions.values import Meter, utf8


class PathError(Exception):
    """An error of the library, which some tokens pass over. `family` decides who wraps it."""

    def __init__(self, message: str, family: str = "") -> None:
        super().__init__(message)
        self.family = family  # "token", "expression" or ""


def token_error(token: str, what: str) -> PathError:
    """What a step says that cannot go on."""
    return PathError(f"{token}: invalid token {what}", "token")


def as_token_error(token: str, reason: PathError) -> PathError:
    """Another's error as that of a step; a step's own stays."""
    return reason if reason.family == "token" else token_error(token, str(reason))


def as_expression_error(reason: PathError) -> PathError:
    """Another's error as that of an expression; an expression's own stays."""
    if reason.family == "expression":
        return reason
    return PathError(f"invalid expression. {reason}", "expression")


def wrong_target(token: str, value: Any, *expected: str) -> PathError:
    """A step met a value of a kind it can do nothing with."""
    return token_error(token, f"target. expected [{' '.join(expected)}] got [{kind_or_nil(value)}]")


def unexpected_result(value: Any, *expected: str) -> PathError:
    """An expression gave a value of a kind that its place does not take."""
    return PathError(
        f"unexpected expression result. expected [{' '.join(expected)}] got [{kind_or_nil(value)}]"
    )


def kind_or_nil(value: Any) -> str:
    """Go's kind of a value, `nil` for nil."""
    return "nil" if value is None else kind_of(value)


@dataclass(frozen=True)
class Token:
    """One step of a path; `apply` gets what was found so far and the steps that follow."""

    def apply(self, query: Query, value: Any, following: Sequence[Token]) -> Any:
        """What this and the following steps find in a value. Raises PathError."""
        raise NotImplementedError


@dataclass(frozen=True)
class Query:
    """One search: the document, and how many steps are left."""

    root: Any
    meter: Meter

    def apply(self, tokens: Sequence[Token], value: Any) -> Any:
        """What the steps find from a value on; the value itself when there are none."""
        if not tokens:
            return value
        self.meter.spend(4 + len(tokens) // 8)  # the rest is copied for every step
        return tokens[0].apply(self, value, tokens[1:])

    def apply_or_nil(self, tokens: Sequence[Token], value: Any) -> Any:
        """Like `apply`, nil for what fails."""
        try:
            return self.apply(tokens, value)
        except PathError:
            return None

    def found_in(self, values: Iterable[Any], following: Sequence[Token]) -> list[Any]:
        """What the rest of the path finds in each value, leaving out nil and what fails."""
        # Lists, not generators: those would recurse on the C stack, which nothing bounds.
        found = [self.apply_or_nil(following, value) for value in values]
        return [value for value in found if value is not None]


def members(value: Any) -> list[Any] | None:
    """The values in a map, by key, or in a list; None for anything else."""
    if isinstance(value, dict):
        return [value[key] for key in sorted(value, key=utf8)]
    return value if isinstance(value, list) else None
