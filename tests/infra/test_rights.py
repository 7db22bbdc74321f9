"""Each function calls what its policy and its Role allow, and is allowed nothing that it does not call.

The functions run here against moto and the local Kubernetes API, as in AWS: EKS tokens, impersonation, one role
each. Every call of AWS is written down, and every question that the API server asks about a function's user. What
Lambda's own poller calls with the workers' roles is listed.
"""

from __future__ import annotations

import base64
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import botocore.client
import pytest
import yaml

from chalicelib import wiring
from chalicelib.core.cronworkflows import Run
from chalicelib.core.events import Account
from chalicelib.core.submissions import Submission, TemplateRef, end, workflow_name
from chalicelib.flow.crons import submission_for_run
from lynceus.local.functions import Context
from tests.infra.worlds import FUNCTIONS, STAGE, World, minute, push, records

ROOT = Path(__file__).resolve().parents[2]

# What Lambda's poller needs of the workers' roles, and Lambda itself of all; neither is code of ours.
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
POLLER = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ChangeMessageVisibility"}
LOGS = {"logs:CreateLogStream", "logs:PutLogEvents"}

# The only wildcards: partition's account and region, a namespace, the suffix Secrets Manager adds, log streams.
WILDCARDS = (
    "arn:aws:dynamodb:*:*:table/lynceus-{stage}-ledger",
    "arn:aws:dynamodb:*:*:table/lynceus-{stage}-ledger/index/by-time",
    "arn:aws:dynamodb:*:*:table/lynceus-{stage}-ledger/index/outbox",
    "arn:aws:sqs:*:*:lynceus-{stage}-submissions",
    "arn:aws:sqs:*:*:lynceus-{stage}-cron",
    "arn:aws:sqs:*:*:lynceus-{stage}-dead",
    "arn:aws:secretsmanager:*:*:secret:lynceus-{stage}/*/webhook-clients-??????",
    "arn:aws:logs:*:*:log-group:/aws/lambda/lynceus-{stage}:*",
    "arn:aws:logs:*:*:log-group:/aws/lambda/lynceus-{stage}-tick:*",
    "arn:aws:logs:*:*:log-group:/aws/lambda/lynceus-{stage}-submit:*",
    "arn:aws:logs:*:*:log-group:/aws/lambda/lynceus-{stage}-submit_cron:*",
)


def policy(function: str, stage: str = STAGE) -> list[dict[str, Any]]:
    document = json.loads((ROOT / f".chalice/policy-{stage}-{function}.json").read_text())
    statements: list[dict[str, Any]] = document["Statement"]
    return statements


class Recorder:
    """Who called what."""

    def __init__(self) -> None:
        self.function = ""  # that runs; "" while the test prepares something
        self.aws: dict[str, set[tuple[str, str]]] = {name: set() for name in FUNCTIONS}
        self.kubernetes: dict[str, set[tuple[str, str]]] = {name: set() for name in FUNCTIONS}

    def call(self, service: str, operation: str, parameters: dict[str, Any]) -> None:
        if self.function:
            self.aws[self.function].update(actions_of(service, operation, parameters))

    def question(self, user: Any, wanted: Any) -> None:
        for function, (_, group) in FUNCTIONS.items():
            # Kubernetes 1.36 asks for constrained impersonation first; this Role grants the plain one.
            if self.function and group in user.groups and not wanted.verb.startswith("impersonate:"):
                resource = f"{wanted.resource}.{wanted.group}" if wanted.group else wanted.resource
                self.kubernetes[function].add((wanted.verb, resource))


