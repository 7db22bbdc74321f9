"""Try every prerequisite, and say for each that fails the one command that repairs it.

  lynceus doctor                     the stage in LYNCEUS_STAGE, the cluster of kubectl, AWS credentials of yours
  lynceus doctor --local             what `make run` started
  lynceus doctor --reconcile         also: accepted = recorded = dispatched or visibly failed, lost 0, doubled 0

Exit code 1 when something is red.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from chalicelib.core.errors import LynceusError
from chalicelib.core.records import EventRecord
from chalicelib.core.submissions import Pointer, Submission
from chalicelib.core.workflows import SUBMISSION_ANNOTATION
from chalicelib.settings import from_environment
from lynceus import checks
from lynceus.api import at_least
from lynceus.output import DONE, NO, Output
from lynceus.reconciliations import Reconciliation, reconcile

HELP = "try every prerequisite; reconcile ledger and cluster"
LOCAL = "http://127.0.0.1:2746"
PAGE = 500


def arguments(parser: argparse.ArgumentParser) -> None:
    """Where to look."""
    parser.add_argument("--stage", default="", help="the stage (default: LYNCEUS_STAGE or dev)")
    parser.add_argument(
        "-n", "--namespace", action="append", default=[],
        help="a namespace; can be given again (default: LYNCEUS_NAMESPACES, or argo)",
    )  # fmt: skip
    parser.add_argument("--url", default="", help="the API (default: LYNCEUS_URL; --local knows)")
    parser.add_argument("--kubeconfig", default="", help="of the cluster (default: kubectl's; --local knows)")
    parser.add_argument("--context", default="", help="its context (default: the current one)")
    parser.add_argument("--reconcile", action="store_true", help="hold ledger and cluster against each other")
    parser.add_argument("--days", type=at_least(1), default=1, help="so many days back (default: 1)")


def run(options: argparse.Namespace, out: Output) -> int:
    """Print a line for each check, and the counts."""
    settings = from_environment()
    if options.stage:
        settings = replace(settings, stage=options.stage)
    local = getattr(options, "local", False) or settings.stage == "local"
    kubeconfig = options.kubeconfig
    if local and not kubeconfig and settings.kubeconfig:
        kubeconfig = os.path.join(os.path.dirname(settings.kubeconfig), "kubeconfig")  # noqa: PTH118, PTH120  # a text from settings
    around = checks.Surroundings(
        settings,
        tuple(options.namespace) or settings.namespaces or ("argo",),
        options.url or os.environ.get("LYNCEUS_URL", LOCAL if local else ""),
        kubeconfig,
        options.context,
    )
    found = []
    for check in checks.run(around):
        found.append(check)
        mark, colour = _MARKS[check.state]
        out.line(f"{out.paint(mark, colour)} {check.name}: {check.told}")
        if check.repair and check.state != checks.GOOD:
            out.line(f"    {check.repair}")
    told = _reconciled(around, options.days, out) if options.reconcile else None
    bad = sum(check.state == checks.BAD for check in found)
    warned = sum(check.state == checks.WARNING for check in found)
    out.line(f"{len(found)} checks, {bad} red, {warned} to look at")
    out.data(
        {
            "checks": [vars(check) for check in found],
            **({"reconciliation": told.to_data()} if told is not None else {}),
        }
    )
    return NO if bad or (told is not None and not told.sound) else DONE


_MARKS = {checks.GOOD: ("ok  ", "green"), checks.WARNING: ("look", "yellow"), checks.BAD: ("RED ", "red")}


def _reconciled(around: checks.Surroundings, days: int, out: Output) -> Reconciliation:
    """The ledger of the last days against the cluster; prints the counts and what is wrong."""
    from chalicelib.adapters.archive import DynamoArchive
    from chalicelib.adapters.ledger import DynamoLedger

    client = around.aws("dynamodb")
    ledger = DynamoLedger(lambda: client, around.settings.table)
    archive = DynamoArchive(ledger)
    now = around.now()
    since = now - timedelta(days=days)
    accepted: list[str] = []
    records: dict[str, EventRecord] = {}
    submissions: dict[str, Submission] = {}
    workflows: list[dict[str, Any]] = []
    for namespace in around.namespaces:
        for event in _events(archive, namespace, since, now):
            accepted.append(event)
            record = ledger.event(event)
            if record is None:
                continue
            records[event] = record
            submissions |= {each.id: each for each in ledger.submissions(record)}
            out.progress(f"{namespace}: {len(records)} events")
        cluster = around.cluster()
        path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/cronworkflows"
        for cron in cluster.ask("GET", path).get("items") or ():
            submissions |= _runs(archive, namespace, str(cron["metadata"]["name"]), since)
        for workflow in cluster.workflows(namespace):
            if datetime.fromisoformat(workflow["metadata"]["creationTimestamp"]) < since:
                continue
            workflows.append(workflow)
            _look_up(ledger, workflow, submissions)
    out.end_progress()
    told = reconcile(accepted, records, submissions.values(), workflows, now)
    out.line(
        f"accepted {told.accepted} = recorded {told.recorded}; submissions {told.submissions} = dispatched "
        f"{told.dispatched} + visibly failed {told.failed} + planned {told.planned} + waiting {told.waiting}"
    )
    colour = "green" if told.sound else "red"
    out.line(
        f"lost {len(told.lost)}, doubled {len(told.doubled)}, Workflows gone since {told.gone}", colour=colour
    )
    for line in [*told.lost, *told.doubled][:50]:
        out.line(f"  {line}", colour="red")
    return told


def _events(archive: Any, namespace: str, since: datetime, now: datetime) -> list[str]:
    found: list[str] = []
    day = now.astimezone(UTC).date()
    while day >= since.date():
        cursor = ""
        while True:
            page, cursor = archive.events(namespace, day, PAGE, cursor)
            found += [listed.id for listed in page if listed.received_at >= since]
            if not cursor:
                break
        day -= timedelta(days=1)
    return found


def _runs(archive: Any, namespace: str, name: str, since: datetime) -> dict[str, Submission]:
    found: dict[str, Submission] = {}
    cursor = ""
    while True:
        page, cursor = archive.runs("cron", namespace, name, PAGE, cursor)
        for run in page:
            if run.scheduled_at is None or run.scheduled_at < since:
                return found
            found[run.id] = run
        if not cursor:
            return found


def _look_up(ledger: Any, workflow: dict[str, Any], submissions: dict[str, Submission]) -> None:
    """Add the submission that a Workflow names, where its event is older than the days looked at."""
    metadata = workflow["metadata"]
    named = (metadata.get("annotations") or {}).get(SUBMISSION_ANNOTATION)
    if not named or named in submissions:
        return
    try:
        found = ledger.submission(Pointer(metadata["namespace"], metadata["name"], named))
    except LynceusError:
        return
    if found is not None:
        submissions[found.id] = found
