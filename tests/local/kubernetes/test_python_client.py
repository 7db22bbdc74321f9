"""The official Python client against the server: custom objects, core objects, watches and the dynamic client."""

from __future__ import annotations

from typing import Any

import pytest
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

from tests.local.kubernetes.servers import Server

ARGO = {"group": "argoproj.io", "version": "v1alpha1", "plural": "workflows"}


@pytest.fixture
def api(server: Server) -> client.ApiClient:
    return config.new_client_from_config(config_file=str(server.kubeconfig))


def workflow(name: str = "", **metadata: Any) -> dict[str, Any]:
    named = {"name": name} if name else {"generateName": "made-"}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": named | metadata,
        "spec": {"entrypoint": "main"},
    }


def test_custom_objects_are_created_read_and_deleted(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)
    where = ARGO | {"namespace": namespace}

    made = custom.create_namespaced_custom_object(body=workflow("one"), **where)
    read = custom.get_namespaced_custom_object(name="one", **where)
    custom.delete_namespaced_custom_object(name="one", **where)

    assert read == made
    assert custom.list_namespaced_custom_object(**where)["items"] == []


def test_a_generated_name_keeps_its_prefix(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)

    made = custom.create_namespaced_custom_object(body=workflow(), namespace=namespace, **ARGO)

    assert made["metadata"]["name"].startswith("made-")
    assert len(made["metadata"]["name"]) == len("made-") + 5


def test_merge_and_json_patches_change_custom_objects(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)
    where = ARGO | {"namespace": namespace, "name": "one"}
    custom.create_namespaced_custom_object(body=workflow("one"), namespace=namespace, **ARGO)

    custom.patch_namespaced_custom_object(body={"spec": {"suspend": True}}, **where)
    operations = [{"op": "remove", "path": "/spec/entrypoint"}]
    patched = custom.patch_namespaced_custom_object(
        body=operations, _content_type="application/json-patch+json", **where
    )

    assert patched["spec"] == {"suspend": True}


def test_a_stale_replace_is_a_conflict(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)
    where = ARGO | {"namespace": namespace, "name": "one"}
    stale = custom.create_namespaced_custom_object(body=workflow("one"), namespace=namespace, **ARGO)
    custom.patch_namespaced_custom_object(body={"spec": {"suspend": True}}, **where)

    with pytest.raises(ApiException) as caught:
        custom.replace_namespaced_custom_object(body=stale, **where)

    assert caught.value.status == 409


def test_a_request_may_impersonate_by_header(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)

    with pytest.raises(ApiException) as caught:
        custom.list_namespaced_custom_object(
            namespace=namespace,
            **ARGO,
            _headers={"Impersonate-User": f"system:serviceaccount:{namespace}:nobody"},
        )

    assert caught.value.status == 403
    assert f"system:serviceaccount:{namespace}:nobody" in caught.value.body


def test_core_objects_are_typed(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    secret = client.V1Secret(metadata=client.V1ObjectMeta(name="clients"), string_data={"jenkins": "sesame"})

    core.create_namespaced_secret(namespace, secret)
    core.patch_namespaced_secret("clients", namespace, {"metadata": {"labels": {"seen": "yes"}}})
    read = core.read_namespaced_secret("clients", namespace)

    assert read.type == "Opaque"
    assert read.data == {"jenkins": "c2VzYW1l"}
    assert read.metadata.labels == {"seen": "yes"}
    assert [each.metadata.name for each in core.list_namespaced_secret(namespace).items] == ["clients"]


def test_events_are_found_by_what_they_are_about(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    for name in ("one", "two"):
        about = client.V1ObjectReference(kind="WorkflowEventBinding", name=name, namespace=namespace)
        metadata = client.V1ObjectMeta(name=f"{name}.1")
        core.create_namespaced_event(
            namespace,
            client.CoreV1Event(metadata=metadata, involved_object=about, reason="Seen", type="Normal"),
        )

    found = core.list_namespaced_event(namespace, field_selector="involvedObject.name=two").items

    assert [event.metadata.name for event in found] == ["two.1"]


def test_a_watch_sees_what_happens_after_a_list(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)
    where = ARGO | {"namespace": namespace}
    revision = custom.list_namespaced_custom_object(**where)["metadata"]["resourceVersion"]
    custom.create_namespaced_custom_object(body=workflow("one"), **where)
    custom.patch_namespaced_custom_object(name="one", body={"spec": {"suspend": True}}, **where)
    custom.delete_namespaced_custom_object(name="one", **where)

    stream = watch.Watch().stream(
        custom.list_namespaced_custom_object, resource_version=revision, timeout_seconds=1, **where
    )
    seen = [(event["type"], event["object"]["metadata"]["name"]) for event in stream]

    assert seen == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "one")]


def test_the_dynamic_client_finds_kinds_by_discovery(api: client.ApiClient, namespace: str) -> None:
    found = dynamic.DynamicClient(api).resources.get(api_version="argoproj.io/v1alpha1", kind="Workflow")

    found.create(body=workflow("one", labels={"team": "blue"}), namespace=namespace)
    found.server_side_apply(
        body=workflow("two"), name="two", namespace=namespace, field_manager="tests", force_conflicts=True
    )

    assert [each.metadata.name for each in found.get(namespace=namespace).items] == ["one", "two"]
    assert [each.metadata.name for each in found.get(namespace=namespace, label_selector="team").items] == [
        "one"
    ]


def test_pages_follow_each_other_at_one_revision(api: client.ApiClient, namespace: str) -> None:
    custom = client.CustomObjectsApi(api)
    where = ARGO | {"namespace": namespace}
    for at in range(5):
        custom.create_namespaced_custom_object(body=workflow(f"w{at}"), **where)

    first = custom.list_namespaced_custom_object(limit=2, **where)
    custom.delete_namespaced_custom_object(name="w3", **where)
    rest = custom.list_namespaced_custom_object(limit=10, _continue=first["metadata"]["continue"], **where)

    assert first["metadata"]["remainingItemCount"] == 3
    assert [each["metadata"]["name"] for each in rest["items"]] == ["w2", "w3", "w4"]
    assert rest["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


def test_token_requests_and_reviews_agree(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_service_account(
        namespace, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="jenkins"))
    )
    spec = client.V1TokenRequestSpec(audiences=["argo-events"], expiration_seconds=600)
    token = core.create_namespaced_service_account_token(
        "jenkins", namespace, client.AuthenticationV1TokenRequest(spec=spec)
    ).status.token

    review = client.V1TokenReview(spec=client.V1TokenReviewSpec(token=token, audiences=["argo-events"]))
    status = client.AuthenticationV1Api(api).create_token_review(review).status

    assert status.authenticated
    assert status.user.username == f"system:serviceaccount:{namespace}:jenkins"
    assert status.audiences == ["argo-events"]
