"""From source to answer: parse once, check once per shape of the environment, run as often as one likes.

An `Expression` is the parsed source. Go's expr compiles against the types of an event's top-level values, so
what can be run is a `Program`: the tree, checked and optimized for one shape, that is, for these names with
these types. Programs are kept in one bounded cache for the whole process.
"""

from __future__ import annotations

import ast
import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, NoReturn

from chalicelib.core.expressions import explanations, hints
from chalicelib.core.expressions.checker import Natures, check, nature_of_constant, nature_of_value
from chalicelib.core.expressions.closures import Binding, Frame, bind
from chalicelib.core.expressions.evaluator import Evaluator
from chalicelib.core.expressions.explanations import LISTED_HEADERS, Explanation
from chalicelib.core.expressions.failures import ExpressionError, Kind, Located
from chalicelib.core.expressions.limits import MAX_DEPTH, MAX_SOURCE, STEPS, deep
from chalicelib.core.expressions.nodes import Positions
from chalicelib.core.expressions.operations import Budget, Random
from chalicelib.core.expressions.optimizer import optimize
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.parser import parse
from chalicelib.core.expressions.signatures import NAMES, Nature
from chalicelib.core.expressions.tokens import tokenize
from chalicelib.core.expressions.values import clean, format_value, marshal

Functions = Literal["metadata"]

_SHALLOW: Final = 100  # tokens of an expression that Python's usual recursion limit is enough for
_KEPT: Final = 4096  # programs in the cache of the process


@dataclass(frozen=True)
class Program:
    """An expression that fits one shape of the environment: one set of names with one type each."""

    tree: ast.expr
    parsed: ast.expr = field(repr=False)  # before the rewrites: what the author wrote
    natures: Natures = field(repr=False)
    binding: Binding = field(repr=False)
    constants: Mapping[str, Any] = field(repr=False)  # names beside those of the environment

    @cached_property
    def plan(self) -> explanations.Plan:
        return explanations.plan(self.parsed, self.natures)

    def walk(self, env: Mapping[str, Any], budget: Budget) -> Any:
        """The value by simpleeval's walk: slower, and the reference for what is bound."""
        names = {**clean(dict(env), budget), **self.constants}
        return Evaluator(self.natures, names, budget).eval("", self.tree)


