"""Accepted, recorded, dispatched: the ledger's word against the cluster's, counted.

Every submission of every event ends in a Workflow or in a visible reason; until then the outbox rings for it. So

    recorded = dispatched + failed + planned + waiting          lost: what is in none of them
    each Workflow of ours = one submission            doubled: a submission with two Workflows, or one unknown to us

A Workflow that a submission made may be gone again, by its TTL or by hand: that is counted and is no loss.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.cronworkflows import SCHEDULED_TIME
from chalicelib.core.records import EventRecord
from chalicelib.core.submissions import SUCCEEDED, Submission
from chalicelib.core.workflows import SUBMISSION_ANNOTATION

OVERDUE = timedelta(minutes=30)  # the sweep rings again within fifteen; twice that is silence


@dataclass
class Reconciliation:
    """The counts, and by name what is not as it should be."""

    accepted: int = 0  # events that a sender was promised
    recorded: int = 0  # of them, in the ledger
    submissions: int = 0
    dispatched: int = 0  # with their Workflow made
    gone: int = 0  # of them, whose Workflow is not in the cluster any more
    failed: int = 0  # ended visibly without one
    planned: int = 0  # runs of CronWorkflows whose time has not come
    waiting: int = 0  # to be tried, or tried again
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """True when nothing is lost and nothing doubled."""
        return not self.lost and not self.doubled

    def to_data(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def reconcile(
    accepted: Collection[str],
    records: Mapping[str, EventRecord],
    submissions: Iterable[Submission],
    workflows: Iterable[Mapping[str, Any]],
    now: datetime,
) -> Reconciliation:
    """The ledger against the cluster.

    `accepted` are the event ids that senders were answered, `records` the heads in the ledger, `submissions` all of
    theirs and those of cron, `workflows` the cluster's.
    """
    told = Reconciliation(accepted=len(accepted))
    told.recorded = sum(event in records for event in accepted)
    told.lost += [
        f"event {event} was accepted and is not recorded" for event in accepted if event not in records
    ]
    by_id = {submission.id: submission for submission in submissions}
    made = _made(by_id, workflows, told)
    for event, record in records.items():
        pointed = {pointer.submission for pointer in record.submissions}
        told.lost += [f"submission {each} of event {event} is not recorded" for each in pointed - set(by_id)]
        if record.deferred_after is not None and now - record.received_at > OVERDUE:
            told.lost.append(
                f"event {event} has waited for its bindings since {record.received_at.isoformat()}"
            )
    for submission in by_id.values():
        _count(told, submission, made[submission.id], now)
    told.doubled += [f"submission {each} has {count} Workflows" for each, count in made.items() if count > 1]
    told.doubled += [
        f"a Workflow names submission {each}, which is not recorded" for each in made if each not in by_id
    ]
    return told


def _made(
    by_id: Mapping[str, Submission], workflows: Iterable[Mapping[str, Any]], told: Reconciliation
) -> Counter[str]:
    """How many Workflows each submission has; those of cron are known by their names, and by owner and time."""
    names = {(s.namespace, s.workflow): s.id for s in by_id.values() if s.kind == "cron"}
    made: Counter[str] = Counter()
    runs: Counter[tuple[str, str]] = Counter()
    for workflow in workflows:
        metadata = workflow.get("metadata") or {}
        annotations = metadata.get("annotations") or {}
        if SUBMISSION_ANNOTATION in annotations:
            made[annotations[SUBMISSION_ANNOTATION]] += 1
        elif SCHEDULED_TIME in annotations:
            for owner in metadata.get("ownerReferences") or ():
                runs[str(owner.get("uid")), annotations[SCHEDULED_TIME]] += 1
            made[names.get((metadata.get("namespace", ""), metadata.get("name", "")), "")] += 1
    del made[""]  # of Argo's controller, or older than the ledger
    told.doubled += [f"CronWorkflow {uid} ran {n} times at {at}" for (uid, at), n in runs.items() if n > 1]
    return made


def _count(told: Reconciliation, submission: Submission, workflows: int, now: datetime) -> None:
    told.submissions += 1
    state, due = submission.progress.state, submission.progress.due
    if state in SUCCEEDED:
        told.dispatched += 1
        told.gone += not workflows
    elif submission.terminal:
        told.failed += 1
        if workflows:
            told.doubled.append(f"submission {submission.id} is {state} and has a Workflow all the same")
        if not submission.progress.reason:
            told.lost.append(f"submission {submission.id} is {state} without a reason")
    elif submission.scheduled_at is not None and submission.scheduled_at > now:
        told.planned += 1
    elif due is None or now - due > OVERDUE:
        told.lost.append(f"submission {submission.id} waits and nothing rings for it")
    else:
        told.waiting += 1
