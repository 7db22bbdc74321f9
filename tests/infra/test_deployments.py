"""Both ways to AWS, there and back, against moto: what is made, made again, broken off, and taken away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from moto import mock_aws
from moto.server import ThreadedMotoServer

from chalicelib.core.errors import LynceusError, Misconfigured, Unavailable
from lynceus.local import resources as local
from lynceus.packaging import artefacts, deployments, projects
from lynceus.packaging.projects import Package
from lynceus.packaging.stacks import Stacks
from tests.infra.clouds import apis_from_swagger, stacks_with_sam

ROOT = Path(__file__).resolve().parents[2]
REGION = "eu-west-1"

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # moto tells of kinds that it leaves out


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An account of moto's, and nothing of the shell's."""
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws(), stacks_with_sam():
        yield boto3.Session(region_name=REGION)


def functions(session: Any) -> set[str]:
    return {one["FunctionName"] for one in session.client("lambda").list_functions()["Functions"]}


def queues(session: Any) -> set[str]:
    urls = session.client("sqs").list_queues().get("QueueUrls", [])
    return {url.rpartition("/")[2] for url in urls}


FUNCTIONS = {"lynceus-dev", "lynceus-dev-tick", "lynceus-dev-submit", "lynceus-dev-submit_cron"}
NO_CLUSTER = {"ClusterName": ""}
QUEUES = {"lynceus-dev-submissions", "lynceus-dev-cron", "lynceus-dev-dead"}


def test_a_stage_is_deployed_again_and_taken_away_but_for_its_memory(
    session: Any, packaged: Callable[[str], Package]
) -> None:
    said: list[str] = []

    def deploy() -> str:
        planned = deployments.plan(session, "dev", NO_CLUSTER, said.append, make=packaged)
        return deployments.deploy(session, planned, said.append)

    url = deploy()
    assert url.endswith(".amazonaws.com/lynceus/api/v1/events/")
    assert functions(session) == FUNCTIONS
    assert queues(session) == QUEUES
    [mapping] = session.client("lambda").list_event_source_mappings(FunctionName="lynceus-dev-submit")[
        "EventSourceMappings"
    ]
    assert mapping["EventSourceArn"].endswith(":lynceus-dev-submissions")
    assert mapping["BatchSize"] == 1
    roles = {role["RoleName"] for role in session.client("iam").list_roles()["Roles"]}
    assert {f"lynceus-dev-{name}" for name in ("api_handler", "tick", "submit", "submit_cron")} <= roles

    assert deploy() == url
    assert functions(session) == FUNCTIONS

    session.client("secretsmanager").create_secret(Name="lynceus-dev/argo/webhook-clients", SecretString="{}")
    stays = deployments.undeploy(session, "dev", said.append)
    assert functions(session) == set()
    assert queues(session) == set()
    assert session.client("s3").list_buckets()["Buckets"] == []
    assert session.client("logs").describe_log_groups()["logGroups"] == []
    assert session.client("dynamodb").list_tables()["TableNames"] == ["lynceus-dev-ledger"]
    text = "\n".join(stays)
    assert "lynceus-dev-ledger" in text
    assert "alias/lynceus-dev" in text
    assert "secret lynceus-dev/argo/webhook-clients" in text

    # What stayed is taken up again: same table, same key.
    deploy()
    assert functions(session) == FUNCTIONS
    assert queues(session) == QUEUES


def test_a_plan_says_what_there_will_be_before_anything_is(
    session: Any, packaged: Callable[[str], Package]
) -> None:
    planned = deployments.plan(session, "dev", NO_CLUSTER, str, make=packaged)
    assert planned.account == "123456789012"
    assert {change.action for change in (*planned.resource_changes, *planned.function_changes)} == {"create"}
    assert "Ledger" in {change.resource for change in planned.resource_changes}
    assert functions(session) == queues(session) == set()


