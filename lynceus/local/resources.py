"""The AWS resources of one stage, made in the local system from the very template that deploys them.

Queues, dead letter queue and table are made by direct calls: moto's CloudFormation would do, but imports half of
AWS first (three seconds). Key, alarms and logs stay on paper here. moto ignores queue policies, time to live and
point-in-time recovery: the tests of `infra/` assert those on the template's text.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3

from lynceus.packaging.templates import load, resolve

ACCOUNT = "123456789012"  # moto's
REGION = "us-east-1"


def create(template_path: Path | str, stage: str, endpoint_url: str) -> None:
    """Create the template's queues and table for the stage at the endpoint; what is there already is left alone.

    Raises botocore's ClientError when a queue exists with other attributes.
    """
    resources: dict[str, dict[str, Any]] = load(template_path)["Resources"]
    names = {"Stage": stage, "AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
    queues = {name: res["Properties"] for name, res in resources.items() if res["Type"] == "AWS::SQS::Queue"}
    for name, properties in queues.items():
        queue_name = resolve(properties["QueueName"], names)
        names[f"{name}.Arn"] = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{queue_name}"

    session = boto3.Session("local", "local", region_name=REGION)
    sqs = session.client("sqs", endpoint_url=endpoint_url)
    # Those without a dead letter queue first: they are the dead letter queues.
    for properties in sorted(queues.values(), key=lambda properties: "RedrivePolicy" in properties):
        values = resolve(properties, names)
        # ignore: the stubs list attribute names as literals, the template is data
        sqs.create_queue(QueueName=values["QueueName"], Attributes=_attributes(values))  # type: ignore[arg-type]

    dynamodb = session.client("dynamodb", endpoint_url=endpoint_url)
    there = set(dynamodb.list_tables()["TableNames"])
    for resource in resources.values():
        if resource["Type"] != "AWS::DynamoDB::Table":
            continue
        values = resolve(resource["Properties"], names)
        if values["TableName"] not in there:
            dynamodb.create_table(**{key: values[key] for key in TABLE if key in values})


# What create_table takes as the template has it; encryption needs the key, the rest are calls of their own.
TABLE = ("TableName", "BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")


def _attributes(values: dict[str, Any]) -> dict[str, str]:
    """The queue's attributes as SQS takes them: text, without name and encryption."""
    attributes = {}
    for key, value in values.items():
        if key != "QueueName" and not key.startswith("Kms"):
            attributes[key] = json.dumps(value) if isinstance(value, dict) else str(value)
    return attributes
