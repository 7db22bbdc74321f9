"""A request becomes an event, verdicts and submissions, all in the ledger before anyone is told.

    identify → Arrival → match → keep → ring → answer

The answer is a promise: 2xx is sent only once the event is in the ledger or, while the ledger is away, whole in
one envelope on the queue (rules 7, 8). What comes after the answer can always be done again. An envelope is
opened by the worker, which then walks the same line from the Arrival on.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core import reasons, webhooks
from chalicelib.core.bindings import DOOR_STEPS, ERROR, NOT_MATCHED, Budget, Matching, exhausted, match
from chalicelib.core.errors import (
    BadRequest,
    BodyTooLarge,
    ClientError,
    Conflict,
    Forbidden,
    LynceusError,
    Throttled,
    Unauthenticated,
    Unavailable,
    WebhookRefused,
)
from chalicelib.core.events import RFC1123_LABEL, Account, Delivery, Event, metadata_of
from chalicelib.core.payloads import decode
from chalicelib.core.records import EventRecord, body_digest, fold, kept_headers, payload_of, verdict_data
from chalicelib.core.submissions import SUCCEEDED, Submission, claim_key, digest_of, event_id, reopen
from chalicelib.core.workflows import workflow_for
from chalicelib.flow import look, refusals
from chalicelib.flow.known import KnownBindings
from chalicelib.ports import Ports
from chalicelib.settings import Settings

EVENT_ID = "Lynceus-Event-Id"
DUPLICATE = "Lynceus-Duplicate"
DRY_RUN = "Lynceus-Dry-Run"

# The sweep rings for a submission this long after the door did, unless it is done by then.
FIRST_SWEEP = timedelta(seconds=60)

# A redelivery within this span is a retry where nothing better is known of the sender (rule 9).
CALLERS_WINDOW = timedelta(days=1)

ENVELOPE_LIMIT = 1024 * 1024  # bytes: what SQS takes


@dataclass(frozen=True)
class Answer:
    """What the sender is told."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Arrival:
    """A delivery whose sender is known: all that keeping it needs, now or later out of an envelope."""

    record: EventRecord  # epoch 0, no verdicts yet
    body: bytes  # as it is stored
    payload: Any
    metadata: Mapping[str, list[str]]  # what expressions see
    headers: tuple[tuple[str, str], ...]  # without the credentials: what may be kept
    window: timedelta  # how long a redelivery counts as a retry
    verdicts: bool = False  # may the sender see what its deliveries matched (rule 39)

    def event(self, identity: str) -> Event:
        """The event under an id."""
        record = self.record
        return Event(
            id=identity,
            namespace=record.namespace,
            discriminator=record.discriminator,
            metadata=self.metadata,
            payload=self.payload,
            received_at=record.received_at,
            account=record.account,
            client=record.client,
            provider=record.provider,
            event_type=record.event_type,
            action=record.action,
            delivery_id=record.delivery_id,
        )


def receive(
    delivery: Delivery, request_id: str, ports: Ports, settings: Settings, known: KnownBindings
) -> Answer:
    """The answer to one request of the events API, after its event is durable.

    `request_id` is unique to the request; it names events that carry no delivery id.
    """
    if len(delivery.body) > settings.body_limit:
        raise BodyTooLarge(
            f"the body has {len(delivery.body)} bytes, the limit is {settings.body_limit}: send less, or a link to it"
        )
    arrivals = identify(delivery, request_id, ports, settings)
    if isinstance(arrivals, Answer):
        return arrivals
    arrivals = [_with_account(arrival, known) for arrival in arrivals]
    budget = door_budget(ports, settings)
    if _asks(delivery, DRY_RUN, "true"):
        return _rehearse(arrivals, budget, ports, settings, known)
    answers = [_arrive_or_envelope(arrival, budget, ports, known) for arrival in arrivals]
    answer = answers[0]
    if len(answers) > 1:
        # A batch: one event each, and one promise for all of them.
        ids = ",".join(each.headers[EVENT_ID] for each in answers)
        answer = Answer(answer.status, {}, {EVENT_ID: ids})
    if arrivals[0].verdicts and _asks(delivery, "prefer", "return=representation"):
        told = [_representation(each.headers[EVENT_ID], ports) for each in answers]
        return replace(answer, body=told[0] if len(told) == 1 else {"events": told})
    return answer


