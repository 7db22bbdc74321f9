"""What happened, and why: the record for those who may read it.

Heads (who, when, which reason, which Workflow) are one right, contents (bodies, compared values) another; both are
asked of the cluster with the reader's own token, on resources that exist only in roles (rule 38):

    events.lynceus.dev    list: heads    get: bodies and compared values
    replays.lynceus.dev   create: run again
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.bindings import Binding, binding_from_object, compiled, match
from chalicelib.core.errors import BadRequest, NotFound
from chalicelib.core.events import RFC1123_LABEL, Event, environment
from chalicelib.core.expressions import ExpressionError
from chalicelib.core.records import EventRecord, event_of, payload_of, verdict_data
from chalicelib.core.submissions import Submission
from chalicelib.flow.known import KnownBindings
from chalicelib.ports import Listed, Ports
from chalicelib.settings import Settings

EVENTS = "events.lynceus.dev"
REPLAYS = "replays.lynceus.dev"

PAGE = 50  # entries of a page, unless told
PAGE_LIMIT = 500

FILTERS = ("client", "provider", "event_type", "action", "delivery_id", "note")


def check(namespace: str, settings: Settings) -> str:
    """The namespace, if it can be one of ours; raises BadRequest or NotFound."""
    if not RFC1123_LABEL.fullmatch(namespace):
        raise BadRequest(f'namespace "{namespace[:80]}" is not a DNS label (RFC 1123)')
    if not settings.serves(namespace):
        raise NotFound(f'namespace "{namespace}" is not served here (LYNCEUS_NAMESPACES)')
    return namespace


def page_size(text: str) -> int:
    """The page size that a query asks for, within bounds; raises BadRequest."""
    if not text:
        return PAGE
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= PAGE_LIMIT:
        raise BadRequest(f'limit is "{text[:20]}": say a number from 1 to {PAGE_LIMIT}')
    return int(text)


def day_of(text: str, now: datetime) -> date:
    """The day that a query asks for (YYYY-MM-DD, UTC), today where it says none; raises BadRequest."""
    if not text:
        return now.date()
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise BadRequest(f'day is "{text[:20]}": write it as 2026-11-21') from None


def heartbeat(ports: Ports) -> dict[str, Any]:
    """The age of the tick's last word and what it said of the cluster (rule 36)."""
    health = ports.ledger.health()
    if health is None:
        return {"ticked": False}
    return {
        "ticked": True,
        "secondsAgo": round((ports.clock.now() - health.ticked_at).total_seconds(), 1),
        "clusterUp": health.cluster_up,
        "since": health.since.isoformat(),
    }


# Lists


def list_events(
    authorization: str, namespace: str, query: Mapping[str, str], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """A page of a day's events, newest first: one query of the ledger, filtered by what its index tells."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    day = day_of(query.get("day", ""), ports.clock.now())
    found, cursor = ports.archive.events(
        namespace, day, page_size(query.get("limit", "")), query.get("cursor", "")
    )
    wanted = {name: query[name] for name in FILTERS if query.get(name)}
    reason = query.get("reason", "")
    items = [
        _head_of(listed)
        for listed in found
        if all(str(listed.summary.get(name, "")) == value for name, value in wanted.items())
        and (not reason or reason in listed.summary.get("counts", {}))
    ]
    older = "" if cursor else (day - timedelta(days=1)).isoformat()
    kept_since = (ports.clock.now() - timedelta(days=settings.retention_days)).date()
    if older and date.fromisoformat(older) < kept_since:
        older = ""
    return {"items": items, "day": day.isoformat(), "cursor": cursor, "olderDay": older}


def _head_of(listed: Listed) -> dict[str, Any]:
    return {"id": listed.id, "receivedAt": listed.received_at.isoformat(), **listed.summary}


def list_failed(
    authorization: str, namespace: str, query: Mapping[str, str], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """A page of the submissions that failed and still are so, newest first."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    found, cursor = ports.archive.failed(
        namespace, page_size(query.get("limit", "")), query.get("cursor", "")
    )
    return {"items": [submission_data(submission) for submission in found], "cursor": cursor}


def list_refused(
    authorization: str, namespace: str, query: Mapping[str, str], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """The minutes of the last day in which requests were refused, with reason, count and a sample."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    since = ports.clock.now() - timedelta(days=1)
    found = ports.archive.refused(namespace, since, page_size(query.get("limit", "")))
    return {"items": [{**asdict(refusal), "minute": refusal.minute.isoformat()} for refusal in found]}


def binding_health(
    authorization: str, namespace: str, name: str, query: Mapping[str, str], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """The binding's last matches and its last error."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    runs, cursor = ports.archive.runs(
        "event", namespace, name, page_size(query.get("limit", "")), query.get("cursor", "")
    )
    states: dict[str, int] = {}
    for run in runs:
        states[run.progress.state] = states.get(run.progress.state, 0) + 1
    return {
        "binding": name,
        "lastMatch": submission_data(runs[0]) if runs else None,
        "lastError": ports.archive.error_of(namespace, name),
        "states": states,
        "runs": [submission_data(run) for run in runs],
        "cursor": cursor,
    }


