"""CloudFormation stacks: what a template would change, and the change made so that it can be taken up again.

A first creation keeps what it made when it fails, so that the next run completes it by an update; an update that
fails is rolled back, since functions are serving meanwhile. Nothing that holds messages or items is ever replaced
or removed by a deployment: `refusals` says so before AWS is asked, a stack policy enforces it there.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import boto3
from boto3.exceptions import Boto3Error
from botocore.exceptions import BotoCoreError, ClientError

from chalicelib.core.errors import LynceusError, Misconfigured, Unavailable
from lynceus.packaging.templates import parse

TEMPLATE_LIMIT = 51_200  # bytes of a template sent with the call; larger ones come from a bucket
POLL = 3.0  # seconds between two looks at a stack in motion
# States from which a stack can only be deleted; the last is one that never had resources.
NOTHING_TO_MAKE_OF = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED", "REVIEW_IN_PROGRESS")
BEGINNINGS = (
    "CREATE_IN_PROGRESS",
    "UPDATE_IN_PROGRESS",
    "DELETE_IN_PROGRESS",
)  # of an operation, in a stack's events

# Properties that cannot change in place, of the kinds that hold something.
# https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-template-resource-type-ref.html
REPLACING = {
    "AWS::DynamoDB::Table": ("TableName", "KeySchema", "LocalSecondaryIndexes"),
    "AWS::IAM::Role": ("RoleName", "Path"),
    "AWS::KMS::Alias": ("AliasName",),
    "AWS::KMS::Key": ("KeySpec", "KeyUsage", "MultiRegion"),
    "AWS::Logs::LogGroup": ("LogGroupName",),
    "AWS::S3::Bucket": ("BucketName",),
    "AWS::SNS::Topic": ("TopicName", "FifoTopic"),
    "AWS::SQS::Queue": ("QueueName", "FifoQueue"),
    "AWS::Serverless::Function": ("FunctionName", "PackageType"),
}


@dataclass(frozen=True)
class Change:
    """What becomes of one resource of a stack."""

    action: str  # "create", "change", "replace" or "remove"
    resource: str  # logical id
    kind: str


def changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """What deploying template `after` over `before` does, resource by resource; None is no stack yet."""
    old: Mapping[str, Any] = (before or {}).get("Resources", {})
    new: Mapping[str, Any] = after.get("Resources", {})
    found = []
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            found.append(Change("create", name, new[name]["Type"]))
        elif name not in new:
            found.append(Change("remove", name, old[name]["Type"]))
        elif old[name] != new[name]:
            found.append(
                Change("replace" if _replaces(old[name], new[name]) else "change", name, new[name]["Type"])
            )
    return found


def _replaces(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    if old["Type"] != new["Type"]:
        return True
    before, after = old.get("Properties", {}), new.get("Properties", {})
    return any(before.get(name) != after.get(name) for name in REPLACING.get(new["Type"], ()))


def refusals(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> list[Change]:
    """The changes that would lose messages or items: replacing or removing what the template before holds on to."""
    holding = _holding(before or {})
    return [
        change
        for change in changes(before, after)
        if change.action in ("replace", "remove") and change.resource in holding
    ]


def kept(template: Mapping[str, Any]) -> dict[str, Any]:
    """The template with only what DeletionPolicy keeps: what stays of a stack that is taken away."""
    resources = {
        name: resource
        for name, resource in template["Resources"].items()
        if resource.get("DeletionPolicy", "Delete") != "Delete"
    }
    rest = {key: value for key, value in template.items() if key not in ("Resources", "Outputs")}
    return {**rest, "Resources": resources}


def policy(template: Mapping[str, Any]) -> str:
    """The stack policy: everything may be updated, nothing that holds messages or items replaced or removed."""
    guarded = [f"LogicalResourceId/{name}" for name in sorted(_holding(template))]
    allow = {"Effect": "Allow", "Principal": "*", "Action": "Update:*", "Resource": "*"}
    deny = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": ["Update:Replace", "Update:Delete"],
        "Resource": guarded,
    }
    return json.dumps({"Statement": [allow, *([deny] if guarded else [])]})


def _holding(template: Mapping[str, Any]) -> set[str]:
    return {
        name
        for name, resource in template.get("Resources", {}).items()
        if resource.get("UpdateReplacePolicy", "Delete") != "Delete"
        and resource["Type"] not in ("AWS::Logs::LogGroup", "AWS::S3::Bucket")
    }


class Stacks:
    """The stacks of one account and region; every refusal of AWS comes out as one of our errors."""

    def __init__(
        self, client: Any, told: Callable[[str], None], sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._client, self._told, self._sleep = client, told, sleep

    def template(self, name: str) -> dict[str, Any] | None:
        """The template as it was deployed, None where there is no stack."""
        stack = self._find(name)
        if stack is None or stack["StackStatus"] == "REVIEW_IN_PROGRESS":
            return None
        body = asked(lambda: self._client.get_template(StackName=name, TemplateStage="Original"))[
            "TemplateBody"
        ]
        return parse(body) if isinstance(body, str) else dict(body)

    def parameters(self, name: str) -> dict[str, str]:
        """The values of the stack's parameters; none where there is no stack."""
        return _values(self._find(name))

    def outputs(self, name: str) -> dict[str, str]:
        """The stack's outputs."""
        stack = self._find(name) or {}
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", ())}

    def apply(
        self,
        name: str,
        template: Mapping[str, Any],
        source: Mapping[str, str],
        parameters: Mapping[str, str],
        *,
        stack_policy: str = "",
        during: str = "",
    ) -> None:
        """Create or update the stack and wait for it; `source` is TemplateBody or TemplateURL.

        Parameters that are not given keep their value. Raises Misconfigured with the first failure that AWS reports.
        """
        stack = self._settled(name)
        if stack is not None and stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED":
            # Whatever kept it from going back has been mended, or AWS says once more what it is.
            asked(lambda: self._client.continue_update_rollback(StackName=name))
            self._finish(name, ("UPDATE_ROLLBACK_COMPLETE",))
            stack = self._settled(name)
        if stack is not None and stack["StackStatus"] in NOTHING_TO_MAKE_OF:
            self.delete(name)
            stack = None
        request: dict[str, Any] = {
            "StackName": name,
            **source,
            "Capabilities": ["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
            "Parameters": _parameters(template, parameters, stack),
        }
        if stack_policy:
            request["StackPolicyBody"] = stack_policy
        if stack is None:
            asked(lambda: self._client.create_stack(**request, DisableRollback=True))
        else:
            if during:
                request["StackPolicyDuringUpdateBody"] = during
            if stack["StackStatus"] in ("CREATE_FAILED", "UPDATE_FAILED"):
                # There is nothing to go back to, and AWS refuses an update that would.
                request["DisableRollback"] = True
            try:
                asked(lambda: self._client.update_stack(**request))
            except LynceusError as error:
                if "No updates are to be performed" not in error.message:
                    raise
                self._told(f"{name}: nothing to change")
                return
        self._finish(name, ("CREATE_COMPLETE", "UPDATE_COMPLETE"))

    def delete(self, name: str) -> bool:
        """Delete the stack and wait; False where there was none."""
        if self._settled(name) is None:
            return False
        asked(lambda: self._client.delete_stack(StackName=name))
        self._finish(name, ("DELETE_COMPLETE",))
        return True

    def _find(self, name: str) -> dict[str, Any] | None:
        try:
            found = asked(lambda: self._client.describe_stacks(StackName=name))["Stacks"]
        except Misconfigured as error:
            if "does not exist" in error.message:
                return None
            raise
        stack: dict[str, Any] = found[0]
        return None if stack["StackStatus"] == "DELETE_COMPLETE" else stack

    def _settled(self, name: str) -> dict[str, Any] | None:
        """The stack once nobody is changing it: another run may have been cut off while AWS went on."""
        stack = self._find(name)
        while stack is not None and _moving(stack["StackStatus"]):
            self._told(f"{name}: {stack['StackStatus'].lower().replace('_', ' ')}")
            self._sleep(POLL)
            stack = self._find(name)
        return stack

    def _finish(self, name: str, good: tuple[str, ...]) -> None:
        stack = self._settled(name)
        status = stack["StackStatus"] if stack else "DELETE_COMPLETE"
        if status not in good:
            raise Misconfigured(
                f"stack {name} ended as {status}: {self._reason(name)}; mend it and run this again"
            )

    def _reason(self, name: str) -> str:
        """Why the last operation failed: the first resource that did, not those it took with it."""
        said = "AWS gives no reason"
        for event in self._events(name):
            reason = event.get("ResourceStatusReason", event["ResourceStatus"])
            if event["ResourceStatus"].endswith("_FAILED") and "cancelled" not in reason.lower():
                said = (
                    f"{event['LogicalResourceId']}: {reason}"  # the newest came first, the cause comes last
                )
        return said

    def _events(self, name: str) -> Iterator[dict[str, Any]]:
        """The events of the stack's last operation, newest first."""
        page: dict[str, Any] = {"NextToken": ""}
        while "NextToken" in page:
            further = {"NextToken": page["NextToken"]} if page["NextToken"] else {}
            page = asked(partial(self._client.describe_stack_events, StackName=name, **further))
            for event in page["StackEvents"]:
                if event["LogicalResourceId"] == name and event["ResourceStatus"] in BEGINNINGS:
                    return
                yield event


def _moving(status: str) -> bool:
    return status.endswith("_IN_PROGRESS") and status != "REVIEW_IN_PROGRESS"


def _values(stack: Mapping[str, Any] | None) -> dict[str, str]:
    return {one["ParameterKey"]: one["ParameterValue"] for one in (stack or {}).get("Parameters", ())}


def _parameters(
    template: Mapping[str, Any], given: Mapping[str, str], stack: Mapping[str, Any] | None
) -> list[dict[str, str]]:
    """The parameters that the template takes: as given, else as the stack has them, else the default."""
    values = {**_values(stack), **given}
    return [
        {"ParameterKey": name, "ParameterValue": values[name]}
        for name in template.get("Parameters", {})
        if name in values
    ]


def session_of(profile: str | None, region: str | None) -> boto3.Session:
    """The session of a profile and region; also of AWS_REGION, which Lambda sets and boto3 does not read."""
    region = region or os.environ.get("AWS_REGION")
    session: boto3.Session = asked(lambda: boto3.Session(profile_name=profile, region_name=region))
    return session


def asked(call: Callable[[], Any]) -> Any:
    """What AWS answers; raises Misconfigured with its words, Unavailable where it does not answer."""
    try:
        return call()
    except ClientError as error:
        told = error.response.get("Error", {})
        message = f"AWS refused {error.operation_name}: {told.get('Message') or told.get('Code')}"
        raise Misconfigured(message) from error
    except (BotoCoreError, Boto3Error) as error:
        raise Unavailable(f"AWS cannot be asked: {error}") from error
