"""The doorbells in SQS: two queues that wake the workers, and the dead letter queue.

A message says where to look in the ledger and nothing more, so one that is sent twice rings twice for the same
thing and does no harm. That is why a send that partly failed may simply be tried again, and why some messages of
a failed send may have gone out.

What SQS refuses in a body, the control characters and surrogates that XML cannot hold, cannot occur here: the
bodies are JSON with every character beyond ASCII escaped. A reason on the dead letter queue is free text and is
cleaned.

https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessageBatch.html
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from chalicelib.core.errors import LynceusError, Throttled, Unavailable
from chalicelib.ports import DeadLetter

if TYPE_CHECKING:
    from types_boto3_sqs import SQSClient
    from types_boto3_sqs.type_defs import SendMessageBatchRequestEntryTypeDef

BATCH = 10  # messages in one call
LIMIT = 1024 * 1024  # bytes of one message, and of all messages in one call
MAX_DELAY = 900  # seconds
REASON_LIMIT = 1000  # characters

_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_THROTTLED = frozenset({"RequestThrottled", "ThrottlingException", "Throttling", "KmsThrottled"})


def sqs_client(region: str) -> SQSClient:
    """A client that gives up soon: at the door a sender is waiting, and the sweep rings again anyway."""
    import boto3
    from botocore.config import Config

    patience = Config(
        connect_timeout=2, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3}
    )
    return boto3.client("sqs", region_name=region, config=patience)


class SqsQueue:
    """The Queue port over three SQS queues, named as `chalicelib.settings` names them."""

    def __init__(
        self, client: Callable[[], SQSClient], *, submissions: str, cron: str, dead_letters: str
    ) -> None:
        self._make_client = client
        self._made: SQSClient | None = None
        self._lock = threading.Lock()
        self._submissions, self._cron, self._dead_letters = submissions, cron, dead_letters
        self._urls: dict[str, str] = {}

    def send(self, messages: Sequence[Mapping[str, Any]], *, cron: bool = False, delay: int = 0) -> None:
        """See `chalicelib.ports.Queue.send`; a message over 1 MiB is refused before any is sent."""
        if not 0 <= delay <= MAX_DELAY:
            raise ValueError(f"delay is {delay} s: SQS takes 0 to {MAX_DELAY}")
        bodies = [json.dumps(message, separators=(",", ":")) for message in messages]
        queue = self._cron if cron else self._submissions
        for body in bodies:
            if len(body) > LIMIT:
                raise Unavailable(f"a message for {queue} has {len(body)} bytes, SQS takes {LIMIT}")
        for batch in _batches(bodies):
            failed = self._send(queue, batch, delay)
            if failed:
                failed = self._send(queue, [batch[index] for index in failed], delay)
            if failed:
                codes = ", ".join(sorted(set(failed.values())))
                raise Unavailable(f"{queue} did not take {len(failed)} of {len(bodies)} messages: {codes}")

    def bury(self, body: str, reason: str) -> None:
        """See `chalicelib.ports.Queue.bury`; the reason is the message attribute `reason`."""
        queue = self._dead_letters
        # Attributes count with the body; a message that came from SQS leaves room for some of the reason or none.
        room = LIMIT - len(body.encode("utf-8", "replace")) - len("reasonString")
        text = (
            _NOT_IN_XML.sub("\ufffd", reason)[:REASON_LIMIT]
            .encode()[: max(room, 0)]
            .decode("utf-8", "ignore")
        )
        attributes: dict[str, Any] = {"reason": {"DataType": "String", "StringValue": text}} if text else {}
        self._call(
            queue,
            lambda client, url: client.send_message(
                QueueUrl=url, MessageBody=_NOT_IN_XML.sub("\ufffd", body), MessageAttributes=attributes
            ),
        )

    def dead_letters(self, limit: int) -> list[DeadLetter]:
        """See `chalicelib.ports.Queue.dead_letters`."""
        answer = self._call(
            self._dead_letters,
            lambda client, url: client.receive_message(
                QueueUrl=url,
                MaxNumberOfMessages=min(limit, BATCH),
                VisibilityTimeout=60,
                MessageAttributeNames=["reason"],
                MessageSystemAttributeNames=["SentTimestamp"],
            ),
        )
        return [
            DeadLetter(
                id=message["MessageId"],
                body=message["Body"],
                reason=message.get("MessageAttributes", {}).get("reason", {}).get("StringValue", "")
                or "received too often: its worker died each time",
                sent_at=datetime.fromtimestamp(int(message["Attributes"]["SentTimestamp"]) / 1000, UTC),
                receipt=message["ReceiptHandle"],
            )
            for message in answer.get("Messages", ())
        ]

    def revive(self, letter: DeadLetter) -> None:
        """See `chalicelib.ports.Queue.revive`; sent before it is taken off, so that it is never nowhere."""
        self._call(
            self._submissions, lambda client, url: client.send_message(QueueUrl=url, MessageBody=letter.body)
        )
        self.discard(letter)

    def discard(self, letter: DeadLetter) -> None:
        """See `chalicelib.ports.Queue.discard`."""
        self._call(
            self._dead_letters,
            lambda client, url: client.delete_message(QueueUrl=url, ReceiptHandle=letter.receipt),
        )

    def _send(self, queue: str, bodies: Sequence[str], delay: int) -> dict[int, str]:
        """The messages that were not taken: position in `bodies` → code of SQS."""
        entries: list[SendMessageBatchRequestEntryTypeDef] = [
            {"Id": str(index), "MessageBody": body, "DelaySeconds": delay}
            for index, body in enumerate(bodies)
        ]
        answer = self._call(
            queue, lambda client, url: client.send_message_batch(QueueUrl=url, Entries=entries)
        )
        return {int(entry["Id"]): entry["Code"] for entry in answer.get("Failed", ())}

    def _call(self, queue: str, call: Callable[[SQSClient, str], Any]) -> Any:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return call(self._client, self._url(queue))
        except (ClientError, BotoCoreError) as error:
            raise _unavailable(queue, error) from error

    @property
    def _client(self) -> SQSClient:
        with self._lock:
            self._made = self._made or self._make_client()
            return self._made

    def _url(self, queue: str) -> str:
        if queue not in self._urls:
            self._urls[queue] = self._client.get_queue_url(QueueName=queue)["QueueUrl"]
        return self._urls[queue]


def _batches(bodies: Sequence[str]) -> Iterator[list[str]]:
    """The bodies in order, as many in each batch as SQS takes in one call; all of them are ASCII."""
    batch: list[str] = []
    size = 0
    for body in bodies:
        if batch and (len(batch) == BATCH or size + len(body) > LIMIT):
            yield batch
            batch, size = [], 0
        batch.append(body)
        size += len(body)
    if batch:
        yield batch


def _unavailable(queue: str, error: Exception) -> LynceusError:
    # A timeout has a response too, and it is None.
    answer = getattr(error, "response", None) or {}
    code = str(answer.get("Error", {}).get("Code", "")) or type(error).__name__
    kind = Throttled if code.rpartition(".")[2] in _THROTTLED else Unavailable
    return kind(f"SQS queue {queue} does not answer: {code}")
