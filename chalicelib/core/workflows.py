"""The Workflow manifest for a submission, exactly as Argo Server builds it.

The template's own metadata is copied first, then comes what the binding rendered, then the labels that say
who and why; later ones win. Our two annotations are the only addition: they tie the object to the ledger.

Source: argo-workflows server/event/dispatch/operation.go, workflow/common/convert.go,
server/auth/.../creator (labels), util/labels.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from chalicelib.core.bindings import INSTANCE_ID
from chalicelib.core.submissions import Submission

API_VERSION = "argoproj.io/v1alpha1"

CREATOR = "workflows.argoproj.io/creator"
EVENT_BINDING = "workflows.argoproj.io/workflow-event-binding"
TEMPLATE = "workflows.argoproj.io/workflow-template"
CLUSTER_TEMPLATE = "workflows.argoproj.io/cluster-workflow-template"

EVENT_ANNOTATION = "lynceus.dev/event"
SUBMISSION_ANNOTATION = "lynceus.dev/submission"

_NOT_IN_LABELS = re.compile(r"[^-_.a-zA-Z0-9]")
_EDGES = re.compile(r"^[^a-zA-Z0-9]+|[^a-zA-Z0-9]+$")


def label_value(text: str) -> str:
    """The text as a label value: foreign characters become ``-``, the last 63 stay, the edges are alphanumeric."""
    return _EDGES.sub("", _NOT_IN_LABELS.sub("-", text)[-63:])


def workflow_for(submission: Submission, template: Mapping[str, Any], instance_id: str) -> dict[str, Any]:
    """The manifest that the submission creates from its template, an object as read from the cluster."""
    reference = submission.template
    if reference is None or submission.account is None:
        raise ValueError("only a submission of an event has a template and an account")
    own = ((template.get("spec") or {}).get("workflowMetadata")) or {}
    labels = {CLUSTER_TEMPLATE if reference.cluster_scope else TEMPLATE: reference.name}
    labels |= own.get("labels") or {}
    labels.pop(INSTANCE_ID, None)
    if instance_id:
        labels[INSTANCE_ID] = instance_id
    labels |= submission.labels
    creator = label_value(submission.account.username)
    labels.pop(CREATOR, None)
    if creator:
        labels[CREATOR] = creator
    labels[EVENT_BINDING] = submission.source
    annotations = {**(own.get("annotations") or {}), **submission.annotations}
    annotations[EVENT_ANNOTATION] = submission.cause
    annotations[SUBMISSION_ANNOTATION] = submission.id
    spec: dict[str, Any] = {"workflowTemplateRef": {"name": reference.name}}
    if reference.cluster_scope:
        spec["workflowTemplateRef"]["clusterScope"] = True
    if submission.parameters:
        spec["arguments"] = {
            "parameters": [{"name": name, "value": value} for name, value in submission.parameters]
        }
    return {
        "apiVersion": API_VERSION,
        "kind": "Workflow",
        "metadata": {
            "name": submission.workflow,
            "generateName": submission.generate_name,
            "namespace": submission.namespace,
            "labels": labels,
            "annotations": annotations,
        },
        "spec": spec,
    }


def made_by(workflow: Mapping[str, Any], submission: Submission) -> bool:
    """True when the object in the cluster is the one this submission makes (rule 22)."""
    annotations = (workflow.get("metadata") or {}).get("annotations") or {}
    return bool(annotations.get(SUBMISSION_ANNOTATION) == submission.id)
