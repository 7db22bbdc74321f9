"""What the templates promise, read from the templates: nobody can ask AWS here."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chalicelib.core.errors import LynceusError
from chalicelib.settings import Settings
from lynceus.packaging import projects
from lynceus.packaging.deployments import placed
from lynceus.packaging.projects import Package
from lynceus.packaging.stacks import TEMPLATE_LIMIT, Change, changes, kept, policy, refusals
from lynceus.packaging.templates import load, resolve
from tests.infra.clouds import transformed

ROOT = Path(__file__).resolve().parents[2]
STAGES = ("dev", "prod")
FUNCTIONS = {
    "APIHandler": ("api_handler", ""),
    "Tick": ("tick", "-tick"),
    "Submit": ("submit", "-submit"),
    "SubmitCron": ("submit_cron", "-submit_cron"),
}
NAMES = {
    "AWS::Partition": "aws",
    "AWS::AccountId": "123456789012",
    "AWS::Region": "eu-west-1",
    "AWS::URLSuffix": "amazonaws.com",
}


def of_kind(template: dict[str, Any], kind: str) -> dict[str, dict[str, Any]]:
    """The properties of every resource of the kind, by logical id."""
    return {name: res["Properties"] for name, res in template["Resources"].items() if res["Type"] == kind}


def as_deployed(template: dict[str, Any], stage: str) -> dict[str, Any]:
    """The template's resources with their names as AWS sees them."""
    names = {**NAMES, "Stage": stage}
    queues = of_kind(template, "AWS::SQS::Queue")
    for name, properties in queues.items():
        names[f"{name}.Arn"] = f"arn:aws:sqs:eu-west-1:123456789012:{resolve(properties['QueueName'], names)}"
        names[name] = resolve(properties["QueueName"], names)
    resolved: dict[str, Any] = resolve(template, names)
    return resolved


# What linters say


def test_cfn_lint_finds_nothing_in_the_merged_template(packaged: Callable[[str], Package]) -> None:
    assert linted(packaged("dev").template) == ""


def test_stages_differ_in_names_and_concurrency_alone(packaged: Callable[[str], Package]) -> None:
    dev, prod = (packaged(stage).template.read_text() for stage in STAGES)
    for word in ("lynceus-{}", "stage={}", "LYNCEUS_STAGE: {}", "lynceus: {}", "Default: {}", "- {}"):
        dev = dev.replace(word.format("dev"), word.format("prod"))
    different = [
        (one, other)
        for one, other in zip(dev.splitlines(), prod.splitlines(), strict=True)
        if one != other and "ReservedConcurrentExecutions" not in one
    ]
    assert different == []


def test_cfn_lint_finds_nothing_in_the_resources() -> None:
    assert linted(ROOT / "infra" / "resources.yaml") == ""


def linted(path: Path) -> str:
    words = [sys.executable, "-m", "cfnlint", "--regions", "us-east-1", "eu-west-1", "--template", str(path)]
    return subprocess.run(words, capture_output=True, text=True, check=False).stdout


def test_the_sam_translator_accepts_the_merged_template(merged: dict[str, Any]) -> None:
    kinds = {resource["Type"] for resource in transformed(placed(merged, "b", "k"))["Resources"].values()}
    assert "AWS::Lambda::EventInvokeConfig" in kinds
    assert not any(kind.startswith("AWS::Serverless") for kind in kinds)


def test_the_resources_fit_into_one_call(resources: dict[str, Any]) -> None:
    assert resources
    assert len((ROOT / "infra/resources.yaml").read_bytes()) <= TEMPLATE_LIMIT


# Queues and table


@pytest.mark.parametrize("stage", STAGES)
def test_names_are_those_of_the_settings(resources: dict[str, Any], stage: str) -> None:
    settings, deployed = Settings(stage=stage), as_deployed(resources, stage)
    queues = {properties["QueueName"] for properties in of_kind(deployed, "AWS::SQS::Queue").values()}
    assert queues == {settings.submissions_queue, settings.cron_queue, settings.dead_letter_queue}
    assert of_kind(deployed, "AWS::DynamoDB::Table")["Ledger"]["TableName"] == settings.table