def test_a_plan_lists_optional_parts_where_a_parameter_asks_for_them(
    session: Any, packaged: Callable[[str], Package]
) -> None:
    def planned(**parameters: str) -> set[str]:
        made = deployments.plan(session, "dev", {**NO_CLUSTER, **parameters}, str, make=packaged)
        return {change.resource for change in (*made.resource_changes, *made.function_changes)}

    plain = planned()
    assert plain.isdisjoint({"Firewall", "Domain", "DomainRecord", "SqsEndpoint", "AlarmSubscription"})
    assert planned(RateLimitPerAddress="2000") - plain == {"Firewall", "FirewallAssociation"}
    assert planned(DomainName="hooks.example.org") - plain == {"Domain", "DomainMapping"}
    assert planned(AlarmEmail="ops@example.org") - plain == {"AlarmSubscription"}
    assert {name for name in planned(ClusterName="observatory") - plain if name.endswith("AccessEntry")}
    with pytest.raises(Misconfigured, match=r"no parameter AlarmMail.*AlarmEmail"):
        planned(AlarmMail="ops@example.org")


def test_a_parameter_that_is_given_later_shows_in_the_plan_and_stays(
    session: Any, packaged: Callable[[str], Package]
) -> None:
    for parameters in (NO_CLUSTER, {"AlarmEmail": "ops@example.org"}):
        planned = deployments.plan(session, "dev", parameters, str, make=packaged)
        deployments.deploy(session, planned, str)
    assert [change.resource for change in planned.resource_changes] == ["AlarmSubscription"]
    again = deployments.plan(session, "dev", NO_CLUSTER, str, make=packaged)
    assert again.resource_changes == again.function_changes == []


def test_two_stages_live_side_by_side(session: Any, packaged: Callable[[str], Package]) -> None:
    for stage in ("dev", "prod"):
        planned = deployments.plan(session, stage, NO_CLUSTER, str, make=packaged)
        deployments.deploy(session, planned, str)
    assert functions(session) == FUNCTIONS | {name.replace("-dev", "-prod") for name in FUNCTIONS}
    deployments.undeploy(session, "dev", str)
    assert functions(session) == {name.replace("-dev", "-prod") for name in FUNCTIONS}
    assert queues(session) == {name.replace("-dev", "-prod") for name in QUEUES}


def test_a_run_that_broke_off_is_completed_by_the_next(
    session: Any, packaged: Callable[[str], Package]
) -> None:
    broken = []

    def cut(params: dict[str, Any], **_: Any) -> None:
        if params["body"].get("StackName") == "lynceus-dev" and not broken:
            broken.append(True)
            raise EndpointConnectionError(endpoint_url="https://cloudformation")

    session.events.register("before-call.cloudformation.CreateStack", cut)
    planned = deployments.plan(session, "dev", NO_CLUSTER, str, make=packaged)
    with pytest.raises(Unavailable, match="cannot be asked"):
        deployments.deploy(session, planned, str)
    assert broken
    assert queues(session) == QUEUES
    assert functions(session) == set()
    again = deployments.plan(session, "dev", NO_CLUSTER, str, make=packaged)
    assert again.resource_changes == []
    deployments.deploy(session, again, str)
    assert functions(session) == FUNCTIONS


# What stands in the way, before anything is made


def project(tmp_path: Path, **variables: str) -> Path:
    """A checkout with these variables in stage dev."""
    shutil.copytree(
        ROOT / ".chalice", tmp_path / ".chalice", ignore=shutil.ignore_patterns("deployments", "deployed")
    )
    path = tmp_path / ".chalice/config.json"
    document = json.loads(path.read_text())
    document["stages"]["dev"]["environment_variables"].update(variables)
    path.write_text(json.dumps(document))
    return tmp_path


def test_a_stage_without_a_cluster_is_told_how_to_name_one(session: Any, tmp_path: Path) -> None:
    root = project(tmp_path, LYNCEUS_CLUSTER_NAME="", LYNCEUS_CLUSTER_ENDPOINT="")
    with pytest.raises(Misconfigured, match="--cluster"):
        deployments.check(session, "dev", access_entries=False, root=root)


