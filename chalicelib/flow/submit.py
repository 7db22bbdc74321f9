"""A doorbell becomes a Workflow: the submission is read from the ledger, attempted, and its outcome recorded.

The message is only a doorbell (rule 19): what is to be done, and whether it was done, stands in the ledger.
So a message may come twice, late, or after everything is over, and none of it matters.

    read → (terminal? done) → (open attempt? look) → checks → template → start → create → outcome

Between start and outcome lies the only window in which nobody knows what happened; an attempt that was
opened and never closed is settled by looking at the object, whose name was decided by its cause.

A retry within two minutes is a new doorbell with a delay, sent before this one is deleted; after that the
sweep rings. A function that raises leaves its message to the queue's visibility timeout: that is for
failures of the ledger itself, where nothing can be written down.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.bindings import ERROR, EVENT_MATCHES, Matching, exhausted, managed, match
from chalicelib.core.errors import BadRequest, Conflict, LynceusError, NotFound
from chalicelib.core.failures import END, GRACE, GRACE_SECONDS, GRACE_TRIES, GRACED
from chalicelib.core.records import EventRecord, event_of, payload_of
from chalicelib.core.submissions import LEASE, Pointer, Submission, backoff, leased, wait
from chalicelib.core.workflows import workflow_for
from chalicelib.flow.attempts import BINDING, Over, Postponed, conclude, create, report, settle
from chalicelib.flow.known import KnownBindings
from chalicelib.flow.receive import arrival_of, arrive, extended, ring, without_workflow, worker_budget
from chalicelib.ports import Ports
from chalicelib.settings import Settings

SHORT = timedelta(minutes=2)  # retries by doorbell end here; the sweep goes on
LONGEST = 900.0  # seconds that an answer of the cluster may ask us to wait


def work(body: str, ports: Ports, settings: Settings, known: KnownBindings) -> None:
    """Do what one message asks for. Returns when the message may be deleted; raises to see it again."""
    try:
        message = json.loads(body)
        if not isinstance(message, dict) or message.get("v") != 1:
            raise BadRequest("message of an unknown version")
        kind = message.get("kind")
        if kind == "submission":
            task = Pointer.from_message(message)
        elif kind not in ("match", "report", "envelope"):
            raise BadRequest(f'message of unknown kind "{str(kind)[:40]}"')
        else:
            arrival = arrival_of(message) if kind == "envelope" else None
            event = str(message["event"]) if kind != "envelope" else ""
    except (
        ValueError,
        LookupError,
        TypeError,
        ArithmeticError,
        zlib.error,
        LynceusError,
        RecursionError,
    ) as error:
        # Nobody can ever do anything with it: out of the way, with the reason (rule 20).
        ports.journal.error("message.unreadable", error=f"{type(error).__name__}: {error}"[:300])
        ports.queue.bury(body, f"{type(error).__name__}: {error}"[:250])
        return
    if kind == "submission":
        submit(task, ports, settings)
    elif arrival is not None:
        arrive(arrival, worker_budget(ports, settings), ports, known)
    elif kind == "match":
        match_later(event, ports, settings, known)
    else:
        report_errors(event, ports)


# One submission


def submit(pointer: Pointer, ports: Ports, settings: Settings) -> None:
    """Bring the submission one step further: to its Workflow, to its end, or to its next attempt."""
    submission = ports.ledger.submission(pointer)
    if submission is None:
        # Expired from the ledger, or a doorbell of another stage: nothing is left to do.
        ports.journal.error("submission.unknown", namespace=pointer.namespace, submission=pointer.submission)
        return
    if submission.terminal:
        return
    now = ports.clock.now()
    if leased(submission, now):
        _ring_again(submission, _remaining(submission, now), ports)
        return
    try:
        _attempt(submission, ports, settings)
    except Over:
        return
    except Conflict:
        # Another worker has it. Its outcome, or the sweep, will follow.
        ports.journal.log("submission.contended", submission=submission.id)


def _attempt(submission: Submission, ports: Ports, settings: Settings) -> None:
    try:
        if submission.kind == "cron":
            # Calendars are not for those who only turn events into Workflows: a cold start would pay.
            from chalicelib.flow import crons

            crons.decide_run(submission, ports, settings)
        else:
            _run(submission, ports, settings)
    except Postponed as postponed:
        _postpone(postponed, ports)


def _remaining(submission: Submission, now: datetime) -> timedelta:
    started = submission.progress.attempt_started_at or now
    return started + LEASE - now


def _run(submission: Submission, ports: Ports, settings: Settings) -> None:
    now = ports.clock.now()
    if submission.progress.attempt_started_at is not None and settle(submission, ports) is not None:
        return
    if submission.expires_at and now > submission.expires_at:
        conclude(
            submission, "expired", reasons.EXPIRED, "its turn came after lynceus.dev/expire-after", ports
        )
        return
    if not _account_stands(submission, ports):
        return
    template = _template(submission, ports)
    if not managed(template, settings.instance_id):
        name = submission.template.name if submission.template else ""
        message = (
            "failed to validate workflow template instanceid: "
            f"'{name}' is not managed by the current Argo Server"
        )
        conclude(submission, "failed", reasons.TEMPLATE_NOT_MANAGED, message, ports)
        return
    manifest = workflow_for(submission, template, settings.instance_id)
    create(submission, manifest, ports)


def _account_stands(submission: Submission, ports: Ports) -> bool:
    """True when the account and the webhook client still are who they were at the door (rule 24)."""
    account = submission.account
    if account is None:
        raise AssertionError("a submission of an event has an account")
    try:
        uid = ports.cluster.account_uid(account.namespace, account.name)
        clients = ports.secrets.webhook_clients(submission.namespace) if submission.client else ()
    except LynceusError as error:
        raise Postponed(submission, error) from error
    if not uid or (account.uid and uid != account.uid):
        said = "does not exist" if not uid else "is another one than at the door (its uid changed)"
        message = f'serviceaccounts "{account.name}" in namespace "{account.namespace}" {said}'
        conclude(submission, "failed", reasons.ACCOUNT_GONE, message, ports)
        return False
    if submission.client and submission.client not in {client.name for client in clients or ()}:
        message = f'webhook client "{submission.client}" is no longer configured for namespace "{submission.namespace}"'
        conclude(submission, "failed", reasons.CLIENT_REVOKED, message, ports)
        return False
    return True


def _template(submission: Submission, ports: Ports) -> dict[str, Any]:
    reference, account = submission.template, submission.account
    if reference is None or account is None:
        raise AssertionError("a submission of an event has a template and an account")
    try:
        return ports.cluster.template(
            account, submission.namespace, reference.name, cluster_scope=reference.cluster_scope
        )
    except LynceusError as error:
        error.message = f"failed to get workflow template: {error.message}"
        raise Postponed(submission, error) from error


def _postpone(postponed: Postponed, ports: Ports) -> None:
    """Write down when it goes on, and ring for it where that is soon (rules 19, 23)."""
    submission, error, failure = postponed.submission, postponed.error, postponed.failure
    now = ports.clock.now()
    if failure.then == GRACE and submission.progress.reason not in GRACED:
        # An outage before it used up nothing of the grace.
        counted_anew = replace(submission.progress, failures=0, first_failed_at=None)
        submission = replace(submission, progress=counted_anew)
    waited = now - (submission.progress.first_failed_at or now)
    failures = submission.progress.failures + 1
    over = failures >= GRACE_TRIES or waited >= timedelta(seconds=GRACE_SECONDS)
    if failure.then == END or (failure.then == GRACE and over):
        conclude(submission, "failed", failure.code, error.message, ports)
        postponed.when_over(error.message)
        return
    if failure.then == GRACE:
        seconds = GRACE_SECONDS / (GRACE_TRIES - 1)  # whoever sets it up has all of the grace for it
    else:
        seconds = min(error.retry_after or 2.0 ** min(failures, 5), LONGEST)
    pause = timedelta(seconds=seconds)
    soon = failure.then == GRACE or waited < SHORT
    until = now + (pause if soon else max(backoff(waited), pause))
    # The sweep's time lies behind the doorbell's, so that one of them rings, and both if need be.
    due = until + timedelta(seconds=60) if soon else until
    waiting = wait(submission, due, failure.code, error.message, now, doubt=postponed.doubt)
    ports.ledger.advance(submission, waiting)
    ports.journal.log(
        "submission.waits", namespace=submission.namespace, submission=submission.id, reason=failure.code,
        until=until.isoformat(), failures=failures, alarm=failure.alarm, message=error.message[:300],
    )  # fmt: skip
    ports.journal.count("retries")
    ports.journal.count("waiting_seconds", waited.total_seconds(), "Seconds")
    if failure.alarm:
        ports.journal.count("operator_needed")
    if soon:
        _ring_again(waiting, pause, ports)


def _ring_again(submission: Submission, pause: timedelta, ports: Ports) -> None:
    delay = max(1, min(900, round(pause.total_seconds() + 0.5)))
    try:
        ports.queue.send([submission.pointer.to_message()], cron=submission.kind == "cron", delay=delay)
    except LynceusError as error:
        # The sweep has it in the outbox.
        ports.journal.error("queue.away", submission=submission.id, error=error.message)


# One event whose bindings are still to be asked


def match_later(event_id: str, ports: Ports, settings: Settings, known: KnownBindings) -> None:
    """Ask the bindings that the door did not come to, with the worker's larger budget (rule 10)."""
    record = ports.ledger.event(event_id)
    if record is None or record.deferred_after is None:
        return
    bindings = known.of(record.namespace)
    if bindings is None:
        ports.journal.log(
            "event.waits", namespace=record.namespace, event_id=record.id, reason=reasons.BINDINGS_UNKNOWN
        )
        return  # the sweep rings again: the outbox keeps the event for as long as it is unmatched
    try:
        event = event_of(record, payload_of(record, ports.ledger.body(record)))
    except (NotFound, BadRequest) as error:
        # Erased, or older than bodies are kept: nothing can be asked any more, so it must not wait for ever.
        ports.journal.error(
            "event.body_lost", namespace=record.namespace, event_id=record.id, error=error.message
        )
        rest = exhausted(bindings.bindings, record.deferred_after, reasons.BODY_GONE, error.message)
        _extend(record, Matching(rest, ()), ports)
        return
    budget = worker_budget(ports, settings)
    following: EventRecord | None = record
    while following is not None and following.deferred_after is not None:
        after = following.deferred_after
        matching = match(event, bindings, budget, after=after)
        reached = matching.deferred_after
        listed = {*following.submissions, *(submission.pointer for submission in matching.submissions)}
        full = len(listed) >= EVENT_MATCHES
        if reached is not None and (reached == after or full or budget.out_of_time()):
            rest = exhausted(bindings.bindings, reached)
            matching = Matching((*matching.verdicts, *rest), matching.submissions)
        following = _extend(following, matching, ports)