class Expression:
    """A parsed expression; `compile` makes it. To be kept: what it learns about an event's shape stays."""

    __slots__ = ("_programs", "_tokens", "_tree", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        if len(source) > MAX_SOURCE:
            raise ExpressionError("compile", f"expression is longer than {MAX_SOURCE} characters")
        self._tokens = tokenize(source)
        self._programs: dict[Any, Program | ExpressionError] = {}
        self._tree: ast.expr | None = None
        try:
            self._tree = self._parsed(frozenset())
        except ExpressionError as error:
            # An environment that has a name of the language's own gives the words another grammar.
            try:
                self._parsed(NAMES)
            except ExpressionError:
                raise error from None

    def evaluate(
        self,
        env: Mapping[str, Any],
        *,
        functions: Functions | None = None,
        steps: int = STEPS,
        now: Callable[[], int] | None = None,
        chance: Random | None = None,
    ) -> Any:
        """The value, as Go has it (see `values`). `env` is decoded JSON; its ints count as float64.

        `functions="metadata"` adds what only metadata expressions see. `steps` bounds the work (see `limits`).
        `now` gives nanoseconds since 1970 for the expression's `now()`, `chance` is what sprig's random
        functions draw from; the machine's own where they are None, which is for trying things out: who
        evaluates an event gives both, so that asking again says the same. Raises ExpressionError.
        """
        environment = env if type(env) is dict else dict(env)
        program = self.program(environment, functions)
        run, variables = program.binding
        try:
            try:
                return run(Frame(environment, variables, steps, now, chance))
            except RecursionError:
                # Rare, so the limit is not raised for all: deep expressions, and values that nest deep.
                with deep(max(len(self._tokens), MAX_DEPTH)):
                    return run(Frame(environment, variables, steps, now, chance))
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
        return self._no_bool(result)

    def explain(
        self,
        env: Mapping[str, Any],
        *,
        listed: Collection[str] | None = None,
        kept: Collection[str] | None = None,
        steps: int = STEPS,
        now: Callable[[], int] | None = None,
    ) -> Explanation:
        """Why this selector answers as it does: the comparisons that decided, as data. Raises nothing.

        `listed` are headers whose values may be shown, beside those that never hold a credential. `kept`
        are the headers that were kept of this event, all when None: what reads another is undecidable.
        """
        environment = env if type(env) is dict else dict(env)
        try:
            program = self.program(environment)
            with self._depth():
                if listed is None:
                    plan = program.plan
                else:
                    plan = explanations.plan(program.parsed, program.natures, LISTED_HEADERS.union(listed))
                frame = Frame(environment, plan.variables, steps, now)
                return explanations.explain(plan, self.source, frame, kept)
        except ExpressionError as error:
            return explanations.failed(error.detail, error.line, error.column)
        except (FunctionError, RecursionError, MemoryError) as error:
            return explanations.failed(str(error), 0, 0)

    def program(self, env: dict[str, Any], functions: Functions | None = None) -> Program:
        """What runs in an environment of this shape; raises ExpressionError of kind "compile"."""
        shape = (functions, *env, *map(type, env.values()))
        program = self._programs.get(shape)
        if program is None:
            program = _program(self, shape, env, functions)
            if len(self._programs) >= _SHAPES:
                self._programs.clear()
            self._programs[shape] = program
        if isinstance(program, ExpressionError):
            raise program.again()
        return program

    def checked(self, env: Mapping[str, Any], functions: Functions | None) -> Program:
        """The program, made anew."""
        constants: Mapping[str, Any] = {}
        if functions:
            # Few bindings have metadata expressions, and sprig and jsonpath are half of what this package imports.
            from chalicelib.core.expressions import metadata

            constants = metadata.constants()
        natures: dict[str, Nature] = {name: nature_of_value(value) for name, value in env.items()}
        natures.update({name: nature_of_constant(value) for name, value in constants.items()})
        overridden = NAMES.intersection(natures)
        tree = self._tree if not overridden and self._tree is not None else self._parsed(overridden)
        try:
            with self._depth():
                found = check(tree, natures)
                better = optimize(tree, found)
                return Program(better, tree, found, bind(better, found, constants), constants)
        except Located as error:
            hint = hints.hint_for(error.name, self.source, natures) if error.name else ""
            raise self._failure("compile", error.message, error.offset, hint) from None
        except FunctionError as error:
            raise self._failure("compile", error.message, None) from None

    def _parsed(self, overridden: frozenset[str]) -> ast.expr:
        try:
            with self._depth():
                return parse(self._tokens, Positions(self.source), overridden)
        except Located as error:
            raise self._failure("compile", error.message, error.offset) from None

    def _depth(self) -> AbstractContextManager[None]:
        return nullcontext() if len(self._tokens) <= _SHALLOW else deep(len(self._tokens))

    def _no_bool(self, result: Any) -> NoReturn:
        try:
            with deep(MAX_DEPTH):
                shown = format_value(result, "s")
        except FunctionError as error:
            shown = error.message
        raise self._failure("type", f"unable to cast expression result '{shown}' to bool", None)

    def _failure(self, kind: Kind, message: str, offset: int | None, hint: str = "") -> ExpressionError:
        return ExpressionError(kind, message, source=self.source, offset=offset, hint=hint)


_SHAPES: Final = 64  # programs that one expression keeps
_programs: OrderedDict[Any, Program | ExpressionError] = OrderedDict()
_lock = threading.Lock()


def _program(
    expression: Expression, shape: Any, env: Mapping[str, Any], functions: Functions | None
) -> Program | ExpressionError:
    """The program of the process-wide cache, or a new one; the cache forgets what was not used for longest."""
    key = (expression.source, shape)
    with _lock:
        known = _programs.get(key)
        if known is not None:
            _programs.move_to_end(key)
            return known
    made: Program | ExpressionError
    try:
        made = expression.checked(env, functions)
    except ExpressionError as error:
        made = error
    with _lock:
        _programs[key] = made
        if len(_programs) > _KEPT:
            _programs.popitem(last=False)
    return made


def parameter_text(value: Any) -> str:
    """The exact text Argo puts in a workflow parameter: JSON, the quotes of a string cut off, ``<>&`` restored.

    The escapes of a string stay, as in Argo. Raises ExpressionError of kind "type" for what has no JSON.
    Source: pkg/apis/workflow/v1alpha1/item.go, util/json/jsonify.go.
    """
    try:
        with deep(MAX_DEPTH):
            text = marshal(value)
    except FunctionError as error:
        raise ExpressionError("type", error.message) from None
    if text.startswith('"'):
        text = text[1:-1]
    return text.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