def actions_of(service: str, operation: str, parameters: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The IAM actions of a call, each with the resource that IAM judges it by."""
    prefix = f"arn:aws:{service}:us-east-1:123456789012:"
    if operation == "TransactWriteItems":
        for item in parameters["TransactItems"]:
            [(kind, one)] = item.items()
            action = {"Put": "PutItem", "Update": "UpdateItem", "Delete": "DeleteItem"}.get(
                kind, "ConditionCheckItem"
            )
            yield f"dynamodb:{action}", f"{prefix}table/{one['TableName']}"
    elif service == "dynamodb":
        index = f"/index/{parameters['IndexName']}" if "IndexName" in parameters else ""
        yield f"dynamodb:{operation}", f"{prefix}table/{parameters['TableName']}{index}"
    elif service == "sqs":
        name = parameters.get("QueueName") or parameters["QueueUrl"].rpartition("/")[2]
        yield f"sqs:{operation.removesuffix('Batch')}", prefix + name
    elif service == "secretsmanager":
        yield f"secretsmanager:{operation}", f"{prefix}secret:{parameters['SecretId']}-AbCdEf"
    else:
        yield f"{service}:{operation}", "*"


class Drive:
    """Invokes the functions in this process, each with its own role's credentials."""

    def __init__(self, world: World, recorder: Recorder) -> None:
        self.world, self.recorder = world, recorder

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        import app

        os.environ.update(self.world.environment(function))
        self.recorder.function = function
        try:
            handler = app.app if function == "api_handler" else getattr(app, function)
            return handler(event, Context("lynceus", function, 60))
        finally:
            self.recorder.function = ""

    def api(
        self, method: str, resource: str, body: Any = None, query: dict[str, str] | None = None, **path: str
    ) -> Any:
        """What the API answers a person who may do everything."""
        headers = {
            "authorization": f"Bearer {self.world.cluster.admin_token}",
            "content-type": "application/json",
        }
        answer = self.invoke(
            "api_handler",
            {
                "resource": resource,
                "path": resource.format(**path),
                "httpMethod": method,
                "headers": headers,
                "multiValueHeaders": {name: [value] for name, value in headers.items()},
                "multiValueQueryStringParameters": {name: [value] for name, value in (query or {}).items()}
                or None,
                "queryStringParameters": query,
                "pathParameters": path,
                "stageVariables": None,
                "requestContext": {
                    "resourcePath": resource,
                    "httpMethod": method,
                    "requestId": "r",
                    "identity": {},
                },
                "body": base64.b64encode(json.dumps(body).encode()).decode() if body is not None else None,
                "isBase64Encoded": body is not None,
            },
        )
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])

    def work(self, function: str) -> int:
        """Let the worker take what its queue holds; how many messages that was."""
        queue = "submissions" if function == "submit" else "cron"
        messages = self.world.messages(queue)
        for message in messages:
            self.invoke(function, records([message], queue))
        return len(messages)