def _arrive_or_envelope(arrival: Arrival, budget: Budget, ports: Ports, known: KnownBindings) -> Answer:
    try:
        return arrive(arrival, budget, ports, known)
    except Unavailable as error:
        ports.journal.error("ledger.away", namespace=arrival.record.namespace, error=error.message)
        return _envelope(arrival, ports)


def _asks(delivery: Delivery, header: str, wish: str) -> bool:
    return any(
        wish == part.strip() for value in delivery.header_values(header) for part in value.lower().split(",")
    )


def _representation(event: str, ports: Ports) -> dict[str, Any]:
    """The event as kept, for those who may see verdicts."""
    try:
        record = ports.ledger.event(event)
    except LynceusError:
        record = None
    if record is None:
        return {"event": event}
    told = {
        "event": event,
        "verdicts": [verdict_data(verdict) for verdict in record.verdicts],
        "counts": dict(record.counts),
    }
    # Bindings after this one are asked by the worker; "" is none asked yet.
    return told if record.deferred_after is None else {**told, "deferredAfter": record.deferred_after}


def _rehearse(
    arrivals: Sequence[Arrival], budget: Budget, ports: Ports, settings: Settings, known: KnownBindings
) -> Answer:
    """Verdicts and rendered Workflows of a delivery that starts nothing; recorded, never claimed (rule 39)."""
    told = []
    for arrival in arrivals:
        record = arrival.record
        if not arrival.verdicts:
            raise Forbidden(
                f'webhook client "{record.client}" may not ask for verdicts: set `verdicts: true` on it, '
                "or send with a token"
            )
        rehearsed = replace(
            record, id=event_id(digest_of("dry-run", record.nonce)), claim="", note=reasons.DRY_RUN
        )
        rehearsed, matching = _matched(arrival, rehearsed, budget, known)
        if matching.deferred_after is not None:
            raise Unavailable(
                "not every binding could be asked just now: try the dry run again", retry_after=5
            )
        ports.ledger.keep(replace(rehearsed, submissions=(), deferred_after=None), arrival.body, [])
        told.append(
            {
                "event": rehearsed.id,
                "dryRun": True,
                "verdicts": _reasoned(arrival.event(rehearsed.id), matching, budget, known),
                "workflows": [
                    workflow_for(submission, {}, settings.instance_id) for submission in matching.submissions
                ],
            }
        )
    ports.journal.log("event.rehearsed", namespace=arrivals[0].record.namespace, event_id=told[0]["event"])
    return Answer(200, told[0] if len(told) == 1 else {"events": told}, {EVENT_ID: str(told[0]["event"])})


def _reasoned(event: Event, matching: Matching, budget: Budget, known: KnownBindings) -> list[dict[str, Any]]:
    """The verdicts, and as long as there is time the comparison that decided where a selector was false."""
    listed = known.of(event.namespace)
    bindings = {binding.name: binding for binding in listed.bindings} if listed else {}
    return [
        look.explanation(event, bindings[verdict.binding])
        if verdict.outcome == NOT_MATCHED and verdict.binding in bindings and not budget.out_of_time()
        else verdict_data(verdict)
        for verdict in matching.verdicts
    ]


def door_budget(ports: Ports, settings: Settings) -> Budget:
    """What an event may use while its sender waits; the worker does the rest (rule 10)."""
    return Budget(_ends_after(settings.door_seconds, ports), steps=DOOR_STEPS, final=False)


def worker_budget(ports: Ports, settings: Settings) -> Budget:
    """What an event may use in the worker; nobody is left to do the rest."""
    return Budget(_ends_after(settings.worker_seconds, ports))


