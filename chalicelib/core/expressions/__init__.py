"""expr-lang v1.17.8 exactly as Argo Workflows runs it, for selectors, parameters and metadata of bindings.

    source → tokens → tree → checked against an event's types → optimized → run

`tokens` cuts the source into words, `parser` climbs one table of precedences and builds the tree of `nodes`
(Python's `ast`, with subclasses where Python has no such thing), `checker` knows what Go's static types
allow, `optimizer` does those of expr's rewrites that show in results, and the tree runs: in `evaluator` as a
walk of simpleeval's, or bound ahead of time by `closures`. `values`, `operations` and `builtins` are Go's side:
numbers, printing, JSON, equality, and the language's functions. `limits` says how much anything may be.

    >>> from chalicelib.core import expressions
    >>> expressions.compile('payload.ref == "refs/heads/main"').evaluate_bool({"payload": {"ref": "x"}, …})
    False
"""

from __future__ import annotations

from chalicelib.core.expressions.durations import Duration
from chalicelib.core.expressions.failures import ExpressionError
from chalicelib.core.expressions.programs import Expression, parameter_text
from chalicelib.core.expressions.times import Time
from chalicelib.core.expressions.values import go_type

__all__ = ["Duration", "Expression", "ExpressionError", "Time", "compile", "go_type", "parameter_text"]


def compile(source: str) -> Expression:  # noqa: A001  - the name other tools rely on
    """The parsed expression, to be kept and evaluated many times.

    Raises ExpressionError of kind "compile" with line, column and a caret for what is no expression; what
    depends on an event's types is found by `evaluate`.
    """
    return Expression(source)
