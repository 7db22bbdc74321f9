"""What the flow needs of the outside, one Protocol each; adapters keep them, and so do the fakes of the tests.

Every method returns or raises one of `chalicelib.core.errors`: Unavailable and its kin where trying again
may help, ClusterError for what the Kubernetes API answered, Conflict for a lost compare-and-set. No foreign
exception passes a port. A method that times out may have had its effect; who calls it must live with that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Protocol

from chalicelib.core.bindings import BindingList
from chalicelib.core.events import Account
from chalicelib.core.records import EventRecord
from chalicelib.core.snapshots import Snapshot
from chalicelib.core.submissions import Pointer, Submission
from chalicelib.core.webhooks import WebhookClient


@dataclass(frozen=True)
class CronState:
    """What the ledger remembers under a CronWorkflow's uid, or under a name of the planner's own (rules 29, 32)."""

    uid: str
    version: int = 0
    decided_at: datetime | None = None  # the last run time decided under Forbid or Replace
    decided_child: str = ""  # the Workflow that was decided to be created then
    until: datetime | None = None  # of the planner: high-water mark, or how long a finding counts
    cursor: str = ""  # of the planner: the last CronWorkflow for which a gap is made up for, "" without a gap


@dataclass(frozen=True)
class Health:
    """What the tick last saw of the cluster (rule 11) and of itself (rule 36)."""

    cluster_up: bool
    checked_at: datetime
    ticked_at: datetime
    since: datetime  # of the present state
    message: str = ""


class Ledger(Protocol):
    """The memory of everything (DynamoDB). Reads are strongly consistent."""

    def keep(self, record: EventRecord, body: bytes, submissions: Sequence[Submission]) -> EventRecord | None:
        """Store body, head and submissions whole; or return the head that had the id before, storing nothing.

        Body first, then one transaction of head and submissions, each with its outbox entry. A head with the same
        nonce is our own earlier try: None. Retries inside; raises Unavailable when it is not known to be stored.
        """

    def event(self, event_id: str) -> EventRecord | None:
        """The head of the event."""

    def body(self, record: EventRecord) -> bytes:
        """The body kept for the record; raises NotFound where bodies are not kept or have expired."""

    def extend(
        self,
        record: EventRecord,
        fresh: Sequence[Submission],
        reopened: Sequence[tuple[Submission, Submission]],
    ) -> None:
        """Store in one transaction the record (its version one higher), new submissions and reopened ones.

        `reopened` holds (before, after). Raises Conflict when head or a submission changed since it was read.
        """

    def submission(self, pointer: Pointer) -> Submission | None:
        """The submission with its progress."""

    def submissions(self, record: EventRecord) -> list[Submission]:
        """Every submission of the record that still exists."""

    def advance(self, before: Submission, after: Submission) -> None:
        """Store the step; raises Conflict when somebody else stepped since `before` was read."""

    def rewrite(self, before: Submission, after: Submission) -> None:
        """Store the submission whole in place of `before`, under the same key; raises Conflict as `advance`."""

    def begin_run(self, run: Submission) -> bool:
        """Store a cron run unless there is one of its id; True when it is new (rule 29)."""

    def due(self, shard: int, now: datetime, limit: int) -> list[Outstanding]:
        """What in this shard of the outbox (0 to 15) is due, oldest first."""

    def postpone(self, outstanding: Outstanding, until: datetime) -> bool:
        """Move the outbox entry's time; False when somebody did so since it was read, or it is gone."""

    def snapshot(self, scope: str) -> Snapshot | None:
        """The stored bindings of a namespace, or of "*"."""

    def put_snapshot(self, snapshot: Snapshot, before: Snapshot | None) -> None:
        """Replace the snapshot whole; raises Conflict when it is no longer `before`."""

    def health(self) -> Health | None:
        """What the last tick saw."""

    def put_health(self, health: Health) -> None:
        """Remember what this tick saw."""

    def tally(self, key: str, until: datetime) -> int:
        """Count one more under the key and return how many there are; forgotten some time after `until`."""

    def cron_state(self, uid: str) -> CronState:
        """What is remembered of the CronWorkflow; an empty state of version 0 where nothing is."""

    def put_cron_state(self, state: CronState) -> None:
        """Store the state (its version is one more than the one read); raises Conflict otherwise."""


@dataclass(frozen=True)
class Outstanding:
    """An entry of the outbox: a submission, or an event whose bindings are still to be asked."""

    due: datetime
    pointer: Pointer | None = None
    event_id: str = ""
    kind: str = "event"  # which queue rings for it: "event" or "cron"


