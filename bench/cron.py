"""Cron: `next` per second beside plain croniter, and what planning 10,000 CronWorkflows costs, in one run.

The reference of `next` is croniter itself, with the same fields in the same zone, stepping through the same months; the
two disagree on one in six recorded schedules, so this is about speed alone. One is walked through in order, as
`cron next` does, the other is asked at random instants, as the tick does for each object.

The tick is its pure part: a page of objects decoded from JSON, read, validated, planned for three minutes. A tenth of
them is due. Memory is what the pages' planning allocates at its peak, objects included.

    python -m bench.cron [--objects 10000]
"""

from __future__ import annotations

import argparse
import json
import random
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croniter import croniter

from chalicelib.core.cronworkflows import cron_from_object, plan
from chalicelib.core.schedules import parse

START = datetime(2026, 1, 5, tzinfo=UTC)
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
SCHEDULES = [
    "*/5 * * * *",
    "0 * * * *",
    "30 9 * * 1-5",
    "0 0 * * *",
    "15 0-6 * * *",
    "0 0 1 * *",
    "17 4 13 * *",
]
ZONES = ["UTC", "Europe/Paris", "America/Los_Angeles"]
PAGE = 500


def per_second(work: Callable[[], int], seconds: float = 0.4) -> float:
    """How many pieces of work a second of processor time does."""
    done, start = 0, time.process_time()
    while time.process_time() - start < seconds:
        done += work()
    return done / (time.process_time() - start)


def stepping(schedule: str, zone: str, reference: bool) -> Callable[[], int]:
    if reference:
        walker = croniter(schedule, START.astimezone(ZoneInfo(zone)), ret_type=datetime)

        def step_reference() -> int:
            walker.set_current(START.astimezone(ZoneInfo(zone)))
            for _ in range(50):
                walker.get_next()
            return 50

        return step_reference
    ours = parse(schedule, zone)

    def step() -> int:
        moment: datetime | None = START
        for _ in range(50):
            assert moment is not None
            moment = ours.next(moment)
        return 50

    return step


def jumping(schedule: str, zone: str, reference: bool) -> Callable[[], int]:
    dice = random.Random(1)
    moments = [START + timedelta(seconds=dice.randrange(365 * 86400)) for _ in range(50)]
    if reference:
        local = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
        asked = croniter(schedule, local[0], ret_type=datetime)

        def jump_reference() -> int:
            for moment in local:
                asked.get_next(start_time=moment)
            return len(local)

        return jump_reference
    ours = parse(schedule, zone)

    def jump() -> int:
        for moment in moments:
            ours.next(moment)
        return len(moments)

    return jump


def compare() -> None:
    print(f"{'next per CPU second':28} {'ours':>10} {'croniter':>10} {'ratio':>7}")
    for name, make in (("in order", stepping), ("anywhere in the year", jumping)):
        totals = [0.0, 0.0]
        for schedule in SCHEDULES:
            for zone in ZONES:
                for reference in (False, True):
                    totals[reference] += 1 / per_second(make(schedule, zone, reference), 0.1)
        mine, theirs = (len(SCHEDULES) * len(ZONES) / total for total in totals)
        print(f"{name:28} {mine:10,.0f} {theirs:10,.0f} {mine / theirs:6.1f}x")


def pages(objects: int) -> list[bytes]:
    """Lists of CronWorkflows as the API server sends them; a tenth is due at NOW, the others at some other minute."""
    dice = random.Random(2)
    items = []
    for number in range(objects):
        due = number % 10 == 0
        schedule = (
            "0 10 * * *"
            if due
            else f"{dice.randrange(60)} {dice.randrange(12, 24)} * * {dice.choice('*12345')}"
        )
        items.append(
            {
                "metadata": {
                    "namespace": f"team-{number % 40}",
                    "name": f"job-{number}",
                    "uid": f"{number:032x}",
                    "resourceVersion": str(number),
                    "creationTimestamp": "2026-01-01T00:00:00Z",
                    "labels": {"app": "bench"},
                },
                "spec": {
                    "schedules": [schedule],
                    "timezone": "" if due else dice.choice(ZONES[:2]),
                    "concurrencyPolicy": "Forbid",
                    "startingDeadlineSeconds": 300,
                    "workflowSpec": {
                        "workflowTemplateRef": {"name": "build"},
                        "arguments": {"parameters": [{"name": "commit", "value": "main"}]},
                    },
                },
                "status": {
                    "active": [],
                    "conditions": [],
                    "lastScheduledTime": "2026-11-20T10:00:00Z",
                    "phase": "Active",
                },
            }
        )
    return [json.dumps({"items": items[at : at + PAGE]}).encode() for at in range(0, objects, PAGE)]


def tick(lists: list[bytes]) -> int:
    runs = 0
    for page in lists:
        for raw in json.loads(page)["items"]:
            runs += len(plan(cron_from_object(raw), NOW, NOW + timedelta(minutes=3)))
    return runs


def plan_all(objects: int) -> None:
    lists = pages(objects)
    print(f"\none tick over {objects:,} CronWorkflows, in {len(lists)} pages")
    for name in ("first, nothing is cached", "the next one"):
        start = time.process_time()
        runs = tick(lists)
        print(f"{name:28} {time.process_time() - start:10.2f} CPU s, {runs:,} runs planned")
    start = time.process_time()
    decoded = sum(len(json.loads(page)["items"]) for page in lists)
    print(f"{'of which decoding JSON':28} {time.process_time() - start:10.2f} CPU s, {decoded:,} objects")
    tracemalloc.start()
    tick(lists)
    print(f"{'memory':28} {tracemalloc.get_traced_memory()[1] / 1e6:10.1f} MB at the peak")
    tracemalloc.stop()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=10_000)
    options = parser.parse_args()
    compare()
    plan_all(options.objects)


if __name__ == "__main__":
    main()