def test_a_message_stays_invisible_for_six_times_its_functions_timeout(
    resources: dict[str, Any], merged: dict[str, Any]
) -> None:
    functions = of_kind(merged, "AWS::Serverless::Function")
    queues = of_kind(resources, "AWS::SQS::Queue")
    assert queues["SubmissionsQueue"]["VisibilityTimeout"] >= 6 * functions["Submit"]["Timeout"]
    assert queues["CronQueue"]["VisibilityTimeout"] >= 6 * functions["SubmitCron"]["Timeout"]


def test_the_dead_letter_queue_remembers_longer_than_the_others_can_fill_it(
    resources: dict[str, Any],
) -> None:
    queues = of_kind(resources, "AWS::SQS::Queue")
    dead = queues.pop("DeadQueue")
    assert dead["MessageRetentionPeriod"] == 14 * 86400
    for queue in queues.values():
        assert queue["MessageRetentionPeriod"] < dead["MessageRetentionPeriod"]
        # Every receive comes to pass before the message would be forgotten, so that none is lost on the way.
        receives = queue["RedrivePolicy"]["maxReceiveCount"] * queue["VisibilityTimeout"]
        assert receives < queue["MessageRetentionPeriod"]
        assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadQueue", "Arn"]}


def test_everything_that_rests_is_encrypted_with_our_own_key(resources: dict[str, Any]) -> None:
    key = {"Fn::GetAtt": ["Key", "Arn"]}
    assert all(queue["KmsMasterKeyId"] == key for queue in of_kind(resources, "AWS::SQS::Queue").values())
    ledger = of_kind(resources, "AWS::DynamoDB::Table")["Ledger"]
    assert ledger["SSESpecification"]["KMSMasterKeyId"] == key
    assert of_kind(resources, "AWS::KMS::Key")["Key"]["EnableKeyRotation"] is True