@dataclass(frozen=True)
class Listed:
    """An event in a list: what its index entry tells, without reading the event."""

    id: str
    received_at: datetime
    summary: Mapping[str, Any]  # client, provider, event_type, action, delivery_id, size, note, counts


@dataclass(frozen=True)
class Refusal:
    """How often a reason refused requests to a namespace in one minute, with one of them as a sample."""

    namespace: str
    reason: str
    minute: datetime
    count: int
    sample: Mapping[str, str]


NOTES = 100  # of an event that are told: a sender may repeat one delivery without end


class Archive(Protocol):
    """The reading side of the ledger, for people who ask what happened. Eventually consistent."""

    def events(self, namespace: str, day: date, limit: int, cursor: str) -> tuple[list[Listed], str]:
        """A page of the day's events, newest first, and the cursor of the next; "" where there is none."""

    def runs(
        self, kind: str, namespace: str, source: str, limit: int, cursor: str
    ) -> tuple[list[Submission], str]:
        """A page of what a binding ("event") or a CronWorkflow ("cron") came to, newest first."""

    def of_workflow(self, namespace: str, workflow: str) -> list[Submission]:
        """What made, or tried to make, the Workflow of this name."""

    def failed(self, namespace: str, limit: int, cursor: str) -> tuple[list[Submission], str]:
        """A page of the submissions that failed and still are so, newest first."""

    def note(self, event_id: str, at: datetime, fields: Mapping[str, Any]) -> None:
        """Add a line to the event's record: a duplicate of it, a replay, an erasure."""

    def notes(self, event_id: str) -> list[Mapping[str, Any]]:
        """The lines added to the event's record, oldest first, each with `at`: the latest hundred (NOTES)."""

    def keep_binding(self, raw: Mapping[str, Any], at: datetime) -> None:
        """Keep the binding's text as it is now, once for each content."""

    def binding_at(self, namespace: str, name: str, at: datetime) -> Mapping[str, Any] | None:
        """The binding as it was last seen before, None where nothing so old is kept."""

    def keep_error(self, namespace: str, binding: str, event_id: str, message: str, at: datetime) -> None:
        """Remember the binding's latest error and count it."""

    def error_of(self, namespace: str, binding: str) -> Mapping[str, Any] | None:
        """The binding's latest error: `event`, `message`, `at`, `count`."""

    def refuse(self, refusal: Refusal) -> None:
        """Add to the count of a refused minute; the first sample stays."""

    def refused(self, namespace: str, since: datetime, limit: int) -> list[Refusal]:
        """The refused minutes of the namespace, newest first."""

    def erase_body(self, record: EventRecord) -> None:
        """Remove the event's body for good; its record stays."""


@dataclass(frozen=True)
class DeadLetter:
    """A message that nobody could parse or record."""

    id: str
    body: str
    reason: str
    sent_at: datetime
    receipt: str = field(repr=False)


class Queue(Protocol):
    """The doorbells (SQS)."""

    def send(self, messages: Sequence[Mapping[str, Any]], *, cron: bool = False, delay: int = 0) -> None:
        """Send every message, delayed by so many seconds (0 to 900); raises Unavailable if any was not taken."""

    def bury(self, body: str, reason: str) -> None:
        """Put what nobody can parse on the dead letter queue, with the reason."""

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """Some of the dead letters, hidden from others for a minute; at most ten."""

    def revive(self, letter: DeadLetter) -> None:
        """Send the letter's body to the submissions queue again and take it off the dead letter queue."""

    def discard(self, letter: DeadLetter) -> None:
        """Take the letter off the dead letter queue for good."""


class Secrets(Protocol):
    """The webhook clients of each namespace (Secrets Manager)."""

    def webhook_clients(self, namespace: str, *, fresh: bool = False) -> tuple[WebhookClient, ...] | None:
        """The clients of the namespace, None where it has no secret.

        From a cache of a few minutes; `fresh` asks again, at most every 5 s per namespace. Raises ClientError for a
        document that must not load, Unavailable when Secrets Manager is away and nothing is cached.
        """


class Topics(Protocol):
    """Amazon SNS, as far as its webhooks need it."""

    def certificate(self, url: str) -> bytes:
        """The PEM at a signing certificate's URL, which was checked before; b"" where there is none.

        Raises Unavailable where nobody can say.
        """

    def confirm(self, topic_arn: str, token: str) -> None:
        """Confirm a subscription by the API, never by fetching the URL in the message; raises Unavailable."""


