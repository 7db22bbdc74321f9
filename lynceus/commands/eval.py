"""`lynceus eval`: an expression against an event, as Argo would evaluate it.

The event is a JSON file: what `lynceus events save` writes, the environment itself (``payload``, ``metadata``,
``discriminator``, ``namespace``), or any other document, which is then taken for the payload.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from lynceus.output import DONE, NO, USAGE, Output

HELP = "evaluate an expression against an event: value, parameter text, or the error with its place"
NAMES = ("payload", "metadata", "discriminator", "namespace")


def arguments(parser: argparse.ArgumentParser) -> None:
    """What `lynceus eval` takes."""
    parser.add_argument("expression", help="the expression; quote it for the shell")
    parser.add_argument("--event", metavar="FILE", help='a JSON file, "-" for stdin: an event or its payload')
    parser.add_argument(
        "--metadata", action="store_true", help="as in submit.metadata: with sprig and its like"
    )
    parser.add_argument("--selector", action="store_true", help="as in event.selector: must be true or false")


def run(options: argparse.Namespace, out: Output) -> int:
    """Print what the expression gives; exit 1 for an error, and for a selector that is false."""
    from chalicelib.core import expressions
    from chalicelib.core.expressions import ExpressionError
    from chalicelib.core.expressions.values import marshal

    try:
        event = event_of(options.event)
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        out.error(
            f"{options.event}: {said}", 'a JSON document such as {"payload": {"ref": "refs/heads/main"}}'
        )
        return USAGE
    try:
        expression = expressions.compile(options.expression)
        if options.selector:
            return selected(expression, event, out)
        value = expression.evaluate(event, functions="metadata" if options.metadata else None)
    except ExpressionError as error:
        place = {"line": error.line, "column": error.column} if error.line else {}
        out.data({"error": error.kind, "message": error.message, **place, "hint": error.hint})
        hint = error.hint or ("there is no event: say --event FILE" if options.event is None else "")
        out.error(f"{error.kind}: {error.message}{error.snippet}", hint)
        return NO
    kind = expressions.go_type(value)
    try:
        text, parameter = marshal(value, escape_html=False), expressions.parameter_text(value)
    except Exception as error:  # noqa: BLE001  - Go cannot marshal it either; the value itself is still told
        out.line(f"value      a {kind}")
        out.error(f"no parameter: {error}")
        out.data({"type": kind, "error": "type", "message": str(error)})
        return NO
    out.line(f"value      {text}")
    out.line(f"type       {kind}")
    out.line(f"parameter  {parameter}")
    out.data({"value": json.loads(text), "type": kind, "parameter": parameter})
    return DONE


def selected(expression: Any, event: dict[str, Any], out: Output) -> int:
    """Print the answer of a selector and why; an error is left to the caller."""
    answer = expression.evaluate_bool(event)
    explanation = expression.explain(event)
    out.line("true" if answer else "false", colour="green" if answer else "yellow")
    for finding in explanation.findings:
        out.line(f"  {finding}")
    out.data({"value": answer, "findings": [str(finding) for finding in explanation.findings]})
    return DONE if answer else NO


def event_of(name: str | None) -> dict[str, Any]:
    """The environment in a file; raises OSError, ValueError, and BadRequest for a fixture that is none."""
    empty: dict[str, Any] = {"payload": None, "metadata": {}, "discriminator": "", "namespace": ""}
    if name is None:
        return empty
    text = sys.stdin.read() if name == "-" else Path(name).read_text("utf-8")
    document = json.loads(text)
    if isinstance(document, dict) and document and set(document) <= set(NAMES):
        return {**empty, **document}
    if isinstance(document, dict) and "headers" in document and document.keys() & {"payload", "body"}:
        from chalicelib.core.events import environment
        from lynceus.savings import event_of_fixture

        return dict(environment(event_of_fixture(document, name)))
    return {**empty, "payload": document}