def _ends_after(seconds: float, ports: Ports) -> Callable[[], bool]:
    started = ports.clock.monotonic()
    return lambda: ports.clock.monotonic() - started > seconds


def _with_account(arrival: Arrival, known: KnownBindings) -> Arrival:
    """The arrival with the account's uid, where the cluster tells it in time; the worker looks again (rule 24)."""
    account = arrival.record.account
    if account.uid:
        return arrival
    uid = known.account_uid(account.namespace, account.name)
    return replace(arrival, record=replace(arrival.record, account=replace(account, uid=uid)))


# Who sent it


def identify(delivery: Delivery, request_id: str, ports: Ports, settings: Settings) -> list[Arrival] | Answer:
    """The arrivals once their sender is proved, or the answer to a handshake, which dispatches nothing.

    One arrival, or one for each event of a batch.

    Raises Unauthenticated, Forbidden, WebhookRefused, BadRequest or Unavailable.
    """
    # Checked before it becomes part of a secret's name (rule 13); a stranger learns nothing from it.
    if not RFC1123_LABEL.fullmatch(delivery.namespace) or not settings.serves(delivery.namespace):
        raise WebhookRefused("namespace-not-served")
    authorization = delivery.header_values("authorization")
    if not authorization or delivery.method == "OPTIONS" or _for_a_client(delivery, ports):
        return _from_sender(delivery, request_id, ports)
    try:
        return [_from_caller(delivery, authorization[0], request_id, ports)]
    except (Unauthenticated, BadRequest, Unavailable) as refusal:
        # Gitea, SNS and others can add an Authorization header to what they sign: the signature is proof enough.
        try:
            return _from_sender(delivery, request_id, ports)
        except (Unauthenticated, WebhookRefused):
            raise refusal from None


def _from_sender(delivery: Delivery, request_id: str, ports: Ports) -> list[Arrival] | Answer:
    """The arrivals of a webhook client, or the answer to its handshake."""
    clients = _clients(delivery.namespace, ports)
    try:
        found = webhooks.authenticate(delivery, clients, ports.topics.certificate)
    except Unauthenticated:
        # A secret that was just rotated works at once.
        renewed = _clients(delivery.namespace, ports, fresh=True)
        if renewed == clients:
            raise
        found = webhooks.authenticate(delivery, renewed, ports.topics.certificate)
    if found.proven:  # before that nothing is written (rule 13)
        _check_rate(delivery, found.client, ports)
    if found.dispatch:
        return _from_client(delivery, found, request_id)
    if found.confirm is not None:
        ports.topics.confirm(found.confirm.topic_arn, found.confirm.token)
    ports.journal.log(
        "event.handshake", namespace=delivery.namespace, client=found.client.name, skipped=found.skipped
    )
    ports.journal.count("handshakes")
    if found.proven:
        refusals.answered(delivery, found, ports)
    response = found.response
    return Answer(response.status, response.body, response.headers) if response else Answer(200, {})


def _clients(namespace: str, ports: Ports, *, fresh: bool = False) -> tuple[webhooks.WebhookClient, ...]:
    try:
        clients = ports.secrets.webhook_clients(namespace, fresh=fresh)
    except ClientError as error:
        ports.journal.error("clients.malformed", namespace=namespace, error=error.message)
        raise WebhookRefused("clients-malformed") from error
    except Throttled as error:
        # 429 is for a sender above its own limit, and this one did nothing wrong.
        raise Unavailable(error.message, retry_after=error.retry_after or 5) from error
    if clients is None:
        raise WebhookRefused("no-clients")
    return clients


def _for_a_client(delivery: Delivery, ports: Ports) -> bool:
    """True when the Authorization header is a webhook client's proof; a secret just rotated counts at once."""
    for fresh in (False, True):
        try:
            clients = ports.secrets.webhook_clients(delivery.namespace, fresh=fresh) or ()
        except LynceusError:
            return False
        if webhooks.reads_authorization(delivery, clients):
            return True
        # Callers with a token cost no second look where no webhook client reads the header at all.
        if not any(client.scheme.header == "authorization" for client in clients):
            return False
    return False


