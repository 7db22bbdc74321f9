"""CronWorkflows: when they run next, what they did, and runs of the past made up for.

  lynceus cron next NAME                 the fire times to come, days of a clock change marked
  lynceus cron next --schedule '0 2 * * *' --timezone Europe/Berlin
  lynceus cron history NAME              runs and skips with their reasons
  lynceus cron run NAME [--at TIME]      one run now, or under a time of the past; asks no policy
  lynceus cron backfill NAME --start T --end T [--max-active N] [--dry-run]

A backfilled Workflow has the name that the scheduled one would have had: asking twice makes it once, and an
interrupted backfill goes on where it ended when it is said again.
"""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from chalicelib.core.cronworkflows import CronWorkflow, cron_from_object, validate
from chalicelib.core.errors import Misconfigured, NotFound, Unavailable
from chalicelib.core.schedules import Schedule, load_zone, moves_clock, parse
from lynceus.api import Api, moment_of, tell_reason
from lynceus.api import arguments as api_arguments
from lynceus.output import DONE, NO, Output

HELP = "when CronWorkflows run, what they did, runs made up for"

POLL_SECONDS = 2.0


def arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs below `cron`."""
    verbs = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    following = verbs.add_parser("next", help="the fire times to come")
    following.add_argument("name", nargs="?", default="", metavar="NAME")
    following.add_argument("-n", "--namespace", default=os.environ.get("LYNCEUS_NAMESPACE", "argo"))
    following.add_argument("--file", type=Path, metavar="PATH", help="a manifest instead of the cluster")
    following.add_argument("--schedule", default="", help="a schedule instead of an object")
    following.add_argument("--timezone", default="")
    following.add_argument("--count", type=int, default=10)
    following.add_argument("--from", dest="start", default="", metavar="TIME")
    for name, help_text in (
        ("history", "runs and skips, newest first"),
        ("run", "one run now, or under a time of the past"),
        ("backfill", "make up for a stretch of the past"),
    ):
        deed = verbs.add_parser(name, help=help_text)
        deed.add_argument("name", metavar="NAME")
        api_arguments(deed)
        if name == "history":
            deed.add_argument("--limit", type=int, default=20)
        if name == "run":
            deed.add_argument("--at", default="", metavar="TIME")
        if name == "backfill":
            deed.add_argument("--start", required=True, metavar="TIME")
            deed.add_argument("--end", default="", metavar="TIME")
            deed.add_argument("--max-active", type=int, choices=range(51), default=10, metavar="N",
                              help="backfilled Workflows unfinished at once; 0: no bound (default: 10)")  # fmt: skip
            deed.add_argument("--dry-run", action="store_true")
            deed.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace, out: Output) -> int:
    """Do the deed."""
    deeds = {"next": _next, "history": _history, "run": _run, "backfill": _backfill}
    return deeds[options.deed](options, out)


def _next(options: argparse.Namespace, out: Output) -> int:
    now = datetime.now(UTC)
    start = moment_of(options.start, now) or now
    if options.schedule:
        schedules: tuple[Schedule, ...] = (parse(options.schedule, options.timezone, anchor=start),)
        zone = options.timezone
    else:
        cron = _object(options)
        problem = validate(cron)
        if problem:
            out.error(f"CronWorkflow {cron.name}: {problem}")
            return NO
        default = os.environ.get("LYNCEUS_TIMEZONE", "")
        schedules, zone = cron.parsed(default), cron.timezone or default
    rows: list[dict[str, Any]] = []
    after = start
    for _ in range(max(1, min(options.count, 1000))):
        found = [moment for schedule in schedules if (moment := schedule.next(after))]
        if not found:
            break
        after = min(found)
        rows.append({"utc": after.isoformat(), **_local(after, zone)})
    out.table(rows, ("utc", "local", "note"))
    out.data(rows)
    if not rows:
        out.line("it never fires (within five years)")
    return DONE if rows else NO


def _local(moment: datetime, zone: str) -> dict[str, str]:
    """The wall time in the zone, and a note on the days when its clocks change."""
    if not zone or zone in ("UTC", "Local"):
        return {"local": "", "note": ""}
    clock = load_zone(zone)
    note = "clocks change on this day" if moves_clock(clock, moment) else ""
    return {"local": moment.astimezone(clock).isoformat(), "note": note}


def _object(options: argparse.Namespace) -> CronWorkflow:
    if options.file:
        documents = [raw for raw in yaml.safe_load_all(options.file.read_text()) if isinstance(raw, dict)]
        for raw in documents:
            metadata = raw.get("metadata") or {}
            if raw.get("kind") == "CronWorkflow" and options.name in ("", metadata.get("name")):
                return cron_from_object(raw)
        raise NotFound(f"{options.file} holds no CronWorkflow {options.name}".rstrip())
    if not options.name:
        raise Misconfigured("say which: a NAME, --file or --schedule")
    from kubernetes import client, config
    from urllib3.exceptions import HTTPError

    local = Path(".lynceus/kubeconfig") if getattr(options, "local", False) else None
    try:
        found = config.new_client_from_config(str(local) if local else None)  # type: ignore[no-untyped-call]
        found_object: Any = client.CustomObjectsApi(found).get_namespaced_custom_object(
            "argoproj.io", "v1alpha1", options.namespace, "cronworkflows", options.name
        )
    except client.ApiException as error:
        raise NotFound(f"CronWorkflow {options.namespace}/{options.name}: {error.reason}") from error
    except (config.ConfigException, HTTPError, OSError) as error:
        raise Unavailable(
            f"the cluster of your kubeconfig does not answer: {type(error).__name__}"
        ) from error
    return cron_from_object(found_object)


def _history(options: argparse.Namespace, out: Output) -> int:
    found = Api.of(options).get("crons", options.name, limit=str(options.limit))
    out.data(found)
    rows = [
        {
            "scheduled": item.get("scheduledAt", ""),
            "started": item.get("startedAt", ""),
            "late": f"{item['latenessSeconds']:.1f} s" if "latenessSeconds" in item else "",
            "state": item["state"],
            "reason": item.get("reason", ""),
            "workflow": item["workflow"],
            "message": item.get("message", "")[:60],
        }
        for item in found["items"]
    ]
    out.table(rows, ("scheduled", "started", "late", "state", "reason", "workflow", "message"))
    bad = [item for item in found["items"] if item["state"] in ("failed", "missed")]
    if bad:
        tell_reason(bad[0], out)
    return DONE if rows else NO


def _run(options: argparse.Namespace, out: Output) -> int:
    at = moment_of(options.at, datetime.now(UTC))
    told = Api.of(options).post("crons", options.name, "runs", wish={"at": at.isoformat()} if at else {})
    out.data(told)
    for item in told["items"]:
        said = "will run" if item["new"] else f"ran before: {item['state']}"
        out.line(f"{item['workflow']}  {item['scheduledAt']}  {said}")
    return DONE


def _backfill(options: argparse.Namespace, out: Output) -> int:
    api = Api.of(options)
    now = datetime.now(UTC)
    start, end = moment_of(options.start, now), moment_of(options.end, now) or now
    wish: dict[str, Any] = {"start": start.isoformat() if start else "", "end": end.isoformat()}
    planned: list[dict[str, Any]] = []
    further = dict(wish)
    while further["start"]:
        page = api.post("crons", options.name, "runs", wish={**further, "dryRun": True})
        planned += page["items"]
        further["start"] = page["next"]
        out.progress(f"{len(planned)} runs found")
    out.end_progress()
    new = [item for item in planned if item["new"]]
    out.line(f"{len(planned)} runs, {len(new)} of them still to be made")
    if options.dry_run or not new:
        out.table(planned, ("scheduledAt", "workflow", "state"))
        out.data({"items": planned})
        return DONE
    if not out.confirm(f"Make up for {len(new)} runs of {options.name}?", yes=options.yes):
        return NO
    if options.max_active:
        wish |= {"maxActive": options.max_active}
    made = 0
    while wish["start"]:
        page = api.post("crons", options.name, "runs", wish=wish)
        begun = sum(item["new"] for item in page["items"])
        made += begun
        out.progress(f"{made} of {len(new)}")
        wish["start"] = page["next"]
        if wish["start"] and not begun:
            time.sleep(POLL_SECONDS)
    out.end_progress()
    out.line(f"{made} runs sent")
    out.data({"made": made})
    return DONE
