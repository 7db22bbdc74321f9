"""Thirty days of 200 random CronWorkflows under a fake clock, against what the specification says.

The world is as unfriendly as it gets: ticks that are late, doubled, left out or absent for an hour, messages that
come twice, a cluster that is away for minutes, and workers that die between creating a child and writing so down.
`World` drives the functions of `cronworkflows` as tick and worker do, with a dictionary for each of cluster,
ledger and queue. `expected` says what must have become of every time, and knows none of these functions: it finds
the times by looking at each minute of each zone's wall clock, and then follows the rules one by one.

The month has clocks going forward (America 8 March, Europe 29 March) and back (Australia, New Zealand, Chile
on 5 April).
"""

from __future__ import annotations

import hashlib
import heapq
import random
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from chalicelib.core import reasons
from chalicelib.core.cronworkflows import (
    CATCH_UP,
    CATCH_UP_MAX,
    CATCH_UP_WINDOW,
    CREATE,
    DST,
    SPREAD,
    Child,
    Decision,
    Run,
    catch_up,
    child_from_object,
    child_workflow,
    cron_from_object,
    decide,
    history_to_delete,
    is_child_of,
    patch_for_run,
    plan,
    reconcile,
    rfc3339,
    validate,
)

BEGIN, END = datetime(2026, 3, 7, tzinfo=UTC), datetime(2026, 4, 6, tzinfo=UTC)
WINDOW = timedelta(minutes=3)  # planned ahead by each tick
SECOND, MINUTE, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(days=1)
ZONES = ["", "UTC", "America/Los_Angeles", "America/New_York", "America/Havana", "Europe/Paris", "Europe/London",
         "Australia/Sydney", "Australia/Lord_Howe", "Pacific/Chatham", "America/Santiago", "Asia/Kolkata"]  # fmt: skip
SCHEDULES = ["30 1 * * *", "30 2 * * *", "0 */6 * * *", "15 0-4 * * *", "*/30 1-3 * * 0", "0 12 * * 1-5",
             "45 23 * * *", "0 0 * * *", "5 2,14 * * *", "59 1 8,29 * *", "0 0 1,15 * 0", "0 3-21/9 * 4 *",
             "20,50 2 * * 0,6"]  # fmt: skip
INTERVALS = {"@every 5h30m": 19800, "@every 26h": 93600}


def chance(*parts: object) -> float:
    """A number in [0, 1) that hangs on the parts alone."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:6], "big") / 2**48


# --- the weather ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Weather:
    """When ticks come, and when the workers can do nothing."""

    ticks: tuple[datetime, ...]
    outages: tuple[tuple[datetime, datetime], ...]

    def delivered(self, wanted: datetime, *about: object) -> datetime:
        """When a message that is due at `wanted` reaches a worker that works."""
        moment = wanted + timedelta(seconds=int(chance("jitter", *about) * 20))
        for start, end in self.outages:
            if start <= moment < end:
                moment = end + timedelta(seconds=int(chance("after", *about) * 20))
        return moment


@cache
def weather() -> Weather:
    dice = random.Random(20260307)
    gaps = [BEGIN + timedelta(minutes=dice.randrange(43_000)) for _ in range(12)]
    # Gaps and outages where it hurts: over the changes of the clocks, and over midnight.
    gaps += [datetime(2026, 3, 8, 9, 40, tzinfo=UTC), datetime(2026, 3, 29, 0, 30, tzinfo=UTC),
             datetime(2026, 4, 4, 15, 10, tzinfo=UTC), datetime(2026, 3, 15, 11, 30, tzinfo=UTC)]  # fmt: skip
    absent = [(gap, gap + timedelta(minutes=60 + dice.randrange(20))) for gap in gaps]
    ticks = []
    minute = BEGIN
    while minute < END:
        tick = minute + timedelta(seconds=dice.randrange(60))
        if dice.random() > 0.02 and not any(start <= tick < end for start, end in absent):
            ticks.append(tick)
            if dice.random() < 0.05:
                ticks.append(tick + timedelta(seconds=dice.randrange(1, 9)))
        minute += MINUTE
    starts = [BEGIN + timedelta(minutes=dice.randrange(43_000)) for _ in range(10)]
    starts += [datetime(2026, 3, 20, hour, 55, tzinfo=UTC) for hour in (5, 11, 17, 23)]
    outages = [(start, start + timedelta(minutes=dice.choice([1, 4, 12, 25]))) for start in sorted(starts)]
    return Weather(tuple(sorted(ticks)), tuple(outages))


@cache
def gaps_of(ticks: tuple[datetime, ...]) -> frozenset[int]:
    """The ticks before which something was not planned."""
    return frozenset(at for at in range(1, len(ticks)) if ticks[at] - ticks[at - 1] > WINDOW)


# --- the CronWorkflows ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Version:
    """A CronWorkflow's spec from some time on."""

    since: datetime
    raw: Mapping[str, Any]

    @property
    def spec(self) -> Mapping[str, Any]:
        spec: Mapping[str, Any] = self.raw["spec"]
        return spec


