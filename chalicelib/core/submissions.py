"""A Submission is one Workflow to be; its Progress is what became of it so far.

A submission is frozen at the door: who, where, which template, which parameters, which name. Only its
progress changes, and only through the functions below, each of which takes a submission and returns the
next one. The ledger writes the step with a compare-and-set on `version`, so that of two workers with the
same message one wins and the other sees it.

    pending ──start──▶ pending, attempt open ──▶ created | existed            (a Workflow is there)
       ▲                      │             └──▶ failed | skipped | expired | missed
       └──── wait ────────────┘                  (terminal, visible, with a reason)

An open attempt without an outcome is the one state nobody can decide alone (rules 21, 22): the object may
or may not have been made. Its name is decided by its cause, so looking at the cluster settles it unless
the object was made and deleted again in between.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from chalicelib.core.errors import BadRequest
from chalicelib.core.events import Account

# Kubernetes' own alphabet for generated names: no vowels, nothing that looks like something else.
# https://github.com/kubernetes/apimachinery/blob/master/pkg/util/rand/rand.go
ALPHABET = "bcdfghjklmnpqrstvwxz2456789"

TERMINAL = frozenset({"created", "existed", "failed", "skipped", "expired", "missed"})
SUCCEEDED = frozenset({"created", "existed"})

# An attempt belongs to the worker that opened it for as long as that worker can be alive.
LEASE = timedelta(seconds=70)


def digest_of(*parts: str) -> str:
    """32 hex digits that stand for the parts in this order; no two lists of parts share their text."""
    hasher = hashlib.sha256()
    for part in parts:
        raw = part.encode("utf-8", "surrogatepass")
        hasher.update(len(raw).to_bytes(8, "big"))
        hasher.update(raw)
    return hasher.hexdigest()[:32]


def claim_key(namespace: str, discriminator: str, sender: str, claim: Sequence[str]) -> str:
    """What makes two deliveries the same (rule 1): `claim` holds hook and delivery id, never a GUID alone."""
    return digest_of("claim", namespace, discriminator, sender, *claim)


def event_id(key: str, epoch: int = 0) -> str:
    """The id of the event that a claim key and an epoch name (rule 2)."""
    return digest_of("event", key, str(epoch))


def submission_id(event: str, namespace: str, binding: str) -> str:
    """The id of what a binding makes of an event (rule 3): by name, since tools recreate bindings."""
    return digest_of("submission", event, namespace, binding)


def replay_submission_id(original: str, replay: str) -> str:
    """The id of a submission run again under a replay (rule 6)."""
    return digest_of("replay", original, replay)


def workflow_name(prefix: str, submission: str) -> str:
    """The prefix cut to 53 characters and ten that the submission decides (rule 4)."""
    number = int(submission, 16)
    suffix = ""
    for _ in range(10):
        number, at = divmod(number, len(ALPHABET))
        suffix += ALPHABET[at]
    return prefix[:53] + suffix


@dataclass(frozen=True)
class TemplateRef:
    """The WorkflowTemplate, or ClusterWorkflowTemplate, that a submission runs."""

    name: str
    cluster_scope: bool = False


@dataclass(frozen=True)
class Progress:
    """What became of a submission so far."""

    state: str = "pending"
    version: int = 0  # raised by every write: the compare-and-set
    attempts: int = 0
    attempt_started_at: datetime | None = None  # set while an attempt is open
    failures: int = 0
    first_failed_at: datetime | None = None
    due: datetime | None = None  # when the sweep rings for it; None once terminal
    reason: str = ""  # a code of `reasons`
    message: str = ""
    uid: str = ""  # the Workflow's
    finished_at: datetime | None = None


@dataclass(frozen=True)
class Submission:
    """One Workflow to be created, for one cause, under one name."""

    id: str
    kind: str  # "event" or "cron"
    namespace: str
    workflow: str  # the Workflow's name, frozen (rule 4)
    cause: str  # event id, or the CronWorkflow's uid
    source: str  # the binding's or the CronWorkflow's name
    source_uid: str = ""
    account: Account | None = None  # None: the function's own rights (cron)
    client: str = ""  # the webhook client it came through, "" for tokens
    template: TemplateRef | None = None  # None for cron: the spec is read when it is due
    parameters: tuple[tuple[str, str], ...] = ()
    generate_name: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    received_at: datetime | None = None  # the event's time; cron: when the run is to start
    scheduled_at: datetime | None = None  # cron: the run's time
    expires_at: datetime | None = None  # lynceus.dev/expire-after; cron: later than this it is missed
    on_doubt: str = "create"  # lynceus.dev/on-doubt: create or skip
    replay: str = ""  # the replay it belongs to
    run: str = ""  # cron: scheduled, catch-up or backfill
    progress: Progress = Progress()

    def __post_init__(self) -> None:
        if not self.namespace:
            raise BadRequest("a submission needs a namespace")

    @property
    def terminal(self) -> bool:
        """True when nothing more will happen to it."""
        return self.progress.state in TERMINAL

    @property
    def pointer(self) -> Pointer:
        """The doorbell that rings for it."""
        return Pointer(self.namespace, self.workflow, self.id)


@dataclass(frozen=True)
class Pointer:
    """Where a submission lies in the ledger: all that a queue ever carries of it (rule 19)."""

    namespace: str
    workflow: str
    submission: str

    def to_message(self) -> dict[str, Any]:
        """The message form."""
        return {"v": 1, "kind": "submission", "namespace": self.namespace, "workflow": self.workflow,
                "submission": self.submission}  # fmt: skip

    @staticmethod
    def from_message(message: Mapping[str, Any]) -> Pointer:
        """The pointer in a message; raises BadRequest for one that holds none."""
        names = [message.get(key) for key in ("namespace", "workflow", "submission")]
        if not all(isinstance(name, str) and 0 < len(name) <= 253 for name in names):
            raise BadRequest("message of kind submission without namespace, workflow and submission")
        return Pointer(str(names[0]), str(names[1]), str(names[2]))


def _step(submission: Submission, **changes: Any) -> Submission:
    progress = submission.progress
    return replace(submission, progress=replace(progress, version=progress.version + 1, **changes))


def start(submission: Submission, now: datetime) -> Submission:
    """The submission with a new attempt open; write it before the create (rule 21).

    Its time in the outbox stays: moving an index entry costs twice what the write costs (rule 43).
    """
    return _step(
        submission, state="pending", attempts=submission.progress.attempts + 1, attempt_started_at=now
    )


def leased(submission: Submission, now: datetime) -> bool:
    """True while another worker may still be at work on the open attempt."""
    started = submission.progress.attempt_started_at
    return started is not None and now < started + LEASE


def succeed(submission: Submission, state: str, uid: str, now: datetime, reason: str = "") -> Submission:
    """The submission with its Workflow: `created` by us just now, or `existed` from an attempt before."""
    return _step(submission, state=state, uid=uid, reason=reason, message="", attempt_started_at=None,
                 due=None, finished_at=now)  # fmt: skip


def end(submission: Submission, state: str, reason: str, message: str, now: datetime) -> Submission:
    """The submission ended without a Workflow: failed, skipped, expired or missed, and why."""
    return _step(submission, state=state, reason=reason, message=message[:2000], attempt_started_at=None,
                 due=None, finished_at=now)  # fmt: skip


def wait(
    submission: Submission, until: datetime, reason: str, message: str, now: datetime, *, doubt: bool = False
) -> Submission:
    """The submission waiting for its next attempt at about `until`.

    With `doubt` its attempt stays open, since nobody knows whether it had an effect: a timeout says nothing.
    """
    progress = submission.progress
    return _step(
        submission,
        state="waiting",
        reason=reason,
        message=message[:2000],
        attempt_started_at=progress.attempt_started_at if doubt else None,
        due=until,
        failures=progress.failures + 1,
        first_failed_at=progress.first_failed_at or now,
    )


def reopen(submission: Submission, fresh: Submission, due: datetime) -> Submission:
    """A failed submission made ready again with what the bindings of today say (rule 9, repair)."""
    progress = submission.progress
    return replace(
        fresh, progress=Progress(version=progress.version + 1, attempts=progress.attempts, due=due)
    )


def backoff(waited: timedelta) -> timedelta:
    """How long the sweep waits before it rings again: half of the time waited, from 30 s to 15 minutes (rule 19).

    So whatever comes back is noticed after half as long again as it was away, at most.
    """
    return min(max(waited / 2, timedelta(seconds=30)), timedelta(minutes=15))
