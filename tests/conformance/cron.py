"""Schedules recorded from robfig/cron v3.0.1, as Argo's controller uses it, and expressions from govaluate.

The two schedules that never return there (a day that Samoa left out) count as passed when ours answers what the
calendar says. `LYNCEUS_CRON_CASES` names another file of the same form.

Havana and Morocco changed their clocks' future after the recording: where the zone database at hand knows that,
their cases are left out and named.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from chalicelib.core.errors import ScheduleError
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.expressions.values import format_value
from chalicelib.core.govaluate import evaluate
from chalicelib.core.schedules import load_zone, parse

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "cron_cases.jsonl.gz"

GOVALUATE = VECTORS.with_name("govaluate.jsonl.gz")

# Zones whose rules changed after the recording: an instant, and the offset in hours that was recorded.
RECORDED_OFFSETS = {
    "America/Havana": ("2026-11-05T00:00:00Z", -5),
    "Africa/Casablanca": ("2026-12-01T00:00:00Z", 1),
}

# What the wall clock of Apia says, where robfig hangs; (schedule, from) → the first fire time
ANSWERED = {
    ("0 0 1 * *", "2011-12-28T00:00:00Z"): "2011-12-31T10:00:00Z",  # 1 January, 00:00 at +14
    ("10 2 * * 0", "2011-12-28T00:00:00Z"): "2011-12-31T12:10:00Z",  # Sunday 1 January, 02:10 at +14
}


def cases(path: Path = VECTORS) -> Iterator[dict[str, Any]]:
    """The recorded cases, in their order."""
    data = path.read_bytes()
    for line in (gzip.decompress(data) if path.suffix == ".gz" else data).splitlines():
        yield json.loads(line)


def outcome(case: Mapping[str, Any]) -> dict[str, Any]:
    """What ours answers, in the form of the record: `next`, ended by "never", or `error`."""
    moment: datetime | None = datetime.fromisoformat(case["from"])
    fired: list[str] = []
    try:
        schedule = parse(case["schedule"], case["timezone"])
    except ScheduleError as error:
        return {"error": error.message}
    for _ in case.get("next", [""]):
        assert moment is not None
        moment = schedule.next(moment)
        if moment is None:
            return {"next": [*fired, "never"]}
        fired.append(moment.strftime("%Y-%m-%dT%H:%M:%SZ"))
    return {"next": fired}


def expected(case: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the record says, None where it says nothing but that robfig does not return."""
    if case.get("error") != "hang":
        return {key: case[key] for key in ("next", "error") if key in case}
    answer = ANSWERED.get((case["schedule"], case["from"]))
    return None if answer is None else {"next": [answer]}


@cache
def drifted(timezone: str) -> bool:
    """Whether the zone database at hand has other rules for the zone than the recording's had."""
    if timezone not in RECORDED_OFFSETS:
        return False
    moment, hours = RECORDED_OFFSETS[timezone]
    return datetime.fromisoformat(moment).astimezone(load_zone(timezone)).utcoffset() != timedelta(
        hours=hours
    )


def evaluated(expression: str) -> dict[str, Any]:
    """What ours makes of an expression, in the form of govaluate's record."""
    types = {float: "float64", str: "string", bool: "bool", list: "[]interface {}", type(None): "<nil>"}
    try:
        value = evaluate(expression)
    except ExpressionError as error:
        return {"stage": error.kind, "error": error.message}
    return {"type": types[type(value)], "value": format_value(value)}


def agrees(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    """The same value, or the same complaint; where govaluate panics, any complaint."""
    if "panic" in theirs:
        return "error" in ours
    return all(ours.get(key) == theirs[key] for key in ("type", "value", "stage", "error") if key in theirs)


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    path = Path(os.environ.get("LYNCEUS_CRON_CASES", VECTORS))
    if path.exists():
        yield from _schedules(path)
    else:
        yield "schedules", 0, 0, ["absent"]
    if GOVALUATE.exists():
        yield _govaluate()
    else:
        yield "govaluate", 0, 0, ["absent"]


def _schedules(path: Path) -> Iterable[tuple[str, int, int, list[str]]]:
    passed = total = 0
    failures = []
    for case in cases(path):
        if drifted(case["timezone"]):
            continue
        total += 1
        ours, theirs = outcome(case), expected(case)
        if ours == theirs or (theirs is None and "next" in ours):
            passed += 1
        else:
            failures.append(
                f"{case['id']} {case['schedule']!r} {case['timezone']}: {ours}, recorded {theirs}"
            )
    yield "schedules", passed, total, failures
    for zone in filter(drifted, RECORDED_OFFSETS):
        yield f"schedules in {zone}", 0, 0, ["absent"]


def _govaluate() -> tuple[str, int, int, list[str]]:
    passed = total = 0
    failures = []
    for case in cases(GOVALUATE):
        if "expression" not in case:
            continue  # the head: library and version
        total += 1
        ours = evaluated(case["expression"])
        if agrees(ours, case):
            passed += 1
        else:
            failures.append(f"{case['id']} {case['expression']!r:.80}: {ours}, recorded {case}")
    return "govaluate", passed, total, failures