def versions(number: int) -> list[Version]:
    """A random CronWorkflow, which somebody edits, suspends or resumes once or twice in the month."""
    dice = random.Random(number)
    name = f"job-{number}"
    annotations: dict[str, str] = {}
    if dice.random() < 0.4:
        annotations[CATCH_UP] = dice.choice(["none", "latest", "all", "all"])
        annotations[CATCH_UP_WINDOW] = dice.choice(["2h", "1d", "45m"])
        annotations[CATCH_UP_MAX] = dice.choice(["1", "3", "10"])
    if dice.random() < 0.2:
        annotations[SPREAD] = dice.choice(["5m", "20m"])
    if dice.random() < 0.3:
        annotations[DST] = "once"
    spec: dict[str, Any] = {
        "schedules": dice.sample([*SCHEDULES, *INTERVALS], dice.choice([1, 1, 1, 2])),
        "timezone": dice.choice(ZONES),
        "concurrencyPolicy": dice.choice(["", "Allow", "Forbid", "Forbid", "Replace"]),
        "startingDeadlineSeconds": dice.choice([None, 0, 60, 900, 5400]),
        "suspend": dice.random() < 0.1,
        "when": dice.choice(
            ["", "", f"'{{{{cronworkflow.name}}}}' == '{name}'", "{{= cronworkflow.failed >= 0 }}"]
        ),
        "workflowSpec": {"entrypoint": "main", "templates": [{"name": "main"}]},
    }
    metadata = {
        "namespace": "argo",
        "name": name,
        "uid": f"uid-{number}",
        "creationTimestamp": rfc3339(BEGIN - timedelta(seconds=dice.randrange(86400))),
        "annotations": annotations,
    }
    found = [Version(BEGIN, {"metadata": metadata, "spec": spec})]
    since = BEGIN
    for _ in range(dice.choice([0, 0, 1, 2])):
        since += timedelta(seconds=dice.randrange(86400, 13 * 86400))
        coming = [time for times in fires(found[-1]) for time in times if since < time < END]
        if coming and dice.random() < 0.7:
            since = min(coming) - 75 * SECOND  # when that run is planned already
        change = dice.choice(
            [
                {"suspend": not spec["suspend"]},
                {"schedules": [dice.choice(SCHEDULES)]},
                {"timezone": dice.choice(ZONES)},
            ]
        )
        spec = spec | change
        found.append(Version(since, {"metadata": metadata, "spec": spec}))
    assert all(validate(cron_from_object(version.raw)) == "" for version in found)
    return found


def lasts(name: str, scheduled: datetime) -> timedelta:
    """How long the child of that time runs: mostly minutes, sometimes into the next one's time."""
    part = chance("lasts", name, scheduled)
    return timedelta(seconds=90 + int(part * 1200)) if part < 0.7 else timedelta(hours=1 + 24 * (part - 0.7))


def dies(name: str, scheduled: datetime) -> bool:
    """Whether the worker dies between creating the child of that time and writing so down."""
    return chance("dies", name, scheduled) < 0.1


def twice(name: str, scheduled: datetime) -> bool:
    """Whether the message for that time comes twice."""
    return chance("twice", name, scheduled) < 0.1


