"""Expressions: 50 selectors × 5 events warm and cold, beside plain simpleeval; 10,000 bindings with and without index.

Argo compiles a selector for each event; Go needs 11 µs (median) and 17 µs (90th percentile) for that on the machine
the aims come from. Aims: warm median 5 µs, 90th percentile 12 µs; matching with the index 20 times faster.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import simpleeval  # noqa: E402 - a script finds the package beside itself

from chalicelib.core import expressions  # noqa: E402
from chalicelib.core.expressions import Expression, ExpressionError, programs  # noqa: E402
from chalicelib.core.indexes import Index  # noqa: E402

VECTORS = ROOT / "tests" / "vectors" / "expr_bench_selectors.json"
REPEAT = 5
BINDINGS = 10_000


def best(run: Callable[[], Any], times: int) -> float:
    """Microseconds of one run: the best of five rounds, as the others only measure the machine's mood."""
    rounds = []
    for _ in range(REPEAT):
        begin = time.perf_counter()
        for _ in range(times):
            run()
        rounds.append((time.perf_counter() - begin) / times)
    return min(rounds) * 1e6


def asked(expression: Expression, event: dict[str, Any]) -> bool | None:
    try:
        return expression.evaluate_bool(event)
    except ExpressionError:
        return None


def cold(source: str, event: dict[str, Any]) -> None:
    programs._programs.clear()
    with contextlib.suppress(ExpressionError):
        expressions.compile(source).program(event)


def line(name: str, figures: list[float], aim: str = "") -> None:
    ordered = sorted(figures)
    print(
        f"{name:34} median {statistics.median(ordered):8.1f} µs   p90 {ordered[len(ordered) * 9 // 10]:8.1f} µs"
        f"   max {ordered[-1]:8.1f} µs   {aim}"
    )


def selectors() -> None:
    bench = json.loads(VECTORS.read_text("utf-8"))
    warm, compiled, slow = [], [], []
    for selector in bench["selectors"]:
        expression = expressions.compile(selector["expr"])
        for name, event in bench["envs"].items():
            expected = selector["expected"][name]
            assert asked(expression, event) == expected.get("result"), (selector["id"], name)
            warm.append(best(lambda x=expression, e=event: asked(x, e), 100))
            compiled.append(best(lambda s=selector["expr"], e=event: cold(s, e), 3))
            slow.append((warm[-1], selector["id"], name))
    line("warm evaluate_bool, 50 × 5", warm, "aim: 5, 12")
    line("cold compile + check + bind", compiled)
    print("slowest:", ", ".join(f"{who} on {event} {took:.0f} µs" for took, who, event in sorted(slow)[-4:]))


def beside_simpleeval() -> None:
    """A bare comparison, and the same tree walked by simpleeval."""
    event = {"payload": {"ref": "refs/heads/main"}}
    theirs = simpleeval.SimpleEval(names=event)
    tree = theirs.parse('payload["ref"] == "refs/heads/main"')
    ours = expressions.compile('payload["ref"] == "refs/heads/main"')
    plain = best(lambda: theirs.eval("", tree), 5000)
    bound = best(lambda: ours.evaluate_bool(event), 5000)
    print(
        f"bare comparison: simpleeval {plain:.2f} µs, ours {bound:.2f} µs: {plain / bound:.2f} times as fast"
    )


def matching() -> None:
    event = {
        "payload": {
            "ref": "refs/heads/main",
            "action": "opened",
            "repository": {"full_name": "team/service-17"},
        },
        "metadata": {"x-github-event": ["push"]},
        "discriminator": "github",
        "namespace": "argo",
    }
    shapes = (
        'discriminator == "github" and payload.repository.full_name == "team/service-{}" and payload.x == 1',
        'payload.repository.full_name == "team/service-{}" and payload.action in ["opened", "reopened"]',
        '"push" in (metadata["x-github-event"] ?? []) and payload.repository?.full_name == "team/service-{}"',
        'discriminator == "team-{}" and payload.ref startsWith "refs/tags/"',
    )
    items = [
        (number, expressions.compile(shapes[number % len(shapes)].format(number)))
        for number in range(BINDINGS)
    ]
    index = Index(items)
    begin = time.perf_counter()
    index.candidates(event)
    built = time.perf_counter() - begin
    expression_of = dict(items)
    everything = [key for key, expression in items if asked(expression, event)]
    some = [key for key in index.candidates(event) if asked(expression_of[key], event)]
    assert everything == some
    plain = best(lambda: [asked(expression, event) for _, expression in items], 1)
    indexed = best(lambda: [asked(expression_of[key], event) for key in index.candidates(event)], 100)
    print(
        f"one event, {BINDINGS} bindings: all asked {plain / 1000:.1f} ms, with index {indexed / 1000:.3f} ms:"
        f" {plain / indexed:.0f} times as fast   aim: 20   (first event, all compiled: {built:.1f} s)"
    )


if __name__ == "__main__":
    selectors()
    beside_simpleeval()
    matching()
