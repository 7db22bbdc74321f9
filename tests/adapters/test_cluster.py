"""The cluster in memory and the adapter over the official client, against the local Kubernetes API, alike.

Below the common cases stands what only a connection can do: sign in, be away, lose an answer, be slow; and, on a
scripted server, what exactly is sent.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import logging
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chalicelib.adapters.cluster import CACHE_LIMIT, KubernetesCluster, connect
from chalicelib.core.bindings import INSTANCE_ID
from chalicelib.core.errors import (
    ClusterError,
    Conflict,
    Forbidden,
    LynceusError,
    Misconfigured,
    Unauthenticated,
    Unavailable,
)
from chalicelib.core.events import Account
from chalicelib.ports import Cluster as ClusterPort
from chalicelib.settings import Settings
from lynceus.local.kubernetes import Cluster, creates
from lynceus.local.memory import FakeClock, MemoryCluster, MemoryJournal

RBAC = Path(__file__).resolve().parents[2] / "infra" / "kubernetes" / "rbac.yaml"
OURS = ("lynceus:api", "lynceus:submit", "lynceus:cron", "lynceus:tick")
GITHUB = Account("argo", "github.com")
WEAK = Account("argo", "weak")
V1ALPHA1 = "argoproj.io/v1alpha1"
NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def object_of(
    kind: str, name: str, namespace: str = "argo", *, labels: Any = None, spec: Any = None
) -> dict[str, Any]:
    metadata = {
        "name": name,
        **({"namespace": namespace} if namespace else {}),
        **({"labels": labels} if labels else {}),
    }
    api = "v1" if kind in ("ServiceAccount", "Namespace") else V1ALPHA1
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **({"spec": spec} if spec else {})}


def binding(name: str, namespace: str = "argo", labels: Any = None, selector: str = "true") -> dict[str, Any]:
    return object_of(
        "WorkflowEventBinding", name, namespace, labels=labels, spec={"event": {"selector": selector}}
    )


def template(name: str, kind: str = "WorkflowTemplate") -> dict[str, Any]:
    steps = {"entrypoint": "main", "templates": [{"name": "main", "container": {"image": "busybox"}}]}
    return object_of(kind, name, "argo" if kind == "WorkflowTemplate" else "", spec=steps)


def cron(name: str, labels: Any = None) -> dict[str, Any]:
    spec = {"schedules": ["0 0 * * *"], "workflowSpec": {"workflowTemplateRef": {"name": "build"}}}
    return object_of("CronWorkflow", name, labels=labels, spec=spec)


def workflow(name: str, labels: Any = None, namespace: str = "argo") -> dict[str, Any]:
    return object_of(
        "Workflow", name, namespace, labels=labels, spec={"workflowTemplateRef": {"name": "build"}}
    )


SETUP = [
    object_of("Namespace", "argo", ""),
    object_of("Namespace", "other", ""),
    *(object_of("ServiceAccount", name) for name in ("github.com", "weak", "foreign")),
    object_of("ServiceAccount", "github.com", "other"),
    template("build"),
    template("shared", "ClusterWorkflowTemplate"),
]


@dataclass
class Stage:
    """A cluster, and what a test may do to it and see of it."""

    port: ClusterPort
    journal: MemoryJournal
    clock: FakeClock
    apply: Callable[..., object]
    bearer: Callable[[str, str], str]  # (namespace, account) → an Authorization header
    person: str  # the Authorization header of somebody who is no service account
    reports: Callable[[], list[tuple[str, str, int, str]]]  # (object, reason, count, message) of each Event


def in_memory(instance_id: str = "") -> Stage:
    clock = FakeClock(NOW)
    cluster = MemoryCluster(clock, instance_id=instance_id)
    cluster.apply(*SETUP)
    for verb, plural in (
        ("list", "workfloweventbindings"),
        ("get", "workflowtemplates"),
        ("create", "workflows"),
        ("list", "workflows"),
    ):
        cluster.deny(WEAK.username, verb, plural)
    cluster.deny(GITHUB.username, "list", "workfloweventbindings", "other")
    cluster.deny("lynceus", "impersonate", "serviceaccounts", "other")
    cluster.tokens["person"] = "alice"

    def bearer(namespace: str, name: str) -> str:
        cluster.tokens[f"token-of-{namespace}-{name}"] = Account(namespace, name).username
        return f"Bearer token-of-{namespace}-{name}"

    return Stage(
        cluster, MemoryJournal(), clock, cluster.apply, bearer, "Bearer person",
        lambda: [(one.involved["name"], one.reason, one.count, one.message) for one in cluster.reports],
    )  # fmt: skip


# What Argo asks its users to grant an event client; `list` of workflows is for backfills.
CALLERS = [
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
     "metadata": {"name": "event-client", "namespace": "argo"},
     "rules": [{"apiGroups": ["argoproj.io"], "resources": ["workfloweventbindings"], "verbs": ["list"]},
               {"apiGroups": ["argoproj.io"], "resources": ["workflowtemplates"], "verbs": ["get"]},
               {"apiGroups": ["argoproj.io"], "resources": ["workflows"], "verbs": ["create", "list"]}]},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
     "metadata": {"name": "event-client", "namespace": "argo"},
     "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "event-client"},
     "subjects": [{"kind": "ServiceAccount", "name": "github.com", "namespace": "argo"},
                  {"kind": "ServiceAccount", "name": "github.com", "namespace": "other"},
                  {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "alice"}]},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "shared-templates"},
     "rules": [{"apiGroups": ["argoproj.io"], "resources": ["clusterworkflowtemplates"], "verbs": ["get"]}]},
    {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
     "metadata": {"name": "shared-templates"},
     "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "shared-templates"},
     "subjects": [{"kind": "ServiceAccount", "name": "github.com", "namespace": "argo"}]},
]  # fmt: skip


def our_rights() -> list[dict[str, Any]]:
    """The shipped Roles, and one more account to act for; so the adapter is tested with these rights and no others."""
    objects = [raw for raw in yaml.safe_load_all(RBAC.read_text()) if raw]
    for raw in objects:
        if not raw["kind"].startswith("Cluster"):
            raw["metadata"]["namespace"] = "argo"
        for rule in raw.get("rules", ()):
            if "resourceNames" in rule and "serviceaccounts" in rule["resources"]:
                rule["resourceNames"] = ["github.com", "weak", "nobody"]
    return objects


@pytest.fixture
def kubernetes() -> Iterator[Cluster]:
    with Cluster() as cluster:
        cluster.apply([*SETUP, *CALLERS, *our_rights()])
        yield cluster


def over_http(cluster: Cluster, directory: Path, instance_id: str = "") -> Stage:
    clock, journal = FakeClock(datetime.now(UTC)), MemoryJournal()
    kubeconfig = cluster.write_kubeconfig(directory / "kubeconfig", user="lynceus", groups=OURS)
    port = KubernetesCluster(Settings(kubeconfig=str(kubeconfig), instance_id=instance_id), clock, journal)
    return Stage(
        port, journal, clock, lambda *raws: cluster.apply(raws),
        lambda namespace, name: f"Bearer {cluster.token_for(namespace, name)}",
        f"Bearer {cluster.user_token('alice')}",
        lambda: [
            (one["involvedObject"]["name"], one["reason"], one["count"], one["message"])
            for one in cluster.objects("events")
        ],
    )  # fmt: skip


@pytest.fixture(params=["memory", "kubernetes"])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    if request.param == "memory":
        return in_memory()
    return over_http(request.getfixturevalue("kubernetes"), tmp_path)


@pytest.fixture(params=["memory", "kubernetes"])
def second(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    """A cluster as an installation with instance id "second" sees it."""
    if request.param == "memory":
        return in_memory("second")
    return over_http(request.getfixturevalue("kubernetes"), tmp_path, "second")


@pytest.fixture
def real(kubernetes: Cluster, tmp_path: Path) -> Stage:
    return over_http(kubernetes, tmp_path)


# Bindings


def test_bindings_are_those_of_the_namespace_in_the_order_of_their_names(stage: Stage) -> None:
    stage.apply(binding("b"), binding("a", selector='payload.x == "1"'), binding("elsewhere", "other"))
    listed = stage.port.bindings("argo")
    assert [(one.namespace, one.name) for one in listed.bindings] == [("argo", "a"), ("argo", "b")]
    assert listed.bindings[0].selector == 'payload.x == "1"'
    assert all(one.uid and one.resource_version for one in listed.bindings)
    assert (listed.namespace, listed.taken_at) == ("argo", stage.clock.now())


def test_a_later_list_has_a_higher_revision(stage: Stage) -> None:
    stage.apply(binding("a"))
    first = stage.port.bindings("argo").revision
    stage.apply(binding("b"))
    assert 0 < first < stage.port.bindings("argo").revision


def test_a_namespace_without_bindings_has_an_empty_list(stage: Stage) -> None:
    assert stage.port.bindings("argo").bindings == ()


def test_without_an_instance_id_only_bindings_without_one_are_ours(stage: Stage) -> None:
    stage.apply(binding("a"), binding("labelled", labels={INSTANCE_ID: "second"}))
    assert [one.name for one in stage.port.bindings("argo").bindings] == ["a"]
    assert [raw["metadata"]["name"] for raw in stage.port.raw_bindings("argo").objects] == ["a"]


def test_with_an_instance_id_only_bindings_that_carry_it_are_ours(second: Stage) -> None:
    second.apply(
        binding("a"),
        binding("ours", labels={INSTANCE_ID: "second"}),
        binding("b", labels={INSTANCE_ID: "third"}),
    )
    second.apply(cron("nightly"), cron("ours", labels={INSTANCE_ID: "second"}))
    assert [one.name for one in second.port.bindings("argo").bindings] == ["ours"]
    assert [raw["metadata"]["name"] for raw in second.port.cron_workflows("argo")] == ["ours"]


def test_raw_bindings_are_whole_but_for_what_dispatch_never_reads(stage: Stage) -> None:
    stage.apply(binding("a"))
    snapshot = stage.port.raw_bindings("argo")
    (raw,) = snapshot.objects
    assert raw["spec"] == {"event": {"selector": "true"}}
    assert raw["metadata"]["name"] == "a"
    assert raw["metadata"]["uid"]
    assert "managedFields" not in raw["metadata"]
    assert (snapshot.scope, snapshot.taken_at) == ("argo", stage.clock.now())
    assert snapshot.revision > 0


# Callers with a token


def test_a_caller_with_a_token_is_the_service_account_it_was_issued_to(stage: Stage) -> None:
    account = stage.port.caller(stage.bearer("argo", "github.com"), "argo")
    assert (account.namespace, account.name) == ("argo", "github.com")
    assert account.uid == stage.port.account_uid("argo", "github.com") != ""


@pytest.mark.parametrize("header", ["Bearer nonsense", "Bearer a.b.c", "Bearer  nonsense "])
def test_a_token_that_the_cluster_does_not_know_is_refused_in_its_word(stage: Stage, header: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        stage.port.caller(header, "argo")
    assert caught.value.body() == {"code": 16, "message": "Unauthorized"}


@pytest.mark.parametrize("header", ["", "Bearer", "bearer token", "Token abc", "v2:abc"])
def test_another_scheme_is_no_token(stage: Stage, header: str) -> None:
    with pytest.raises(Unauthenticated, match="token not valid"):
        stage.port.caller(header, "argo")


def test_a_caller_who_may_not_list_bindings_hears_the_api_servers_text(stage: Stage) -> None:
    with pytest.raises(Forbidden) as caught:
        stage.port.caller(stage.bearer("argo", "weak"), "argo")
    assert caught.value.message == (
        'workfloweventbindings.argoproj.io is forbidden: User "system:serviceaccount:argo:weak" cannot list resource '
        '"workfloweventbindings" in API group "argoproj.io" in the namespace "argo"'
    )


def test_an_account_of_another_namespace_is_told_so_though_it_may_list_bindings(stage: Stage) -> None:
    with pytest.raises(
        Forbidden,
        match=r'"system:serviceaccount:other:github\.com" is no service account of namespace "argo"',
    ):
        stage.port.caller(stage.bearer("other", "github.com"), "argo")


def test_a_person_is_told_that_only_service_accounts_are_taken(stage: Stage) -> None:
    with pytest.raises(Forbidden, match='"alice" is no service account of namespace "argo"'):
        stage.port.caller(stage.person, "argo")


def test_a_verdict_for_one_namespace_is_none_for_another(stage: Stage) -> None:
    header = stage.bearer("argo", "github.com")
    stage.port.caller(header, "argo")
    with pytest.raises(Forbidden, match='in the namespace "other"'):
        stage.port.caller(header, "other")


def test_whoever_is_allowed_a_verb_is_named(stage: Stage) -> None:
    header = stage.bearer("argo", "github.com")
    assert stage.port.allowed(header, "argo", "list", "workfloweventbindings.argoproj.io") == GITHUB.username


def test_whoever_is_not_allowed_a_verb_is_told_in_the_api_servers_form(stage: Stage) -> None:
    with pytest.raises(Forbidden) as caught:
        stage.port.allowed(stage.bearer("argo", "weak"), "argo", "list", "workfloweventbindings.argoproj.io")
    assert caught.value.message == (
        'workfloweventbindings.argoproj.io is forbidden: User "system:serviceaccount:argo:weak" cannot list resource '
        '"workfloweventbindings" in API group "argoproj.io" in the namespace "argo"'
    )


def test_the_bindings_that_a_caller_may_read_are_shown_as_a_list(stage: Stage) -> None:
    stage.apply(binding("a"), binding("labelled", labels={INSTANCE_ID: "second"}))
    listed = stage.port.bindings_as(stage.bearer("argo", "github.com"), "argo", {})
    assert listed["kind"] == "WorkflowEventBindingList"
    assert [raw["metadata"]["name"] for raw in listed["items"]] == ["a", "labelled"]


@pytest.mark.parametrize("header", ["Bearer nonsense", "", "Token abc"])
def test_a_stranger_is_allowed_nothing_and_shown_nothing(stage: Stage, header: str) -> None:
    with pytest.raises(Unauthenticated):
        stage.port.allowed(header, "argo", "list", "events.lynceus.dev")
    with pytest.raises(Unauthenticated):
        stage.port.bindings_as(header, "argo", {})


def test_whoever_may_not_list_bindings_is_not_shown_them(stage: Stage) -> None:
    with pytest.raises(Forbidden, match="cannot list resource"):
        stage.port.bindings_as(stage.bearer("argo", "weak"), "argo", {})


# Templates and Workflows


def test_a_template_is_read_as_the_account(stage: Stage) -> None:
    assert stage.port.template(GITHUB, "argo", "build", cluster_scope=False)["spec"]["entrypoint"] == "main"
    assert stage.port.template(GITHUB, "argo", "shared", cluster_scope=True)["metadata"]["name"] == "shared"


def test_a_template_that_the_account_may_not_read_is_refused_in_the_api_servers_words(stage: Stage) -> None:
    with pytest.raises(ClusterError) as caught:
        stage.port.template(WEAK, "argo", "build", cluster_scope=False)
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")
    assert caught.value.message == (
        'workflowtemplates.argoproj.io "build" is forbidden: User "system:serviceaccount:argo:weak" cannot get '
        'resource "workflowtemplates" in API group "argoproj.io" in the namespace "argo"'
    )


@pytest.mark.parametrize("cluster_scope", [False, True])
def test_a_template_that_does_not_exist_is_not_found(stage: Stage, cluster_scope: bool) -> None:
    with pytest.raises(ClusterError) as caught:
        stage.port.template(GITHUB, "argo", "none", cluster_scope=cluster_scope)
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")
    plural = "clusterworkflowtemplates" if cluster_scope else "workflowtemplates"
    assert caught.value.message == f'{plural}.argoproj.io "none" not found'


def test_an_account_that_we_may_not_act_as_is_our_missing_right(stage: Stage) -> None:
    with pytest.raises(ClusterError, match='cannot impersonate resource "serviceaccounts"') as caught:
        stage.port.template(Account("other", "github.com"), "other", "build", cluster_scope=False)
    assert caught.value.status == 403


@pytest.mark.parametrize("account", [GITHUB, None], ids=["as the account", "with our own rights"])
def test_a_workflow_is_created_and_found(stage: Stage, account: Account | None) -> None:
    made = stage.port.create(account, workflow("one", {"a": "b"}))
    assert made["metadata"]["uid"]
    assert made["metadata"]["labels"] == {"a": "b"}
    found = stage.port.workflow("argo", "one")
    assert found is not None
    assert found["metadata"]["uid"] == made["metadata"]["uid"]
    assert found["spec"] == {"workflowTemplateRef": {"name": "build"}}


def test_a_workflow_whose_name_is_taken_is_not_created(stage: Stage) -> None:
    stage.port.create(GITHUB, workflow("one"))
    with pytest.raises(ClusterError) as caught:
        stage.port.create(GITHUB, workflow("one"))
    assert (caught.value.status, caught.value.reason) == (409, "AlreadyExists")
    assert caught.value.message == 'workflows.argoproj.io "one" already exists'


def test_a_workflow_that_the_account_may_not_create_is_refused_and_not_there(stage: Stage) -> None:
    with pytest.raises(ClusterError) as caught:
        stage.port.create(WEAK, workflow("one"))
    assert caught.value.status == 403
    assert "system:serviceaccount:argo:weak" in caught.value.message
    assert stage.port.workflow("argo", "one") is None


def test_a_workflow_that_does_not_exist_is_none(stage: Stage) -> None:
    assert stage.port.workflow("argo", "none") is None


def test_an_account_that_does_not_exist_has_no_uid_until_it_does(stage: Stage) -> None:
    assert stage.port.account_uid("argo", "nobody") == ""
    stage.apply(object_of("ServiceAccount", "nobody"))
    assert stage.port.account_uid("argo", "nobody") != ""


# CronWorkflows


def test_cron_workflows_are_listed_and_read(stage: Stage) -> None:
    stage.apply(cron("nightly"), cron("hourly"))
    assert [raw["metadata"]["name"] for raw in stage.port.cron_workflows("argo")] == ["hourly", "nightly"]
    one = stage.port.cron_workflow("argo", "nightly")
    assert one is not None
    assert one["spec"]["schedules"] == ["0 0 * * *"]
    assert stage.port.cron_workflow("argo", "none") is None


def test_children_are_the_workflows_of_a_cron_by_label(stage: Stage) -> None:
    label = "workflows.argoproj.io/cron-workflow"
    stage.apply(workflow("n-1", {label: "nightly"}), workflow("n-2", {label: "nightly"}))
    stage.apply(workflow("h-1", {label: "hourly"}), workflow("by-hand"))
    assert [raw["metadata"]["name"] for raw in stage.port.children("argo", "nightly")] == ["n-1", "n-2"]
    assert [raw["metadata"]["name"] for raw in stage.port.children("argo")] == ["h-1", "n-1", "n-2"]
    assert list(stage.port.children("argo", "none")) == []


def test_backfilled_workflows_are_listed_as_the_person_who_asks(stage: Stage) -> None:
    label = "workflows.argoproj.io/backfill"
    stage.apply(workflow("n-1", {label: "nightly"}), workflow("h-1", {label: "hourly"}), workflow("by-hand"))
    listed = stage.port.backfilled_as(stage.bearer("argo", "github.com"), "argo", "nightly")
    assert [raw["metadata"]["name"] for raw in listed] == ["n-1"]


def test_whoever_may_not_list_workflows_is_not_told_what_was_backfilled(stage: Stage) -> None:
    with pytest.raises(Forbidden, match="cannot list resource"):
        stage.port.backfilled_as(stage.bearer("argo", "weak"), "argo", "nightly")


def test_a_patch_is_merged_and_null_removes(stage: Stage) -> None:
    stage.apply(cron("nightly"))
    stage.port.patch(
        "cronworkflows", "argo", "nightly", {"status": {"active": [{"name": "n-1"}], "phase": "Active"}}
    )
    patched = stage.port.patch(
        "cronworkflows", "argo", "nightly", {"status": {"active": [], "phase": None, "failed": 1}}
    )
    assert patched["status"] == {"active": [], "failed": 1}
    assert patched["spec"]["schedules"] == ["0 0 * * *"]
    assert stage.port.cron_workflow("argo", "nightly") == patched


def test_a_patch_of_what_changed_since_it_was_read_is_a_conflict_and_changes_nothing(stage: Stage) -> None:
    stage.apply(cron("nightly"))
    read = stage.port.cron_workflow("argo", "nightly")
    assert read is not None
    version = read["metadata"]["resourceVersion"]
    stage.port.patch(
        "cronworkflows",
        "argo",
        "nightly",
        {"metadata": {"resourceVersion": version}, "status": {"failed": 1}},
    )
    with pytest.raises(Conflict, match="Operation cannot be fulfilled on cronworkflows"):
        stage.port.patch(
            "cronworkflows",
            "argo",
            "nightly",
            {"metadata": {"resourceVersion": version}, "status": {"failed": 2}},
        )
    now = stage.port.cron_workflow("argo", "nightly")
    assert now is not None
    assert now["status"] == {"failed": 1}


def test_a_patch_of_what_is_gone_is_not_found(stage: Stage) -> None:
    with pytest.raises(ClusterError) as caught:
        stage.port.patch("workflows", "argo", "none", {"spec": {"shutdown": "Terminate"}})
    assert (caught.value.status, caught.value.reason) == (404, "NotFound")


def test_a_workflow_is_deleted_by_uid_alone(stage: Stage) -> None:
    made = stage.port.create(None, workflow("one"))
    stage.port.delete_workflow("argo", "one", "another-uid")
    assert stage.port.workflow("argo", "one") is not None
    stage.port.delete_workflow("argo", "one", made["metadata"]["uid"])
    assert stage.port.workflow("argo", "one") is None
    stage.port.delete_workflow("argo", "one", made["metadata"]["uid"])


# Visible errors


def involved(name: str) -> dict[str, str]:
    return {"apiVersion": V1ALPHA1, "kind": "WorkflowEventBinding", "name": name, "uid": f"{name}-uid"}


def test_failures_of_one_hour_are_one_event_that_counts(stage: Stage) -> None:
    for minute in range(5):
        stage.port.report(
            "argo",
            involved("b"),
            "WorkflowEventBindingError",
            f"broken {minute}",
            NOW + timedelta(minutes=minute),
        )
        stage.clock.sleep(60)
    assert stage.reports() == [("b", "WorkflowEventBindingError", 5, "broken 4")]


def test_another_object_reason_or_hour_is_another_event(stage: Stage) -> None:
    stage.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken", NOW)
    stage.port.report("argo", involved("c"), "WorkflowEventBindingError", "broken", NOW)
    stage.port.report("argo", involved("b"), "Other", "broken", NOW)
    stage.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken", NOW + timedelta(hours=1))
    assert sorted(name for name, _, count, _ in stage.reports() if count == 1) == ["b", "b", "b", "c"]


# The adapter alone: Events


def test_an_event_is_shown_beside_its_object(real: Stage, kubernetes: Cluster) -> None:
    real.port.report("argo", involved("b"), "WorkflowEventBindingError", "x" * 5000, NOW)
    (event,) = kubernetes.objects("events")
    assert event["type"] == "Warning"
    assert event["involvedObject"] == {**involved("b"), "namespace": "argo"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2026-03-02T12:00:00Z"
    assert event["source"] == {"component": "lynceus"}
    assert len(event["message"]) == 1024
    name, _, digest = event["metadata"]["name"].rpartition(".")
    assert (name, len(digest)) == ("b", 16)


def test_repeats_within_a_minute_are_gathered_and_written_together(real: Stage) -> None:
    for _ in range(10):
        real.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken", NOW)
    assert [count for _, _, count, _ in real.reports()] == [1]
    real.clock.sleep(60)
    real.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken still", NOW)
    assert real.reports() == [("b", "WorkflowEventBindingError", 11, "broken still")]


def test_another_process_counts_on_where_the_first_was(
    real: Stage, kubernetes: Cluster, tmp_path: Path
) -> None:
    real.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken", NOW)
    other = over_http(kubernetes, tmp_path / "other")
    other.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken there", NOW)
    assert real.reports() == [("b", "WorkflowEventBindingError", 2, "broken there")]


@pytest.mark.parametrize("name", ["b" * 253, "a." + "b" * 198 + ".c", "x"])
def test_a_long_name_still_makes_an_event(real: Stage, name: str) -> None:
    real.port.report("argo", involved(name), "WorkflowEventBindingError", "broken", NOW)
    assert [one[0] for one in real.reports()] == [name]
    assert real.journal.lines == []


def test_an_event_that_cannot_be_written_is_logged_and_nothing_more(real: Stage, kubernetes: Cluster) -> None:
    real.port.report("none-such", involved("b"), "WorkflowEventBindingError", "broken", NOW)
    kubernetes.faults.refuse()
    real.port.report("argo", involved("b"), "WorkflowEventBindingError", "broken", NOW)
    assert real.journal.events() == ["report.failed", "report.failed"]


# The adapter alone: what is remembered


def test_a_verdict_serves_a_minute_while_the_cluster_is_away(real: Stage, kubernetes: Cluster) -> None:
    header = real.bearer("argo", "github.com")
    account = real.port.caller(header, "argo")
    kubernetes.faults.refuse()
    real.clock.sleep(59)
    assert real.port.caller(header, "argo") == account
    real.clock.sleep(2)
    with pytest.raises(Unavailable):
        real.port.caller(header, "argo")


def test_a_verdict_never_outlives_its_token(real: Stage, kubernetes: Cluster) -> None:
    header = f"Bearer {kubernetes.token_for('argo', 'github.com', seconds=600)}"
    real.clock.sleep(570)  # half a minute is left of it by this clock
    real.port.caller(header, "argo")
    kubernetes.faults.refuse()
    real.clock.sleep(25)
    assert real.port.caller(header, "argo").name == "github.com"
    real.clock.sleep(10)
    with pytest.raises(Unavailable):
        real.port.caller(header, "argo")


def test_a_token_never_judged_is_unavailable_while_the_cluster_is_away(
    real: Stage, kubernetes: Cluster
) -> None:
    header = real.bearer("argo", "github.com")
    kubernetes.faults.refuse()
    with pytest.raises(Unavailable):
        real.port.caller(header, "argo")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_cluster_that_cannot_judge_a_token_now_is_unavailable(
    real: Stage, kubernetes: Cluster, status: int
) -> None:
    header = real.bearer("argo", "github.com")
    kubernetes.faults.error(status, "try later")
    with pytest.raises(Unavailable):
        real.port.caller(header, "argo")


def test_a_right_just_granted_counts_at_once(real: Stage) -> None:
    header = real.bearer("argo", "weak")
    with pytest.raises(Forbidden):
        real.port.caller(header, "argo")
    granted = json.loads(json.dumps(CALLERS[1]))
    granted["subjects"].append({"kind": "ServiceAccount", "name": "weak", "namespace": "argo"})
    real.apply(granted)
    assert real.port.caller(header, "argo").name == "weak"


def test_a_token_is_not_kept_nor_shown_anywhere(
    real: Stage, kubernetes: Cluster, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    tokens = [kubernetes.token_for("argo", name) for name in ("github.com", "weak")]
    said: list[object] = [real.port.caller(f"Bearer {tokens[0]}", "argo")]
    for fault in (None, kubernetes.faults.refuse, lambda: kubernetes.faults.error(500, "oops")):
        kubernetes.faults.clear()
        if fault:
            fault()
        with pytest.raises(LynceusError) as caught:
            real.port.caller(f"Bearer {tokens[1]}", "argo")
        said += [caught.value, caught.value.__dict__, repr(caught.value.__cause__)]
    kept = repr(vars(real.port)) + repr(
        [vars(one) for one in vars(real.port).values() if hasattr(one, "__dict__")]
    )
    everything = f"{said} {kept} {caplog.text} {real.journal.lines}"
    for token in tokens:
        assert token not in everything
        assert token.rsplit(".", 1)[1] not in everything


def test_the_uid_of_an_account_is_remembered_for_half_a_minute(real: Stage, kubernetes: Cluster) -> None:
    uid = real.port.account_uid("argo", "github.com")
    kubernetes.faults.refuse()
    real.clock.sleep(29)
    assert real.port.account_uid("argo", "github.com") == uid
    real.clock.sleep(2)
    with pytest.raises(Unavailable):
        real.port.account_uid("argo", "github.com")


# The adapter alone: failures


def test_a_cluster_that_is_away_is_unavailable_and_back_when_it_is(real: Stage, kubernetes: Cluster) -> None:
    real.port.bindings("argo")
    kubernetes.faults.refuse()
    calls: list[Callable[[], object]] = [
        lambda: real.port.bindings("argo"),
        lambda: real.port.raw_bindings("argo"),
        lambda: real.port.template(GITHUB, "argo", "build", cluster_scope=False),
        lambda: real.port.create(GITHUB, workflow("one")),
        lambda: real.port.workflow("argo", "one"),
        lambda: real.port.account_uid("argo", "weak"),
        lambda: list(real.port.cron_workflows("argo")),
        lambda: real.port.cron_workflow("argo", "nightly"),
        lambda: list(real.port.children("argo")),
        lambda: real.port.patch("workflows", "argo", "one", {}),
        lambda: real.port.delete_workflow("argo", "one", "uid"),
    ]
    for call in calls:
        with pytest.raises(Unavailable, match="the Kubernetes API does not answer"):
            call()
    kubernetes.faults.clear()
    assert real.port.bindings("argo").bindings == ()
    assert real.port.workflow("argo", "one") is None


def test_a_create_whose_answer_is_lost_is_unavailable_and_made_once(real: Stage, kubernetes: Cluster) -> None:
    kubernetes.faults.drop_after_effect(when=creates("workflows"))
    with pytest.raises(Unavailable):
        real.port.create(GITHUB, workflow("one"))
    assert [raw["metadata"]["name"] for raw in kubernetes.objects("workflows.argoproj.io")] == ["one"]
    with pytest.raises(ClusterError, match="already exists"):
        real.port.create(GITHUB, workflow("one"))


def test_being_throttled_tells_how_long_to_wait(real: Stage, kubernetes: Cluster) -> None:
    kubernetes.faults.throttle(retry_after=7)
    with pytest.raises(ClusterError) as caught:
        real.port.create(GITHUB, workflow("one"))
    assert (caught.value.status, caught.value.retry_after) == (429, 7.0)


def test_a_failing_server_is_told_by_status_and_text(real: Stage, kubernetes: Cluster) -> None:
    kubernetes.faults.error(500, "etcdserver: request timed out")
    with pytest.raises(ClusterError, match="etcdserver: request timed out") as caught:
        real.port.bindings("argo")
    assert caught.value.status == 500


def test_a_namespace_that_is_not_there_is_not_found(real: Stage, kubernetes: Cluster, tmp_path: Path) -> None:
    admin = KubernetesCluster(
        Settings(kubeconfig=str(kubernetes.write_kubeconfig(tmp_path / "admin"))), real.clock, real.journal
    )
    with pytest.raises(ClusterError) as caught:
        admin.create(None, workflow("one", namespace="nope"))
    assert (caught.value.status, caught.value.message) == (404, 'namespaces "nope" not found')


def test_an_installation_for_the_whole_cluster_lists_all_namespaces(
    kubernetes: Cluster, tmp_path: Path
) -> None:
    kubernetes.apply([binding("a"), binding("b", "other"), cron("nightly")])
    admin = KubernetesCluster(
        Settings(kubeconfig=str(kubernetes.write_kubeconfig(tmp_path / "admin"))),
        FakeClock(),
        MemoryJournal(),
    )
    assert [(one.namespace, one.name) for one in admin.bindings("").bindings] == [
        ("argo", "a"),
        ("other", "b"),
    ]
    assert admin.raw_bindings("").scope == "*"
    assert len(list(admin.cron_workflows(""))) == 1


def test_a_kubeconfig_is_read_again_when_the_server_refuses_its_token(
    real: Stage, kubernetes: Cluster, tmp_path: Path
) -> None:
    path = tmp_path / "kubeconfig"
    good = path.read_text()
    token = yaml.safe_load(good)["users"][0]["user"]["token"]
    path.write_text(good.replace(token, "expired"))
    port = KubernetesCluster(Settings(kubeconfig=str(path)), FakeClock(), MemoryJournal())
    with pytest.raises(ClusterError) as caught:
        port.bindings("argo")
    assert caught.value.status == 401
    path.write_text(good)
    assert port.bindings("argo").bindings == ()


def test_a_right_on_a_resource_that_exists_in_roles_alone_is_asked_of_the_cluster(real: Stage) -> None:
    header = real.bearer("argo", "github.com")
    with pytest.raises(
        Forbidden, match=r'events\.lynceus\.dev is forbidden: User .* cannot get resource "events"'
    ):
        real.port.allowed(header, "argo", "get", "events.lynceus.dev")
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "readers", "namespace": "argo"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "lynceus-reader"},
        "subjects": [{"kind": "ServiceAccount", "name": "github.com", "namespace": "argo"}],
    }
    real.apply(role)
    assert real.port.allowed(header, "argo", "get", "events.lynceus.dev") == GITHUB.username


def test_a_workflow_that_we_may_not_delete_says_so(kubernetes: Cluster, tmp_path: Path) -> None:
    kubeconfig = kubernetes.write_kubeconfig(tmp_path / "other", user="nobody")
    port = KubernetesCluster(Settings(kubeconfig=str(kubeconfig)), FakeClock(), MemoryJournal())
    with pytest.raises(ClusterError, match="cannot delete resource"):
        port.delete_workflow("argo", "one", "uid")


# A scripted server: what is sent, and answers that no API server gives


@dataclass
class Scripted:
    """A server that answers from a list and notes what it was asked; None cuts the connection."""

    answers: list[tuple[int, dict[str, str], bytes] | None] = field(default_factory=list)
    asked: list[tuple[str, str, dict[str, str], Any]] = field(default_factory=list)
    url: str = ""

    def say(self, body: Any = None, status: int = 200, **headers: str) -> None:
        content = (
            body if isinstance(body, bytes) else json.dumps(body or {"items": [], "metadata": {}}).encode()
        )
        self.answers.append(
            (status, {name.replace("_", "-"): value for name, value in headers.items()}, content)
        )


@pytest.fixture
def scripted() -> Iterator[Scripted]:
    script = Scripted()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # one write an answer: two wait for each other's acknowledgement

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            script.asked.append((self.command, self.path, dict(self.headers), body))
            said = script.answers.pop(0) if script.answers else (200, {}, b'{"items": [], "metadata": {}}')
            if said is None:
                self.close_connection = True
                return
            status, headers, content = said
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815  # http.server finds them by these names

        def log_message(self, *arguments: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    yield script
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def eks(scripted: Scripted, monkeypatch: pytest.MonkeyPatch) -> KubernetesCluster:
    """The adapter as in Lambda: an endpoint, and tokens signed by the function's role."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    return KubernetesCluster(
        Settings(cluster_name="prod", cluster_endpoint=scripted.url + "/", cluster_ca=""),
        FakeClock(),
        MemoryJournal(),
    )


