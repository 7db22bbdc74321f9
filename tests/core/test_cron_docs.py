"""The tables of docs/cron.md say what the code does.

They are computed here, by asking the code, and compared with the page. When they differ on purpose:
``python -m tests.core.test_cron_docs`` writes them anew.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core import reasons
from chalicelib.core.cronworkflows import (
    CATCH_UP,
    CATCH_UP_MAX,
    CATCH_UP_WINDOW,
    CREATE,
    LAST_USED_SCHEDULE,
    Child,
    CronWorkflow,
    Decision,
    catch_up,
    decide,
    plan,
)
from chalicelib.core.schedules import parse

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cron.md"
MARKED = re.compile(r"(<!-- table: ([a-z-]+) -->\n)(.*?)(<!-- /table -->)", re.DOTALL)

HOURLY = CronWorkflow(
    "argo",
    "build",
    "uid",
    schedules=("0 * * * *",),
    workflow_spec={"entrypoint": "main", "templates": [{"name": "main"}]},
)
HOURLY = replace(HOURLY, annotations={LAST_USED_SCHEDULE: HOURLY.schedule_text})


def at(time: str) -> datetime:
    return datetime.fromisoformat(f"2026-06-01T{time}:00Z")


def rendered(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


# zone, the local day of the change, what happens, schedules
CHANGES = [
    (
        "America/Los_Angeles",
        "2026-03-08",
        "02:00 becomes 03:00",
        ["30 2 * * *", "0 3 * * *", "0 0-6/2 * * *"],
    ),
    ("America/Los_Angeles", "2026-11-01", "02:00 becomes 01:00", ["30 1 * * *", "0 2 * * *", "0 0-3 * * *"]),
    ("America/Sao_Paulo", "2018-11-04", "midnight becomes 01:00", ["0 0 * * *", "0 12 * * *"]),
    ("America/Havana", "2024-11-03", "01:00 becomes midnight", ["30 0 * * *"]),
    ("Australia/Lord_Howe", "2024-04-07", "02:00 becomes 01:30", ["45 1 * * *", "0 2 * * *"]),
    ("Africa/Cairo", "2024-04-26", "midnight becomes 01:00", ["0 0 * * *", "0 12 26 4 *"]),
]


def dst() -> str:
    def fired(schedule: str, zone: str, day: str, rule: str) -> str:
        start = datetime.fromisoformat(day).replace(tzinfo=ZoneInfo(zone))
        # All of the local day, which is not 24 hours long.
        end = (start + timedelta(days=1)).astimezone(UTC) - timedelta(seconds=1)
        found = parse(schedule, zone, dst=rule).between(start.astimezone(UTC), end)
        shown = [f"{moment.astimezone(ZoneInfo(zone)):%H:%M} ({moment:%H:%M}Z)" for moment in found]
        return ", ".join(shown) or "nothing"

    rows = []
    for zone, day, change, schedules in CHANGES:
        for number, schedule in enumerate(schedules):
            place = f"{zone}, {day}: {change}" if number == 0 else ""
            rows.append(
                [place, f"`{schedule}`", *(fired(schedule, zone, day, rule) for rule in ("argo", "once"))]
            )
    return rendered(["Zone, day, change", "Schedule", "Runs (UTC)", "With `lynceus.dev/dst: once`"], rows)


def late() -> str:
    seconds = [0, 60, 120, 121, 600, 901]
    rows = []
    for deadline in (0, 30, 300, 900):
        of = replace(HOURLY, starting_deadline_seconds=deadline)
        (run,) = plan(of, at("12:00"), at("12:00"))
        actions = [decide(of, run, run.start_at + timedelta(seconds=each), []).action for each in seconds]
        words = ["runs" if action == CREATE else "missed" for action in actions]
        rows.append([f"`{deadline}`" if deadline else "not set", *words])
    return rendered(["`startingDeadlineSeconds`", *(f"{each} s late" for each in seconds)], rows)


def said(decision: Decision) -> str:
    if decision.action != CREATE:
        return f"skipped, `{decision.reason}`"
    return "ends the earlier one, runs" if decision.replaces else "runs"


EARLIER = Child("argo", "build-1780300800", "child", "Running", owner_uid="uid", cron_workflow="build")


def policy() -> str:
    states: Mapping[str, tuple[list[Child], str]] = {
        "no earlier child": ([], ""),
        "one still runs": ([EARLIER], ""),
        "all are finished": ([replace(EARLIER, phase="Failed")], ""),
        "one was just decided, not yet seen": ([], EARLIER.name),
        "one of a backfill runs": ([replace(EARLIER, owner_uid="")], ""),
    }
    rows = []
    for name in ("Allow", "Forbid", "Replace"):
        of = replace(HOURLY, concurrency_policy=name)
        (run,) = plan(of, at("12:00"), at("12:00"))
        rows.append([f"`{name}`", *(said(decide(of, run, at("12:00"), children, undecided=undecided))
                                    for children, undecided in states.values())])  # fmt: skip
    return rendered(["Policy", *states], rows)


DEADLINES = (0, 300, 900)


def named(deadline: int) -> str:
    return f"`startingDeadlineSeconds: {deadline}`" if deadline else "no `startingDeadlineSeconds`"


def catching_up() -> str:
    rules: Mapping[str, dict[str, str]] = {
        "none": {},
        "`catch-up: none`": {CATCH_UP: "none"},
        "`catch-up: latest`": {CATCH_UP: "latest"},
        "`catch-up: all`": {CATCH_UP: "all"},
        "`catch-up: all`, `catch-up-max: 2`": {CATCH_UP: "all", CATCH_UP_MAX: "2"},
        "`catch-up: all`, `catch-up-window: 90m`": {CATCH_UP: "all", CATCH_UP_WINDOW: "90m"},
        "`catch-up: latest`, `catch-up-window: 5m`": {CATCH_UP: "latest", CATCH_UP_WINDOW: "5m"},
    }
    rows = []
    for name, added in rules.items():
        cells = []
        for deadline in DEADLINES:
            of = replace(
                HOURLY, annotations={**HOURLY.annotations, **added}, starting_deadline_seconds=deadline
            )
            runs = catch_up(of, at("09:00"), at("12:10"))
            cells.append(", ".join(f"{run.scheduled_at:%H:%M}" for run in runs) or "nothing")
        rows.append([name, *cells])
    return rendered(["Annotations", *map(named, DEADLINES)], rows)


def deadline() -> str:
    rows = []
    for name in ("Allow", "Forbid", "Replace"):
        for annotated in ("", "latest"):
            cells = []
            for seconds in DEADLINES:
                of = replace(HOURLY, concurrency_policy=name, starting_deadline_seconds=seconds)
                if annotated:
                    of = replace(of, annotations={**of.annotations, CATCH_UP: annotated})
                runs = catch_up(of, at("09:00"), at("12:10"))
                outcomes = [
                    f"{run.scheduled_at:%H:%M} {said(decide(of, run, at('12:10'), [EARLIER]))}"
                    for run in runs
                ]
                cells.append(", ".join(outcomes) or "nothing made up for")
            rows.append([f"`{name}`" if not annotated else f"`{name}`, `catch-up: {annotated}`", *cells])
    return rendered(["Policy", *map(named, DEADLINES)], rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "dst": dst,
    "late": late,
    "policy": policy,
    "catch-up": catching_up,
    "deadline": deadline,
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_of_the_page_says_what_the_code_does(name: str) -> None:
    shown = {found[2]: found[3] for found in MARKED.finditer(PAGE.read_text(encoding="utf-8"))}
    assert shown[name] == TABLES[name](), "python -m tests.core.test_cron_docs writes the tables anew"


def test_the_page_names_every_reason_a_run_can_have() -> None:
    text = PAGE.read_text(encoding="utf-8")
    given = [
        reasons.SUSPENDED,
        reasons.STOPPED,
        reasons.WHEN_FALSE,
        reasons.FORBIDDEN_BY_ACTIVE,
        reasons.OBJECT_GONE,
        reasons.RUN_POLICY_ERROR,
        reasons.SPEC_ERROR,
        reasons.NOT_A_FIRE_TIME,
        reasons.MISSED_DEADLINE,
    ]
    assert [code for code in given if f"`{code}`" not in text] == []


if __name__ == "__main__":
    PAGE.write_text(
        MARKED.sub(lambda found: found[1] + TABLES[found[2]]() + found[4], PAGE.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
