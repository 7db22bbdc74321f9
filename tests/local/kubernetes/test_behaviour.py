"""What callers rely on beyond the recorded pairs, asked of ours and of a real server alike."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.local.kubernetes.servers import Server

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def workflows(namespace: str) -> str:
    return f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workflows"


def workflow(name: str, **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": name} | metadata,
        "spec": {"entrypoint": "main"},
    }


def eventually(found: Callable[[], bool], seconds: float = 20) -> bool:
    """Whether it came true in time; a real server serves new kinds after a moment."""
    until = time.monotonic() + seconds
    while not found():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


def account(server: Server, namespace: str, name: str, rules: list[dict[str, Any]]) -> str:
    """A service account with a role of those rules; returns its token."""
    server.create(f"/api/v1/namespaces/{namespace}/serviceaccounts", {"metadata": {"name": name}})
    base = f"{RBAC}/namespaces/{namespace}"
    server.create(f"{base}/roles", {"metadata": {"name": name}, "rules": rules})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    server.create(
        f"{base}/rolebindings", {"metadata": {"name": name}, "subjects": [subject], "roleRef": reference}
    )
    return server.token_for(namespace, name)


def rule(verbs: str, resources: str, *names: str, group: str = "argoproj.io") -> dict[str, Any]:
    found = {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}
    return found | ({"resourceNames": list(names)} if names else {})


def test_a_token_can_do_what_its_role_says_and_nothing_else(server: Server, namespace: str) -> None:
    token = account(server, namespace, "jenkins", [rule("create", "workflows")])

    created, _ = server.call("POST", workflows(namespace), workflow("one"), token=token)
    listed, refused = server.call("GET", workflows(namespace), token=token)

    assert created == 201
    assert listed == 403
    assert (
        f'User "system:serviceaccount:{namespace}:jenkins" cannot list resource "workflows"'
        in refused["message"]
    )


def test_rules_for_names_cover_a_list_of_just_that_name(server: Server, namespace: str) -> None:
    token = account(server, namespace, "jenkins", [rule("get list watch", "workflows", "mine")])

    one, _ = server.call("GET", f"{workflows(namespace)}?fieldSelector=metadata.name%3Dmine", token=token)
    every, _ = server.call("GET", workflows(namespace), token=token)

    assert (one, every) == (200, 403)


def test_the_door_check_costs_an_empty_list(server: Server, namespace: str) -> None:
    token = account(server, namespace, "jenkins", [rule("list", "workfloweventbindings")])
    path = f"/apis/argoproj.io/v1alpha1/namespaces/{namespace}/workfloweventbindings"

    status, answer = server.call("GET", f"{path}?resourceVersion=0&labelSelector=x,%21x", token=token)

    assert status == 200
    assert answer["items"] == []
    assert server.call("GET", path, token="nonsense")[0] == 401


def test_impersonation_of_one_account_opens_no_other(server: Server, namespace: str) -> None:
    token = account(
        server, namespace, "worker", [rule("impersonate", "serviceaccounts", "jenkins", group="")]
    )
    account(server, namespace, "jenkins", [rule("create", "workflows")])

    def create(name: str, acting_as: str) -> int:
        headers = {"Impersonate-User": f"system:serviceaccount:{namespace}:{acting_as}"}
        return server.call("POST", workflows(namespace), workflow(name), token=token, headers=headers)[0]

    assert create("one", "jenkins") == 201
    assert create("two", "other") == 403
    assert server.call("POST", workflows(namespace), workflow("three"), token=token)[0] == 403


def test_names_in_bindings_decide_not_the_existence_of_accounts(server: Server, namespace: str) -> None:
    headers = {"Impersonate-User": f"system:serviceaccount:{namespace}:never-made"}

    status, answer = server.call("GET", workflows(namespace), headers=headers)

    assert status == 403
    assert "never-made" in answer["message"]


def test_a_patch_without_change_makes_no_revision(server: Server, namespace: str) -> None:
    made = server.create(workflows(namespace), workflow("one", labels={"a": "1"}))
    headers = {"Content-Type": "application/merge-patch+json"}

    status, answer = server.call(
        "PATCH", f"{workflows(namespace)}/one", {"metadata": {"labels": {"a": "1"}}}, headers=headers
    )

    assert status == 200
    assert answer["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


def test_a_patch_that_names_an_old_revision_is_a_conflict(server: Server, namespace: str) -> None:
    made = server.create(workflows(namespace), workflow("one"))
    headers = {"Content-Type": "application/merge-patch+json"}
    path = f"{workflows(namespace)}/one"
    server.call("PATCH", path, {"metadata": {"labels": {"a": "1"}}}, headers=headers)

    stale = {"metadata": {"resourceVersion": made["metadata"]["resourceVersion"], "labels": {"a": "2"}}}
    status, answer = server.call("PATCH", path, stale, headers=headers)

    assert status == 409
    assert "the object has been modified" in answer["message"]


def test_finalizers_hold_an_object_until_the_last_is_gone(server: Server, namespace: str) -> None:
    server.create(workflows(namespace), workflow("one", finalizers=["example.com/a", "example.com/b"]))
    path = f"{workflows(namespace)}/one"
    headers = {"Content-Type": "application/merge-patch+json"}

    deleted, held = server.call("DELETE", path)
    server.call("PATCH", path, {"metadata": {"finalizers": ["example.com/b"]}}, headers=headers)
    still, _ = server.call("GET", path)
    server.call("PATCH", path, {"metadata": {"finalizers": None}}, headers=headers)
    gone, _ = server.call("GET", path)

    assert deleted == 200
    assert held["metadata"]["deletionTimestamp"]
    assert (still, gone) == (200, 404)


def test_an_old_list_stays_as_it_was(server: Server, namespace: str) -> None:
    server.create(workflows(namespace), workflow("one"))
    _, before = server.call("GET", workflows(namespace))
    revision = before["metadata"]["resourceVersion"]
    server.create(workflows(namespace), workflow("two"))
    server.call("DELETE", f"{workflows(namespace)}/one")

    _, old = server.call(
        "GET", f"{workflows(namespace)}?resourceVersion={revision}&resourceVersionMatch=Exact"
    )
    _, new = server.call(
        "GET", f"{workflows(namespace)}?resourceVersion={revision}&resourceVersionMatch=NotOlderThan"
    )

    assert [each["metadata"]["name"] for each in old["items"]] == ["one"]
    assert [each["metadata"]["name"] for each in new["items"]] == ["two"]


def test_what_leaves_a_selection_is_a_deletion_to_its_watcher(server: Server, namespace: str) -> None:
    made = server.create(workflows(namespace), workflow("one", labels={"team": "blue"}))
    headers = {"Content-Type": "application/merge-patch+json"}
    server.call(
        "PATCH", f"{workflows(namespace)}/one", {"metadata": {"labels": {"team": "red"}}}, headers=headers
    )
    revision = made["metadata"]["resourceVersion"]

    _, text = server.call(
        "GET",
        f"{workflows(namespace)}?watch=1&labelSelector=team%3Dblue&resourceVersion={revision}&timeoutSeconds=1",
    )

    assert text["type"] == "DELETED"
    assert text["object"]["metadata"]["labels"] == {"team": "blue"}


def test_large_lists_are_compressed_for_those_who_ask(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for at in range(3):
        server.create(path, {"metadata": {"name": f"c{at}"}, "data": {"text": "x" * 60_000}})

    plain = server.raw(path, "identity")
    packed = server.raw(path, "gzip")

    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert len(packed.data) < len(plain.data) / 10


def test_applied_fields_go_when_their_manager_lets_go(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps/settings?fieldManager=one"
    headers = {"Content-Type": "application/apply-patch+yaml"}
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "settings"},
        "data": {"a": "1", "b": "2"},
    }

    first, _ = server.call("PATCH", path, body, headers=headers)
    second, answer = server.call("PATCH", path, body | {"data": {"a": "1"}}, headers=headers)

    assert (first, second) == (201, 200)
    assert answer["data"] == {"a": "1"}


def test_two_managers_share_a_map_and_quarrel_over_a_key(server: Server, namespace: str) -> None:
    def apply(manager: str, data: dict[str, str]) -> tuple[int, Any]:
        path = f"/api/v1/namespaces/{namespace}/configmaps/shared?fieldManager={manager}"
        headers = {"Content-Type": "application/apply-patch+yaml"}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shared"}, "data": data}
        return server.call("PATCH", path, body, headers=headers)

    apply("one", {"a": "1"})
    added, answer = apply("two", {"b": "2"})
    refused, conflict = apply("two", {"a": "9", "b": "2"})

    assert added == 200
    assert answer["data"] == {"a": "1", "b": "2"}
    assert refused == 409
    assert conflict["message"] == 'Apply failed with 1 conflict: conflict with "one": .data.a'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[" * 5000, 400),
        (b'{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": 5}', 400),
        (b'{"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"labels": ["a"]}}', 400),
        (
            json.dumps(
                {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": {"name": "-"}}
            ).encode(),
            422,
        ),
    ],
)
def test_what_cannot_be_an_object_is_refused(
    server: Server, namespace: str, body: bytes, status: int
) -> None:
    assert server.call("POST", workflows(namespace), body)[0] == status


MERGE, STEPS, APPLY = (
    f"application/{kind}" for kind in ("merge-patch+json", "json-patch+json", "apply-patch+yaml")
)


def typed(metadata: Any, **more: Any) -> dict[str, Any]:
    return {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata} | more


@pytest.mark.parametrize(
    ("method", "target", "media", "body", "status", "words"),
    [
        (
            "POST",
            "",
            "",
            typed({"name": 5}),
            400,
            "cannot unmarshal number into Go struct field ObjectMeta.name",
        ),
        ("POST", "", "", typed("x"), 400, "cannot unmarshal string into Go value of type v1.ObjectMeta"),
        ("POST", "", "", typed({"creationTimestamp": "x"}), 400, 'cannot parse "x" as "2006"'),
        ("POST", "", "", typed({"generation": 1.5}), 400, "cannot unmarshal number 1.5 into"),
        (
            "POST",
            "",
            "",
            {"kind": "Workflow", "metadata": {}},
            400,
            "the API version in the data () does not match",
        ),
        ("POST", "", "", b"null", 400, "Object 'Kind' is missing in 'null'"),
        ("POST", "", "application/yaml", b"a: [", 400, "yaml: line 1: did not find expected node content"),
        (
            "POST",
            "?dryRun=x&fieldValidation=y",
            "",
            workflow("a"),
            422,
            "is invalid: [dryRun: Unsupported value",
        ),
        ("POST", "?dryRun=", "", workflow("a"), 422, 'dryRun: Unsupported value: [""]'),
        ("PUT", "/one", "", workflow("one", resourceVersion="0"), 422, "must be specified for an update"),
        (
            "PATCH",
            "/one",
            MERGE,
            {"metadata": {"uid": "x"}},
            422,
            'metadata.uid: Invalid value: "x": field is immutable',
        ),
        (
            "PATCH",
            "/one",
            MERGE,
            {"metadata": {"labels": {"a": 5}}},
            422,
            "is invalid: patch: Invalid value: ",
        ),
        (
            "PATCH",
            "/one",
            MERGE,
            {"metadata": {"resourceVersion": None}},
            422,
            "must be specified for an update",
        ),
        ("PATCH", "/one", MERGE, {"apiVersion": "v1"}, 422, "must be argoproj.io/v1alpha1"),
        ("PATCH", "/one?fieldValidation=Strict", MERGE, b'{"spec":{"a":1,"a":2}}', 422, "duplicate field"),
        ("PATCH", "/one", STEPS, [1], 400, "into Go value of type handlers.jsonPatchOp"),
        ("PATCH", "/one", APPLY, {"metadata": {}}, 422, "fieldManager: Required value"),
        (
            "PATCH",
            "/one?fieldManager=m",
            APPLY,
            b"[",
            400,
            "error decoding YAML: error converting YAML to JSON",
        ),
        (
            "PATCH",
            "/one?fieldManager=m",
            APPLY,
            typed({"name": "one", "labels": {"a": 5}}),
            500,
            "expected string, got",
        ),
        ("DELETE", "/one?uid=x", "", None, 409, "the UID in the precondition (x) does not match"),
        ("DELETE", "/one", "", {"dryRun": ["x"]}, 422, 'dryRun: Unsupported value: ["x"]'),
        ("TRACE", "", "", None, 405, " is not supported on resources of kind"),
    ],
)
def test_what_cannot_be_done_is_said_in_the_servers_words(
    server: Server, namespace: str, method: str, target: str, media: str, body: Any, status: int, words: str
) -> None:
    server.create(workflows(namespace), workflow("one"))

    headers = {"Content-Type": media} if media else {}
    found, answer = server.call(method, f"{workflows(namespace)}{target}", body, headers=headers)

    assert (found, words in answer["message"]) == (status, True), answer


def test_a_watch_is_not_to_be_had_in_yaml(server: Server, namespace: str) -> None:
    yaml = {"Accept": "application/yaml"}

    status, _ = server.call("GET", f"{workflows(namespace)}?watch=1&timeoutSeconds=1", headers=yaml)

    assert status == 406


def test_what_a_patch_adds_arrives_whole(server: Server, namespace: str) -> None:
    server.create(workflows(namespace), workflow("one"))

    steps = [{"op": "add", "path": "/spec/arguments", "value": {"parameters": [{"name": "a", "value": "b"}]}}]
    status, answer = server.call(
        "PATCH", f"{workflows(namespace)}/one", steps, headers={"Content-Type": STEPS}
    )

    assert (status, answer["spec"]["arguments"]) == (200, steps[0]["value"])


def test_a_null_label_is_an_empty_one(server: Server, namespace: str) -> None:
    created = server.create(workflows(namespace), workflow("one", labels={"a": None}))

    assert created["metadata"]["labels"] == {"a": ""}


def test_an_object_has_one_controller_and_no_event_for_an_owner(server: Server, namespace: str) -> None:
    owners = [
        {"apiVersion": "v1", "kind": kind, "name": kind.lower(), "uid": kind, "controller": True}
        for kind in ("ConfigMap", "Event")
    ]

    status, answer = server.call("POST", workflows(namespace), workflow("one", ownerReferences=owners))

    assert status == 422
    assert "/v1, Kind=Event is disallowed from being an owner" in answer["message"]
    assert "references for ConfigMap/configmap and Event/event" in answer["message"]


def test_a_token_bound_to_a_secret_ends_with_it(server: Server, namespace: str) -> None:
    account(server, namespace, "jenkins", [rule("list", "workflows")])
    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    server.create(secrets, {"metadata": {"name": "life"}})
    bound = {"boundObjectRef": {"apiVersion": "v1", "kind": "Secret", "name": "life"}}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/jenkins/token"
    token = server.create(path, {"spec": bound})["status"]["token"]

    before, _ = server.call("GET", workflows(namespace), token=token)
    server.call("DELETE", f"{secrets}/life")

    assert before == 200
    # A real server remembers a good token for some seconds.
    assert eventually(lambda: server.call("GET", workflows(namespace), token=token)[0] == 401)


def test_roles_cannot_be_rebound(server: Server, namespace: str) -> None:
    account(server, namespace, "jenkins", [rule("get", "workflows")])
    path = f"{RBAC}/namespaces/{namespace}/rolebindings/jenkins"
    headers = {"Content-Type": "application/merge-patch+json"}

    status, answer = server.call("PATCH", path, {"roleRef": {"name": "other"}}, headers=headers)

    assert status == 422
    assert "cannot change roleRef" in answer["message"]


def test_secrets_take_text_and_show_base64(server: Server, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/secrets"

    made = server.create(path, {"metadata": {"name": "s"}, "stringData": {"key": "value"}})
    bad, answer = server.call("POST", path, {"metadata": {"name": "t"}, "data": {"key": "§"}})

    assert made["data"] == {"key": "dmFsdWU="}
    assert "stringData" not in made
    assert bad == 400
    assert "illegal base64 data" in answer["message"]


def test_events_of_both_groups_are_the_same_events(server: Server, namespace: str) -> None:
    about = {"kind": "Workflow", "name": "one", "namespace": namespace}
    event = {
        "metadata": {"name": "one.1"},
        "involvedObject": about,
        "reason": "Seen",
        "message": "text",
        "type": "Normal",
    }
    server.create(f"/api/v1/namespaces/{namespace}/events", event)

    status, answer = server.call("GET", f"/apis/events.k8s.io/v1/namespaces/{namespace}/events/one.1")

    assert status == 200
    assert answer["regarding"]["name"] == "one"
    assert answer["note"] == "text"


def test_an_event_with_a_time_of_its_own_names_its_reporter(server: Server, namespace: str) -> None:
    about = {"kind": "Workflow", "namespace": namespace, "name": "a"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "eventTime": "2026-11-20T10:00:00.000000Z"}

    status, answer = server.call("POST", f"/api/v1/namespaces/{namespace}/events", event)

    missing = {
        cause["field"] for cause in answer["details"]["causes"] if cause["message"] == "Required value"
    }
    assert (status, missing) == (422, {"reportingComponent", "reportingInstance", "action", "reason"})


def test_events_by_their_own_group_are_told_once(server: Server, namespace: str) -> None:
    events = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    event = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Workflow", "namespace": namespace, "name": "a"},
        "eventTime": "2026-11-20T10:00:00.000000Z",
        "reportingController": "example.com/triggers",
        "reportingInstance": "one",
        "action": "Dispatch",
        "reason": "Failed",
        "type": "Warning",
        "note": "once",
    }
    server.create(events, event)
    merge = {"Content-Type": "application/merge-patch+json"}
    series = {"series": {"count": 2, "lastObservedTime": "2026-11-20T10:00:01.000000Z"}}

    retold, _ = server.call("PATCH", f"{events}/e", {"note": "twice"}, headers=merge)
    again, _ = server.call("PATCH", f"{events}/e", series, headers=merge)
    _, found = server.call("GET", f"{events}?fieldSelector=regarding.name%3Da")

    assert (retold, again) == (422, 200)
    assert [each["metadata"]["name"] for each in found["items"]] == ["e"]


def test_a_namespace_that_ends_takes_nothing_new(server: Server, namespace: str) -> None:
    server.call("DELETE", f"/api/v1/namespaces/{namespace}")

    status, answer = server.call("POST", workflows(namespace), workflow("late"))

    assert status in (403, 404)
    assert namespace in answer["message"]


def test_status_has_a_path_of_its_own_where_the_definition_says_so(server: Server, namespace: str) -> None:
    plural = f"jobs{namespace.removeprefix('test-')}"
    part = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"spec": part, "status": part}}}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": schema,
    }
    names = {"plural": plural, "kind": plural.title()}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    server.create(definitions, {"metadata": {"name": f"{plural}.example.com"}, "spec": spec})
    path = f"/apis/example.com/v1/namespaces/{namespace}/{plural}"
    assert eventually(lambda: server.call("GET", path)[0] == 200)
    head = {"apiVersion": "example.com/v1", "kind": plural.title()}
    merge = {"Content-Type": "application/merge-patch+json"}
    try:
        made = server.create(path, head | {"metadata": {"name": "one"}, "spec": {"a": 1}, "status": {"b": 1}})
        _, told = server.call(
            "PATCH", f"{path}/one/status", {"status": {"b": 2}, "spec": {"a": 9}}, headers=merge
        )
        _, changed = server.call(
            "PATCH", f"{path}/one", {"status": {"b": 3}, "spec": {"a": 4}}, headers=merge
        )
    finally:
        server.call("DELETE", f"{definitions}/{plural}.example.com")

    assert "status" not in made
    assert (told["spec"], told["status"], told["metadata"]["generation"]) == ({"a": 1}, {"b": 2}, 1)
    assert (changed["spec"], changed["status"], changed["metadata"]["generation"]) == ({"a": 4}, {"b": 2}, 2)
    assert {entry.get("subresource", "") for entry in changed["metadata"]["managedFields"]} == {"", "status"}


def test_an_object_keeps_the_name_and_namespace_of_its_path(server: Server, namespace: str) -> None:
    server.create(workflows(namespace), workflow("one"))
    merge = {"Content-Type": "application/merge-patch+json"}

    moved, answer = server.call(
        "PATCH", f"{workflows(namespace)}/one", {"metadata": {"namespace": "x"}}, headers=merge
    )
    nameless, _ = server.call(
        "PATCH", f"{workflows(namespace)}/one", {"metadata": {"name": None}}, headers=merge
    )

    assert (moved, nameless) == (400, 400)
    assert "does not match the namespace sent on the request" in answer["message"]


def test_what_was_kept_does_not_change_with_an_applied_copy(server: Server, namespace: str) -> None:
    server.create(workflows(namespace), workflow("one", labels={"a": "1"}))
    _, before = server.call("GET", workflows(namespace))
    headers = {"Content-Type": "application/apply-patch+yaml"}
    body = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": "one", "labels": {"b": "2"}},
    }
    server.call("PATCH", f"{workflows(namespace)}/one?fieldManager=other", body, headers=headers)
    revision = before["metadata"]["resourceVersion"]

    _, old = server.call(
        "GET", f"{workflows(namespace)}?resourceVersion={revision}&resourceVersionMatch=Exact"
    )

    assert old["items"] == before["items"]


@pytest.mark.parametrize(
    ("token", "detail"),
    [
        ("abc", ": invalid character 'i' looking for beginning of value"),
        ("ab!c", ": illegal base64 data at input byte 2"),
        ("e30", ": server does not recognize this encoded version"),
        (
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEifQ",
            ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        ),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MX0", ": encoded start key empty (version meta.k8s.io/v1)"),
        ("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiIuLi94In0", ""),
    ],
)
def test_a_continue_token_nobody_gave_is_refused(
    server: Server, namespace: str, token: str, detail: str
) -> None:
    status, answer = server.call("GET", f"{workflows(namespace)}?limit=1&continue={token}")

    assert status == 400
    assert answer["message"] == f"invalid continue token: continue key is not valid{detail}"
