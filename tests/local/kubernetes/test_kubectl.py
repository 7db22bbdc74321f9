"""kubectl itself, run against the server: what people type, and what they then see."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.local.kubernetes.servers import Server

pytestmark = pytest.mark.kubectl

Kubectl = Callable[..., str]

WORKFLOW = """
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata:
  name: hello
  labels: {team: blue}
spec:
  entrypoint: main
  templates:
    - name: main
      container: {image: busybox, command: [echo, hi]}
"""


@pytest.fixture
def kubectl(server: Server, namespace: str, tmp_path: Path) -> Kubectl:
    """Runs kubectl in the namespace and returns what it printed; `fails` is the text its failure must hold."""
    binary = shutil.which("kubectl")
    if binary is None:
        if os.environ.get("LYNCEUS_REQUIRE_KUBECTL") == "1":
            pytest.fail("kubectl is not installed, and LYNCEUS_REQUIRE_KUBECTL=1 says it must be")
        pytest.skip("kubectl is not installed")

    def run(*words: str, stdin: str = "", fails: str = "") -> str:
        command = [
            binary,
            f"--kubeconfig={server.kubeconfig}",
            f"--cache-dir={tmp_path}",
            "-n",
            namespace,
            *words,
        ]
        done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)
        if fails:
            assert done.returncode != 0
            assert fails in done.stderr + done.stdout
        else:
            assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_created_workflows_are_listed_with_argos_columns(kubectl: Kubectl) -> None:
    assert kubectl("create", "-f", "-", stdin=WORKFLOW) == "workflow.argoproj.io/hello created\n"

    head, row = kubectl("get", "wf").splitlines()

    assert head.split() == ["NAME", "STATUS", "AGE", "MESSAGE"]
    assert row.split()[0] == "hello"


def test_a_second_create_of_a_name_is_refused_in_the_servers_words(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)

    kubectl("create", "-f", "-", stdin=WORKFLOW, fails='workflows.argoproj.io "hello" already exists')


def test_unknown_kinds_and_names_are_told_apart(kubectl: Kubectl) -> None:
    kubectl("get", "nothings", fails='the server doesn\'t have a resource type "nothings"')
    kubectl("get", "wf", "absent", fails='workflows.argoproj.io "absent" not found')


def test_lists_are_selected_by_label_and_by_name(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)
    kubectl("create", "-f", "-", stdin=WORKFLOW.replace("hello", "other").replace("blue", "red"))

    assert kubectl("get", "wf", "-l", "team in (blue)", "-o", "name") == "workflow.argoproj.io/hello\n"
    assert kubectl("get", "wf", "-l", "team!=blue", "-o", "name") == "workflow.argoproj.io/other\n"
    assert kubectl("get", "wf", "--field-selector", "metadata.name=other", "-o", "name").endswith("/other\n")


def test_describe_shows_the_object_and_its_events(kubectl: Kubectl, server: Server, namespace: str) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)
    uid = kubectl("get", "wf", "hello", "-o", "jsonpath={.metadata.uid}")
    about = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "name": "hello",
        "namespace": namespace,
        "uid": uid,
    }
    event = {
        "metadata": {"generateName": "hello."},
        "involvedObject": about,
        "reason": "WorkflowRunning",
        "message": "it runs",
        "type": "Normal",
        "count": 1,
        "firstTimestamp": "2026-11-20T10:00:00Z",
        "lastTimestamp": "2026-11-20T10:00:00Z",
        "source": {"component": "tests"},
    }
    server.create(f"/api/v1/namespaces/{namespace}/events", event)

    shown = kubectl("describe", "wf", "hello")

    assert "Entrypoint:  main" in shown
    assert "WorkflowRunning" in shown
    assert "it runs" in shown
    assert "workflow/hello" in kubectl("get", "events")


def test_client_side_apply_creates_changes_and_leaves_alone(kubectl: Kubectl) -> None:
    assert "created" in kubectl("apply", "-f", "-", stdin=WORKFLOW)
    assert "unchanged" in kubectl("apply", "-f", "-", stdin=WORKFLOW)
    assert "configured" in kubectl("apply", "-f", "-", stdin=WORKFLOW.replace("blue", "green"))

    assert kubectl("get", "wf", "hello", "-o", "jsonpath={.metadata.labels.team}") == "green"


def test_server_side_apply_knows_who_owns_what(kubectl: Kubectl) -> None:
    apply = ("apply", "--server-side", "-f", "-")
    kubectl(*apply, stdin=WORKFLOW)

    kubectl(*apply, "--field-manager=other", stdin=WORKFLOW.replace("blue", "red"), fails="conflict")
    kubectl(*apply, "--field-manager=other", "--force-conflicts", stdin=WORKFLOW.replace("blue", "red"))

    managers = kubectl(
        "get", "wf", "hello", "-o", "jsonpath={.metadata.managedFields[*].manager}", "--show-managed-fields"
    )
    assert sorted(managers.split()) == ["kubectl", "other"]
    assert kubectl("get", "wf", "hello", "-o", "jsonpath={.metadata.labels.team}") == "red"


def test_server_side_apply_takes_over_what_client_side_apply_made(kubectl: Kubectl) -> None:
    kubectl("apply", "-f", "-", stdin=WORKFLOW)

    kubectl("apply", "--server-side", "-f", "-", stdin=WORKFLOW.replace("blue", "green"))

    assert kubectl("get", "wf", "hello", "-o", "jsonpath={.metadata.labels.team}") == "green"


def test_patch_label_and_annotate_change_what_they_say(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)

    kubectl("patch", "wf", "hello", "--type=merge", "-p", '{"spec":{"suspend":true}}')
    kubectl(
        "patch",
        "wf",
        "hello",
        "--type=json",
        "-p",
        '[{"op":"replace","path":"/spec/entrypoint","value":"other"}]',
    )
    kubectl("label", "wf", "hello", "tier=one", "team-")
    kubectl("annotate", "wf", "hello", "note=seen")

    query = "jsonpath={.spec.suspend} {.spec.entrypoint} {.metadata.labels} {.metadata.annotations.note}"
    assert kubectl("get", "wf", "hello", "-o", query) == 'true other {"tier":"one"} seen'


def test_replace_needs_what_it_read(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)
    read = kubectl("get", "wf", "hello", "-o", "yaml")

    kubectl("replace", "-f", "-", stdin=read.replace("busybox", "alpine"))

    kubectl("replace", "-f", "-", stdin=read, fails="the object has been modified")


def test_delete_waits_until_the_object_is_gone(kubectl: Kubectl) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)

    assert 'workflow.argoproj.io "hello" deleted' in kubectl("delete", "wf", "hello")
    assert kubectl("get", "wf", "-o", "name") == ""


def test_delete_all_takes_every_object_of_the_namespace(kubectl: Kubectl) -> None:
    for name in ("one", "two"):
        kubectl("create", "-f", "-", stdin=WORKFLOW.replace("hello", name))

    kubectl("delete", "wf", "--all")

    assert kubectl("get", "wf", "-o", "name") == ""


def test_watch_tells_what_happens_afterwards(kubectl: Kubectl, server: Server, namespace: str) -> None:
    kubectl("create", "-f", "-", stdin=WORKFLOW)
    server_seconds = "--request-timeout=2s"

    printed = subprocess.run(
        [
            str(shutil.which("kubectl")),
            f"--kubeconfig={server.kubeconfig}",
            "-n",
            namespace,
            "get",
            "wf",
            "-w",
            "-o",
            "name",
            server_seconds,
        ],
        capture_output=True,
        text=True,
        timeout=60,
    ).stdout

    assert printed.splitlines()[0] == "workflow.argoproj.io/hello"


def test_unknown_fields_are_refused_before_anything_is_kept(kubectl: Kubectl) -> None:
    binding = """
