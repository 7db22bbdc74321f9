"""Cron: `next` per second beside plain croniter, and what planning 10,000 CronWorkflows costs, in one run.

The reference of `next` is croniter itself, with the same fields in the same zone, stepping through the same months; the
two disagree on one in six recorded schedules, so this is about speed alone. One is walked through in order, as
`cron next` does, the other is asked at random instants, as the tick does for each object.

Planning is the tick's pure part: a page of objects decoded from JSON, read, validated, planned for three minutes. A
tenth of them is due. Memory is what the pages' planning allocates at its peak, objects included.

A whole tick is run over ports in memory: its CPU is our code's alone, its memory holds all objects at once as the real
one's does, and its calls are what the adapters would ask of Kubernetes, DynamoDB and SQS.

    python -m bench.cron [--objects 10000]
"""

from __future__ import annotations

import argparse
import json
import random
import time
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from croniter import croniter

from chalicelib.core.cronworkflows import Run, child_workflow, cron_from_object, plan, rfc3339
from chalicelib.core.schedules import parse
from chalicelib.flow import crons
from chalicelib.ports import Ports
from chalicelib.settings import Settings
from lynceus.local.faults import Plan, faulty_ports
from lynceus.local.memory import (
    FakeClock,
    MemoryArchive,
    MemoryCluster,
    MemoryJournal,
    MemoryLedger,
    MemoryQueue,
    MemorySecrets,
    MemoryTopics,
)

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
DUE = "0 10 * * *"
PAGE = 500  # objects in one answer of the API server
BATCH = 10  # messages in one call of SQS
CRON = {"apiVersion": "argoproj.io/v1alpha1", "kind": "CronWorkflow"}


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
            DUE if due else f"{dice.randrange(60)} {dice.randrange(12, 24)} * * {dice.choice('*12345')}"
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


class CountedQueue(MemoryQueue):
    """A queue that counts the batches of ten that SQS would be sent."""

    batches = 0

    def send(self, messages: Sequence[Mapping[str, Any]], *, cron: bool = False, delay: int = 0) -> None:
        self.batches += -(-len(messages) // BATCH)
        super().send(messages, cron=cron, delay=delay)


# Port and method → the call of the API; lists come in pages.
CALLS = {
    ("cluster", "cron_workflows"): "LIST cronworkflows",
    ("cluster", "children"): "LIST workflows",
    ("cluster", "patch"): "PATCH cronworkflows",
    ("cluster", "delete_workflow"): "DELETE workflows",
    ("ledger", "begin_run"): "PutItem",
    ("ledger", "put_cron_state"): "PutItem",
    ("ledger", "cron_state"): "GetItem",
}


def tick_all(objects: int) -> None:
    clock = FakeClock(NOW - timedelta(minutes=2))
    ledger, cluster, queue = MemoryLedger(), MemoryCluster(clock), CountedQueue(clock)
    calls = Plan()
    healthy = Ports(
        ledger,
        MemoryArchive(ledger),
        queue,
        MemorySecrets({}),
        cluster,
        MemoryTopics(),
        MemoryJournal(),
        clock,
    )
    ports = faulty_ports(healthy, calls)
    for page in pages(objects):
        cluster.apply(*({**CRON, **raw} for raw in json.loads(page)["items"]))
    print(
        f"\na whole tick over {objects:,} CronWorkflows in 40 namespaces, {objects // 10:,} of them due at 10:00"
    )
    for name in (
        "09:58, plans those of 10:00",
        "09:59, finds them planned",
        "10:01, their children finished",
    ):
        if name.startswith("10:01"):
            finish_children(cluster)
        calls.calls.clear()
        queue.batches = 0
        start = time.process_time()
        crons.tend(ports, Settings())
        spent = time.process_time() - start
        counted = Counter({"SendMessageBatch": queue.batches})
        for (port, method), number in calls.calls.items():
            counted[CALLS.get((port, method), "")] += number
        for lists, taken in (("cron_workflows", cluster.cron_workflows), ("children", cluster.children)):
            if calls.calls["cluster", lists]:
                pages_read = -(-len(taken("")) // PAGE)
                counted[CALLS["cluster", lists]] = max(calls.calls["cluster", lists], pages_read)
        shown = ", ".join(f"{number:,} {call}" for call, number in sorted(counted.items()) if call and number)
        print(f"{name:32} {spent:6.2f} CPU s; {shown}")
        clock.sleep(60 if name.startswith("09:58") else 120)
    tracemalloc.start()
    crons.tend(ports, Settings())
    print(f"{'memory':32} {tracemalloc.get_traced_memory()[1] / 1e6:6.0f} MB at the peak")
    tracemalloc.stop()


def finish_children(cluster: MemoryCluster) -> None:
    """Four succeeded children for each object that was due, one of them in its active list."""
    for raw in cluster.cron_workflows(""):
        if raw["spec"]["schedules"] != [DUE]:
            continue
        metadata = raw["metadata"]
        for hour in range(4):
            child = child_workflow(cron_from_object(raw), run_at(raw, NOW - timedelta(hours=hour)))
            child["metadata"]["uid"] = f"{metadata['uid']}-{hour}"
            child["status"] = {"phase": "Succeeded", "finishedAt": rfc3339(NOW - timedelta(hours=hour))}
            cluster.apply(child)
        raw["status"]["active"] = [{"uid": f"{metadata['uid']}-0", "name": f"{metadata['name']}-1"}]
        cluster.apply(raw)


def run_at(raw: Mapping[str, Any], moment: datetime) -> Run:
    metadata = raw["metadata"]
    return Run(metadata["namespace"], metadata["name"], metadata["uid"], moment, moment, None)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--objects", type=int, default=10_000)
    options = parser.parse_args()
    compare()
    plan_all(options.objects)
    tick_all(options.objects)


if __name__ == "__main__":
    main()
