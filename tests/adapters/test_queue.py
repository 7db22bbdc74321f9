"""The queue in memory and the one over SQS, against moto, with the same cases; then what SQS alone can do."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st
from moto import mock_aws

from chalicelib.adapters.queue import LIMIT, SqsQueue, sqs_client
from chalicelib.core.errors import Throttled, Unavailable
from chalicelib.core.submissions import Pointer
from chalicelib.ports import Queue
from lynceus.local.memory import FakeClock, MemoryQueue

NAMES = {
    "submissions": "lynceus-test-submissions",
    "cron": "lynceus-test-cron",
    "dead_letters": "lynceus-test-dead",
}
MESSAGE = Pointer("argo", "build-bcdfghjklm", "a" * 32).to_message()


@dataclass
class Stage:
    """A queue, and how to look at what is on it: bodies on one queue that are visible, (body, reason) of the dead."""

    queue: Queue
    visible: Callable[[bool], list[Any]]
    dead: Callable[[], list[tuple[str, str]]]
    texts: Callable[[], list[str]]  # of the submissions, undecoded


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with mock_aws():
        client = boto3.client("sqs", "us-east-1")
        for name in NAMES.values():
            client.create_queue(QueueName=name)
        yield client


@pytest.fixture(params=["memory", "sqs"])
def stage(request: pytest.FixtureRequest) -> Stage:
    if request.param == "memory":
        memory = MemoryQueue(FakeClock())

        def visible(cron: bool) -> list[Any]:
            taken = []
            while (body := memory.take(cron=cron)) is not None:
                taken.append(body)
            return taken

        return Stage(memory, visible, lambda: memory.dead, lambda: [as_text(body) for body in visible(False)])
    client = request.getfixturevalue("sqs")
    queue = SqsQueue(lambda: client, **NAMES)
    return Stage(
        queue,
        lambda cron: [
            json.loads(m["Body"]) for m in received(client, NAMES["cron" if cron else "submissions"])
        ],
        lambda: [
            (m["Body"], m["MessageAttributes"]["reason"]["StringValue"])
            for m in received(client, NAMES["dead_letters"])
        ],
        lambda: [m["Body"] for m in received(client, NAMES["submissions"])],
    )


def as_text(body: Any) -> str:
    return body if isinstance(body, str) else json.dumps(body, separators=(",", ":"))


def received(client: Any, name: str) -> list[Any]:
    url = client.get_queue_url(QueueName=name)["QueueUrl"]
    found: list[Any] = []
    while batch := client.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
    ).get("Messages"):
        found += batch
    return found


# Every queue


def test_what_is_sent_arrives_on_the_queue_of_submissions(stage: Stage) -> None:
    stage.queue.send([MESSAGE])
    assert stage.visible(True) == []
    assert stage.visible(False) == [MESSAGE]


def test_cron_runs_have_a_queue_of_their_own(stage: Stage) -> None:
    stage.queue.send([MESSAGE], cron=True)
    assert stage.visible(False) == []
    assert stage.visible(True) == [MESSAGE]


def test_more_messages_than_one_call_takes_all_arrive(stage: Stage) -> None:
    stage.queue.send([{"n": number} for number in range(25)])
    assert sorted(body["n"] for body in stage.visible(False)) == list(range(25))


def test_messages_too_large_for_one_call_together_all_arrive(stage: Stage) -> None:
    text = "x" * (LIMIT // 3)
    stage.queue.send([{"n": number, "text": text} for number in range(5)])
    assert sorted(body["n"] for body in stage.visible(False)) == list(range(5))


def test_a_message_of_exactly_the_limit_arrives_and_one_byte_more_is_refused_before_any_is_sent(
    stage: Stage,
) -> None:
    room = LIMIT - len('{"t":""}')
    stage.queue.send([{"t": "x" * room}])
    assert len(stage.visible(False)) == 1
    with pytest.raises(Unavailable, match=str(LIMIT)):
        stage.queue.send([MESSAGE, {"t": "x" * (room + 1)}])
    assert stage.visible(False) == []


def test_sending_nothing_is_fine(stage: Stage) -> None:
    stage.queue.send([])
    assert stage.visible(False) == []


def test_a_delayed_message_is_not_visible_yet(stage: Stage) -> None:
    stage.queue.send([MESSAGE], delay=900)
    assert stage.visible(False) == []


@pytest.mark.parametrize("delay", [-1, 901])
def test_a_delay_that_sqs_does_not_know_is_refused(stage: Stage, delay: int) -> None:
    with pytest.raises(ValueError, match="0 to 900"):
        stage.queue.send([MESSAGE], delay=delay)


def test_control_characters_and_lone_surrogates_arrive_as_they_were(stage: Stage) -> None:
    message = {"text": "a\x00b\x1f\ud800 \uffff ä \U0001f600"}
    stage.queue.send([message])
    assert stage.visible(False) == [message]


def test_what_nobody_can_parse_is_buried_with_the_reason(stage: Stage) -> None:
    stage.queue.bury("{not json", "JSONDecodeError: Expecting property name")
    assert stage.dead() == [("{not json", "JSONDecodeError: Expecting property name")]


@pytest.mark.parametrize("body", ["{not json", '{"v":1}'])
def test_a_dead_letter_is_read_and_revived_as_it_was(stage: Stage, body: str) -> None:
    stage.queue.bury(body, "unknown kind")
    (letter,) = stage.queue.dead_letters(10)
    assert (letter.body, letter.reason) == (body, "unknown kind")
    assert letter.sent_at.tzinfo is not None
    stage.queue.revive(letter)
    assert stage.texts() == [body]
    assert stage.queue.dead_letters(10) == []


def test_a_dead_letter_that_is_discarded_is_gone(stage: Stage) -> None:
    stage.queue.bury("one", "bad")
    stage.queue.bury("two", "bad")
    letters = stage.queue.dead_letters(10)
    stage.queue.discard(next(letter for letter in letters if letter.body == "one"))
    assert [body for body, _ in stage.dead()] in (["two"], [])  # hidden for a minute where it was read


def test_no_more_dead_letters_come_than_were_asked_for(stage: Stage) -> None:
    for number in range(15):
        stage.queue.bury(str(number), "bad")
    assert len(stage.queue.dead_letters(3)) == 3


# SQS alone


def test_a_reason_with_characters_that_xml_cannot_hold_is_cleaned(sqs: Any) -> None:
    SqsQueue(lambda: sqs, **NAMES).bury("body", "bad \x00 \ud800 text " + "x" * 5000)
    (message,) = received(sqs, NAMES["dead_letters"])
    reason = message["MessageAttributes"]["reason"]["StringValue"]
    assert reason.startswith("bad \ufffd \ufffd text x")
    assert len(reason) == 1000


def test_a_body_that_fills_a_message_is_buried_without_the_reason(sqs: Any) -> None:
    SqsQueue(lambda: sqs, **NAMES).bury("x" * LIMIT, "too large")
    (message,) = received(sqs, NAMES["dead_letters"])
    assert len(message["Body"]) == LIMIT
    assert "MessageAttributes" not in message


def test_messages_that_sqs_did_not_take_are_sent_once_more(sqs: Any) -> None:
    with Stubber(sqs) as stub:
        stub.add_response("get_queue_url", {"QueueUrl": "https://sqs.test/q"})
        stub.add_response("send_message_batch", answer(taken=["0", "2"], failed=["1"]))
        stub.add_response(
            "send_message_batch",
            answer(taken=["0"]),
            {
                "QueueUrl": "https://sqs.test/q",
                "Entries": [{"Id": "0", "MessageBody": '{"n":1}', "DelaySeconds": 5}],
            },
        )
        SqsQueue(lambda: sqs, **NAMES).send([{"n": number} for number in range(3)], delay=5)
        stub.assert_no_pending_responses()


def test_messages_refused_twice_make_the_send_fail_with_the_code(sqs: Any) -> None:
    with Stubber(sqs) as stub:
        stub.add_response("get_queue_url", {"QueueUrl": "https://sqs.test/q"})
        stub.add_response("send_message_batch", answer(taken=["0"], failed=["1"]))
        stub.add_response("send_message_batch", answer(failed=["0"]))
        with pytest.raises(Unavailable, match="1 of 2 messages: InternalError"):
            SqsQueue(lambda: sqs, **NAMES).send([{"n": 1}, {"n": 2}])


def answer(taken: list[str] | None = None, failed: list[str] | None = None) -> dict[str, Any]:
    return {
        "Successful": [{"Id": one, "MessageId": one, "MD5OfMessageBody": "x"} for one in taken or []],
        "Failed": [{"Id": one, "Code": "InternalError", "SenderFault": False} for one in failed or []],
    }


def test_the_address_of_a_queue_is_asked_for_once(sqs: Any) -> None:
    with Stubber(sqs) as stub:
        stub.add_response("get_queue_url", {"QueueUrl": "https://sqs.test/q"})
        for _ in range(2):
            stub.add_response("send_message_batch", answer(taken=["0"]))
        queue = SqsQueue(lambda: sqs, **NAMES)
        queue.send([MESSAGE])
        queue.send([MESSAGE])
        stub.assert_no_pending_responses()


@pytest.mark.parametrize(
    "code,kind",
    [
        ("AWS.SimpleQueueService.NonExistentQueue", Unavailable),
        ("AccessDenied", Unavailable),
        ("RequestThrottled", Throttled),
        ("KMS.ThrottlingException", Throttled),
    ],
)
def test_an_error_of_sqs_is_one_of_ours_and_names_queue_and_code(sqs: Any, code: str, kind: type) -> None:
    with Stubber(sqs) as stub:
        stub.add_client_error("get_queue_url", code)
        with pytest.raises(kind, match=re.escape(f"lynceus-test-submissions does not answer: {code}")):
            SqsQueue(lambda: sqs, **NAMES).send([MESSAGE])


def test_sqs_away_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    class Away:
        def get_queue_url(self, **named: Any) -> Any:
            raise EndpointConnectionError(endpoint_url="https://sqs.test")

    client: Any = Away()
    queue = SqsQueue(lambda: client, **NAMES)
    with pytest.raises(Unavailable, match="EndpointConnectionError"):
        queue.send([MESSAGE])
    with pytest.raises(Unavailable):
        queue.bury("x", "y")


def test_the_client_gives_up_within_seconds() -> None:
    config = sqs_client("us-east-1").meta.config
    assert config.connect_timeout * config.retries["total_max_attempts"] <= 6
    assert config.read_timeout <= 5


@given(st.lists(st.integers(0, LIMIT // 2), max_size=40))
def test_batches_hold_every_body_in_order_within_the_limits_of_a_call(sizes: list[int]) -> None:
    calls: list[list[str]] = []

    class Recorder:
        def get_queue_url(self, **named: Any) -> dict[str, str]:
            return {"QueueUrl": "q"}

        def send_message_batch(self, **named: Any) -> dict[str, Any]:
            calls.append([entry["MessageBody"] for entry in named["Entries"]])
            return {"Successful": []}

    client: Any = Recorder()
    messages = [{"n": number, "t": "x" * size} for number, size in enumerate(sizes)]
    SqsQueue(lambda: client, **NAMES).send(messages)
    assert [json.loads(body)["n"] for call in calls for body in call] == list(range(len(sizes)))
    assert all(0 < len(call) <= 10 and sum(map(len, call)) <= LIMIT for call in calls)