@pytest.fixture(scope="module")
def recorded(here: World) -> Iterator[Recorder]:
    """Everything that the functions are for, done once."""
    recorder = Recorder()
    before = dict(os.environ)
    call = botocore.client.BaseClient._make_api_call
    authorizer = here.cluster._api.authorizer
    decide = authorizer.decide

    def recording_call(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
        recorder.call(client.meta.service_model.service_name, operation, parameters)
        return call(client, operation, parameters)

    def recording_decide(user: Any, wanted: Any) -> Any:
        recorder.question(user, wanted)
        return decide(user, wanted)

    botocore.client.BaseClient._make_api_call = recording_call
    authorizer.decide = recording_decide
    # A process of its own, as Lambda starts one.
    containers, wiring._containers = wiring._containers, {}
    try:
        do_everything(Drive(here, recorder), here)
        yield recorder
    finally:
        botocore.client.BaseClient._make_api_call = call
        authorizer.decide = decide
        wiring._containers = containers
        os.environ.clear()
        os.environ.update(before)


def do_everything(drive: Drive, here: World) -> None:
    now = datetime.now(UTC)
    event_path = "/api/v1/lynceus/{namespace}/events/{event}"
    os.environ.update(here.environment("api_handler"))
    ledger = wiring.container("test").ports.ledger

    # Bindings known, one event accepted, delivered twice, made a Workflow, looked at.
    drive.invoke("tick", minute())
    accepted = drive.invoke("api_handler", push("rights-1"))
    assert accepted["statusCode"] == 200, accepted
    event = accepted["headers"]["Lynceus-Event-Id"]
    assert drive.invoke("api_handler", push("rights-1"))["headers"]["Lynceus-Event-Id"] == event
    assert drive.work("submit") >= 1
    drive.api("GET", "/api/v1/lynceus/{namespace}/events", namespace="argo")
    drive.api("GET", event_path, namespace="argo", event=event)
    drive.api("DELETE", event_path + "/body", namespace="argo", event=event)

    # Cron: a run too early, two runs of which the second replaces the first, one whose object is gone.
    minutes = now.replace(second=0, microsecond=0)
    here.cluster.apply([CRON])
    [cron] = [
        one for one in here.cluster.objects("cronworkflows.argoproj.io") if one["metadata"]["name"] == "again"
    ]
    uid = cron["metadata"]["uid"]

    def run(at: datetime, name: str = "again", start: datetime | None = None) -> Submission:
        return submission_for_run(Run("argo", name, uid, at, start or at, at + timedelta(minutes=10)))

    early = run(minutes + timedelta(minutes=1), start=now + timedelta(minutes=1))
    first, second = run(minutes - timedelta(minutes=1)), run(minutes)
    for submission in (early, first, second):
        assert ledger.begin_run(submission)
        body = json.dumps(submission.pointer.to_message())
        drive.invoke("submit_cron", records([{"MessageId": "m", "ReceiptHandle": "r", "Body": body}], "cron"))
    stopped = [
        one["spec"].get("shutdown")
        for one in here.cluster.objects("workflows.argoproj.io", "argo")
        if one["metadata"]["name"].startswith("again-")
    ]
    assert sorted(map(str, stopped)) == ["None", "Terminate"]
    drive.work("submit_cron")

    # Submissions that failed are opened again: one of an event, one of a CronWorkflow.
    account = Account("argo", "github.com", "")
    event_failed = Submission(
        "ab" * 16, "event", "argo", workflow_name("failed-", "ab" * 16), event, "push", account=account,
        template=TemplateRef("build"), received_at=now, parameters=(("large", secrets.token_hex(20000)),),
    )  # fmt: skip
    cron_failed = run(minutes - timedelta(minutes=2), "another")
    failed = []
    for fresh in (event_failed, cron_failed):
        assert ledger.begin_run(fresh)
        ledger.advance(fresh, end(fresh, "failed", "TEST", "for the test", now))
        failed.append({"workflow": fresh.workflow, "submission": fresh.id})
    drive.api("POST", "/api/v1/lynceus/{namespace}/redrives", {"submissions": failed}, namespace="argo")
    drive.work("submit")
    drive.work("submit_cron")

    # A message that nobody can read is buried by each worker, and revived by a person.
    for function, queue in (("submit", "submissions"), ("submit_cron", "cron")):
        broken = {"MessageId": "m", "ReceiptHandle": "r", "Body": "{"}
        drive.invoke(function, records([broken], queue))
    revived = drive.api(
        "POST", "/api/v1/lynceus/{namespace}/dead-letters", {"redrive": True}, namespace="argo"
    )
    assert len(revived["items"]) == 2
    drive.work("submit")

    # The ledger away: the event comes as an envelope, and is kept when the ledger is back.
    here.fail("dynamodb")
    assert drive.invoke("api_handler", push("rights-2"))["statusCode"] == 200
    here.fail()
    drive.work("submit")

    # A name that somebody else has, and a run whose time is over: failures that are told on their objects, and
    # told again by another process, which finds the Event there and counts it up.
    for number in (1, 2):
        taken = replace(event_failed, id=f"{number}" * 32, workflow=f"taken-{number}", parameters=())
        here.cluster.apply([{**WORKFLOW, "metadata": {"name": taken.workflow, "namespace": "argo"}}])
        cron_taken = replace(run(minutes - timedelta(minutes=3 + number)), expires_at=None)
        here.cluster.apply([{**WORKFLOW, "metadata": {"name": cron_taken.workflow, "namespace": "argo"}}])
        for submission, function, queue in (
            (taken, "submit", "submissions"),
            (cron_taken, "submit_cron", "cron"),
        ):
            assert ledger.begin_run(submission)
            body = json.dumps(submission.pointer.to_message())
            drive.invoke(function, records([{"MessageId": "m", "ReceiptHandle": "r", "Body": body}], queue))
        wrong = {**CRON["spec"], "schedules": [f"0 0 * * {6 + number}"]}
        here.cluster.apply([{**CRON, "metadata": {"name": "wrong", "namespace": "argo"}, "spec": wrong}])
        # The worker writes in between: the object is read again.
        here.cluster.faults.error(
            409, count=1, when=lambda method, path: method == "PATCH" and "cronw" in path
        )
        drive.invoke("tick", minute())
        here.cluster.faults.clear()
        wiring._containers.clear()

    # What the outbox still holds is rung for by the tick, in both queues; bindings that changed are kept anew.
    event_late = replace(event_failed, id="cd" * 16, workflow="late-event")
    cron_late = run(minutes - timedelta(minutes=3), "another")
    for late in (event_late, cron_late):
        due = replace(late.progress, due=now - timedelta(minutes=1))
        assert ledger.begin_run(replace(late, progress=due))
    [binding] = [
        one
        for one in here.cluster.objects("workfloweventbindings.argoproj.io")
        if one["metadata"]["name"] == "push"
    ]
    binding["spec"]["event"]["selector"] = "false"
    here.cluster.apply([{key: binding[key] for key in ("apiVersion", "kind", "metadata", "spec")}])
    for child in here.cluster.objects("workflows.argoproj.io", "argo"):
        if child["metadata"]["name"].startswith("again-") and "labels" in child["metadata"]:
            finished = {"phase": "Succeeded", "finishedAt": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
            labels = {**child["metadata"]["labels"], "workflows.argoproj.io/completed": "true"}
            here.cluster.apply(
                [{**child, "metadata": {**child["metadata"], "labels": labels}, "status": finished}]
            )
    drive.invoke("tick", minute())
    drive.work("submit")
    drive.work("submit_cron")

    # The cluster away: the doorbell is rung again shortly.
    assert drive.invoke("api_handler", push("rights-3"))["statusCode"] == 200
    here.cluster.faults.down()
    drive.work("submit")
    here.cluster.faults.up()


CRON = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "CronWorkflow",
    "metadata": {"name": "again", "namespace": "argo"},
    "spec": {
        "schedules": ["* * * * *"],
        "concurrencyPolicy": "Replace",
        "startingDeadlineSeconds": 600,
        "successfulJobsHistoryLimit": 0,
        "workflowSpec": {"workflowTemplateRef": {"name": "say"}},
    },
}


WORKFLOW = {
    "apiVersion": "argoproj.io/v1alpha1",
    "kind": "Workflow",
    "spec": {"workflowTemplateRef": {"name": "say"}},
}


def granted(function: str) -> set[tuple[str, str]]:
    """What the function's policy allows for code of ours: (action, resource pattern)."""
    pairs = set()
    for statement in policy(function):
        for action in statement["Action"]:
            for resource in statement["Resource"]:
                if statement["Sid"] not in ("Poller", "Logs"):
                    pairs.add((action, resource))
    return pairs


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_calls_nothing_that_its_policy_does_not_allow(recorded: Recorder, function: str) -> None:
    allowed = granted(function)
    assert recorded.aws[function]
    assert {
        (action, resource)
        for action, resource in recorded.aws[function]
        if not any(action == may and fnmatchcase(resource, pattern) for may, pattern in allowed)
    } == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_policy_allows_nothing_that_its_function_does_not_call(recorded: Recorder, function: str) -> None:
    called = recorded.aws[function]
    assert {
        (action, pattern)
        for action, pattern in granted(function)
        if not any(action == did and fnmatchcase(resource, pattern) for did, resource in called)
    } == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_what_is_not_code_of_ours_is_what_lambda_needs(function: str) -> None:
    named = {statement["Sid"]: statement for statement in policy(function)}
    assert set(named["Logs"]["Action"]) == LOGS
    if function in ("submit", "submit_cron"):
        assert set(named["Poller"]["Action"]) == POLLER
        queue = "submissions" if function == "submit" else "cron"
        assert named["Poller"]["Resource"] == [f"arn:aws:sqs:*:*:lynceus-{STAGE}-{queue}"]
    else:
        assert "Poller" not in named


@pytest.mark.parametrize("stage", ["dev", "prod"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_wildcards_stand_where_they_are_listed_and_nowhere_else(function: str, stage: str) -> None:
    for statement in policy(function, stage):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in statement["Action"])
        for resource in statement["Resource"]:
            assert resource in {pattern.format(stage=stage) for pattern in WILDCARDS}


@pytest.mark.parametrize("function", FUNCTIONS)
def test_stages_have_the_same_rights_under_their_own_names(function: str) -> None:
    dev = (ROOT / f".chalice/policy-dev-{function}.json").read_text()
    prod = (ROOT / f".chalice/policy-prod-{function}.json").read_text()
    assert dev.replace("lynceus-dev", "lynceus-prod") == prod


# The cluster


def role_of(function: str) -> set[tuple[str, str]]:
    """What infra/kubernetes gives the function's group in its namespace: (verb, resource)."""
    documents = list(yaml.safe_load_all((ROOT / "infra/kubernetes/rbac.yaml").read_text()))
    group = FUNCTIONS[function][1]
    names = {
        one["roleRef"]["name"]
        for one in documents
        if one["kind"].endswith("Binding") and any(subject["name"] == group for subject in one["subjects"])
    }
    return {
        (verb, f"{resource}.{api}" if api else resource)
        for one in documents
        if one["kind"] in ("Role", "ClusterRole") and one["metadata"]["name"] in names
        for rule in one["rules"]
        for api in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_asks_nothing_of_the_cluster_that_its_role_does_not_allow(
    recorded: Recorder, function: str
) -> None:
    assert recorded.kubernetes[function] - role_of(function) == set()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_role_allows_nothing_that_its_function_does_not_ask(recorded: Recorder, function: str) -> None:
    assert role_of(function) - recorded.kubernetes[function] == set()
