"""A pump treats a function as Lambda does: once per message, again after a failure, never more at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from chalice import Chalice

from lynceus.local.amazon import Amazon, overwrite
from lynceus.local.functions import Functions
from lynceus.local.pumps import Pump, sqs_event
from tests.local.test_amazon import TEMPLATE, forget


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import os

    forget()
    amazon = Amazon(TEMPLATE, "local")
    amazon.start()
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    fakes: dict[str, str] = {}
    overwrite(fakes, amazon.endpoint)
    for name, value in fakes.items():
        monkeypatch.setenv(name, value)
    yield boto3.client("sqs")
    amazon.stop()
    forget()


def queue(sqs: Any, name: str, **attributes: str) -> str:
    return str(sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"])


class Fed:
    """An app with one function on one queue, and its pump, while the block lasts."""

    def __init__(self, function: Callable[[Any], Any], maximum: int | None = None) -> None:
        self.failures: list[tuple[str, Exception]] = []
        app = Chalice("fed", configure_logs=False)
        app.on_sqs_message(queue="work", name="work", batch_size=1, maximum_concurrency=maximum)(function)
        functions = Functions(app)
        self.pump = Pump(
            functions, functions.queues[0], on_failure=lambda name, error: self.failures.append((name, error))
        )

    def __enter__(self) -> Fed:
        self.pump.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pump.stop()


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def left_in(sqs: Any, url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(value) for value in attributes.values())


def test_each_message_is_one_invocation_and_gone_after_it(sqs: Any) -> None:
    url = queue(sqs, "work")
    seen: list[tuple[int, str]] = []

    def work(event: Any) -> None:
        records = list(event)
        seen.append((len(records), records[0].body))

    with Fed(work):
        for number in range(25):
            sqs.send_message(QueueUrl=url, MessageBody=str(number))
        assert wait_for(lambda: len(seen) == 25 and left_in(sqs, url) == 0)
    assert sorted(seen) == sorted((1, str(number)) for number in range(25))


def test_a_failure_leaves_the_message_to_come_back_counted_and_stops_no_other(sqs: Any) -> None:
    url = queue(sqs, "work", VisibilityTimeout="1")
    counts: list[str] = []
    good: list[str] = []

    def work(event: Any) -> None:
        record = event.to_dict()["Records"][0]
        if record["body"] == "bad":
            counts.append(record["attributes"]["ApproximateReceiveCount"])
            if len(counts) < 3:
                raise ValueError("not yet")
        else:
            good.append(record["body"])

    with Fed(work) as fed:
        sqs.send_message(QueueUrl=url, MessageBody="bad")
        sqs.send_message(QueueUrl=url, MessageBody="good")
        assert wait_for(lambda: len(counts) == 3 and left_in(sqs, url) == 0)
    assert counts == ["1", "2", "3"]
    assert good == ["good"]
    assert [(name, str(error)) for name, error in fed.failures] == [("work", "not yet")] * 2


def test_the_queues_own_redrive_policy_decides_when_to_give_up(sqs: Any) -> None:
    dead = queue(sqs, "dead")
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    policy = f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 2}}'
    url = queue(sqs, "work", VisibilityTimeout="1", RedrivePolicy=policy)
    calls: list[Any] = []

    def work(event: Any) -> None:
        calls.append(event)
        raise ValueError("never")

    with Fed(work):
        sqs.send_message(QueueUrl=url, MessageBody="hopeless")
        assert wait_for(lambda: left_in(sqs, dead) == 1)
    assert len(calls) == 2
    assert left_in(sqs, url) == 0


def test_no_more_run_at_once_than_the_app_allows(sqs: Any) -> None:
    url = queue(sqs, "work")
    running, most, done = 0, 0, 0
    lock = threading.Lock()

    def work(event: Any) -> None:
        nonlocal running, most, done
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1
            done += 1

    for number in range(20):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    with Fed(work, maximum=3):
        assert wait_for(lambda: done == 20)
    assert most == 3


def test_a_stop_leaves_what_was_not_begun_in_the_queue(sqs: Any) -> None:
    url = queue(sqs, "work", VisibilityTimeout="1")
    begun: list[Any] = []
    gate = threading.Event()

    def work(event: Any) -> None:
        begun.append(event)
        gate.wait(20)

    for number in range(12):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    with Fed(work, maximum=2):
        assert wait_for(lambda: len(begun) == 2)
    gate.set()
    assert wait_for(lambda: left_in(sqs, url) == 10)


def test_the_queue_away_for_a_while_is_polled_again(sqs: Any) -> None:
    url = queue(sqs, "work")
    seen: list[Any] = []
    with Fed(seen.append) as fed:
        import os
        import urllib.request

        def tell(services: bytes) -> None:
            target = f"{os.environ['AWS_ENDPOINT_URL']}/lynceus/outages"
            urllib.request.urlopen(urllib.request.Request(target, services, method="PUT"), timeout=5).close()

        tell(b'["sqs"]')
        assert wait_for(lambda: bool(fed.failures))
        tell(b"[]")
        sqs.send_message(QueueUrl=url, MessageBody="late")
        assert wait_for(lambda: len(seen) == 1)


def test_the_event_has_the_shape_that_lambda_sends(sqs: Any) -> None:
    url = queue(sqs, "work")
    attribute = {"reason": {"DataType": "String", "StringValue": "why"}}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes=attribute)
    messages = sqs.receive_message(
        QueueUrl=url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"]
    )["Messages"]
    (record,) = sqs_event(messages, "arn:aws:sqs:us-east-1:123456789012:work")["Records"]
    # https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html#example-standard-queue-message-event
    assert set(record) == {
        "messageId",
        "receiptHandle",
        "body",
        "attributes",
        "messageAttributes",
        "md5OfBody",
        "eventSource",
        "eventSourceARN",
        "awsRegion",
    }
    assert record["attributes"]["ApproximateReceiveCount"] == "1"
    assert {"SentTimestamp", "SenderId", "ApproximateFirstReceiveTimestamp"} <= set(record["attributes"])
    assert record["messageAttributes"]["reason"] == {
        "dataType": "String",
        "stringValue": "why",
        "stringListValues": [],
        "binaryListValues": [],
    }
    assert record["awsRegion"] == "us-east-1"
