"""What happened, and why: the record for those who may read it.

Heads (who, when, which reason, which Workflow) are one right, contents (bodies, compared values) another; both are
asked of the cluster with the reader's own token, on resources that exist only in roles (rule 38):

    events.lynceus.dev    list: heads    get: bodies, headers, compared values, and what bindings said of them
                          delete: erase a body
    replays.lynceus.dev   create: run again

Every list is one query of the ledger for each page. Filters look at what the index tells, so a page may be short, or
empty, and still have a cursor: the end is where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.bindings import (
    NOT_MATCHED,
    Binding,
    binding_from_object,
    clock,
    compiled,
    headers_mentioned,
    match,
)
from chalicelib.core.errors import BadRequest, Forbidden, NotFound
from chalicelib.core.events import RFC1123_LABEL, RFC1123_SUBDOMAIN, Event, environment
from chalicelib.core.records import KEPT_HEADERS, EventRecord, event_of, payload_of, verdict_data
from chalicelib.core.submissions import Submission, claim_key, event_id
from chalicelib.flow.known import KnownBindings
from chalicelib.ports import Listed, Ports
from chalicelib.settings import Settings

EVENTS = "events.lynceus.dev"
REPLAYS = "replays.lynceus.dev"

PAGE = 50  # entries of a page, unless told
PAGE_LIMIT = 500

# A binding seen by the tick so long after an event may well have been there when it came.
JUST_AFTER = timedelta(minutes=1)
EPOCHS = 100  # of one claim that are followed

SECONDS = 15.0  # of one call, for questions that take long; API Gateway ends it at 29

UNDECIDABLE = "undecidable"  # an outcome that only asking again can have

FILTERS = ("client", "provider", "event_type", "action", "delivery_id", "note")


def check(namespace: str, settings: Settings) -> str:
    """The namespace, if it can be one of ours; raises BadRequest or NotFound."""
    if not RFC1123_LABEL.fullmatch(namespace):
        raise BadRequest(f'namespace "{namespace[:80]}" is not a DNS label (RFC 1123)')
    if not settings.serves(namespace):
        raise NotFound(f'namespace "{namespace}" is not served here (LYNCEUS_NAMESPACES)')
    return namespace


def name_of(text: str) -> str:
    """The text, if it can be the name of an object; raises BadRequest."""
    if not RFC1123_SUBDOMAIN.fullmatch(text):
        raise BadRequest(f'name "{text[:80]}" is not a DNS subdomain (RFC 1123)')
    return text


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
    kept_since = (ports.clock.now() - timedelta(days=settings.retention_days)).date()
    older = (day - timedelta(days=1)).isoformat() if not cursor and day > kept_since else ""
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
    authorization: str, namespace: str, name: str, query: Mapping[str, str], ports: Ports, settings: Settings,
    known: KnownBindings,
) -> dict[str, Any]:  # fmt: skip
    """The binding's last matches, what became of them, and its last error; `exists` is null where nobody knows."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    runs, cursor = ports.archive.runs(
        "event", namespace, name_of(name), page_size(query.get("limit", "")), query.get("cursor", "")
    )
    states: dict[str, int] = {}
    for run in runs:
        states[run.progress.state] = states.get(run.progress.state, 0) + 1
    now = ports.clock.now()
    ages = [now - run.received_at for run in runs if run.received_at]
    listed = known.of(namespace)
    error = ports.archive.error_of(namespace, name)
    if error is not None and not _reads_contents(authorization, namespace, ports):
        error = {key: value for key, value in error.items() if key != "message"}
    return {
        "binding": name,
        "exists": None if listed is None else any(name == binding.name for binding in listed.bindings),
        "lastMatch": submission_data(runs[0]) if runs else None,
        "lastError": error,
        "states": states,
        # Of this page alone: a larger `limit` sees further.
        "rates": {
            "hour": sum(age <= timedelta(hours=1) for age in ages),
            "day": sum(age <= timedelta(days=1) for age in ages),
        },
        "runs": [submission_data(run) for run in runs],
        "cursor": cursor,
    }