def _check_rate(delivery: Delivery, client: webhooks.WebhookClient, ports: Ports) -> None:
    """Raise Throttled above the client's own limit; off unless it is set (rule 17)."""
    if client.rate_limit is None:
        return
    minute = delivery.received_at.replace(second=0, microsecond=0)
    key = f"rate#{delivery.namespace}#{client.name}#{minute.isoformat()}"
    try:
        deliveries = ports.ledger.tally(key, minute + timedelta(hours=1))
    except Unavailable:
        return  # rather one too many than one lost
    if deliveries > client.rate_limit:
        pause = 60 - delivery.received_at.second
        raise Throttled(
            f'webhook client "{client.name}" is over its rate_limit of {client.rate_limit} deliveries a minute',
            retry_after=pause,
        )


def _from_client(delivery: Delivery, found: webhooks.Authenticated, request_id: str) -> list[Arrival]:
    client = found.client
    account = Account(delivery.namespace, client.name)

    def arrival(
        body: bytes, payload: Any, claim: Sequence[str], request: str, content_type: str | None, **known: Any
    ) -> Arrival:
        key = claim_key(delivery.namespace, delivery.discriminator, client.name, claim) if claim else ""
        record = _record(delivery, account, key, request, body)
        record = replace(record, client=client.name, provider=client.type, **known)
        if content_type is not None:
            record = replace(record, content_type=content_type)
        if client.provider.confidential:
            # What is kept is what is seen: no sender's token in a Workflow, and a replay finds the same again.
            payload = payload_of(record, body)
        headers = _without(delivery, client.credential_headers)
        window = timedelta(seconds=found.window)
        return Arrival(record, body, payload, found.metadata, headers, window, client.verdicts)

    if not found.items:
        return [
            arrival(found.stored_body, found.payload, found.claim, request_id, None, event_type=found.event_type,
                    action=found.action, delivery_id=found.delivery_id)
        ]  # fmt: skip
    return [
        arrival(item.body, item.payload,
                (item.hook_id or "", item.delivery_id) if item.delivery_id else (), f"{request_id}#{number}",
                "application/json", event_type=item.event_type or "", delivery_id=item.delivery_id or "")
        for number, item in enumerate(found.items)
    ]  # fmt: skip


def _from_caller(delivery: Delivery, authorization: str, request_id: str, ports: Ports) -> Arrival:
    """A caller with a token; the body is read before the token is judged, as Argo does."""
    payload = decode(delivery.body)
    try:
        account = ports.cluster.caller(authorization, delivery.namespace)
    except Forbidden as refusal:
        # To Kubernetes Basic credentials are nobody's, so it says what nobody may do. Here they are a wrong password.
        if 'User "system:anonymous"' in refusal.message:
            raise Unauthenticated("anonymous", message="Unauthorized") from refusal
        raise
    keys = delivery.header_values("idempotency-key")
    if len(keys) > 1:
        raise BadRequest(f"header Idempotency-Key came {len(keys)} times, expected once")
    wish = webhooks.checked_name("Idempotency-Key", "".join(keys))
    key = claim_key(delivery.namespace, delivery.discriminator, account.username, (wish,)) if wish else ""
    record = replace(_record(delivery, account, key, request_id, delivery.body), delivery_id=wish)
    headers = _without(delivery, webhooks.CREDENTIAL_HEADERS)
    return Arrival(
        record, delivery.body, payload, metadata_of(headers), headers, CALLERS_WINDOW, verdicts=True
    )


def _without(delivery: Delivery, credentials: frozenset[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, value) for name, value in delivery.headers if name.lower() not in credentials)


def _record(delivery: Delivery, account: Account, key: str, request_id: str, body: bytes) -> EventRecord:
    nonce = digest_of("request", request_id)
    return EventRecord(
        id=event_id(key or nonce),
        claim=key,
        epoch=0,
        nonce=nonce[:16],
        namespace=delivery.namespace,
        discriminator=delivery.discriminator,
        account=account,
        received_at=delivery.received_at,
        size=len(body),
        digest=body_digest(body),
        content_type=(delivery.header("content-type") or "")[:200],
        trace=(delivery.header("x-amzn-trace-id") or "")[:200],
    )


