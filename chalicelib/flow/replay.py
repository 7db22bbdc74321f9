"""Running again: what is missing, or with force everything, and always as the account that sent it.

A plain replay asks the bindings of now and runs what has no Workflow yet: it is what a redelivery of the sender
would do, at any time. With force every match runs again, under ids that follow from the original and the replay
(rule 6), so that a forced replay repeated under the same id does nothing twice.

Who asks needs `create` on replays.lynceus.dev, and by their own rights `get` on each template and `create` on
workflows; the Workflows are made as the original account, and the record names both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from chalicelib.core.bindings import match
from chalicelib.core.errors import BadRequest, Conflict, Forbidden, LynceusError, NotFound
from chalicelib.core.records import EventRecord, event_of, payload_of
from chalicelib.core.submissions import (
    SUCCEEDED,
    Pointer,
    Submission,
    digest_of,
    reopen,
    replay_submission_id,
    workflow_name,
)
from chalicelib.flow import look
from chalicelib.flow.known import KnownBindings
from chalicelib.flow.receive import FIRST_SWEEP, extended, ring, with_due
from chalicelib.ports import Ports
from chalicelib.settings import Settings

BATCH = 50  # events of one call: who wants more calls again with the cursor, and sets the pace so


def replay(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings,
    known: KnownBindings,
) -> dict[str, Any]:  # fmt: skip
    """Run events again: those in `events`, or a page of a day's that fit `filter`.

    With `dryRun` it only says what would run; with `force` it runs also what already ran. `replay` is the id of
    this replay, made from the wish where it is missing.
    """
    look.check(namespace, settings)
    who = ports.cluster.allowed(authorization, namespace, "create", look.REPLAYS)
    ports.cluster.allowed(authorization, namespace, "create", "workflows.argoproj.io")
    force, dry = _flag(wish, "force"), _flag(wish, "dryRun")
    identity = str(wish.get("replay") or digest_of("replay-of", who, str(sorted(wish.items(), key=str)))[:12])
    ids, cursor, older = _chosen(authorization, namespace, wish, ports, settings)
    items = []
    for event_id in ids:
        try:
            items.append(
                _replay_one(
                    authorization, namespace, event_id, identity, who, force, dry, ports, settings, known
                )
            )
        except LynceusError as error:
            items.append({"event": event_id, "error": error.message[:500]})
    return {
        "replay": identity,
        "dryRun": dry,
        "items": items,
        "runs": sum(len(item.get("runs", ())) for item in items),
        "cursor": cursor,
        "olderDay": older,
    }


def _flag(wish: Mapping[str, Any], name: str) -> bool:
    value = wish.get(name, False)
    if not isinstance(value, bool):
        raise BadRequest(f"{name} is {str(value)[:20]!r}: say true or false")
    return value


def _chosen(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings
) -> tuple[Sequence[str], str, str]:
    events = wish.get("events")
    if events is not None:
        if not isinstance(events, list) or len(events) > BATCH or not all(isinstance(e, str) for e in events):
            raise BadRequest(f"events must be a list of at most {BATCH} event ids")
        return events, "", ""
    chosen = wish.get("filter")
    if not isinstance(chosen, dict) or not all(isinstance(value, str) for value in chosen.values()):
        raise BadRequest("say which events: `events`, a list of ids, or `filter`, an object of texts")
    page = look.list_events(authorization, namespace, {**chosen, "limit": str(BATCH)}, ports, settings)
    since, until = _moment(chosen, "since"), _moment(chosen, "until")
    ids = [
        item["id"]
        for item in page["items"]
        if (since is None or datetime.fromisoformat(item["receivedAt"]) >= since)
        and (until is None or datetime.fromisoformat(item["receivedAt"]) < until)
        and item.get("note") != "dry-run"
    ]
    return ids, page["cursor"], page["olderDay"]


def _moment(chosen: Mapping[str, str], name: str) -> datetime | None:
    text = chosen.get(name, "")
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise BadRequest(f'{name} is "{text[:40]}": write a time as 2026-11-21T10:00:00Z') from None
    if moment.tzinfo is None:
        raise BadRequest(f'{name} is "{text[:40]}": a time needs its zone, such as Z')
    return moment


def _replay_one(
    authorization: str, namespace: str, event_id: str, identity: str, who: str, force: bool, dry: bool,
    ports: Ports, settings: Settings, known: KnownBindings,
) -> dict[str, Any]:  # fmt: skip
    record = look.find(authorization, namespace, event_id, "list", ports, settings)
    bindings = known.of(namespace)
    if bindings is None:
        raise NotFound("no bindings of the namespace are known: the cluster is away and there is no snapshot")
    if record.deferred_after is not None:
        return {"event": event_id, "runs": [], "note": "its bindings are still being asked"}
    event = event_of(record, payload_of(record, ports.ledger.body(record)))
    matching = match(event, bindings)
    before = {submission.id: submission for submission in ports.ledger.submissions(record)}
    fresh: list[Submission] = []
    reopened: list[tuple[Submission, Submission]] = []
    now = ports.clock.now()
    for submission in with_due(matching.submissions, now):
        old = before.get(submission.id)
        if force and old is not None and old.progress.state in SUCCEEDED:
            again = _under_replay(submission, identity)
            if again.id in before:
                continue
            open_ones = [
                s for s in before.values() if s.replay and s.source == again.source and not s.terminal
            ]
            if open_ones:
                continue  # one open replay of each original
            fresh.append(again)
        elif old is None:
            fresh.append(submission)
        elif old.terminal and old.progress.state not in SUCCEEDED:
            reopened.append((old, reopen(old, submission, now + FIRST_SWEEP)))
    to_run = [*fresh, *(after for _, after in reopened)]
    for name in sorted({s.template.name for s in to_run if s.template and not s.template.cluster_scope}):
        ports.cluster.allowed(authorization, namespace, "get", "workflowtemplates.argoproj.io", name)
    if not dry and to_run:
        _run(record, matching, fresh, reopened, identity, who, now, ports)
    return {
        "event": event_id,
        "runs": [
            {"binding": s.source, "workflow": s.workflow, "account": s.account.username if s.account else ""}
            for s in to_run
        ],
    }


def _under_replay(submission: Submission, identity: str) -> Submission:
    """The submission under the replay's own id and, unless the binding names it, the name that follows."""
    again = replay_submission_id(submission.id, identity)
    name = submission.workflow
    if name == workflow_name(submission.generate_name, submission.id):
        name = workflow_name(submission.generate_name, again)
    return replace(submission, id=again, workflow=name, replay=identity)