class Cluster(Protocol):
    """The Kubernetes API. Calls with an account act as that account, the others with our own rights."""

    def bindings(self, namespace: str) -> BindingList:
        """The namespace's bindings of our instance id ("" for all namespaces), from the API server's cache."""

    def raw_bindings(self, namespace: str) -> Snapshot:
        """The same as raw objects for the snapshot; complete or an error."""

    def caller(self, authorization: str, namespace: str) -> Account:
        """Who the sender of the Authorization header is, once the cluster lets it list bindings in the namespace.

        Raises Unauthenticated, or Forbidden with the API server's text, as Argo would; Forbidden, too, for whoever is
        no ServiceAccount of the namespace, since only these are acted for later (rule 16).
        """

    def allowed(self, authorization: str, namespace: str, verb: str, resource: str, name: str = "") -> str:
        """The user name of the sender of the Authorization header, once the cluster allows it the verb.

        `resource` is "plural.group", also one that exists only in roles (rule 38). Raises Unauthenticated, Forbidden.
        """

    def bindings_as(self, authorization: str, namespace: str, query: Mapping[str, str]) -> dict[str, Any]:
        """The WorkflowEventBindingList that the sender of the Authorization header may read; raises as `caller`."""

    def cron_workflow_as(self, authorization: str, namespace: str, name: str) -> dict[str, Any]:
        """The CronWorkflow that the sender of the Authorization header may read; raises as `caller`, or NotFound."""

    def backfilled_as(self, authorization: str, namespace: str, cron: str) -> list[dict[str, Any]]:
        """The backfilled Workflows of a CronWorkflow that the sender of the Authorization header may list; raises as
        `caller`."""

    def template(self, account: Account, namespace: str, name: str, *, cluster_scope: bool) -> dict[str, Any]:
        """The WorkflowTemplate or ClusterWorkflowTemplate, read as the account; raises ClusterError."""

    def create(self, account: Account | None, manifest: Mapping[str, Any]) -> dict[str, Any]:
        """Create the Workflow and return it; as the account, or with our own rights for cron. Never retried inside."""

    def workflow(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The Workflow, consistently read with our own rights; None where it does not exist."""

    def account_uid(self, namespace: str, name: str) -> str:
        """The uid of the ServiceAccount, "" where there is none; cached for 30 s."""

    def report(
        self, namespace: str, involved: Mapping[str, str], reason: str, message: str, now: datetime
    ) -> None:
        """Make a core/v1 Warning Event on the object visible: one per (object, reason, hour), counted up (rule 27).

        `involved` has apiVersion, kind, name, uid. Best effort: raises nothing but logs.
        """

    def cron_workflows(self, namespace: str) -> Iterable[dict[str, Any]]:
        """Every CronWorkflow of our instance id ("" for all namespaces), consistently read.

        Page by page as they are taken, so what a call raises the taking raises.
        """

    def cron_workflow(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The CronWorkflow, consistently read."""

    def children(self, namespace: str, cron: str | None = None) -> Iterable[dict[str, Any]]:
        """The Workflows with the cron label, of one CronWorkflow or all, read like `cron_workflows`."""

    def patch(self, resource: str, namespace: str, name: str, patch: Mapping[str, Any]) -> dict[str, Any]:
        """Merge-patch one of our kinds ("cronworkflows" or "workflows"); raises Conflict on a stale resourceVersion."""

    def delete_workflow(self, namespace: str, name: str, uid: str) -> None:
        """Delete the Workflow if it still has the uid; gone already is fine."""


class Journal(Protocol):
    """What we say of ourselves: structured log lines and metrics."""

    def log(self, event: str, **fields: Any) -> None:
        """One line: an event name and fields, never a payload or a secret."""

    def error(self, event: str, **fields: Any) -> None:
        """The same, for what somebody should look at."""

    def count(self, name: str, value: float = 1, unit: str = "Count") -> None:
        """Add to a metric of this stage (and namespace, where `namespace` was given by `within`)."""


class Clock(Protocol):
    """Time, as an argument."""

    def now(self) -> datetime:
        """Aware, UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back."""

    def sleep(self, seconds: float) -> None:
        """Wait."""


@dataclass(frozen=True)
class Ports:
    """Everything the flow needs, built once per container."""

    ledger: Ledger
    archive: Archive
    queue: Queue
    secrets: Secrets
    cluster: Cluster
    topics: Topics
    journal: Journal
    clock: Clock