# What becomes of it


def arrive(arrival: Arrival, budget: Budget, ports: Ports, known: KnownBindings) -> Answer:
    """The answer to an arrival, after its event is in the ledger; raises Unavailable where it may not be."""
    record, matching = _matched(arrival, arrival.record, budget, known)
    first = _keep(arrival, record, matching, ports)
    if first is None:
        return _accepted(record, matching, ports)
    if first.digest != record.digest:
        # The id was seen with another body: that is a new event, and it is flagged (rule 1).
        key = digest_of("body", record.claim, record.digest)
        flagged = replace(arrival.record, id=event_id(key), claim=key, note=reasons.BODY_DIFFERS)
        record, matching = _matched(arrival, flagged, budget, known)
        first = _keep(arrival, record, matching, ports)
        if first is None:
            return _accepted(record, matching, ports)
    return _again(arrival, first, budget, ports, known)


def _matched(
    arrival: Arrival, record: EventRecord, budget: Budget, known: KnownBindings
) -> tuple[EventRecord, Matching]:
    bindings = known.of(record.namespace)
    if bindings is None:
        matching = Matching((), (), deferred_after="")
    else:
        matching = match(arrival.event(record.id), bindings, budget)
    # While bindings are still to be asked nobody knows which headers they mention: keep what they may see.
    known_all = bindings is not None and matching.deferred_after is None
    mentioned = bindings.headers if bindings and known_all else frozenset(arrival.metadata)
    verdicts, counts = fold(matching.verdicts)
    record = replace(
        record,
        headers=kept_headers(arrival.headers, mentioned),
        verdicts=verdicts,
        counts=counts,
        submissions=tuple(submission.pointer for submission in matching.submissions),
        deferred_after=matching.deferred_after,
    )
    return record, matching


def _keep(arrival: Arrival, record: EventRecord, matching: Matching, ports: Ports) -> EventRecord | None:
    return ports.ledger.keep(record, arrival.body, with_due(matching.submissions, ports.clock.now()))


def with_due(submissions: Sequence[Submission], now: datetime) -> list[Submission]:
    """The submissions with the time at which the sweep rings for them if nobody else did."""
    return [replace(s, progress=replace(s.progress, due=now + FIRST_SWEEP)) for s in submissions]


def _again(
    arrival: Arrival, first: EventRecord, budget: Budget, ports: Ports, known: KnownBindings
) -> Answer:
    """What a delivery that was seen before comes to: a duplicate, a repair, or a new epoch (rules 2, 9).

    Its event is durable, yet what a redelivery wishes for may not be: it too waits in an envelope for the ledger.
    """
    latest = first
    while latest.claim and (following := ports.ledger.event(event_id(latest.claim, latest.epoch + 1))):
        latest = following
    submissions = ports.ledger.submissions(latest)
    at_work = latest.deferred_after is not None or any(not submission.terminal for submission in submissions)
    if at_work or not latest.claim:
        return _repeat(arrival, latest, budget, ports, known)
    errors = any(verdict.outcome == ERROR for verdict in latest.verdicts)
    if not submissions or errors or any(s.progress.state not in SUCCEEDED for s in submissions):
        return _repair(arrival, latest, submissions, budget, ports, known)
    if arrival.record.received_at - latest.received_at <= arrival.window:
        return _repeat(arrival, latest, budget, ports, known)
    epoch = latest.epoch + 1
    wished = replace(
        arrival.record, id=event_id(latest.claim, epoch), claim=latest.claim, epoch=epoch, note=latest.note
    )
    record, matching = _matched(arrival, wished, budget, known)
    other = _keep(arrival, record, matching, ports)
    return _accepted(record, matching, ports) if other is None else _duplicate(other, ports)


