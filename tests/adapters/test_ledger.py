"""The ledger in DynamoDB keeps what every ledger promises, against moto."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.adapters.ledger import DynamoLedger
from chalicelib.ports import Ledger
from tests.adapters.contract_ledger import LedgerContract

TABLE = "lynceus-test-ledger"


@pytest.fixture
def dynamodb(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        boto3.client("dynamodb", "us-east-1").create_table(
            TableName=TABLE,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, "AttributeType": "S"}
                for name in ("pk", "sk", "listed_under", "listed_at", "shard", "due")
            ],
            KeySchema=[
                {"AttributeName": "pk", "KeyType": "HASH"},
                {"AttributeName": "sk", "KeyType": "RANGE"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-time",
                    "KeySchema": [
                        {"AttributeName": "listed_under", "KeyType": "HASH"},
                        {"AttributeName": "listed_at", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["summary"]},
                },
                {
                    "IndexName": "outbox",
                    "KeySchema": [
                        {"AttributeName": "shard", "KeyType": "HASH"},
                        {"AttributeName": "due", "KeyType": "RANGE"},
                    ],
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                },
            ],
        )
        yield


class OneCallAtATime:
    """A client whose calls are atomic, as DynamoDB's are; moto's check and write are two steps."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self._lock = threading.Lock()

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._client, name)
        if not callable(member):
            return member

        def call(*arguments: Any, **named: Any) -> Any:
            with self._lock:
                return member(*arguments, **named)

        return call


class TestDynamoLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, dynamodb: None) -> Ledger:
        client: Any = OneCallAtATime(boto3.client("dynamodb", "us-east-1"))
        return DynamoLedger(lambda: client, TABLE)