def _extend(record: EventRecord, matching: Matching, ports: Ports) -> EventRecord | None:
    """The record with what further bindings said, stored and rung for; None where another worker is at it."""
    # After a repair there may be submissions of bindings that are asked once more only now.
    ids = {submission.id for submission in matching.submissions}
    known = tuple(pointer for pointer in record.submissions if pointer.submission in ids)
    before = ports.ledger.submissions(replace(record, submissions=known))
    fresh, reopened = without_workflow(matching, before, ports.clock.now())
    to_run = [*fresh, *(after for _, after in reopened)]
    further = extended(record, matching, to_run)
    counts = Counter(record.counts) + Counter(further.counts)
    further = replace(further, verdicts=(*record.verdicts, *further.verdicts), counts=dict(counts))
    try:
        ports.ledger.extend(further, fresh, reopened)
    except Conflict:
        return None
    # This worker goes on by itself, and the errors are reported once, at the end.
    unfinished = further.deferred_after is not None
    ring(replace(further, deferred_after=None, verdicts=()) if unfinished else further, to_run, ports)
    return further


def report_errors(event_id: str, ports: Ports) -> None:
    """Make the errors of an event's verdicts visible on their bindings."""
    record = ports.ledger.event(event_id)
    if record is None:
        return
    for verdict in record.verdicts:
        if verdict.outcome == ERROR:
            ports.archive.keep_error(
                record.namespace, verdict.binding, record.id, verdict.message, ports.clock.now()
            )
            message = f"failed to dispatch event: {verdict.message}"
            now = ports.clock.now()
            report(record.namespace, BINDING, verdict.binding, verdict.binding_uid, message, now, ports)
