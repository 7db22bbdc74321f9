"""Argo's ``{{…}}``: text with variables to text without.

A tag is the text between ``{{`` and the next ``}}``. A plain tag names a variable, whose string comes in its
place; a tag that begins with ``=`` is an expression, whose value comes in its place as JSON, a string without its
quotes. What stands there afterwards is for the next stage to read: in `when` that is `govaluate`.

The variables are flat, `cronworkflow.name`, but an expression sees them as maps in maps. On the way a variable
that is also the beginning of another (`cronworkflow.labels`, because of `cronworkflow.labels.json`) is lost, and a
double quote inside an expression ends it early, since it is read as the inside of a JSON string. Both are Argo's.

Source: argo-workflows util/template/template.go, simple_template.go, expression_template.go,
util/expand/expand.go; valyala/fasttemplate.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from chalicelib.core import expressions
from chalicelib.core.expressions import Expression, ExpressionError
from chalicelib.core.expressions.panics import FunctionError
from chalicelib.core.expressions.signatures import NAMES
from chalicelib.core.expressions.tokens import IDENTIFIER, STRING, Token, quoted, tokenize
from chalicelib.core.expressions.values import marshal

LIMIT = 1 << 16  # characters, of the text and of the result

_CACHED_LENGTH = 4096  # characters of an expression

# What expressions see beside the variables; `chalicelib.core.expressions` brings them.
_FUNCTIONS = frozenset({"asInt", "asFloat", "jsonpath", "toJson", "sprig"})


def substitute(text: str, variables: Mapping[str, Any], *, now: Callable[[], int] | None = None) -> str:
    """The text with every tag replaced; raises ExpressionError in Argo's words for one that cannot be.

    `variables` has dotted names; `now` gives nanoseconds since 1970 to expressions that ask.
    """
    if len(text) > LIMIT:
        raise ExpressionError("compile", f"text of {len(text)} characters is longer than {LIMIT}")
    parts: list[str] = []
    nested: dict[str, Any] | None = None
    for is_tag, part in list(_parts(text)):
        if not is_tag:
            parts.append(part)
        elif part.startswith("="):
            nested = expand(variables) if nested is None else nested
            parts.append(_expression(part[1:], nested, now))
        else:
            parts.append(_variable(part, variables))
        if sum(map(len, parts)) > LIMIT:
            raise ExpressionError("run", f"the text is longer than {LIMIT} characters after substitution")
    return "".join(parts)


def expand(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables as maps in maps; one that is also the beginning of another is lost."""
    names = sorted(variables)
    nested: dict[str, Any] = {}
    for name, following in zip(names, [*names[1:], ""], strict=True):
        if following.startswith(f"{name}."):
            continue
        *path, last = name.split(".")
        level = nested
        for step in path:
            level = level.setdefault(step, {})
        level[last] = variables[name]
    return nested


def _parts(text: str) -> Iterator[tuple[bool, str]]:
    """Texts and tags in turn; (True, …) is a tag."""
    rest = text
    while True:
        before, opened, after = rest.partition("{{")
        yield False, before
        if not opened:
            return
        tag, closed, rest = after.partition("}}")
        if not closed:
            place = f"in the template={quoted(text)} starting from {quoted(after)}"
            raise ExpressionError("compile", f'Cannot find end tag="}}}}" {place}')
        yield True, tag


def _variable(tag: str, variables: Mapping[str, Any]) -> str:
    name = tag.strip()
    if name not in variables:
        outer, opened, inner = tag.rpartition("{{")
        if opened and outer and isinstance(variables.get(inner), str):
            return "{{" + outer + quoted(variables[inner])[1:-1]
        raise ExpressionError("run", f"failed to resolve {{{{{tag}}}}}")
    value = variables[name]
    if not isinstance(value, str):
        raise ExpressionError("run", f"failed to resolve {{{{{tag}}}}} to string")
    return quoted(value)[1:-1]


