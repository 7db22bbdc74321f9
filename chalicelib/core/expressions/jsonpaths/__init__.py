"""JSONPath as the `jsonpath` function of Argo's metadata expressions has it.

A path is cut into tokens; each token takes a value, finds something in it, and hands that to the next. Some
want one thing and fail without it (`.key`, `[1]`), others find many and leave out what the rest of the path
fails on (`[*]`, `..`, `[?()]`, ranges and unions). Filters and scripts are a small language of their own whose
operators are looked for as text, weakest first, so that an operator's name inside a word counts as well:
that is the library's way, and paths in use depend on the outcome.

Every step is counted: `$..*..*` on a few kilobytes would otherwise run for hours.

Source: evilmonkeyinc/jsonpath v0.8.1 selector.go; argo-workflows util/expr/env.
"""

from __future__ import annotations

from typing import Any, Final

from chalicelib.core.expressions import documents
from chalicelib.core.expressions.jsonpaths.queries import PathError, Query
from chalicelib.core.expressions.jsonpaths.reading import read_path
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.values import Meter

__all__ = ["jsonpath"]

_STEPS: Final = 1_000_000  # where the caller brings no meter


def jsonpath(document: str, path: str, meter: Meter | None = None) -> Any:
    """What a path finds in the JSON text of a document. Raises FunctionError in the library's words.

    Each step and each value looked at is spent from the meter.
    A document nested deeper than Python's stack raises RecursionError; the evaluator tries again with more of it.
    """
    meter = meter or Meter(_STEPS)
    meter.spend(documents.reading(document))
    root = documents.unmarshal(document)
    try:
        return Query(root, meter).apply(read_path(path, meter), root)
    except PathError as error:
        raise FunctionError(str(error)) from None