# --- the specification ----------------------------------------------------------------------------------------


def numbers(text: str, least: int, most: int) -> set[int]:
    """The values of a cron field, for the few forms that are used here."""
    found: set[int] = set()
    for item in text.split(","):
        span, _, step = item.partition("/")
        low, _, high = ("*" if span == "*" else span).partition("-")
        start, end = (least, most) if low == "*" else (int(low), int(high or low))
        found.update(range(start, end + 1, int(step or 1)))
    return found


@cache
def wall_clock(zone: str) -> Mapping[tuple[int, int], list[tuple[datetime, datetime]]]:
    """Hour and minute → the instants of the month when the zone's clock shows them, with the wall time."""
    shown: dict[tuple[int, int], list[tuple[datetime, datetime]]] = defaultdict(list)
    moment, place = BEGIN - DAY, ZoneInfo(zone or "UTC")
    while moment < END + DAY:
        wall = moment.astimezone(place)
        shown[wall.hour, wall.minute].append((moment, wall))
        moment += MINUTE
    return shown


@cache
def fire_times(schedule: str, zone: str, once: bool, created: str) -> frozenset[datetime]:
    """Every time of the month, and a day to both sides, at which the schedule fires."""
    if schedule in INTERVALS:
        start, step = datetime.fromisoformat(created), timedelta(seconds=INTERVALS[schedule])
        return frozenset(start + step * number for number in range(1, 34 * DAY // step))
    minutes, hours, days, months, weekdays = (
        numbers(text, *bounds)
        for text, bounds in zip(schedule.split(), [(0, 59), (0, 23), (1, 31), (1, 12), (0, 6)], strict=True)
    )
    star = "*" in schedule.split()[2] or "*" in schedule.split()[4]

    def suits(wall: datetime) -> bool:
        by_day, by_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return wall.month in months and (by_day and by_weekday if star else by_day or by_weekday)

    times = [(hour, minute) for hour in hours for minute in minutes]
    if not once:
        shown = wall_clock(zone)
        return frozenset(moment for time in times for moment, wall in shown[time] if suits(wall))
    # RFC 5545: a wall time left out goes on with the old offset, of two the first counts.
    place = ZoneInfo(zone or "UTC")
    walls = [datetime(2026, 3, 5) + DAY * day + timedelta(hours=hour, minutes=minute)  # noqa: DTZ001 - a wall clock
             for day in range(34) for hour, minute in times]  # fmt: skip
    return frozenset(wall.replace(tzinfo=place, fold=0).astimezone(UTC) for wall in walls if suits(wall))


def fires(version: Version) -> list[frozenset[datetime]]:
    """The fire times of each schedule of that version."""
    metadata, spec = version.raw["metadata"], version.spec
    once = metadata["annotations"].get(DST) == "once"
    return [
        fire_times(text, spec["timezone"], once, metadata["creationTimestamp"]) for text in spec["schedules"]
    ]


def text_of(version: Version) -> tuple[Any, ...]:
    return (version.spec["timezone"], *version.spec["schedules"])


@dataclass
class Expectation:
    """What must have become of a CronWorkflow's times."""

    outcomes: dict[datetime, str] = field(default_factory=dict)  # T → created, or why not
    created: list[datetime] = field(default_factory=list)


def expected(history: list[Version], spread: timedelta, around: Weather) -> Expectation:
    """What the specification says of this CronWorkflow in this weather."""
    name: str = history[0].raw["metadata"]["name"]
    annotations: Mapping[str, str] = history[0].raw["metadata"]["annotations"]
    result = Expectation()
    queue: list[
        tuple[datetime, int, datetime, datetime, bool]
    ] = []  # delivery, order, T, start, is catching up
    order = count()
    sent: set[datetime] = set()
    finishes: dict[datetime, datetime] = {}
    planned: dict[datetime, datetime] = {}
    ran_with: tuple[Any, ...] | None = None  # schedules and zone when it last got a decision

    def version_at(moment: datetime) -> Version:
        return next(version for version in reversed(history) if version.since <= moment)

    def send(time: datetime, start: datetime, catching_up: bool) -> None:
        if time not in sent:
            sent.add(time)
            heapq.heappush(
                queue, (around.delivered(start, name, time), next(order), time, start, catching_up)
            )

    def decide_until(end: datetime) -> None:
        nonlocal ran_with
        while queue and queue[0][0] <= end:
            now, _, time, start, catching_up = heapq.heappop(queue)
            version = version_at(now)
            planned_with = next(each for each in reversed(history) if each.since <= planned[time])
            allowed = 120 if catching_up else max(planned_with.spec["startingDeadlineSeconds"] or 0, 120)
            if now > start + timedelta(seconds=allowed):
                result.outcomes[time] = "missed-deadline"
                continue
            if not any(time in times for times in fires(version)):
                result.outcomes[time] = "not-a-fire-time"
                continue
            ran_with = text_of(version)
            if version.spec["suspend"]:
                result.outcomes[time] = "suspended"
                continue
            running = [other for other, finish in finishes.items() if finish > now]
            if version.spec["concurrencyPolicy"] == "Forbid" and running:
                result.outcomes[time] = "forbidden-by-active"
                continue
            if version.spec["concurrencyPolicy"] == "Replace":
                for other in running:
                    finishes[other] = now
            result.outcomes[time] = "created"
            result.created.append(time)
            finishes[time] = now + lasts(name, time)

    # What each tick sees: the times that it is the first to plan, and whether it comes after a gap.
    ticks = around.ticks
    sees: dict[int, list[datetime]] = defaultdict(list)
    for time in sorted({time for version in history for times in fires(version) for time in times}):
        start = time + spread
        for at in range(bisect_left(ticks, start - WINDOW), bisect_right(ticks, start)):
            if any(time in times for times in fires(version_at(ticks[at]))):
                sees[at].append(time)
                break
    gaps = gaps_of(ticks)
    for at in sorted(gaps | sees.keys()):
        tick = ticks[at]
        decide_until(tick)
        version = version_at(tick)
        unchanged = at in gaps and text_of(version_at(ticks[at - 1])) == text_of(version)
        if unchanged and ran_with == text_of(version):
            last = ticks[at - 1] + WINDOW - spread
            for time in caught_up(version, annotations, last, tick - spread):
                planned.setdefault(time, tick)
                send(time, tick, True)
        for time in sees[at]:
            planned.setdefault(time, tick)
            send(time, time + spread, False)
    decide_until(END + DAY)
    return result


def caught_up(
    version: Version, annotations: Mapping[str, str], last: datetime, now: datetime
) -> list[datetime]:
    """The times after `last` and before `now` that are to be made up for."""
    missed = [sorted(time for time in times if last < time < now) for times in fires(version)]
    rule = annotations.get(CATCH_UP)
    if rule is None:
        deadline = timedelta(seconds=version.spec["startingDeadlineSeconds"] or 0)
        return next(([times[-1]] for times in missed if times and now < times[-1] + deadline), [])
    window = {"2h": 2 * 60, "1d": 24 * 60, "45m": 45}[annotations[CATCH_UP_WINDOW]] * MINUTE
    inside = sorted({time for times in missed for time in times if time > now - window})
    most = {"none": 0, "latest": 1, "all": int(annotations[CATCH_UP_MAX])}[rule]
    return inside[-most:] if most else []


# --- the world ------------------------------------------------------------------------------------------------


@dataclass
class Record:
    """What the ledger knows of a run."""

    run: Run
    attempted: bool = False
    outcome: str = ""


class World:
    """One CronWorkflow's cluster, ledger and queue."""

    def __init__(self, history: list[Version], around: Weather) -> None:
        self.history, self.weather = history, around
        self.object: dict[str, Any] = {}
        self.edited = 0  # how many versions were applied
        self.workflows: dict[str, dict[str, Any]] = {}
        self.finishes: dict[str, datetime] = {}
        self.created: list[tuple[str, datetime]] = []  # ever, whatever was deleted since
        self.ledger: dict[str, Record] = {}
        self.decided_child = ""  # rule 32: of which no outcome is known
        self.until: datetime | None = None  # the high-water mark
        self.queue: list[tuple[datetime, int, str]] = []
        self.order = count()
        self.version = 1

    def patch(self, patch: Mapping[str, Any]) -> None:
        """A merge patch with the version that it was computed from."""
        metadata = dict(patch["metadata"])
        assert metadata.pop("resourceVersion") == str(self.version)
        self.version += 1
        mine = self.object["metadata"]
        for key, value in metadata.items():
            mine[key] = {**mine.get(key, {}), **value}
        mine["resourceVersion"] = str(self.version)
        if "status" in patch:
            self.object["status"] = {**self.object.get("status", {}), **patch["status"]}

    def edit(self, now: datetime) -> None:
        """Apply what somebody changed by now."""
        while self.edited < len(self.history) and self.history[self.edited].since <= now:
            raw = self.history[self.edited].raw
            metadata = dict(raw["metadata"])
            if self.object:
                old = cron_from_object(self.object)
                metadata = self.object["metadata"]
                self.object["spec"] = raw["spec"]
                if cron_from_object(self.object).schedule_text != old.schedule_text:
                    self.until = None  # planned anew from now on
            self.version += 1
            self.object = self.object | {
                "metadata": metadata | {"resourceVersion": str(self.version)},
                "spec": raw["spec"],
            }
            self.edited += 1

    def run_workflows(self, now: datetime) -> None:
        """Finish what is done by now."""
        for name, workflow in self.workflows.items():
            if "finishedAt" not in workflow["status"] and self.finishes[name] <= now:
                phase = "Failed" if workflow["spec"].get("shutdown") else "Succeeded"
                workflow["status"] = {"phase": phase, "finishedAt": rfc3339(self.finishes[name])}

    def children(self) -> list[Child]:
        return [child_from_object(workflow) for workflow in self.workflows.values()]

    def tick(self, now: datetime) -> None:
        self.edit(now)
        self.run_workflows(now)
        cron = cron_from_object(self.object)
        gap = self.until is not None and self.until < now - cron.spread
        missed = catch_up(cron, self.until, now) if gap else ()
        for run in (*missed, *plan(cron, now, now + WINDOW)):
            if run.id not in self.ledger:
                self.ledger[run.id] = Record(run)
                self.ring(run, run.start_at)
        self.until = max(self.until or BEGIN, now + WINDOW - cron.spread)
        children = self.children()
        found = reconcile(cron, children, now)
        if found.patch is not None:
            self.patch(found.patch)
        for name in history_to_delete(cron, children):
            del self.workflows[name]

    def ring(self, run: Run, wanted: datetime) -> None:
        delivery = self.weather.delivered(wanted, run.name, run.scheduled_at)
        heapq.heappush(self.queue, (delivery, next(self.order), run.id))
        if twice(run.name, run.scheduled_at):
            heapq.heappush(self.queue, (delivery + 7 * SECOND, next(self.order), run.id))

    def work_until(self, end: datetime) -> None:
        while self.queue and self.queue[0][0] <= end:
            now, _, run = heapq.heappop(self.queue)
            self.edit(now)
            self.run_workflows(now)
            self.deliver(self.ledger[run], now)

    def deliver(self, record: Record, now: datetime) -> None:
        run = record.run
        if record.outcome:
            return
        cron = cron_from_object(self.object)
        if record.attempted and is_child_of(self.workflows.get(run.workflow, {}), run):
            self.finish(record, "created")
            return
        decision = decide(cron, run, now, self.children(), undecided=self.decided_child)
        if decision.action != CREATE:
            self.finish(record, decision.reason)
            patch = patch_for_run(cron, run, decision)
            if patch is not None:
                self.patch(patch)
            return
        for name in decision.replaces:
            if name in self.workflows:
                self.workflows[name]["spec"]["shutdown"] = "Terminate"
                self.finishes[name] = min(self.finishes[name], now)
        self.run_workflows(now)
        record.attempted, self.decided_child = True, run.workflow
        assert run.workflow not in self.workflows
        made = child_workflow(cron, run)
        made["metadata"] |= {"uid": f"uid-{run.workflow}", "resourceVersion": "1"}
        self.workflows[run.workflow] = made | {"status": {}, "spec": dict(made["spec"])}
        self.finishes[run.workflow] = now + lasts(run.name, run.scheduled_at)
        self.created.append((run.workflow, run.scheduled_at))
        if dies(run.name, run.scheduled_at):
            heapq.heappush(self.queue, (now + MINUTE, next(self.order), run.id))
            return
        self.finish(record, "created")

    def finish(self, record: Record, outcome: str) -> None:
        record.outcome = outcome
        if self.decided_child == record.run.workflow:
            self.decided_child = ""
        if outcome == "created" and record.run.workflow in self.workflows:
            child = child_from_object(self.workflows[record.run.workflow])
            created = Decision(CREATE, reasons.CREATED)
            patch = patch_for_run(cron_from_object(self.object), record.run, created, child=child)
            if patch is not None:
                self.patch(patch)


def ticks_that_matter(history: list[Version], spread: timedelta, around: Weather) -> list[int]:
    """Which ticks are near a fire time, an edit or a gap; and a hundredth of the others.

    At the others there is nothing to plan; asking at each of them would take most of the time, and the hundredth
    shows that it is so.
    """
    ticks = around.ticks
    near = {at for at in range(len(ticks)) if at % 101 == len(history[0].raw["metadata"]["name"])}
    near |= gaps_of(ticks)
    moments = {time + spread for version in history for times in fires(version) for time in times}
    for moment in moments | {version.since for version in history}:
        near.update(range(bisect_left(ticks, moment - WINDOW), bisect_right(ticks, moment + 2 * MINUTE)))
    return sorted(near)


def simulate(history: list[Version], around: Weather) -> World:
    world = World(history, around)
    world.edit(BEGIN)
    spread = cron_from_object(world.object).spread
    for at in ticks_that_matter(history, spread, around):
        world.work_until(around.ticks[at])
        if world.until is not None and at:
            # Ticks that were left out here moved the mark all the same.
            world.until = max(world.until, around.ticks[at - 1] + WINDOW - spread)
        world.tick(around.ticks[at])
    world.work_until(END + DAY)
    return world


def disagreements(numbers: range) -> tuple[list[str], Counter[str]]:
    wrong: list[str] = []
    seen: Counter[str] = Counter()
    for number in numbers:
        history = versions(number)
        world = simulate(history, weather())
        spread = cron_from_object(history[0].raw).spread
        wanted = expected(history, spread, weather())
        outcomes = {record.run.scheduled_at: record.outcome for record in world.ledger.values()}
        times = [time for _, time in world.created]
        if len(times) != len(set(times)):
            wrong.append(f"job-{number} ran twice at {[t for t, n in Counter(times).items() if n > 1]}")
        if sorted(times) != sorted(wanted.created) or outcomes != wanted.outcomes:
            different = {time: (outcomes.get(time), wanted.outcomes.get(time))
                         for time in outcomes.keys() | wanted.outcomes.keys()
                         if outcomes.get(time) != wanted.outcomes.get(time)}  # fmt: skip
            wrong.append(f"job-{number} {[dict(v.spec) for v in history]}: {different}")
        last = cron_from_object(world.object).status.last_scheduled_time
        if last != max(times, default=None):
            wrong.append(
                f"job-{number}: lastScheduledTime is {last}, the last child's {max(times, default=None)}"
            )
        seen.update(outcomes.values())
        seen["caught up"] += sum(record.run.kind == "catch-up" for record in world.ledger.values())
    return wrong, seen


def test_a_month_of_cronworkflows_runs_what_the_specification_says_each_once() -> None:
    wrong, seen = disagreements(range(50))
    assert wrong == []
    # Nothing is shown by a month in which nothing happened.
    for outcome in (
        "created",
        "suspended",
        "forbidden-by-active",
        "missed-deadline",
        "not-a-fire-time",
        "caught up",
    ):
        assert seen[outcome] > 0, outcome


@pytest.mark.slow
def test_so_do_a_hundred_and_fifty_more() -> None:
    wrong, _ = disagreements(range(50, 200))
    assert wrong == []