apiVersion: argoproj.io/v1alpha1
kind: WorkflowEventBinding
metadata: {name: typo}
spec: {event: {selector: "true"}, submitt: {}}
"""
    kubectl("create", "-f", "-", stdin=binding, fails='unknown field "spec.submitt"')

    assert kubectl("get", "wfeb", "-o", "name") == ""


def test_a_server_side_dry_run_keeps_nothing(kubectl: Kubectl) -> None:
    assert "(server dry run)" in kubectl("create", "--dry-run=server", "-f", "-", stdin=WORKFLOW)

    assert kubectl("get", "wf", "-o", "name") == ""


def test_can_i_and_whoami_speak_of_the_caller(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "workflows") == "yes\n"
    assert kubectl("auth", "can-i", "create", "workflows", "--as=bob", fails="no") == "no\n"
    assert "system:masters" in kubectl("auth", "whoami")
    assert "bob" in kubectl("auth", "whoami", "--as=bob")


def test_roles_decide_for_the_user_that_is_impersonated(kubectl: Kubectl) -> None:
    kubectl("create", "role", "reader", "--verb=get,list", "--resource=workflows.argoproj.io")
    kubectl("create", "rolebinding", "reader", "--role=reader", "--user=bob")

    kubectl("get", "wf", "--as=bob")
    kubectl("auth", "can-i", "list", "wf", "--as=bob")
    kubectl(
        "create", "-f", "-", "--as=bob", stdin=WORKFLOW, fails='User "bob" cannot create resource "workflows"'
    )


def test_the_rules_that_reach_a_user_are_listed(kubectl: Kubectl) -> None:
    kubectl(
        "create", "role", "reader", "--verb=get", "--resource=workflows.argoproj.io", "--resource-name=mine"
    )
    kubectl("create", "rolebinding", "reader", "--role=reader", "--user=bob")

    listed = kubectl("auth", "can-i", "--list", "--as=bob")

    assert any(
        line.split() == ["workflows.argoproj.io", "[]", "[mine]", "[get]"] for line in listed.splitlines()
    )


def test_tokens_are_made_for_service_accounts(kubectl: Kubectl, server: Server, namespace: str) -> None:
    kubectl("create", "serviceaccount", "jenkins")

    token = kubectl("create", "token", "jenkins", "--duration=1h").strip()

    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    status, answer = server.call(
        "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, token=token
    )
    assert status == 201
    assert answer["status"]["userInfo"]["username"] == f"system:serviceaccount:{namespace}:jenkins"


def test_secrets_and_config_maps_are_created_from_literals(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "clients", "--from-literal=jenkins=sesame")
    kubectl("create", "configmap", "settings", "--from-literal=stage=dev")

    assert kubectl("get", "secret", "clients", "-o", "jsonpath={.type} {.data.jenkins}") == "Opaque c2VzYW1l"
    assert kubectl("get", "cm", "settings", "-o", "jsonpath={.data}") == '{"stage":"dev"}'


def test_explain_reads_the_schema_of_a_custom_resource(kubectl: Kubectl) -> None:
    shown = kubectl("explain", "workfloweventbinding.spec.event")

    assert "selector" in shown
    assert "-required-" in shown


def test_a_definition_of_ones_own_is_served_at_once(kubectl: Kubectl, namespace: str) -> None:
    plural = f"things{namespace.removeprefix('test-')}"
    definition = f"""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {{name: {plural}.example.com}}
spec:
  group: example.com
  scope: Namespaced
  names: {{kind: {plural.title()}, plural: {plural}}}
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {{type: object, properties: {{size: {{type: integer, minimum: 1, default: 3}}}}}}
"""
    thing = (
        f"apiVersion: example.com/v1\nkind: {plural.title()}\nmetadata: {{name: one}}\nspec: {{size: 0}}\n"
    )
    try:
        kubectl("apply", "--server-side", "-f", "-", stdin=definition)
        kubectl("wait", "--for=condition=established", f"crd/{plural}.example.com", "--timeout=20s")

        kubectl(
            "create", "-f", "-", stdin=thing, fails="spec.size in body should be greater than or equal to 1"
        )
        kubectl("create", "-f", "-", stdin=thing.replace("{size: 0}", "{}"))

        assert kubectl("get", plural, "one", "-o", "jsonpath={.spec.size}") == "3"
    finally:
        kubectl("delete", "crd", f"{plural}.example.com", "--wait=false")
