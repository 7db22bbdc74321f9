"""Expressions with the outcome of Argo's own library: result or error, and at which stage.

`expr_cases.jsonl` holds one case a line; "kinds" counts cases whose error is of the recorded kind.
`expr_random_cases.jsonl` was made by chance and recorded with expr v1.17.8 on Go 1.26.8, amd64: well-typed trees over a
rich event, mutated expressions, runes cut in half, powers, and nil slices. Left out is what Go answers differently each
time, for the order of a map, and what docs/compatibility.md says we answer otherwise.
"""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from chalicelib.core import expressions
from chalicelib.core.expressions import ExpressionError, go_type, parameter_text
from chalicelib.core.expressions.values import marshal

VECTORS = Path(__file__).parents[1] / "vectors" / "expr_cases.jsonl.gz"
RANDOM = VECTORS.with_name("expr_random_cases.jsonl.gz")


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    for path in (VECTORS, RANDOM):
        yield from run_file(path)


def run_file(path: Path) -> Iterator[tuple[str, int, int, list[str]]]:
    """Per group: outcomes that agree. At the end two more rows: kinds and messages of errors."""
    if not path.exists():
        yield "all", 0, 0, ["absent"]
        return
    groups: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    failures: dict[str, list[str]] = defaultdict(list)
    errors = kinds = messages = 0
    for case in cases(path):
        ours, theirs = outcome(case), recorded(case)
        good = ours[0] == theirs[0] == "error" or ours == theirs
        groups[case["group"]][0] += good
        groups[case["group"]][1] += 1
        if not good:
            failures[case["group"]].append(
                f"{case['id']} {case['expr']!r:.100}: {ours!r:.120} not {theirs!r:.120}"
            )
        if theirs[0] == "error":
            errors += 1
            kinds += ours[:2] == theirs[:2]
            messages += ours == theirs
            if good and ours[:2] != theirs[:2]:
                failures["error kinds"].append(
                    f"{case['id']} {case['expr']!r:.100}: {ours!r:.150} not {theirs!r:.150}"
                )
            elif good and ours != theirs:
                failures["error messages"].append(
                    f"{case['id']} {case['expr']!r:.100}: {ours[2]!r:.150} not {theirs[2]!r:.150}"
                )
    for group, (passed, total) in groups.items():
        yield group, passed, total, failures[group]
    yield "error kinds", kinds, errors, failures["error kinds"]
    yield "error messages", messages, errors, failures["error messages"]


def cases(path: Path) -> Iterator[dict[str, Any]]:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line, parse_int=float)


def recorded(case: dict[str, Any]) -> tuple[str, ...]:
    if case["error"]:
        # The recorder of Argo's cases wrote the Go type behind the message.
        return "error", case["error"], re.sub(r"  \[.*\]$", "", case["message"])
    if case["mode"] == "selector":
        return "result", json.dumps(case["result"])
    if "json" not in case:
        return "result", case["result"]  # the text that Argo makes of it
    return ("result", case["json"], case["param"]) if "param" in case else ("result", case["json"])


def outcome(case: dict[str, Any]) -> tuple[str, ...]:
    try:
        expression = expressions.compile(case["expr"])
        if case["mode"] == "selector":
            return "result", json.dumps(expression.evaluate_bool(case["env"]))
        functions = "metadata" if case["mode"] == "metadata" else None
        value = expression.evaluate(case["env"], functions=functions)
        if functions and type(value) is not str:
            return "error", "type", f"must evaluate to a string, not a {go_type(value)}"
        if "json" not in case and not case["error"]:
            return "result", value if functions else parameter_text(value)
        text = parameter_text(value)
        return ("result", marshal(value), text) if "param" in case else ("result", marshal(value))
    except ExpressionError as error:
        return "error", error.kind, error.message.split("\n")[0]
    except Exception as error:  # noqa: BLE001  - whatever is not ours is the finding
        return "crash", type(error).__name__, str(error)
