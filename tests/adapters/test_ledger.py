"""The ledger in DynamoDB keeps what every ledger promises, against moto."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from chalicelib.adapters.ledger import DynamoLedger
from chalicelib.core.errors import Unavailable
from chalicelib.core.submissions import end, reopen
from chalicelib.ports import Ledger
from tests.adapters.contract_ledger import BODY, FAR, NOW, LedgerContract, kept, record, submission

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

    def test_rule_42_items_carry_the_version_of_their_form_and_a_newer_one_is_not_guessed_at(
        self, ledger: DynamoLedger
    ) -> None:
        head = record()
        ledger.keep(head, b"{}", [])
        key = {"pk": {"S": f"event#{head.id}"}, "sk": {"S": "head"}}
        names = {"#v": "v"}
        item = ledger.item(f"event#{head.id}", "head")
        assert item is not None
        assert item["v"] == {"N": "1"}

        ledger.client.update_item(
            TableName=TABLE, Key=key, UpdateExpression="REMOVE #v", ExpressionAttributeNames=names
        )
        assert ledger.event(head.id) == head
        ledger.client.update_item(
            TableName=TABLE, Key=key, UpdateExpression="SET #v = :v", ExpressionAttributeNames=names,
            ExpressionAttributeValues={":v": {"N": "2"}},
        )  # fmt: skip
        with pytest.raises(Unavailable, match="newer version"):
            ledger.event(head.id)

    def test_rule_19_what_is_not_over_has_no_end_that_an_outage_could_reach(self, dynamodb: None) -> None:
        ledger = DynamoLedger(
            lambda: boto3.client("dynamodb", "us-east-1"), TABLE, retention=timedelta(days=1)
        )
        head = record(deferred_after="")
        long = "".join(random.Random(7).choices("0123456789abcdef", k=40_000))
        waiting = submission(head.id, parameters=(("long", long),))
        ledger.keep(head, BODY, [waiting])

        ends = {item["sk"]["S"].partition("#")[0]: item.get("expires") for item in all_items(ledger)}
        assert ends.keys() == {"head", "body", "sub", "text"}
        assert ends["head"] is None
        assert ends["sub"] is None
        for name in ("body", "text"):
            assert int(ends[name]["N"]) == int((NOW + timedelta(days=30)).timestamp())

        over = end(waiting, "failed", "name-taken", "taken", NOW)
        ledger.advance(waiting, over)
        [item] = [item for item in all_items(ledger) if item["sk"]["S"].startswith("sub#")]
        assert int(item["expires"]["N"]) == int((NOW + timedelta(days=1)).timestamp())
        ledger.extend(replace(head, version=1), [], [(over, reopen(over, waiting, FAR))])
        [item] = [item for item in all_items(ledger) if item["sk"]["S"].startswith("sub#")]
        assert "expires" not in item

    def test_a_submission_that_expired_before_dynamodb_deleted_it_is_in_nobodys_way(
        self, ledger: DynamoLedger
    ) -> None:
        first, (made,) = kept(ledger, "one", "build")
        over = end(made, "failed", "name-taken", "taken", NOW)
        ledger.advance(made, over)
        ledger.client.delete_item(
            TableName=TABLE, Key={"pk": {"S": f"event#{first.id}"}, "sk": {"S": "head"}}
        )
        with pytest.raises(Unavailable):
            ledger.keep(replace(first, nonce="within its time"), BODY, [made])

        late = replace(first, nonce="a year later", received_at=NOW + timedelta(days=365))
        assert ledger.keep(late, BODY, [made]) is None
        assert ledger.submission(made.pointer) == made

    def test_where_no_bodies_are_kept_one_that_the_worker_needed_ends_with_its_work(
        self, dynamodb: None
    ) -> None:
        ledger = DynamoLedger(lambda: boto3.client("dynamodb", "us-east-1"), TABLE, keep_bodies=False)
        head = record(deferred_after="")
        ledger.keep(head, BODY, [])
        assert ledger.body(head) == BODY

        ledger.extend(replace(head, deferred_after=None, version=1), [], [])

        [body] = [item for item in all_items(ledger) if item["sk"]["S"].startswith("body#")]
        assert int(body["expires"]["N"]) <= datetime.now(UTC).timestamp()


def all_items(ledger: DynamoLedger) -> list[dict[str, Any]]:
    return list(ledger.client.scan(TableName=TABLE)["Items"])
