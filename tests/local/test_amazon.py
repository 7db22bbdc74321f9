"""AWS on this machine: nothing is lost between threads, between starts, or to the shell's real credentials."""

from __future__ import annotations

import json
import stat
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.dynamodb.models import dynamodb_backends
from moto.secretsmanager.models import secretsmanager_backends
from moto.sqs.models import sqs_backends

from lynceus.local.amazon import REGION, Amazon, credentials, overwrite

TEMPLATE = Path(__file__).resolve().parents[2] / "infra" / "resources.yaml"
TABLE, QUEUE = "lynceus-local-ledger", "lynceus-local-submissions"


def forget() -> None:
    """Empty moto's memory, as a new process would have it."""
    from moto.cloudformation.models import cloudformation_backends

    for backends in (dynamodb_backends, secretsmanager_backends, sqs_backends, cloudformation_backends):
        backends[DEFAULT_ACCOUNT_ID][REGION].reset()


def started(state: Path | None = None) -> Amazon:
    forget()
    amazon = Amazon(TEMPLATE, "local", state)
    amazon.start()
    return amazon


def client(amazon: Amazon, service: str) -> Any:
    fakes = credentials(amazon.endpoint)
    return boto3.client(
        service,
        endpoint_url=amazon.endpoint,
        region_name=REGION,
        aws_access_key_id=fakes["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=fakes["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20),
    )


@pytest.fixture
def amazon() -> Iterator[Amazon]:
    amazon = started()
    yield amazon
    amazon.stop()
    forget()


def item(key: str, **more: Any) -> dict[str, Any]:
    return {"pk": {"S": key}, "sk": {"S": "-"}, **more}


def in_threads(count: int, function: Any) -> None:
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_the_template_that_deploys_them_makes_queues_and_table(amazon: Amazon) -> None:
    sqs, ledger = client(amazon, "sqs"), client(amazon, "dynamodb")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert json.loads(attributes["RedrivePolicy"])["deadLetterTargetArn"].endswith(":lynceus-local-dead")
    indexes = ledger.describe_table(TableName=TABLE)["Table"]["GlobalSecondaryIndexes"]
    assert {index["IndexName"] for index in indexes} == {"by-time", "outbox"}


def test_a_cancelled_transaction_undoes_its_own_items_and_no_others(amazon: Amazon) -> None:
    ledger = client(amazon, "dynamodb")
    ledger.put_item(TableName=TABLE, Item=item("old", n={"N": "1"}))

    def write(number: int) -> None:
        for turn in range(5):
            ledger.put_item(TableName=TABLE, Item=item(f"{number}-{turn}"))
            with pytest.raises(ClientError, match="TransactionCanceled"):
                ledger.transact_write_items(
                    TransactItems=[
                        {"Put": {"TableName": TABLE, "Item": item(f"undone-{number}-{turn}")}},
                        {
                            "Update": {
                                "TableName": TABLE,
                                "Key": item("old"),
                                "UpdateExpression": "SET n = :two",
                                "ExpressionAttributeValues": {":two": {"N": "2"}},
                            }
                        },
                        {
                            "ConditionCheck": {
                                "TableName": TABLE,
                                "Key": item("absent"),
                                "ConditionExpression": "attribute_exists(pk)",
                            }
                        },
                    ]
                )

    in_threads(8, write)
    kept = {entry["pk"]["S"]: entry for entry in ledger.scan(TableName=TABLE)["Items"]}
    assert set(kept) == {"old"} | {f"{number}-{turn}" for number in range(8) for turn in range(5)}
    assert kept["old"]["n"] == {"N": "1"}


def test_of_many_transactions_with_one_condition_one_wins(amazon: Amazon) -> None:
    ledger = client(amazon, "dynamodb")
    won: list[int] = []

    def claim(number: int) -> None:
        put = {
            "TableName": TABLE,
            "Item": item("claim", by={"N": str(number)}),
            "ConditionExpression": "attribute_not_exists(pk)",
        }
        try:
            ledger.transact_write_items(
                TransactItems=[{"Put": put}, {"Put": {"TableName": TABLE, "Item": item(f"own-{number}")}}]
            )
        except ClientError:
            return
        won.append(number)

    in_threads(16, claim)
    kept = {entry["pk"]["S"] for entry in ledger.scan(TableName=TABLE)["Items"]}
    assert len(won) == 1
    assert kept == {"claim", f"own-{won[0]}"}


def test_no_message_is_lost_while_others_are_deleted(amazon: Amazon) -> None:
    sqs = client(amazon, "sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    seen: list[str] = []

    def work(number: int) -> None:
        if number % 2:
            for turn in range(15):
                sqs.send_message(QueueUrl=url, MessageBody=f"{number}-{turn}")
            return
        while len(seen) < 60:
            for message in sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=3, WaitTimeSeconds=1, VisibilityTimeout=60
            ).get("Messages", []):
                seen.append(message["Body"])
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])

    in_threads(8, work)
    assert sorted(seen) == sorted(f"{number}-{turn}" for number in (1, 3, 5, 7) for turn in range(15))