def test_naming_a_cluster_writes_what_the_functions_need_of_it(session: Any, tmp_path: Path) -> None:
    root = project(tmp_path)
    session.client("eks").create_cluster(
        name="observatory", roleArn="arn:aws:iam::123456789012:role/eks", resourcesVpcConfig={"subnetIds": []}
    )
    deployments.use_cluster(session, "dev", "observatory", root)
    variables = projects.configuration("dev", root)["environment_variables"]
    assert variables["LYNCEUS_CLUSTER_NAME"] == "observatory"
    assert variables["LYNCEUS_CLUSTER_ENDPOINT"].startswith("https://")
    assert variables["LYNCEUS_CLUSTER_CA"]
    deployments.check(session, "dev", access_entries=True, root=root)
    with pytest.raises(Misconfigured, match="No cluster found"):
        deployments.use_cluster(session, "dev", "elsewhere", root)


# Stacks in every state that AWS leaves them in


class Scripted:
    """CloudFormation's answers, in order: the states that a stack goes through."""

    def __init__(self, *states: str, failure: str = "") -> None:
        self._states, self._failure = list(states), failure
        self.calls: list[str] = []
        self.asked: list[dict[str, Any]] = []

    def describe_stacks(self, **asked: str) -> dict[str, Any]:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        return {"Stacks": [{"StackName": asked["StackName"], "StackStatus": state, "Parameters": []}]}

    def describe_stack_events(self, **asked: str) -> dict[str, Any]:
        """Two pages, newest first, the operation before this one at the end."""

        def event(resource: str, status: str, reason: str = "") -> dict[str, str]:
            return {
                "LogicalResourceId": resource,
                "ResourceStatus": status,
                "ResourceStatusReason": reason,
            }

        if "NextToken" not in asked:
            newest = event("Later", "CREATE_FAILED", "Resource creation cancelled")
            return {"StackEvents": [newest], "NextToken": "older"}
        before = [event("s", "UPDATE_IN_PROGRESS"), event("Bucket", "UPDATE_FAILED", "mended since")]
        return {"StackEvents": [event("Ledger", "CREATE_FAILED", self._failure), *before]}

    def __getattr__(self, name: str) -> Callable[..., dict[str, Any]]:
        def call(**asked: Any) -> dict[str, Any]:
            self.calls.append(name)
            self.asked.append(asked)
            return {}

        return call


def apply(client: Scripted) -> None:
    Stacks(client, str, sleep=float).apply(
        "s", {"Parameters": {}, "Resources": {}}, {"TemplateBody": "{}"}, {}
    )


@pytest.mark.parametrize(
    "state", ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS"]
)
def test_a_stack_of_which_nothing_can_be_made_is_removed_and_made_anew(state: str) -> None:
    client = Scripted(state, state, "DELETE_COMPLETE", "CREATE_IN_PROGRESS", "CREATE_COMPLETE")
    apply(client)
    assert client.calls == ["delete_stack", "create_stack"]


@pytest.mark.parametrize(
    ("state", "without_rollback"),
    [("CREATE_FAILED", True), ("UPDATE_FAILED", True), ("UPDATE_ROLLBACK_COMPLETE", False)],
)
def test_a_stack_that_kept_what_it_made_is_completed_by_an_update(state: str, without_rollback: bool) -> None:
    client = Scripted(state, "UPDATE_IN_PROGRESS", "UPDATE_COMPLETE")
    apply(client)
    assert client.calls == ["update_stack"]
    # AWS refuses an update from the first two states that asks for a rollback.
    assert client.asked[0].get("DisableRollback", False) is without_rollback


def test_a_stack_that_stuck_on_its_way_back_goes_back_before_it_goes_on() -> None:
    client = Scripted(
        "UPDATE_ROLLBACK_FAILED", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE"
    )
    apply(client)
    assert client.calls == ["continue_update_rollback", "update_stack"]