def test_lists_are_taken_from_the_servers_memory_compressed_and_filtered(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    items = [{"metadata": {"name": f"b{number}", "namespace": "argo"}} for number in range(100)]
    content = gzip.compress(json.dumps({"items": items, "metadata": {"resourceVersion": "12"}}).encode())
    scripted.say(content, Content_Encoding="gzip")
    listed = eks.bindings("argo")
    assert (len(listed.bindings), listed.revision) == (100, 12)
    ((method, target, headers, _),) = scripted.asked
    url = urlsplit(target)
    assert (method, url.path) == ("GET", "/apis/argoproj.io/v1alpha1/namespaces/argo/workfloweventbindings")
    assert parse_qs(url.query) == {"resourceVersion": ["0"], "labelSelector": [f"!{INSTANCE_ID}"]}
    assert headers["Accept-Encoding"] == "gzip"
    assert headers["User-Agent"] == "lynceus"
    assert headers["Authorization"].startswith("Bearer k8s-aws-v1.")


def test_acting_as_an_account_sends_its_name_and_nothing_else_and_only_in_that_call(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    eks.template(GITHUB, "argo", "build", cluster_scope=False)
    eks.create(GITHUB, workflow("one"))
    eks.workflow("argo", "one")
    names = [
        {name: value for name, value in headers.items() if name.startswith("Impersonate")}
        for _, _, headers, _ in scripted.asked
    ]
    acting = {"Impersonate-User": "system:serviceaccount:argo:github.com"}
    assert names == [acting, acting, {}]


def test_a_callers_token_is_sent_without_anything_of_ours(eks: KubernetesCluster, scripted: Scripted) -> None:
    scripted.say({"items": [], "metadata": {}})
    scripted.say({"status": {"userInfo": {"username": GITHUB.username, "uid": "u-1"}}}, 201)
    assert eks.caller("Bearer  a-token ", "argo") == Account("argo", "github.com", "u-1")
    assert [(method, urlsplit(target).path.rsplit("/", 1)[1]) for method, target, _, _ in scripted.asked] == [
        ("GET", "workfloweventbindings"),
        ("POST", "selfsubjectreviews"),
    ]
    assert [headers["Authorization"] for _, _, headers, _ in scripted.asked] == ["Bearer a-token"] * 2
    assert parse_qs(urlsplit(scripted.asked[0][1]).query) == {
        "resourceVersion": ["0"],
        "labelSelector": ["x,!x"],
    }
    eks.caller("Bearer a-token", "argo")
    assert len(scripted.asked) == 2


def test_a_patch_says_that_it_is_merged(eks: KubernetesCluster, scripted: Scripted) -> None:
    eks.patch("cronworkflows", "argo", "nightly", {"status": {"active": None}})
    ((method, _, headers, body),) = scripted.asked
    assert (method, headers["Content-Type"], body) == (
        "PATCH",
        "application/merge-patch+json",
        {"status": {"active": None}},
    )


@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_created_workflow_is_returned_under_whatever_success(
    eks: KubernetesCluster, scripted: Scripted, status: int
) -> None:
    scripted.say({"metadata": {"uid": "u-1"}}, status)
    assert eks.create(GITHUB, workflow("one")) == {"metadata": {"uid": "u-1"}}


@pytest.mark.parametrize(
    ("taken", "selector"),
    [
        (lambda eks: eks.children("argo", "nightly"), "workflows.argoproj.io/cron-workflow=nightly"),
        (lambda eks: eks.cron_workflows("argo"), "!workflows.argoproj.io/controller-instanceid"),
    ],
)
def test_cron_workflows_and_children_are_read_page_by_page_as_they_are_taken_and_consistently(
    eks: KubernetesCluster,
    scripted: Scripted,
    taken: Callable[[KubernetesCluster], Iterable[Any]],
    selector: str,
) -> None:
    scripted.say({"items": [{"n": 1}], "metadata": {"continue": "more"}})
    scripted.say({"items": [{"n": 2}], "metadata": {"continue": ""}})
    items = iter(taken(eks))
    assert next(items) == {"n": 1}
    assert len(scripted.asked) == 1
    assert list(items) == [{"n": 2}]
    first, following = (parse_qs(urlsplit(target).query) for _, target, _, _ in scripted.asked)
    assert first == {"labelSelector": [selector], "limit": ["500"]}
    assert following == {**first, "continue": ["more"]}


def test_a_list_that_came_in_parts_does_not_pass_for_a_whole_one(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    scripted.say({"items": [], "metadata": {"continue": "more", "resourceVersion": "1"}})
    with pytest.raises(Unavailable, match="in parts"):
        eks.raw_bindings("argo")


def test_our_own_token_is_renewed_once_when_it_is_refused(eks: KubernetesCluster, scripted: Scripted) -> None:
    refused = {"message": "Unauthorized", "reason": "Unauthorized", "code": 401}
    scripted.say(refused, 401)
    scripted.say({"metadata": {"uid": "u-1"}}, 201)
    assert eks.create(GITHUB, workflow("one"))
    assert len(scripted.asked) == 2
    for _ in range(2):
        scripted.say(refused, 401)
    with pytest.raises(ClusterError) as caught:
        eks.create(GITHUB, workflow("one"))
    assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")
    assert len(scripted.asked) == 4


def test_a_callers_token_that_is_refused_is_not_tried_again(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    scripted.say({"message": "Unauthorized"}, 401)
    with pytest.raises(Unauthenticated):
        eks.caller("Bearer a-token", "argo")
    assert len(scripted.asked) == 1


def test_a_read_whose_connection_was_cut_is_tried_once_more(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    scripted.answers.append(None)
    assert eks.bindings("argo").bindings == ()
    scripted.answers += [None, None]
    with pytest.raises(Unavailable):
        eks.bindings("argo")
    assert len(scripted.asked) == 4


def test_a_create_whose_connection_was_cut_is_not_tried_again(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    scripted.answers.append(None)
    with pytest.raises(Unavailable):
        eks.create(GITHUB, workflow("one"))
    assert len(scripted.asked) == 1


@pytest.mark.parametrize("content", [b"<html>proxy</html>", b"", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_an_answer_that_is_no_object_is_unavailable(
    eks: KubernetesCluster, scripted: Scripted, content: bytes
) -> None:
    scripted.say(content)
    with pytest.raises(Unavailable, match="200"):
        eks.bindings("argo")


def test_a_kind_that_the_cluster_does_not_know_keeps_its_text_and_is_no_missing_object(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    scripted.say(b"404 page not found\n", 404, Content_Type="text/plain; charset=utf-8")
    with pytest.raises(ClusterError) as caught:
        eks.workflow("argo", "one")
    assert (caught.value.status, caught.value.reason, caught.value.message) == (404, "", "404 page not found")


@pytest.mark.parametrize("status", [400, 403, 409, 413, 422, 500, 503, 504])
def test_a_refusal_without_a_status_object_still_has_status_and_text(
    eks: KubernetesCluster, scripted: Scripted, status: int
) -> None:
    scripted.say(b"\xffodd", status, Content_Type="text/html")
    with pytest.raises(ClusterError, match="odd") as caught:
        eks.create(GITHUB, workflow("one"))
    assert caught.value.status == status


def test_names_cannot_leave_their_place_in_the_path(eks: KubernetesCluster, scripted: Scripted) -> None:
    eks.workflow("argo", "../../secrets/x?y=z#")
    (asked,) = scripted.asked
    assert asked[1] == "/apis/argoproj.io/v1alpha1/namespaces/argo/workflows/..%2F..%2Fsecrets%2Fx%3Fy%3Dz%23"


@pytest.mark.parametrize("value", ["x", "no-colon", "dXNlcg==", "%%%"])
def test_malformed_basic_credentials_are_refused_in_argos_words(
    eks: KubernetesCluster, scripted: Scripted, value: str
) -> None:
    with pytest.raises(
        Unauthenticated, match="failed to create REST config: error parsing basic authentication"
    ):
        eks.caller(f"Basic {value}", "argo")
    assert scripted.asked == []


def test_basic_credentials_are_the_clusters_to_judge(eks: KubernetesCluster, scripted: Scripted) -> None:
    forbidden = 'workfloweventbindings.argoproj.io is forbidden: User "system:anonymous" cannot list resource'
    scripted.say({"message": forbidden, "reason": "Forbidden", "code": 403}, 403)
    header = "Basic " + base64.b64encode(b"user:password").decode()
    with pytest.raises(Forbidden) as caught:
        eks.caller(header, "argo")
    assert caught.value.message == forbidden
    assert scripted.asked[0][2]["Authorization"] == header


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.text() | st.text().map("Bearer {}".format) | st.from_regex(r"Bearer [!-~]{0,40}(\.[!-~]{0,40}){0,3}")
)
def test_whatever_the_header_says_it_is_refused_by_one_of_our_errors(
    eks: KubernetesCluster, scripted: Scripted, header: str
) -> None:
    scripted.answers[:] = [(401, {}, b'{"message": "Unauthorized"}')]
    with pytest.raises(Unauthenticated):
        eks.caller(header, "argo")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ).map(lambda value: json.dumps({"exp": value}).encode())
)
def test_whatever_an_accepted_token_holds_its_bearer_is_let_in(
    eks: KubernetesCluster, scripted: Scripted, claims: bytes
) -> None:
    scripted.answers.clear()
    scripted.say()
    scripted.say({"status": {"userInfo": {"username": GITHUB.username}}}, 201)
    token = f"h.{base64.urlsafe_b64encode(claims).decode().rstrip('=')}.{hashlib.sha256(claims).hexdigest()}"
    assert eks.caller(f"Bearer {token}", "argo").name == "github.com"


def test_tokens_that_strangers_make_up_do_not_fill_the_memory(
    eks: KubernetesCluster, scripted: Scripted
) -> None:
    for number in range(CACHE_LIMIT + 20):
        scripted.say()
        scripted.say({"status": {"userInfo": {"username": GITHUB.username}}}, 201)
        eks.caller(f"Bearer t-{number}", "argo")
    before = len(scripted.asked)
    eks.caller(f"Bearer t-{CACHE_LIMIT}", "argo")
    assert len(scripted.asked) == before
    scripted.say()
    scripted.say({"status": {"userInfo": {"username": GITHUB.username}}}, 201)
    eks.caller("Bearer t-0", "argo")
    assert len(scripted.asked) == before + 2


# How it is reached


def test_a_client_certificate_does_not_speak_for_a_caller(kubernetes: Cluster, tmp_path: Path) -> None:
    path = kubernetes.write_kubeconfig(tmp_path / "kubeconfig")
    document = yaml.safe_load(path.read_text())
    pem = base64.b64encode(b"-----BEGIN CERTIFICATE-----\n").decode()
    document["users"][0]["user"] = {"client-certificate-data": pem, "client-key-data": pem}
    path.write_text(yaml.safe_dump(document))
    connection = connect(Settings(kubeconfig=str(path)), FakeClock())
    assert connection.own.configuration.cert_file
    assert connection.own.configuration.key_file
    assert not connection.bare.configuration.cert_file
    assert not connection.bare.configuration.key_file
    assert connection.bare.configuration.api_key == {}
    assert connection.bare.configuration.host == kubernetes.url
    assert connection.bare.configuration.verify_ssl


@pytest.mark.parametrize(
    "wrong,text",
    [
        (Settings(), "no cluster: set LYNCEUS_CLUSTER_ENDPOINT"),
        (
            Settings(cluster_endpoint="https://x.test", cluster_ca="not base64!"),
            "LYNCEUS_CLUSTER_CA is no base64",
        ),
        (Settings(kubeconfig="/nowhere/kubeconfig"), "kubeconfig /nowhere/kubeconfig cannot be used"),
    ],
)
def test_a_cluster_that_is_not_configured_says_what_to_set(wrong: Settings, text: str) -> None:
    with pytest.raises(Misconfigured, match=text):
        KubernetesCluster(wrong, FakeClock(), MemoryJournal()).bindings("argo")


def test_the_authority_of_the_cluster_is_what_is_trusted(
    kubernetes: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKID")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    ca = base64.b64encode(kubernetes.ca_pem.encode()).decode()
    header = f"Bearer {kubernetes.token_for('argo', 'github.com')}"
    trusting = Settings(cluster_name="c", cluster_endpoint=kubernetes.url, cluster_ca=ca)
    clock = FakeClock(datetime.now(UTC))
    assert KubernetesCluster(trusting, clock, MemoryJournal()).caller(header, "argo").name == "github.com"
    doubting = Settings(cluster_name="c", cluster_endpoint=kubernetes.url)
    with pytest.raises(Unavailable, match="CERTIFICATE_VERIFY_FAILED"):
        KubernetesCluster(doubting, clock, MemoryJournal()).caller(header, "argo")
