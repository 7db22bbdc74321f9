"""The ports in memory: small and whole, for tests and benchmarks.

Each class keeps the sentences of its Protocol in `chalicelib.ports`, and the contract tests that run on the real
adapters run on these too. They fail only where the real thing would answer with a failure; outages, timeouts
and lost answers come from `lynceus.local.faults`, wrapped around them. All may be used by many threads.
"""

from __future__ import annotations

import copy
import json
import threading
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

from chalicelib.adapters.cluster import BACKFILL_LABEL, CRON_LABEL, account_of, authorization_of
from chalicelib.adapters.queue import LIMIT, MAX_DELAY
from chalicelib.core.bindings import BindingList, binding_from_object, managed
from chalicelib.core.errors import (
    BadRequest,
    ClusterError,
    Conflict,
    Forbidden,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from chalicelib.core.events import Account
from chalicelib.core.records import EventRecord
from chalicelib.core.snapshots import Snapshot, slim
from chalicelib.core.submissions import Pointer, Submission
from chalicelib.core.webhooks import WebhookClient, parse_clients
from chalicelib.ports import NOTES, Clock, CronState, DeadLetter, Health, Listed, Outstanding, Refusal

T = TypeVar("T")

SHARDS = 16
MATCH_AFTER = timedelta(seconds=60)  # until the sweep rings for an event whose bindings are still to be asked

# Kind → (plural, API group) of what the cluster port touches.
RESOURCES = {
    "WorkflowEventBinding": ("workfloweventbindings", "argoproj.io"),
    "WorkflowTemplate": ("workflowtemplates", "argoproj.io"),
    "ClusterWorkflowTemplate": ("clusterworkflowtemplates", "argoproj.io"),
    "CronWorkflow": ("cronworkflows", "argoproj.io"),
    "Workflow": ("workflows", "argoproj.io"),
    "ServiceAccount": ("serviceaccounts", ""),
    "Namespace": ("namespaces", ""),
}
GROUPS = dict(RESOURCES.values())


class FakeClock:
    """Time that passes only when told to; sleeping is such a way of telling."""

    def __init__(self, now: datetime = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 1000.0
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """Aware, UTC."""
        return self._now

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return self._monotonic

    def sleep(self, seconds: float) -> None:
        """Let the seconds pass, at once."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def set(self, now: datetime) -> None:
        """Jump to a later time."""
        self.sleep(max(0.0, (now - self._now).total_seconds()))


class MemoryLedger:
    """The ledger in dictionaries; `events`, `bodies` and `stored` are there to be looked at by tests."""

    def __init__(self, *, keep_bodies: bool = True) -> None:
        self.events: dict[str, EventRecord] = {}
        self.bodies: dict[str, bytes] = {}
        self.stored: dict[Pointer, Submission] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.cron_states: dict[str, CronState] = {}
        self.tallies: Counter[str] = Counter()
        self._health: Health | None = None
        self._outbox: dict[Pointer | str, Outstanding] = {}
        self._keep_bodies = keep_bodies
        self._lock = threading.RLock()

    def keep(self, record: EventRecord, body: bytes, submissions: Sequence[Submission]) -> EventRecord | None:
        """Store body, head and submissions whole; or return the head that had the id before."""
        with self._lock:
            first = self.events.get(record.id)
            if first is not None:
                return None if first.nonce == record.nonce else first
            if self._keep_bodies or record.deferred_after is not None:
                self.bodies[record.id] = body
            self._put_event(record)
            for submission in submissions:
                self._put_submission(submission)
            return None

    def event(self, event_id: str) -> EventRecord | None:
        """The head of the event."""
        return self.events.get(event_id)

    def body(self, record: EventRecord) -> bytes:
        """The body kept for the record; raises NotFound where there is none."""
        try:
            return self.bodies[record.id]
        except KeyError:
            raise NotFound(f"the body of event {record.id} is not kept") from None

    def extend(
        self,
        record: EventRecord,
        fresh: Sequence[Submission],
        reopened: Sequence[tuple[Submission, Submission]],
    ) -> None:
        """Store the record, new submissions and reopened ones, or nothing and raise Conflict."""
        with self._lock:
            head = self.events.get(record.id)
            if head is None or head.version != record.version - 1:
                raise Conflict(f"event {record.id} changed since it was read")
            for submission in fresh:
                if submission.pointer in self.stored:
                    raise Conflict(f"submission {submission.id} is there already")
            for before, _ in reopened:
                self._unchanged(before)
            self._put_event(record)
            for submission in fresh:
                self._put_submission(submission)
            for _, after in reopened:
                # Under another Workflow name it stands beside the old one, which stays as it ended.
                self._put_submission(after)

    def submission(self, pointer: Pointer) -> Submission | None:
        """The submission with its progress."""
        return self.stored.get(pointer)

    def submissions(self, record: EventRecord) -> list[Submission]:
        """Every submission of the record that still exists."""
        return [self.stored[pointer] for pointer in record.submissions if pointer in self.stored]

    def advance(self, before: Submission, after: Submission) -> None:
        """Store the step; raises Conflict when somebody else stepped since `before` was read."""
        with self._lock:
            stored = self._unchanged(before)
            progress = after.progress
            if progress.due == before.progress.due and not after.terminal:
                # The step names no new time, so it keeps one to which a sweep has postponed it meanwhile.
                progress = replace(progress, due=stored.progress.due)
            self._put_submission(replace(after, progress=progress))

    def rewrite(self, before: Submission, after: Submission) -> None:
        """Store the submission whole in place of the one before; raises Conflict when that changed."""
        with self._lock:
            self._unchanged(before)
            self._put_submission(after)

    def begin_run(self, run: Submission) -> bool:
        """Store a cron run unless there is one of its id; True when it is new."""
        with self._lock:
            if run.pointer in self.stored:
                return False
            self._put_submission(run)
            return True

    def due(self, shard: int, now: datetime, limit: int) -> list[Outstanding]:
        """What in this shard of the outbox is due, oldest first."""
        with self._lock:
            entries = [
                entry
                for key, entry in self._outbox.items()
                if zlib.crc32(repr(key).encode()) % SHARDS == shard and entry.due <= now
            ]
        return sorted(entries, key=lambda entry: entry.due)[:limit]

    def postpone(self, outstanding: Outstanding, until: datetime) -> bool:
        """Move the outbox entry's time; False when somebody did so since it was read, or it is gone."""
        key = outstanding.pointer or outstanding.event_id
        with self._lock:
            entry = self._outbox.get(key)
            if entry is None or entry.due != outstanding.due:
                return False
            self._outbox[key] = replace(entry, due=until)
            if outstanding.pointer:
                stored = self.stored[outstanding.pointer]
                self.stored[outstanding.pointer] = replace(
                    stored, progress=replace(stored.progress, due=until)
                )
            return True

    def snapshot(self, scope: str) -> Snapshot | None:
        """The stored bindings of a namespace, or of "*"."""
        return self.snapshots.get(scope)

    def put_snapshot(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        """Replace the snapshot whole; raises Conflict when it is no longer `before`."""
        with self._lock:
            stored = self.snapshots.get(snapshot.scope)
            if (stored and stored.version) != (before and before.version):
                raise Conflict(f'the snapshot of "{snapshot.scope}" changed since it was read')
            self.snapshots[snapshot.scope] = snapshot

    def health(self) -> Health | None:
        """What the last tick saw."""
        return self._health

    def put_health(self, health: Health) -> None:
        """Remember what this tick saw."""
        self._health = health

    def tally(self, key: str, until: datetime) -> int:  # noqa: ARG002  # nothing is forgotten here
        """Count one more under the key and return how many there are."""
        with self._lock:
            self.tallies[key] += 1
            return self.tallies[key]

    def cron_state(self, uid: str) -> CronState:
        """What is remembered of the CronWorkflow; an empty state of version 0 where nothing is."""
        return self.cron_states.get(uid) or CronState(uid)

    def put_cron_state(self, state: CronState) -> None:
        """Store the state; raises Conflict when its version is not one more than the stored one's."""
        with self._lock:
            if self.cron_state(state.uid).version != state.version - 1:
                raise Conflict(f"the state of CronWorkflow {state.uid} changed since it was read")
            self.cron_states[state.uid] = state

    def _unchanged(self, before: Submission) -> Submission:
        stored = self.stored.get(before.pointer)
        if stored is None or stored.progress.version != before.progress.version:
            raise Conflict(f"submission {before.id} changed since it was read")
        return stored

    def _put_submission(self, submission: Submission) -> None:
        pointer, due = submission.pointer, submission.progress.due
        self.stored[pointer] = submission
        self._outbox.pop(pointer, None)
        if due and not submission.terminal:
            self._outbox[pointer] = Outstanding(due, pointer, kind=submission.kind)

    def _put_event(self, record: EventRecord) -> None:
        self.events[record.id] = record
        if record.deferred_after is None:
            self._outbox.pop(record.id, None)
        elif record.id not in self._outbox:
            self._outbox[record.id] = Outstanding(record.received_at + MATCH_AFTER, event_id=record.id)


class MemoryArchive:
    """The reading side of a ledger in memory; a cursor is how many entries were seen."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self._notes: dict[str, list[Mapping[str, Any]]] = {}
        self._bindings: dict[tuple[str, str], list[tuple[datetime, Mapping[str, Any]]]] = {}
        self._errors: dict[tuple[str, str], dict[str, Any]] = {}
        self._refused: dict[tuple[str, datetime, str], Refusal] = {}

    def events(self, namespace: str, day: date, limit: int, cursor: str) -> tuple[list[Listed], str]:
        """A page of the day's events, newest first."""
        names = ("client", "provider", "event_type", "action", "delivery_id", "size", "note", "counts")
        found = [
            Listed(
                record.id,
                record.received_at,
                {name: getattr(record, name) for name in names if getattr(record, name)},
            )
            for record in self._ledger.events.values()
            if record.namespace == namespace and record.received_at.date() == day
        ]
        return _paged(sorted(found, key=lambda listed: (listed.received_at, listed.id)), limit, cursor)

    def runs(
        self, kind: str, namespace: str, source: str, limit: int, cursor: str
    ) -> tuple[list[Submission], str]:
        """A page of what a binding or a CronWorkflow came to, newest first."""
        wanted = (kind, namespace, source)
        found = [s for s in self._ledger.stored.values() if (s.kind, s.namespace, s.source) == wanted]
        return _paged(sorted(found, key=_time_and_id), limit, cursor)

    def of_workflow(self, namespace: str, workflow: str) -> list[Submission]:
        """What made, or tried to make, the Workflow of this name."""
        return [s for s in self._ledger.stored.values() if (s.namespace, s.workflow) == (namespace, workflow)]

    def failed(self, namespace: str, limit: int, cursor: str) -> tuple[list[Submission], str]:
        """A page of the submissions that failed, newest first."""
        stored = self._ledger.stored.values()
        found = [s for s in stored if s.namespace == namespace and s.progress.state == "failed"]
        return _paged(sorted(found, key=_time_and_id), limit, cursor)

    def note(self, event_id: str, at: datetime, fields: Mapping[str, Any]) -> None:
        """Add a line to the event's record."""
        self._notes.setdefault(event_id, []).append({"at": at.isoformat(), **fields})

    def notes(self, event_id: str) -> list[Mapping[str, Any]]:
        """The latest lines added, oldest first."""
        return list(self._notes.get(event_id, ()))[-NOTES:]

    def keep_binding(self, raw: Mapping[str, Any], at: datetime) -> None:
        """Keep the binding's text as it is now, once for each content."""
        metadata = raw["metadata"]
        kept = self._bindings.setdefault((metadata.get("namespace", ""), metadata["name"]), [])
        slimmed = slim(raw)
        if not kept or _deciding(kept[-1][1]) != _deciding(slimmed):
            kept.append((at, copy.deepcopy(slimmed)))

    def binding_at(self, namespace: str, name: str, at: datetime) -> Mapping[str, Any] | None:
        """The binding as it was last seen before."""
        before = [raw for seen, raw in self._bindings.get((namespace, name), ()) if seen <= at]
        return before[-1] if before else None

    def keep_error(self, namespace: str, binding: str, event_id: str, message: str, at: datetime) -> None:
        """Remember the binding's latest error and count it."""
        count = self._errors.get((namespace, binding), {"count": 0})["count"] + 1
        told = {"event": event_id, "message": message[:500], "at": at.isoformat(), "count": count}
        self._errors[namespace, binding] = told

    def error_of(self, namespace: str, binding: str) -> Mapping[str, Any] | None:
        """The binding's latest error."""
        return self._errors.get((namespace, binding))

    def refuse(self, refusal: Refusal) -> None:
        """Add to the count of a refused minute; the first sample stays."""
        key = (refusal.namespace, refusal.minute, refusal.reason)
        known = self._refused.get(key)
        self._refused[key] = replace(known, count=known.count + refusal.count) if known else refusal

    def refused(self, namespace: str, since: datetime, limit: int) -> list[Refusal]:
        """The refused minutes of the namespace, newest first."""
        found = [r for r in self._refused.values() if r.namespace == namespace and r.minute >= since]
        return sorted(found, key=lambda refusal: refusal.minute, reverse=True)[:limit]

    def erase_body(self, record: EventRecord) -> None:
        """Remove the event's body for good."""
        self._ledger.bodies.pop(record.id, None)


def _deciding(raw: Mapping[str, Any]) -> tuple[Any, Any]:
    return raw.get("spec"), raw["metadata"].get("annotations")


def _time_and_id(submission: Submission) -> tuple[datetime, str]:
    moment = submission.scheduled_at or submission.received_at
    if moment is None:
        raise AssertionError("a submission has the time of its cause")
    return moment, submission.id


def _paged(found: list[T], limit: int, cursor: str) -> tuple[list[T], str]:
    """A page of the list from its end, and how many have been seen by then."""
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise BadRequest("the cursor is not one of this list: begin again without it")
    start = int(cursor or 0)
    newest = found[::-1]
    end = start + limit
    return newest[start:end], str(end) if end < len(newest) else ""


@dataclass(frozen=True)
class Message:
    """A message on a queue of the memory."""

    body: Any  # decoded
    visible_at: datetime
    cron: bool = False


class MemoryQueue:
    """The queues as lists; a test takes what is visible and plays the worker."""

    def __init__(self, clock: Clock) -> None:
        self.messages: list[Message] = []
        self.dead: list[tuple[str, str]] = []  # (body, reason)
        self._clock = clock
        self._lock = threading.Lock()

    def send(self, messages: Sequence[Mapping[str, Any]], *, cron: bool = False, delay: int = 0) -> None:
        """Put every message on the queue, or none of them; raises Unavailable for one that SQS never takes."""
        if not 0 <= delay <= MAX_DELAY:
            raise ValueError(f"delay is {delay} s: SQS takes 0 to {MAX_DELAY}")
        bodies = [json.dumps(message, separators=(",", ":")) for message in messages]
        for body in bodies:
            if len(body) > LIMIT:
                raise Unavailable(f"a message has {len(body)} bytes, SQS takes {LIMIT}")
        visible_at = self._clock.now() + timedelta(seconds=delay)
        with self._lock:
            self.messages += [Message(json.loads(body), visible_at, cron) for body in bodies]

    def bury(self, body: str, reason: str) -> None:
        """Put what nobody can parse aside, with the reason."""
        self.dead.append((body, reason))

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Some of the dead letters; they are not hidden here."""
        now = self._clock.now()
        return [
            DeadLetter(str(number), body, reason, now, str(number))
            for number, (body, reason) in enumerate(self.dead[:limit])
        ]

    def revive(self, letter: DeadLetter) -> None:
        """Send the letter's body again and forget the letter; a body that is no JSON stays text."""
        try:
            body = json.loads(letter.body)
        except ValueError:
            body = letter.body
        self.messages.append(Message(body, self._clock.now()))
        self.discard(letter)

    def discard(self, letter: DeadLetter) -> None:
        """Forget the letter."""
        self.dead.remove((letter.body, letter.reason))

    def take(self, *, cron: bool = False) -> Any:
        """The body of the next visible message, gone from the queue; None where there is none."""
        now = self._clock.now()
        with self._lock:
            for index, message in enumerate(self.messages):
                if message.cron == cron and message.visible_at <= now:
                    return self.messages.pop(index).body
        return None


class MemorySecrets:
    """The webhook clients of each namespace, read from documents as Secrets Manager would hold them."""

    def __init__(self, documents: Mapping[str, str] | None = None) -> None:
        self.documents = dict(documents or {})

    def webhook_clients(self, namespace: str, *, fresh: bool = False) -> tuple[WebhookClient, ...] | None:  # noqa: ARG002  # never stale, so always fresh
        """The clients of the namespace, None where it has no document; raises ClientError."""
        document = self.documents.get(namespace)
        return None if document is None else parse_clients(document)


class MemoryTopics:
    """SNS: certificates by URL, and the subscriptions that were confirmed."""

    def __init__(self, certificates: Mapping[str, bytes] | None = None) -> None:
        self.certificates = dict(certificates or {})
        self.confirmed: list[tuple[str, str]] = []

    def certificate(self, url: str) -> bytes:
        """The PEM at the URL; raises Unavailable for one that is not there."""
        if url not in self.certificates:
            raise Unavailable(f"no certificate at {url}")
        return self.certificates[url]

    def confirm(self, topic_arn: str, token: str) -> None:
        """Remember the confirmation."""
        self.confirmed.append((topic_arn, token))


@dataclass
class Report:
    """A core/v1 Event on an object, counted up."""

    namespace: str
    involved: dict[str, str]
    reason: str
    message: str
    seen_at: datetime
    count: int = 1


class MemoryCluster:
    """The Kubernetes API as far as the port goes: objects, rights by what is denied, tokens by name.

    Statuses and texts are the API server's. Everything is allowed that `deny` does not deny.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        namespaces: Sequence[str] = ("argo",),
        instance_id: str = "",
        user: str = "lynceus",
    ) -> None:
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}  # (plural, namespace, name)
        self.tokens: dict[str, str] = {}  # bearer token → user name
        self.reports: list[Report] = []
        self.calls: Counter[str] = Counter()
        self.instance_id = instance_id
        self._user = user
        self._namespaces = set(namespaces)
        self._denied: set[tuple[str, str, str, str]] = set()
        self._clock = clock
        self._revision = 100
        self._lock = threading.RLock()

    # What a test does to it.

    def apply(self, *raws: Mapping[str, Any]) -> None:
        """Create or replace objects, as an administrator would."""
        for raw in raws:
            plural, _ = RESOURCES[raw["kind"]]
            metadata = raw.get("metadata") or {}
            namespace = metadata.get("namespace", "")
            with self._lock:
                if plural == "namespaces":
                    self._namespaces.add(metadata["name"])
                elif namespace:
                    self._namespaces.add(namespace)
                self._store(plural, copy.deepcopy(dict(raw)))

    def remove(self, kind: str, namespace: str, name: str) -> None:
        """Delete an object; a removed Namespace takes nothing new any more."""
        with self._lock:
            self._revision += 1
            self.objects.pop((RESOURCES[kind][0], namespace, name), None)
            if kind == "Namespace":
                self._namespaces.discard(name)

    def deny(self, user: str, verb: str, plural: str, namespace: str = "*") -> None:
        """Take a right from a user name ("*": everybody) in a namespace ("*": each)."""
        self._denied.add((user, verb, plural, namespace))

    def allow(self, user: str, verb: str, plural: str, namespace: str = "*") -> None:
        """Give back what `deny` took in the same words."""
        self._denied.discard((user, verb, plural, namespace))

    # The port.

    def bindings(self, namespace: str) -> BindingList:
        """The namespace's bindings of our instance id ("" for all namespaces)."""
        found = self._managed("workfloweventbindings", namespace)
        return BindingList(
            namespace, tuple(binding_from_object(raw) for raw in found), self._revision, self._clock.now()
        )

    def raw_bindings(self, namespace: str) -> Snapshot:
        """The same as raw objects for the snapshot."""
        found = tuple(slim(raw) for raw in self._managed("workfloweventbindings", namespace))
        return Snapshot(namespace or "*", found, self._revision, self._clock.now())

    def caller(self, authorization: str, namespace: str) -> Account:
        """Who the sender of the header is; raises Unauthenticated or Forbidden."""
        user = self._bearer(authorization)
        try:
            self._authorize(user, "list", "workfloweventbindings", namespace)
        except ClusterError as error:
            raise Forbidden(error.message) from error
        account = account_of(user, "", namespace)
        return Account(account.namespace, account.name, self.account_uid(account.namespace, account.name))

    def allowed(self, authorization: str, namespace: str, verb: str, resource: str, name: str = "") -> str:  # noqa: ARG002  # rights go by kind here
        """The user name of the sender, once the verb is not denied it; raises Unauthenticated or Forbidden."""
        user = self._bearer(authorization)
        plural, _, group = resource.partition(".")
        for who in (user, "*"):
            for where in (namespace, "*"):
                if (who, verb, plural, where) in self._denied:
                    raise Forbidden(
                        f'{plural}.{group} is forbidden: User "{user}" cannot {verb} resource "{plural}" '
                        f'in API group "{group}" in the namespace "{namespace}"'
                    )
        return user

    def bindings_as(self, authorization: str, namespace: str, query: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002  # no selectors here
        """The list that the sender may read; raises Unauthenticated or Forbidden."""
        self.allowed(authorization, namespace, "list", "workfloweventbindings.argoproj.io")
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "WorkflowEventBindingList",
            "metadata": {"resourceVersion": str(self._revision)},
            "items": [copy.deepcopy(raw) for raw in self._listed("workfloweventbindings", namespace)],
        }

    def cron_workflow_as(self, authorization: str, namespace: str, name: str) -> dict[str, Any]:
        """The CronWorkflow that the sender may read; raises Unauthenticated, Forbidden or NotFound."""
        self.allowed(authorization, namespace, "get", "cronworkflows.argoproj.io", name)
        found = self.cron_workflow(namespace, name)
        if found is None:
            raise NotFound(f'cronworkflows.argoproj.io "{name}" not found')
        return found

    def backfilled_as(self, authorization: str, namespace: str, cron: str) -> list[dict[str, Any]]:
        """The backfilled Workflows that the sender may list; raises Unauthenticated or Forbidden."""
        self.allowed(authorization, namespace, "list", "workflows.argoproj.io")
        return [
            copy.deepcopy(raw)
            for raw in self._listed("workflows", namespace)
            if (raw["metadata"].get("labels") or {}).get(BACKFILL_LABEL) == cron
        ]

    def _bearer(self, authorization: str) -> str:
        user = self.tokens.get(authorization_of(authorization).removeprefix("Bearer "))
        if user is None:
            raise Unauthenticated(message="Unauthorized")
        return user

    def template(self, account: Account, namespace: str, name: str, *, cluster_scope: bool) -> dict[str, Any]:
        """The WorkflowTemplate or ClusterWorkflowTemplate, read as the account; raises ClusterError."""
        plural = "clusterworkflowtemplates" if cluster_scope else "workflowtemplates"
        scope = "" if cluster_scope else namespace
        self._authorize(self._acting_as(account), "get", plural, scope, name)
        return copy.deepcopy(self._existing(plural, scope, name))

    def create(self, account: Account | None, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create the Workflow and return it."""
        metadata = manifest["metadata"]
        namespace, name = metadata["namespace"], metadata["name"]
        user = self._acting_as(account) if account else self._user
        self._authorize(user, "create", "workflows", namespace)
        with self._lock:
            if namespace not in self._namespaces:
                raise ClusterError(404, "NotFound", f'namespaces "{namespace}" not found')
            if ("workflows", namespace, name) in self.objects:
                raise ClusterError(409, "AlreadyExists", f'workflows.argoproj.io "{name}" already exists')
            self.calls["create"] += 1
            raw = copy.deepcopy(dict(manifest))
            for field_ in ("uid", "resourceVersion", "creationTimestamp"):
                raw["metadata"].pop(field_, None)
            return copy.deepcopy(self._store("workflows", raw))

    def workflow(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Workflow; None where it does not exist."""
        return copy.deepcopy(self.objects.get(("workflows", namespace, name)))

    def account_uid(self, namespace: str, name: str) -> str:
        """The uid of the ServiceAccount, "" where there is none."""
        found = self.objects.get(("serviceaccounts", namespace, name))
        return str(found["metadata"]["uid"]) if found else ""

    def report(
        self, namespace: str, involved: Mapping[str, str], reason: str, message: str, now: datetime
    ) -> None:
        """Keep the report: one per (object, reason, hour), counted up."""
        with self._lock:
            for known in self.reports:
                same = (known.namespace, known.involved, known.reason) == (namespace, dict(involved), reason)
                if same and f"{known.seen_at:%Y%m%d%H}" == f"{now:%Y%m%d%H}":
                    known.count, known.message, known.seen_at = known.count + 1, message, now
                    return
            self.reports.append(Report(namespace, dict(involved), reason, message, now))

    def cron_workflows(self, namespace: str) -> list[dict[str, Any]]:
        """Every CronWorkflow of our instance id ("" for all namespaces)."""
        return copy.deepcopy(self._managed("cronworkflows", namespace))

    def cron_workflow(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The CronWorkflow; None where it does not exist."""
        return copy.deepcopy(self.objects.get(("cronworkflows", namespace, name)))

    def children(self, namespace: str, cron: str | None = None) -> list[dict[str, Any]]:
        """The Workflows with the cron label, of one CronWorkflow or all."""
        found = []
        for raw in self._listed("workflows", namespace):
            label = (raw["metadata"].get("labels") or {}).get(CRON_LABEL)
            if label is not None and cron in (None, label):
                found.append(raw)
        return copy.deepcopy(found)

    def patch(self, resource: str, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch the object; raises Conflict on a stale resourceVersion."""
        with self._lock:
            before = self._existing(resource, namespace, name)
            wanted = (patch.get("metadata") or {}).get("resourceVersion")
            if wanted is not None and wanted != before["metadata"]["resourceVersion"]:
                raise Conflict(
                    f'Operation cannot be fulfilled on {resource}.argoproj.io "{name}": the object has been '
                    "modified; please apply your changes to the latest version and try again"
                )
            after = merged(before, patch)
            return copy.deepcopy(before if after == before else self._store(resource, after))

    def delete_workflow(self, namespace: str, name: str, uid: str) -> None:
        """Delete the Workflow if it still has the uid; gone already is fine."""
        with self._lock:
            found = self.objects.get(("workflows", namespace, name))
            if found and found["metadata"]["uid"] == uid:
                self._revision += 1
                del self.objects["workflows", namespace, name]

    # Below both.

    def _store(self, plural: str, raw: dict[str, Any]) -> dict[str, Any]:
        metadata = raw.setdefault("metadata", {})
        key = (plural, metadata.get("namespace", ""), metadata["name"])
        self._revision += 1
        known = self.objects.get(key)
        if known:
            metadata["uid"] = known["metadata"]["uid"]
            metadata["creationTimestamp"] = known["metadata"]["creationTimestamp"]
        else:
            metadata.setdefault("uid", f"00000000-0000-4000-8000-{self._revision:012d}")
            metadata.setdefault("creationTimestamp", self._clock.now().strftime("%Y-%m-%dT%H:%M:%SZ"))
        metadata["resourceVersion"] = str(self._revision)
        self.objects[key] = raw
        return raw

    def _listed(self, plural: str, namespace: str) -> list[dict[str, Any]]:
        with self._lock:
            keys = [key for key in self.objects if key[0] == plural and namespace in ("", key[1])]
            return [self.objects[key] for key in sorted(keys)]

    def _managed(self, plural: str, namespace: str) -> list[dict[str, Any]]:
        self.calls[plural] += 1
        return [raw for raw in self._listed(plural, namespace) if managed(raw, self.instance_id)]

    def _existing(self, plural: str, namespace: str, name: str) -> dict[str, Any]:
        try:
            return self.objects[plural, namespace, name]
        except KeyError:
            raise ClusterError(404, "NotFound", f'{plural}.{GROUPS[plural]} "{name}" not found') from None

    def _acting_as(self, account: Account) -> str:
        self._authorize(self._user, "impersonate", "serviceaccounts", account.namespace, account.name)
        return account.username

    def _authorize(self, user: str, verb: str, plural: str, namespace: str, name: str = "") -> None:
        for denied, denied_verb, denied_plural, denied_namespace in self._denied:
            if (
                denied in (user, "*")
                and denied_verb == verb
                and denied_plural == plural
                and denied_namespace in (namespace, "*")
            ):
                break
        else:
            return
        group = GROUPS[plural]
        thing = f"{plural}.{group}" if group else plural
        named = f' "{name}"' if name else ""
        where = f'in the namespace "{namespace}"' if namespace else "at the cluster scope"
        raise ClusterError(
            403,
            "Forbidden",
            f'{thing}{named} is forbidden: User "{user}" cannot {verb} resource "{plural}" '
            f'in API group "{group}" {where}',
        )


def merged(value: Any, patch: Any) -> Any:
    """The value with an RFC 7386 merge patch applied."""
    if not isinstance(patch, Mapping):
        return copy.deepcopy(patch)
    result = dict(value) if isinstance(value, Mapping) else {}
    for key, change in patch.items():
        if change is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), change)
    return result


@dataclass
class MemoryJournal:
    """Lines and metrics as lists."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)
    _within: dict[str, Any] = field(default_factory=dict)

    def log(self, event: str, **fields: Any) -> None:
        """Keep a line of level INFO."""
        self.lines.append({"level": "INFO", "event": event, **self._within, **fields})

    def error(self, event: str, **fields: Any) -> None:
        """Keep a line of level ERROR."""
        self.lines.append({"level": "ERROR", "event": event, **self._within, **fields})

    def count(self, name: str, value: float = 1, unit: str = "Count") -> None:  # noqa: ARG002  # sums need no unit
        """Add to the metric."""
        self.metrics[name] += value  # type: ignore[assignment]  # Counter's values are typed int, floats add alike

    @contextmanager
    def within(self, **fields: Any) -> Iterator[None]:
        """Add the fields to every line written inside."""
        outer, self._within = self._within, {**self._within, **fields}
        try:
            yield
        finally:
            self._within = outer

    def events(self) -> list[str]:
        """The names of the events logged, in order."""
        return [line["event"] for line in self.lines]