def _repeat(
    arrival: Arrival, first: EventRecord, budget: Budget, ports: Ports, known: KnownBindings
) -> Answer:
    """A duplicate; yet bindings that ask for it (lynceus.dev/dedupe) see it as an event of its own."""
    answer = _duplicate(first, ports)
    bindings = known.of(first.namespace)
    age = arrival.record.received_at - first.received_at
    wanting = [binding for binding in bindings.bindings if binding.repeats(age)] if bindings else []
    if not wanting or first.nonce == arrival.record.nonce:
        return answer
    identity = event_id(digest_of("repeat", first.id, arrival.record.nonce))
    matching = match(arrival.event(identity), wanting, budget)
    if matching.deferred_after is not None:
        # The worker would ask those who want no repeats, too.
        rest = exhausted(wanting, matching.deferred_after)
        matching = Matching((*matching.verdicts, *rest), matching.submissions)
    verdicts, counts = fold(matching.verdicts)
    repeat = replace(
        arrival.record,
        id=identity,
        claim="",
        note=reasons.DUPLICATE,
        duplicate_of=first.id,
        headers=kept_headers(arrival.headers, frozenset(arrival.metadata)),
        verdicts=verdicts,
        counts=counts,
        submissions=tuple(submission.pointer for submission in matching.submissions),
    )
    if ports.ledger.keep(repeat, arrival.body, with_due(matching.submissions, ports.clock.now())) is None:
        ring(repeat, matching.submissions, ports)
    return answer


def _repair(
    arrival: Arrival,
    record: EventRecord,
    before: Sequence[Submission],
    budget: Budget,
    ports: Ports,
    known: KnownBindings,
) -> Answer:
    """Ask the bindings of now, and run what has no Workflow yet (rule 9)."""
    bindings = known.of(record.namespace)
    if bindings is None:
        return _duplicate(record, ports)
    matching = match(arrival.event(record.id), bindings, budget)
    fresh, reopened = without_workflow(matching, before, ports.clock.now())
    to_run = [*fresh, *(after for _, after in reopened)]
    repaired = extended(record, matching, to_run)
    repaired = replace(repaired, repairs=record.repairs + 1)
    if not to_run and repaired.counts == record.counts:
        return _duplicate(record, ports)
    try:
        ports.ledger.extend(repaired, fresh, reopened)
    except Conflict:
        return _duplicate(record, ports)  # somebody else repairs it
    ring(repaired, to_run, ports)
    ports.journal.log(
        "event.repaired", namespace=record.namespace, event_id=record.id, submissions=len(to_run)
    )
    ports.journal.count("repairs")
    refusals.repeated(record, ports, reasons.REPAIR)
    return Answer(200, {}, {EVENT_ID: record.id})


def without_workflow(
    matching: Matching, before: Sequence[Submission], now: datetime
) -> tuple[list[Submission], list[tuple[Submission, Submission]]]:
    """What of the matching has no Workflow yet: new submissions, and ended ones (before, after) opened again."""
    known = {submission.id: submission for submission in before}
    fresh: list[Submission] = []
    reopened: list[tuple[Submission, Submission]] = []
    for submission in with_due(matching.submissions, now):
        old = known.get(submission.id)
        if old is None:
            fresh.append(submission)
        elif old.terminal and old.progress.state not in SUCCEEDED:
            reopened.append((old, reopen(old, submission, now + FIRST_SWEEP)))
    return fresh, reopened


def extended(record: EventRecord, matching: Matching, to_run: Sequence[Submission]) -> EventRecord:
    """The record after bindings were asked again: verdicts of now, every submission it ever had."""
    verdicts, counts = fold(matching.verdicts)
    pointers = dict.fromkeys([*record.submissions, *(submission.pointer for submission in to_run)])
    return replace(
        record,
        verdicts=verdicts,
        counts=counts,
        submissions=tuple(pointers),
        deferred_after=matching.deferred_after,
        version=record.version + 1,
    )


