"""From source to answer: parse once, check once per shape of the environment, run as often as one likes.

An `Expression` is the parsed source. Go's expr compiles against the types of an event's top-level values, so
what can be run is a `Program`: the tree, checked and optimized for one shape, that is, for these names with
these types. Programs are kept in one bounded cache for the whole process.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from chalicelib.core.expressions import hints, metadata
from chalicelib.core.expressions.checker import Natures, check, nature_of_value
from chalicelib.core.expressions.evaluator import Evaluator
from chalicelib.core.expressions.failures import ExpressionError, Kind, Located
from chalicelib.core.expressions.limits import MAX_SOURCE, STEPS, deep
from chalicelib.core.expressions.nodes import Positions
from chalicelib.core.expressions.operations import Budget
from chalicelib.core.expressions.optimizer import optimize
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.parser import parse
from chalicelib.core.expressions.signatures import NAMES, Nature
from chalicelib.core.expressions.tokens import Token, tokenize
from chalicelib.core.expressions.values import clean, format_value, marshal

Functions = Literal["metadata"]
Shape = tuple[tuple[str, ...], tuple[type, ...], Functions | None]

_SHALLOW: Final = 60  # tokens of an expression that needs no deeper recursion than Python's own limit


@dataclass(frozen=True)
class Program:
    """A tree that fits one shape of the environment."""

    tree: ast.expr
    natures: Natures = field(repr=False)

    def run(self, env: dict[str, Any], budget: Budget) -> Any:
        return Evaluator(self.natures, env, budget).eval("", self.tree)


class Expression:
    """A parsed expression; `compile` makes it."""

    def __init__(self, source: str) -> None:
        self.source = source
        if len(source) > MAX_SOURCE:
            raise ExpressionError("compile", f"expression is longer than {MAX_SOURCE} characters")
        self._tokens = tokenize(source)
        self._deferred = False
        try:
            self._tree: ast.expr | None = self._parsed(frozenset())
        except ExpressionError:
            # An environment that has a name of the language's own gives the words another grammar.
            self._parsed(NAMES)
            self._tree = None

    def evaluate(
        self,
        env: Mapping[str, Any],
        *,
        functions: Functions | None = None,
        steps: int = STEPS,
        now: Callable[[], int] | None = None,
    ) -> Any:
        """The value, as Go has it (see `values`). `env` is decoded JSON; its ints count as float64.

        `steps` bounds the work: items looped over and sixteenths of characters. `now` gives nanoseconds
        since 1970 for the expression's `now()`. Raises ExpressionError.
        """
        environment = dict(env)
        program = self.program(environment, functions)
        budget = Budget(steps, now)
        try:
            with deep(len(self._tokens)):
                cleaned = clean(environment)
                if functions:
                    cleaned = {**cleaned, **metadata.environment()}
                return program.run(cleaned, budget)
        except FunctionError as error:
            raise self._failure("run", error.message, getattr(error, "offset", 0)) from None
        except RecursionError:
            raise self._failure("run", "values nest too deep", None) from None
        except MemoryError:
            raise self._failure("run", "memory budget exceeded", None) from None

    def evaluate_bool(
        self, env: Mapping[str, Any], *, steps: int = STEPS, now: Callable[[], int] | None = None
    ) -> bool:
        """The answer of a selector; ExpressionError of kind "type" when it is no bool."""
        result = self.evaluate(env, steps=steps, now=now)
        if result is True or result is False:
            return result
        shown = format_value(result, "s")
        raise self._failure("type", f"unable to cast expression result '{shown}' to bool", None)

    def program(self, env: dict[str, Any], functions: Functions | None) -> Program:
        natures: dict[str, Nature] = {name: nature_of_value(value) for name, value in env.items()}
        if functions:
            natures.update(metadata.NATURES)
        overridden = NAMES.intersection(natures)
        tree = self._tree if not overridden and self._tree is not None else self._parsed(overridden)
        try:
            with deep(len(self._tokens)):
                found = check(tree, natures)
                return Program(optimize(tree, found), found)
        except Located as error:
            raise self._failure(
                "compile", error.message, error.offset, hints.hint_for(error.name, natures)
            ) from None

    def _parsed(self, overridden: frozenset[str]) -> ast.expr:
        tokens: list[Token] = self._tokens
        try:
            with deep(len(tokens)):
                return parse(tokens, Positions(self.source), overridden)
        except Located as error:
            raise self._failure("compile", error.message, error.offset) from None

    def _failure(self, kind: Kind, message: str, offset: int | None, hint: str = "") -> ExpressionError:
        return ExpressionError(kind, message, source=self.source, offset=offset, hint=hint)


def parameter_text(value: Any) -> str:
    """The exact text Argo puts in a workflow parameter: JSON, the quotes of a string cut off, ``<>&`` restored.

    The escapes of a string stay, as in Argo. Raises ExpressionError of kind "type" for what has no JSON.
    Source: pkg/apis/workflow/v1alpha1/item.go, util/json/jsonify.go.
    """
    try:
        text = marshal(value)
    except FunctionError as error:
        raise ExpressionError("type", error.message) from None
    if text.startswith('"'):
        text = text[1:-1]
    return text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