def test_ledger_and_secrets_survive_a_restart(tmp_path: Path) -> None:
    amazon = started(tmp_path)
    body = {"B": b"\x00\xff"}
    client(amazon, "dynamodb").put_item(TableName=TABLE, Item=item("kept", body=body, expires={"N": "1"}))
    client(amazon, "dynamodb").put_item(TableName=TABLE, Item=item("event", body=body, n={"N": "1.5"}))
    secrets = client(amazon, "secretsmanager")
    secrets.create_secret(Name="lynceus-local/argo/webhook-clients", SecretString="first")
    secrets.put_secret_value(SecretId="lynceus-local/argo/webhook-clients", SecretString="second")
    amazon.stop()
    amazon = started(tmp_path)
    try:
        items = client(amazon, "dynamodb").scan(TableName=TABLE)["Items"]
        secrets = client(amazon, "secretsmanager")
        versions = [
            secrets.get_secret_value(SecretId="lynceus-local/argo/webhook-clients", VersionStage=stage)
            for stage in ("AWSCURRENT", "AWSPREVIOUS")
        ]
    finally:
        amazon.stop()
        forget()
    # what had expired is gone: moto itself never removes it
    assert items == [item("event", body=body, n={"N": "1.5"})]
    assert [version["SecretString"] for version in versions] == ["second", "first"]


def test_what_waits_in_a_queue_survives_a_restart_and_what_is_done_does_not(tmp_path: Path) -> None:
    amazon = started(tmp_path)
    sqs = client(amazon, "sqs")
    url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
    reason = {"reason": {"DataType": "String", "StringValue": "why"}}
    sqs.send_message(QueueUrl=url, MessageBody="done")
    (done,) = sqs.receive_message(QueueUrl=url)["Messages"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=done["ReceiptHandle"])
    sqs.send_message(QueueUrl=url, MessageBody="in flight", MessageAttributes=reason)
    sqs.receive_message(QueueUrl=url)
    sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=900)
    amazon.stop()
    amazon = started(tmp_path)
    try:
        sqs = client(amazon, "sqs")
        url = sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]
        (message,) = sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
            MessageSystemAttributeNames=["All"],
        )["Messages"]
    finally:
        amazon.stop()
        forget()
    assert message["Body"] == "in flight"
    assert message["MessageAttributes"] == reason
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"


def test_what_is_saved_is_for_its_owner_alone(tmp_path: Path) -> None:
    amazon = started(tmp_path)
    client(amazon, "secretsmanager").create_secret(Name="lynceus-local/argo/x", SecretString="s")
    amazon.stop()
    forget()
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert {path.name for path in tmp_path.iterdir()} == {"ledger.json", "secrets.json", "queues.json"}


def test_changes_are_saved_while_it_runs(tmp_path: Path) -> None:
    amazon = started(tmp_path)
    try:
        client(amazon, "dynamodb").put_item(TableName=TABLE, Item=item("early"))
        waiting = threading.Event()
        for _ in range(100):
            if (tmp_path / "ledger.json").exists():
                break
            waiting.wait(0.1)
        assert [entry["pk"] for entry in json.loads((tmp_path / "ledger.json").read_text())] == [
            {"S": "early"}
        ]
    finally:
        amazon.stop()
        forget()


def test_a_service_fails_when_told_to_and_the_others_do_not(amazon: Amazon) -> None:
    def tell(services: bytes) -> Any:
        request = urllib.request.Request(f"{amazon.endpoint}/lynceus/outages", services, method="PUT")
        return json.loads(urllib.request.urlopen(request, timeout=5).read())

    assert tell(b'["sqs"]') == ["sqs"]
    with pytest.raises(ClientError, match="local outage"):
        client(amazon, "sqs").get_queue_url(QueueName=QUEUE)
    client(amazon, "dynamodb").put_item(TableName=TABLE, Item=item("a"))
    assert tell(b"[]") == []
    assert client(amazon, "sqs").get_queue_url(QueueName=QUEUE)["QueueUrl"]


def test_every_aws_variable_of_the_shell_is_overwritten() -> None:
    environment = {
        "AWS_PROFILE": "production",
        "AWS_ACCESS_KEY_ID": "AKIAREAL",
        "AWS_WEB_IDENTITY_TOKEN_FILE": "/x",
        "HOME": "/h",
    }
    overwrite(environment, "http://127.0.0.1:1")
    assert environment == {"HOME": "/h", **credentials("http://127.0.0.1:1")}