def _expression(tag: str, variables: Mapping[str, Any], now: Callable[[], int] | None) -> str:
    tag = tag.replace("\\u003c", "<").replace("\\u003e", ">").replace("\\u0026", "&")
    source = _unescaped(tag)
    for path in _paths(source):
        if not _known(path, variables):
            raise ExpressionError("compile", f"failed to evaluate expression: {'.'.join(path)} is missing")
    try:
        value = compiled(source).evaluate(variables, functions="metadata", now=now)
    except ExpressionError as error:
        raise ExpressionError(error.kind, f"failed to evaluate expression: {error}") from error
    if value is None:
        raise ExpressionError("run", f"failed to evaluate expression {quoted(tag)}")
    try:
        shown = marshal(value)
    except FunctionError as error:
        raise ExpressionError("type", f"failed to marshal evaluated expression: {error.message}") from error
    if len(shown) > 1 and shown.startswith('"') and shown.endswith('"'):
        return shown[1:-1]
    return quoted(shown)[1:-1]


def compiled(source: str) -> Expression:
    """The parsed expression, from a cache unless it is long; raises ExpressionError."""
    return _kept(source) if len(source) <= _CACHED_LENGTH else expressions.compile(source)


@lru_cache(maxsize=1024)
def _kept(source: str) -> Expression:
    return expressions.compile(source)


def _unescaped(tag: str) -> str:
    """The tag read as the inside of a JSON string; Go's complaint where it is none."""
    complaint = ""
    at = 0
    while at < len(tag) and not complaint:
        letter = tag[at]
        if letter == '"':
            after = tag[at + 1 : at + 2] or '"'
            complaint = f"invalid character {_character(after)} after top-level value"
        elif letter < " ":
            complaint = f"invalid character {_character(letter)} in string literal"
        elif letter == "\\":
            escape = tag[at + 1 : at + 2]
            if not escape:
                complaint = "unexpected end of JSON input"
            elif escape not in '"\\/bfnrtu':
                complaint = f"invalid character {_character(escape)} in string escape code"
            else:
                digits = tag[at + 2 : at + 6] if escape == "u" else ""
                wrong = next((each for each in digits if each not in "0123456789abcdefABCDEF"), "")
                if escape == "u" and (wrong or len(digits) < 4):
                    wrong = wrong or '"'  # the end of the string came first
                    complaint = f"invalid character {_character(wrong)} in \\u hexadecimal character escape"
                at += 1
        at += 1
    if complaint:
        raise ExpressionError("compile", f"failed to unmarshall JSON expression: {complaint}")
    source: str = json.loads(f'"{tag}"')
    return source.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _character(letter: str) -> str:
    """A character as Go's encoding/json quotes it."""
    return {"'": r"'\''", '"': "'\"'"}.get(letter) or f"'{quoted(letter)[1:-1]}'"


def _paths(source: str) -> Iterator[tuple[str, ...]]:
    """The variables an expression names, and every member path from one of them, in order.

    Argo wants each of them there before it runs anything, also in a branch that would not be taken, and takes
    names that `let` makes for missing ones.
    """
    tokens = tokenize(source)
    for at, token in enumerate(tokens):
        before, after = tokens[at - 1] if at else None, tokens[min(at + 1, len(tokens) - 1)]
        if token.kind != IDENTIFIER or token.value in ("true", "false", "nil"):
            continue
        if before is not None and before.kind == "Operator" and before.value in (".", "?.", "let", "::"):
            continue
        if after.is_bracket("(") and token.value in NAMES:
            continue
        if (
            after.is_operator(":")
            and before is not None
            and (before.is_bracket("{") or before.is_operator(","))
        ):
            continue  # a key of a map
        yield from _members(str(token.value), tokens[at + 1 :])


def _members(root: str, tokens: list[Token]) -> Iterator[tuple[str, ...]]:
    path: tuple[str, ...] = (root,)
    yield path
    at = 0
    while at + 1 < len(tokens):
        if tokens[at].kind == "Operator" and tokens[at].value in (".", "?."):
            step, at = tokens[at + 1], at + 2
        elif tokens[at].is_bracket("[") and at + 2 < len(tokens) and tokens[at + 2].is_bracket("]"):
            step, at = tokens[at + 1], at + 3
            if step.kind != STRING:
                return
        else:
            return
        if step.kind not in (IDENTIFIER, STRING) or not isinstance(step.value, str):
            return
        path = (*path, step.value)
        yield path


def _known(path: tuple[str, ...], variables: Mapping[str, Any]) -> bool:
    if path[0] in _FUNCTIONS:
        return True
    level: Any = variables
    for step in path:
        if not isinstance(level, Mapping) or step not in level:
            return False
        level = level[step]
    return True
