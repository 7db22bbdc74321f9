"""Recorded answers of the Kubernetes API, and what follows from each (rule 23)."""

from __future__ import annotations

import pytest

from chalicelib.core import reasons
from chalicelib.core.errors import ClusterError, Unavailable
from chalicelib.core.failures import END, GRACE, WAIT, failure_of

# Texts as kube-apiserver 1.36 answers them.
ANSWERS = [
    (400, "BadRequest", "the object provided is unrecognized (must be of type Workflow): …", END, reasons.INVALID),
    (413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728", END, reasons.TOO_LARGE),
    (422, "Invalid", 'Workflow.argoproj.io "x" is invalid: spec.templates: Invalid value', END, reasons.INVALID),
    (500, "", "etcdserver: request is too large", END, reasons.TOO_LARGE),
    (500, "", "etcdserver: request timed out", WAIT, reasons.CLUSTER_AWAY),
    (401, "Unauthorized", "Unauthorized", WAIT, reasons.RIGHTS_MISSING),
    (403, "Forbidden", 'serviceaccounts "x" is forbidden: User "lynceus" cannot impersonate resource "serviceaccounts"',
     WAIT, reasons.RIGHTS_MISSING),
    (403, "Forbidden", 'workflows.argoproj.io "x" is forbidden: exceeded quota: q', WAIT, reasons.QUOTA),
    (403, "Forbidden", ('workflows.argoproj.io "x-" is forbidden: unable to create new content in namespace '
     "dead because it is being terminated"), END, reasons.NAMESPACE_GONE),
    (403, "Forbidden", ('workflows.argoproj.io is forbidden: User "system:serviceaccount:argo:x" cannot create '
     'resource "workflows"'), GRACE, reasons.NOT_ALLOWED),
    (404, "NotFound", 'namespaces "nope" not found', END, reasons.NAMESPACE_GONE),
    (404, "NotFound", 'workflowtemplates.argoproj.io "t" not found', GRACE, reasons.TEMPLATE_NOT_FOUND),
    (404, "", "404 page not found\n", WAIT, reasons.CRD_MISSING),
    (429, "TooManyRequests", "storage is (re)initializing", WAIT, reasons.THROTTLED),
    (500, "InternalError", 'Internal error occurred: failed calling webhook "policy.example.com"', WAIT,
     reasons.WEBHOOK_FAILING),
    (500, "InternalError", "resource quota evaluation timed out", WAIT, reasons.QUOTA),
    (503, "ServiceUnavailable", "apiserver is shutting down", WAIT, reasons.CLUSTER_AWAY),
    (504, "Timeout", "Timeout: request did not complete within requested timeout", WAIT, reasons.CLUSTER_AWAY),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "reason", "text", "then", "code"), ANSWERS, ids=lambda value: str(value)[:24]
)
def test_rule_23_an_answer_is_judged_by_status_and_text(
    status: int, reason: str, text: str, then: str, code: str
) -> None:
    row = failure_of(ClusterError(status, reason, text))

    assert (row.then, row.code) == (then, code)


def test_a_network_failure_waits() -> None:
    assert failure_of(Unavailable("connection refused")).then == WAIT


def test_what_only_an_operator_can_mend_raises_an_alarm() -> None:
    alarming = {
        code
        for status, reason, text, _, code in ANSWERS
        if failure_of(ClusterError(status, reason, text)).alarm
    }

    assert alarming == {reasons.RIGHTS_MISSING, reasons.QUOTA, reasons.CRD_MISSING, reasons.WEBHOOK_FAILING}
