"""Running again: what is missing, or with force everything, and always as the account that sent it.

A plain replay asks the bindings of now and runs what has no Workflow yet: it is what a redelivery of the sender
would do, at any time. With force every match runs again, under ids that follow from the original and the replay
(rule 6), so that a forced replay repeated under the same id does nothing twice.

Who asks needs `create` on replays.lynceus.dev, and by their own rights `get` on each template and `create` on
workflows; the Workflows are made as the original account, and the record names both.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from chalicelib.core.bindings import EVENT_MATCHES, MATCH_LIMIT, Binding, Budget, Matching, exhausted, match
from chalicelib.core.errors import BadRequest, Conflict, LynceusError, NotFound
from chalicelib.core.events import Event
from chalicelib.core.records import EventRecord, event_of, payload_of
from chalicelib.core.submissions import (
    SUCCEEDED,
    Pointer,
    Submission,
    TemplateRef,
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

WORKFLOWS = "workflows.argoproj.io"

_IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class _Person:
    """Who asks, and the templates that they were seen to have the right to read in this call."""

    authorization: str
    namespace: str
    name: str
    templates: set[TemplateRef]

    def check_templates(self, submissions: Sequence[Submission], ports: Ports) -> None:
        """Raise Forbidden unless the person may read the template of each submission."""
        for template in sorted({s.template for s in submissions if s.template} - self.templates, key=repr):
            # A ClusterWorkflowTemplate lies in no namespace.
            plural, namespace = (
                ("clusterworkflowtemplates", "")
                if template.cluster_scope
                else ("workflowtemplates", self.namespace)
            )
            ports.cluster.allowed(
                self.authorization, namespace, "get", f"{plural}.argoproj.io", template.name
            )
            self.templates.add(template)


def _person(authorization: str, namespace: str, ports: Ports, settings: Settings) -> _Person:
    """Who asks, once they may replay and create Workflows (rule 38)."""
    look.check(namespace, settings)
    name = ports.cluster.allowed(authorization, namespace, "create", look.REPLAYS)
    ports.cluster.allowed(authorization, namespace, "create", WORKFLOWS)
    return _Person(authorization, namespace, name, set())


def replay(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings,
    known: KnownBindings,
) -> dict[str, Any]:  # fmt: skip
    """Run events again: those in `events`, or a page of a day's that fit `filter`.

    With `dryRun` it only says what would run; with `force` it runs also what already ran. `replay` is the id of
    this replay: a call repeated under the same id is safe; where it is missing a new one is made. `left` are
    the events that one call had no time for.
    """
    person = _person(authorization, namespace, ports, settings)
    ports.cluster.allowed(authorization, namespace, "list", look.EVENTS)
    force, dry = _flag(wish, "force"), _flag(wish, "dryRun")
    identity = wish.get("replay") or digest_of("replay", person.name, ports.clock.now().isoformat())[:12]
    if not isinstance(identity, str) or not _IDENTITY.fullmatch(identity):
        raise BadRequest("replay must be a text of letters, digits, dots and dashes, at most 64")
    chosen, cursor, older = _chosen(authorization, namespace, wish, ports, settings)
    ids = list(dict.fromkeys(chosen))
    until = ports.clock.monotonic() + look.SECONDS
    items: list[dict[str, Any]] = []
    while ids and ports.clock.monotonic() < until:
        event = ids.pop(0)
        try:
            items.append(_replay_one(person, event, identity, force, dry, ports, known))
        except LynceusError as error:
            items.append({"event": event, "error": error.message[:500]})
    return {
        "replay": identity,
        "dryRun": dry,
        "items": items,
        "runs": sum(len(item.get("runs", ())) for item in items),
        "left": ids,
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
    person: _Person, identity: str, replay_id: str, force: bool, dry: bool, ports: Ports, known: KnownBindings
) -> dict[str, Any]:
    record = look.kept(person.namespace, identity, ports)
    bindings = known.of(person.namespace)
    if bindings is None:
        raise NotFound("no bindings of the namespace are known: the cluster is away and there is no snapshot")
    if record.deferred_after is not None:
        return {"event": identity, "runs": [], "note": "its bindings are still being asked"}
    event = event_of(record, payload_of(record, ports.ledger.body(record)))
    unsure = {binding.name for binding in bindings.bindings if look.undecidable(record, binding, ports)}
    matching = _match_all(event, [binding for binding in bindings.bindings if binding.name not in unsure])
    before = {submission.id: submission for submission in ports.ledger.submissions(record)}
    now = ports.clock.now()
    fresh, reopened = _to_run(with_due(matching.submissions, now), before, replay_id, force, now)
    to_run = [*fresh, *(after for _, after in reopened)]
    person.check_templates(to_run, ports)
    if not dry and to_run:
        _run(record, matching, fresh, reopened, replay_id, person.name, ports)
    told: dict[str, Any] = {
        "event": identity,
        "runs": [
            {"binding": s.source, "workflow": s.workflow, "account": s.account.username if s.account else ""}
            for s in to_run
        ],
    }
    if unsure:
        told["undecidable"] = sorted(unsure)  # a header that they read was not kept: nobody can say
    return told


def _match_all(event: Event, bindings: Sequence[Binding]) -> Matching:
    """What every binding says, also of an event with more matches than one transaction holds."""
    budget = Budget()
    matching = match(event, bindings, budget)
    while matching.deferred_after is not None and len(matching.submissions) < EVENT_MATCHES:
        further = match(event, bindings, budget, after=matching.deferred_after)
        matching = Matching(
            (*matching.verdicts, *further.verdicts),
            (*matching.submissions, *further.submissions),
            further.deferred_after,
        )
    if matching.deferred_after is None:
        return matching
    return Matching((*matching.verdicts, *exhausted(bindings, matching.deferred_after)), matching.submissions)


def _to_run(
    submissions: Sequence[Submission],
    before: Mapping[str, Submission],
    replay_id: str,
    force: bool,
    now: datetime,
) -> tuple[list[Submission], list[tuple[Submission, Submission]]]:
    """The new submissions of a replay, and the failed ones it opens again, each with what it becomes."""
    fresh: list[Submission] = []
    reopened: list[tuple[Submission, Submission]] = []
    for submission in submissions:
        old = before.get(submission.id)
        submission = replace(submission, replay=replay_id)
        if force:
            # Whoever forces it knows how old it is.
            submission = replace(submission, expires_at=None)
        elif submission.expires_at and now > submission.expires_at:
            continue
        if old is None:
            fresh.append(submission)
        elif old.terminal and old.progress.state not in SUCCEEDED:
            reopened.append((old, reopen(old, submission, now + FIRST_SWEEP)))
        elif force and old.terminal and old.replay != replay_id:
            again = _under_replay(submission)
            open_one = any(s.replay and s.source == again.source and not s.terminal for s in before.values())
            # One open replay of each original, and each replay once (rule 6).
            if again.id not in before and not open_one:
                fresh.append(again)
    return fresh, reopened


def _under_replay(submission: Submission) -> Submission:
    """The submission under its replay's own id and, unless the binding names it, the name that follows."""
    again = replay_submission_id(submission.id, submission.replay)
    name = submission.workflow
    if name == workflow_name(submission.generate_name, submission.id):
        name = workflow_name(submission.generate_name, again)
    return replace(submission, id=again, workflow=name)