def by_workflow(
    authorization: str, namespace: str, workflow: str, ports: Ports, settings: Settings
) -> dict[str, Any]:
    """What made, or tried to make, the Workflow."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    found = ports.archive.of_workflow(namespace, name_of(workflow))
    if not found:
        raise NotFound(f'no submission for Workflow "{workflow[:80]}" in namespace "{namespace}" is kept')
    return {"items": [submission_data(submission) for submission in found]}


def by_delivery(
    authorization: str,
    namespace: str,
    delivery: str,
    query: Mapping[str, str],
    ports: Ports,
    settings: Settings,
) -> dict[str, Any]:
    """The events that one delivery id of a sender came to, first to last: found by its claim, without a search.

    `client` is the webhook client (for callers with a token their user name, the id being their Idempotency-Key),
    `discriminator` the path's, `hook` the provider's hook id where it sends one (GitHub).
    """
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, "list", EVENTS)
    sender = query.get("client", "")
    if not sender:
        raise BadRequest("say the client: a delivery id is its sender's own")
    claim = (delivery,) if sender.startswith("system:") else (query.get("hook", ""), delivery)
    key = claim_key(namespace, query.get("discriminator", ""), sender, claim)
    found: list[EventRecord] = []
    while len(found) < EPOCHS and (record := ports.ledger.event(event_id(key, len(found)))):
        found.append(record)
    if not found:
        raise NotFound(
            f'delivery "{delivery[:80]}" of "{sender[:80]}" is not kept in namespace "{namespace}"'
        )
    return {"items": [record_data(record) for record in found]}


# One event


def show(
    authorization: str,
    namespace: str,
    identity: str,
    query: Mapping[str, str],
    ports: Ports,
    settings: Settings,
) -> dict[str, Any]:
    """The event's record; its headers and messages for those who may read contents, with `body=true` its body too."""
    wants_body = query.get("body") == "true"
    record = find(authorization, namespace, identity, "get" if wants_body else "list", ports, settings)
    told = record_data(record)
    if wants_body:
        told["body"] = ports.ledger.body(record).decode("utf-8", "replace")
    if wants_body or _reads_contents(authorization, namespace, ports):
        told["headers"] = {name: list(values) for name, values in record.headers.items()}
        told["verdicts"] = [verdict_data(verdict) for verdict in record.verdicts]
    told["submissions"] = [submission_data(submission) for submission in ports.ledger.submissions(record)]
    told["notes"] = ports.archive.notes(record.id)
    return told


def _reads_contents(authorization: str, namespace: str, ports: Ports) -> bool:
    try:
        ports.cluster.allowed(authorization, namespace, "get", EVENTS)
    except Forbidden:
        return False
    return True


def find(
    authorization: str, namespace: str, identity: str, verb: str, ports: Ports, settings: Settings
) -> EventRecord:
    """The record of an event of the namespace, for a reader with the verb on events."""
    check(namespace, settings)
    ports.cluster.allowed(authorization, namespace, verb, EVENTS)
    return kept(namespace, identity, ports)


def kept(namespace: str, identity: str, ports: Ports) -> EventRecord:
    """The record of an event of the namespace; an event of another one is not found."""
    record = ports.ledger.event(identity) if 0 < len(identity) <= 64 else None
    if record is None or record.namespace != namespace:
        raise NotFound(f'event "{identity[:64]}" is not kept in namespace "{namespace}"')
    return record


def explain(
    authorization: str, namespace: str, identity: str, query: Mapping[str, str], ports: Ports,
    settings: Settings, known: KnownBindings,
) -> dict[str, Any]:  # fmt: skip
    """Why each binding did what it did, worked out again from the kept body.

    `as=then` (the default) takes each binding as it was when the event came, where that is still known; `as=now`
    takes the bindings of now. `binding` asks for one of them. `as=stored` tells what was recorded then, which is
    also the answer where the body is not kept.
    """
    record = find(authorization, namespace, identity, "get", ports, settings)
    then = query.get("as", "then")
    if then not in ("then", "now", "stored"):
        raise BadRequest(f'as is "{then[:20]}": say then, now or stored')
    if then == "stored":
        return _stored(record, query.get("binding", ""))
    try:
        body = ports.ledger.body(record)
    except NotFound as error:
        note = f"{error.message}; what was recorded is told, and of selectors that were false how many"
        return {**_stored(record, query.get("binding", "")), "note": note}
    listed = known.of(namespace)
    if listed is None:
        raise NotFound("no bindings of the namespace are known: the cluster is away and there is no snapshot")
    now = {binding.name: binding for binding in listed.bindings}
    names = {*now, *(verdict.binding for verdict in record.verdicts)} if then == "then" else {*now}
    wanted = query.get("binding", "")
    if wanted and wanted not in names:
        raise NotFound(f'binding "{wanted[:80]}" is not known in namespace "{namespace}"')
    event = event_of(record, payload_of(record, body))
    told: list[dict[str, Any]] = []
    until = ports.clock.monotonic() + SECONDS
    for name in [wanted] if wanted else sorted(names):
        if told and ports.clock.monotonic() > until:
            told.append({"binding": name, "note": "no time was left to ask it again: ask for it alone"})
            continue
        binding, said = _as_then(record, name, now.get(name), ports) if then == "then" else (now[name], "")
        answer = (
            explanation(event, binding, _headers_known(record, binding, ports))
            if binding
            else {"binding": name}
        )
        told.append(answer | ({"note": said} if said else {}))
    return {"event": record.id, "as": then, "verdicts": told}


