"""A webhook becomes one Workflow, whatever fails on the way."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.end_to_end.conftest import BINDINGS, CRONS, Running, push_body, request, wait_for

ACCOUNT = "system-serviceaccount-argo-github.com"


def test_a_signed_push_becomes_a_workflow_with_what_the_binding_takes_from_it(system: Running) -> None:
    answer = system.push(push_body("aaaaaaa1"))
    assert (answer.status, answer.body) == (200, {})
    assert answer.headers["lynceus-event-id"]
    (workflow,) = system.settled(1, "aaaaaaa")
    assert workflow["metadata"]["generateName"] == "build-"
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/creator"] == ACCOUNT
    assert workflow["metadata"]["labels"]["workflows.argoproj.io/workflow-event-binding"] == "push"
    assert workflow["spec"]["workflowTemplateRef"] == {"name": "build"}
    assert workflow["spec"]["arguments"]["parameters"] == [
        {"name": "repository", "value": "octo/rocket"},
        {"name": "revision", "value": "aaaaaaa1"},
        {"name": "branch", "value": "main"},
    ]


@pytest.mark.slow
def test_five_hundred_webhooks_sent_twenty_at_a_time_are_five_hundred_workflows(system: Running) -> None:
    with ThreadPoolExecutor(20) as senders:
        answers = list(senders.map(lambda number: system.push(push_body(f"{number:07}-many")), range(500)))
    assert {answer.status for answer in answers} == {200}
    assert len({answer.headers["lynceus-event-id"] for answer in answers}) == 500
    revisions = {f"{number:07}" for number in range(500)}

    def made() -> list[str]:
        labels = [workflow["metadata"]["labels"] for workflow in system.workflows()]
        return [
            label["demo.lynceus.dev/revision"] for label in labels if "demo.lynceus.dev/revision" in label
        ]

    # Listing hundreds of Workflows costs as much as making some.
    assert wait_for(lambda: revisions <= set(made()), 120, every=1)
    assert sorted(revision for revision in made() if revision in revisions) == sorted(revisions)


def test_a_delivery_sent_again_is_the_same_event_and_no_second_workflow(system: Running) -> None:
    body = push_body("bbbbbbb1")
    first = system.push(body, X_GitHub_Delivery="11111111-2222-3333-4444-555555555555")
    again = system.push(body, X_GitHub_Delivery="11111111-2222-3333-4444-555555555555")
    assert (first.status, again.status) == (200, 200)
    assert first.headers["lynceus-event-id"] == again.headers["lynceus-event-id"]
    assert len(system.settled(1, "bbbbbbb")) == 1
    assert system.push(push_body("bbbbbbb2")).status == 200
    assert len(system.settled(2, "bbbbbbb")) == 2


def test_a_wrong_signature_is_unauthenticated_and_says_no_more(system: Running) -> None:
    answer = system.push(push_body("ccccccc1"), X_Hub_Signature_256="sha256=" + "0" * 64)
    assert answer.status == 401
    assert answer.body == {
        "code": 16,
        "message": "token not valid. see https://argo-workflows.readthedocs.io/en/latest/faq/",
    }


def test_an_unknown_namespace_is_refused_in_the_words_of_argos_interceptor(system: Running) -> None:
    answer = system.push(push_body(), path="/api/v1/events/nowhere/github")
    assert answer.status == 403
    assert answer.text == '{"message": "failed to process webhook request"}\n'


def test_a_body_that_is_not_json_is_a_bad_request_in_gos_words(system: Running) -> None:
    answer = system.push(b"payload=%7B%7D")
    assert answer.status == 400
    assert answer.body == {"code": 3, "message": "invalid character 'p' looking for beginning of value"}


def test_a_body_of_eleven_megabytes_is_too_large(system: Running) -> None:
    answer = system.push(push_body(filler="x" * (11 * 1024 * 1024)))
    assert answer.status == 413
    assert answer.body["code"] == 8


def test_a_body_over_our_own_limit_is_too_large(system: Running) -> None:
    answer = system.push(push_body(filler="x" * (5 * 1024 * 1024)))
    assert answer.status == 413
    assert answer.body["code"] == 8


def test_a_route_that_argo_has_and_we_have_not_yet_is_not_implemented(system: Running) -> None:
    answer = request("GET", f"{system.url}/api/v1/workflows/argo", b"", {})
    assert (answer.status, answer.body) == (501, {"code": 12, "message": "Not Implemented"})


def test_a_broken_selector_shows_on_its_binding_and_stops_no_other(system: Running) -> None:
    broken = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowEventBinding",
        "metadata": {"name": "broken"},
        "spec": {
            "event": {"selector": "paylod.ref == 1"},
            "submit": {"workflowTemplateRef": {"name": "build"}},
        },
    }
    assert system.kubernetes("POST", BINDINGS, broken).status == 201
    try:
        # The list of bindings is kept for a few seconds.
        assert wait_for(lambda: told_of_broken(system, push_and_look=True))
        assert system.push(push_body("ddddddd1")).status == 200
        assert len(system.settled(1, "ddddddd")) == 1
        event = told_of_broken(system)
        assert event
        assert event["type"] == "Warning"
        assert "unknown name paylod" in event["message"]
    finally:
        system.kubernetes("DELETE", f"{BINDINGS}/broken")


def told_of_broken(system: Running, *, push_and_look: bool = False) -> dict[str, str] | None:
    """The Kubernetes Event on the broken binding."""
    if push_and_look:
        system.push(push_body("look"))
    events = system.kubernetes("GET", "/api/v1/namespaces/argo/events").body["items"]
    return next(
        (
            event
            for event in events
            if event["reason"] == "WorkflowEventBindingError" and event["involvedObject"]["name"] == "broken"
        ),
        None,
    )


def test_a_caller_with_a_token_of_an_account_submits_as_that_account(system: Running) -> None:
    path = "/api/v1/namespaces/argo/serviceaccounts/ci/token"
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = system.kubernetes("POST", path, asked).body["status"]["token"]
    target, body = f"{system.url}/api/v1/events/argo/say", json.dumps({"message": "hello"}).encode()
    assert request("POST", target, body, {"Authorization": f"Bearer {token}"}).status == 200
    assert request("POST", target, body, {"Authorization": "Bearer nonsense"}).status == 401

    def said() -> list[str]:
        labels = [workflow["metadata"]["labels"] for workflow in system.workflows()]
        key = "workflows.argoproj.io/workflow-event-binding"
        return [label["workflows.argoproj.io/creator"] for label in labels if label.get(key) == "message"]

    assert wait_for(said)
    assert said() == ["system-serviceaccount-argo-ci"]


def test_with_the_cluster_away_webhooks_are_accepted_and_their_workflows_come_later(system: Running) -> None:
    assert system.push(push_body("eeeeeee0")).status == 200
    assert len(system.settled(1, "eeeeeee")) == 1
    system.outages("cluster")
    answers = [system.push(push_body(f"eeeeeee{number}")) for number in range(1, 6)]
    system.outages()
    assert [answer.status for answer in answers] == [200] * 5
    assert len(system.settled(6, "eeeeeee", 60)) == 6


def test_with_the_ledger_away_the_event_is_kept_whole_in_the_queue(system: Running) -> None:
    sqs = system.aws("sqs")
    url = sqs.get_queue_url(QueueName="lynceus-local-submissions")["QueueUrl"]
    # What a worker cannot do comes back after the visibility timeout: six minutes are too long to wait here.
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "2"})
    try:
        system.outages("dynamodb")
        answer = system.push(push_body("fffffff1"))
        system.outages()
        assert answer.status == 200
        assert len(system.settled(1, "fffffff", 60)) == 1
    finally:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "360"})


def test_with_ledger_and_queue_away_the_sender_is_told_to_come_again(system: Running) -> None:
    system.outages("dynamodb", "sqs")
    answer = system.push(push_body("0ff1111"))
    assert answer.status == 503
    assert answer.body["code"] == 14
    assert int(answer.headers["retry-after"]) > 0


def test_with_the_queue_away_the_sweep_rings_for_what_the_ledger_holds(system: Running) -> None:
    system.outages("sqs")
    answer = system.push(push_body("abababa1"))
    system.outages()
    assert answer.status == 200
    # The sweep would come to it in a minute; it is told that the minute is over.
    ledger = system.aws("dynamodb")
    for item in ledger.scan(TableName="lynceus-local-ledger")["Items"]:
        if "due" in item:
            ledger.update_item(
                TableName="lynceus-local-ledger",
                Key={"pk": item["pk"], "sk": item["sk"]},
                UpdateExpression="SET due = :past",
                ExpressionAttributeValues={":past": {"S": "2000-01-01T00:00:00.000000Z"}},
            )
    assert len(system.settled(1, "abababa", 75)) == 1


def test_with_secrets_manager_away_known_clients_still_count(system: Running) -> None:
    assert system.push(push_body("cdcdcdc0")).status == 200
    system.outages("secretsmanager")
    answer = system.push(push_body("cdcdcdc1"))
    system.outages()
    assert answer.status == 200
    assert len(system.settled(2, "cdcdcdc")) == 2


def test_a_cron_workflow_that_is_applied_runs_without_a_restart(system: Running) -> None:
    cron = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": "often"},
        "spec": {"schedules": ["@every 3s"], "workflowSpec": {"workflowTemplateRef": {"name": "say"}}},
    }
    assert system.kubernetes("POST", CRONS, cron).status == 201
    try:

        def runs() -> list[str]:
            names = [workflow["metadata"]["name"] for workflow in system.workflows()]
            return [name for name in names if name.startswith("often-")]

        assert wait_for(lambda: len(runs()) >= 2)
        assert len(runs()) == len(set(runs()))
    finally:
        system.kubernetes("DELETE", f"{CRONS}/often")


@pytest.mark.kubectl
def test_kubectl_shows_the_workflow(system: Running) -> None:
    if not shutil.which("kubectl") and not os.environ.get("LYNCEUS_REQUIRE_KUBECTL"):
        pytest.skip("kubectl is not installed")
    assert system.push(push_body("kkkkkkk1")).status == 200
    (workflow,) = system.settled(1, "kkkkkkk")
    shown = subprocess.run(
        ["kubectl", "--kubeconfig", str(system.state / "kubeconfig"), "-n", "argo", "get", "workflows"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert workflow["metadata"]["name"] in shown
    assert shown.split()[:3] == ["NAME", "STATUS", "AGE"]
