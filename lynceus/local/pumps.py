"""Lambda's event source mapping for SQS on this machine: queues in, invocations out.

One pump per queue that the app names. A message is received for the queue's own visibility timeout and handed to
the function; when the function returns, the message is deleted; when it raises, the message is left and comes
back after the timeout. The queue's redrive policy moves it to the dead letter queue, as in AWS; the pump
decides nothing.
https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-concurrency-scaling.html
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import boto3
from botocore.config import Config
from chalice.app import SQSEventConfig

from lynceus.local.functions import Functions

CONCURRENCY = 5  # where the app sets no maximum: what Lambda starts with
RECEIVE_LIMIT = 10  # messages of one ReceiveMessage
STOP_SECONDS = 1.0
POLL_SECONDS = 1  # short, so that a stop is not kept waiting


class Pump:
    """Feeds one function from its queue until it is stopped."""

    def __init__(
        self,
        functions: Functions,
        source: SQSEventConfig,
        *,
        on_failure: Callable[[str, Exception], None],
    ) -> None:
        self._functions, self._source, self._on_failure = functions, source, on_failure
        self._name = source.queue or str(source.queue_arn).rpartition(":")[2]
        self._batch = source.batch_size or 1
        self._concurrency = source.maximum_concurrency or CONCURRENCY
        self._free = threading.Semaphore(self._concurrency)
        self._stopping = threading.Event()
        self._working: set[threading.Thread] = set()
        self._poller = threading.Thread(target=self._poll, name=f"pump-{source.name}", daemon=True)
        self._sqs = boto3.client(
            "sqs",
            config=Config(
                max_pool_connections=self._concurrency + 1,
                retries={"total_max_attempts": 1},
                read_timeout=POLL_SECONDS + 5,
            ),
        )
        self._url = self._sqs.get_queue_url(QueueName=self._name)["QueueUrl"]
        attributes = self._sqs.get_queue_attributes(QueueUrl=self._url, AttributeNames=["QueueArn"])
        self._arn = attributes["Attributes"]["QueueArn"]

    def start(self) -> None:
        """Begin to poll."""
        self._poller.start()

    def stop(self) -> None:
        """Take no more messages and wait a second for the invocations under way.

        What is not done by then stays in the queue, as when Lambda ends a container.
        """
        self._stopping.set()
        until = time.monotonic() + STOP_SECONDS
        for thread in list(self._working):
            thread.join(max(0.0, until - time.monotonic()))

    def _poll(self) -> None:
        while slots := self._take_slots():
            messages: Sequence[Mapping[str, Any]] = ()
            try:
                messages = self._receive(slots * self._batch)
            except Exception as error:  # noqa: BLE001  # SQS away or stopped: Lambda polls on
                if not self._stopping.is_set():
                    self._on_failure(f"poll of {self._name}", error)
                self._stopping.wait(POLL_SECONDS)
            if self._stopping.is_set():
                return
            batches = [messages[at : at + self._batch] for at in range(0, len(messages), self._batch)]
            for batch in batches:
                thread = threading.Thread(
                    target=self._work, args=(batch,), name=self._source.name, daemon=True
                )
                self._working.add(thread)
                thread.start()
            if slots > len(batches):
                self._free.release(slots - len(batches))

    def _take_slots(self) -> int:
        """Claim the free slots, at least one: waits for it, 0 when it is time to stop."""
        while self._stopping.is_set() or not self._free.acquire(timeout=POLL_SECONDS):
            if self._stopping.is_set():
                return 0
        slots = 1
        while slots * self._batch < RECEIVE_LIMIT and self._free.acquire(blocking=False):
            slots += 1
        return slots

    def _receive(self, count: int) -> Sequence[Mapping[str, Any]]:
        answer = self._sqs.receive_message(
            QueueUrl=self._url,
            MaxNumberOfMessages=min(count, RECEIVE_LIMIT),
            WaitTimeSeconds=POLL_SECONDS,
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        )
        return answer.get("Messages", [])

    def _work(self, messages: Sequence[Mapping[str, Any]]) -> None:
        try:
            self._invoke(messages)
        finally:
            self._working.discard(threading.current_thread())
            self._free.release()

    def _invoke(self, messages: Sequence[Mapping[str, Any]]) -> None:
        try:
            self._functions.invoke(self._source.name, sqs_event(messages, self._arn))
        except Exception as error:  # noqa: BLE001  # whatever a function raises, its messages are left
            self._on_failure(self._source.name, error)
            return
        try:
            for message in messages:
                self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
        except Exception as error:  # noqa: BLE001  # delivered again, as in AWS
            if not self._stopping.is_set():
                self._on_failure(f"deletion in {self._name}", error)


def sqs_event(messages: Sequence[Mapping[str, Any]], arn: str) -> dict[str, Any]:
    """The messages as Lambda hands them to a function.

    https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    return {
        "Records": [
            {
                "messageId": message["MessageId"],
                "receiptHandle": message["ReceiptHandle"],
                "body": message["Body"],
                "attributes": {name: str(value) for name, value in message.get("Attributes", {}).items()},
                "messageAttributes": {
                    name: {
                        **{key[0].lower() + key[1:]: part for key, part in value.items()},
                        "stringListValues": [],
                        "binaryListValues": [],
                    }
                    for name, value in message.get("MessageAttributes", {}).items()
                },
                "md5OfBody": message["MD5OfBody"],
                "eventSource": "aws:sqs",
                "eventSourceARN": arn,
                "awsRegion": arn.split(":")[3],
            }
            for message in messages
        ]
    }