def test_a_stack_that_somebody_is_changing_is_waited_for() -> None:
    client = Scripted("CREATE_IN_PROGRESS", "CREATE_IN_PROGRESS", "CREATE_COMPLETE", "UPDATE_COMPLETE")
    apply(client)
    assert client.calls == ["update_stack"]


def test_a_failure_names_the_resource_that_failed_and_not_those_it_took_along() -> None:
    client = Scripted("CREATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE", failure="limit exceeded")
    with pytest.raises(Misconfigured, match="UPDATE_ROLLBACK_COMPLETE: Ledger: limit exceeded"):
        apply(client)


# Plain `chalice deploy`


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """moto's server, with the stage's resources."""
    for name, value in {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}.items():
        monkeypatch.setenv(name, value)
    moto = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    moto.start()
    host, port = moto.get_host_and_port()
    try:
        with apis_from_swagger():
            local.create(ROOT / "infra/resources.yaml", "dev", f"http://{host}:{port}")
            yield f"http://{host}:{port}"
    finally:
        # moto's memory is the process's: a mapping left behind would wait for Docker in the next test that sends.
        urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
        moto.stop()


@pytest.mark.slow
def test_chalice_deploys_again_and_deletes_and_leaves_nothing_behind(
    server: str, packaged: Callable[[str], Package], tmp_path: Path
) -> None:
    made = packaged("dev")
    checkout = tmp_path / "project"
    shutil.copytree(made.template.parent / "project", checkout)
    environment = {"AWS_ENDPOINT_URL": server, "AWS_DEFAULT_REGION": local.REGION}
    client = lambda service: boto3.client(service, endpoint_url=server, region_name=local.REGION)  # noqa: E731

    said = projects.run_chalice(["deploy", "--stage", "dev"], checkout, environment)
    # The slim package was taken as it is: the copy has the same sources, hence the same name.
    assert "Reusing existing deployment package" in said
    assert artefacts.finished(checkout, artefacts.HERE).exists()
    names = {one["FunctionName"] for one in client("lambda").list_functions()["Functions"]}
    assert names == FUNCTIONS
    arns = {
        one["EventSourceArn"] for one in client("lambda").list_event_source_mappings()["EventSourceMappings"]
    }
    assert {arn.rpartition(":")[2] for arn in arns} == {"lynceus-dev-submissions", "lynceus-dev-cron"}
    roles = {one["RoleName"] for one in client("iam").list_roles()["Roles"]}
    assert roles == {f"lynceus-dev-{name}" for name in ("api_handler", "tick", "submit", "submit_cron")}
    for name in sorted(roles):  # the policy files, and not what Chalice makes of the code
        [policy] = client("iam").list_role_policies(RoleName=name)["PolicyNames"]
        document = client("iam").get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
        file = ROOT / f".chalice/policy-dev-{name.removeprefix('lynceus-dev-')}.json"
        assert document == json.loads(file.read_text())
    for name, reserved in (("lynceus-dev", 20), ("lynceus-dev-tick", 1)):
        answer = client("lambda").get_function_concurrency(FunctionName=name)
        assert answer["ReservedConcurrentExecutions"] == reserved

    projects.run_chalice(["deploy", "--stage", "dev"], checkout, environment)
    assert {one["FunctionName"] for one in client("lambda").list_functions()["Functions"]} == FUNCTIONS

    projects.run_chalice(["delete", "--stage", "dev"], checkout, environment)
    assert client("lambda").list_functions()["Functions"] == []
    assert client("lambda").list_event_source_mappings()["EventSourceMappings"] == []
    assert client("iam").list_roles()["Roles"] == []
    assert client("events").list_rules()["Rules"] == []
    assert client("apigateway").get_rest_apis()["items"] == []


def test_chalice_that_fails_says_why(tmp_path: Path) -> None:
    with pytest.raises(LynceusError, match="chalice package failed"):
        projects.run_chalice(["package", "--stage", "dev", "out"], tmp_path)
