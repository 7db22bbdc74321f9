"""What follows from an answer of the Kubernetes API: end, wait, or try a few times and end.

One table, read from the top; the first row that fits decides. Rows name the status, the Status' reason and
a piece of its text, since the API server says very different things under one number: a 403 may be the
caller's missing right (final), ours (an operator must act) or a quota (passes by itself).

Recorded answers: tests/core/test_failures.py. Source of the transient ones: argo-workflows util/errors/errors.go.
"""

from __future__ import annotations

from dataclasses import dataclass

from chalicelib.core import reasons
from chalicelib.core.errors import ClusterError, LynceusError

END, WAIT, GRACE = "end", "wait", "grace"

GRACE_TRIES = 3  # within GRACE_SECONDS, then final (rule 23)
GRACE_SECONDS = 60.0


@dataclass(frozen=True)
class Failure:
    """A row: what an answer looks like, and what follows."""

    status: int | None  # None: any
    reason: str  # Status.reason, "" for any
    text: str  # a piece of the message, lower case, "" for any
    then: str  # END, WAIT or GRACE
    code: str  # a code of `reasons`
    alarm: bool = False  # an operator must act


TABLE = (
    Failure(None, "", "etcdserver: request is too large", END, reasons.TOO_LARGE),
    Failure(None, "", "etcdserver:", WAIT, reasons.CLUSTER_AWAY),
    Failure(413, "", "", END, reasons.TOO_LARGE),
    Failure(400, "", "", END, reasons.INVALID),
    Failure(422, "", "", END, reasons.INVALID),
    # Our own rights, not the caller's.
    Failure(401, "", "", WAIT, reasons.RIGHTS_MISSING, alarm=True),
    Failure(403, "", "cannot impersonate", WAIT, reasons.RIGHTS_MISSING, alarm=True),
    Failure(403, "", 'cannot get resource "serviceaccounts"', WAIT, reasons.RIGHTS_MISSING, alarm=True),
    Failure(403, "", 'cannot get resource "workflows"', WAIT, reasons.RIGHTS_MISSING, alarm=True),
    Failure(403, "", "exceeded quota", WAIT, reasons.QUOTA, alarm=True),
    Failure(403, "", "failed quota", WAIT, reasons.QUOTA, alarm=True),
    Failure(403, "", "being terminated", END, reasons.NAMESPACE_GONE),
    Failure(403, "", "", GRACE, reasons.NOT_ALLOWED),
    Failure(404, "", "namespaces ", END, reasons.NAMESPACE_GONE),
    Failure(404, "", "404 page not found", WAIT, reasons.CRD_MISSING, alarm=True),
    Failure(404, "", "could not find the requested resource", WAIT, reasons.CRD_MISSING, alarm=True),
    Failure(404, "", "", GRACE, reasons.TEMPLATE_NOT_FOUND),
    Failure(409, "", "operation cannot be fulfilled on resourcequota", WAIT, reasons.QUOTA),
    Failure(409, "AlreadyExists", "object is being deleted", WAIT, reasons.CLUSTER_AWAY),
    Failure(429, "", "", WAIT, reasons.THROTTLED),
    Failure(500, "", "failed calling webhook", WAIT, reasons.WEBHOOK_FAILING, alarm=True),
    Failure(500, "", "resource quota evaluation timed out", WAIT, reasons.QUOTA),
    Failure(None, "", "", WAIT, reasons.CLUSTER_AWAY),
)

# The codes of what is tried a few times only.
GRACED = frozenset(row.code for row in TABLE if row.then == GRACE)


def failure_of(error: LynceusError) -> Failure:
    """The row for what a call to the cluster raised; a network failure waits like any 5xx."""
    if not isinstance(error, ClusterError):
        return TABLE[-1]
    text = error.message.lower()
    for row in TABLE:
        fits = row.status in (None, error.status) and row.reason in ("", error.reason) and row.text in text
        if fits:
            return row
    raise AssertionError("the last row fits everything")