def _stored(record: EventRecord, binding: str) -> dict[str, Any]:
    verdicts = [
        verdict_data(verdict) | _meaning(verdict.reason)
        for verdict in record.verdicts
        if binding in ("", verdict.binding)
    ]
    return {"event": record.id, "as": "stored", "verdicts": verdicts, "counts": dict(record.counts)}


def _meaning(code: str) -> dict[str, str]:
    row = reasons.reason(code)
    return {"means": row.means, "do": row.do}


def _as_then(record: EventRecord, name: str, now: Binding | None, ports: Ports) -> tuple[Binding | None, str]:
    """The binding as it was when the event came, and what is to be said where that is not known for certain."""
    raw = ports.archive.binding_at(record.namespace, name, record.received_at + JUST_AFTER)
    asked = next((verdict.content for verdict in record.verdicts if verdict.binding == name), "")
    if raw is not None:
        then = binding_from_object(raw)
        if not asked or then.content == asked:
            return then, "" if now else "it does not exist any more"
    if now is None:
        return None, "it does not exist any more, and its text of then is not kept"
    if asked == now.content:
        return now, ""
    if asked:
        return now, "as it is now: it was changed since, and its text of then is not kept"
    return now, "as it is now: it was made after the event, or its text of then is not kept"


def _headers_known(record: EventRecord, binding: Binding, ports: Ports) -> frozenset[str]:
    """The headers of which the record says for certain whether, and with what, they came (rule 18)."""
    certain = KEPT_HEADERS | frozenset(record.headers)
    if headers_mentioned([binding]) <= certain:
        return certain
    raw = ports.archive.binding_at(record.namespace, binding.name, record.received_at + JUST_AFTER)
    return certain | headers_mentioned([binding_from_object(raw)]) if raw is not None else certain


def undecidable(record: EventRecord, binding: Binding, ports: Ports) -> bool:
    """True when asking the binding again proves nothing, since it reads a header that was not kept."""
    return not headers_mentioned([binding]) <= _headers_known(record, binding, ports)


def explanation(event: Event, binding: Binding, certain: frozenset[str] | None = None) -> dict[str, Any]:
    """The binding's verdict on the event, and for a selector that is false the comparison that decided.

    `certain` are the headers that are known of an event asked about again; all of them where it is None.
    """
    [verdict] = match(event, [binding]).verdicts
    told = verdict_data(verdict)
    if verdict.outcome == NOT_MATCHED or not (certain is None or headers_mentioned([binding]) <= certain):
        because = compiled(binding.selector).explain(environment(event), kept=certain, now=clock(event))
        if because.outcome == UNDECIDABLE:
            told |= {"outcome": UNDECIDABLE, "reason": reasons.HEADER_NOT_KEPT}
        told["because"] = [
            {name: value for name, value in asdict(finding).items() if value not in ("", (), 0, False)}
            | {"said": str(finding)}
            for finding in because.findings
        ]
    return told | _meaning(told["reason"])


def erase(
    authorization: str, namespace: str, identity: str, ports: Ports, settings: Settings
) -> dict[str, Any]:
    """Remove the event's body for good; who asked is noted."""
    record = find(authorization, namespace, identity, "get", ports, settings)
    who = ports.cluster.allowed(authorization, namespace, "delete", EVENTS)
    ports.archive.erase_body(record)
    ports.archive.note(record.id, ports.clock.now(), {"what": "body erased", "by": who})
    return {}


# Data


def record_data(record: EventRecord) -> dict[str, Any]:
    """The record as JSON, without what the event holds: no body, no headers, no message that may quote them."""
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
        "counts": dict(record.counts),
        "verdicts": [verdict_data(replace(verdict, message="")) for verdict in record.verdicts],
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
        "retries": progress.failures,
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
        told |= _meaning(progress.reason)
    return {name: value for name, value in told.items() if value not in ("", 0)}