def _run(
    record: EventRecord, matching: Any, fresh: Sequence[Submission],
    reopened: Sequence[tuple[Submission, Submission]], identity: str, who: str, now: datetime, ports: Ports,
) -> None:  # fmt: skip
    to_run = [*fresh, *(after for _, after in reopened)]
    later = extended(record, matching, to_run)
    try:
        ports.ledger.extend(later, fresh, reopened)
    except Conflict:
        raise Conflict("the event changed while it was replayed: say it again") from None
    told = {"what": "replayed", "by": who, "replay": identity, "runs": [s.workflow for s in to_run]}
    ports.archive.note(record.id, now, told)
    ring(later, to_run, ports)
    ports.journal.log(
        "event.replayed", namespace=record.namespace, event_id=record.id, by=who, runs=len(to_run)
    )
    ports.journal.count("replays", len(to_run))


def redrive(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """Open failed submissions again, each exactly as it was frozen at the door."""
    look.check(namespace, settings)
    who = ports.cluster.allowed(authorization, namespace, "create", look.REPLAYS)
    ports.cluster.allowed(authorization, namespace, "create", "workflows.argoproj.io")
    dry = _flag(wish, "dryRun")
    wanted = wish.get("submissions")
    if not isinstance(wanted, list) or len(wanted) > BATCH:
        raise BadRequest(f"submissions must be a list of at most {BATCH} {{workflow, submission}} objects")
    items = []
    for entry in wanted:
        if not isinstance(entry, dict):
            raise BadRequest("each of submissions must be an object with workflow and submission")
        pointer = Pointer.from_message({**entry, "namespace": namespace})
        submission = ports.ledger.submission(pointer)
        if submission is None or submission.progress.state != "failed":
            items.append({"submission": pointer.submission, "error": "it is not there, or has not failed"})
            continue
        template = submission.template
        if template and not template.cluster_scope:
            ports.cluster.allowed(
                authorization, namespace, "get", "workflowtemplates.argoproj.io", template.name
            )
        if not dry:
            now = ports.clock.now()
            again = reopen(submission, submission, now + FIRST_SWEEP)
            ports.ledger.advance(submission, again)
            ports.queue.send([again.pointer.to_message()], cron=again.kind == "cron")
            if again.kind == "event":
                ports.archive.note(
                    again.cause, now, {"what": "redriven", "by": who, "workflow": again.workflow}
                )
        items.append({"submission": pointer.submission, "workflow": submission.workflow})
    return {"dryRun": dry, "items": items}


def dead_letters(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """The dead letters that can be seen now; with `redrive: true` each is sent to a worker again.

    They belong to no namespace, so the right is asked for in the one of the request, which must be served.
    """
    look.check(namespace, settings)
    who = ports.cluster.allowed(authorization, namespace, "create", look.REPLAYS)
    if settings.namespaces != (namespace,) and settings.namespaces:
        raise Forbidden(
            "dead letters are of all namespaces together: ask in an installation of one namespace"
        )
    letters = ports.queue.dead_letters(10)
    if _flag(wish, "redrive"):
        for letter in letters:
            ports.queue.revive(letter)
        ports.journal.log("dead_letters.revived", by=who, letters=len(letters))
    return {
        "items": [
            {
                "id": letter.id,
                "reason": letter.reason,
                "sentAt": letter.sent_at.isoformat(),
                "size": len(letter.body),
            }
            for letter in letters
        ]
    }