def by_workflow(
    authorization: str, namespace: str, workflow: str, ports: Ports, settings: Settings
) -> dict[str, Any]:
    """What made, or tried to make, the Workflow."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    found = ports.archive.of_workflow(namespace, workflow)
    if not found:
        raise NotFound(f'no submission for Workflow "{workflow[:80]}" in namespace "{namespace}" is kept')
    return {"items": [submission_data(submission) for submission in found]}


# One event


def show(
    authorization: str,
    namespace: str,
    event_id: str,
    query: Mapping[str, str],
    ports: Ports,
    settings: Settings,
) -> dict[str, Any]:
    """The event's record; with `body=true` its body too, for those who may read it."""
    record = find(authorization, namespace, event_id, "list", ports, settings)
    told = record_data(record)
    told["submissions"] = [submission_data(submission) for submission in ports.ledger.submissions(record)]
    told["notes"] = ports.archive.notes(record.id)
    if query.get("body") == "true":
        ports.cluster.allowed(authorization, namespace, "get", EVENTS)
        told["body"] = ports.ledger.body(record).decode("utf-8", "replace")
    return told


def find(
    authorization: str, namespace: str, event_id: str, verb: str, ports: Ports, settings: Settings
) -> EventRecord:
    """The record of an event of the namespace; an event of another one is not found."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, verb, EVENTS)
    record = ports.ledger.event(event_id) if len(event_id) <= 64 else None
    if record is None or record.namespace != namespace:
        raise NotFound(f'event "{event_id[:64]}" is not kept in namespace "{namespace}"')
    return record


def explain(
    authorization: str, namespace: str, event_id: str, query: Mapping[str, str], ports: Ports,
    settings: Settings, known: KnownBindings,
) -> dict[str, Any]:  # fmt: skip
    """Why each binding did what it did, worked out again from the kept body.

    `as=then` (the default) takes each binding as it was when the event came, where that is still known; `as=now`
    takes the bindings of now. `binding` asks for one of them.
    """
    record = find(authorization, namespace, event_id, "get", ports, settings)
    then = query.get("as", "then")
    if then not in ("then", "now"):
        raise BadRequest(f'as is "{then[:20]}": say then or now')
    bindings = known.of(namespace)
    if bindings is None:
        raise NotFound("no bindings of the namespace are known: the cluster is away and there is no snapshot")
    wanted = query.get("binding", "")
    event = event_of(record, payload_of(record, ports.ledger.body(record)))
    stored = {verdict.binding: verdict for verdict in record.verdicts}
    told = []
    for binding in bindings.bindings:
        if wanted and binding.name != wanted:
            continue
        asked, said = binding, ""
        if then == "then":
            raw = ports.archive.binding_at(namespace, binding.name, record.received_at + timedelta(minutes=1))
            if raw is not None:
                asked = binding_from_object(raw)
            elif binding.name not in stored:
                said = "as it is now: no older text of this binding is kept"
        told.append(explanation(event, asked, record) | ({"note": said} if said else {}))
    if wanted and not told:
        raise NotFound(f'binding "{wanted[:80]}" is not known in namespace "{namespace}"')
    return {"event": record.id, "as": then, "verdicts": told}


def explanation(event: Event, binding: Binding, record: EventRecord | None = None) -> dict[str, Any]:
    """The binding's verdict on the event, and for a selector that is false the comparison that decided."""
    [verdict] = match(event, [binding]).verdicts
    told = verdict_data(verdict)
    told["means"] = reasons.reason(verdict.reason).means
    if verdict.reason == reasons.SELECTOR_FALSE:
        kept = frozenset(record.headers) if record else None
        try:
            told["because"] = compiled(binding.selector).explain(environment(event), headers_kept=kept)
        except ExpressionError as error:
            told["because"] = error.message
    return told


def erase(
    authorization: str, namespace: str, event_id: str, ports: Ports, settings: Settings
) -> dict[str, Any]:
    """Remove the event's body for good; who asked is noted."""
    record = find(authorization, namespace, event_id, "get", ports, settings)
    who = ports.cluster.allowed(authorization, namespace, "delete", EVENTS)
    ports.archive.erase_body(record)
    ports.archive.note(record.id, ports.clock.now(), {"what": "body erased", "by": who})
    return {}


# Data


def record_data(record: EventRecord) -> dict[str, Any]:
    """The record as JSON, without the body."""
    told = {
        "id": record.id,
        "receivedAt": record.received_at.isoformat(),
        "namespace": record.namespace,
        "discriminator": record.discriminator,
        "account": record.account.username,
        "client": record.client,
        "provider": record.provider,
        "eventType": record.event_type,
        "action": record.action,
        "deliveryId": record.delivery_id,
        "size": record.size,
        "epoch": record.epoch,
        "repairs": record.repairs,
        "note": record.note,
        "duplicateOf": record.duplicate_of,
        "headers": {name: list(values) for name, values in record.headers.items()},
        "counts": dict(record.counts),
        "verdicts": [verdict_data(verdict) for verdict in record.verdicts],
        "waiting": record.deferred_after is not None,
        "trace": record.trace,
    }
    return {name: value for name, value in told.items() if value not in ("", 0, False) or name == "size"}


def submission_data(submission: Submission) -> dict[str, Any]:
    """The submission and its progress as JSON, without what was rendered from the event."""
    progress = submission.progress
    told = {
        "id": submission.id,
        "kind": submission.kind,
        "namespace": submission.namespace,
        "workflow": submission.workflow,
        "source": submission.source,
        "cause": submission.cause,
        "account": submission.account.username if submission.account else "",
        "state": progress.state,
        "reason": progress.reason,
        "message": progress.message,
        "attempts": progress.attempts,
        "uid": progress.uid,
        "replay": submission.replay,
    }
    moments = {
        "receivedAt": submission.received_at,
        "scheduledAt": submission.scheduled_at,
        "nextAttemptAt": progress.due,
        "finishedAt": progress.finished_at,
    }
    told |= {name: moment.isoformat() for name, moment in moments.items() if moment}
    if progress.reason:
        told["means"] = reasons.reason(progress.reason).means
        told["do"] = reasons.reason(progress.reason).do
    return {name: value for name, value in told.items() if value not in ("", 0)}