def test_the_ledger_forgets_by_itself_and_can_be_restored(resources: dict[str, Any]) -> None:
    ledger = of_kind(resources, "AWS::DynamoDB::Table")["Ledger"]
    assert ledger["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert ledger["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert ledger["BillingMode"] == "PAY_PER_REQUEST"
    assert ledger["DeletionProtectionEnabled"] is True
    assert [index["IndexName"] for index in ledger["GlobalSecondaryIndexes"]] == ["by-time", "outbox"]


def role(name: str, stage: str = "dev") -> str:
    return f"arn:aws:iam::123456789012:role/lynceus-{stage}-{name}"


SENDERS = {
    "SubmissionsQueue": {"api_handler", "tick", "submit"},
    "CronQueue": {"api_handler", "tick", "submit_cron"},
    "DeadQueue": {"submit", "submit_cron"},
}
RECEIVERS = {"SubmissionsQueue": {"submit"}, "CronQueue": {"submit_cron"}, "DeadQueue": {"api_handler"}}


@pytest.mark.parametrize("queue", SENDERS)
def test_rule_40_nobody_but_our_functions_speaks_through_a_queue(
    resources: dict[str, Any], queue: str
) -> None:
    deployed = as_deployed(resources, "dev")
    [rules] = [
        policy["PolicyDocument"]["Statement"]
        for policy in of_kind(deployed, "AWS::SQS::QueuePolicy").values()
        if policy["Queues"] == [deployed["Resources"][queue]["Properties"]["QueueName"]]
    ]
    assert all(rule["Effect"] == "Deny" and rule["Principal"] == "*" for rule in rules)
    send, receive, tls = rules
    assert send["Action"] == "sqs:SendMessage"
    assert set(send["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]) == {
        role(name) for name in SENDERS[queue]
    }
    assert "sqs:ReceiveMessage" in receive["Action"]
    assert "sqs:StartMessageMoveTask" in receive["Action"]
    allowed = receive["Condition"]["ArnNotEquals"]["aws:PrincipalArn"]
    assert {arn for arn in allowed if isinstance(arn, str)} == {role(name) for name in RECEIVERS[queue]}
    # One more where the installation names an operator, and only for dead letters.
    assert [arn["Fn::If"][0] for arn in allowed if isinstance(arn, dict)] == ["HasOperator"] * (
        queue == "DeadQueue"
    )
    assert tls["Condition"] == {"Bool": {"aws:SecureTransport": False}}


def test_rule_40_the_key_serves_the_same_functions_and_nobody_else_through_sqs(
    resources: dict[str, Any],
) -> None:
    rules = as_deployed(resources, "dev")["Resources"]["Key"]["Properties"]["KeyPolicy"]["Statement"]
    named = {rule["Sid"]: rule for rule in rules if "Sid" in rule}
    use = named["FunctionsUseItThroughTheirServices"]
    assert set(use["Condition"]["ArnEquals"]["aws:PrincipalArn"]) == {
        role(name) for name, _ in FUNCTIONS.values()
    }
    assert use["Condition"]["StringEquals"]["kms:CallerAccount"] == "123456789012"
    # Administrators look after the key; what they may decrypt is the table alone, by their own policies.
    administer = named["AdministratorsKeepTheKeyButDoNotReadWithIt"]["Action"]
    assert not any(
        action.startswith(("kms:Decrypt", "kms:Generate", "kms:Encrypt", "kms:CreateGrant", "kms:*"))
        for action in administer
    )
    # Making an alias asks the key's policy as well as the maker's own.
    assert {"kms:CreateAlias", "kms:DeleteAlias", "kms:PutKeyPolicy"} <= set(administer)
    table = named["TheTableIsMadeAndRestoredByAdministrators"]
    assert table["Condition"]["StringEquals"]["kms:ViaService"] == "dynamodb.eu-west-1.amazonaws.com"


# Functions


def test_each_function_has_its_name_role_log_group_and_limits(
    resources: dict[str, Any], merged: dict[str, Any]
) -> None:
    deployed = as_deployed(merged, "dev")
    functions, roles = of_kind(deployed, "AWS::Serverless::Function"), of_kind(deployed, "AWS::IAM::Role")
    groups = {
        group["LogGroupName"]
        for group in of_kind(as_deployed(resources, "dev"), "AWS::Logs::LogGroup").values()
    }
    assert set(functions) == set(FUNCTIONS)
    for logical, (name, suffix) in FUNCTIONS.items():
        function = functions[logical]
        assert function["FunctionName"] == f"lynceus-dev{suffix}"
        [own] = function["Role"]["Fn::GetAtt"][:1]
        assert roles[own]["RoleName"] == f"lynceus-dev-{name}"
        assert function["LoggingConfig"]["LogGroup"] in groups
        assert function["Environment"]["Variables"]["LYNCEUS_STAGE"] == "dev"
        assert function["MemorySize"] >= 512
    assert len({function["Role"]["Fn::GetAtt"][0] for function in functions.values()}) == 4
    assert functions["Tick"]["ReservedConcurrentExecutions"] == 1
    assert functions["APIHandler"]["ReservedConcurrentExecutions"] >= 20
    # Rule 20: a reservation would turn waiting doorbells into throttles, and throttles into receives.
    assert "ReservedConcurrentExecutions" not in functions["Submit"]
    assert "ReservedConcurrentExecutions" not in functions["SubmitCron"]


def test_log_groups_forget(resources: dict[str, Any]) -> None:
    groups = of_kind(resources, "AWS::Logs::LogGroup")
    assert len(groups) == 4
    assert all(group["RetentionInDays"] == {"Ref": "LogRetentionDays"} for group in groups.values())


@pytest.mark.parametrize("stage", STAGES)
def test_each_worker_takes_one_message_of_its_own_queue(
    packaged: Callable[[str], Package], stage: str
) -> None:
    functions = of_kind(as_deployed(load(packaged(stage).template), stage), "AWS::Serverless::Function")
    for logical, queue in (("Submit", "submissions"), ("SubmitCron", "cron")):
        [source] = functions[logical]["Events"].values()
        properties = source["Properties"]
        assert properties["Queue"] == f"arn:aws:sqs:eu-west-1:123456789012:lynceus-{stage}-{queue}"
        assert properties["BatchSize"] == 1
        assert 2 <= properties["ScalingConfig"]["MaximumConcurrency"] <= 1000
        # A worker rings for itself again; after 16 times Lambda would bury the doorbell as a loop.
        assert functions[logical]["RecursiveLoop"] == "Allow"
        # With one message a batch there is nothing to report in part; without the setting Lambda would ignore it.
        assert "FunctionResponseTypes" not in properties


def test_a_minute_that_failed_is_not_repeated(merged: dict[str, Any]) -> None:
    tick = of_kind(merged, "AWS::Serverless::Function")["Tick"]
    assert tick["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    [event] = tick["Events"].values()
    assert event["Properties"]["Schedule"] == "rate(1 minute)"
    assert event["Properties"]["RetryPolicy"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}


def test_what_api_gateway_answers_by_itself_has_argos_form(merged: dict[str, Any]) -> None:
    body = of_kind(merged, "AWS::Serverless::Api")["RestAPI"]["DefinitionBody"]
    answers = body["x-amazon-apigateway-gateway-responses"]
    codes = {error.http_status: error.code for error in subclasses(LynceusError) if error.code is not None}
    for name, answer in answers.items():
        # API Gateway's own variable stands for a JSON string.
        text = answer["responseTemplates"]["application/json"].replace(
            "$context.error.messageString", '"text"'
        )
        said = json.loads(text)
        assert set(said) == {"code", "message"}, name
        status = int(answer.get("statusCode", 400))
        assert said["code"] == codes[status], name
        if status in (429, 503):
            assert "gatewayresponse.header.Retry-After" in answer["responseParameters"], name
    assert {"REQUEST_TOO_LARGE", "MISSING_AUTHENTICATION_TOKEN", "INTEGRATION_TIMEOUT"} <= set(answers)


def subclasses(kind: type[LynceusError]) -> Iterator[type[LynceusError]]:
    for subclass in kind.__subclasses__():
        # A row of the tree decides for its status where two share one: the first that was drawn.
        yield from subclasses(subclass)
        yield subclass


def test_bodies_reach_the_functions_as_bytes(merged: dict[str, Any]) -> None:
    body = of_kind(merged, "AWS::Serverless::Api")["RestAPI"]["DefinitionBody"]
    assert body["x-amazon-apigateway-binary-media-types"] == ["*/*"]
    assert "x-amazon-apigateway-minimum-compression-size" not in body
    assert "MinimumCompressionSize" not in of_kind(merged, "AWS::Serverless::Api")["RestAPI"]


def test_optional_parts_are_off_unless_asked_for(resources: dict[str, Any], merged: dict[str, Any]) -> None:
    optional = {
        "AWS::WAFv2::WebACL",
        "AWS::WAFv2::WebACLAssociation",
        "AWS::ApiGateway::DomainName",
        "AWS::ApiGateway::BasePathMapping",
        "AWS::Route53::RecordSet",
        "AWS::EKS::AccessEntry",
        "AWS::EC2::VPCEndpoint",
        "AWS::EC2::SecurityGroup",
        "AWS::SNS::Subscription",
    }
    seen = set()
    for template in (resources, merged):
        for name, resource in template["Resources"].items():
            if resource["Type"] in optional:
                seen.add(resource["Type"])
                assert resource.get("Condition") in template["Conditions"], name
    assert seen == optional
    off = ("", 0)
    for parameters in (resources["Parameters"], merged["Parameters"]):
        for name, parameter in parameters.items():
            if name not in ("Stage", "LogRetentionDays"):
                assert parameter["Default"] in off, name


def test_a_private_cluster_needs_no_nat(resources: dict[str, Any], merged: dict[str, Any]) -> None:
    services = {
        endpoint["ServiceName"]["Fn::Sub"].rpartition(".")[2]
        for endpoint in of_kind(resources, "AWS::EC2::VPCEndpoint").values()
    }
    called = {
        action.partition(":")[0]
        for found in of_kind(merged, "AWS::IAM::Role").values()
        for document in found["Policies"]
        for statement in document["PolicyDocument"]["Statement"]
        for action in statement["Action"]
    }
    # Lambda itself carries the logs out of the VPC; signing in to EKS asks nobody.
    assert called - {"logs"} == services
    for function in of_kind(merged, "AWS::Serverless::Function").values():
        assert function["VpcConfig"]["Fn::If"][0] == "InVpc"


def test_only_functions_in_a_vpc_have_a_policy_of_aws(merged: dict[str, Any]) -> None:
    for found in of_kind(as_deployed(merged, "dev"), "AWS::IAM::Role").values():
        needed = "arn:aws:iam::aws:policy/service-role/AWSLambdaVPCAccessExecutionRole"
        assert found["ManagedPolicyArns"] == {"Fn::If": ["InVpc", [needed], {"Ref": "AWS::NoValue"}]}


def test_access_entries_name_the_groups_of_the_cluster_roles(merged: dict[str, Any]) -> None:
    groups = {
        entry["PrincipalArn"]["Fn::GetAtt"][0]: entry["KubernetesGroups"]
        for entry in of_kind(merged, "AWS::EKS::AccessEntry").values()
    }
    assert groups == {
        "ApiHandlerRole": ["lynceus:api"],
        "TickRole": ["lynceus:tick"],
        "SubmitRole": ["lynceus:submit"],
        "SubmitCronRole": ["lynceus:cron"],
    }


# Stages and upgrades


def test_a_template_of_one_stage_cannot_be_deployed_as_another(packaged: Callable[[str], Package]) -> None:
    for stage in STAGES:
        parameter = load(packaged(stage).template)["Parameters"]["Stage"]
        assert parameter["Default"] == stage
        assert parameter["AllowedValues"] == [stage]


def test_an_unknown_stage_is_named_with_those_there_are() -> None:
    with pytest.raises(LynceusError, match=r'"staging".*dev, prod'):
        projects.package("staging")


def test_an_upgrade_that_replaces_or_removes_what_holds_something_is_refused(
    resources: dict[str, Any],
) -> None:
    for name, changed in (
        ("SubmissionsQueue", {"QueueName": "other"}),
        ("DeadQueue", {"QueueName": "other"}),
        ("Ledger", {"TableName": "other"}),
    ):
        after = copy.deepcopy(resources)
        after["Resources"][name]["Properties"].update(changed)
        assert refusals(resources, after) == [Change("replace", name, resources["Resources"][name]["Type"])]
        without = copy.deepcopy(resources)
        del without["Resources"][name]
        assert refusals(resources, without) == [Change("remove", name, resources["Resources"][name]["Type"])]


def test_an_upgrade_in_place_is_not_refused(resources: dict[str, Any]) -> None:
    after = copy.deepcopy(resources)
    after["Resources"]["SubmissionsQueue"]["Properties"]["VisibilityTimeout"] = 720
    assert refusals(resources, after) == []
    assert changes(resources, after) == [Change("change", "SubmissionsQueue", "AWS::SQS::Queue")]
    assert refusals(None, resources) == []


def test_what_holds_something_says_what_becomes_of_it(resources: dict[str, Any]) -> None:
    for name, resource in resources["Resources"].items():
        if resource["Type"] in ("AWS::SQS::Queue", "AWS::DynamoDB::Table", "AWS::KMS::Key"):
            assert resource["UpdateReplacePolicy"] == "Retain", name
            kept = resource["Type"] != "AWS::SQS::Queue"
            assert resource["DeletionPolicy"] == ("RetainExceptOnCreate" if kept else "Delete"), name
    denied = json.loads(policy(resources))["Statement"][1]
    assert denied["Effect"] == "Deny"
    assert set(denied["Resource"]) == {
        f"LogicalResourceId/{name}"
        for name in ("CronQueue", "DeadQueue", "Key", "KeyAlias", "Ledger", "SubmissionsQueue")
    }


def test_a_stage_that_is_taken_away_keeps_its_memory_and_the_key_to_it(resources: dict[str, Any]) -> None:
    assert set(kept(resources)["Resources"]) == {"Key", "KeyAlias", "Ledger"}
