"""What an event costs in write units (rule 43), counted on the very requests that reach DynamoDB.

A unit is a KB of an item, begun; in a transaction twice that. An index entry costs a unit when it appears or
goes, two when its key moves. https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/read-write-operations.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.adapters.ledger import DynamoLedger
from tests.world import World, binding

TABLE = "lynceus-dev-ledger"
INDEXES = (("listed_under", "listed_at"), ("shard", "due"))


class Meter:
    """Counts the units of every write that passes a client."""

    def __init__(self, client: Any) -> None:
        self.units = 0.0
        self.bodies = 0.0
        self._client = client
        client.meta.events.register("before-parameter-build.dynamodb.*", self._see)

    def _see(self, params: Mapping[str, Any], model: Any, **_: Any) -> None:
        if model.name == "PutItem":
            self._put(params["Item"], 1)
        elif model.name == "TransactWriteItems":
            for entry in params["TransactItems"]:
                self._put(entry["Put"]["Item"], 2)
        elif model.name == "UpdateItem":
            self._update(params)

    def _put(self, item: Mapping[str, Any], factor: int) -> None:
        units = factor * math.ceil(size(item) / 1024)
        if item["sk"]["S"].startswith("body#"):
            self.bodies += units
            return
        self.units += units + sum(1 for key, _ in INDEXES if key in item)

    def _update(self, params: Mapping[str, Any]) -> None:
        before = self._client.get_item(TableName=TABLE, Key=params["Key"])["Item"]
        self.units += math.ceil(size(before) / 1024)
        expression = params["UpdateExpression"]
        names = dict(params.get("ExpressionAttributeNames", {}))
        touched = {names.get(word.strip(","), word.strip(",")) for word in expression.split()}
        if "REMOVE" in expression and "shard" in touched:
            self.units += 1
        elif "due" in touched:
            self.units += 2


def size(item: Mapping[str, Any]) -> int:
    """Bytes as DynamoDB counts them."""
    total = 0
    for name, value in item.items():
        content = next(iter(value.values()))
        total += len(name) + (len(content) if isinstance(content, bytes) else len(str(content).encode()))
    return total


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        made = boto3.client(
            "dynamodb", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        attributes = ["pk", "sk", "listed_under", "listed_at", "shard", "due"]
        made.create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in attributes],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": name,
                    "KeySchema": [
                        {"AttributeName": keys[0], "KeyType": "HASH"},
                        {"AttributeName": keys[1], "KeyType": "RANGE"},
                    ],
                    "Projection": projection,
                }
                for name, keys, projection in (
                    ("by-time", INDEXES[0], {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["summary"]}),
                    ("outbox", INDEXES[1], {"ProjectionType": "KEYS_ONLY"}),
                )
            ],
        )
        yield made


def test_rule_43_an_event_without_a_match_costs_at_most_four_units(client: Any) -> None:
    meter = Meter(client)
    world = World(binding("never", "false"), ledger=DynamoLedger(lambda: client, TABLE))

    world.receive()
    world.work()

    assert 0 < meter.units <= 4
    assert meter.bodies > 0


def test_rule_43_an_event_with_one_match_costs_at_most_ten_units_until_its_workflow_is_there(
    client: Any,
) -> None:
    meter = Meter(client)
    world = World(
        binding("on-push", parameters={"revision": "payload.after", "repo": "payload.repository.clone_url"}),
        ledger=DynamoLedger(lambda: client, TABLE),
    )

    answer = world.receive()
    world.work()

    assert world.submissions(answer)[0].progress.state == "created"
    assert 4 < meter.units <= 10


def test_an_event_at_two_hundred_bindings_is_kept_in_four_kilobytes_beside_its_body(client: Any) -> None:
    world = World(
        *(binding(f"on-push-{number:03}", 'payload.ref == "refs/heads/release"') for number in range(198)),
        binding("broken", "payload.a.b.c == 1"),
        binding("good"),
        ledger=DynamoLedger(lambda: client, TABLE),
    )

    answer = world.receive()

    event = answer.headers["Lynceus-Event-Id"]
    sizes = [
        size(item)
        for item in client.scan(TableName=TABLE)["Items"]
        if item["pk"]["S"] in (f"event#{event}", f"workflow#argo#{world.submissions(answer)[0].workflow}")
        and not item["sk"]["S"].startswith("body#")
    ]
    assert len(sizes) == 2
    assert sum(sizes) < 4096
