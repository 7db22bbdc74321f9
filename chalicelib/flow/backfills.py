"""Cron runs of the past, asked for by people: what ran, and runs that are made up for by hand (rule 35).

A backfilled run has the name that the scheduled one would have had, so asking twice makes it once, and a run
that already ran is left alone. Its child carries a label and no controller: it touches neither policy, history
nor counters. The CronWorkflow is read as the person who asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from chalicelib.core.cronworkflows import CronWorkflow, Run, backfill, child_from_object, cron_from_object
from chalicelib.core.errors import BadRequest
from chalicelib.core.submissions import SUCCEEDED, Submission, reopen
from chalicelib.flow import look
from chalicelib.flow.crons import SWEEP_AFTER, submission_for_run
from chalicelib.ports import Ports
from chalicelib.settings import Settings

BATCH = 50  # runs of one call: who wants more calls again from where it ended, and sets the pace so


def history(
    authorization: str, namespace: str, name: str, query: Mapping[str, str], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """A page of the CronWorkflow's runs and skips, newest first."""
    look.check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", look.EVENTS)
    limit = look.page_size(query.get("limit", ""))
    runs, cursor = ports.archive.runs("cron", namespace, name, limit, query.get("cursor", ""))
    return {"items": [_told(run) for run in runs], "cursor": cursor}


def _told(run: Submission) -> dict[str, Any]:
    """The run as JSON, with what only runs have: its kind, when it started, and how late it was decided."""
    told = look.submission_data(run) | {"run": run.run}
    decided = run.progress.finished_at
    if decided is not None and run.received_at is not None:
        told["latenessSeconds"] = round(max(0.0, (decided - run.received_at).total_seconds()), 3)
        if run.progress.state in SUCCEEDED:
            told["startedAt"] = decided.isoformat()
    return told


def make_up(
    authorization: str, namespace: str, name: str, wish: Mapping[str, Any], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """Record and ring for the runs between `start` and `end` (both included), at most `limit` of them.

    With `maxActive` no more are begun than so many backfilled Workflows of the object are unfinished. Without
    `start` it is one run, now or under the time `at`, whatever schedule and policy say. With `dryRun` they are
    only listed. `next` is where to go on, "" at the end.
    """
    look.check(namespace, settings)
    who = ports.cluster.allowed(authorization, namespace, "create", look.REPLAYS)
    ports.cluster.allowed(authorization, namespace, "create", "workflows.argoproj.io")
    cron = cron_from_object(ports.cluster.cron_workflow_as(authorization, namespace, name))
    now = ports.clock.now()
    dry = bool(wish.get("dryRun"))
    room = limit = _number(wish, "limit", BATCH)
    start, end = _moment(wish, "start"), _moment(wish, "end")
    at = _moment(wish, "at")
    if start is not None:
        runs = backfill(cron, start, end or now, now, default_timezone=settings.timezone)
        if wish.get("maxActive") and not dry:
            room = _number(wish, "maxActive", limit) - _unfinished(authorization, cron, ports)
    else:
        moment = (at or now).replace(microsecond=0)
        if moment > now:
            raise BadRequest(f"{moment.isoformat()} is in the future: runs to come are planned by the tick")
        runs = (Run(namespace, name, cron.uid, moment, now, None, kind="manual"),)
    items: list[dict[str, Any]] = []
    under_way: Run | None = None  # the first that is recorded and not yet created: not in the cluster's list
    for run in runs[:limit]:
        if room <= 0:
            break
        items.append(_begin(run, dry, ports))
        if items[-1]["state"] in ("pending", "waiting"):
            room -= 1
            under_way = under_way or run
    begun = sum(item["new"] for item in items)
    if begun and not dry:
        ports.journal.log("cron.backfilled", namespace=namespace, cron=name, by=who, runs=begun)
    following = runs[len(items)] if len(items) < len(runs) else None
    if following is not None and under_way is not None and wish.get("maxActive") and not dry:
        following = under_way
    return {"items": items, "next": following.scheduled_at.isoformat() if following else ""}


def _unfinished(authorization: str, cron: CronWorkflow, ports: Ports) -> int:
    """How many backfilled Workflows of the object the cluster has that are not finished."""
    listed = ports.cluster.backfilled_as(authorization, cron.namespace, cron.name)
    return sum(not child_from_object(raw).finished for raw in listed)


def _begin(run: Run, dry: bool, ports: Ports) -> dict[str, Any]:
    submission = submission_for_run(run)
    before = ports.ledger.submission(submission.pointer)
    told = {"scheduledAt": run.scheduled_at.isoformat(), "workflow": run.workflow}
    if before is None:
        fresh = dry or ports.ledger.begin_run(submission)
    elif before.progress.state in ("missed", "skipped", "failed"):
        fresh = True
        if not dry:
            ports.ledger.rewrite(before, reopen(before, submission, ports.clock.now() + SWEEP_AFTER))
    else:
        return {**told, "new": False, "state": before.progress.state}
    if fresh and not dry:
        ports.queue.send([submission.pointer.to_message()], cron=True)
    return {**told, "new": fresh, "state": "pending"}


def _number(wish: Mapping[str, Any], name: str, default: int) -> int:
    number = wish.get(name, default)  # a float: request bodies are read as Argo reads them
    if isinstance(number, bool) or number not in range(1, BATCH + 1):
        raise BadRequest(f"{name} is {str(number)[:20]!r}: say a number from 1 to {BATCH}")
    return int(number)


def _moment(wish: Mapping[str, Any], name: str) -> datetime | None:
    text = wish.get(name)
    if text in (None, ""):
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        raise BadRequest(f'{name} is "{str(text)[:40]}": write a time as 2026-11-21T10:00:00Z') from None
    if moment.tzinfo is None:
        raise BadRequest(f'{name} is "{str(text)[:40]}": a time needs its zone, such as Z')
    return moment