def _duplicate(record: EventRecord, ports: Ports) -> Answer:
    ports.journal.log(
        "event.duplicate", namespace=record.namespace, event_id=record.id, delivery_id=record.delivery_id
    )
    ports.journal.count("duplicates")
    refusals.repeated(record, ports)
    return Answer(200, {}, {EVENT_ID: record.id, DUPLICATE: "true"})


def _accepted(record: EventRecord, matching: Matching, ports: Ports) -> Answer:
    ring(record, matching.submissions, ports)
    ports.journal.log(
        "event.accepted",
        namespace=record.namespace,
        event_id=record.id,
        client=record.client,
        provider=record.provider,
        event_type=record.event_type,
        delivery_id=record.delivery_id,
        size=record.size,
        bindings=len(matching.verdicts),
        submissions=len(matching.submissions),
        errors=sum(verdict.outcome == ERROR for verdict in matching.verdicts),
        trace=record.trace,
    )
    ports.journal.count("events")
    ports.journal.count("verdicts", len(matching.verdicts))
    return Answer(200, {}, {EVENT_ID: record.id})


def ring(record: EventRecord, submissions: Sequence[Submission], ports: Ports) -> None:
    """Ring for what is to be done about the event. The sweep does it again, so a failure costs a minute."""
    messages = [submission.pointer.to_message() for submission in submissions]
    if record.deferred_after is not None:
        messages.append({"v": 1, "kind": "match", "event": record.id})  # and its worker rings for the errors
    elif any(verdict.outcome == ERROR for verdict in record.verdicts):
        messages.append({"v": 1, "kind": "report", "event": record.id})
    if not messages:
        return
    try:
        ports.queue.send(messages)
        ports.journal.count("submissions", len(submissions))
    except LynceusError as error:
        ports.journal.error("queue.away", namespace=record.namespace, event_id=record.id, error=error.message)


# While the ledger is away

_ENVELOPED = (
    "id", "claim", "epoch", "nonce", "namespace", "discriminator", "client", "provider", "event_type", "action",
    "delivery_id", "size", "digest", "content_type", "trace",
)  # fmt: skip


def _envelope(arrival: Arrival, ports: Ports) -> Answer:
    """The event goes whole onto the queue, or the sender hears 503 (rule 8)."""
    away = Unavailable(
        "the event may not have been kept: send it again with the same delivery id", retry_after=30
    )
    message = envelope_of(arrival)
    if len(json.dumps(message)) > ENVELOPE_LIMIT:
        raise away
    try:
        ports.queue.send([message])
    except LynceusError as error:
        raise away from error
    record = arrival.record
    ports.journal.log("event.enveloped", namespace=record.namespace, event_id=record.id)
    ports.journal.count("envelopes")
    return Answer(200, {}, {EVENT_ID: record.id})


def envelope_of(arrival: Arrival) -> dict[str, Any]:
    """The arrival in message form; the worker asks the bindings itself."""
    record = arrival.record
    return {
        "v": 1,
        "kind": "envelope",
        "record": {name: getattr(record, name) for name in _ENVELOPED},
        "account": [record.account.namespace, record.account.name, record.account.uid],
        "received_at": record.received_at.isoformat(),
        "metadata": dict(arrival.metadata),
        "headers": [list(pair) for pair in arrival.headers],
        "window": arrival.window.total_seconds(),
        "body": base64.b64encode(zlib.compress(arrival.body, 6)).decode("ascii"),
    }


def arrival_of(message: Mapping[str, Any]) -> Arrival:
    """The arrival in an envelope; raises KeyError, TypeError, ValueError or zlib.error for what is none."""
    record = EventRecord(
        **{name: message["record"][name] for name in _ENVELOPED},
        account=Account(*message["account"]),
        received_at=datetime.fromisoformat(message["received_at"]),
    )
    body = zlib.decompress(base64.b64decode(message["body"], validate=True))
    return Arrival(
        record,
        body,
        payload_of(record, body),
        message["metadata"],
        tuple((str(name), str(value)) for name, value in message["headers"]),
        timedelta(seconds=float(message["window"])),
    )
