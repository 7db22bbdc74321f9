"""Every reason we ever give, as one table: a short code, what it means, what to do.

A code stands in verdicts, submissions, log lines and answers, and is the anchor of its paragraph in
docs/why-did-it-not-run.md. Codes are never renamed; a new one is a new row. In what to do, EVENT and WORKFLOW stand
for an id and a name, which the command line fills in where it knows them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """One row: when the code is given and the next step of whoever reads it."""

    code: str
    means: str
    do: str = ""


_ROWS: dict[str, Reason] = {}


def _reason(code: str, means: str, do: str = "") -> str:
    _ROWS[code] = Reason(code, means, do)
    return code


# What a binding said to an event.
MATCHED = _reason("matched", "the selector is true and a Workflow follows")
SELECTOR_FALSE = _reason(
    "selector-false",
    "the selector is false for this event",
    "if it should be true: mend it, then lynceus events replay EVENT",
)
SELECTOR_ERROR = _reason(
    "selector-error",
    "the selector does not compile or failed on this event",
    "mend the selector, then lynceus events replay EVENT",
)
RENDER_ERROR = _reason(
    "render-error",
    "a name, label, annotation or parameter could not be made from the event",
    "mend the expression named in the message, then lynceus events replay EVENT",
)
BINDING_MALFORMED = _reason(
    "binding-malformed",
    "the object is no usable WorkflowEventBinding",
    "mend the field named in the message, then lynceus events replay EVENT",
)
NOTHING_TO_SUBMIT = _reason(
    "nothing-to-submit",
    "the binding matched and has no spec.submit",
    "add spec.submit if a Workflow was expected",
)
DEFERRED = _reason(
    "deferred",
    "the time at the door ran out before this binding was asked; the worker asks it",
    "nothing: it is asked within a minute or so",
)
BUDGET_EXHAUSTED = _reason(
    "budget-exhausted",
    "even the worker's larger budget ran out before this binding",
    "make selectors cheaper, or fewer bindings per namespace",
)
BODY_GONE = _reason(
    "body-gone",
    "the event's body was erased, or its time was over, before this binding was asked",
    "send the event again",
)
HEADER_NOT_KEPT = _reason(
    "header-not-kept",
    "asked again later, the selector reads a header that was not kept of this event, so nobody can say",
    "send the event again; headers that a binding names are kept from then on",
)

# What became of a submission.
CREATED = _reason("created", "the Workflow was created")
EXISTED = _reason("existed", "the Workflow was there already, made by an earlier attempt of ours")
IN_DOUBT = _reason(
    "in-doubt",
    "an attempt ended without a word and its Workflow is not there; lynceus.dev/on-doubt says skip",
    "look whether it ran; if not: lynceus events replay EVENT",
)
NAME_TAKEN = _reason(
    "name-taken",
    "a Workflow of this name exists that this submission did not make",
    "make metadata.name in the binding unique per event",
)
TEMPLATE_NOT_FOUND = _reason(
    "template-not-found",
    "the WorkflowTemplate does not exist",
    "create the template, then lynceus dlq redrive WORKFLOW",
)
TEMPLATE_NOT_MANAGED = _reason(
    "template-not-managed",
    "the template's instance id is not ours",
    "label the template with this installation's instance id, then lynceus dlq redrive WORKFLOW",
)
NOT_ALLOWED = _reason(
    "not-allowed",
    "the caller's own account may not do this in the cluster",
    "grant the account get on the template and create on workflows, then lynceus dlq redrive WORKFLOW",
)
ACCOUNT_GONE = _reason(
    "account-gone",
    "the ServiceAccount is gone, or is another one of the same name",
    "recreate the account and send again",
)
CLIENT_REVOKED = _reason(
    "client-revoked",
    "the webhook client was removed after the event was accepted",
    "if the event is wanted: add the client again, then lynceus dlq redrive WORKFLOW",
)
INVALID = _reason(
    "invalid", "the API server refuses the Workflow as it is", "mend the template or the binding, then replay"
)
TOO_LARGE = _reason("too-large", "the Workflow is larger than the cluster keeps", "pass less of the payload")
NAMESPACE_GONE = _reason(
    "namespace-gone", "the namespace is gone or going", "recreate it, then lynceus dlq redrive WORKFLOW"
)
EXPIRED = _reason(
    "expired",
    "older than lynceus.dev/expire-after when its turn came",
    "if it is wanted all the same: lynceus events replay EVENT --force",
)

# Why a submission waits.
CLUSTER_AWAY = _reason(
    "cluster-away", "the cluster does not answer", "nothing: it is tried again until it does"
)
THROTTLED = _reason("throttled", "the cluster asked to slow down", "nothing: it is tried again")
QUOTA = _reason("quota", "a quota of the namespace is used up", "raise the quota or wait; it is tried again")
RIGHTS_MISSING = _reason(
    "rights-missing",
    "our own function may not do this in the cluster",
    "lynceus doctor names the right and the command that gives it; it is tried again",
)
WEBHOOK_FAILING = _reason(
    "webhook-failing",
    "an admission webhook of the cluster fails",
    "repair the admission webhook; it is tried again",
)
CRD_MISSING = _reason(
    "crd-missing", "the cluster does not know the kind", "install Argo's CRDs; it is tried again"
)
BINDINGS_UNKNOWN = _reason(
    "bindings-unknown",
    "no list of bindings was ever read for the namespace; the event is kept until there is one",
    "lynceus doctor says why",
)

# What became of a run of a CronWorkflow.
SUSPENDED = _reason("suspended", "spec.suspend was true", "argo cron resume, or spec.suspend: false")
STOPPED = _reason(
    "stopped",
    "the stop strategy's expression was true, now or before",
    "clear status.phase and the label cronworkflows.argoproj.io/completed to start again",
)
WHEN_FALSE = _reason("when-false", "the condition in spec.when was false")
RUN_POLICY_ERROR = _reason(
    "run-policy-error",
    "spec.when cannot be evaluated, or a child cannot be ended",
    "mend what the message names",
)
FORBIDDEN_BY_ACTIVE = _reason(
    "forbidden-by-active",
    "concurrencyPolicy is Forbid and an earlier child was not finished",
    "end the child, or say Allow or Replace",
)
MISSED_DEADLINE = _reason(
    "missed-deadline",
    "it could only have been started later than startingDeadlineSeconds, or 120 s, allow",
    "lynceus.dev/catch-up makes up for missed runs; cron backfill runs them by hand",
)
NOT_A_FIRE_TIME = _reason("not-a-fire-time", "the schedule or zone was changed after the run was planned")
OBJECT_GONE = _reason("object-gone", "the CronWorkflow was deleted, or deleted and created again")
SPEC_ERROR = _reason("spec-error", "the CronWorkflow is invalid as it is", "mend what the message names")
CREATED_BY_OTHER_CONTROLLER = _reason(
    "created-by-other-controller", "the child was there already, made for the same time by Argo's controller"
)
OBSERVED = _reason(
    "observed", "it would have been started, but this installation only observes (LYNCEUS_CRON=observe)"
)

# What became of a request.
DUPLICATE = _reason("duplicate", "the delivery was claimed before; the first event's id is answered")
REPAIR = _reason(
    "repair", "a redelivery of an event that came to nothing: asked again with the bindings of now"
)
BODY_DIFFERS = _reason("body-differs", "the delivery id was seen with another body, so this is a new event")
DRY_RUN = _reason("dry-run", "asked for with Lynceus-Dry-Run: verdicts were answered and nothing was started")
HANDSHAKE = _reason("handshake", "a verified handshake; nothing is dispatched")
EVENT_NOT_LISTED = _reason(
    "event-not-listed",
    "a genuine delivery of an event that is not on its webhook client's list",
    "add the event to `events` of the webhook client",
)


def all_reasons() -> tuple[Reason, ...]:
    """Every row, in the order of the table."""
    return tuple(_ROWS.values())


def reason(code: str) -> Reason:
    """The row of the code; an unknown code gets a row that says so."""
    return _ROWS.get(code) or Reason(code, "unknown reason: written by a newer version")