def _run(
    record: EventRecord, matching: Matching, fresh: Sequence[Submission],
    reopened: Sequence[tuple[Submission, Submission]], replay_id: str, who: str, ports: Ports,
) -> None:  # fmt: skip
    wishes = [*((None, submission) for submission in fresh), *reopened]
    later = record
    for start in range(0, len(wishes), MATCH_LIMIT):
        part = wishes[start : start + MATCH_LIMIT]
        later = extended(later, matching, [after for _, after in part])
        opened = [(before, after) for before, after in part if before]
        try:
            ports.ledger.extend(later, [after for before, after in part if not before], opened)
        except Conflict:
            raise Conflict("the event changed while it was replayed: say it again") from None
    to_run = [after for _, after in wishes]
    told = {"what": "replayed", "by": who, "replay": replay_id, "runs": [s.workflow for s in to_run]}
    _note(record.id, told, ports)
    ring(later, to_run, ports)
    ports.journal.log(
        "event.replayed", namespace=record.namespace, event_id=record.id, by=who, runs=len(to_run)
    )
    ports.journal.count("replays", len(to_run))


def _note(event: str, told: Mapping[str, Any], ports: Ports) -> None:
    """Add to the event's record what was done; what was done stays done when the note is lost."""
    try:
        ports.archive.note(event, ports.clock.now(), told)
    except LynceusError as error:
        ports.journal.error("note.lost", event_id=event, error=error.message, **told)


def redrive(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """Open failed submissions again, each exactly as it was frozen at the door; with `dryRun` only say which."""
    person = _person(authorization, namespace, ports, settings)
    dry = _flag(wish, "dryRun")
    wanted = wish.get("submissions")
    if not isinstance(wanted, list) or len(wanted) > BATCH or not all(isinstance(w, dict) for w in wanted):
        raise BadRequest(f"submissions must be a list of at most {BATCH} {{workflow, submission}} objects")
    pointers = [Pointer.from_message({**entry, "namespace": namespace}) for entry in wanted]
    items: list[dict[str, Any]] = []
    for pointer in dict.fromkeys(pointers):
        told = {"submission": pointer.submission, "workflow": pointer.workflow}
        try:
            _redrive_one(person, pointer, dry, ports)
        except LynceusError as error:
            told["error"] = error.message[:500]
        items.append(told)
    return {"dryRun": dry, "items": items, "runs": sum("error" not in item for item in items)}


def _redrive_one(person: _Person, pointer: Pointer, dry: bool, ports: Ports) -> None:
    submission = ports.ledger.submission(pointer)
    if submission is None or submission.progress.state != "failed":
        raise NotFound("it is not there, or has not failed")
    person.check_templates([submission], ports)
    if dry:
        return
    again = reopen(submission, submission, ports.clock.now() + FIRST_SWEEP)
    ports.ledger.advance(submission, again)
    try:
        ports.queue.send([again.pointer.to_message()], cron=again.kind == "cron")
    except LynceusError as error:
        # The sweep has it in the outbox.
        ports.journal.error("queue.away", submission=again.id, error=error.message)
    if again.kind == "event":
        _note(again.cause, {"what": "redriven", "by": person.name, "workflow": again.workflow}, ports)


def dead_letters(
    authorization: str, namespace: str, wish: Mapping[str, Any], ports: Ports, settings: Settings
) -> dict[str, Any]:
    """The dead letters that can be seen now; with `redrive: true` each is sent to a worker again.

    They belong to no namespace, so whoever asks needs the right in each namespace served, or in all of them.
    """
    look.check(namespace, settings)
    redriven = _flag(wish, "redrive")
    for each in settings.namespaces or ("",):
        who = ports.cluster.allowed(authorization, each, "create", look.REPLAYS)
    letters = ports.queue.dead_letters(10)
    if redriven:
        for letter in letters:
            ports.queue.revive(letter)
        ports.journal.log("dead_letters.revived", by=who, letters=len(letters))
    return {
        "redriven": redriven,
        "items": [
            {
                "id": letter.id,
                "reason": letter.reason,
                "sentAt": letter.sent_at.isoformat(),
                "size": len(letter.body),
            }
            for letter in letters
        ],
    }
