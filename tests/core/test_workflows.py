"""The manifest that a submission creates, as Argo Server builds it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from chalicelib.core.events import Account
from chalicelib.core.submissions import Submission, TemplateRef
from chalicelib.core.workflows import label_value, made_by, workflow_for

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def submission(**more: Any) -> Submission:
    given: dict[str, Any] = {
        "id": "5" * 32, "kind": "event", "namespace": "argo", "workflow": "t-abc", "cause": "e" * 32, "source": "b",
        "account": Account("argo", "bot"), "template": TemplateRef("t"), "generate_name": "t-", "received_at": NOW,
    }  # fmt: skip
    return Submission(**{**given, **more})


def test_the_defaults_of_argo() -> None:
    manifest = workflow_for(submission(), {"spec": {}}, "")

    assert manifest["spec"] == {"workflowTemplateRef": {"name": "t"}}
    assert (manifest["metadata"]["name"], manifest["metadata"]["generateName"]) == ("t-abc", "t-")
    assert manifest["metadata"]["labels"] == {
        "workflows.argoproj.io/workflow-template": "t",
        "workflows.argoproj.io/workflow-event-binding": "b",
        "workflows.argoproj.io/creator": "system-serviceaccount-argo-bot",
    }


def test_a_cluster_template_has_its_own_label_and_scope() -> None:
    manifest = workflow_for(submission(template=TemplateRef("t", True)), {"spec": {}}, "")

    assert manifest["spec"]["workflowTemplateRef"] == {"name": "t", "clusterScope": True}
    assert manifest["metadata"]["labels"]["workflows.argoproj.io/cluster-workflow-template"] == "t"


def test_the_templates_own_metadata_is_copied_and_the_bindings_wins() -> None:
    template = {
        "spec": {
            "workflowMetadata": {"labels": {"a": "template", "b": "template"}, "annotations": {"n": "1"}}
        }
    }

    manifest = workflow_for(submission(labels={"a": "binding"}), template, "")

    assert manifest["metadata"]["labels"]["a"] == "binding"
    assert manifest["metadata"]["labels"]["b"] == "template"
    assert manifest["metadata"]["annotations"]["n"] == "1"


def test_who_and_why_cannot_be_overwritten_by_a_binding() -> None:
    labels = {
        "workflows.argoproj.io/creator": "root",
        "workflows.argoproj.io/workflow-event-binding": "other",
    }

    manifest = workflow_for(submission(labels=labels), {"spec": {}}, "")

    assert manifest["metadata"]["labels"]["workflows.argoproj.io/creator"] == "system-serviceaccount-argo-bot"
    assert manifest["metadata"]["labels"]["workflows.argoproj.io/workflow-event-binding"] == "b"


@pytest.mark.parametrize(("instance", "expected"), [("", None), ("blue", "blue")])
def test_the_instance_id_is_ours_or_absent(instance: str, expected: str | None) -> None:
    template = {
        "spec": {"workflowMetadata": {"labels": {"workflows.argoproj.io/controller-instanceid": "x"}}}
    }

    manifest = workflow_for(submission(), template, instance)

    assert manifest["metadata"]["labels"].get("workflows.argoproj.io/controller-instanceid") == expected


def test_parameters_keep_their_order_and_their_text() -> None:
    manifest = workflow_for(submission(parameters=(("b", "2"), ("a", "null"))), {"spec": {}}, "")

    assert manifest["spec"]["arguments"]["parameters"] == [
        {"name": "b", "value": "2"},
        {"name": "a", "value": "null"},
    ]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("system:serviceaccount:argo:github.com", "system-serviceaccount-argo-github.com"),
        ("x" * 70, "x" * 63),
        ("::a::", "a"),
        ("ü", ""),
    ],
)
def test_a_creator_is_sanitised_as_argo_does(text: str, label: str) -> None:
    assert label_value(text) == label


def test_rule_22_an_object_is_ours_by_its_submission() -> None:
    manifest = workflow_for(submission(), {"spec": {}}, "")

    assert made_by(manifest, submission())
    assert not made_by(manifest, submission(id="6" * 32))
    assert not made_by({"metadata": {}}, submission())
