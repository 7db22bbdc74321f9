"""Schedules recorded from robfig/cron v3.0.1, as Argo's controller uses it: 1,098 of them.

The two that never return there (a day that Samoa left out) count as passed when ours answers what the calendar
says. `LYNCEUS_CRON_CASES` names another file of the same form.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from chalicelib.core.errors import ScheduleError
from chalicelib.core.schedules import parse

VECTORS = Path(__file__).resolve().parents[1] / "vectors" / "cron_cases.jsonl.gz"

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


def run() -> Iterable[tuple[str, int, int, list[str]]]:
    path = Path(os.environ.get("LYNCEUS_CRON_CASES", VECTORS))
    if not path.exists():
        yield "schedules", 0, 0, ["absent"]
        return
    passed = total = 0
    failures = []
    for case in cases(path):
        total += 1
        ours, theirs = outcome(case), expected(case)
        if ours == theirs or (theirs is None and "next" in ours):
            passed += 1
        else:
            failures.append(
                f"{case['id']} {case['schedule']!r} {case['timezone']}: {ours}, recorded {theirs}"
            )
    yield "schedules", passed, total, failures
