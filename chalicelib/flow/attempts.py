"""The attempt: opened in the ledger, tried in the cluster, closed in the ledger (rules 21, 22).

An attempt whose outcome was never written is the only state in which nobody knows what happened. Its
Workflow's name was decided by its cause, so `settle` looks: an object that is ours closes the attempt. An
absent one may mean that the create never arrived, or that it did and somebody deleted the object since;
`lynceus.dev/on-doubt` chooses what then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from chalicelib.core import reasons
from chalicelib.core.errors import ClusterError, LynceusError, Unavailable
from chalicelib.core.failures import Failure, failure_of
from chalicelib.core.submissions import Submission, end, start, succeed
from chalicelib.core.workflows import made_by
from chalicelib.ports import Ports


class Postponed(Exception):  # not an error: the submission's turn is over for now
    """A step failed; `failure` says what follows, `doubt` whether it may have had an effect all the same."""

    def __init__(self, submission: Submission, error: LynceusError, *, doubt: bool = False) -> None:
        super().__init__(error.message)
        self.submission = submission
        self.error = error
        self.failure: Failure = failure_of(error)
        self.doubt = doubt
        self.when_over: Callable[[str], object] = str  # who else is told the message of the end


class Over(Exception):  # not an error: the submission has come to its end
    """The submission ended and its outcome is recorded; nothing is left to do."""


Ours = Callable[[Mapping[str, Any], Submission], bool]


def settle(submission: Submission, ports: Ports, ours: Ours = made_by) -> dict[str, Any] | None:
    """The Workflow of an attempt that was left open, its outcome recorded now; None where there is none (rule 21).

    `ours` says whether an object is this submission's. Raises Over where lynceus.dev/on-doubt says skip.
    """
    try:
        existing = ports.cluster.workflow(submission.namespace, submission.workflow)
    except LynceusError as error:
        raise Postponed(submission, error, doubt=True) from error
    if existing is not None and ours(existing, submission):
        _succeed(submission, "existed", existing, ports, reasons.EXISTED)
        return existing
    if existing is None and submission.on_doubt == "skip":
        conclude(
            submission,
            "failed",
            reasons.IN_DOUBT,
            "an attempt ended without a word and left no Workflow",
            ports,
        )
        raise Over
    return None


def create(
    submission: Submission, manifest: Mapping[str, Any], ports: Ports, ours: Ours = made_by
) -> dict[str, Any]:
    """Open an attempt, create the Workflow, record the outcome, and return the Workflow.

    Raises Over when the name belongs to something else,
    Conflict when another worker opened an attempt first, Postponed when this one came to nothing yet.
    """
    attempt = start(submission, ports.clock.now())
    ports.ledger.advance(submission, attempt)
    try:
        created = ports.cluster.create(submission.account, manifest)
    except ClusterError as error:
        if error.reason == "AlreadyExists" and "being deleted" not in error.message:
            return _exists(attempt, error, ports, ours)
        error.message = f"failed to create workflow: {error.message}"
        # A server that failed in the middle may have stored the object before it did.
        raise Postponed(attempt, error, doubt=error.status >= 500) from error
    except LynceusError as error:
        raise Postponed(attempt, error, doubt=True) from error
    _succeed(attempt, "created", created, ports, reasons.CREATED)
    return created


def _exists(submission: Submission, error: ClusterError, ports: Ports, ours: Ours) -> dict[str, Any]:
    """409: ours from an attempt before, or somebody else's (rule 22)."""
    try:
        existing = ports.cluster.workflow(submission.namespace, submission.workflow)
    except LynceusError as failed:
        raise Postponed(submission, failed, doubt=True) from failed
    if existing is None:
        raise Postponed(
            submission, Unavailable("the Workflow existed and was deleted in this moment")
        ) from error
    if ours(existing, submission):
        # Before our first attempt only Argo's own controller can have made a child of this owner and time.
        foreign = submission.kind == "cron" and submission.progress.attempts == 1
        reason = reasons.CREATED_BY_OTHER_CONTROLLER if foreign else reasons.EXISTED
        _succeed(submission, "existed", existing, ports, reason)
        return existing
    conclude(submission, "failed", reasons.NAME_TAKEN, f"failed to create workflow: {error.message}", ports)
    raise Over


def _succeed(
    submission: Submission, state: str, workflow: Mapping[str, Any], ports: Ports, reason: str
) -> None:
    now = ports.clock.now()
    uid = str((workflow.get("metadata") or {}).get("uid", ""))
    ports.ledger.advance(submission, succeed(submission, state, uid, now, reason))
    latency = (now - submission.received_at).total_seconds() if submission.received_at else 0.0
    ports.journal.log(
        f"workflow.{state}", namespace=submission.namespace, workflow=submission.workflow, uid=uid,
        event_id=submission.cause, submission=submission.id, binding=submission.source,
        attempts=submission.progress.attempts, seconds=round(latency, 3),
    )  # fmt: skip
    ports.journal.count("workflows")
    ports.journal.count("end_to_end_seconds", latency, "Seconds")


def conclude(submission: Submission, state: str, reason: str, message: str, ports: Ports) -> None:
    """Record the end, then make a failure visible on the binding or the CronWorkflow."""
    now = ports.clock.now()
    ports.ledger.advance(submission, end(submission, state, reason, message, now))
    say = ports.journal.log if state == "skipped" else ports.journal.error
    say(
        f"submission.{state}",
        namespace=submission.namespace,
        cause=submission.cause,
        submission=submission.id,
        source=submission.source,
        reason=reason,
        message=message[:300],
    )
    ports.journal.count(state)
    if state == "skipped":
        return
    if submission.kind == "cron":
        report(submission.namespace, CRON, submission.source, submission.cause, message, now, ports)
    else:
        message = f"failed to dispatch event: {message}"
        report(submission.namespace, BINDING, submission.source, submission.source_uid, message, now, ports)


# Kind of the object → the reason of Argo's Events about it.
BINDING = ("WorkflowEventBinding", "WorkflowEventBindingError")
CRON = ("CronWorkflow", "SubmissionError")


def report(
    namespace: str, kind: tuple[str, str], name: str, uid: str, message: str, now: datetime, ports: Ports
) -> None:
    """Make a failure visible as a Kubernetes Event on the object."""
    involved = {"apiVersion": "argoproj.io/v1alpha1", "kind": kind[0], "name": name, "uid": uid}
    ports.cluster.report(namespace, involved, kind[1], message, now)
